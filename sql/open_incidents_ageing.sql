-- What:       incidents that were open at the end of a week, and for how long. An incident is open from its report until it
--             was resolved for good: one that was closed and reopened counts as open up to its last closing. What became
--             of it later is not looked at. An older list of open incidents can be carried on: then only
--             incidents are looked at that were reported at :known_until or later, or that changed after row :known_seq of
--             the ledger, and those of them that are not open are listed too.
-- Grain:      one row per open incident; when an older list is carried on, one per incident looked at.
-- Parameters: :week_end     TIMESTAMP; the first moment after the week.
--             :known_until  TIMESTAMP; the older list is of the incidents open at that moment. 1970-01-01 without one.
--             :known_seq    BIGINT; a row of the ledger from before :known_until: no row up to it says that an incident of the
--                           older list was resolved. 0 without one: all incidents are looked at.
-- Columns:
--   incident_id      the incident.
--   incident_type    job-failure, validation-gap, security-finding, deprecation, compliance.
--   title            one line for people. From outside: hostile in every output language.
--   workspace_id     the id of the workspace.
--   resource_name    the name of the first affected resource.
--   reported_at      when it was reported.
--   acknowledged_at  the first explicit acknowledgement; null unless it came before :week_end.
--   age_hours        hours from the report to :week_end; negative when it was reported later.
--   age              under-1-day, 1-to-7-days, 7-to-30-days, over-30-days.
--   is_open          false when it was not reported before :week_end, or resolved for good before it.
WITH states AS (
  SELECT
    incident_id,
    incident_type,
    title,
    workspace_id,
    resource_name,
    reported_at,
    acknowledged_at,
    resolved_at,
    row_number() OVER (PARTITION BY incident_id ORDER BY seq DESC NULLS LAST) AS age_rank
  FROM incident_states
  WHERE
    reported_at >= :known_until
    OR seq > :known_seq
),
latest AS (
  SELECT
    *,
    CAST(unix_micros(:week_end) - unix_micros(reported_at) AS DOUBLE) / 3600e6 AS age_hours,
    reported_at < :week_end AND (resolved_at IS NULL OR resolved_at >= :week_end) AS is_open
  FROM states
  WHERE age_rank = 1
)
SELECT
  incident_id,
  incident_type,
  title,
  workspace_id,
  resource_name,
  reported_at,
  CASE WHEN acknowledged_at < :week_end THEN acknowledged_at END AS acknowledged_at,
  age_hours,
  CASE
    WHEN age_hours < 24 THEN 'under-1-day'
    WHEN age_hours < 168 THEN '1-to-7-days'
    WHEN age_hours < 720 THEN '7-to-30-days'
    ELSE 'over-30-days'
  END AS age,
  is_open
FROM latest
WHERE
  is_open
  OR :known_seq > 0
