-- What:       incidents reported on each local day of a week and the four before, by type.
-- Grain:      one row per day and type with at least one incident.
-- Parameters: :week_end      TIMESTAMP; the first moment after the week. What was reported then or later is not looked at.
--             :week_4_start  TIMESTAMP; the first moment of the fourth week before.
--             :time_zone     STRING, the IANA name of the time zone that days are in.
-- Columns:
--   day            the local date.
--   incident_type  job-failure, validation-gap, security-finding, deprecation, compliance.
--   incidents      how many.
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
