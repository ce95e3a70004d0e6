-- What:       Occurrences of causes from :since to :as_of. Incidents about one job run are one occurrence.
-- Grain:      one row per cause and occurrence_key.
-- Parameters: :since  TIMESTAMP; earlier findings are ignored.
--             :as_of  TIMESTAMP; later findings are ignored.
-- Columns:
--   cause           the cause, after merges and splits.
--   occurrence_key  key that the incidents of the occurrence share.
--   occurred_at     earliest found_at of its incidents.
--   incident_id     incident of the finding with the lowest seq.
--   incidents       number of incidents.
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
