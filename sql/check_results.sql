-- What:       Best-practice checks of a week and of each of the 4 weeks before, by category and result. PARTIAL means
--             incomplete data, not a warning.
-- Grain:      one row per week, category and status with at least one check.
-- Parameters: :week_start    TIMESTAMP; the start of the week.
--             :week_end      TIMESTAMP; the end of the week, not included. Later checks are ignored.
--             :week_1_start  TIMESTAMP; the start of the previous week.
--             :week_2_start  TIMESTAMP; the start of the week 2 weeks before.
--             :week_3_start  TIMESTAMP; the start of the week 3 weeks before.
--             :week_4_start  TIMESTAMP; the start of the week 4 weeks before.
-- Columns:
--   week_start  start of the week.
--   category    Reliability, Security, Cost Optimization …
--   status      PASS, FAIL, PARTIAL.
--   checks      number of checks.
WITH checked AS (
  SELECT
    category,
    status,
    CASE
      WHEN checked_at >= :week_start THEN 0
      WHEN checked_at >= :week_1_start THEN 1
      WHEN checked_at >= :week_2_start THEN 2
      WHEN checked_at >= :week_3_start THEN 3
      ELSE 4
    END AS week
  FROM practice_checks
  WHERE
    checked_at >= :week_4_start
    AND checked_at < :week_end
),
counts AS (
  SELECT
    week,
    category,
    status,
    CAST(count(*) AS BIGINT) AS checks
  FROM checked
  GROUP BY week, category, status
)
SELECT
  CASE week
    WHEN 0 THEN :week_start
    WHEN 1 THEN :week_1_start
    WHEN 2 THEN :week_2_start
    WHEN 3 THEN :week_3_start
    ELSE :week_4_start
  END AS week_start,
  category,
  status,
  checks
FROM counts
