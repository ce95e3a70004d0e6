-- What:       the incidents of the recurrence episodes that recurrence.sql finds, with the same parameters.
-- Grain:      one row per episode and incident.
-- Parameters: :as_of         TIMESTAMP; what was found later is not looked at.
--             :threshold     INT, at least 1.
--             :window_hours  INT, at least 1.
-- Columns:
--   cause           the cause, after merges and splits; with first_at it names the episode.
--   first_at        the first occurrence of the episode.
--   occurrence_key  incidents with the same one are one occurrence.
--   confidence      the confidence of the finding that counts.
--   …               columns of root_causes, of that finding.
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
members AS (
  SELECT
    cause,
    occurrence_key,
    min(occurred_at) OVER (PARTITION BY cause, session) AS first_at
  FROM episode_occurrences
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
  cause_findings.found_at <= :as_of
  AND (cause_findings.superseded_at IS NULL OR cause_findings.superseded_at > :as_of)
