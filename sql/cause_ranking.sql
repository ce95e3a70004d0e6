-- What:       Known causes of a week's incidents, ranked by number of incidents and compared with the previous week.
--             Each incident counts with its current finding at :week_end (views/cause_findings.sql).
-- Grain:      one row per cause with an incident in the week.
-- Parameters: :week_start    TIMESTAMP; the start of the week.
--             :week_end      TIMESTAMP; the end of the week, not included. Later findings are ignored.
--             :week_1_start  TIMESTAMP; the start of the previous week.
--             :since         TIMESTAMP; a cause is new if it did not occur between :since and the week. It must not be
--                            after :week_1_start. The digest uses 13 weeks before the week.
-- Columns:
--   cause               the cause, after merges and splits.
--   root_cause          text of the cause's latest finding.
--   incidents           number of the week's incidents with the cause.
--   rank                1 for the most frequent cause. Causes with equal counts share a rank; the next ranks are
--                       skipped.
--   previous_incidents  number of incidents with the cause in the previous week.
--   previous_rank       rank in the previous week; null if the cause did not occur then.
--   is_new              true if the cause did not occur between :since and the week.
--   resources           number of different first affected resources. Incidents without a resource count as one.
--   first_incident_id   first incident of the week with the cause, by found_at, then by seq.
WITH findings AS (
  SELECT
    cause,
    incident_id,
    seq,
    found_at,
    root_cause,
    workspace_id,
    resource_kind,
    resource_id,
    CASE
      WHEN found_at >= :week_start THEN 0
      WHEN found_at >= :week_1_start THEN 1
      ELSE 2
    END AS week
  FROM cause_findings
  WHERE
    cause IS NOT NULL
    AND found_at >= :since
    AND found_at < :week_end
    AND (superseded_at IS NULL OR superseded_at >= :week_end)
),
ranked AS (
  SELECT
    *,
    row_number() OVER (
      PARTITION BY cause
      ORDER BY found_at DESC NULLS LAST, seq DESC NULLS LAST
    ) AS age_rank,
    row_number() OVER (
      PARTITION BY cause, week
      ORDER BY found_at ASC NULLS LAST, seq ASC NULLS LAST
    ) AS position
  FROM findings
),
causes AS (
  SELECT
    cause,
    max(CASE WHEN age_rank = 1 THEN root_cause END) AS root_cause,
    CAST(count(*) FILTER (WHERE week = 0) AS BIGINT) AS incidents,
    CAST(count(*) FILTER (WHERE week = 1) AS BIGINT) AS previous_incidents,
    count(*) FILTER (WHERE week > 0) = 0 AS is_new,
    max(CASE WHEN week = 0 AND position = 1 THEN incident_id END) AS first_incident_id
  FROM ranked
  GROUP BY cause
),
resources AS (
  SELECT DISTINCT
    cause,
    workspace_id,
    resource_kind,
    resource_id
  FROM findings
  WHERE
    week = 0
    AND resource_id IS NOT NULL
  UNION
  SELECT
    cause,
    NULL AS workspace_id,
    NULL AS resource_kind,
    NULL AS resource_id
  FROM findings
  WHERE
    week = 0
    AND resource_id IS NULL
),
resource_counts AS (
  SELECT
    cause,
    CAST(count(*) AS BIGINT) AS resources
  FROM resources
  GROUP BY cause
),
ranks AS (
  SELECT
    *,
    CAST(rank() OVER (ORDER BY incidents DESC NULLS LAST) AS BIGINT) AS place,
    CAST(rank() OVER (ORDER BY previous_incidents DESC NULLS LAST) AS BIGINT) AS previous_place
  FROM causes
)
SELECT
  ranks.cause,
  ranks.root_cause,
  ranks.incidents,
  ranks.place AS rank,
  ranks.previous_incidents,
  CASE WHEN ranks.previous_incidents > 0 THEN ranks.previous_place END AS previous_rank,
  ranks.is_new,
  resource_counts.resources,
  ranks.first_incident_id
FROM ranks
INNER JOIN resource_counts
  ON resource_counts.cause = ranks.cause
WHERE ranks.incidents > 0
