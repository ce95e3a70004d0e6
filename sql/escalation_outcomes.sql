-- What:       Alerts that fired in a week, and their status at its end, by trigger and severity. An alert that fires
--             again is the same alert. Its severity and routes are those of its last firing in the week.
-- Grain:      one row per trigger and severity with an alert that fired or a suppressed evaluation.
-- Parameters: :week_start  TIMESTAMP; the start of the week.
--             :week_end    TIMESTAMP; the end of the week, not included. Later events are ignored.
-- Columns:
--   trigger            missing-evidence, partial-checks, security-finding, recurring, access-issue.
--   severity           LOW, MEDIUM, HIGH, CRITICAL.
--   fired              number of alerts that fired.
--   unrouted           number of fired alerts that matched no route.
--   suppressed         number of evaluations that held but did not fire: the alert was snoozed by a person, or was in
--                      the cool-down after its last firing. The snooze itself is not an evaluation.
--   acknowledged       number of fired alerts that were acknowledged after their first firing, including alerts that
--                      were resolved later.
--   resolved           number of fired alerts that were cleared by a rule or resolved by a person.
--   open               number of fired alerts that are neither resolved, acknowledged nor snoozed.
--   acknowledge_p50_s  median time from the first firing in the week to the acknowledgement, seconds; null without
--                      acknowledgements.
--   sent               notifications delivered in the week to at least one recipient of the channel: of the alert, or
--                      of a missing acknowledgement. An alert has one per channel. Null if the week had no delivery
--                      attempt for this row.
--   failed             such notifications given up in the week for at least one recipient of the channel; null as for
--                      sent. A notification that reached only some recipients counts in both columns.
WITH events AS (
  SELECT
    seq,
    ordinal,
    dedup_key,
    trigger,
    severity,
    event,
    status,
    routes,
    reason,
    occurred_at,
    row_number() OVER (
      PARTITION BY dedup_key
      ORDER BY seq ASC NULLS LAST, ordinal ASC NULLS LAST
    ) AS position,
    row_number() OVER (
      PARTITION BY dedup_key
      ORDER BY seq DESC NULLS LAST, ordinal DESC NULLS LAST
    ) AS age_rank
  FROM escalation_events
  WHERE
    occurred_at >= :week_start
    AND occurred_at < :week_end
    AND status IS NOT NULL
),
firings AS (
  SELECT
    dedup_key,
    min(position) AS first_position,
    max(position) AS last_position
  FROM events
  WHERE event = 'fired'
  GROUP BY dedup_key
),
acknowledgements AS (
  SELECT
    events.dedup_key,
    min(events.position) AS acknowledged_position
  FROM events
  INNER JOIN firings
    ON firings.dedup_key = events.dedup_key
  WHERE
    events.event = 'acknowledged'
    AND events.position > firings.first_position
  GROUP BY events.dedup_key
),
notices AS (
  SELECT
    events.dedup_key,
    max(CASE WHEN deliveries.event IN ('delivered', 'partly') THEN 1 ELSE 0 END) AS sent,
    max(CASE WHEN deliveries.event = 'dead' THEN 1 ELSE 0 END) AS failed
  FROM deliveries
  INNER JOIN events
    ON
      events.seq = deliveries.source_seq
      AND events.ordinal = deliveries.source_ordinal
  WHERE
    deliveries.occurred_at >= :week_start
    AND deliveries.occurred_at < :week_end
    AND deliveries.says IN ('trigger', 'again')
    AND deliveries.event <> 'skipped'
    AND events.event = 'fired'
  GROUP BY
    events.dedup_key,
    deliveries.source_seq,
    deliveries.source_ordinal,
    deliveries.says,
    deliveries.channel,
    deliveries.lane
),
told_over AS (
  SELECT
    dedup_key,
    sum(sent) AS sent,
    sum(failed) AS failed
  FROM notices
  GROUP BY dedup_key
),
alerts AS (
  SELECT
    told.trigger,
    told.severity,
    1 AS fired,
    CASE WHEN coalesce(told.routes, '[]') = '[]' THEN 1 ELSE 0 END AS unrouted,
    0 AS suppressed,
    CASE WHEN acknowledged.occurred_at IS NOT NULL THEN 1 ELSE 0 END AS acknowledged,
    CASE WHEN latest.status = 'resolved' THEN 1 ELSE 0 END AS resolved,
    CASE WHEN latest.status = 'open' THEN 1 ELSE 0 END AS open,
    CAST(unix_micros(acknowledged.occurred_at) - unix_micros(first_told.occurred_at) AS DOUBLE) / 1e6 AS acknowledge_s,
    told_over.sent,
    told_over.failed
  FROM firings
  INNER JOIN events AS first_told
    ON first_told.dedup_key = firings.dedup_key AND first_told.position = firings.first_position
  INNER JOIN events AS told
    ON told.dedup_key = firings.dedup_key AND told.position = firings.last_position
  INNER JOIN events AS latest
    ON latest.dedup_key = firings.dedup_key AND latest.age_rank = 1
  LEFT JOIN acknowledgements
    ON acknowledgements.dedup_key = firings.dedup_key
  LEFT JOIN events AS acknowledged
    ON
      acknowledged.dedup_key = acknowledgements.dedup_key
      AND acknowledged.position = acknowledgements.acknowledged_position
  LEFT JOIN told_over
    ON told_over.dedup_key = firings.dedup_key
  UNION ALL
  SELECT
    trigger,
    severity,
    0 AS fired,
    0 AS unrouted,
    1 AS suppressed,
    0 AS acknowledged,
    0 AS resolved,
    0 AS open,
    CAST(NULL AS DOUBLE) AS acknowledge_s,
    CAST(NULL AS BIGINT) AS sent,
    CAST(NULL AS BIGINT) AS failed
  FROM events
  WHERE
    event = 'suppressed'
    -- A snooze. Earlier versions wrote: suppressed by.
    AND reason NOT LIKE 'snoozed by %'
    AND reason NOT LIKE 'suppressed by %'
)
SELECT
  trigger,
  severity,
  CAST(sum(fired) AS BIGINT) AS fired,
  CAST(sum(unrouted) AS BIGINT) AS unrouted,
  CAST(sum(suppressed) AS BIGINT) AS suppressed,
  CAST(sum(acknowledged) AS BIGINT) AS acknowledged,
  CAST(sum(resolved) AS BIGINT) AS resolved,
  CAST(sum(open) AS BIGINT) AS open,
  median(acknowledge_s) AS acknowledge_p50_s,
  CAST(sum(sent) AS BIGINT) AS sent,
  CAST(sum(failed) AS BIGINT) AS failed
FROM alerts
GROUP BY trigger, severity
