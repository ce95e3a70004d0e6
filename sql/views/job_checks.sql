-- What:       Latest check results of each job's settings. Results are recorded when they change, so they hold until
--             the next row.
-- Grain:      one row per workspace_id, job_id and name.
-- Parameters: none.
-- Columns:
--   workspace_id, job_id  the job.
--   job_name     name of the job at the time of the check.
--   incident_id  incident with which the results were recorded; null without one.
--   seq          audit_log row with the results.
--   checked_at   time at which the results changed.
--   category     Reliability, Security, Cost Optimization …
--   name         the rule.
--   status       PASS, FAIL, PARTIAL. PARTIAL means incomplete data, not a warning.
--   severity     severity of a failure.
--   finding      description of the result.
--   last_failed  audit_log row of its last failure; null if it has never failed.
WITH made AS (
  SELECT
    checks.workspace_id,
    checks.resource_id AS job_id,
    checks.resource_name AS job_name,
    checks.incident_id,
    checks.seq,
    checks.checked_at,
    checks.category,
    checks.name,
    checks.status,
    checks.severity,
    checks.finding
  FROM practice_checks AS checks
  INNER JOIN audit_log AS logged
    ON logged.seq = checks.seq
  WHERE
    checks.resource_kind = 'job'
    AND logged.request_id LIKE 'comply-%'
),
latest AS (
  SELECT
    workspace_id,
    job_id,
    max(seq) AS seq
  FROM made
  GROUP BY workspace_id, job_id
),
failures AS (
  SELECT
    workspace_id,
    job_id,
    name,
    max(seq) AS last_failed
  FROM made
  WHERE status = 'FAIL'
  GROUP BY workspace_id, job_id, name
)
SELECT
  made.workspace_id,
  made.job_id,
  made.job_name,
  made.incident_id,
  made.seq,
  made.checked_at,
  made.category,
  made.name,
  made.status,
  made.severity,
  made.finding,
  failures.last_failed
FROM made
INNER JOIN latest
  ON
    latest.workspace_id = made.workspace_id
    AND latest.job_id = made.job_id
    AND latest.seq = made.seq
LEFT JOIN failures
  ON
    failures.workspace_id = made.workspace_id
    AND failures.job_id = made.job_id
    AND failures.name = made.name
