-- What:       Recurring issues that were open at the end of a week or closed in it, with their latest event by then.
-- Grain:      one row per episode_id.
-- Parameters: :week_start  TIMESTAMP; the start of the week.
--             :week_end    TIMESTAMP; the end of the week, not included. Later events are ignored.
--             :since       TIMESTAMP; issues without an event at or after :since are left out. The digest uses 13 weeks
--                          before the week.
-- Columns:
--   episode_id   the issue.
--   incident_id  incident with which the cause became recurring.
--   cause        the cause, after the merges and splits known then.
--   event        latest event: opened, updated, closed.
--   is_new       true if the issue was opened in the week.
--   occurrences  number of occurrences. Incidents about one job run count once.
--   first_at     time of the first occurrence.
--   last_at      time of the last occurrence.
--   detail       the alert as JSON: cause, incidents, pattern, preventive actions and more.
WITH events AS (
  SELECT
    episode_id,
    incident_id,
    cause_fingerprint,
    event,
    occurred_at,
    incidents,
    first_at,
    last_at,
    detail,
    row_number() OVER (
      PARTITION BY episode_id
      ORDER BY seq DESC NULLS LAST
    ) AS age_rank,
    min(CASE WHEN event = 'opened' THEN occurred_at END) OVER (PARTITION BY episode_id) AS opened_at
  FROM recurrence_events
  WHERE
    occurred_at >= :since
    AND occurred_at < :week_end
)
SELECT
  episode_id,
  incident_id,
  cause_fingerprint AS cause,
  event,
  coalesce(opened_at >= :week_start, FALSE) AS is_new,
  CAST(incidents AS BIGINT) AS occurrences,
  first_at,
  last_at,
  detail
FROM events
WHERE
  age_rank = 1
  AND (event <> 'closed' OR occurred_at >= :week_start)
