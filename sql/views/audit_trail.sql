-- What:       the audit log for people: who did what, when, where, why and how. entry_hash stays, to be compared with a
--             head that was printed.
-- Grain:      one row per accepted request.
-- Parameters: none.
-- Columns:
--   …  all columns of audit_log but entry and prev_hash.
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
