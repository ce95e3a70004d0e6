-- What:       Current state of recurrence episodes, including closed ones: the latest event of each.
-- Grain:      one row per episode_id.
-- Parameters: none.
-- Columns:
--   …          all columns of recurrence_events.
--   first_seq  audit_log row of the episode's first event.
WITH ranked AS (
  SELECT
    incident_id,
    seq,
    occurred_at,
    recorded_at,
    cause_fingerprint,
    episode_id,
    event,
    reason,
    incidents,
    first_at,
    last_at,
    threshold,
    window_hours,
    detail,
    min(seq) OVER (PARTITION BY episode_id) AS first_seq,
    row_number() OVER (
      PARTITION BY episode_id
      ORDER BY seq DESC NULLS LAST
    ) AS age_rank
  FROM recurrence_events
)
SELECT
  incident_id,
  seq,
  occurred_at,
  recorded_at,
  cause_fingerprint,
  episode_id,
  event,
  reason,
  incidents,
  first_at,
  last_at,
  threshold,
  window_hours,
  detail,
  first_seq
FROM ranked
WHERE age_rank = 1
