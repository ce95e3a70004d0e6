-- What:       Every finding with its cause after merges and splits, and with the time at which a later finding replaced
--             it. At a time T, the current finding of an incident is the one with found_at <= T and without a
--             superseded_at <= T.
-- Grain:      one row per finding.
-- Parameters: none.
-- Columns:
--   …              all columns of root_causes.
--   cause          the cause of cause_fingerprint according to cause_aliases, or cause_fingerprint itself; null if the
--                  cause is unknown.
--   superseded_at  found_at if the incident has a later finding; else null.
WITH ranked_aliases AS (
  SELECT
    cause_fingerprint AS alias,
    counts_as,
    row_number() OVER (
      PARTITION BY cause_fingerprint
      ORDER BY seq DESC NULLS LAST, ordinal DESC NULLS LAST
    ) AS age_rank
  FROM cause_aliases
),
aliases AS (
  SELECT
    alias,
    counts_as
  FROM ranked_aliases
  WHERE age_rank = 1
),
-- Most incidents have one finding. All findings of an incident have the same found_at, so a filter on found_at applies to
-- both sides of the join.
revised AS (
  SELECT
    incident_id,
    found_at,
    max(seq) AS last_seq
  FROM root_causes
  GROUP BY incident_id, found_at
  HAVING count(*) > 1
)
SELECT
  root_causes.incident_id,
  root_causes.seq,
  root_causes.found_at,
  root_causes.occurrence_key,
  root_causes.recorded_at,
  root_causes.cause_fingerprint,
  root_causes.cause_normalised,
  root_causes.root_cause,
  root_causes.cause_code,
  root_causes.confidence,
  root_causes.confidence_reported,
  root_causes.confidence_forced_because,
  root_causes.evidence,
  root_causes.missing_evidence,
  root_causes.error_class,
  root_causes.error_message,
  root_causes.termination_code,
  root_causes.incident_type,
  root_causes.workspace_id,
  root_causes.resource_kind,
  root_causes.resource_id,
  root_causes.resource_name,
  root_causes.resource_attributes,
  coalesce(aliases.counts_as, root_causes.cause_fingerprint) AS cause,
  CASE WHEN revised.last_seq > root_causes.seq THEN root_causes.found_at END AS superseded_at
FROM root_causes
LEFT JOIN aliases
  ON aliases.alias = root_causes.cause_fingerprint
LEFT JOIN revised
  ON revised.incident_id = root_causes.incident_id AND revised.found_at = root_causes.found_at
