-- What:       Alerts that wait to be sent: firings of open alerts that no channel has delivered, given up or skipped.
--             Alerts that were acknowledged, suppressed, cleared or resolved after firing need no notification. For the
--             state of each channel, see deliveries.
-- Grain:      one row per firing: incident_id, seq, ordinal. An alert whose severity rose has several.
-- Parameters: none.
-- Columns:
--   incident_id, seq, ordinal, occurred_at, trigger, severity, dedup_key, message, routes  as in escalation_events.
--   unrouted                                                                               true if no route matched.
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
  later.incident_id,
  later.seq,
  later.ordinal,
  later.occurred_at,
  later.trigger,
  later.severity,
  later.dedup_key,
  later.message,
  later.routes,
  coalesce(later.routes, '[]') = '[]' AS unrouted
FROM later
LEFT JOIN (
  SELECT DISTINCT
    source_seq,
    source_ordinal
  FROM deliveries
  WHERE event IN ('delivered', 'partly', 'dead', 'skipped')
) AS told
  ON told.source_seq = later.seq
  AND told.source_ordinal = later.ordinal
WHERE later.event = 'fired'
  AND later.not_open_since = 0
  AND told.source_seq IS NULL
