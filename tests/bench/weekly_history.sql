-- Incidents by week of their report and by type, all weeks of the history.
SELECT
  date_trunc('WEEK', reported_at) AS week,
  incident_type,
  CAST(count(*) AS BIGINT) AS incidents,
  CAST(count(*) FILTER (WHERE status <> 'resolved') AS BIGINT) AS unresolved
FROM incidents
GROUP BY date_trunc('WEEK', reported_at), incident_type
