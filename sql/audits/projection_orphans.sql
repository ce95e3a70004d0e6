-- What:       Projected rows without a matching row in the audit log: their seq is not in it, or belongs to another
--             incident.
-- Grain:      one row per table, seq and incident.
-- Parameters: none.
-- Columns:
--   table_name         the projected table.
--   seq                audit_log row that the rows refer to.
--   incident_id        incident of the rows; null in tables without incidents.
--   audit_seq          seq again; null if audit_log has no such row.
--   audit_incident_id  incident of the audit_log row.
WITH projected AS (
  SELECT 'incident_states' AS table_name, seq, incident_id, TRUE AS has_incident
  FROM incident_states
  UNION ALL
  SELECT 'timeline_events' AS table_name, seq, incident_id, TRUE AS has_incident
  FROM timeline_events
  UNION ALL
  SELECT 'root_causes' AS table_name, seq, incident_id, TRUE AS has_incident
  FROM root_causes
  UNION ALL
  SELECT 'practice_checks' AS table_name, seq, incident_id, TRUE AS has_incident
  FROM practice_checks
  UNION ALL
  SELECT 'runbooks' AS table_name, seq, incident_id, TRUE AS has_incident
  FROM runbooks
  UNION ALL
  SELECT 'escalation_events' AS table_name, seq, incident_id, TRUE AS has_incident
  FROM escalation_events
  UNION ALL
  SELECT 'recurrence_events' AS table_name, seq, incident_id, TRUE AS has_incident
  FROM recurrence_events
  UNION ALL
  SELECT 'cause_aliases' AS table_name, seq, CAST(NULL AS STRING) AS incident_id, FALSE AS has_incident
  FROM cause_aliases
  UNION ALL
  SELECT 'preventive_actions' AS table_name, seq, CAST(NULL AS STRING) AS incident_id, FALSE AS has_incident
  FROM preventive_actions
  UNION ALL
  SELECT 'digests' AS table_name, seq, CAST(NULL AS STRING) AS incident_id, FALSE AS has_incident
  FROM digests
  UNION ALL
  SELECT 'job_runs' AS table_name, seq, CAST(NULL AS STRING) AS incident_id, FALSE AS has_incident
  FROM job_runs
  UNION ALL
  SELECT 'rejected_inputs' AS table_name, seq, CAST(NULL AS STRING) AS incident_id, FALSE AS has_incident
  FROM rejected_inputs
)
SELECT DISTINCT
  projected.table_name,
  projected.seq,
  projected.incident_id,
  audit_log.seq AS audit_seq,
  audit_log.incident_id AS audit_incident_id
FROM projected
LEFT JOIN audit_log
  ON audit_log.seq = projected.seq
WHERE
  audit_log.seq IS NULL
  OR (projected.has_incident AND audit_log.incident_id IS DISTINCT FROM projected.incident_id)
