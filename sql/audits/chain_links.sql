-- What:       Rows of the audit log that do not link to the row before them: prev_hash differs from the entry_hash of
--             seq - 1, or, for the first row, from 64 zeros. chain_gaps reports rows whose predecessor is missing.
-- Grain:      one row per neighbouring pair that does not match. Where the log forks, a row has several predecessors.
-- Parameters: none.
-- Columns:
--   seq            the row.
--   prev_hash      stored hash of the previous row.
--   expected_hash  entry_hash of the previous row.
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
