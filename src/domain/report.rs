//! The report of an investigation. `schema report` prints this format as JSON Schema.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    check::{CheckStatus, Severity},
    ids::{Id, IncidentId},
    incident::{
        classification::{Confidence, IncidentType, Status},
        timeline::EventKind,
    },
    remediation::{RemediationKind, RemediationResult},
    time::Timestamp,
};

/// Maximum size of a report in bytes of JSON.
pub const MAX_REPORT_BYTES: usize = 4 * 1024 * 1024;

/// The only supported `schema_version`.
pub const SCHEMA_VERSION: u32 = 1;

/// Report of one investigation: the incident, its timeline, findings and remediation. At most 4 MiB of JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// Version of the report format: 1.
    #[schemars(range(min = 1, max = 1))]
    pub schema_version: u32,
    /// Idempotency id: a report that is sent again with the same id is recorded once and gets the first answer. The default is
    /// derived from the content.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub report_id: Option<Id>,
    /// Who sends the report, such as `agent:databricks_mcp_agent` or `user:sre@example.test`.
    pub actor: Id,
    /// True for an incident of the past. Its triggers are evaluated and recorded, but no notification is sent until there is a new
    /// finding.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub history: bool,
    /// The incident whose alert reports denied access to outputs. The missing evidence of this report is evaluated and recorded, but
    /// no notification is sent until there is a new finding. Only sweeps set it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(skip)]
    pub told_with: Option<IncidentId>,
    pub workspace: Workspace,
    pub incident: Incident,
    /// Affected resources, the most important first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<Resource>,
    /// Timeline events in any order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub timeline: Vec<Event>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rca: Option<Rca>,
    /// Results of best-practice checks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<Check>,
    /// Applied and recommended remediation steps.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remediation: Vec<Remediation>,
    /// Impact on compliance, such as `Reliability category moved from FAIL to PASS`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compliance_impact: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lessons_learned: Vec<String>,
}

/// The Databricks workspace of the incident.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Workspace {
    /// Workspace id as a string, because ids have 64 bits.
    pub id: Id,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

/// The incident itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Incident {
    #[serde(rename = "type")]
    pub kind: IncidentType,
    /// Machine name, such as `job_failure_timeouts_without_retries`.
    pub slug: Id,
    /// Title in one line.
    #[schemars(length(min = 1), regex(pattern = r"\S"))]
    pub title: String,
    /// Who or what detected the incident.
    pub reporter: Id,
    /// Start of the impact on users.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub impact_started_at: Option<Timestamp>,
    /// Time of detection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detected_at: Option<Timestamp>,
    /// Time of the report in RFC 3339 with any zone; stored in UTC.
    pub reported_at: Timestamp,
    pub status: Status,
}

/// A resource of the workspace.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Resource {
    /// `job`, `job_run`, `task_run`, `cluster`, `warehouse`, `workspace`, …
    pub kind: Id,
    pub id: Id,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Attributes to compare between incidents, such as `compute` or `max_retries`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, String>,
}

/// A timeline event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Event {
    pub at: Timestamp,
    pub kind: EventKind,
    #[schemars(length(min = 1), regex(pattern = r"\S"))]
    pub message: String,
    /// Name of the tool that was called.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<Evidence>,
}

/// Evidence of an event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Evidence {
    /// `run_output`, `notebook_source`, `sql`, …
    pub kind: Id,
    /// Reference to its source.
    #[serde(rename = "ref")]
    pub reference: Id,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub excerpt: Option<String>,
}

/// The root-cause analysis.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rca {
    /// Text of the cause. `unknown` is not a cause.
    #[schemars(length(min = 1), regex(pattern = r"\S"))]
    pub root_cause: String,
    /// Stable code of the cause. It takes precedence over the text when causes are compared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<Id>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
    pub confidence: Confidence,
    /// Kinds of evidence that were read, such as `run_output`.
    #[serde(default)]
    pub evidence: Vec<Id>,
    /// Kinds of evidence that could not be retrieved. Any of them forces the confidence to LOW.
    #[serde(default)]
    pub missing_evidence: Vec<Id>,
    /// Reasons by kind of evidence.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub missing_reasons: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorInfo>,
}

/// The error as the platform reported it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ErrorInfo {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub termination_code: Option<String>,
}

/// Result of a best-practice check.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Check {
    /// `Reliability`, `Security`, `Cost Optimization`, …
    pub category: Id,
    pub name: Id,
    /// The checked resource, if it is exactly one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource: Option<Resource>,
    pub status: CheckStatus,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub severity: Option<Severity>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finding: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub evidence: Option<String>,
}

/// An applied or recommended remediation step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Remediation {
    pub kind: RemediationKind,
    #[schemars(length(min = 1), regex(pattern = r"\S"))]
    pub title: String,
    /// The changed resource. Required for kinds that change settings.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource: Option<Resource>,
    /// For `job_settings`: keys of the changed tasks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub task_keys: Vec<String>,
    /// New values by setting, with the names of the API. Required for kinds that change settings.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub changes: Map<String, Value>,
    /// The settings before the change.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub captured_settings: Option<Map<String, Value>>,
    /// For `sql`: the statement.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub statement: Option<String>,
    /// For `command`: the command.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// True if the step was applied.
    pub applied: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result: Option<RemediationResult>,
}
