-- What:       Rows of the audit log whose lookup columns do not match the hashed entry: request_hash must match the
--             request inside entry, request_key must match request_id, and seq must match entry. entry is canonical
--             JSON with its keys in order: facts, interface, recorded_at, request, request_id, seq, version. The
--             request is the text between the first ,"request": and the last ,"request_id": (quotes inside a string are
--             escaped). That text is already canonical.
-- Grain:      one row per row and column that differ.
-- Parameters: none.
-- Columns:
--   seq          the row.
--   column_name  request_hash, request_key or seq.
--   value        stored value.
--   expected     expected value; for seq, the expected end of entry.
WITH places AS (
  SELECT
    seq,
    request_id,
    request_key,
    request_hash,
    entry,
    position(',"request":' IN entry) + 11 AS request_from,
    length(entry) - position(':"di_tseuqer",' IN reverse(entry)) - 12 AS request_to
  FROM audit_log
),
requests AS (
  SELECT
    seq,
    request_hash,
    sha2(substring(entry, request_from, request_to - request_from), 256) AS expected
  FROM places
)
SELECT
  seq,
  'request_hash' AS column_name,
  request_hash AS value,
  expected
FROM requests
WHERE request_hash IS DISTINCT FROM expected
UNION ALL
SELECT
  seq,
  'request_key' AS column_name,
  request_key AS value,
  substring(sha2(request_id, 256), 1, 16) AS expected
FROM places
WHERE request_key IS DISTINCT FROM substring(sha2(request_id, 256), 1, 16)
UNION ALL
SELECT
  seq,
  'seq' AS column_name,
  CAST(seq AS STRING) AS value,
  ',"seq":' || CAST(seq AS STRING) || ',"version":1}' AS expected
FROM places
WHERE NOT coalesce(entry LIKE '%,"seq":' || CAST(seq AS STRING) || ',"version":1}', FALSE)
