-- What:       Reports for which audit_log and incident_states differ in the columns they share.
-- Grain:      one row per pair of rows that differ.
-- Parameters: none.
-- Columns:
--   seq          the report.
--   incident_id  incident of the report in audit_log.
--   differing    names of the columns that differ, separated by spaces, in the order of incident_states.
WITH compared AS (
  SELECT
    logged.seq,
    logged.incident_id,
    CASE WHEN logged.recorded_at IS DISTINCT FROM state.recorded_at THEN 'recorded_at ' ELSE '' END
    || CASE WHEN logged.incident_type IS DISTINCT FROM state.incident_type THEN 'incident_type ' ELSE '' END
    || CASE WHEN logged.incident_slug IS DISTINCT FROM state.slug THEN 'slug ' ELSE '' END
    || CASE WHEN logged.workspace_id IS DISTINCT FROM state.workspace_id THEN 'workspace_id ' ELSE '' END
    || CASE WHEN logged.actor IS DISTINCT FROM state.actor THEN 'actor ' ELSE '' END
    || CASE WHEN logged.request_id IS DISTINCT FROM state.request_id THEN 'request_id ' ELSE '' END
    || CASE WHEN logged.finding_confidence IS DISTINCT FROM state.confidence THEN 'confidence ' ELSE '' END
    || CASE WHEN logged.compliance_impact IS DISTINCT FROM state.compliance_impact THEN 'compliance_impact ' ELSE '' END
    || CASE WHEN (logged.status = 'COMPLETE') IS DISTINCT FROM (state.status = 'resolved') THEN 'status ' ELSE '' END
      AS differing
  FROM audit_log AS logged
  INNER JOIN incident_states AS state
    ON state.seq = logged.seq
)
SELECT
  seq,
  incident_id,
  trim(differing) AS differing
FROM compared
WHERE differing <> ''
