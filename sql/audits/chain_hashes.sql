-- What:       rows of the audit log whose content is not what their hash was made from: entry or prev_hash was altered,
--             or entry_hash was. Whoever also makes every later hash anew is not seen here, but moves the head: compare
--             it (seq and entry_hash of the last row) with the one printed on an older digest.
-- Grain:      one row per altered row.
-- Parameters: none.
-- Columns:
--   seq            the row.
--   entry_hash     the hash it carries.
--   expected_hash  lower-case hex SHA-256 over prev_hash followed by entry.
SELECT
  seq,
  entry_hash,
  sha2(prev_hash || entry, 256) AS expected_hash
FROM audit_log
WHERE entry_hash IS DISTINCT FROM sha2(prev_hash || entry, 256)
