-- What:       Values that must be unique in the audit log but occur more than once. A repeated seq is a fork. A
--             repeated request_id means that a request was recorded twice.
-- Grain:      one row per column and repeated value.
-- Parameters: none.
-- Columns:
--   column_name  seq, entry_hash or request_id.
--   value        the repeated value.
--   times        number of rows with the value.
--   first_seq    lowest seq of these rows.
--   last_seq     highest seq of these rows.
SELECT
  'seq' AS column_name,
  CAST(seq AS STRING) AS value,
  count(*) AS times,
  min(seq) AS first_seq,
  max(seq) AS last_seq
FROM audit_log
GROUP BY seq
HAVING count(*) > 1
UNION ALL
SELECT
  'entry_hash' AS column_name,
  entry_hash AS value,
  count(*) AS times,
  min(seq) AS first_seq,
  max(seq) AS last_seq
FROM audit_log
GROUP BY entry_hash
HAVING count(*) > 1
UNION ALL
SELECT
  'request_id' AS column_name,
  request_id AS value,
  count(*) AS times,
  min(seq) AS first_seq,
  max(seq) AS last_seq
FROM audit_log
GROUP BY request_id
HAVING count(*) > 1
