-- What:       what happened in each incident, in the order in which it happened, however late it was logged.
-- Grain:      one row per event.
-- Parameters: none.
-- Columns:
--   …         all columns of timeline_events.
--   position  1, 2, 3 … within the incident.
SELECT
  incident_id,
  seq,
  ordinal,
  occurred_at,
  recorded_at,
  kind,
  message,
  tool,
  evidence,
  actor,
  CAST(
    row_number() OVER (
      PARTITION BY incident_id
      ORDER BY occurred_at ASC NULLS LAST, seq ASC NULLS LAST, ordinal ASC NULLS LAST
    )
    AS BIGINT
  ) AS position
FROM timeline_events
