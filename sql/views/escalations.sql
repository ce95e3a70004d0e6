-- What:       alerts as they stand now: the latest event of each.
-- Grain:      one row per dedup_key.
-- Parameters: none.
-- Columns:
--   …  all columns of escalation_events.
WITH ranked AS (
  SELECT
    incident_id,
    seq,
    occurred_at,
    recorded_at,
    trigger,
    event,
    severity,
    dedup_key,
    reason,
    row_number() OVER (
      PARTITION BY dedup_key
      ORDER BY seq DESC NULLS LAST, occurred_at DESC NULLS LAST, event ASC NULLS LAST
    ) AS age_rank
  FROM escalation_events
)
SELECT
  incident_id,
  seq,
  occurred_at,
  recorded_at,
  trigger,
  event,
  severity,
  dedup_key,
  reason
FROM ranked
WHERE age_rank = 1
