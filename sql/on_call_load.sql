-- What:       what came in each part of the day, in a week: incidents by reported_at, alerts by the moment they fired.
-- Grain:      one row per part of the day, three in all.
-- Parameters: :week_start  TIMESTAMP; the first moment of the week.
--             :week_end    TIMESTAMP; the first moment after the week. What came then or later is not looked at.
--             :time_zone   STRING, the IANA name of the time zone that hours and weekdays are in.
-- Columns:
--   band           business: Monday to Friday, 08:00 to 17:59. night: 22:00 to 05:59. evening: the rest.
--   incidents      how many incidents were reported.
--   alerts         how often an alert fired: one that fires anew counts again.
--   urgent_alerts  how often one of severity HIGH or CRITICAL fired.
WITH arrivals AS (
  SELECT
    from_utc_timestamp(reported_at, :time_zone) AS local_at,
    1 AS incidents,
    0 AS alerts,
    0 AS urgent_alerts
  FROM incidents
  WHERE
    reported_at >= :week_start
    AND reported_at < :week_end
  UNION ALL
  SELECT
    from_utc_timestamp(occurred_at, :time_zone) AS local_at,
    0 AS incidents,
    1 AS alerts,
    CASE WHEN severity IN ('HIGH', 'CRITICAL') THEN 1 ELSE 0 END AS urgent_alerts
  FROM escalation_events
  WHERE
    event = 'fired'
    AND occurred_at >= :week_start
    AND occurred_at < :week_end
),
-- Days since 1970-01-01, a Thursday: 0 is Monday.
clocks AS (
  SELECT
    (CAST(CAST(local_at AS DATE) - DATE '1970-01-01' AS BIGINT) + 3) % 7 AS weekday,
    extract(HOUR FROM local_at) AS hour,
    incidents,
    alerts,
    urgent_alerts
  FROM arrivals
),
banded AS (
  SELECT
    CASE
      WHEN hour >= 22 OR hour < 6 THEN 'night'
      WHEN weekday < 5 AND hour >= 8 AND hour < 18 THEN 'business'
      ELSE 'evening'
    END AS band,
    incidents,
    alerts,
    urgent_alerts
  FROM clocks
)
SELECT
  bands.band,
  CAST(coalesce(sum(banded.incidents), 0) AS BIGINT) AS incidents,
  CAST(coalesce(sum(banded.alerts), 0) AS BIGINT) AS alerts,
  CAST(coalesce(sum(banded.urgent_alerts), 0) AS BIGINT) AS urgent_alerts
FROM (VALUES ('business'), ('evening'), ('night')) AS bands (band)
LEFT JOIN banded
  ON banded.band = bands.band
GROUP BY bands.band
