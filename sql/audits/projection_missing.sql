-- What:       Projected rows that are missing, or present too often. A ledger row that changes an incident has one row
--             in incident_states, and one in root_causes if it has a finding. It has rows counted 1, 2, 3 … in
--             timeline_events, practice_checks, runbooks, escalation_events, cause_aliases and preventive_actions. Only
--             `audit verify` detects rows removed from the end of such a count. A rejected input has one row in
--             rejected_inputs.
-- Grain:      one row per table and seq.
-- Parameters: none.
-- Columns:
--   table_name  the projected table.
--   seq         audit_log row that the rows belong to.
--   expected    minimum number of rows.
--   found       number of rows; for counted rows, number of different ordinals.
WITH expected_rows AS (
  SELECT 'incident_states' AS table_name, seq, CASE WHEN incident_type IS NULL THEN 0 ELSE 1 END AS expected
  FROM audit_log
  UNION ALL
  SELECT 'root_causes' AS table_name, seq, CASE WHEN finding_confidence IS NULL THEN 0 ELSE 1 END AS expected
  FROM audit_log
  UNION ALL
  SELECT 'rejected_inputs' AS table_name, seq, CASE WHEN request_kind = 'reject_input' THEN 1 ELSE 0 END AS expected
  FROM audit_log
),
found_rows AS (
  SELECT 'incident_states' AS table_name, seq, count(*) AS found
  FROM incident_states
  GROUP BY seq
  UNION ALL
  SELECT 'root_causes' AS table_name, seq, count(*) AS found
  FROM root_causes
  GROUP BY seq
  UNION ALL
  SELECT 'rejected_inputs' AS table_name, seq, count(*) AS found
  FROM rejected_inputs
  GROUP BY seq
),
counted_rows AS (
  SELECT 'timeline_events' AS table_name, seq, ordinal FROM timeline_events
  UNION ALL
  SELECT 'practice_checks' AS table_name, seq, ordinal FROM practice_checks
  UNION ALL
  SELECT 'runbooks' AS table_name, seq, ordinal FROM runbooks
  UNION ALL
  SELECT 'escalation_events' AS table_name, seq, ordinal FROM escalation_events
  UNION ALL
  SELECT 'cause_aliases' AS table_name, seq, ordinal FROM cause_aliases
  UNION ALL
  SELECT 'preventive_actions' AS table_name, seq, ordinal FROM preventive_actions
)
SELECT
  expected_rows.table_name,
  expected_rows.seq,
  CAST(expected_rows.expected AS BIGINT) AS expected,
  coalesce(found_rows.found, 0) AS found
FROM expected_rows
LEFT JOIN found_rows
  ON found_rows.table_name = expected_rows.table_name AND found_rows.seq = expected_rows.seq
WHERE coalesce(found_rows.found, 0) <> expected_rows.expected
UNION ALL
SELECT
  table_name,
  seq,
  CAST(max(ordinal) AS BIGINT) AS expected,
  count(DISTINCT ordinal) AS found
FROM counted_rows
GROUP BY table_name, seq
HAVING min(ordinal) <> 1 OR max(ordinal) <> count(DISTINCT ordinal)
