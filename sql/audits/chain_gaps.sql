-- What:       Positions missing from the audit log. Rows removed from its end leave no gap: compare the head (seq and
--             entry_hash) with the one printed on an older digest.
-- Grain:      one row per run of missing positions, and one per row with an invalid seq.
-- Parameters: none.
-- Columns:
--   problem    missing, or not a position (null or below 1).
--   first_seq  first affected position.
--   last_seq   last affected position.
WITH positions AS (
  SELECT DISTINCT seq
  FROM audit_log
  WHERE seq >= 1
),
steps AS (
  SELECT
    seq,
    coalesce(lag(seq) OVER (ORDER BY seq ASC NULLS LAST), 0) AS seq_before
  FROM positions
)
SELECT
  'missing' AS problem,
  seq_before + 1 AS first_seq,
  seq - 1 AS last_seq
FROM steps
WHERE seq > seq_before + 1
UNION ALL
SELECT
  'not a position' AS problem,
  seq AS first_seq,
  seq AS last_seq
FROM audit_log
WHERE seq IS NULL OR seq < 1
