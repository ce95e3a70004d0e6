-- What:       Events of each incident in the order in which they occurred, regardless of when they were recorded. It
--             leaves out corrected, withdrawn and repeated events; timeline_events has them.
-- Grain:      one row per effective event.
-- Parameters: none.
-- Columns:
--   …         all columns of timeline_events except withdrawn and duplicate_of.
--   position  1, 2, 3 … within the incident.
WITH corrected AS (
  SELECT DISTINCT
    incident_id,
    supersedes AS event
  FROM timeline_events
  WHERE supersedes IS NOT NULL
)
SELECT
  timeline_events.incident_id,
  timeline_events.seq,
  timeline_events.ordinal,
  timeline_events.occurred_at,
  timeline_events.recorded_at,
  timeline_events.kind,
  timeline_events.message,
  timeline_events.tool,
  timeline_events.evidence,
  timeline_events.actor,
  timeline_events.supersedes,
  CAST(
    row_number() OVER (
      PARTITION BY timeline_events.incident_id
      ORDER BY
        timeline_events.occurred_at ASC NULLS LAST,
        timeline_events.seq ASC NULLS LAST,
        timeline_events.ordinal ASC NULLS LAST
    )
    AS BIGINT
  ) AS position
FROM timeline_events
LEFT JOIN corrected
  ON
    corrected.incident_id = timeline_events.incident_id
    AND corrected.event = CAST(timeline_events.seq AS STRING) || '.' || CAST(timeline_events.ordinal AS STRING)
WHERE
  corrected.event IS NULL
  AND NOT timeline_events.withdrawn
  AND timeline_events.duplicate_of IS NULL
