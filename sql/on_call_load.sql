-- What:       Incidents and alerts of a week by part of the day: incidents by reported_at, alerts by the time they
--             fired.
-- Grain:      one row per part of the day: three rows.
-- Parameters: :week_start  TIMESTAMP; the start of the week.
--             :week_end    TIMESTAMP; the end of the week, not included. Later events are ignored.
--             :time_zone   STRING, the IANA time zone of hours and weekdays.
-- Columns:
--   band           business: Monday to Friday, 08:00 to 17:59. night: 22:00 to 05:59. evening: all other hours.
--   incidents      number of incidents reported.
--   alerts         number of firings. An alert that fires again counts again.
--   urgent_alerts  number of firings with severity HIGH or CRITICAL.
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
