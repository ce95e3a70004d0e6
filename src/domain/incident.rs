//! An incident as its requests make it: what happened, where it stands, what may happen next.
//!
//! [`History`] is the fold of everything recorded about one incident. A request is decided against it ([`History::decide`])
//! before it is recorded, and becomes part of it ([`History::apply`]) afterwards; replaying the ledger gives the same.

mod history;

use serde::{Deserialize, Serialize};

use super::{
    decide,
    entry::Finding,
    ids::{EventRef, Id, IncidentId},
    report::{Event, Report, Resource, Workspace},
    time::Timestamp,
    words::{EventKind, IncidentType, RemediationResult, Status},
};

pub use history::{History, opening_facts};

/// What is known of an incident from some request on.
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
    /// What was affected, the most important first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<Resource>,
    pub reported_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub impact_started_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detected_at: Option<Timestamp>,
    /// The first explicit ACK.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acknowledged_at: Option<Timestamp>,
    /// The first successful REMEDIATE or VERIFY.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mitigated_at: Option<Timestamp>,
    /// The first CLOSE.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_resolved_at: Option<Timestamp>,
    /// The CLOSE that ended the last open interval, of a resolved incident only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resolved_at: Option<Timestamp>,
    /// How often it was reopened.
    pub reopened: i32,
    /// Microseconds in all open intervals together, once it is resolved. `None` when one would be negative.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub open_micros: Option<i64>,
    /// The root cause in the words of the latest finding.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root_cause: Option<String>,
    /// The latest finding.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finding: Option<Finding>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compliance_impact: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lessons_learned: Vec<String>,
}

impl Incident {
    /// The incident that a report opens.
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
        opened.measure(&events);
        opened
    }

    /// Several incidents about one job run are one occurrence of their cause: a repair or a retry is no new failure.
    pub fn occurrence_key(&self, id: IncidentId) -> String {
        match self.resources.iter().find(|resource| resource.kind.as_str() == "job_run") {
            Some(run) => format!("run {}/{}", self.workspace.id, run.id),
            None => id.to_string(),
        }
    }

    /// [`resource_ids`].
    pub fn resource_ids(&self) -> String {
        resource_ids(&self.resources, &self.workspace)
    }

    /// Sets every time that follows from the events.
    fn measure(&mut self, events: &[Logged]) {
        let counting = || events.iter().filter(|logged| logged.counts());
        let first = |wanted: &dyn Fn(&Logged) -> bool| counting().filter(|l| wanted(l)).map(|l| l.event.at).min();
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

/// `kind_id=id` of each resource and the workspace's, as the audit log has it.
pub fn resource_ids(resources: &[Resource], workspace: &Workspace) -> String {
    let resources = resources.iter().filter(|resource| resource.kind.as_str() != "workspace");
    let mut ids: Vec<String> = resources.map(|resource| format!("{}_id={}", resource.kind, resource.id)).collect();
    ids.push(format!("workspace_id={}", workspace.id));
    ids.join(", ")
}

/// Stretches in which the incident was open, in order; the last has no end while it is. A CLOSE of something closed and a
/// REOPEN of something open change nothing.
fn open_intervals(reported_at: Timestamp, events: &[Logged]) -> Vec<(Timestamp, Option<Timestamp>)> {
    let mut turns: Vec<&Logged> = events
        .iter()
        .filter(|logged| logged.counts() && matches!(logged.event.kind, EventKind::Close | EventKind::Reopen))
        .collect();
    turns.sort_by_key(|logged| (logged.event.at, logged.at));
    let mut intervals = vec![(reported_at, None)];
    for turn in turns {
        let Some((_, end)) = intervals.last_mut() else { break };
        match (turn.event.kind, &end) {
            (EventKind::Close, None) => *end = Some(turn.event.at),
            (EventKind::Reopen, Some(_)) => intervals.push((turn.event.at, None)),
            _ => {}
        }
    }
    intervals
}

/// An event and what became of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Logged {
    pub at: EventRef,
    pub event: Event,
    /// It is a successful REMEDIATE or VERIFY.
    mitigates: bool,
    /// Corrected or withdrawn by that event.
    superseded_by: Option<EventRef>,
    /// It takes another back and says nothing itself.
    withdrawal: bool,
    pub duplicate_of: Option<EventRef>,
}

impl Logged {
    fn counts(&self) -> bool {
        self.superseded_by.is_none() && self.duplicate_of.is_none() && !self.withdrawal
    }

    fn says_the_same(&self, other: &Event) -> bool {
        self.counts()
            && self.event.kind == other.kind
            && self.event.at == other.at
            && self.event.message == other.message
    }
}

/// The events of a report. An event that stands there twice counts once. A report whose steps include a failed one does not
/// say which of its REMEDIATE events succeeded: then none does.
pub fn report_events(seq: u64, report: &Report) -> Vec<Logged> {
    let failed = report.remediation.iter().any(|step| step.result == Some(RemediationResult::Failed));
    let mut events: Vec<Logged> = Vec::with_capacity(report.timeline.len());
    for (ordinal, event) in (1..).zip(&report.timeline) {
        let mitigates = !failed && matches!(event.kind, EventKind::Remediate | EventKind::Verify);
        let at = EventRef { seq, ordinal };
        let duplicate_of = events.iter().find(|earlier| earlier.says_the_same(event)).map(|earlier| earlier.at);
        events.push(Logged {
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

/// Why a request cannot be recorded, and what could be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    pub message: String,
    pub hint: String,
}

/// What a step adds to the timeline.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Addition {
    pub event: Event,
    /// It is a successful REMEDIATE or VERIFY.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub mitigates: bool,
    /// The event that it corrects or takes back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub supersedes: Option<EventRef>,
    /// It takes that event back.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub withdrawn: bool,
    /// The earlier event that says the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duplicate_of: Option<EventRef>,
}
