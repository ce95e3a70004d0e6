-- What:       incidents reported in each local hour of each weekday, in a week and the four before together. In the night
--             in which the clocks go back, an hour that comes twice is one.
-- Grain:      one row per weekday and hour with at least one incident.
-- Parameters: :week_end      TIMESTAMP; the first moment after the week. What was reported then or later is not looked at.
--             :week_4_start  TIMESTAMP; the first moment of the fourth week before.
--             :time_zone     STRING, the IANA name of the time zone that hours and weekdays are in.
-- Columns:
--   weekday    1 is Monday, 7 is Sunday.
--   hour       0 to 23.
--   incidents  how many.
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
