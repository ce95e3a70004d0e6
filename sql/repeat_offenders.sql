-- What:       Resources with an incident in a week and at least 2 incidents in that week and the 4 weeks before. Only
--             the first affected resource of an incident counts.
-- Grain:      one row per workspace_id, resource_kind and resource_id.
-- Parameters: :week_start    TIMESTAMP; the start of the week.
--             :week_end      TIMESTAMP; the end of the week, not included. Later events are ignored.
--             :week_4_start  TIMESTAMP; the start of the week 4 weeks before.
-- Columns:
--   workspace_id, resource_kind, resource_id  the resource.
--   resource_name     name in the latest incident; null if it has none.
--   incidents         number of incidents reported in the week.
--   incidents_before  number of incidents reported in the 4 weeks before.
--   causes            number of different known causes of all these incidents, by their current findings at :week_end.
--   runs              number of the job's runs that started in the week; null if no run is known.
--   failed_runs       number of these runs that had failed or timed out at :week_end; null if no run is known.
--   last_incident_id  latest incident, by reported_at, then by seq.
WITH affected AS (
  SELECT
    incident_id,
    workspace_id,
    resource_kind,
    resource_id,
    resource_name,
    reported_at >= :week_start AS is_in_week,
    row_number() OVER (
      PARTITION BY workspace_id, resource_kind, resource_id
      ORDER BY reported_at DESC NULLS LAST, opened_at DESC NULLS LAST, incident_id DESC NULLS LAST
    ) AS age_rank
  FROM incidents
  WHERE
    reported_at >= :week_4_start
    AND reported_at < :week_end
    AND resource_kind IS NOT NULL
    AND resource_id IS NOT NULL
),
findings AS (
  SELECT
    incident_id,
    cause
  FROM cause_findings
  WHERE
    cause IS NOT NULL
    AND found_at >= :week_4_start
    AND found_at < :week_end
    AND (superseded_at IS NULL OR superseded_at >= :week_end)
),
offenders AS (
  SELECT
    affected.workspace_id,
    affected.resource_kind,
    affected.resource_id,
    max(CASE WHEN affected.age_rank = 1 THEN affected.resource_name END) AS resource_name,
    CAST(count(*) FILTER (WHERE affected.is_in_week) AS BIGINT) AS incidents,
    CAST(count(*) FILTER (WHERE NOT affected.is_in_week) AS BIGINT) AS incidents_before,
    CAST(count(DISTINCT findings.cause) AS BIGINT) AS causes,
    max(CASE WHEN affected.age_rank = 1 THEN affected.incident_id END) AS last_incident_id
  FROM affected
  LEFT JOIN findings
    ON findings.incident_id = affected.incident_id
  GROUP BY
    affected.workspace_id,
    affected.resource_kind,
    affected.resource_id
),
-- A run can have several rows: while it runs, and after it has finished.
sightings AS (
  SELECT
    workspace_id,
    job_id,
    ended_at,
    result_state,
    row_number() OVER (
      PARTITION BY workspace_id, job_id, run_id
      ORDER BY seq DESC NULLS LAST
    ) AS age_rank
  FROM job_runs
  WHERE
    started_at >= :week_start
    AND started_at < :week_end
),
runs AS (
  SELECT
    workspace_id,
    job_id,
    CAST(count(*) AS BIGINT) AS runs,
    CAST(
      count(*) FILTER (
        WHERE result_state IN ('FAILED', 'TIMEDOUT', 'TIMED_OUT', 'INTERNAL_ERROR')
        AND (ended_at IS NULL OR ended_at < :week_end)
      )
      AS BIGINT
    ) AS failed_runs
  FROM sightings
  WHERE age_rank = 1
  GROUP BY workspace_id, job_id
)
SELECT
  offenders.workspace_id,
  offenders.resource_kind,
  offenders.resource_id,
  offenders.resource_name,
  offenders.incidents,
  offenders.incidents_before,
  offenders.causes,
  runs.runs,
  runs.failed_runs,
  offenders.last_incident_id
FROM offenders
LEFT JOIN runs
  ON
    offenders.resource_kind = 'job'
    AND runs.workspace_id = offenders.workspace_id
    AND runs.job_id = offenders.resource_id
WHERE
  offenders.incidents >= 1
  AND offenders.incidents + offenders.incidents_before >= 2
