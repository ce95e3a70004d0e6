-- What:       Incidents reported in a week by one dimension at a time, compared with the previous week and the median
--             of the 4 weeks before. It lists the values that any incident of the 5 weeks has, and always the total.
--             Weeks before the ledger's records are unknown, not 0.
-- Grain:      one row per dimension and value.
-- Parameters: :week_start    TIMESTAMP; the start of the week.
--             :week_end      TIMESTAMP; the end of the week, not included. Later events are ignored.
--             :week_1_start  TIMESTAMP; the start of the previous week.
--             :week_2_start  TIMESTAMP; the start of the week 2 weeks before.
--             :week_3_start  TIMESTAMP; the start of the week 3 weeks before.
--             :week_4_start  TIMESTAMP; the start of the week 4 weeks before.
--             :known_from    TIMESTAMP; the start of the ledger's records. A week that ends at or before it is unknown.
-- Columns:
--   dimension      total, type, severity, workspace, category.
--   value          total: all. severity: the highest severity of the incident's alerts since :week_4_start, or none.
--                  category: categories of the incident's failed checks; an incident counts in each of them.
--   incidents      number of incidents reported in the week.
--   previous       number in the previous week; null if that week is unknown.
--   median_before  median of the known weeks among the 4 weeks before; null if none is known.
--   weeks_before   number of known weeks among the 4 weeks before.
WITH reported AS (
  SELECT
    incident_id,
    incident_type,
    workspace_id,
    CASE
      WHEN reported_at >= :week_start THEN 0
      WHEN reported_at >= :week_1_start THEN 1
      WHEN reported_at >= :week_2_start THEN 2
      WHEN reported_at >= :week_3_start THEN 3
      ELSE 4
    END AS week
  FROM incidents
  WHERE
    reported_at >= :week_4_start
    AND reported_at < :week_end
),
urgencies AS (
  SELECT
    incident_id,
    max(
      CASE severity
        WHEN 'LOW' THEN 1
        WHEN 'MEDIUM' THEN 2
        WHEN 'HIGH' THEN 3
        WHEN 'CRITICAL' THEN 4
      END
    ) AS urgency
  FROM escalation_events
  WHERE
    event = 'fired'
    AND occurred_at >= :week_4_start
    AND occurred_at < :week_end
  GROUP BY incident_id
),
failed AS (
  SELECT DISTINCT
    incident_id,
    category
  FROM practice_checks
  WHERE
    status = 'FAIL'
    AND checked_at >= :week_4_start
    AND checked_at < :week_end
),
counted AS (
  SELECT
    reported.week,
    dimensions.dimension,
    CASE dimensions.dimension
      WHEN 'total' THEN 'all'
      WHEN 'type' THEN reported.incident_type
      WHEN 'workspace' THEN reported.workspace_id
      ELSE
        CASE urgencies.urgency
          WHEN 1 THEN 'LOW'
          WHEN 2 THEN 'MEDIUM'
          WHEN 3 THEN 'HIGH'
          WHEN 4 THEN 'CRITICAL'
          ELSE 'none'
        END
    END AS value
  FROM reported
  CROSS JOIN (VALUES ('total'), ('type'), ('severity'), ('workspace')) AS dimensions (dimension)
  LEFT JOIN urgencies
    ON urgencies.incident_id = reported.incident_id
  UNION ALL
  SELECT
    reported.week,
    'category' AS dimension,
    failed.category AS value
  FROM reported
  INNER JOIN failed
    ON failed.incident_id = reported.incident_id
),
shown AS (
  SELECT
    dimension,
    value
  FROM counted
  UNION
  SELECT
    'total' AS dimension,
    'all' AS value
),
weeks AS (
  SELECT
    week,
    CASE week
      WHEN 0 THEN :week_end > :known_from
      WHEN 1 THEN :week_start > :known_from
      WHEN 2 THEN :week_1_start > :known_from
      WHEN 3 THEN :week_2_start > :known_from
      ELSE :week_3_start > :known_from
    END AS is_known
  FROM (VALUES (0), (1), (2), (3), (4)) AS numbers (week)
),
counts AS (
  SELECT
    shown.dimension,
    shown.value,
    weeks.week,
    weeks.is_known,
    count(counted.week) AS incidents
  FROM shown
  CROSS JOIN weeks
  LEFT JOIN counted
    ON
      counted.dimension = shown.dimension
      AND counted.value = shown.value
      AND counted.week = weeks.week
  GROUP BY
    shown.dimension,
    shown.value,
    weeks.week,
    weeks.is_known
)
SELECT
  dimension,
  value,
  CAST(sum(incidents) FILTER (WHERE week = 0) AS BIGINT) AS incidents,
  CAST(sum(incidents) FILTER (WHERE week = 1 AND is_known) AS BIGINT) AS previous,
  median(CAST(incidents AS DOUBLE)) FILTER (WHERE week > 0 AND is_known) AS median_before,
  CAST(count(*) FILTER (WHERE week > 0 AND is_known) AS INT) AS weeks_before
FROM counts
GROUP BY dimension, value
