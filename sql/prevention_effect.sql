-- What:       Preventive actions that were adopted at or after :since, and the number of incidents with their cause in
--             the 28 days of 24 hours before and after. Each incident counts with its current finding at :week_end
--             (views/cause_findings.sql).
-- Grain:      one row per cause and action whose latest adoption was at or after :since.
-- Parameters: :week_end  TIMESTAMP; the end of the week, not included. Later events are ignored.
--             :since     TIMESTAMP; earlier adoptions are ignored. The digest uses 8 weeks before :week_end.
-- Columns:
--   cause       the cause that the action prevents, after merges and splits.
--   action      name of the action in the catalogue.
--   state       latest state: adopted, effective, recurred.
--   adopted_at  time of the latest adoption.
--   before      number of incidents with the cause in the 28 days before the adoption.
--   after       number of incidents with the cause in the 28 days after the adoption, up to :week_end.
--   days_after  number of these 28 days that have passed at :week_end.
WITH ranked_aliases AS (
  SELECT
    cause_fingerprint AS alias,
    counts_as,
    row_number() OVER (
      PARTITION BY cause_fingerprint
      ORDER BY seq DESC NULLS LAST, ordinal DESC NULLS LAST
    ) AS age_rank
  FROM cause_aliases
),
aliases AS (
  SELECT
    alias,
    counts_as
  FROM ranked_aliases
  WHERE age_rank = 1
),
known_steps AS (
  SELECT
    coalesce(aliases.counts_as, preventive_actions.cause_fingerprint) AS cause,
    preventive_actions.action,
    preventive_actions.state,
    preventive_actions.occurred_at,
    preventive_actions.seq,
    preventive_actions.ordinal
  FROM preventive_actions
  LEFT JOIN aliases
    ON aliases.alias = preventive_actions.cause_fingerprint
  WHERE
    preventive_actions.occurred_at >= :since
    AND preventive_actions.occurred_at < :week_end
    AND preventive_actions.state <> 'proposed'
),
steps AS (
  SELECT
    *,
    row_number() OVER (
      PARTITION BY cause, action
      ORDER BY seq DESC NULLS LAST, ordinal DESC NULLS LAST
    ) AS age_rank
  FROM known_steps
),
adopted AS (
  SELECT
    cause,
    action,
    max(CASE WHEN age_rank = 1 THEN state END) AS state,
    max(CASE WHEN state = 'adopted' THEN occurred_at END) AS adopted_at
  FROM steps
  GROUP BY cause, action
),
findings AS (
  SELECT
    cause,
    found_at
  FROM cause_findings
  WHERE
    found_at >= :since - INTERVAL '28' DAY
    AND found_at < :week_end
    AND (superseded_at IS NULL OR superseded_at >= :week_end)
)
SELECT
  adopted.cause,
  adopted.action,
  adopted.state,
  adopted.adopted_at,
  CAST(
    count(*) FILTER (
      WHERE findings.found_at < adopted.adopted_at
      AND findings.found_at >= adopted.adopted_at - INTERVAL '28' DAY
    )
    AS BIGINT
  ) AS before,
  CAST(
    count(*) FILTER (
      WHERE findings.found_at >= adopted.adopted_at
      AND findings.found_at < adopted.adopted_at + INTERVAL '28' DAY
    )
    AS BIGINT
  ) AS after,
  least(
    CAST(28 AS DOUBLE),
    CAST(unix_micros(:week_end) - unix_micros(adopted.adopted_at) AS DOUBLE) / 86400e6
  ) AS days_after
FROM adopted
LEFT JOIN findings
  ON findings.cause = adopted.cause
WHERE adopted.adopted_at IS NOT NULL
GROUP BY
  adopted.cause,
  adopted.action,
  adopted.state,
  adopted.adopted_at
