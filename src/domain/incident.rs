//! Incidents: their state, their timeline and the rules for requests.
//!
//! [`History`] is the fold of all entries of one incident. A request is decided against it ([`History::decide`]) before it
//! is recorded, and is applied to it ([`History::apply`]) afterwards. Replaying the ledger gives the same history.

pub mod classification;
mod history;
pub mod timeline;

use serde::{Deserialize, Serialize};

use super::{
    decide,
    entry::RootCauseFinding,
    ids::{EventRef, Id, IncidentId},
    incident::{
        classification::{IncidentType, Status},
        timeline::EventKind,
    },
    remediation::RemediationResult,
    report::{Event, Report, Resource, Workspace},
    time::Timestamp,
};

pub use history::{History, opening_facts};

/// State of an incident after a request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Incident {
    #[serde(rename = "type")]
    pub kind: IncidentType,
    pub status: Status,
    pub slug: Id,
    pub title: String,
    pub reporter: Id,
    pub workspace: Workspace,
    /// Affected resources, the most important first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<Resource>,
    pub reported_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub impact_started_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detected_at: Option<Timestamp>,
    /// Time of the first explicit ACK.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acknowledged_at: Option<Timestamp>,
    /// Time of the first successful REMEDIATE or VERIFY.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mitigated_at: Option<Timestamp>,
    /// Time of the first CLOSE.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_resolved_at: Option<Timestamp>,
    /// Time of the CLOSE that ended the last open interval; only of a resolved incident.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resolved_at: Option<Timestamp>,
    /// Number of times it was reopened.
    pub reopened: i32,
    /// Sum of the open intervals of a resolved incident, microseconds. `None` if one is negative.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub open_micros: Option<i64>,
    /// Root cause as text, from the latest analysis.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root_cause: Option<String>,
    /// Latest finding.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finding: Option<RootCauseFinding>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compliance_impact: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lessons_learned: Vec<String>,
}

impl Incident {
    /// Creates the state of an incident that a report opens.
    pub fn of(report: &Report) -> Self {
        let events = report_events(0, report);
        let incident = &report.incident;
        let mut opened = Self {
            kind: incident.kind,
            status: incident.status,
            slug: incident.slug.clone(),
            title: incident.title.clone(),
            reporter: incident.reporter.clone(),
            workspace: report.workspace.clone(),
            resources: report.resources.clone(),
            reported_at: incident.reported_at,
            impact_started_at: incident.impact_started_at,
            detected_at: incident.detected_at,
            acknowledged_at: None,
            mitigated_at: None,
            first_resolved_at: None,
            resolved_at: None,
            reopened: 0,
            open_micros: None,
            root_cause: report.rca.as_ref().map(|rca| rca.root_cause.clone()),
            finding: report.rca.as_ref().map(decide::finding),
            compliance_impact: report.compliance_impact.clone(),
            lessons_learned: report.lessons_learned.clone(),
        };
        opened.update_times(&events);
        opened
    }

    /// Returns the key by which occurrences of a cause are counted. Incidents about one job run share a key, because a
    /// repair or retry is not a new failure.
    pub fn occurrence_key(&self, id: IncidentId) -> String {
        match self.resources.iter().find(|resource| resource.kind.as_str() == "job_run") {
            Some(run) => format!("run {}/{}", self.workspace.id, run.id),
            None => id.to_string(),
        }
    }

    /// Returns the ids of the resources and the workspace; see [`resource_ids`].
    pub fn resource_ids(&self) -> String {
        resource_ids(&self.resources, &self.workspace)
    }

    /// Sets the times and durations that follow from the events.
    fn update_times(&mut self, events: &[LoggedEvent]) {
        let counting = || events.iter().filter(|logged| logged.counts());
        let first = |wanted: &dyn Fn(&LoggedEvent) -> bool| counting().filter(|l| wanted(l)).map(|l| l.event.at).min();
        self.acknowledged_at = first(&|logged| logged.event.kind == EventKind::Ack);
        self.mitigated_at = first(&|logged| logged.mitigates);
        let intervals = open_intervals(self.reported_at, events);
        self.reopened = i32::try_from(intervals.len() - 1).unwrap_or(i32::MAX);
        self.first_resolved_at = intervals.first().and_then(|(_, end)| *end);
        let last = intervals.last().and_then(|(_, end)| *end);
        self.resolved_at = last.filter(|_| self.status == Status::Resolved);
        let lengths = intervals.iter().map(|(from, to)| Some(to.as_ref()?.micros() - from.micros()));
        self.open_micros = if self.resolved_at.is_some() {
            lengths.map(|length| length.filter(|micros| *micros >= 0)).sum()
        } else {
            None
        };
    }
}

/// Returns `kind_id=id` for each resource and for the workspace, in the format of the audit log.
pub fn resource_ids(resources: &[Resource], workspace: &Workspace) -> String {
    let resources = resources.iter().filter(|resource| resource.kind.as_str() != "workspace");
    let mut ids: Vec<String> = resources.map(|resource| format!("{}_id={}", resource.kind, resource.id)).collect();
    ids.push(format!("workspace_id={}", workspace.id));
    ids.join(", ")
}

/// Returns the intervals in which the incident was open, in order. The last interval of an open incident has no end. A CLOSE
/// of a closed incident and a REOPEN of an open one have no effect.
fn open_intervals(reported_at: Timestamp, events: &[LoggedEvent]) -> Vec<(Timestamp, Option<Timestamp>)> {
    let mut changes: Vec<&LoggedEvent> = events
        .iter()
        .filter(|logged| logged.counts() && matches!(logged.event.kind, EventKind::Close | EventKind::Reopen))
        .collect();
    changes.sort_by_key(|logged| (logged.event.at, logged.at));
    let mut intervals = vec![(reported_at, None)];
    for change in changes {
        let Some((_, end)) = intervals.last_mut() else { break };
        match (change.event.kind, &end) {
            (EventKind::Close, None) => *end = Some(change.event.at),
            (EventKind::Reopen, Some(_)) => intervals.push((change.event.at, None)),
            _ => {}
        }
    }
    intervals
}

/// A timeline event with its corrections.
#[derive(Debug, Clone, PartialEq)]
pub struct LoggedEvent {
    pub at: EventRef,
    pub event: Event,
    /// True for a successful REMEDIATE or VERIFY.
    mitigates: bool,
    /// Event that corrected or withdrew it.
    superseded_by: Option<EventRef>,
    /// True if it withdraws another event and has no content itself.
    withdrawal: bool,
    pub duplicate_of: Option<EventRef>,
}

impl LoggedEvent {
    fn counts(&self) -> bool {
        self.superseded_by.is_none() && self.duplicate_of.is_none() && !self.withdrawal
    }

    fn is_same_event(&self, other: &Event) -> bool {
        self.counts()
            && self.event.kind == other.kind
            && self.event.at == other.at
            && self.event.message == other.message
    }
}

/// Returns the events of a report. A repeated event counts once. If a remediation step of the report failed, it is unknown
/// which REMEDIATE events succeeded, so none of its events mitigates.
pub fn report_events(seq: u64, report: &Report) -> Vec<LoggedEvent> {
    let failed = report.remediation.iter().any(|step| step.result == Some(RemediationResult::Failed));
    let mut events: Vec<LoggedEvent> = Vec::with_capacity(report.timeline.len());
    for (ordinal, event) in (1..).zip(&report.timeline) {
        let mitigates = !failed && matches!(event.kind, EventKind::Remediate | EventKind::Verify);
        let at = EventRef { seq, ordinal };
        let duplicate_of = events.iter().find(|earlier| earlier.is_same_event(event)).map(|earlier| earlier.at);
        events.push(LoggedEvent {
            at,
            event: event.clone(),
            mitigates,
            superseded_by: None,
            withdrawal: false,
            duplicate_of,
        });
    }
    events
}

/// Reason why a request is not legal, with a hint about the legal requests.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    pub message: String,
    pub hint: String,
}

/// Event that a step adds to the timeline.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimelineAddition {
    pub event: Event,
    /// True for a successful REMEDIATE or VERIFY.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub mitigates: bool,
    /// Event that it corrects or withdraws.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub supersedes: Option<EventRef>,
    /// True if it withdraws that event.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub withdrawn: bool,
    /// Earlier event with the same content.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duplicate_of: Option<EventRef>,
}
