-- What:       rows of the audit log whose look-up columns do not follow from what the chain protects: request_hash from
--             the request inside entry, request_key from request_id, seq from entry. entry is canonical JSON with its
--             keys in order: facts, interface, recorded_at, request, request_id, seq, version. So the request stands
--             between the first ,"request": and the last ,"request_id": (inside a string the quotes would be escaped),
--             and its text is canonical as it is.
-- Grain:      one row per row and column that disagree.
-- Parameters: none.
-- Columns:
--   seq          the row.
--   column_name  request_hash, request_key or seq.
--   value        what the column says.
--   expected     what it should say. For seq: how entry should end.
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
