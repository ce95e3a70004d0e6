-- What:       rows of the audit log that do not name the row before them: prev_hash is not the entry_hash of seq - 1,
--             or, for the first row, not 64 zeros. A row whose predecessor is missing is in chain_gaps instead.
-- Grain:      one row per neighbouring pair that does not fit. Where the log forks, a row has several predecessors.
-- Parameters: none.
-- Columns:
--   seq            the row.
--   prev_hash      what it says about the row before.
--   expected_hash  what the row before says.
SELECT
  seq,
  prev_hash,
  '0000000000000000000000000000000000000000000000000000000000000000' AS expected_hash
FROM audit_log
WHERE
  seq = 1
  AND prev_hash IS DISTINCT FROM '0000000000000000000000000000000000000000000000000000000000000000'
UNION ALL
SELECT
  later.seq,
  later.prev_hash,
  earlier.entry_hash AS expected_hash
FROM audit_log AS later
INNER JOIN audit_log AS earlier
  ON earlier.seq = later.seq - 1
WHERE later.prev_hash IS DISTINCT FROM earlier.entry_hash
