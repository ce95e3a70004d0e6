//! Computes the rows of all tables from ledger entries. The same entries give the same rows, so a projection can be deleted and
//! rebuilt.

use std::borrow::Cow;

use arrow::{array::RecordBatch, error::ArrowError};
use serde::Serialize;

use super::{
    Row, TableDef,
    rows::{
        AuditRow, CauseAlias, Delivery, DigestRow, EscalationEvent, IncidentState, JobRun, PracticeCheck,
        PreventiveAction, RecurrenceEvent, RejectedInput, RootCause, RunbookStep, TimelineEvent,
    },
    to_batch,
};
use crate::domain::{
    audit_action::AuditAction,
    chain::entry_hash,
    digest::Digest,
    entry::{
        Entry, EpisodeChange, EvaluateRecurrence, PreventionChange, RecordJobRuns, RejectInput, Request, canonical,
    },
    ids::{Id, IncidentId, RequestKey, sha256_hex},
    inbox::rejected_at,
    incident::{Incident, classification::Status, report_events, resource_ids, timeline::EventKind},
    notification::RecordDeliveries,
    prevention::state::PreventionState,
    report::{Check, Event, Rca, Remediation, Resource, Workspace},
    sweep::EndedRun,
    time::Timestamp,
};

/// Returns the audit log row for an entry that follows `prev_hash`. `text` is the entry's canonical JSON.
///
/// # Errors
/// If a value cannot be written as JSON.
pub fn audit_row(entry: &Entry, text: String, prev_hash: String) -> Result<AuditRow, serde_json::Error> {
    let incident = incident(entry);
    let status = incident.as_deref().map(|incident| incident.status);
    let resources = match &entry.request {
        Request::RecordCompliance(request) => {
            Some(resource_ids(std::slice::from_ref(&request.resource), &request.workspace))
        }
        _ => None,
    };
    Ok(AuditRow {
        seq: entry.seq,
        recorded_at: entry.recorded_at,
        actor: entry.request.actor().clone(),
        interface: entry.interface,
        action: join(actions(&entry.request).into_iter().map(AuditAction::as_str)),
        request_kind: entry.request.kind().into(),
        request_id: entry.request_id.clone(),
        request_key: RequestKey::of(&entry.request_id),
        request_hash: sha256_hex(canonical(&entry.request)?),
        incident_id: entry.facts.incident_id,
        incident_type: incident.as_deref().map(|incident| incident.kind),
        incident_slug: incident.as_deref().map(|incident| incident.slug.clone()),
        workspace_id: incident
            .as_deref()
            .map(|incident| &incident.workspace.id)
            .or_else(|| entry.request.workspace_id())
            .cloned(),
        resources: incident.as_deref().map(Incident::resource_ids).or(resources),
        finding_confidence: entry.facts.finding.as_ref().map(|finding| finding.confidence),
        remediation_applied: remediation_applied(&remediation(&entry.request))?,
        compliance_impact: compliance_impact(&entry.request).map(ToOwned::to_owned),
        status: if status.is_none_or(|status| status == Status::Resolved) { "COMPLETE" } else { "OPEN" }.into(),
        entry_hash: entry_hash(&prev_hash, &text),
        entry: text,
        prev_hash,
    })
}

/// Returns the state of the incident after this entry, if the entry changes it.
fn incident(entry: &Entry) -> Option<Cow<'_, Incident>> {
    match &entry.request {
        Request::RecordReport(report) | Request::OpenIncident(report) => Some(Cow::Owned(Incident::of(report))),
        _ => entry.facts.incident.as_deref().map(Cow::Borrowed),
    }
}

fn actions(request: &Request) -> Vec<AuditAction> {
    match request {
        Request::RecordReport(report) | Request::OpenIncident(report) => {
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
            .collect()
        }
        Request::LogEvent(_) => vec![AuditAction::Investigate],
        Request::RecordRootCause(_) => vec![AuditAction::Rca],
        Request::RecordRemediation(_) => vec![AuditAction::Remediate],
        Request::RecordVerification(_) => vec![AuditAction::Validate],
        Request::AcknowledgeIncident(_) | Request::AcknowledgeEscalation(_) => vec![AuditAction::Acknowledge],
        Request::EscalateIncident(_) | Request::EvaluateEscalations(_) => vec![AuditAction::Escalate],
        Request::CloseIncident(_) | Request::ResolveEscalation(_) => vec![AuditAction::Close],
        Request::ReopenIncident(_) => vec![AuditAction::Reopen],
        Request::CorrectEvent(_) => vec![AuditAction::Correct],
        Request::SuppressEscalation(_) => vec![AuditAction::Suppress],
        Request::EvaluateRecurrence(_) => vec![AuditAction::Detect],
        Request::AliasCauses(_) => vec![AuditAction::Classify],
        Request::AdoptPrevention(_) => vec![AuditAction::Prevent],
        Request::RecordCompliance(_) => vec![AuditAction::Validate],
        Request::RecordDigest(_) => vec![AuditAction::Summarize],
        Request::RecordJobRuns(_) => vec![AuditAction::Investigate],
        Request::RecordDeliveries(_) => vec![AuditAction::Notify],
        Request::RejectInput(_) => vec![AuditAction::Reject],
    }
}

fn compliance_impact(request: &Request) -> Option<&str> {
    match request {
        Request::RecordReport(report) | Request::OpenIncident(report) => report.compliance_impact.as_deref(),
        Request::CloseIncident(step) => step.compliance_impact.as_deref(),
        _ => None,
    }
}

/// Returns the remediation steps of a request.
fn remediation(request: &Request) -> Cow<'_, [Remediation]> {
    match request {
        Request::RecordReport(report) | Request::OpenIncident(report) => Cow::Borrowed(&report.remediation),
        Request::RecordRemediation(step) => Cow::Owned(vec![step.remediation()]),
        Request::RecordCompliance(request) => Cow::Borrowed(&request.remediation),
        _ => Cow::Borrowed(&[]),
    }
}

/// Returns the root-cause analysis of a request.
fn rca(request: &Request) -> Option<Cow<'_, Rca>> {
    match request {
        Request::RecordReport(report) | Request::OpenIncident(report) => report.rca.as_ref().map(Cow::Borrowed),
        Request::RecordRootCause(step) => Some(Cow::Owned(step.rca())),
        _ => None,
    }
}

/// Returns the changes of the applied steps: one object for one step, an array of objects for several.
fn remediation_applied(steps: &[Remediation]) -> Result<Option<String>, serde_json::Error> {
    let applied: Vec<_> =
        steps.iter().filter(|step| step.applied && !step.changes.is_empty()).map(|step| &step.changes).collect();
    match applied.as_slice() {
        [] => Ok(None),
        [only] => canonical(only).map(Some),
        several => canonical(&several).map(Some),
    }
}

/// The rows of all projections, from any number of entries.
#[derive(Debug, Default, PartialEq)]
pub struct Projections {
    pub incident_states: Vec<IncidentState>,
    pub timeline_events: Vec<TimelineEvent>,
    pub root_causes: Vec<RootCause>,
    pub practice_checks: Vec<PracticeCheck>,
    pub runbooks: Vec<RunbookStep>,
    pub escalation_events: Vec<EscalationEvent>,
    pub recurrence_events: Vec<RecurrenceEvent>,
    pub cause_aliases: Vec<CauseAlias>,
    pub preventive_actions: Vec<PreventiveAction>,
    pub digests: Vec<DigestRow>,
    pub job_runs: Vec<JobRun>,
    pub deliveries: Vec<Delivery>,
    pub rejected_inputs: Vec<RejectedInput>,
}

impl Projections {
    /// Adds the rows of an entry.
    ///
    /// # Errors
    /// If a value cannot be written as JSON.
    pub fn add(&mut self, entry: &Entry) -> Result<(), serde_json::Error> {
        if let Some(id) = entry.facts.incident_id {
            if let Some(incident) = incident(entry) {
                self.incident_states.push(incident_state(entry, id, &incident)?);
                if let Some(rca) = rca(&entry.request) {
                    self.root_causes.extend(root_cause(entry, id, &incident, &rca)?);
                }
            }
            self.add_events(entry, id)?;
            self.add_steps(entry, id)?;
            self.add_alerts(entry, id)?;
        }
        match &entry.request {
            Request::RecordReport(report) | Request::OpenIncident(report) => {
                self.add_checks(entry, &report.checks, report.incident.reported_at, &report.workspace, None);
            }
            Request::RecordCompliance(request) => {
                self.add_checks(entry, &request.checks, request.at, &request.workspace, Some(&request.resource));
            }
            _ => {}
        }
        self.add_rest(entry)
    }

    fn add_events(&mut self, entry: &Entry, id: IncidentId) -> Result<(), serde_json::Error> {
        let row = |ordinal: i32, event: &Event| -> Result<TimelineEvent, serde_json::Error> {
            Ok(TimelineEvent {
                incident_id: id,
                seq: entry.seq,
                ordinal,
                occurred_at: event.at,
                recorded_at: entry.recorded_at,
                kind: event.kind,
                message: event.message.clone(),
                tool: event.tool.clone(),
                evidence: json_unless_empty(&event.evidence)?,
                actor: entry.request.actor().clone(),
                supersedes: None,
                withdrawn: false,
                duplicate_of: None,
            })
        };
        if let Request::RecordReport(report) | Request::OpenIncident(report) = &entry.request {
            for logged in report_events(entry.seq, report) {
                let duplicate_of = logged.duplicate_of.map(|first| first.to_string());
                self.timeline_events.push(TimelineEvent { duplicate_of, ..row(logged.at.ordinal, &logged.event)? });
            }
        }
        if let Some(addition) = &entry.facts.event {
            self.timeline_events.push(TimelineEvent {
                supersedes: addition.supersedes.map(|event| event.to_string()),
                withdrawn: addition.withdrawn,
                duplicate_of: addition.duplicate_of.map(|event| event.to_string()),
                ..row(1, &addition.event)?
            });
        }
        Ok(())
    }

    /// Adds checks. `of` is the checked resource for checks without their own resource.
    fn add_checks(
        &mut self,
        entry: &Entry,
        checks: &[Check],
        checked_at: Timestamp,
        workspace: &Workspace,
        of: Option<&Resource>,
    ) {
        for (ordinal, check) in (1..).zip(checks) {
            let resource = check.resource.as_ref().or(of);
            self.practice_checks.push(PracticeCheck {
                incident_id: entry.facts.incident_id,
                seq: entry.seq,
                ordinal,
                checked_at,
                recorded_at: entry.recorded_at,
                category: check.category.clone(),
                name: check.name.clone(),
                status: check.status,
                severity: check.severity,
                finding: check.finding.clone(),
                evidence: check.evidence.clone(),
                workspace_id: workspace.id.clone(),
                resource_kind: resource.map(|resource| resource.kind.clone()),
                resource_id: resource.map(|resource| resource.id.clone()),
                resource_name: resource.and_then(|resource| resource.name.clone()),
            });
        }
    }

    fn add_steps(&mut self, entry: &Entry, id: IncidentId) -> Result<(), serde_json::Error> {
        for (ordinal, step) in (1..).zip(remediation(&entry.request).iter()) {
            let resource = step.resource.as_ref();
            self.runbooks.push(RunbookStep {
                incident_id: id,
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

    fn add_alerts(&mut self, entry: &Entry, id: IncidentId) -> Result<(), serde_json::Error> {
        for (ordinal, change) in (1..).zip(&entry.facts.alerts) {
            self.escalation_events.push(EscalationEvent {
                incident_id: id,
                seq: entry.seq,
                ordinal,
                occurred_at: entry.decided_at(),
                recorded_at: entry.recorded_at,
                trigger: change.trigger,
                event: change.event,
                status: change.status,
                severity: change.severity,
                dedup_key: change.dedup_key.clone(),
                reason: change.reason.clone(),
                message: change.message.clone(),
                routes: json_unless_empty(&change.routes)?,
                quiet_until: change.quiet_until,
                actor: entry.request.actor().clone(),
            });
        }
        Ok(())
    }

    fn add_rest(&mut self, entry: &Entry) -> Result<(), serde_json::Error> {
        let mut action = |ordinal: i32, at: Timestamp, cause: &str, change: &PreventionChange| {
            self.preventive_actions.push(PreventiveAction {
                seq: entry.seq,
                ordinal,
                occurred_at: at,
                recorded_at: entry.recorded_at,
                cause_fingerprint: cause.to_owned(),
                action: change.action.clone(),
                state: change.state,
                actor: entry.request.actor().clone(),
                note: change.note.clone(),
            });
        };
        match &entry.request {
            Request::EvaluateRecurrence(evaluation) => {
                for (ordinal, change) in (1..).zip(&evaluation.prevention) {
                    action(ordinal, evaluation.as_of, &evaluation.cause, change);
                }
                if let Some(change) = &evaluation.change {
                    self.recurrence_events.push(recurrence_event(entry, evaluation, change)?);
                }
            }
            Request::AdoptPrevention(step) => {
                let (state, note) = (PreventionState::Adopted, step.note.clone());
                let change = PreventionChange { action: step.action.clone(), state, note };
                action(1, step.at.unwrap_or(entry.recorded_at), step.cause.as_str(), &change);
            }
            Request::AliasCauses(request) => {
                for (ordinal, alias) in (1..).zip(&request.aliases) {
                    self.cause_aliases.push(CauseAlias {
                        seq: entry.seq,
                        ordinal,
                        recorded_at: entry.recorded_at,
                        cause_fingerprint: alias.cause.clone(),
                        counts_as: alias.counts_as.clone(),
                        actor: request.actor.clone(),
                        reason: request.reason.clone(),
                    });
                }
            }
            Request::RecordDigest(request) => self.digests.push(digest_row(entry, &request.digest)?),
            Request::RecordJobRuns(request) => {
                self.job_runs.extend(request.runs.iter().map(|run| job_run(entry, request, run)));
            }
            Request::RecordDeliveries(request) => self.deliveries.extend(deliveries(entry, request)),
            Request::RejectInput(request) => self.rejected_inputs.push(rejected_input(entry, request)?),
            _ => {}
        }
        Ok(())
    }

    /// Returns the rows of `table`, none for the audit log.
    ///
    /// # Errors
    /// If a row does not match its table's schema.
    pub fn batch(&self, table: &TableDef) -> Result<RecordBatch, ArrowError> {
        match table.name {
            name if name == IncidentState::TABLE.name => to_batch(&self.incident_states),
            name if name == TimelineEvent::TABLE.name => to_batch(&self.timeline_events),
            name if name == RootCause::TABLE.name => to_batch(&self.root_causes),
            name if name == PracticeCheck::TABLE.name => to_batch(&self.practice_checks),
            name if name == RunbookStep::TABLE.name => to_batch(&self.runbooks),
            name if name == EscalationEvent::TABLE.name => to_batch(&self.escalation_events),
            name if name == RecurrenceEvent::TABLE.name => to_batch(&self.recurrence_events),
            name if name == CauseAlias::TABLE.name => to_batch(&self.cause_aliases),
            name if name == PreventiveAction::TABLE.name => to_batch(&self.preventive_actions),
            name if name == DigestRow::TABLE.name => to_batch(&self.digests),
            name if name == JobRun::TABLE.name => to_batch(&self.job_runs),
            name if name == Delivery::TABLE.name => to_batch(&self.deliveries),
            name if name == RejectedInput::TABLE.name => to_batch(&self.rejected_inputs),
            _ => Ok(RecordBatch::new_empty(table.arrow_schema())),
        }
    }
}

fn digest_row(entry: &Entry, digest: &Digest) -> Result<DigestRow, serde_json::Error> {
    Ok(DigestRow {
        seq: entry.seq,
        recorded_at: entry.recorded_at,
        week: digest.week.week.clone(),
        time_zone: digest.week.time_zone.clone(),
        week_start: digest.week.start,
        week_end: digest.week.end,
        revision: i32::try_from(digest.revision).unwrap_or(i32::MAX),
        content: canonical(digest)?,
    })
}

fn rejected_input(entry: &Entry, request: &RejectInput) -> Result<RejectedInput, serde_json::Error> {
    Ok(RejectedInput {
        seq: entry.seq,
        recorded_at: entry.recorded_at,
        source: rejected_at(&request.source, request.line),
        input_hash: request.input_hash.clone(),
        problems: canonical(&request.problems)?,
    })
}

fn deliveries(entry: &Entry, request: &RecordDeliveries) -> impl Iterator<Item = Delivery> {
    (1..).zip(&request.steps).map(|(ordinal, step)| Delivery {
        seq: entry.seq,
        ordinal,
        occurred_at: request.at,
        recorded_at: entry.recorded_at,
        incident_id: step.incident_id,
        source_seq: step.source.seq,
        source_ordinal: step.source.ordinal,
        says: step.notification_kind,
        channel: step.channel.clone(),
        channel_kind: step.kind,
        lane: step.stream.clone(),
        event: step.event,
        attempt: i32::try_from(step.attempt).unwrap_or(i32::MAX),
        until_at: step.until,
        reason: step.reason.clone(),
        receipt: step.receipt.clone(),
        bundle: step.bundle.and_then(|bundle| i32::try_from(bundle).ok()),
        settled_to: request.settled_to,
        deliverer: request.deliverer.clone(),
    })
}

fn job_run(entry: &Entry, request: &RecordJobRuns, run: &EndedRun) -> JobRun {
    JobRun {
        seq: entry.seq,
        recorded_at: entry.recorded_at,
        workspace_id: request.workspace_id.clone(),
        job_id: run.job_id.clone(),
        run_id: run.run_id.clone(),
        job_name: run.job_name.clone(),
        started_at: run.started_at,
        ended_at: run.ended_at,
        result_state: run.result_state.clone(),
        termination_code: run.termination_code.clone(),
        retried_tasks: i32::try_from(run.retried_tasks).ok(),
    }
}

fn recurrence_event(
    entry: &Entry,
    evaluation: &EvaluateRecurrence,
    change: &EpisodeChange,
) -> Result<RecurrenceEvent, serde_json::Error> {
    let whole = |number: u64| i32::try_from(number).unwrap_or(i32::MAX);
    Ok(RecurrenceEvent {
        incident_id: evaluation.incident_id,
        seq: entry.seq,
        occurred_at: evaluation.as_of,
        recorded_at: entry.recorded_at,
        cause_fingerprint: evaluation.cause.clone(),
        episode_id: change.episode_id.clone(),
        event: change.event,
        reason: change.reason.clone(),
        incidents: whole(change.issue.occurrences),
        first_at: change.issue.first_at,
        last_at: change.issue.last_at,
        threshold: whole(evaluation.threshold.into()),
        window_hours: whole(evaluation.window_hours.into()),
        detail: canonical(&change.issue)?,
    })
}

fn incident_state(entry: &Entry, id: IncidentId, incident: &Incident) -> Result<IncidentState, serde_json::Error> {
    let first = incident.resources.first();
    let finding = incident.finding.as_ref();
    Ok(IncidentState {
        incident_id: id,
        seq: entry.seq,
        recorded_at: entry.recorded_at,
        reported_at: incident.reported_at,
        impact_started_at: incident.impact_started_at,
        detected_at: incident.detected_at,
        acknowledged_at: incident.acknowledged_at,
        mitigated_at: incident.mitigated_at,
        first_resolved_at: incident.first_resolved_at,
        resolved_at: incident.resolved_at,
        reopened: incident.reopened,
        open_seconds: incident.open_micros.map(|micros| micros as f64 / 1e6),
        incident_type: incident.kind,
        status: incident.status,
        slug: incident.slug.clone(),
        title: incident.title.clone(),
        reporter: incident.reporter.clone(),
        actor: entry.request.actor().clone(),
        request_id: entry.request_id.clone(),
        workspace_id: incident.workspace.id.clone(),
        workspace_url: incident.workspace.url.clone(),
        resource_kind: first.map(|resource| resource.kind.clone()),
        resource_id: first.map(|resource| resource.id.clone()),
        resource_name: first.and_then(|resource| resource.name.clone()),
        root_cause: incident.root_cause.clone(),
        cause_fingerprint: finding.and_then(|finding| finding.cause.as_ref()).map(|cause| cause.fingerprint.clone()),
        confidence: finding.map(|finding| finding.confidence),
        compliance_impact: incident.compliance_impact.clone(),
        lessons_learned: json_unless_empty(&incident.lessons_learned)?,
    })
}

fn root_cause(
    entry: &Entry,
    id: IncidentId,
    incident: &Incident,
    rca: &Rca,
) -> Result<Option<RootCause>, serde_json::Error> {
    let Some(finding) = &entry.facts.finding else { return Ok(None) };
    let first: Option<&Resource> = incident.resources.first();
    let error = rca.error.as_ref();
    Ok(Some(RootCause {
        incident_id: id,
        seq: entry.seq,
        found_at: incident.reported_at,
        occurrence_key: incident.occurrence_key(id),
        recorded_at: entry.recorded_at,
        cause_fingerprint: finding.cause.as_ref().map(|cause| cause.fingerprint.clone()),
        cause_normalised: finding.cause.as_ref().map(|cause| cause.normalised.clone()),
        root_cause: rca.root_cause.clone(),
        cause_summary: rca.summary.clone(),
        cause_code: rca.code.clone(),
        confidence: finding.confidence,
        confidence_reported: rca.confidence,
        confidence_forced_because: finding.confidence_forced_because.clone(),
        evidence: join_unless_empty(&rca.evidence),
        missing_evidence: join_unless_empty(&rca.missing_evidence),
        error_class: error.and_then(|error| error.class.clone()),
        error_message: error.and_then(|error| error.message.clone()),
        termination_code: error.and_then(|error| error.termination_code.clone()),
        incident_type: incident.kind,
        workspace_id: incident.workspace.id.clone(),
        resource_kind: first.map(|resource| resource.kind.clone()),
        resource_id: first.map(|resource| resource.id.clone()),
        resource_name: first.and_then(|resource| resource.name.clone()),
        resource_attributes: first
            .filter(|resource| !resource.attributes.is_empty())
            .map(|resource| canonical(&resource.attributes))
            .transpose()?,
    }))
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
