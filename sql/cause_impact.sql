-- What:       how long incidents with :cause took to resolve, against all others: the median of time_to_resolve_s
--             (views/incidents.sql), of incidents reported from :since on and first resolved up to :as_of whose duration is
--             known.
-- Grain:      one row per cause and since: one, unless looks is given more than the one below.
-- Parameters: :since  TIMESTAMP; what was found or reported earlier is not looked at.
--             :as_of  TIMESTAMP; what was found or resolved later is not looked at.
--             :cause  STRING, after merges and splits.
-- Columns:
--   cause, since               what was looked at.
--   resolved, others_resolved  how many incidents with the cause, and how many without.
--   median_s, others_median_s  their median, seconds; null when there are none.
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
