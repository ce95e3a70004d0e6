-- What:       Incidents reported on each local day of a week and the 4 weeks before, by type.
-- Grain:      one row per day and type with at least one incident.
-- Parameters: :week_end      TIMESTAMP; the end of the week, not included. Later reports are ignored.
--             :week_4_start  TIMESTAMP; the start of the week 4 weeks before.
--             :time_zone     STRING, the IANA time zone of days.
-- Columns:
--   day            local date.
--   incident_type  job-failure, validation-gap, security-finding, deprecation, compliance.
--   incidents      number of incidents.
SELECT
  CAST(from_utc_timestamp(reported_at, :time_zone) AS DATE) AS day,
  incident_type,
  CAST(count(*) AS BIGINT) AS incidents
FROM incidents
WHERE
  reported_at >= :week_4_start
  AND reported_at < :week_end
GROUP BY
  CAST(from_utc_timestamp(reported_at, :time_zone) AS DATE),
  incident_type
