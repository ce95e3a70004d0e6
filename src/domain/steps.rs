//! Requests about an incident that is open already: one struct per operation, which is its command line, its JSON and its
//! JSON Schema at once.

use clap::Args;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use super::{
    ids::{AlertRef, EventRef, Id, IncidentId},
    report::{Event, Evidence, Incident, Rca, Remediation, Report, Resource, SCHEMA_VERSION, Workspace},
    time::Timestamp,
    words::{Confidence, EventKind, IncidentType, LogKind, RemediationKind, RemediationResult, Status},
};

/// Adds to each struct what every request carries.
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
            /// Who does it, such as user:sre@example.test; user:NAME of whoever is logged in unless given
            #[arg(long, env = "OPS_RUNBOOK_ACTOR", value_name = "ACTOR")]
            pub actor: Id,
            /// When it happened, RFC 3339; now unless given
            #[arg(long, value_name = "TIME")]
            #[serde(skip_serializing_if = "Option::is_none")]
            pub at: Option<Timestamp>,
            /// Names this request for ever: sent again, it is answered as the first time. Made from content and time unless
            /// given
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

/// What every step carries.
pub trait Step: Serialize + DeserializeOwned {
    /// Its kind needs what a report's remediation step of that kind needs.
    const IS_REMEDIATION: bool;
    /// Its `at` is the time of another event.
    const CORRECTS: bool;

    fn request_id(&self) -> Option<&Id>;
}

requests! {
    /// Open an incident that is then logged step by step.
    pub struct OpenIncident {
        /// One line for people
        #[schemars(length(min = 1), regex(pattern = r"\S"))]
        pub title: String,
        /// Why it exists
        #[arg(long = "type", default_value = "job-failure")]
        #[serde(rename = "type", default = "usual_type")]
        pub kind: IncidentType,
        /// Short machine name; made from the title unless given
        #[arg(long)]
        #[serde(skip_serializing_if = "Option::is_none")]
        pub slug: Option<Id>,
        /// Id of the Databricks workspace
        #[arg(long, value_name = "ID")]
        pub workspace: Id,
        /// Address of the workspace
        #[arg(long, value_name = "URL")]
        #[serde(skip_serializing_if = "Option::is_none")]
        pub workspace_url: Option<String>,
        /// What is affected, the most important first
        #[arg(long = "resource", value_name = "KIND:ID[:NAME]|JSON")]
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        pub resources: Vec<Resource>,
        /// Who or what noticed; the actor unless given
        #[arg(long)]
        #[serde(skip_serializing_if = "Option::is_none")]
        pub reporter: Option<Id>,
        /// When users began to be affected
        #[arg(long, value_name = "TIME")]
        #[serde(skip_serializing_if = "Option::is_none")]
        pub impact_started_at: Option<Timestamp>,
        /// When somebody or something noticed
        #[arg(long, value_name = "TIME")]
        #[serde(skip_serializing_if = "Option::is_none")]
        pub detected_at: Option<Timestamp>,
    }

    /// Log what was found, fetched, analysed or noted.
    pub struct LogEvent {
        /// The incident, such as INC-1042
        #[arg(value_name = "INC")]
        pub incident_id: IncidentId,
        /// What happened
        #[schemars(length(min = 1), regex(pattern = r"\S"))]
        pub message: String,
        /// What kind of event it is
        #[arg(long, default_value = "NOTE")]
        #[serde(default = "usual_kind")]
        pub kind: LogKind,
        /// The tool that was called
        #[arg(long)]
        #[serde(skip_serializing_if = "Option::is_none")]
        pub tool: Option<String>,
        /// What it rests on, with an excerpt where one tells more
        #[arg(long, value_name = "KIND:REF|JSON")]
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        pub evidence: Vec<Evidence>,
    }

    /// Say that somebody has taken the incident on. Acknowledges its open alerts too.
    pub struct AcknowledgeIncident {
        /// The incident, such as INC-1042
        #[arg(value_name = "INC")]
        pub incident_id: IncidentId,
        /// What to say about it
        #[serde(skip_serializing_if = "Option::is_none")]
        pub message: Option<String>,
    }

    /// Record the root-cause analysis. A later one counts instead of an earlier one.
    pub struct RecordRootCause {
        /// The incident, such as INC-1042
        #[arg(value_name = "INC")]
        pub incident_id: IncidentId,
        /// The cause in words; `unknown` is not a cause
        #[schemars(length(min = 1), regex(pattern = r"\S"))]
        pub root_cause: String,
        /// How sure it is
        #[arg(long)]
        pub confidence: Confidence,
        /// The cause as a stable code; wins over the words when causes are compared
        #[arg(long)]
        #[serde(skip_serializing_if = "Option::is_none")]
        pub code: Option<Id>,
        /// The cause in a sentence or two
        #[arg(long)]
        #[serde(skip_serializing_if = "Option::is_none")]
        pub summary: Option<String>,
        /// A kind of evidence that was read, such as run_output
        #[arg(long, value_name = "KIND")]
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        pub evidence: Vec<Id>,
        /// A kind of evidence that could not be had, and why. Any forces the confidence to LOW
        #[arg(long, value_name = "KIND[=REASON]")]
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        pub missing_evidence: Vec<Missing>,
        /// The class of the error
        #[arg(long, value_name = "CLASS")]
        #[serde(skip_serializing_if = "Option::is_none")]
        pub error_class: Option<String>,
        /// The text of the error
        #[arg(long, value_name = "TEXT")]
        #[serde(skip_serializing_if = "Option::is_none")]
        pub error_message: Option<String>,
        /// Termination code, in the words of Databricks
        #[arg(long, value_name = "CODE")]
        #[serde(skip_serializing_if = "Option::is_none")]
        pub termination_code: Option<String>,
    }

    /// Record a step that was or should be taken: it becomes part of the runbook.
    pub struct RecordRemediation {
        /// The incident, such as INC-1042
        #[arg(value_name = "INC")]
        pub incident_id: IncidentId,
        /// One line for people
        #[schemars(length(min = 1), regex(pattern = r"\S"))]
        pub title: String,
        /// What is changed
        #[arg(long)]
        pub kind: RemediationKind,
        /// What is changed
        #[arg(long, value_name = "KIND:ID[:NAME]|JSON")]
        #[serde(skip_serializing_if = "Option::is_none")]
        pub resource: Option<Resource>,
        /// For job_settings: a task the changes are for
        #[arg(long = "task-key", value_name = "KEY")]
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        pub task_keys: Vec<String>,
        /// Settings and new values, a JSON object such as {"max_retries": 3}
        #[arg(long, value_name = "JSON")]
        #[serde(skip_serializing_if = "Option::is_none")]
        pub changes: Option<Settings>,
        /// The settings as they were read before the change, a JSON object
        #[arg(long, value_name = "JSON")]
        #[serde(skip_serializing_if = "Option::is_none")]
        pub captured_settings: Option<Settings>,
        /// For sql: the statement
        #[arg(long, value_name = "SQL")]
        #[serde(skip_serializing_if = "Option::is_none")]
        pub statement: Option<String>,
        /// For command: the command
        #[arg(long)]
        #[serde(skip_serializing_if = "Option::is_none")]
        pub command: Option<String>,
        /// It has been done
        #[arg(long)]
        #[serde(default)]
        pub applied: bool,
        /// How it ended
        #[arg(long, requires = "applied")]
        #[serde(skip_serializing_if = "Option::is_none")]
        pub result: Option<RemediationResult>,
    }

    /// Record that a fix was verified.
    pub struct RecordVerification {
        /// The incident, such as INC-1042
        #[arg(value_name = "INC")]
        pub incident_id: IncidentId,
        /// What was checked, and what was seen
        #[schemars(length(min = 1), regex(pattern = r"\S"))]
        pub message: String,
        /// How it ended
        #[arg(long, default_value = "SUCCESS")]
        #[serde(default = "usual_result")]
        pub result: RemediationResult,
        /// The tool that was called
        #[arg(long)]
        #[serde(skip_serializing_if = "Option::is_none")]
        pub tool: Option<String>,
        /// What it rests on, with an excerpt where one tells more
        #[arg(long, value_name = "KIND:REF|JSON")]
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        pub evidence: Vec<Evidence>,
    }

    /// Hand the incident on to somebody else.
    pub struct EscalateIncident {
        /// The incident, such as INC-1042
        #[arg(value_name = "INC")]
        pub incident_id: IncidentId,
        /// Why
        #[schemars(length(min = 1), regex(pattern = r"\S"))]
        pub message: String,
        /// To whom
        #[arg(long, value_name = "WHO")]
        #[serde(skip_serializing_if = "Option::is_none")]
        pub to: Option<String>,
    }

    /// Resolve the incident. Resolves its open alerts too.
    pub struct CloseIncident {
        /// The incident, such as INC-1042
        #[arg(value_name = "INC")]
        pub incident_id: IncidentId,
        /// How it ended
        #[schemars(length(min = 1), regex(pattern = r"\S"))]
        pub message: String,
        /// What it means for compliance, such as "Reliability category moved from FAIL to PASS"
        #[arg(long, value_name = "TEXT")]
        #[serde(skip_serializing_if = "Option::is_none")]
        pub compliance_impact: Option<String>,
        /// A lesson learned
        #[arg(long = "lesson", value_name = "TEXT")]
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        pub lessons_learned: Vec<String>,
    }

    /// Open a resolved incident again. It stays the same incident, and the reopening is counted.
    pub struct ReopenIncident {
        /// The incident, such as INC-1042
        #[arg(value_name = "INC")]
        pub incident_id: IncidentId,
        /// Why
        #[schemars(length(min = 1), regex(pattern = r"\S"))]
        pub message: String,
    }

    /// Correct an event, or take it back. The record keeps both; the corrected one does not count any more. Here `at` is when
    /// the event really happened; without it the time stays.
    pub struct CorrectEvent {
        /// The incident, such as INC-1042
        #[arg(value_name = "INC")]
        pub incident_id: IncidentId,
        /// The event, such as 17.3; `incident show --refs` prints them
        #[arg(value_name = "EVENT")]
        pub event: EventRef,
        /// What really happened; the message stays unless given
        #[serde(skip_serializing_if = "Option::is_none")]
        pub message: Option<String>,
        /// It did not happen at all
        #[arg(long, conflicts_with_all = ["message", "at"])]
        #[serde(default)]
        pub withdraw: bool,
    }

    /// Evaluate the escalation triggers of an incident anew, under the configuration as it is now.
    pub struct EvaluateEscalations {
        /// The incident, such as INC-1042
        #[arg(value_name = "INC")]
        pub incident_id: IncidentId,
    }

    /// Say that somebody takes care of an alert.
    pub struct AcknowledgeEscalation {
        /// The alert, such as INC-1042/missing-evidence
        #[arg(value_name = "ALERT")]
        pub alert: AlertRef,
    }

    /// Say that an alert is over.
    pub struct ResolveEscalation {
        /// The alert, such as INC-1042/missing-evidence
        #[arg(value_name = "ALERT")]
        pub alert: AlertRef,
    }

    /// Tell nobody about an alert until a moment.
    pub struct SuppressEscalation {
        /// The alert, such as INC-1042/missing-evidence
        #[arg(value_name = "ALERT")]
        pub alert: AlertRef,
        /// Until when, RFC 3339
        #[arg(long, value_name = "TIME")]
        pub until: Timestamp,
    }

    /// Say that a preventive action was put in place.
    pub struct AdoptPrevention {
        /// The cause it is against, as `causes list` prints it
        #[arg(value_name = "CAUSE")]
        pub cause: Id,
        /// The action, as the recurring issue alert names it
        #[arg(value_name = "ACTION")]
        pub action: Id,
        /// What was done
        #[serde(skip_serializing_if = "Option::is_none")]
        pub note: Option<String>,
    }
}

fn usual_type() -> IncidentType {
    IncidentType::JobFailure
}

fn usual_kind() -> LogKind {
    LogKind::Note
}

fn usual_result() -> RemediationResult {
    RemediationResult::Success
}

/// Evidence that could not be had.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Missing {
    /// `run_output`, `notebook_source`, `sql`, …
    pub kind: Id,
    /// Why it could not be had.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// `run_output` or `run_output=PERMISSION_DENIED: token lacks CAN_VIEW`.
impl std::str::FromStr for Missing {
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
pub struct Settings(pub Map<String, Value>);

impl std::str::FromStr for Settings {
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
    /// The report that says the same: an incident under investigation of which nothing is known yet.
    ///
    /// # Errors
    /// When no machine name can be made from the title.
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
    Id::new(slug).map_err(|_| "no machine name can be made from the title; give one with --slug".into())
}

impl RecordRootCause {
    /// The same as a report says it.
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
    /// The same as a report says it.
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

/// An event without tool and evidence.
pub(super) fn event(at: Timestamp, kind: EventKind, message: String) -> Event {
    Event { at, kind, message, tool: None, evidence: Vec::new() }
}
