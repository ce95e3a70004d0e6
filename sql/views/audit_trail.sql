-- What:       Audit log in readable columns: who did what, when, where, why and how. Compare entry_hash with a printed
--             head to verify a row.
-- Grain:      one row per accepted request.
-- Parameters: none.
-- Columns:
--   …  all columns of audit_log except entry and prev_hash.
SELECT
  seq,
  recorded_at,
  actor,
  interface,
  action,
  request_kind,
  request_id,
  request_key,
  request_hash,
  incident_id,
  incident_type,
  incident_slug,
  workspace_id,
  resources,
  finding_confidence,
  remediation_applied,
  compliance_impact,
  status,
  entry_hash
FROM audit_log
