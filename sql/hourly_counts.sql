-- What:       Incidents reported in each local hour of each weekday, in a week and the 4 weeks before together. When
--             clocks go back, the repeated hour counts as one hour.
-- Grain:      one row per weekday and hour with at least one incident.
-- Parameters: :week_end      TIMESTAMP; the end of the week, not included. Later reports are ignored.
--             :week_4_start  TIMESTAMP; the start of the week 4 weeks before.
--             :time_zone     STRING, the IANA time zone of hours and weekdays.
-- Columns:
--   weekday    1 is Monday, 7 is Sunday.
--   hour       0 to 23.
--   incidents  number of incidents.
WITH reported AS (
  SELECT from_utc_timestamp(reported_at, :time_zone) AS local_at
  FROM incidents
  WHERE
    reported_at >= :week_4_start
    AND reported_at < :week_end
),
-- 1970-01-01 was a Thursday.
clocks AS (
  SELECT
    CAST((CAST(CAST(local_at AS DATE) - DATE '1970-01-01' AS BIGINT) + 3) % 7 + 1 AS INT) AS weekday,
    CAST(extract(HOUR FROM local_at) AS INT) AS hour
  FROM reported
)
SELECT
  weekday,
  hour,
  CAST(count(*) AS BIGINT) AS incidents
FROM clocks
GROUP BY weekday, hour
