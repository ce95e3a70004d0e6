-- What:       Current state of incidents, with their durations in seconds. A duration is null if an end is unknown, or
--             if clock skew would make it negative. No function converts a timestamp to a number on every engine. The
--             view therefore uses day, hour, minute, second and the digits of the fraction. These agree on all engines
--             in a session whose time zone is UTC.
-- Grain:      one row per incident.
-- Parameters: none.
-- Columns:
--   …                      all columns of incident_states, from the row with the highest seq.
--   opened_at              time at which the ledger recorded the incident's first row.
--   time_to_detect_s       impact start to detection.
--   time_to_acknowledge_s  report to the first explicit acknowledgement.
--   time_to_mitigate_s     detection to the first successful REMEDIATE or VERIFY.
--   time_to_resolve_s      report to the first resolution. open_seconds counts all intervals in which it was open.
--   clock_skew             number of these four durations that would be negative.
WITH latest AS (
  -- All states of an incident have the same reported_at, so a filter on it applies to both sides of the join.
  SELECT
    incident_id,
    reported_at,
    max(seq) AS seq,
    min(recorded_at) AS opened_at
  FROM incident_states
  GROUP BY incident_id, reported_at
),
states AS (
  SELECT
    incident_states.*,
    latest.opened_at
  FROM incident_states
  INNER JOIN latest
    ON latest.incident_id = incident_states.incident_id
    AND latest.reported_at = incident_states.reported_at
    AND latest.seq = incident_states.seq
),
-- Microseconds since 1970: days, hours, minutes, whole seconds, and the digits after the decimal point. In the printed
-- timestamp, the digits are followed by nothing (Spark), +00 (DuckDB) or Z (DataFusion).
clocks AS (
  SELECT
    *,
    CAST(CAST(impact_started_at AS DATE) - DATE '1970-01-01' AS BIGINT) * 86400000000
    + CAST(extract(HOUR FROM impact_started_at) AS BIGINT) * 3600000000
    + CAST(extract(MINUTE FROM impact_started_at) AS BIGINT) * 60000000
    + CAST(floor(extract(SECOND FROM impact_started_at)) AS BIGINT) * 1000000
    + CAST(
      rpad(split_part(split_part(split_part(CAST(impact_started_at AS STRING), '.', 2), '+', 1), 'Z', 1), 6, '0')
      AS BIGINT
    ) AS impact_started_us,
    CAST(CAST(reported_at AS DATE) - DATE '1970-01-01' AS BIGINT) * 86400000000
    + CAST(extract(HOUR FROM reported_at) AS BIGINT) * 3600000000
    + CAST(extract(MINUTE FROM reported_at) AS BIGINT) * 60000000
    + CAST(floor(extract(SECOND FROM reported_at)) AS BIGINT) * 1000000
    + CAST(
      rpad(split_part(split_part(split_part(CAST(reported_at AS STRING), '.', 2), '+', 1), 'Z', 1), 6, '0')
      AS BIGINT
    ) AS reported_us,
    CAST(CAST(detected_at AS DATE) - DATE '1970-01-01' AS BIGINT) * 86400000000
    + CAST(extract(HOUR FROM detected_at) AS BIGINT) * 3600000000
    + CAST(extract(MINUTE FROM detected_at) AS BIGINT) * 60000000
    + CAST(floor(extract(SECOND FROM detected_at)) AS BIGINT) * 1000000
    + CAST(
      rpad(split_part(split_part(split_part(CAST(detected_at AS STRING), '.', 2), '+', 1), 'Z', 1), 6, '0')
      AS BIGINT
    ) AS detected_us,
    CAST(CAST(acknowledged_at AS DATE) - DATE '1970-01-01' AS BIGINT) * 86400000000
    + CAST(extract(HOUR FROM acknowledged_at) AS BIGINT) * 3600000000
    + CAST(extract(MINUTE FROM acknowledged_at) AS BIGINT) * 60000000
    + CAST(floor(extract(SECOND FROM acknowledged_at)) AS BIGINT) * 1000000
    + CAST(
      rpad(split_part(split_part(split_part(CAST(acknowledged_at AS STRING), '.', 2), '+', 1), 'Z', 1), 6, '0')
      AS BIGINT
    ) AS acknowledged_us,
    CAST(CAST(mitigated_at AS DATE) - DATE '1970-01-01' AS BIGINT) * 86400000000
    + CAST(extract(HOUR FROM mitigated_at) AS BIGINT) * 3600000000
    + CAST(extract(MINUTE FROM mitigated_at) AS BIGINT) * 60000000
    + CAST(floor(extract(SECOND FROM mitigated_at)) AS BIGINT) * 1000000
    + CAST(
      rpad(split_part(split_part(split_part(CAST(mitigated_at AS STRING), '.', 2), '+', 1), 'Z', 1), 6, '0')
      AS BIGINT
    ) AS mitigated_us,
    CAST(CAST(first_resolved_at AS DATE) - DATE '1970-01-01' AS BIGINT) * 86400000000
    + CAST(extract(HOUR FROM first_resolved_at) AS BIGINT) * 3600000000
    + CAST(extract(MINUTE FROM first_resolved_at) AS BIGINT) * 60000000
    + CAST(floor(extract(SECOND FROM first_resolved_at)) AS BIGINT) * 1000000
    + CAST(
      rpad(split_part(split_part(split_part(CAST(first_resolved_at AS STRING), '.', 2), '+', 1), 'Z', 1), 6, '0')
      AS BIGINT
    ) AS resolved_us
  FROM states
),
durations AS (
  SELECT
    *,
    CAST(detected_us - impact_started_us AS DOUBLE) / 1e6 AS time_to_detect_s,
    CAST(acknowledged_us - reported_us AS DOUBLE) / 1e6 AS time_to_acknowledge_s,
    CAST(mitigated_us - detected_us AS DOUBLE) / 1e6 AS time_to_mitigate_s,
    CAST(resolved_us - reported_us AS DOUBLE) / 1e6 AS time_to_resolve_s
  FROM clocks
)
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
  CASE WHEN time_to_detect_s >= 0 THEN time_to_detect_s END AS time_to_detect_s,
  CASE WHEN time_to_acknowledge_s >= 0 THEN time_to_acknowledge_s END AS time_to_acknowledge_s,
  CASE WHEN time_to_mitigate_s >= 0 THEN time_to_mitigate_s END AS time_to_mitigate_s,
  CASE WHEN time_to_resolve_s >= 0 THEN time_to_resolve_s END AS time_to_resolve_s,
  CAST(
    CASE WHEN time_to_detect_s < 0 THEN 1 ELSE 0 END
    + CASE WHEN time_to_acknowledge_s < 0 THEN 1 ELSE 0 END
    + CASE WHEN time_to_mitigate_s < 0 THEN 1 ELSE 0 END
    + CASE WHEN time_to_resolve_s < 0 THEN 1 ELSE 0 END
    AS INT
  ) AS clock_skew
FROM durations
