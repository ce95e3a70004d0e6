-- What:       Resources for which each cause was found from :since to :as_of. Unknown causes are left out.
-- Grain:      one row per cause, workspace_id, resource_kind and resource_id.
-- Parameters: :since  TIMESTAMP; earlier findings are ignored.
--             :as_of  TIMESTAMP; later findings are ignored.
-- Columns:
--   cause                the cause, after merges and splits.
--   workspace_id, resource_kind, resource_id  the resource.
--   resource_name        name of the resource in its latest finding with the cause, by found_at, then by seq.
--   resource_attributes  attributes of the resource in that finding, a JSON object of strings.
--   found_at             time of that finding.
--   is_latest            true if that finding is the latest one of the resource for any cause.
WITH ranked AS (
  SELECT
    cause,
    workspace_id,
    resource_kind,
    resource_id,
    resource_name,
    resource_attributes,
    found_at,
    row_number() OVER (
      PARTITION BY workspace_id, resource_kind, resource_id, cause
      ORDER BY found_at DESC NULLS LAST, seq DESC NULLS LAST
    ) AS rank_with_cause,
    row_number() OVER (
      PARTITION BY workspace_id, resource_kind, resource_id
      ORDER BY found_at DESC NULLS LAST, seq DESC NULLS LAST
    ) AS age_rank
  FROM cause_findings
  WHERE
    cause IS NOT NULL
    AND resource_kind IS NOT NULL
    AND resource_id IS NOT NULL
    AND found_at >= :since
    AND found_at <= :as_of
    AND (superseded_at IS NULL OR superseded_at > :as_of)
)
SELECT
  cause,
  workspace_id,
  resource_kind,
  resource_id,
  resource_name,
  resource_attributes,
  found_at,
  age_rank = 1 AS is_latest
FROM ranked
WHERE rank_with_cause = 1
