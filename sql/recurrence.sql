-- What:       Recurrence episodes: a cause has at least :threshold occurrences within some :window_hours, both ends
--             included. The query reads the findings with a cause that are current at :as_of
--             (views/cause_findings.sql). Incidents about one job run are one occurrence, at the earliest of their
--             found_at. A session is a series of occurrences whose gaps are at most one window. An episode starts with
--             the first occurrence of the session's first :threshold occurrences within one window. It ends with the
--             session. Times are exact to the microsecond. Findings before :since are unknown: may_begin_earlier marks
--             episodes that may start before it. Incidents about one job run on both sides of :since count from the
--             earliest one after it.
-- Grain:      one row per episode.
-- Parameters: :since         TIMESTAMP; earlier findings are ignored.
--             :as_of         TIMESTAMP; later findings are ignored.
--             :threshold     INT, at least 1.
--             :window_hours  INT, at least 1.
-- Columns:
--   cause                the cause, after merges and splits.
--   first_at, last_at    times of its first and last occurrence.
--   occurrences          number of occurrences. Incidents about one job run count once.
--   incidents            number of incidents.
--   is_open              false if :as_of is more than one window after last_at.
--   may_begin_earlier    true if its session starts at most one window after :since.
--   last_incident_id     incident of the last occurrence: the one with the lowest seq, as in the columns below.
--   first_incident_id    incident of the first occurrence.
--   reached_incident_id  incident with which the threshold was first reached.
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
named AS (
  SELECT
    episodes.*,
    kinds.kind,
    CASE kinds.kind
      WHEN 'first' THEN episodes.first_seq
      WHEN 'reached' THEN episodes.run_seq
      ELSE episodes.last_seq
    END AS seq
  FROM episodes
  CROSS JOIN (VALUES ('first'), ('reached'), ('last')) AS kinds (kind)
),
whole AS (
  SELECT
    named.cause,
    named.first_at,
    max(named.last_at) AS last_at,
    max(named.occurrences) AS occurrences,
    max(named.incidents) AS incidents,
    max(named.session_at) AS session_at,
    max(CASE WHEN named.kind = 'last' THEN root_causes.incident_id END) AS last_incident_id,
    max(CASE WHEN named.kind = 'first' THEN root_causes.incident_id END) AS first_incident_id,
    max(CASE WHEN named.kind = 'reached' THEN root_causes.incident_id END) AS reached_incident_id
  FROM named
  INNER JOIN root_causes
    ON root_causes.seq = named.seq
  WHERE
    root_causes.found_at >= :since
    AND root_causes.found_at <= :as_of
  GROUP BY named.cause, named.first_at
),
ends AS (
  SELECT
    *,
    CAST(CAST(last_at AS DATE) - DATE '1970-01-01' AS BIGINT) * 24
    + CAST(extract(HOUR FROM last_at) AS BIGINT) AS last_hours,
    last_at - date_trunc('HOUR', last_at) AS last_rest,
    CAST(CAST(session_at AS DATE) - DATE '1970-01-01' AS BIGINT) * 24
    + CAST(extract(HOUR FROM session_at) AS BIGINT) AS session_hours,
    session_at - date_trunc('HOUR', session_at) AS session_rest,
    CAST(CAST(:as_of AS DATE) - DATE '1970-01-01' AS BIGINT) * 24
    + CAST(extract(HOUR FROM :as_of) AS BIGINT) AS as_of_hours,
    :as_of - date_trunc('HOUR', :as_of) AS as_of_rest,
    CAST(CAST(:since AS DATE) - DATE '1970-01-01' AS BIGINT) * 24
    + CAST(extract(HOUR FROM :since) AS BIGINT) AS since_hours,
    :since - date_trunc('HOUR', :since) AS since_rest
  FROM whole
)
SELECT
  cause,
  first_at,
  last_at,
  occurrences,
  incidents,
  CASE
    WHEN as_of_hours - last_hours < :window_hours THEN TRUE
    WHEN as_of_hours - last_hours = :window_hours AND as_of_rest <= last_rest THEN TRUE
    ELSE FALSE
  END AS is_open,
  CASE
    WHEN session_hours - since_hours < :window_hours THEN TRUE
    WHEN session_hours - since_hours = :window_hours AND session_rest <= since_rest THEN TRUE
    ELSE FALSE
  END AS may_begin_earlier,
  last_incident_id,
  first_incident_id,
  reached_incident_id
FROM ends
