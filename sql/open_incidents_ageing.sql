-- What:       Incidents that were open at the end of a week, and for how long. An incident is open from its report
--             until its last closing; later events are ignored. The query can continue an older list of open incidents.
--             It then reads only incidents that were reported at or after :known_until or changed after ledger row
--             :known_seq, and returns those that are not open too.
-- Grain:      one row per open incident; with an older list, one row per incident read.
-- Parameters: :week_end     TIMESTAMP; the end of the week, not included.
--             :known_until  TIMESTAMP; the time for which the older list holds. 1970-01-01 without a list.
--             :known_seq    BIGINT; a ledger row before :known_until. No row up to it resolves an incident of the older
--                           list. 0 without a list: all incidents are read.
-- Columns:
--   incident_id      the incident.
--   incident_type    job-failure, validation-gap, security-finding, deprecation, compliance.
--   title            one-line title. Untrusted text: escape it in every output format.
--   workspace_id     id of the workspace.
--   resource_name    name of the first affected resource.
--   reported_at      time of the report.
--   acknowledged_at  time of the first explicit acknowledgement; null unless it was before :week_end.
--   age_hours        hours from the report to :week_end; negative if it was reported later.
--   age              under-1-day, 1-to-7-days, 7-to-30-days, over-30-days.
--   is_open          false if the incident was reported at or after :week_end, or last closed before it.
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
