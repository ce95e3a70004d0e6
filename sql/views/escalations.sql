-- What:       Current state of alerts: the latest event of each alert that has fired.
-- Grain:      one row per dedup_key.
-- Parameters: none.
-- Columns:
--   …  all columns of escalation_events.
WITH ranked AS (
  SELECT
    incident_id,
    seq,
    ordinal,
    occurred_at,
    recorded_at,
    trigger,
    event,
    status,
    severity,
    dedup_key,
    reason,
    message,
    routes,
    quiet_until,
    actor,
    row_number() OVER (
      PARTITION BY dedup_key
      ORDER BY seq DESC NULLS LAST, ordinal DESC NULLS LAST
    ) AS age_rank
  FROM escalation_events
  WHERE status IS NOT NULL AND event <> 'not-fired'
)
SELECT
  incident_id,
  seq,
  ordinal,
  occurred_at,
  recorded_at,
  trigger,
  event,
  status,
  severity,
  dedup_key,
  reason,
  message,
  routes,
  quiet_until,
  actor
FROM ranked
WHERE age_rank = 1
