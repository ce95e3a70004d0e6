//! From ledger entries to the rows of every table. Pure: the same entries give the same rows, which is why a projection can
//! be deleted and rebuilt.

use std::fmt::Write;

use arrow::{array::RecordBatch, error::ArrowError};
use serde::Serialize;

use super::{
    Row, TableDef,
    rows::{AuditRow, IncidentState, PracticeCheck, RootCause, RunbookStep, TimelineEvent},
    to_batch,
};
use crate::domain::{
    chain::entry_hash,
    entry::{Entry, Request, canonical},
    ids::{Id, IncidentId, RequestKey, sha256_hex},
    report::{Report, Resource},
    time::Timestamp,
    words::{AuditAction, EventKind, RemediationResult, Status},
};

/// The audit log's row for an entry that follows `prev_hash`. `text` is the entry's canonical JSON.
///
/// # Errors
/// Only if a value cannot be JSON at all.
pub fn audit_row(entry: &Entry, text: String, prev_hash: String) -> Result<AuditRow, serde_json::Error> {
    let Request::RecordReport(report) = &entry.request;
    Ok(AuditRow {
        seq: entry.seq,
        recorded_at: entry.recorded_at,
        actor: report.actor.clone(),
        interface: entry.interface,
        action: join(actions(report)),
        request_kind: entry.request.kind().into(),
        request_id: entry.request_id.clone(),
        request_key: RequestKey::of(&entry.request_id),
        request_hash: sha256_hex(canonical(&entry.request)?),
        incident_id: Some(entry.facts.incident_id),
        incident_type: Some(report.incident.kind),
        incident_slug: Some(report.incident.slug.clone()),
        workspace_id: Some(report.workspace.id.clone()),
        resources: Some(resources(report)),
        finding_confidence: entry.facts.finding.as_ref().map(|finding| finding.confidence),
        remediation_applied: remediation_applied(report)?,
        compliance_impact: report.compliance_impact.clone(),
        status: if report.incident.status == Status::Resolved { "COMPLETE" } else { "OPEN" }.into(),
        entry_hash: entry_hash(&prev_hash, &text),
        entry: text,
        prev_hash,
    })
}

fn actions(report: &Report) -> impl Iterator<Item = &'static str> {
    let happened = |wanted: EventKind| report.timeline.iter().any(|event| event.kind == wanted);
    let remediated = happened(EventKind::Remediate) || report.remediation.iter().any(|step| step.applied);
    let validated = happened(EventKind::Verify) || !report.checks.is_empty();
    [
        Some(AuditAction::Investigate),
        report.rca.as_ref().map(|_| AuditAction::Rca),
        remediated.then_some(AuditAction::Remediate),
        validated.then_some(AuditAction::Validate),
    ]
    .into_iter()
    .flatten()
    .map(AuditAction::as_str)
}

fn resources(report: &Report) -> String {
    let mut text = String::new();
    for resource in report.resources.iter().filter(|resource| resource.kind.as_str() != "workspace") {
        let _ = write!(text, "{}_id={}, ", resource.kind, resource.id);
    }
    let _ = write!(text, "workspace_id={}", report.workspace.id);
    text
}

/// The applied steps' changes: one object for one step, an array of objects for several.
fn remediation_applied(report: &Report) -> Result<Option<String>, serde_json::Error> {
    let applied: Vec<_> = report
        .remediation
        .iter()
        .filter(|step| step.applied && !step.changes.is_empty())
        .map(|step| &step.changes)
        .collect();
    match applied.as_slice() {
        [] => Ok(None),
        [only] => canonical(only).map(Some),
        several => canonical(&several).map(Some),
    }
}

/// Rows of all projected tables, from any number of entries.
#[derive(Debug, Default, PartialEq)]
pub struct Projections {
    pub incident_states: Vec<IncidentState>,
    pub timeline_events: Vec<TimelineEvent>,
    pub root_causes: Vec<RootCause>,
    pub practice_checks: Vec<PracticeCheck>,
    pub runbooks: Vec<RunbookStep>,
}

impl Projections {
    /// # Errors
    /// Only if a value cannot be JSON at all.
    pub fn add(&mut self, entry: &Entry) -> Result<(), serde_json::Error> {
        let Request::RecordReport(report) = &entry.request;
        self.incident_states.push(incident_state(entry, report)?);
        for (ordinal, event) in (1..).zip(&report.timeline) {
            self.timeline_events.push(TimelineEvent {
                incident_id: entry.facts.incident_id,
                seq: entry.seq,
                ordinal,
                occurred_at: event.at,
                recorded_at: entry.recorded_at,
                kind: event.kind,
                message: event.message.clone(),
                tool: event.tool.clone(),
                evidence: json_unless_empty(&event.evidence)?,
                actor: report.actor.clone(),
                supersedes: None,
                withdrawn: false,
                duplicate_of: None,
            });
        }
        self.root_causes.extend(root_cause(entry, report)?);
        for (ordinal, check) in (1..).zip(&report.checks) {
            self.practice_checks.push(PracticeCheck {
                incident_id: entry.facts.incident_id,
                seq: entry.seq,
                ordinal,
                checked_at: report.incident.reported_at,
                recorded_at: entry.recorded_at,
                category: check.category.clone(),
                name: check.name.clone(),
                status: check.status,
                severity: check.severity,
                finding: check.finding.clone(),
                evidence: check.evidence.clone(),
                workspace_id: report.workspace.id.clone(),
            });
        }
        for (ordinal, step) in (1..).zip(&report.remediation) {
            let resource = step.resource.as_ref();
            self.runbooks.push(RunbookStep {
                incident_id: entry.facts.incident_id,
                seq: entry.seq,
                ordinal,
                recorded_at: entry.recorded_at,
                kind: step.kind,
                title: step.title.clone(),
                resource_kind: resource.map(|resource| resource.kind.clone()),
                resource_id: resource.map(|resource| resource.id.clone()),
                resource_name: resource.and_then(|resource| resource.name.clone()),
                task_keys: json_unless_empty(&step.task_keys)?,
                changes: if step.changes.is_empty() { None } else { Some(canonical(&step.changes)?) },
                captured_settings: step.captured_settings.as_ref().map(canonical).transpose()?,
                statement: step.statement.clone(),
                command: step.command.clone(),
                applied: step.applied,
                result: step.result,
            });
        }
        Ok(())
    }

    /// The rows of `table`; none for a table that no entry projects into.
    ///
    /// # Errors
    /// When a row does not fit its table's schema.
    pub fn batch(&self, table: &TableDef) -> Result<RecordBatch, ArrowError> {
        match table.name {
            name if name == IncidentState::TABLE.name => to_batch(&self.incident_states),
            name if name == TimelineEvent::TABLE.name => to_batch(&self.timeline_events),
            name if name == RootCause::TABLE.name => to_batch(&self.root_causes),
            name if name == PracticeCheck::TABLE.name => to_batch(&self.practice_checks),
            name if name == RunbookStep::TABLE.name => to_batch(&self.runbooks),
            _ => Ok(RecordBatch::new_empty(table.arrow_schema())),
        }
    }
}

fn incident_state(entry: &Entry, report: &Report) -> Result<IncidentState, serde_json::Error> {
    let incident = &report.incident;
    let first = report.resources.first();
    let finding = entry.facts.finding.as_ref();
    Ok(IncidentState {
        incident_id: entry.facts.incident_id,
        seq: entry.seq,
        recorded_at: entry.recorded_at,
        reported_at: incident.reported_at,
        impact_started_at: incident.impact_started_at,
        detected_at: incident.detected_at,
        acknowledged_at: first_at(report, &[EventKind::Ack]),
        mitigated_at: mitigated_at(report),
        first_resolved_at: resolved_at(report),
        resolved_at: resolved_at(report),
        reopened: 0,
        open_seconds: resolved_at(report).map(|end| end.seconds_since(incident.reported_at)),
        incident_type: incident.kind,
        status: incident.status,
        slug: incident.slug.clone(),
        title: incident.title.clone(),
        reporter: incident.reporter.clone(),
        actor: report.actor.clone(),
        request_id: entry.request_id.clone(),
        workspace_id: report.workspace.id.clone(),
        workspace_url: report.workspace.url.clone(),
        resource_kind: first.map(|resource| resource.kind.clone()),
        resource_id: first.map(|resource| resource.id.clone()),
        resource_name: first.and_then(|resource| resource.name.clone()),
        root_cause: report.rca.as_ref().map(|rca| rca.root_cause.clone()),
        cause_fingerprint: finding.and_then(|finding| finding.cause.as_ref()).map(|cause| cause.fingerprint.clone()),
        confidence: finding.map(|finding| finding.confidence),
        compliance_impact: report.compliance_impact.clone(),
        lessons_learned: json_unless_empty(&report.lessons_learned)?,
    })
}

fn root_cause(entry: &Entry, report: &Report) -> Result<Option<RootCause>, serde_json::Error> {
    let (Some(rca), Some(finding)) = (&report.rca, &entry.facts.finding) else { return Ok(None) };
    let first: Option<&Resource> = report.resources.first();
    let error = rca.error.as_ref();
    Ok(Some(RootCause {
        incident_id: entry.facts.incident_id,
        seq: entry.seq,
        found_at: report.incident.reported_at,
        occurrence_key: occurrence_key(entry.facts.incident_id, report),
        recorded_at: entry.recorded_at,
        cause_fingerprint: finding.cause.as_ref().map(|cause| cause.fingerprint.clone()),
        cause_normalised: finding.cause.as_ref().map(|cause| cause.normalised.clone()),
        root_cause: rca.root_cause.clone(),
        cause_code: rca.code.clone(),
        confidence: finding.confidence,
        confidence_reported: rca.confidence,
        confidence_forced_because: finding.confidence_forced_because.clone(),
        evidence: join_unless_empty(&rca.evidence),
        missing_evidence: join_unless_empty(&rca.missing_evidence),
        error_class: error.and_then(|error| error.class.clone()),
        error_message: error.and_then(|error| error.message.clone()),
        termination_code: error.and_then(|error| error.termination_code.clone()),
        incident_type: report.incident.kind,
        workspace_id: report.workspace.id.clone(),
        resource_kind: first.map(|resource| resource.kind.clone()),
        resource_id: first.map(|resource| resource.id.clone()),
        resource_name: first.and_then(|resource| resource.name.clone()),
        resource_attributes: first
            .filter(|resource| !resource.attributes.is_empty())
            .map(|resource| canonical(&resource.attributes))
            .transpose()?,
    }))
}

/// Several incidents about one job run are one occurrence: a repair or a retry is no new failure.
fn occurrence_key(incident_id: IncidentId, report: &Report) -> String {
    match report.resources.iter().find(|resource| resource.kind.as_str() == "job_run") {
        Some(run) => format!("run {}/{}", report.workspace.id, run.id),
        None => incident_id.to_string(),
    }
}

fn first_at(report: &Report, kinds: &[EventKind]) -> Option<Timestamp> {
    report.timeline.iter().filter(|event| kinds.contains(&event.kind)).map(|event| event.at).min()
}

/// A report whose steps include a failed one does not say which of its REMEDIATE events succeeded: then nothing is known.
fn mitigated_at(report: &Report) -> Option<Timestamp> {
    let failed = report.remediation.iter().any(|step| step.result == Some(RemediationResult::Failed));
    if failed { None } else { first_at(report, &[EventKind::Remediate, EventKind::Verify]) }
}

fn resolved_at(report: &Report) -> Option<Timestamp> {
    let closes = report.timeline.iter().filter(|event| event.kind == EventKind::Close).map(|event| event.at);
    if report.incident.status == Status::Resolved { closes.max() } else { None }
}

fn json_unless_empty<T: Serialize>(items: &[T]) -> Result<Option<String>, serde_json::Error> {
    if items.is_empty() { Ok(None) } else { canonical(&items).map(Some) }
}

fn join_unless_empty(ids: &[Id]) -> Option<String> {
    if ids.is_empty() { None } else { Some(join(ids.iter().map(Id::as_str))) }
}

fn join<'a>(parts: impl IntoIterator<Item = &'a str>) -> String {
    parts.into_iter().collect::<Vec<_>>().join(", ")
}
