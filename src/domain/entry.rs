//! The ledger entry: a whole redacted request and the facts decided from it.
//!
//! Everything else in the lake, the typed columns of `audit_log` included, is computed from entries.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    cause::Cause,
    delivery::RecordDeliveries,
    digest::Digest,
    escalation::{AlertChange, Recurrence, Verdict, recurring_verdict},
    ids::{Id, IncidentId},
    incident::{Addition, Incident},
    policy::Policy,
    problems::Problem,
    recurrence::issue::Issue,
    redact::Redactions,
    report::{Check, Event, Remediation, Report, Resource, Workspace},
    steps::{
        AcknowledgeEscalation, AcknowledgeIncident, AdoptPrevention, CloseIncident, CorrectEvent, EscalateIncident,
        EvaluateEscalations, LogEvent, RecordRemediation, RecordRootCause, RecordVerification, ReopenIncident,
        ResolveEscalation, SuppressEscalation,
    },
    sweep::{SeenRun, Told},
    time::Timestamp,
    words::{Confidence, EpisodeEvent, IncidentType, Interface, PreventionState},
};

/// Version of the entry's shape, in every entry.
pub const ENTRY_VERSION: u32 = 1;

/// What one row of `audit_log` says, as canonical JSON (RFC 8785) in its `entry` column.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    pub version: u32,
    /// 1, 2, 3 … without gaps.
    pub seq: u64,
    /// When the ledger took it.
    pub recorded_at: Timestamp,
    /// Where it came in.
    pub interface: Interface,
    /// The id under which it is recorded once.
    pub request_id: Id,
    pub request: Request,
    pub facts: Facts,
}

impl Entry {
    /// Canonical JSON: sorted keys, no white space, one spelling of every number.
    ///
    /// # Errors
    /// Only if a value cannot be JSON at all, which parsing has excluded.
    pub fn canonical(&self) -> Result<String, serde_json::Error> {
        canonical(self)
    }

    /// When what it decided about alerts counts: when somebody dealt with them, else when the ledger took it.
    pub fn decided_at(&self) -> Timestamp {
        let said = match &self.request {
            Request::AcknowledgeIncident(step) => step.at,
            Request::CloseIncident(step) => step.at,
            Request::AcknowledgeEscalation(step) => step.at,
            Request::ResolveEscalation(step) => step.at,
            Request::SuppressEscalation(step) => step.at,
            _ => None,
        };
        said.unwrap_or(self.recorded_at)
    }

    /// # Errors
    /// When the text is not an entry of a version this binary knows.
    pub fn parse(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }
}

/// RFC 8785.
///
/// # Errors
/// Only if a value cannot be JSON at all.
pub fn canonical(value: &impl Serialize) -> Result<String, serde_json::Error> {
    serde_json_canonicalizer::to_string(value)
}

/// A request as it is stored: redacted, aliases resolved, times in UTC.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "body", rename_all = "snake_case")]
pub enum Request {
    /// An investigation handed in whole.
    RecordReport(Box<Report>),
    /// An incident that is logged step by step from here on.
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
    /// What a scan found out about one cause.
    EvaluateRecurrence(Box<EvaluateRecurrence>),
    AliasCauses(AliasCauses),
    AdoptPrevention(AdoptPrevention),
    /// What the settings of a job were checked for, and what was found.
    RecordCompliance(Box<RecordCompliance>),
    /// The digest of a week, or a revision of it.
    RecordDigest(Box<RecordDigest>),
    /// The runs of a workspace that a sweep found.
    RecordJobRuns(Box<RecordJobRuns>),
    /// What was sent to people, or is about to be.
    RecordDeliveries(Box<RecordDeliveries>),
    /// An input that could not become a record.
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
    /// The request's name in `audit_log.request_kind`.
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

    /// The incident it is about, unless it opens one or is about none.
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

    /// The ledger's row that it was computed from: it holds only as long as nothing of its kind was recorded since.
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

    /// The request that goes before it: without that recorded it does not hold.
    pub fn after(&self) -> Option<&Id> {
        match self {
            Self::EvaluateRecurrence(evaluation) => evaluation.after.as_ref(),
            _ => None,
        }
    }

    /// Who asks.
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

    /// Whether this, computed before `other` was recorded, would say something else now.
    pub fn overtaken_by(&self, other: &Self) -> bool {
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
            // Somebody opened the incident about the job's settings, which holds these checks.
            (Self::RecordCompliance(own), Self::RecordReport(report)) => {
                report.incident.kind == IncidentType::ValidationGap
                    && report.workspace.id == own.workspace.id
                    && report.resources.iter().any(|resource| resource.id == own.resource.id)
            }
            (Self::RecordDeliveries(own), Self::RecordDeliveries(other)) => own.overtaken_by_deliveries(other),
            (Self::RecordDeliveries(own), other) => other.incident_id().is_some_and(|id| own.decides_about(id)),
            (_, Self::RecordDeliveries(_)) => false,
            // What counts as one cause changes what every scan finds. A digest tells it in a revision.
            (Self::RecordDigest(_) | Self::RecordCompliance(_) | Self::RecordJobRuns(_), _)
            | (_, Self::RecordDigest(_) | Self::RecordCompliance(_) | Self::RecordJobRuns(_)) => false,
            _ => self.based_on().is_some() && other.based_on().is_some(),
        }
    }

    /// The workspace it is about, where it is about no incident.
    pub fn workspace_id(&self) -> Option<&Id> {
        match self {
            Self::RecordCompliance(request) => Some(&request.workspace.id),
            Self::RecordJobRuns(request) => Some(&request.workspace_id),
            _ => None,
        }
    }

    /// Whether what is known of the incident itself may be another afterwards.
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

/// A scan looked at all occurrences of one cause.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvaluateRecurrence {
    pub actor: Id,
    /// The incident at which the episode became one, whose alert this is; else the cause's latest incident.
    pub incident_id: IncidentId,
    /// The moment up to which incidents were looked at.
    pub as_of: Timestamp,
    /// The ledger's last row that the scan saw.
    pub based_on: u64,
    /// Identity of the cause, after merges.
    pub cause: String,
    /// How many occurrences make a cause recurring.
    pub threshold: u32,
    /// Within how many hours.
    pub window_hours: u32,
    /// The most occurrences that ever fell within one window, where that was looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fullest: Option<u64>,
    /// The request about the same cause that goes before it, of the same look: with it recorded, this one still holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Id>,
    /// What became of an episode. `None`: there is none, or it is as it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub change: Option<EpisodeChange>,
    /// Preventive actions that were proposed by this, or turned out to work or not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub prevention: Vec<PreventionChange>,
}

/// What became of an episode.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EpisodeChange {
    pub episode_id: Id,
    pub event: EpisodeEvent,
    /// Why.
    pub reason: String,
    /// The ledger's row with what was known of it before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub follows: Option<u64>,
    pub issue: Issue,
}

/// A new state of a preventive action.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PreventionChange {
    pub action: Id,
    pub state: PreventionState,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// People declare causes to be one, or split them again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AliasCauses {
    pub actor: Id,
    pub at: Timestamp,
    /// Each cause and what it counts as from now on; itself after a split. What they count as is never an alias itself.
    pub aliases: Vec<Alias>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The ledger's last row when the aliases were looked up.
    pub based_on: u64,
}

/// The settings of a job were checked, and something else was found than before.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordCompliance {
    pub actor: Id,
    pub at: Timestamp,
    pub workspace: Workspace,
    /// The job.
    pub resource: Resource,
    /// The incident about its settings. `None`: there is none, because nothing ever failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub incident_id: Option<IncidentId>,
    /// The ledger's last row when what was found before was looked up.
    pub based_on: u64,
    /// All of what was checked.
    pub checks: Vec<Check>,
    /// What it adds to the timeline of the incident.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event: Option<Event>,
    /// How to put right what fails.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remediation: Vec<Remediation>,
}

/// The digest of a week was made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordDigest {
    pub actor: Id,
    /// The ledger's last row when the revision before was looked up.
    pub based_on: u64,
    pub digest: Digest,
}

/// The runs that a sweep of a workspace found ended, and were not recorded so.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordJobRuns {
    pub actor: Id,
    pub workspace_id: Id,
    /// From when on runs were listed.
    pub since: Timestamp,
    /// When the sweep began.
    pub until: Timestamp,
    /// Another row follows with more runs of the same sweep. Without it, all that started before `until` is looked at.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub more: bool,
    /// The ledger's last row when it was looked up what is recorded.
    pub based_on: u64,
    /// The row that told last of runs of this workspace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub follows: Option<u64>,
    /// When people were last told that outputs may not be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told: Option<Told>,
    /// Those that were under way.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub active: Vec<Id>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub runs: Vec<SeenRun>,
}

/// An input that could not become a record, without its content.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RejectInput {
    pub actor: Id,
    /// Where it came from.
    pub source: String,
    /// Which line, where it is one of many in there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// SHA-256 of its bytes.
    pub input_hash: String,
    /// Why.
    pub problems: Vec<Problem>,
}

/// The acknowledgement: where a request stands in the ledger. The same for every time it is sent.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Receipt {
    pub request_id: Id,
    pub incident_id: Option<IncidentId>,
    /// Its row in the audit log.
    pub seq: u64,
    pub recorded_at: Timestamp,
    pub entry_hash: String,
    /// SHA-256 over the redacted request as canonical JSON.
    pub request_hash: String,
}

/// One cause and what it counts as.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Alias {
    pub cause: String,
    pub counts_as: String,
}

/// What was decided when the request was taken.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Facts {
    /// The incident it opened or is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub incident_id: Option<IncidentId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finding: Option<Finding>,
    /// What a step added to the timeline.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event: Option<Addition>,
    /// What is known of the incident after a step. A report says it itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub incident: Option<Box<Incident>>,
    /// Every trigger that was evaluated, and every change of an alert.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alerts: Vec<AlertChange>,
    /// How many secrets of which kind were taken out before anything was kept.
    #[serde(default, skip_serializing_if = "Redactions::is_empty")]
    pub redactions: Redactions,
}

/// What the root-cause analysis amounts to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Finding {
    /// `None`: the cause is unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
    /// The confidence that counts.
    pub confidence: Confidence,
    /// Why it is not the one reported.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confidence_forced_because: Option<String>,
}

impl EvaluateRecurrence {
    /// Whether the cause recurs, as the escalation trigger sees it: as long as its episode is open.
    pub fn verdict(&self, policy: &Policy) -> Verdict {
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
            verdict.reason = format!("the episode is over: {}", change.reason);
        }
        verdict
    }
}
