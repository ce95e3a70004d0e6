-- What:       Occurrences of each cause from :since to :as_of, and how close the cause is to recurring. The two window
--             counts show why a cause does not recur.
-- Grain:      one row per cause with at least one occurrence.
-- Parameters: :since         TIMESTAMP; earlier findings are ignored.
--             :as_of         TIMESTAMP; later findings are ignored.
--             :window_hours  INT, at least 1.
-- Columns:
--   cause           the cause, after merges and splits.
--   occurrences     number of occurrences. Incidents about one job run count once.
--   incidents       number of incidents.
--   fullest_window  largest number of occurrences within any :window_hours, both ends included.
--   latest_window   number of occurrences within the :window_hours that end with the last occurrence.
--   first_at        time of the first occurrence.
--   last_at         time of the last occurrence.
--   root_cause      text of the latest finding.
WITH findings AS (
  SELECT
    cause,
    occurrence_key,
    seq,
    found_at
  FROM cause_findings
  WHERE
    cause IS NOT NULL
    AND found_at >= :since
    AND found_at <= :as_of
    AND (superseded_at IS NULL OR superseded_at > :as_of)
),
occurrences AS (
  SELECT
    cause,
    occurrence_key,
    min(found_at) AS occurred_at,
    min(seq) AS first_seq,
    max(seq) AS last_seq,
    count(*) AS incidents
  FROM findings
  GROUP BY cause, occurrence_key
),
-- Timestamp arithmetic with a parameter is not portable. A window of whole hours does not need it: two times are at most n
-- hours apart if their hours differ by less than n, or if they differ by n and the second is not later within its hour.
clocks AS (
  SELECT
    *,
    CAST(CAST(occurred_at AS DATE) - DATE '1970-01-01' AS BIGINT) * 24
    + CAST(extract(HOUR FROM occurred_at) AS BIGINT) AS hours,
    occurred_at - date_trunc('HOUR', occurred_at) AS rest
  FROM occurrences
),
-- Every occurrence enters the window when it occurs and leaves it just after one window length. The window holds the
-- occurrences that have entered and not left.
changes AS (
  SELECT
    clocks.cause,
    clocks.occurred_at,
    clocks.incidents,
    clocks.last_seq,
    clocks.rest,
    kinds.change,
    CASE WHEN kinds.change = 1 THEN clocks.hours ELSE clocks.hours + :window_hours END AS hours
  FROM clocks
  CROSS JOIN (VALUES (1), (-1)) AS kinds (change)
),
windows AS (
  SELECT
    *,
    sum(change) OVER (
      PARTITION BY cause
      ORDER BY hours ASC NULLS LAST, rest ASC NULLS LAST, change DESC NULLS LAST
      ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
    ) AS held,
    max(occurred_at) OVER (PARTITION BY cause) AS last_at
  FROM changes
),
causes AS (
  SELECT
    cause,
    CAST(count(*) FILTER (WHERE change = 1) AS BIGINT) AS occurrences,
    CAST(sum(incidents) FILTER (WHERE change = 1) AS BIGINT) AS incidents,
    CAST(max(held) AS BIGINT) AS fullest_window,
    CAST(max(held) FILTER (WHERE change = 1 AND occurred_at = last_at) AS BIGINT) AS latest_window,
    min(occurred_at) AS first_at,
    max(occurred_at) AS last_at,
    max(last_seq) AS last_seq
  FROM windows
  GROUP BY cause
)
SELECT
  causes.cause,
  causes.occurrences,
  causes.incidents,
  causes.fullest_window,
  causes.latest_window,
  causes.first_at,
  causes.last_at,
  latest.root_cause
FROM causes
INNER JOIN root_causes AS latest
  ON latest.seq = causes.last_seq
WHERE
  latest.found_at >= :since
  AND latest.found_at <= :as_of
