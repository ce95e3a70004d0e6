-- What:       alerts that wait to be sent: every firing of an alert that has been open ever since. What was acknowledged,
--             suppressed, cleared or resolved after it fired is left out: nobody need be told any more. Deliveries are not
--             recorded yet, so nothing leaves the outbox by being sent.
-- Grain:      one row per event fired: incident_id, seq, ordinal. An alert whose severity rose has several.
-- Parameters: none.
-- Columns:
--   incident_id, seq, ordinal, occurred_at, trigger, severity, dedup_key, message, routes  as in escalation_events.
--   unrouted                                                                               true when no route matched.
WITH later AS (
  SELECT
    incident_id,
    seq,
    ordinal,
    occurred_at,
    trigger,
    event,
    severity,
    dedup_key,
    message,
    routes,
    sum(CASE WHEN status = 'open' THEN 0 ELSE 1 END) OVER (
      PARTITION BY dedup_key
      ORDER BY seq DESC NULLS LAST, ordinal DESC NULLS LAST
      ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
    ) AS not_open_since
  FROM escalation_events
  WHERE status IS NOT NULL
)
SELECT
  incident_id,
  seq,
  ordinal,
  occurred_at,
  trigger,
  severity,
  dedup_key,
  message,
  routes,
  coalesce(routes, '[]') = '[]' AS unrouted
FROM later
WHERE event = 'fired'
  AND not_open_since = 0
