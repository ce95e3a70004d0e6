-- What:       Incidents of the recurrence episodes that recurrence.sql finds with the same parameters.
-- Grain:      one row per episode and incident.
-- Parameters: :since         TIMESTAMP; earlier findings are ignored.
--             :as_of         TIMESTAMP; later findings are ignored.
--             :threshold     INT, at least 1.
--             :window_hours  INT, at least 1.
-- Columns:
--   cause           the cause, after merges and splits. cause and first_at identify the episode.
--   first_at        time of the episode's first occurrence.
--   occurrence_key  key that the incidents of one occurrence share.
--   confidence      confidence of the current finding.
--   …               columns of root_causes, from the current finding.
WITH findings AS (
  SELECT
    cause,
    occurrence_key,
    seq,
    found_at
  FROM cause_findings
  WHERE
    cause IS NOT NULL
    AND found_at >= :since
    AND found_at <= :as_of
    AND (superseded_at IS NULL OR superseded_at > :as_of)
),
occurrences AS (
  SELECT
    cause,
    occurrence_key,
    min(found_at) AS occurred_at,
    min(seq) AS first_seq,
    max(seq) AS last_seq,
    count(*) AS incidents
  FROM findings
  GROUP BY cause, occurrence_key
),
-- Timestamp arithmetic with a parameter is not portable. A window of whole hours does not need it: two times are at most n
-- hours apart if their hours differ by less than n, or if they differ by n and the second is not later within its hour.
clocks AS (
  SELECT
    *,
    CAST(CAST(occurred_at AS DATE) - DATE '1970-01-01' AS BIGINT) * 24
    + CAST(extract(HOUR FROM occurred_at) AS BIGINT) AS hours,
    occurred_at - date_trunc('HOUR', occurred_at) AS rest
  FROM occurrences
),
-- A run is :threshold consecutive occurrences, the last at most one window after the first. One of these columns has a
-- frame over the whole cause: it makes DataFusion compute all of them at once and not row by row.
neighbours AS (
  SELECT
    cause,
    occurred_at,
    hours,
    rest,
    first_seq,
    incidents,
    row_number() OVER by_time AS n,
    lag(hours) OVER by_time AS previous_hours,
    lag(rest) OVER by_time AS previous_rest,
    lead(hours) OVER by_time AS next_hours,
    lead(rest) OVER by_time AS next_rest,
    lead(hours, CAST(:threshold AS INT) - 1) OVER by_time AS run_hours,
    lead(rest, CAST(:threshold AS INT) - 1) OVER by_time AS run_rest,
    lead(hours, CAST(:threshold AS INT) - 2) OVER by_time AS earlier_run_hours,
    lead(rest, CAST(:threshold AS INT) - 2) OVER by_time AS earlier_run_rest,
    lead(first_seq, CAST(:threshold AS INT) - 1) OVER by_time AS run_seq,
    count(*) OVER (
      PARTITION BY cause
      ORDER BY occurred_at ASC NULLS LAST, occurrence_key ASC NULLS LAST
      ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING
    ) AS of_cause
  FROM clocks
  WINDOW by_time AS (PARTITION BY cause ORDER BY occurred_at ASC NULLS LAST, occurrence_key ASC NULLS LAST)
),
-- Sessions are separated by more than one window without an occurrence.
steps AS (
  SELECT
    *,
    CASE
      WHEN n = 1 THEN TRUE
      WHEN hours - previous_hours > :window_hours THEN TRUE
      WHEN hours - previous_hours = :window_hours AND rest > previous_rest THEN TRUE
      ELSE FALSE
    END AS is_first,
    CASE
      WHEN n = of_cause THEN TRUE
      WHEN next_hours - hours > :window_hours THEN TRUE
      WHEN next_hours - hours = :window_hours AND next_rest > rest THEN TRUE
      ELSE FALSE
    END AS is_last,
    CASE
      WHEN run_hours - hours < :window_hours THEN TRUE
      WHEN run_hours - hours = :window_hours AND run_rest <= rest THEN TRUE
      ELSE FALSE
    END AS begins_run,
    CASE
      WHEN earlier_run_hours - previous_hours < :window_hours THEN TRUE
      WHEN earlier_run_hours - previous_hours = :window_hours AND earlier_run_rest <= previous_rest THEN TRUE
      ELSE FALSE
    END AS follows_run
  FROM neighbours
),
-- Keeps only the occurrences that delimit sessions and episodes, and those with several incidents.
turns AS (
  SELECT
    *,
    max(CASE WHEN is_first THEN n END) OVER (
      PARTITION BY cause
      ORDER BY n ASC NULLS LAST
      ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
    ) AS session
  FROM steps
  WHERE is_first OR is_last OR (begins_run AND NOT follows_run) OR incidents > 1
),
-- An episode is the part of a session that starts with its first run.
sessions AS (
  SELECT
    *,
    min(CASE WHEN begins_run THEN n END) OVER (PARTITION BY cause, session) AS first_n,
    min(occurred_at) OVER (PARTITION BY cause, session) AS session_at
  FROM turns
),
episodes AS (
  SELECT
    cause,
    min(occurred_at) AS first_at,
    max(occurred_at) AS last_at,
    CAST(max(n) - min(n) + 1 AS BIGINT) AS occurrences,
    CAST(max(n) - min(n) + 1 + sum(incidents - 1) AS BIGINT) AS incidents,
    max(CASE WHEN n = first_n THEN first_seq END) AS first_seq,
    max(CASE WHEN n = first_n THEN run_seq END) AS run_seq,
    max(CASE WHEN is_last THEN first_seq END) AS last_seq,
    min(session_at) AS session_at
  FROM sessions
  WHERE n >= first_n
  GROUP BY cause, session
),
members AS (
  SELECT
    occurrences.cause,
    occurrences.occurrence_key,
    episodes.first_at
  FROM occurrences
  INNER JOIN episodes
    ON episodes.cause = occurrences.cause
    AND episodes.first_at <= occurrences.occurred_at
    AND episodes.last_at >= occurrences.occurred_at
)
SELECT
  members.cause,
  members.first_at,
  cause_findings.incident_id,
  cause_findings.occurrence_key,
  cause_findings.found_at,
  cause_findings.root_cause,
  cause_findings.cause_code,
  cause_findings.cause_normalised,
  cause_findings.resource_kind,
  cause_findings.resource_id,
  cause_findings.resource_name,
  cause_findings.resource_attributes,
  cause_findings.confidence,
  cause_findings.workspace_id,
  cause_findings.seq
FROM members
INNER JOIN cause_findings
  ON cause_findings.cause = members.cause AND cause_findings.occurrence_key = members.occurrence_key
WHERE
  cause_findings.found_at >= :since
  AND cause_findings.found_at <= :as_of
  AND (cause_findings.superseded_at IS NULL OR cause_findings.superseded_at > :as_of)
