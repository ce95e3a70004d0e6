-- What:       recurring issues that were open at the end of a week, or that ended in it: the latest event of each by then.
-- Grain:      one row per episode_id.
-- Parameters: :week_start  TIMESTAMP; the first moment of the week.
--             :week_end    TIMESTAMP; the first moment after the week. What happened then or later is not looked at.
--             :since       TIMESTAMP; an issue of which nothing was recorded since is left out: it would have been closed.
--                          Thirteen weeks before the week, in the digest.
-- Columns:
--   episode_id   the issue.
--   incident_id  the incident at which it became one.
--   cause        the cause, after the merges and splits of then.
--   event        opened, updated, closed: the latest event.
--   is_new       true when it was opened in the week.
--   occurrences  how many occurrences it has, incidents about one job run counted once.
--   first_at     its first occurrence.
--   last_at      its last occurrence.
--   detail       the alert as it was raised, JSON: cause, incidents, pattern, preventive actions and more.
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
