-- What:       Projected rows that occur more than once.
-- Grain:      one row per table and repeated key: seq in incident_states and root_causes, seq and ordinal in the
--             others.
-- Parameters: none.
-- Columns:
--   table_name  the projected table.
--   seq         audit_log row that the rows belong to.
--   ordinal     position in the request; null in incident_states and root_causes.
--   times       number of rows with the key.
WITH keys AS (
  SELECT 'incident_states' AS table_name, seq, CAST(NULL AS INT) AS ordinal FROM incident_states
  UNION ALL
  SELECT 'root_causes' AS table_name, seq, CAST(NULL AS INT) AS ordinal FROM root_causes
  UNION ALL
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
  table_name,
  seq,
  ordinal,
  count(*) AS times
FROM keys
GROUP BY table_name, seq, ordinal
HAVING count(*) > 1
