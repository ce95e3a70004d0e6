-- What:       Remediation steps with the incident they belong to.
-- Grain:      one row per step.
-- Parameters: none.
-- Columns:
--   …                all columns of runbooks.
--   incident_title   current title of the incident. Untrusted text: escape it in every output format.
--   incident_status  current status of the incident.
SELECT
  runbooks.incident_id,
  runbooks.seq,
  runbooks.ordinal,
  runbooks.recorded_at,
  runbooks.kind,
  runbooks.title,
  runbooks.resource_kind,
  runbooks.resource_id,
  runbooks.resource_name,
  runbooks.task_keys,
  runbooks.changes,
  runbooks.captured_settings,
  runbooks.statement,
  runbooks.command,
  runbooks.applied,
  runbooks.result,
  incidents.title AS incident_title,
  incidents.status AS incident_status
FROM runbooks
LEFT JOIN incidents
  ON incidents.incident_id = runbooks.incident_id
