//! The ledger entry: a complete redacted request and the facts that were decided for it.
//!
//! All other data in the lake, including the typed columns of `audit_log`, is computed from entries.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    cause::Cause,
    digest::Digest,
    escalation::{AlertChange, Recurrence, TriggerVerdict, recurring_verdict},
    ids::{Id, IncidentId},
    incident::{
        Incident, TimelineAddition,
        classification::{Confidence, IncidentType},
    },
    interface::Interface,
    notification::RecordDeliveries,
    policy::Policy,
    prevention::state::PreventionState,
    problems::Problem,
    recurrence::{event::EpisodeEvent, issue::Issue},
    redact::Redactions,
    report::{Check, Event, Remediation, Report, Resource, Workspace},
    steps::{
        AcknowledgeEscalation, AcknowledgeIncident, AdoptPrevention, CloseIncident, CorrectEvent, EscalateIncident,
        EvaluateEscalations, LogEvent, RecordRemediation, RecordRootCause, RecordVerification, ReopenIncident,
        ResolveEscalation, SuppressEscalation,
    },
    sweep::{EndedRun, OutputAccessAlert},
    time::Timestamp,
};

/// Version of the entry format, contained in every entry.
pub const ENTRY_VERSION: u32 = 1;

/// Content of one row of `audit_log`, stored as canonical JSON (RFC 8785) in its `entry` column.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    pub version: u32,
    /// 1, 2, 3 … without gaps.
    pub seq: u64,
    /// Time at which the ledger recorded it.
    pub recorded_at: Timestamp,
    /// Interface that received the request.
    pub interface: Interface,
    /// Id of the request. Each id is recorded once.
    pub request_id: Id,
    pub request: Request,
    pub facts: Facts,
}

impl Entry {
    /// Returns the entry as canonical JSON: sorted keys, no white space, normalised numbers.
    ///
    /// # Errors
    /// A value that cannot be serialised as JSON, which parsing excludes.
    pub fn canonical(&self) -> Result<String, serde_json::Error> {
        canonical(self)
    }

    /// Returns the effective time of its decisions about alerts: the time given by the actor, else the time of recording.
    pub fn decided_at(&self) -> Timestamp {
        let given = match &self.request {
            Request::AcknowledgeIncident(step) => step.at,
            Request::CloseIncident(step) => step.at,
            Request::AcknowledgeEscalation(step) => step.at,
            Request::ResolveEscalation(step) => step.at,
            Request::SuppressEscalation(step) => step.at,
            _ => None,
        };
        given.unwrap_or(self.recorded_at)
    }

    /// Parses the JSON text of an entry.
    ///
    /// # Errors
    /// A text that is not an entry of a known version.
    pub fn parse(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }
}

/// Returns a value as canonical JSON (RFC 8785).
///
/// # Errors
/// A value that cannot be serialised as JSON.
pub fn canonical(value: &impl Serialize) -> Result<String, serde_json::Error> {
    serde_json_canonicalizer::to_string(value)
}

/// A request as it is stored: redacted, aliases resolved, times in UTC.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "body", rename_all = "snake_case")]
pub enum Request {
    /// A complete report of an investigation.
    RecordReport(Box<Report>),
    /// A new incident that is logged step by step.
    OpenIncident(Box<Report>),
    LogEvent(LogEvent),
    AcknowledgeIncident(AcknowledgeIncident),
    RecordRootCause(RecordRootCause),
    RecordRemediation(RecordRemediation),
    RecordVerification(RecordVerification),
    EscalateIncident(EscalateIncident),
    CloseIncident(CloseIncident),
    ReopenIncident(ReopenIncident),
    CorrectEvent(CorrectEvent),
    EvaluateEscalations(EvaluateEscalations),
    AcknowledgeEscalation(AcknowledgeEscalation),
    ResolveEscalation(ResolveEscalation),
    SuppressEscalation(SuppressEscalation),
    /// Result of a recurrence scan for one cause.
    EvaluateRecurrence(Box<EvaluateRecurrence>),
    AliasCauses(AliasCauses),
    AdoptPrevention(AdoptPrevention),
    /// Results of the compliance checks of a job.
    RecordCompliance(Box<RecordCompliance>),
    /// Digest of a week, or a revision of it.
    RecordDigest(Box<RecordDigest>),
    /// Job runs of a workspace that a sweep found.
    RecordJobRuns(Box<RecordJobRuns>),
    /// Delivery steps of notifications.
    RecordDeliveries(Box<RecordDeliveries>),
    /// An input that was rejected.
    RejectInput(Box<RejectInput>),
}

macro_rules! requests_of_steps {
    ($($Step:ident),*) => { $(impl From<$Step> for Request {
        fn from(step: $Step) -> Self {
            Self::$Step(step)
        }
    })* };
}

requests_of_steps!(LogEvent, AcknowledgeIncident, RecordRootCause, RecordRemediation, RecordVerification);
requests_of_steps!(EscalateIncident, CloseIncident, ReopenIncident, CorrectEvent, EvaluateEscalations);
requests_of_steps!(AcknowledgeEscalation, ResolveEscalation, SuppressEscalation, AdoptPrevention);

impl Request {
    /// Returns the name of the request in `audit_log.request_kind`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::RecordReport(_) => "record_report",
            Self::OpenIncident(_) => "open_incident",
            Self::LogEvent(_) => "log_event",
            Self::AcknowledgeIncident(_) => "acknowledge_incident",
            Self::RecordRootCause(_) => "record_root_cause",
            Self::RecordRemediation(_) => "record_remediation",
            Self::RecordVerification(_) => "record_verification",
            Self::EscalateIncident(_) => "escalate_incident",
            Self::CloseIncident(_) => "close_incident",
            Self::ReopenIncident(_) => "reopen_incident",
            Self::CorrectEvent(_) => "correct_event",
            Self::EvaluateEscalations(_) => "evaluate_escalations",
            Self::AcknowledgeEscalation(_) => "acknowledge_escalation",
            Self::ResolveEscalation(_) => "resolve_escalation",
            Self::SuppressEscalation(_) => "suppress_escalation",
            Self::EvaluateRecurrence(_) => "evaluate_recurrence",
            Self::AliasCauses(_) => "alias_causes",
            Self::AdoptPrevention(_) => "adopt_prevention",
            Self::RecordCompliance(_) => "record_compliance",
            Self::RecordDigest(_) => "record_digest",
            Self::RecordJobRuns(_) => "record_job_runs",
            Self::RecordDeliveries(_) => "record_deliveries",
            Self::RejectInput(_) => "reject_input",
        }
    }

    /// Returns the incident of the request. `None` if it opens an incident or is not about one.
    pub fn incident_id(&self) -> Option<IncidentId> {
        match self {
            Self::RecordReport(_)
            | Self::OpenIncident(_)
            | Self::AliasCauses(_)
            | Self::AdoptPrevention(_)
            | Self::RecordDigest(_)
            | Self::RecordJobRuns(_)
            | Self::RecordDeliveries(_)
            | Self::RejectInput(_) => None,
            Self::LogEvent(step) => Some(step.incident_id),
            Self::AcknowledgeIncident(step) => Some(step.incident_id),
            Self::RecordRootCause(step) => Some(step.incident_id),
            Self::RecordRemediation(step) => Some(step.incident_id),
            Self::RecordVerification(step) => Some(step.incident_id),
            Self::EscalateIncident(step) => Some(step.incident_id),
            Self::CloseIncident(step) => Some(step.incident_id),
            Self::ReopenIncident(step) => Some(step.incident_id),
            Self::CorrectEvent(step) => Some(step.incident_id),
            Self::EvaluateEscalations(step) => Some(step.incident_id),
            Self::AcknowledgeEscalation(step) => Some(step.alert.incident_id),
            Self::ResolveEscalation(step) => Some(step.alert.incident_id),
            Self::SuppressEscalation(step) => Some(step.alert.incident_id),
            Self::EvaluateRecurrence(evaluation) => Some(evaluation.incident_id),
            Self::RecordCompliance(request) => request.incident_id,
        }
    }

    /// Returns the last ledger row from which the request was computed. Conflicting later rows make it stale.
    pub fn based_on(&self) -> Option<u64> {
        match self {
            Self::EvaluateRecurrence(evaluation) => Some(evaluation.based_on),
            Self::AliasCauses(request) => Some(request.based_on),
            Self::RecordCompliance(request) => Some(request.based_on),
            Self::RecordDigest(request) => Some(request.based_on),
            Self::RecordJobRuns(request) => Some(request.based_on),
            Self::RecordDeliveries(request) => request.based_on,
            _ => None,
        }
    }

    /// Returns the request that must be recorded before this one.
    pub fn after(&self) -> Option<&Id> {
        match self {
            Self::EvaluateRecurrence(evaluation) => evaluation.after.as_ref(),
            _ => None,
        }
    }

    /// Returns the actor of the request.
    pub fn actor(&self) -> &Id {
        match self {
            Self::RecordReport(report) | Self::OpenIncident(report) => &report.actor,
            Self::LogEvent(step) => &step.actor,
            Self::AcknowledgeIncident(step) => &step.actor,
            Self::RecordRootCause(step) => &step.actor,
            Self::RecordRemediation(step) => &step.actor,
            Self::RecordVerification(step) => &step.actor,
            Self::EscalateIncident(step) => &step.actor,
            Self::CloseIncident(step) => &step.actor,
            Self::ReopenIncident(step) => &step.actor,
            Self::CorrectEvent(step) => &step.actor,
            Self::EvaluateEscalations(step) => &step.actor,
            Self::AcknowledgeEscalation(step) => &step.actor,
            Self::ResolveEscalation(step) => &step.actor,
            Self::SuppressEscalation(step) => &step.actor,
            Self::EvaluateRecurrence(evaluation) => &evaluation.actor,
            Self::AliasCauses(request) => &request.actor,
            Self::AdoptPrevention(step) => &step.actor,
            Self::RecordCompliance(request) => &request.actor,
            Self::RecordDigest(request) => &request.actor,
            Self::RecordJobRuns(request) => &request.actor,
            Self::RecordDeliveries(request) => &request.actor,
            Self::RejectInput(request) => &request.actor,
        }
    }

    /// Returns true if the request is stale after `other` was recorded, because it was computed without it.
    pub fn conflicts_with(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::EvaluateRecurrence(own), Self::EvaluateRecurrence(other)) => own.cause == other.cause,
            (Self::RecordDigest(own), Self::RecordDigest(other)) => {
                let week = |request: &RecordDigest| {
                    let week = &request.digest.week;
                    (week.week.clone(), week.time_zone.clone())
                };
                week(own) == week(other)
            }
            (Self::RecordJobRuns(own), Self::RecordJobRuns(other)) => own.workspace_id == other.workspace_id,
            (Self::RecordCompliance(own), Self::RecordCompliance(other)) => {
                own.workspace.id == other.workspace.id && own.resource.id == other.resource.id
            }
            // The report opened an incident about the job's settings that already contains these checks.
            (Self::RecordCompliance(own), Self::RecordReport(report)) => {
                report.incident.kind == IncidentType::ValidationGap
                    && report.workspace.id == own.workspace.id
                    && report.resources.iter().any(|resource| resource.id == own.resource.id)
            }
            (Self::RecordDeliveries(own), Self::RecordDeliveries(other)) => own.conflicts_with_deliveries(other),
            (Self::RecordDeliveries(own), other) => other.incident_id().is_some_and(|id| own.decides_about(id)),
            (_, Self::RecordDeliveries(_)) => false,
            // Merged or split causes change the result of every scan. Digests show such changes in a revision.
            (Self::RecordDigest(_) | Self::RecordCompliance(_) | Self::RecordJobRuns(_), _)
            | (_, Self::RecordDigest(_) | Self::RecordCompliance(_) | Self::RecordJobRuns(_)) => false,
            _ => self.based_on().is_some() && other.based_on().is_some(),
        }
    }

    /// Returns the workspace of a request that is not about an incident.
    pub fn workspace_id(&self) -> Option<&Id> {
        match self {
            Self::RecordCompliance(request) => Some(&request.workspace.id),
            Self::RecordJobRuns(request) => Some(&request.workspace_id),
            _ => None,
        }
    }

    /// Returns true if the request may change the state of its incident.
    pub fn changes_incident(&self) -> bool {
        matches!(
            self,
            Self::LogEvent(_)
                | Self::AcknowledgeIncident(_)
                | Self::RecordRootCause(_)
                | Self::RecordRemediation(_)
                | Self::RecordVerification(_)
                | Self::EscalateIncident(_)
                | Self::CloseIncident(_)
                | Self::ReopenIncident(_)
                | Self::CorrectEvent(_)
                | Self::RecordCompliance(_)
        )
    }
}

/// Request that records the result of a recurrence scan for one cause.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvaluateRecurrence {
    pub actor: Id,
    /// Incident whose alert is evaluated: the one that started the episode, else the latest incident of the cause.
    pub incident_id: IncidentId,
    /// Time up to which incidents were included.
    pub as_of: Timestamp,
    /// Last ledger row that the scan read.
    pub based_on: u64,
    /// Fingerprint of the cause, after merges.
    pub cause: String,
    /// Number of occurrences that make a cause recurring.
    pub threshold: u32,
    /// Length of the window, hours.
    pub window_hours: u32,
    /// Highest number of occurrences in one window, if it was computed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fullest: Option<u64>,
    /// Earlier request of the same scan about the same cause, which does not make this one stale.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Id>,
    /// Change of the episode. `None`: there is none, or it is unchanged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub change: Option<EpisodeChange>,
    /// Preventive actions that are proposed, or whose effect was evaluated.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub prevention: Vec<PreventionChange>,
}

/// Change of an episode.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EpisodeChange {
    pub episode_id: Id,
    pub event: EpisodeEvent,
    /// Reason of the change.
    pub reason: String,
    /// Ledger row of the previous change of the episode.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub follows: Option<u64>,
    pub issue: Issue,
}

/// New state of a preventive action.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PreventionChange {
    pub action: Id,
    pub state: PreventionState,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// Request that merges causes or splits them again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AliasCauses {
    pub actor: Id,
    pub at: Timestamp,
    /// Causes and the cause that each counts as; the cause itself after a split. The target is never an alias.
    pub aliases: Vec<CauseAlias>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Last ledger row when the aliases were read.
    pub based_on: u64,
}

/// Request that records changed results of the compliance checks of a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordCompliance {
    pub actor: Id,
    pub at: Timestamp,
    pub workspace: Workspace,
    /// The job.
    pub resource: Resource,
    /// Incident about the job's settings. `None`: no check ever failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub incident_id: Option<IncidentId>,
    /// Last ledger row when the earlier results were read.
    pub based_on: u64,
    /// Results of all checks.
    pub checks: Vec<Check>,
    /// Event for the timeline of the incident.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event: Option<Event>,
    /// Remediation of the failed checks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remediation: Vec<Remediation>,
}

/// Request that records the digest of a week.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordDigest {
    pub actor: Id,
    /// Last ledger row when the previous revision was read.
    pub based_on: u64,
    pub digest: Digest,
}

/// Request that records finished job runs that a sweep of a workspace found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordJobRuns {
    pub actor: Id,
    pub workspace_id: Id,
    /// Start of the swept time range.
    pub since: Timestamp,
    /// Start of the sweep.
    pub until: Timestamp,
    /// True if another row follows with more runs of the same sweep. False in the last row: all runs that started before
    /// `until` are recorded then.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub more: bool,
    /// Last ledger row when the recorded runs were read.
    pub based_on: u64,
    /// Previous ledger row with runs of this workspace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub follows: Option<u64>,
    /// Last notification that run outputs cannot be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told: Option<OutputAccessAlert>,
    /// Runs that were active.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub active: Vec<Id>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub runs: Vec<EndedRun>,
}

/// Request that records a rejected input, without its content.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RejectInput {
    pub actor: Id,
    /// Source file.
    pub source: String,
    /// Line of a document in a file with several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// SHA-256 of its bytes.
    pub input_hash: String,
    /// Reasons of the rejection.
    pub problems: Vec<Problem>,
}

/// Acknowledgement of a request: its position in the ledger. Sending the request again returns the same receipt.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Receipt {
    pub request_id: Id,
    pub incident_id: Option<IncidentId>,
    /// Row in the audit log.
    pub seq: u64,
    pub recorded_at: Timestamp,
    pub entry_hash: String,
    /// SHA-256 over the redacted request as canonical JSON.
    pub request_hash: String,
}

/// A cause and the cause that it counts as.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CauseAlias {
    pub cause: String,
    pub counts_as: String,
}

/// Facts that were decided when the request was recorded.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Facts {
    /// Incident that the request opened or is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub incident_id: Option<IncidentId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finding: Option<RootCauseFinding>,
    /// Event that a step added to the timeline.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event: Option<TimelineAddition>,
    /// State of the incident after a step. For a report, it follows from the report.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub incident: Option<Box<Incident>>,
    /// Results of all evaluated triggers and changes of alerts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alerts: Vec<AlertChange>,
    /// Number of redacted secrets, by kind.
    #[serde(default, skip_serializing_if = "Redactions::is_empty")]
    pub redactions: Redactions,
}

/// Finding of a root-cause analysis.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RootCauseFinding {
    /// `None`: the cause is unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
    /// Effective confidence.
    pub confidence: Confidence,
    /// Why it differs from the reported confidence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confidence_forced_because: Option<String>,
}

impl EvaluateRecurrence {
    /// Returns the verdict of the recurring trigger. It holds while the episode is open.
    pub fn verdict(&self, policy: &Policy) -> TriggerVerdict {
        let change = self.change.as_ref();
        let issue = change.map(|change| &change.issue);
        let holds = change.is_some_and(|change| change.event != EpisodeEvent::Closed);
        let names = issue.map_or_else(String::new, Issue::names);
        let small = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
        let mut verdict = recurring_verdict(
            Some(Recurrence {
                holds,
                occurrences: small(issue.map_or(self.fullest.unwrap_or(0), |issue| issue.occurrences)),
                threshold: self.threshold,
                window_hours: self.window_hours,
                root_cause: issue.map_or(&self.cause, |issue| &issue.root_cause),
                incidents: &names,
            }),
            policy,
        );
        if let Some(change) = change.filter(|_| !holds) {
            verdict.reason = format!("the episode is closed: {}", change.reason);
        }
        verdict
    }
}
