-- What:       Rows of the audit log whose entry_hash does not match entry and prev_hash: one of the three was altered.
--             If every later hash was recomputed too, this audit finds nothing, but the head has changed. Compare it
--             (seq and entry_hash of the last row) with the one printed on an older digest.
-- Grain:      one row per altered row.
-- Parameters: none.
-- Columns:
--   seq            the row.
--   entry_hash     stored hash.
--   expected_hash  lower-case hex SHA-256 of prev_hash followed by entry.
SELECT
  seq,
  entry_hash,
  sha2(prev_hash || entry, 256) AS expected_hash
FROM audit_log
WHERE entry_hash IS DISTINCT FROM sha2(prev_hash || entry, 256)
