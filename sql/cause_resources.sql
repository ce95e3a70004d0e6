-- What:       the resources about which causes were found from :since to :as_of: what the resources that had a cause can be
--             compared with. An unknown cause is not one.
-- Grain:      one row per cause, workspace_id, resource_kind and resource_id.
-- Parameters: :since  TIMESTAMP; what was found earlier is not looked at.
--             :as_of  TIMESTAMP; what was found later is not looked at.
-- Columns:
--   cause                the cause, after merges and splits.
--   workspace_id, resource_kind, resource_id  the resource.
--   resource_name        its name, and
--   resource_attributes  its attributes, a JSON object of strings, and
--   found_at             the moment, all of the latest finding about it with the cause: of those that were found last, the
--                        one with the highest seq.
--   is_latest            that finding is the latest about the resource, whatever the cause.
WITH ranked AS (
  SELECT
    cause,
    workspace_id,
    resource_kind,
    resource_id,
    resource_name,
    resource_attributes,
    found_at,
    row_number() OVER (
      PARTITION BY workspace_id, resource_kind, resource_id, cause
      ORDER BY found_at DESC NULLS LAST, seq DESC NULLS LAST
    ) AS rank_with_cause,
    row_number() OVER (
      PARTITION BY workspace_id, resource_kind, resource_id
      ORDER BY found_at DESC NULLS LAST, seq DESC NULLS LAST
    ) AS age_rank
  FROM cause_findings
  WHERE
    cause IS NOT NULL
    AND resource_kind IS NOT NULL
    AND resource_id IS NOT NULL
    AND found_at >= :since
    AND found_at <= :as_of
    AND (superseded_at IS NULL OR superseded_at > :as_of)
)
SELECT
  cause,
  workspace_id,
  resource_kind,
  resource_id,
  resource_name,
  resource_attributes,
  found_at,
  age_rank = 1 AS is_latest
FROM ranked
WHERE rank_with_cause = 1
