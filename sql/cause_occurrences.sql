-- What:       occurrences of causes from :since to :as_of. Incidents about one job run are one occurrence.
-- Grain:      one row per cause and occurrence_key.
-- Parameters: :since  TIMESTAMP; what was found earlier is not looked at.
--             :as_of  TIMESTAMP; what was found later is not looked at.
-- Columns:
--   cause           the cause, after merges and splits.
--   occurrence_key  what the incidents of the occurrence have in common.
--   occurred_at     the earliest found_at of its incidents.
--   incident_id     the incident of its finding with the lowest seq.
--   incidents       how many incidents.
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
)
SELECT
  occurrences.cause,
  occurrences.occurrence_key,
  occurrences.occurred_at,
  first_finding.incident_id,
  CAST(occurrences.incidents AS BIGINT) AS incidents
FROM occurrences
INNER JOIN root_causes AS first_finding
  ON first_finding.seq = occurrences.first_seq
WHERE
  first_finding.found_at >= :since
  AND first_finding.found_at <= :as_of
