//! The report: what an investigation hands in. This is the contract; `schema report` prints it as JSON Schema.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    ids::{Id, IncidentId},
    time::Timestamp,
    words::{CheckStatus, Confidence, EventKind, IncidentType, RemediationKind, RemediationResult, Severity, Status},
};

/// A report is at most this many bytes of JSON.
pub const MAX_REPORT_BYTES: usize = 4 * 1024 * 1024;

/// The only `schema_version` there is.
pub const SCHEMA_VERSION: u32 = 1;

/// One investigation, whole: what happened, what was found, what was done. At most 4 MiB of JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// Version of this document's shape: 1.
    #[schemars(range(min = 1, max = 1))]
    pub schema_version: u32,
    /// Names this report for ever: sent again, it is answered as the first time and recorded once. Without one, an id is
    /// made from the content.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub report_id: Option<Id>,
    /// Who hands it in, such as `agent:databricks_mcp_agent` or `user:sre@example.test`.
    pub actor: Id,
    /// It happened before anybody watched: its triggers are evaluated and recorded, and nobody is told, until there is a new
    /// finding.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub history: bool,
    /// Evidence may not be read, and people are told so with this incident: what is missing here is evaluated and recorded,
    /// and nobody is told of it, until there is a new finding. For sweeps to say, not for whoever hands in a report.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(skip)]
    pub told_with: Option<IncidentId>,
    pub workspace: Workspace,
    pub incident: Incident,
    /// What was affected, the most important first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<Resource>,
    /// What happened when. Any order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub timeline: Vec<Event>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rca: Option<Rca>,
    /// Best-practice checks that were made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<Check>,
    /// What was or should be done about it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remediation: Vec<Remediation>,
    /// What it means for compliance, such as `Reliability category moved from FAIL to PASS`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compliance_impact: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lessons_learned: Vec<String>,
}

/// The Databricks workspace it happened in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Workspace {
    /// Workspace id, a string because ids are 64-bit.
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
    /// Short machine name, such as `job_failure_timeouts_without_retries`.
    pub slug: Id,
    /// One line for people.
    #[schemars(length(min = 1), regex(pattern = r"\S"))]
    pub title: String,
    /// Who or what noticed.
    pub reporter: Id,
    /// When users began to be affected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub impact_started_at: Option<Timestamp>,
    /// When somebody or something noticed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detected_at: Option<Timestamp>,
    /// When it was reported. Any RFC 3339 zone; stored in UTC.
    pub reported_at: Timestamp,
    pub status: Status,
}

/// Something in the workspace.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Resource {
    /// `job`, `job_run`, `task_run`, `cluster`, `warehouse`, `workspace`, …
    pub kind: Id,
    pub id: Id,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Facts worth comparing between incidents, such as `compute` or `max_retries`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, String>,
}

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Event {
    pub at: Timestamp,
    pub kind: EventKind,
    #[schemars(length(min = 1), regex(pattern = r"\S"))]
    pub message: String,
    /// The tool that was called.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<Evidence>,
}

/// What an event rests on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Evidence {
    /// `run_output`, `notebook_source`, `sql`, …
    pub kind: Id,
    /// Where it can be found again.
    #[serde(rename = "ref")]
    pub reference: Id,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub excerpt: Option<String>,
}

/// The root-cause analysis.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rca {
    /// The cause in words. `unknown` is not a cause.
    #[schemars(length(min = 1), regex(pattern = r"\S"))]
    pub root_cause: String,
    /// The cause as a stable code. Wins over the words when causes are compared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<Id>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
    pub confidence: Confidence,
    /// Kinds of evidence that were read, such as `run_output`.
    #[serde(default)]
    pub evidence: Vec<Id>,
    /// Kinds of evidence that could not be had. Any forces the confidence to LOW.
    #[serde(default)]
    pub missing_evidence: Vec<Id>,
    /// Why, by kind of evidence.
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

/// One best-practice check.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Check {
    /// `Reliability`, `Security`, `Cost Optimization`, …
    pub category: Id,
    pub name: Id,
    /// What was checked, where it is one thing.
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

/// One step that was or should be taken.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Remediation {
    pub kind: RemediationKind,
    #[schemars(length(min = 1), regex(pattern = r"\S"))]
    pub title: String,
    /// What is changed. Needed for the kinds that change settings.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource: Option<Resource>,
    /// For `job_settings`: the tasks the changes are for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub task_keys: Vec<String>,
    /// Setting and new value, as the API spells them. Needed for the kinds that change settings.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub changes: Map<String, Value>,
    /// The settings as they were read before the change.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub captured_settings: Option<Map<String, Value>>,
    /// For `sql`: the statement.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub statement: Option<String>,
    /// For `command`: the command.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// Whether it has been done.
    pub applied: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result: Option<RemediationResult>,
}
