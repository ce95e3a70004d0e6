-- What:       Latest result of each best-practice check of each checked resource in each workspace.
-- Grain:      one row per workspace_id, resource_kind, resource_id, category and name.
-- Parameters: none.
-- Columns:
--   …  all columns of practice_checks.
WITH ranked AS (
  SELECT
    incident_id,
    seq,
    ordinal,
    checked_at,
    recorded_at,
    category,
    name,
    status,
    severity,
    finding,
    evidence,
    workspace_id,
    resource_kind,
    resource_id,
    resource_name,
    row_number() OVER (
      PARTITION BY workspace_id, resource_kind, resource_id, category, name
      ORDER BY checked_at DESC NULLS LAST, seq DESC NULLS LAST, ordinal DESC NULLS LAST
    ) AS age_rank
  FROM practice_checks
)
SELECT
  incident_id,
  seq,
  ordinal,
  checked_at,
  recorded_at,
  category,
  name,
  status,
  severity,
  finding,
  evidence,
  workspace_id,
  resource_kind,
  resource_id,
  resource_name
FROM ranked
WHERE age_rank = 1
