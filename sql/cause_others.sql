-- What:       what the resources that had :cause can be compared with: the other resources of the same workspaces that
--             had another cause, and never this one, from :since to :as_of. An unknown cause is not another one.
-- Grain:      one row per workspace_id, resource_kind and resource_id.
-- Parameters: :since  TIMESTAMP; what was found earlier is not looked at.
--             :as_of  TIMESTAMP; what was found later is not looked at.
--             :cause  STRING, after merges and splits.
-- Columns:
--   workspace_id, resource_kind, resource_id  the resource.
--   resource_name        its name, and
--   resource_attributes  its attributes, a JSON object of strings, and
--   found_at             the moment, all of the latest finding about it.
WITH findings AS (
  SELECT
    cause,
    workspace_id,
    resource_kind,
    resource_id,
    resource_name,
    resource_attributes,
    found_at,
    seq
  FROM cause_findings
  WHERE
    cause IS NOT NULL
    AND resource_kind IS NOT NULL
    AND resource_id IS NOT NULL
    AND found_at >= :since
    AND found_at <= :as_of
    AND (superseded_at IS NULL OR superseded_at > :as_of)
),
affected AS (
  SELECT DISTINCT
    workspace_id,
    resource_kind,
    resource_id
  FROM findings
  WHERE cause = :cause
),
workspaces AS (
  SELECT DISTINCT workspace_id
  FROM affected
),
others AS (
  SELECT
    findings.*,
    row_number() OVER (
      PARTITION BY findings.workspace_id, findings.resource_kind, findings.resource_id
      ORDER BY findings.seq DESC NULLS LAST
    ) AS age_rank
  FROM findings
  LEFT SEMI JOIN workspaces
    ON workspaces.workspace_id = findings.workspace_id
  LEFT ANTI JOIN affected
    ON affected.workspace_id = findings.workspace_id
    AND affected.resource_kind = findings.resource_kind
    AND affected.resource_id = findings.resource_id
)
SELECT
  workspace_id,
  resource_kind,
  resource_id,
  resource_name,
  resource_attributes,
  found_at
FROM others
WHERE age_rank = 1
