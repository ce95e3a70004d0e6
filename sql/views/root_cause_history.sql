-- What:       Every finding of a known root cause, with the number of incidents that had the cause so far. Unknown is
--             never a cause.
-- Grain:      one row per finding with a cause_fingerprint.
-- Parameters: none.
-- Columns:
--   …           all columns of root_causes.
--   occurrence  number of different incidents with this cause so far, by found_at. A second finding about one incident
--               does not count again.
WITH findings AS (
  SELECT
    incident_id,
    seq,
    found_at,
    occurrence_key,
    recorded_at,
    cause_fingerprint,
    cause_normalised,
    root_cause,
    cause_summary,
    cause_code,
    confidence,
    confidence_reported,
    confidence_forced_because,
    evidence,
    missing_evidence,
    error_class,
    error_message,
    termination_code,
    incident_type,
    workspace_id,
    resource_kind,
    resource_id,
    resource_name,
    resource_attributes,
    row_number() OVER (
      PARTITION BY cause_fingerprint, incident_id
      ORDER BY found_at ASC NULLS LAST, seq ASC NULLS LAST
    ) AS finding
  FROM root_causes
  WHERE cause_fingerprint IS NOT NULL
)
SELECT
  incident_id,
  seq,
  found_at,
  occurrence_key,
  recorded_at,
  cause_fingerprint,
  cause_normalised,
  root_cause,
  cause_summary,
  cause_code,
  confidence,
  confidence_reported,
  confidence_forced_because,
  evidence,
  missing_evidence,
  error_class,
  error_message,
  termination_code,
  incident_type,
  workspace_id,
  resource_kind,
  resource_id,
  resource_name,
  resource_attributes,
  CAST(
    sum(CASE WHEN finding = 1 THEN 1 ELSE 0 END) OVER (
      PARTITION BY cause_fingerprint
      ORDER BY found_at ASC NULLS LAST, seq ASC NULLS LAST
      ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
    )
    AS BIGINT
  ) AS occurrence
FROM findings
