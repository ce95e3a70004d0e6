-- What:       Incidents about job settings: one per job for which a check has failed at least once.
-- Grain:      one row per workspace_id and job_id.
-- Parameters: none.
-- Columns:
--   workspace_id, job_id  the job.
--   incident_id  the incident.
--   status       investigating, escalated, resolved.
--   closed_seq   audit_log row since which it was last resolved; null if it was never resolved.
WITH gaps AS (
  SELECT
    workspace_id,
    resource_id AS job_id,
    min(incident_id) AS incident_id
  FROM incident_states
  WHERE
    request_id LIKE 'comply-open-%'
    AND resource_kind = 'job'
  GROUP BY workspace_id, resource_id
),
ranked AS (
  SELECT
    incident_id,
    seq,
    status,
    row_number() OVER (PARTITION BY incident_id ORDER BY seq DESC NULLS LAST) AS age_rank
  FROM incident_states
),
closings AS (
  SELECT
    incident_id,
    max(seq) AS closed_seq
  FROM incident_states
  WHERE status = 'resolved'
  GROUP BY incident_id
)
SELECT
  gaps.workspace_id,
  gaps.job_id,
  gaps.incident_id,
  ranked.status,
  closings.closed_seq
FROM gaps
INNER JOIN ranked
  ON ranked.incident_id = gaps.incident_id AND ranked.age_rank = 1
LEFT JOIN closings
  ON closings.incident_id = gaps.incident_id
