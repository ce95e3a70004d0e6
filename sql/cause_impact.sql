-- What:       Median time to resolve of incidents with :cause, compared with all other incidents. It covers incidents
--             that were reported at or after :since, first resolved at or before :as_of, and have a time_to_resolve_s
--             (views/incidents.sql).
-- Grain:      one row per cause and since: one row, unless the caller supplies several pairs in `looks`.
-- Parameters: :since  TIMESTAMP; earlier findings and reports are ignored.
--             :as_of  TIMESTAMP; later findings and resolutions are ignored.
--             :cause  STRING, after merges and splits.
-- Columns:
--   cause, since               the compared cause and the start of the time range.
--   resolved, others_resolved  number of incidents with and without the cause.
--   median_s, others_median_s  their median, seconds; null without incidents.
WITH looks AS (
  SELECT
    :cause AS cause,
    :since AS since
),
findings AS (
  SELECT
    incident_id,
    cause,
    found_at
  FROM cause_findings
  WHERE
    found_at >= :since
    AND found_at <= :as_of
    AND (superseded_at IS NULL OR superseded_at > :as_of)
),
resolved AS (
  SELECT
    incidents.reported_at,
    incidents.time_to_resolve_s AS seconds,
    findings.cause,
    findings.found_at
  FROM incidents
  LEFT JOIN findings
    ON findings.incident_id = incidents.incident_id
  WHERE
    incidents.reported_at >= :since
    AND incidents.reported_at <= :as_of
    AND incidents.time_to_resolve_s IS NOT NULL
    AND incidents.first_resolved_at <= :as_of
),
durations AS (
  SELECT
    looks.cause,
    looks.since,
    resolved.seconds,
    coalesce(resolved.cause = looks.cause AND resolved.found_at >= looks.since, FALSE) AS is_affected
  FROM looks
  LEFT JOIN resolved
    ON resolved.reported_at >= looks.since
)
SELECT
  cause,
  since,
  CAST(count(seconds) FILTER (WHERE is_affected) AS BIGINT) AS resolved,
  median(seconds) FILTER (WHERE is_affected) AS median_s,
  CAST(count(seconds) FILTER (WHERE NOT is_affected) AS BIGINT) AS others_resolved,
  median(seconds) FILTER (WHERE NOT is_affected) AS others_median_s
FROM durations
GROUP BY cause, since
