-- What:       positions missing from the audit log. Rows cut off its end leave no gap: compare the head (seq and
--             entry_hash) with the one printed on an older digest.
-- Grain:      one row per run of missing positions, and one per row whose seq is no position at all.
-- Parameters: none.
-- Columns:
--   problem    missing, or not a position (null or below 1).
--   first_seq  first position concerned.
--   last_seq   last position concerned.
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
