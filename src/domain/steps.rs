//! Requests about an incident, one struct per operation. Each struct defines the command line, the JSON and the JSON Schema of its
//! operation.

use clap::Args;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use super::{
    ids::{AlertRef, EventRef, Id, IncidentId},
    incident::{
        classification::{Confidence, IncidentType, Status},
        timeline::{EventKind, LogKind},
    },
    remediation::{RemediationKind, RemediationResult},
    report::{Event, Evidence, Incident, Rca, Remediation, Report, Resource, SCHEMA_VERSION, Workspace},
    time::Timestamp,
};

/// Adds the fields that all requests have.
macro_rules! requests {
    ($(
        $(#[$meta:meta])*
        pub struct $Request:ident { $($fields:tt)* }
    )*) => {$(
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, Args)]
        #[serde(deny_unknown_fields)]
        pub struct $Request {
            $($fields)*
            /// Who makes the request, such as user:sre@example.test; default: user:NAME of the login
            #[arg(long, env = "OPS_RUNBOOK_ACTOR", value_name = "ACTOR")]
            pub actor: Id,
            /// Time of the event in RFC 3339; default: now
            #[arg(long, value_name = "TIME")]
            #[serde(skip_serializing_if = "Option::is_none")]
            pub at: Option<Timestamp>,
            /// Idempotency id: a request that is sent again gets the first answer; default: derived from content and time
            #[arg(long, value_name = "ID")]
            #[serde(skip_serializing_if = "Option::is_none")]
            pub request_id: Option<Id>,
        }

        impl Step for $Request {
            const IS_REMEDIATION: bool = matches!(stringify!($Request).as_bytes(), b"RecordRemediation");
            const CORRECTS: bool = matches!(stringify!($Request).as_bytes(), b"CorrectEvent");

            fn request_id(&self) -> Option<&Id> {
                self.request_id.as_ref()
            }
        }
    )*};
}

/// A request about an incident.
pub trait Step: Serialize + DeserializeOwned {
    /// True if the request has the required fields of a report's remediation step.
    const IS_REMEDIATION: bool;
    /// True if `at` is the time of the corrected event.
    const CORRECTS: bool;

    fn request_id(&self) -> Option<&Id>;
}

requests! {
    /// Open an incident to log it step by step.
    pub struct OpenIncident {
        /// Title in one line
        #[schemars(length(min = 1), regex(pattern = r"\S"))]
        pub title: String,
        /// Type of the incident
        #[arg(long = "type", default_value = "job-failure")]
        #[serde(rename = "type", default = "default_type")]
        pub kind: IncidentType,
        /// Machine name; default: derived from the title
        #[arg(long)]
        #[serde(skip_serializing_if = "Option::is_none")]
        pub slug: Option<Id>,
        /// Id of the Databricks workspace
        #[arg(long, value_name = "ID")]
        pub workspace: Id,
        /// URL of the workspace
        #[arg(long, value_name = "URL")]
        #[serde(skip_serializing_if = "Option::is_none")]
        pub workspace_url: Option<String>,
        /// Affected resource, the most important first
        #[arg(long = "resource", value_name = "KIND:ID[:NAME]|JSON")]
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        pub resources: Vec<Resource>,
        /// Who or what detected the incident; default: the actor
        #[arg(long)]
        #[serde(skip_serializing_if = "Option::is_none")]
        pub reporter: Option<Id>,
        /// Start of the impact on users
        #[arg(long, value_name = "TIME")]
        #[serde(skip_serializing_if = "Option::is_none")]
        pub impact_started_at: Option<Timestamp>,
        /// Time of detection
        #[arg(long, value_name = "TIME")]
        #[serde(skip_serializing_if = "Option::is_none")]
        pub detected_at: Option<Timestamp>,
    }

    /// Log a discovery, fetch, analysis or note.
    pub struct LogEvent {
        /// Incident, such as INC-1042
        #[arg(value_name = "INC")]
        pub incident_id: IncidentId,
        /// Text of the event
        #[schemars(length(min = 1), regex(pattern = r"\S"))]
        pub message: String,
        /// Kind of the event
        #[arg(long, default_value = "NOTE")]
        #[serde(default = "default_kind")]
        pub kind: LogKind,
        /// Name of the tool that was called
        #[arg(long)]
        #[serde(skip_serializing_if = "Option::is_none")]
        pub tool: Option<String>,
        /// Evidence, optionally with an excerpt
        #[arg(long, value_name = "KIND:REF|JSON")]
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        pub evidence: Vec<Evidence>,
    }

    /// Acknowledge an incident and its open alerts.
    pub struct AcknowledgeIncident {
        /// Incident, such as INC-1042
        #[arg(value_name = "INC")]
        pub incident_id: IncidentId,
        /// Comment
        #[serde(skip_serializing_if = "Option::is_none")]
        pub message: Option<String>,
    }

    /// Record a root-cause analysis. The latest one counts.
    pub struct RecordRootCause {
        /// Incident, such as INC-1042
        #[arg(value_name = "INC")]
        pub incident_id: IncidentId,
        /// Text of the cause; `unknown` is not a cause
        #[schemars(length(min = 1), regex(pattern = r"\S"))]
        pub root_cause: String,
        /// Confidence in the cause
        #[arg(long)]
        pub confidence: Confidence,
        /// Stable code of the cause; it takes precedence over the text when causes are compared
        #[arg(long)]
        #[serde(skip_serializing_if = "Option::is_none")]
        pub code: Option<Id>,
        /// Summary in one or two sentences
        #[arg(long)]
        #[serde(skip_serializing_if = "Option::is_none")]
        pub summary: Option<String>,
        /// A kind of evidence that was read, such as run_output
        #[arg(long, value_name = "KIND")]
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        pub evidence: Vec<Id>,
        /// A kind of evidence that could not be retrieved, and the reason; forces the confidence to LOW
        #[arg(long, value_name = "KIND[=REASON]")]
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        pub missing_evidence: Vec<MissingEvidence>,
        /// Class of the error
        #[arg(long, value_name = "CLASS")]
        #[serde(skip_serializing_if = "Option::is_none")]
        pub error_class: Option<String>,
        /// Text of the error
        #[arg(long, value_name = "TEXT")]
        #[serde(skip_serializing_if = "Option::is_none")]
        pub error_message: Option<String>,
        /// Termination code of Databricks
        #[arg(long, value_name = "CODE")]
        #[serde(skip_serializing_if = "Option::is_none")]
        pub termination_code: Option<String>,
    }

    /// Record an applied or recommended remediation step.
    pub struct RecordRemediation {
        /// Incident, such as INC-1042
        #[arg(value_name = "INC")]
        pub incident_id: IncidentId,
        /// Title in one line
        #[schemars(length(min = 1), regex(pattern = r"\S"))]
        pub title: String,
        /// Kind of the step
        #[arg(long)]
        pub kind: RemediationKind,
        /// Changed resource
        #[arg(long, value_name = "KIND:ID[:NAME]|JSON")]
        #[serde(skip_serializing_if = "Option::is_none")]
        pub resource: Option<Resource>,
        /// For job_settings: key of a changed task
        #[arg(long = "task-key", value_name = "KEY")]
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        pub task_keys: Vec<String>,
        /// New values by setting as a JSON object, such as {"max_retries": 3}
        #[arg(long, value_name = "JSON")]
        #[serde(skip_serializing_if = "Option::is_none")]
        pub changes: Option<SettingValues>,
        /// Settings before the change as a JSON object
        #[arg(long, value_name = "JSON")]
        #[serde(skip_serializing_if = "Option::is_none")]
        pub captured_settings: Option<SettingValues>,
        /// For sql: the statement
        #[arg(long, value_name = "SQL")]
        #[serde(skip_serializing_if = "Option::is_none")]
        pub statement: Option<String>,
        /// For command: the command
        #[arg(long)]
        #[serde(skip_serializing_if = "Option::is_none")]
        pub command: Option<String>,
        /// The step was applied
        #[arg(long)]
        #[serde(default)]
        pub applied: bool,
        /// Result
        #[arg(long, requires = "applied")]
        #[serde(skip_serializing_if = "Option::is_none")]
        pub result: Option<RemediationResult>,
    }

    /// Record the verification of a fix.
    pub struct RecordVerification {
        /// Incident, such as INC-1042
        #[arg(value_name = "INC")]
        pub incident_id: IncidentId,
        /// The check and its result
        #[schemars(length(min = 1), regex(pattern = r"\S"))]
        pub message: String,
        /// Result
        #[arg(long, default_value = "SUCCESS")]
        #[serde(default = "default_result")]
        pub result: RemediationResult,
        /// Name of the tool that was called
        #[arg(long)]
        #[serde(skip_serializing_if = "Option::is_none")]
        pub tool: Option<String>,
        /// Evidence, optionally with an excerpt
        #[arg(long, value_name = "KIND:REF|JSON")]
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        pub evidence: Vec<Evidence>,
    }

    /// Escalate an incident to another team or person.
    pub struct EscalateIncident {
        /// Incident, such as INC-1042
        #[arg(value_name = "INC")]
        pub incident_id: IncidentId,
        /// Reason
        #[schemars(length(min = 1), regex(pattern = r"\S"))]
        pub message: String,
        /// Team or person
        #[arg(long, value_name = "WHO")]
        #[serde(skip_serializing_if = "Option::is_none")]
        pub to: Option<String>,
    }

    /// Close an incident and resolve its open alerts.
    pub struct CloseIncident {
        /// Incident, such as INC-1042
        #[arg(value_name = "INC")]
        pub incident_id: IncidentId,
        /// Resolution
        #[schemars(length(min = 1), regex(pattern = r"\S"))]
        pub message: String,
        /// Impact on compliance, such as "Reliability category moved from FAIL to PASS"
        #[arg(long, value_name = "TEXT")]
        #[serde(skip_serializing_if = "Option::is_none")]
        pub compliance_impact: Option<String>,
        /// Lesson learned
        #[arg(long = "lesson", value_name = "TEXT")]
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        pub lessons_learned: Vec<String>,
    }

    /// Reopen a resolved incident. Reopenings are counted.
    pub struct ReopenIncident {
        /// Incident, such as INC-1042
        #[arg(value_name = "INC")]
        pub incident_id: IncidentId,
        /// Reason
        #[schemars(length(min = 1), regex(pattern = r"\S"))]
        pub message: String,
    }

    /// Correct or withdraw an event. The record keeps both events; the corrected one does not count. `at` is the correct time of the
    /// event; default: unchanged.
    pub struct CorrectEvent {
        /// Incident, such as INC-1042
        #[arg(value_name = "INC")]
        pub incident_id: IncidentId,
        /// Event, such as 17.3; `incident show --refs` prints the ids
        #[arg(value_name = "EVENT")]
        pub event: EventRef,
        /// Corrected message; default: unchanged
        #[serde(skip_serializing_if = "Option::is_none")]
        pub message: Option<String>,
        /// Withdraw the event
        #[arg(long, conflicts_with_all = ["message", "at"])]
        #[serde(default)]
        pub withdraw: bool,
    }

    /// Evaluate the escalation triggers of an incident with the current configuration.
    pub struct EvaluateEscalations {
        /// Incident, such as INC-1042
        #[arg(value_name = "INC")]
        pub incident_id: IncidentId,
    }

    /// Acknowledge an alert.
    pub struct AcknowledgeEscalation {
        /// Alert, such as INC-1042/missing-evidence
        #[arg(value_name = "ALERT")]
        pub alert: AlertRef,
    }

    /// Resolve an alert.
    pub struct ResolveEscalation {
        /// Alert, such as INC-1042/missing-evidence
        #[arg(value_name = "ALERT")]
        pub alert: AlertRef,
    }

    /// Snooze an alert until a given time.
    pub struct SuppressEscalation {
        /// Alert, such as INC-1042/missing-evidence
        #[arg(value_name = "ALERT")]
        pub alert: AlertRef,
        /// End of the snooze in RFC 3339
        #[arg(long, value_name = "TIME")]
        pub until: Timestamp,
    }

    /// Record the adoption of a preventive action.
    pub struct AdoptPrevention {
        /// Cause that the action prevents, as printed by `cause list`
        #[arg(value_name = "CAUSE")]
        pub cause: Id,
        /// Name of the action in the recurring issue alert
        #[arg(value_name = "ACTION")]
        pub action: Id,
        /// Note about the adoption
        #[serde(skip_serializing_if = "Option::is_none")]
        pub note: Option<String>,
    }
}

fn default_type() -> IncidentType {
    IncidentType::JobFailure
}

fn default_kind() -> LogKind {
    LogKind::Note
}

fn default_result() -> RemediationResult {
    RemediationResult::Success
}

/// Evidence that could not be retrieved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MissingEvidence {
    /// `run_output`, `notebook_source`, `sql`, …
    pub kind: Id,
    /// Reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// `run_output` or `run_output=PERMISSION_DENIED: token lacks CAN_VIEW`.
impl std::str::FromStr for MissingEvidence {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (kind, reason) = match text.split_once('=') {
            Some((kind, reason)) => (kind, Some(reason.to_owned())),
            None => (text, None),
        };
        Ok(Self { kind: Id::new(kind)?, reason })
    }
}

/// A JSON object of settings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct SettingValues(pub Map<String, Value>);

impl std::str::FromStr for SettingValues {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        serde_json::from_str(text).map(Self).map_err(|error| format!("is not a JSON object: {error}"))
    }
}

/// `job:360515640572923:daily-etl`, or a JSON object.
impl std::str::FromStr for Resource {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.starts_with('{') {
            return serde_json::from_str(text).map_err(|error| format!("is not a resource: {error}"));
        }
        let mut parts = text.splitn(3, ':');
        match (parts.next(), parts.next()) {
            (Some(kind), Some(id)) => Ok(Self {
                kind: Id::new(kind)?,
                id: Id::new(id)?,
                name: parts.next().map(ToOwned::to_owned),
                attributes: std::collections::BTreeMap::new(),
            }),
            _ => Err("is not a resource, such as job:360515640572923:daily-etl".into()),
        }
    }
}

/// `run_output:task_run:236083407514299`, or a JSON object.
impl std::str::FromStr for Evidence {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.starts_with('{') {
            return serde_json::from_str(text).map_err(|error| format!("is not evidence: {error}"));
        }
        match text.split_once(':') {
            Some((kind, reference)) => Ok(Self { kind: Id::new(kind)?, reference: Id::new(reference)?, excerpt: None }),
            None => Err("is not evidence, such as run_output:task_run:236083407514299".into()),
        }
    }
}

impl OpenIncident {
    /// Returns the equivalent report: an incident under investigation without findings.
    ///
    /// # Errors
    /// If no machine name can be derived from the title.
    pub fn report(self, now: Timestamp) -> Result<Report, String> {
        let slug = match self.slug {
            Some(slug) => slug,
            None => slug_of(&self.title)?,
        };
        Ok(Report {
            schema_version: SCHEMA_VERSION,
            report_id: self.request_id,
            actor: self.actor.clone(),
            history: false,
            told_with: None,
            workspace: Workspace { id: self.workspace, url: self.workspace_url },
            incident: Incident {
                kind: self.kind,
                slug,
                title: self.title,
                reporter: self.reporter.unwrap_or(self.actor),
                impact_started_at: self.impact_started_at,
                detected_at: self.detected_at,
                reported_at: self.at.unwrap_or(now),
                status: Status::Investigating,
            },
            resources: self.resources,
            timeline: Vec::new(),
            rca: None,
            checks: Vec::new(),
            remediation: Vec::new(),
            compliance_impact: None,
            lessons_learned: Vec::new(),
        })
    }
}

/// `daily-etl failed: transient timeout` becomes `daily_etl_failed_transient_timeout`.
fn slug_of(title: &str) -> Result<Id, String> {
    let words: Vec<String> = title
        .split(|character: char| !character.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .take(8)
        .collect();
    let slug: String = words.join("_").chars().take(80).collect();
    Id::new(slug).map_err(|_| "cannot derive a machine name from the title; give one with --slug".into())
}

impl RecordRootCause {
    /// Returns the equivalent part of a report.
    pub fn rca(&self) -> Rca {
        let error = super::report::ErrorInfo {
            class: self.error_class.clone(),
            message: self.error_message.clone(),
            termination_code: self.termination_code.clone(),
        };
        let known = error.class.is_some() || error.message.is_some() || error.termination_code.is_some();
        let reasons = self.missing_evidence.iter();
        Rca {
            root_cause: self.root_cause.clone(),
            code: self.code.clone(),
            summary: self.summary.clone(),
            confidence: self.confidence,
            evidence: self.evidence.clone(),
            missing_evidence: self.missing_evidence.iter().map(|missing| missing.kind.clone()).collect(),
            missing_reasons: reasons
                .filter_map(|missing| Some((missing.kind.to_string(), missing.reason.clone()?)))
                .collect(),
            error: known.then_some(error),
        }
    }
}

impl RecordRemediation {
    /// Returns the equivalent part of a report.
    pub fn remediation(&self) -> Remediation {
        Remediation {
            kind: self.kind,
            title: self.title.clone(),
            resource: self.resource.clone(),
            task_keys: self.task_keys.clone(),
            changes: self.changes.clone().map(|settings| settings.0).unwrap_or_default(),
            captured_settings: self.captured_settings.clone().map(|settings| settings.0),
            statement: self.statement.clone(),
            command: self.command.clone(),
            applied: self.applied,
            result: self.result,
        }
    }
}

/// Returns an event without tool and evidence.
pub(super) fn event(at: Timestamp, kind: EventKind, message: String) -> Event {
    Event { at, kind, message, tool: None, evidence: Vec::new() }
}
