-- What:       incidents that nobody has resolved yet.
-- Grain:      one row per incident whose status is not resolved.
-- Parameters: none.
-- Columns:
--   …  all columns of the view incidents.
SELECT
  incident_id,
  seq,
  recorded_at,
  reported_at,
  impact_started_at,
  detected_at,
  acknowledged_at,
  mitigated_at,
  first_resolved_at,
  resolved_at,
  reopened,
  open_seconds,
  incident_type,
  status,
  slug,
  title,
  reporter,
  actor,
  request_id,
  workspace_id,
  workspace_url,
  resource_kind,
  resource_id,
  resource_name,
  root_cause,
  cause_fingerprint,
  confidence,
  compliance_impact,
  lessons_learned,
  opened_at,
  time_to_detect_s,
  time_to_acknowledge_s,
  time_to_mitigate_s,
  time_to_resolve_s,
  clock_skew
FROM incidents
WHERE status <> 'resolved'
