//! The artifacts of an incident: everything that is shown after its analysis, derived from the recorded rows.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use super::{OpsError, incident, reading::newest_runbook};
use crate::{
    analytics::{
        self,
        engine::{Engine, Parameters},
    },
    domain::{
        escalation::status::AlertEvent,
        ids::IncidentId,
        recurrence::{current_aliases, event::EpisodeEvent},
    },
    lake::Lake,
    render::{self, alert, audit, recurring as recurring_text, timeline},
    tables::{
        project::Projections,
        rows::{AuditRow, EscalationEvent, RecurrenceEvent},
    },
};

/// Timeline, runbook, trigger evaluations, audit entry and recurrence of one incident.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Artifacts {
    pub incident_id: IncidentId,
    /// The INCIDENT TIMELINE, to be shown as it is.
    pub timeline: String,
    /// The RUNBOOK ENTRY of every remediation step, to be shown as it is. Null without steps.
    pub runbook: Option<String>,
    /// Every evaluation of an escalation trigger.
    pub evaluations: Vec<EscalationEvent>,
    /// The AUDIT LOG ENTRY, to be shown as it is.
    pub audit: String,
    /// The recurring issues that the incident is part of.
    pub recurring: Vec<RecurrenceEvent>,
}

impl Artifacts {
    /// Gathers the artifacts as of row `seq` of the audit log, or the incident's latest row. `fresh`: the events of a
    /// recurrence scan that just ran; without it the recorded issues are read.
    ///
    /// # Errors
    /// [`OpsError::NoIncident`], [`OpsError::NoAuditRow`], or the lake's.
    pub async fn of(
        lake: &Lake,
        id: IncidentId,
        seq: Option<u64>,
        fresh: Option<&[RecurrenceEvent]>,
    ) -> Result<Self, OpsError> {
        let (rows, projections) = incident(lake, id).await?;
        let row = match seq {
            Some(seq) => rows.iter().find(|row| row.seq == seq).cloned().ok_or(OpsError::NoAuditRow(seq))?,
            None => rows.last().cloned().ok_or(OpsError::NoIncident(id))?,
        };
        let recurring = match fresh {
            Some(fresh) => fresh_with(fresh, id, &projections),
            None => recurring_with(lake, &projections).await?,
        };
        let runbook = newest_runbook(id, &projections).map(|runbook| render::runbook::text(&runbook));
        Ok(Self {
            incident_id: id,
            timeline: timeline::incident(&record(&rows, &projections)),
            runbook,
            audit: audit::entry(&row),
            recurring,
            evaluations: projections.escalation_events,
        })
    }

    /// Returns the texts in the order in which they are shown.
    pub fn texts(&self) -> impl Iterator<Item = String> {
        let fired = self.evaluations.iter().filter(|event| event.event == AlertEvent::Fired).map(alert::alert);
        [self.timeline.clone()]
            .into_iter()
            .chain(self.runbook.clone())
            .chain(fired)
            .chain([alert::evaluations(&self.evaluations), self.audit.clone()])
            .chain(self.recurring.iter().map(recurring_text::event))
    }
}

/// Returns the events of `fresh` that are about the incident or its causes.
fn fresh_with(fresh: &[RecurrenceEvent], id: IncidentId, projections: &Projections) -> Vec<RecurrenceEvent> {
    let is_cause = |event: &&RecurrenceEvent| {
        let causes = projections.root_causes.iter().filter_map(|finding| finding.cause_fingerprint.as_ref());
        event.incident_id == id || causes.into_iter().any(|cause| *cause == event.cause_fingerprint)
    };
    let found = fresh.iter().filter(|event| event.event != EpisodeEvent::Closed).filter(is_cause);
    found.cloned().collect()
}

/// Reads the open recurring issues of the incident's causes.
async fn recurring_with(lake: &Lake, projections: &Projections) -> Result<Vec<RecurrenceEvent>, OpsError> {
    let found: Vec<&str> =
        projections.root_causes.iter().filter_map(|finding| finding.cause_fingerprint.as_deref()).collect();
    if found.is_empty() {
        return Ok(Vec::new());
    }
    let aliases = analytics::recurrence::aliases(Engine::Local(lake)).await?;
    let current: BTreeMap<&str, &str> = current_aliases(&aliases);
    let (mut names, mut parameters) = (Vec::new(), Parameters::new());
    for (at, cause) in found.iter().map(|cause| current.get(cause).copied().unwrap_or(cause)).enumerate() {
        names.push(format!(":cause_{at}"));
        parameters.push((format!("cause_{at}"), cause.into()));
    }
    let sql = format!(
        "SELECT * FROM recurring_issues WHERE event <> 'closed' AND cause_fingerprint IN ({}) ORDER BY seq",
        names.join(", ")
    );
    Ok(Engine::Local(lake).rows(&sql, &parameters).await?)
}

/// Returns the recorded rows of an incident in the shape that the renderers take.
pub fn record<'a>(audit: &'a [AuditRow], projections: &'a Projections) -> timeline::IncidentRecord<'a> {
    timeline::IncidentRecord {
        states: &projections.incident_states,
        events: &projections.timeline_events,
        causes: &projections.root_causes,
        checks: &projections.practice_checks,
        steps: &projections.runbooks,
        alerts: &projections.escalation_events,
        audit,
    }
}
