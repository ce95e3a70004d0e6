-- What:       recurrence episodes: where the same cause came :threshold times within some :window_hours, ends inclusive.
--             Looked at are the findings that count at :as_of (views/cause_findings.sql) and name a cause. Incidents about
--             one job run are one occurrence, at the earliest of their found_at. Consecutive occurrences at most a window
--             apart are a session; the episode begins with the first occurrence of the session's first run of :threshold
--             within a window and lasts to the end of the session. Exact to the microsecond.
-- Grain:      one row per episode.
-- Parameters: :as_of         TIMESTAMP; what was found later is not looked at.
--             :threshold     INT, at least 1.
--             :window_hours  INT, at least 1.
-- Columns:
--   cause                the cause, after merges and splits.
--   first_at, last_at    its first and last occurrence.
--   occurrences          how many, incidents about one job run counted once.
--   incidents            how many incidents.
--   is_open              false when more than a window has passed at :as_of since last_at.
--   last_incident_id     the incident of the last occurrence; here and below, of several the one with the lowest seq.
--   first_incident_id    the incident of the first occurrence.
--   reached_incident_id  the incident with which the threshold was reached first.
WITH findings AS (
  SELECT
    cause,
    occurrence_key,
    seq,
    found_at
  FROM cause_findings
  WHERE
    cause IS NOT NULL
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
-- No arithmetic on timestamps takes a parameter on every engine. A window of whole hours needs none: two moments are at
-- most n hours apart if their hours are fewer apart, or just n, and the second is not further into its hour.
clocks AS (
  SELECT
    *,
    CAST(CAST(occurred_at AS DATE) - DATE '1970-01-01' AS BIGINT) * 24
    + CAST(extract(HOUR FROM occurred_at) AS BIGINT) AS hours,
    occurred_at - date_trunc('HOUR', occurred_at) AS rest
  FROM occurrences
),
neighbours AS (
  SELECT
    *,
    row_number() OVER by_time AS n,
    lag(hours) OVER by_time AS previous_hours,
    lag(rest) OVER by_time AS previous_rest,
    lead(hours) OVER by_time AS next_hours,
    lead(rest) OVER by_time AS next_rest,
    lead(hours, CAST(:threshold AS INT) - 1) OVER by_time AS run_hours,
    lead(rest, CAST(:threshold AS INT) - 1) OVER by_time AS run_rest,
    lead(first_seq, CAST(:threshold AS INT) - 1) OVER by_time AS run_seq
  FROM clocks
  WINDOW by_time AS (PARTITION BY cause ORDER BY occurred_at ASC NULLS LAST, occurrence_key ASC NULLS LAST)
),
-- A session begins after more than a window without an occurrence; a run is as many occurrences as the threshold says,
-- the last at most a window after the first. Both are named by the n of their first occurrence.
steps AS (
  SELECT
    *,
    CASE
      WHEN previous_hours IS NULL THEN n
      WHEN hours - previous_hours > :window_hours THEN n
      WHEN hours - previous_hours = :window_hours AND rest > previous_rest THEN n
    END AS session_start,
    CASE
      WHEN run_hours - hours < :window_hours THEN n
      WHEN run_hours - hours = :window_hours AND run_rest <= rest THEN n
    END AS run_start,
    CASE
      WHEN next_hours IS NULL THEN TRUE
      WHEN next_hours - hours > :window_hours THEN TRUE
      WHEN next_hours - hours = :window_hours AND next_rest > rest THEN TRUE
      ELSE FALSE
    END AS is_last
  FROM neighbours
),
running AS (
  SELECT
    *,
    max(session_start) OVER (
      PARTITION BY cause
      ORDER BY occurred_at ASC NULLS LAST, occurrence_key ASC NULLS LAST
      ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
    ) AS session,
    max(run_start) OVER (
      PARTITION BY cause
      ORDER BY occurred_at ASC NULLS LAST, occurrence_key ASC NULLS LAST
      ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
    ) AS run,
    max(run_start) OVER (
      PARTITION BY cause
      ORDER BY occurred_at ASC NULLS LAST, occurrence_key ASC NULLS LAST
      ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
    ) AS earlier_run
  FROM steps
),
-- An episode is what follows in a session from its first run on.
episode_occurrences AS (
  SELECT
    *,
    coalesce(earlier_run < session, TRUE) AS is_first
  FROM running
  WHERE run >= session
),
episodes AS (
  SELECT
    cause,
    min(occurred_at) AS first_at,
    max(occurred_at) AS last_at,
    CAST(count(*) AS BIGINT) AS occurrences,
    CAST(sum(incidents) AS BIGINT) AS incidents,
    max(CASE WHEN is_first THEN first_seq END) AS first_seq,
    max(CASE WHEN is_first THEN run_seq END) AS run_seq,
    max(CASE WHEN is_last THEN first_seq END) AS last_seq,
    max(CASE WHEN is_last THEN hours END) AS last_hours,
    max(CASE WHEN is_last THEN rest END) AS last_rest
  FROM episode_occurrences
  GROUP BY cause, session
),
evaluation AS (
  SELECT
    CAST(CAST(:as_of AS DATE) - DATE '1970-01-01' AS BIGINT) * 24
    + CAST(extract(HOUR FROM :as_of) AS BIGINT) AS hours,
    :as_of - date_trunc('HOUR', :as_of) AS rest
)
SELECT
  episodes.cause,
  episodes.first_at,
  episodes.last_at,
  episodes.occurrences,
  episodes.incidents,
  CASE
    WHEN evaluation.hours - episodes.last_hours < :window_hours THEN TRUE
    WHEN evaluation.hours - episodes.last_hours = :window_hours AND evaluation.rest <= episodes.last_rest THEN TRUE
    ELSE FALSE
  END AS is_open,
  last_occurrence.incident_id AS last_incident_id,
  first_occurrence.incident_id AS first_incident_id,
  reached.incident_id AS reached_incident_id
FROM episodes
CROSS JOIN evaluation
INNER JOIN root_causes AS first_occurrence
  ON first_occurrence.seq = episodes.first_seq
INNER JOIN root_causes AS reached
  ON reached.seq = episodes.run_seq
INNER JOIN root_causes AS last_occurrence
  ON last_occurrence.seq = episodes.last_seq
