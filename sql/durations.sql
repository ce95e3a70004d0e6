-- What:       Times to detect, acknowledge, mitigate and resolve incidents reported in a week and in each of the 4 weeks
--             before, as known at :week_end. views/incidents.sql defines the durations. Weeks before the
--             ledger's records are left out.
-- Grain:      one row per known week and measure, also without incidents.
-- Parameters: :week_start    TIMESTAMP; the start of the week.
--             :week_end      TIMESTAMP; the end of the week, not included. Later events are ignored.
--             :week_1_start  TIMESTAMP; the start of the previous week.
--             :week_2_start  TIMESTAMP; the start of the week 2 weeks before.
--             :week_3_start  TIMESTAMP; the start of the week 3 weeks before.
--             :week_4_start  TIMESTAMP; the start of the week 4 weeks before.
--             :known_from    TIMESTAMP; the start of the ledger's records. A week that ends at or before it is unknown.
-- Columns:
--   week_start  start of the week.
--   measure     detect: impact start to detection. acknowledge: report to the first explicit acknowledgement. mitigate:
--               detection to the first successful REMEDIATE or VERIFY. resolve: report to the first resolution.
--   n           number of known durations.
--   p50_s       their median, seconds; null if n is 0.
--   p95_s       their 95th percentile, interpolated, seconds; null if n is 0.
--   open        number of durations that have started and not ended, in incidents that are not resolved. A duration
--               that is missing when the incident is resolved, such as time to acknowledge, is neither known nor open.
--   clock_skew  number of durations left out because they would be negative.
WITH reported AS (
  SELECT
    CASE
      WHEN reported_at >= :week_start THEN 0
      WHEN reported_at >= :week_1_start THEN 1
      WHEN reported_at >= :week_2_start THEN 2
      WHEN reported_at >= :week_3_start THEN 3
      ELSE 4
    END AS week,
    reported_at,
    impact_started_at,
    detected_at,
    acknowledged_at,
    mitigated_at,
    first_resolved_at,
    time_to_detect_s,
    time_to_acknowledge_s,
    time_to_mitigate_s,
    time_to_resolve_s
  FROM incidents
  WHERE
    reported_at >= :week_4_start
    AND reported_at < :week_end
),
measures AS (
  SELECT measure
  FROM (VALUES ('detect'), ('acknowledge'), ('mitigate'), ('resolve')) AS names (measure)
),
measured AS (
  SELECT
    reported.week,
    measures.measure,
    reported.first_resolved_at,
    CASE measures.measure
      WHEN 'detect' THEN reported.impact_started_at
      WHEN 'mitigate' THEN reported.detected_at
      ELSE reported.reported_at
    END AS began_at,
    CASE measures.measure
      WHEN 'detect' THEN reported.detected_at
      WHEN 'acknowledge' THEN reported.acknowledged_at
      WHEN 'mitigate' THEN reported.mitigated_at
      ELSE reported.first_resolved_at
    END AS ended_at,
    CASE measures.measure
      WHEN 'detect' THEN reported.time_to_detect_s
      WHEN 'acknowledge' THEN reported.time_to_acknowledge_s
      WHEN 'mitigate' THEN reported.time_to_mitigate_s
      ELSE reported.time_to_resolve_s
    END AS seconds
  FROM reported
  CROSS JOIN measures
),
judged AS (
  SELECT
    week,
    measure,
    CASE WHEN ended_at < :week_end THEN seconds END AS seconds,
    coalesce(
      began_at < :week_end
      AND (ended_at IS NULL OR ended_at >= :week_end)
      AND (first_resolved_at IS NULL OR first_resolved_at >= :week_end),
      FALSE
    ) AS is_open,
    coalesce(began_at IS NOT NULL AND ended_at < :week_end AND seconds IS NULL, FALSE) AS is_skewed
  FROM measured
),
-- The 95th percentile is interpolated between the two sorted durations around position 0.95 * (n - 1). The engines' own
-- percentile functions differ in the seventh digit.
ranked AS (
  SELECT
    *,
    row_number() OVER (PARTITION BY week, measure ORDER BY seconds ASC NULLS LAST) AS position,
    (count(seconds) OVER (PARTITION BY week, measure) - 1) * 95 AS way
  FROM judged
),
placed AS (
  SELECT
    *,
    CASE WHEN (position - 1) * 100 <= way AND position * 100 > way THEN seconds END AS below_s,
    CASE WHEN (position - 2) * 100 <= way AND (position - 1) * 100 > way THEN seconds END AS above_s
  FROM ranked
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
figures AS (
  SELECT
    weeks.week,
    measures.measure,
    CAST(count(placed.seconds) AS BIGINT) AS n,
    median(placed.seconds) AS p50_s,
    max(placed.below_s) AS below_s,
    max(placed.above_s) AS above_s,
    CAST(max(placed.way) % 100 AS DOUBLE) / 100 AS share,
    CAST(count(*) FILTER (WHERE placed.is_open) AS BIGINT) AS open,
    CAST(count(*) FILTER (WHERE placed.is_skewed) AS BIGINT) AS clock_skew
  FROM weeks
  CROSS JOIN measures
  LEFT JOIN placed
    ON
      placed.week = weeks.week
      AND placed.measure = measures.measure
  WHERE weeks.is_known
  GROUP BY weeks.week, measures.measure
)
SELECT
  CASE week
    WHEN 0 THEN :week_start
    WHEN 1 THEN :week_1_start
    WHEN 2 THEN :week_2_start
    WHEN 3 THEN :week_3_start
    ELSE :week_4_start
  END AS week_start,
  measure,
  n,
  p50_s,
  below_s + (coalesce(above_s, below_s) - below_s) * share AS p95_s,
  open,
  clock_skew
FROM figures
