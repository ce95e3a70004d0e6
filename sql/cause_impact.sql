-- What:       how long incidents with :cause took to resolve, against all others: the median of time_to_resolve_s
--             (views/incidents.sql), of incidents reported from :since on and first resolved up to :as_of whose duration is
--             known.
-- Grain:      one row.
-- Parameters: :since  TIMESTAMP; what was found or reported earlier is not looked at.
--             :as_of  TIMESTAMP; what was found or resolved later is not looked at.
--             :cause  STRING, after merges and splits.
-- Columns:
--   resolved, others_resolved  how many incidents with the cause, and how many without.
--   median_s, others_median_s  their median, seconds; null when there are none.
WITH affected AS (
  SELECT DISTINCT incident_id
  FROM cause_findings
  WHERE
    cause = :cause
    AND found_at >= :since
    AND found_at <= :as_of
    AND (superseded_at IS NULL OR superseded_at > :as_of)
),
durations AS (
  SELECT
    incidents.time_to_resolve_s AS seconds,
    affected.incident_id IS NOT NULL AS is_affected
  FROM incidents
  LEFT JOIN affected
    ON affected.incident_id = incidents.incident_id
  WHERE
    incidents.reported_at >= :since
    AND incidents.reported_at <= :as_of
    AND incidents.time_to_resolve_s IS NOT NULL
    AND incidents.first_resolved_at <= :as_of
)
SELECT
  CAST(count(*) FILTER (WHERE is_affected) AS BIGINT) AS resolved,
  median(seconds) FILTER (WHERE is_affected) AS median_s,
  CAST(count(*) FILTER (WHERE NOT is_affected) AS BIGINT) AS others_resolved,
  median(seconds) FILTER (WHERE NOT is_affected) AS others_median_s
FROM durations
