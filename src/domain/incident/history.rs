//! The history of an incident: the fold of its entries, and the decisions about new requests.

use std::collections::BTreeMap;

use super::{Incident, LoggedEvent, Refusal, TimelineAddition, report_events};
use crate::domain::{
    decide,
    entry::{Entry, Facts, Request},
    escalation::{self, Alert, AlertChange, SuppressionReason, TriggerContext, status::AlertStatus, trigger::Trigger},
    ids::{EventRef, IncidentId, RequestKey},
    incident::{classification::Status, timeline::EventKind},
    policy::Policy,
    remediation::RemediationResult,
    report::{Check, Rca, Report},
    steps,
    time::Timestamp,
};

/// Fold of all entries of one incident.
#[derive(Debug, Clone, PartialEq)]
pub struct History {
    pub id: IncidentId,
    /// Look-up key of the opening request; part of the keys of its alerts.
    pub opening_key: String,
    /// Ledger row that opened it.
    opening_seq: u64,
    pub incident: Incident,
    events: Vec<LoggedEvent>,
    rca: Option<Rca>,
    checks: Vec<Check>,
    /// Reason for suppressed notifications, until the next root-cause analysis or reopening.
    suppression: Option<SuppressionReason>,
    pub alerts: BTreeMap<String, Alert>,
}

impl History {
    /// Replays an incident's entries, in order of `seq`. Returns `None` if the first does not open an incident.
    pub fn replay<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> Option<Self> {
        let mut entries = entries.into_iter();
        let mut history = Self::opened(entries.next()?)?;
        entries.for_each(|entry| history.apply(entry));
        Some(history)
    }

    /// Creates the history from the entry that opens an incident.
    pub fn opened(entry: &Entry) -> Option<Self> {
        let (Request::RecordReport(report) | Request::OpenIncident(report)) = &entry.request else { return None };
        let key = RequestKey::of(&entry.request_id);
        let mut history = Self {
            id: entry.facts.incident_id?,
            opening_key: key.as_str().to_owned(),
            opening_seq: entry.seq,
            incident: Incident::of(report),
            events: report_events(entry.seq, report),
            rca: report.rca.clone(),
            checks: report.checks.clone(),
            suppression: SuppressionReason::from_report(report),
            alerts: BTreeMap::new(),
        };
        history.apply_alerts(entry);
        Some(history)
    }

    /// Applies a recorded entry of this incident.
    pub fn apply(&mut self, entry: &Entry) {
        if let Some(addition) = &entry.facts.event {
            self.add(EventRef { seq: entry.seq, ordinal: 1 }, addition);
        }
        if let Some(incident) = &entry.facts.incident {
            self.incident = (**incident).clone();
        }
        match &entry.request {
            Request::RecordRootCause(step) => {
                self.rca = Some(step.rca());
                self.suppression = None;
            }
            Request::ReopenIncident(_) => self.suppression = None,
            Request::RecordCompliance(request) => self.checks.clone_from(&request.checks),
            _ => {}
        }
        self.apply_alerts(entry);
    }

    fn apply_alerts(&mut self, entry: &Entry) {
        for change in &entry.facts.alerts {
            let before = self.alerts.remove(&change.dedup_key);
            if let Some(after) = Alert::after(before, change, entry.decided_at()) {
                self.alerts.insert(change.dedup_key.clone(), after);
            }
        }
    }

    fn add(&mut self, at: EventRef, addition: &TimelineAddition) {
        if let Some(corrected) = addition.supersedes {
            for logged in self.events.iter_mut().filter(|logged| logged.at == corrected) {
                logged.superseded_by = Some(at);
            }
        }
        self.events.push(LoggedEvent {
            at,
            event: addition.event.clone(),
            mitigates: addition.mitigates,
            superseded_by: None,
            withdrawal: addition.withdrawn,
            duplicate_of: addition.duplicate_of,
        });
    }

    /// Returns the time of the latest successful REMEDIATE.
    pub fn fixed_at(&self) -> Option<Timestamp> {
        let fixes = self.events.iter().filter(|logged| logged.counts() && logged.mitigates);
        fixes.filter(|logged| logged.event.kind == EventKind::Remediate).map(|logged| logged.event.at).max()
    }

    /// Decides the facts of a request, as row `seq` of the ledger at the time `now`.
    ///
    /// # Errors
    /// A request that is not legal in the current state of the incident.
    pub fn decide(&self, request: &Request, policy: &Policy, seq: u64, now: Timestamp) -> Result<Facts, Refusal> {
        let mut facts = Facts { incident_id: Some(self.id), ..Facts::default() };
        let mut after = self.clone();
        if let Some(addition) = self.addition(request, now)? {
            let at = EventRef { seq, ordinal: 1 };
            after.add(at, &addition);
            after.check_close_order()?;
            facts.event = Some(addition);
        }
        let incident = &mut after.incident;
        match request {
            Request::RecordRootCause(step) => {
                let rca = step.rca();
                let finding = decide::finding(&rca);
                incident.root_cause = Some(rca.root_cause.clone());
                incident.finding = Some(finding.clone());
                facts.finding = Some(finding);
                after.rca = Some(rca);
                after.suppression = None;
            }
            Request::RecordCompliance(request) => after.checks.clone_from(&request.checks),
            Request::EscalateIncident(_) => incident.status = Status::Escalated,
            Request::ReopenIncident(_) => {
                incident.status = Status::Investigating;
                after.suppression = None;
            }
            Request::CloseIncident(step) => {
                incident.status = Status::Resolved;
                if step.compliance_impact.is_some() {
                    incident.compliance_impact.clone_from(&step.compliance_impact);
                }
                for lesson in &step.lessons_learned {
                    if !incident.lessons_learned.contains(lesson) {
                        incident.lessons_learned.push(lesson.clone());
                    }
                }
            }
            _ => {}
        }
        if request.changes_incident() {
            let History { incident, events, .. } = &mut after;
            incident.update_times(events);
            facts.incident = Some(Box::new(incident.clone()));
        }
        facts.alerts = after.alert_changes(request, policy, now)?;
        Ok(facts)
    }

    /// Returns the event that a request adds to the timeline, if any.
    fn addition(&self, request: &Request, now: Timestamp) -> Result<Option<TimelineAddition>, Refusal> {
        let plain = |at: Option<Timestamp>, kind: EventKind, message: &str| TimelineAddition {
            event: steps::event(at.unwrap_or(now), kind, message.to_owned()),
            mitigates: false,
            supersedes: None,
            withdrawn: false,
            duplicate_of: None,
        };
        let mut addition = match request {
            Request::LogEvent(step) => {
                let mut addition = plain(step.at, step.kind.into(), &step.message);
                addition.event.tool.clone_from(&step.tool);
                addition.event.evidence.clone_from(&step.evidence);
                addition
            }
            Request::AcknowledgeIncident(step) => {
                let message = step.message.clone().unwrap_or_else(|| format!("Acknowledged by {}", step.actor));
                plain(step.at, EventKind::Ack, &message)
            }
            Request::RecordRootCause(step) => {
                let finding = decide::finding(&step.rca());
                plain(step.at, EventKind::Rca, &format!("{} -> {} confidence", step.root_cause, finding.confidence))
            }
            Request::RecordRemediation(step) => {
                let how = match (step.applied, step.result) {
                    (false, _) if step.captured_settings.is_some() => "proposed, settings captured",
                    (false, _) => "proposed",
                    (true, Some(RemediationResult::Failed)) => "applied, FAILED",
                    (true, _) => "applied",
                };
                // A proposal is not a remediation yet.
                let kind = if step.applied { EventKind::Remediate } else { EventKind::Note };
                let mut addition = plain(step.at, kind, &format!("{} ({how})", step.title));
                addition.mitigates = step.applied && step.result != Some(RemediationResult::Failed);
                addition
            }
            Request::RecordVerification(step) => {
                let mut addition = plain(step.at, EventKind::Verify, &step.message);
                addition.event.tool.clone_from(&step.tool);
                addition.event.evidence.clone_from(&step.evidence);
                addition.mitigates = step.result == RemediationResult::Success;
                addition
            }
            Request::EscalateIncident(step) => {
                self.must_be_open("escalated")?;
                let to = step.to.as_ref().map_or_else(String::new, |to| format!("To {to}: "));
                plain(step.at, EventKind::Escalate, &format!("{to}{}", step.message))
            }
            Request::CloseIncident(step) => {
                self.must_be_open("closed")?;
                plain(step.at, EventKind::Close, &step.message)
            }
            Request::ReopenIncident(step) => {
                if self.incident.status != Status::Resolved {
                    return Err(Refusal {
                        message: format!("{} is {}; it cannot be reopened", self.id, self.incident.status),
                        hint:
                            "only a resolved incident can be reopened; legal now are log, ack, rca, remediate, verify, \
                               escalate, correct and close"
                                .into(),
                    });
                }
                plain(step.at, EventKind::Reopen, &step.message)
            }
            Request::RecordCompliance(request) => {
                let Some(event) = &request.event else { return Ok(None) };
                TimelineAddition {
                    event: event.clone(),
                    mitigates: event.kind == EventKind::Verify,
                    ..plain(None, event.kind, "")
                }
            }
            Request::CorrectEvent(step) => return self.correction(step).map(Some),
            _ => return Ok(None),
        };
        addition.duplicate_of =
            self.events.iter().find(|earlier| earlier.is_same_event(&addition.event)).map(|earlier| earlier.at);
        if addition.duplicate_of.is_some() {
            addition.mitigates = false;
        }
        Ok(Some(addition))
    }

    fn must_be_open(&self, what: &str) -> Result<(), Refusal> {
        if self.incident.status != Status::Resolved {
            return Ok(());
        }
        let since = self.incident.resolved_at.map_or_else(String::new, |at| format!(" since {at}"));
        Err(Refusal {
            message: format!("{} is resolved{since}; it cannot be {what}", self.id),
            hint:
                "legal now are reopen; also log, ack, rca, remediate, verify and correct, for events that were not logged in time"
                    .into(),
        })
    }

    fn correction(&self, step: &steps::CorrectEvent) -> Result<TimelineAddition, Refusal> {
        let refuse = |message: String, hint: &str| Err(Refusal { message, hint: hint.to_owned() });
        let Some(logged) = self.events.iter().find(|logged| logged.at == step.event) else {
            let hint = format!("`incident show {} --refs` prints its events", self.id);
            return refuse(format!("{} has no event {}", self.id, step.event), &hint);
        };
        if let Some(by) = logged.superseded_by {
            return refuse(format!("event {} was corrected by {by}", step.event), &format!("correct {by} instead"));
        }
        if logged.withdrawal {
            return refuse(format!("event {} is a withdrawal", step.event), "log the event again instead");
        }
        if let Some(first) = logged.duplicate_of {
            return refuse(
                format!("event {} repeats {first} and does not count", step.event),
                &format!("correct {first}"),
            );
        }
        let opens_or_closes = matches!(logged.event.kind, EventKind::Close | EventKind::Reopen);
        if step.withdraw && opens_or_closes {
            let verb = if logged.event.kind == EventKind::Close { "reopen" } else { "close" };
            let hint = format!(
                "use `incident {verb}` instead: a recorded close or reopen cannot be removed from the timeline"
            );
            return refuse(format!("a {} cannot be withdrawn", logged.event.kind), &hint);
        }
        if !step.withdraw && step.message.is_none() && step.at.is_none() {
            return refuse("the correction changes nothing".into(), "give a message, --at or --withdraw");
        }
        let mut event = logged.event.clone();
        if let Some(message) = &step.message {
            event.message.clone_from(message);
        }
        event.at = step.at.unwrap_or(event.at);
        Ok(TimelineAddition {
            event,
            mitigates: logged.mitigates && !step.withdraw,
            supersedes: Some(step.event),
            withdrawn: step.withdraw,
            duplicate_of: None,
        })
    }

    /// Checks that CLOSE and REOPEN events are in the order in which they were recorded. Those of the opening report are not
    /// checked.
    fn check_close_order(&self) -> Result<(), Refusal> {
        // A correction has the position of the corrected event.
        let position = |logged: &LoggedEvent| {
            let mut at = logged.at;
            while let Some(before) = self.events.iter().find(|earlier| earlier.superseded_by == Some(at)) {
                at = before.at;
            }
            at
        };
        let mut changes: Vec<(EventRef, &LoggedEvent)> = self
            .events
            .iter()
            .filter(|logged| logged.counts() && matches!(logged.event.kind, EventKind::Close | EventKind::Reopen))
            .map(|logged| (position(logged), logged))
            .collect();
        changes.sort_by_key(|(position, _)| *position);
        for pair in changes.windows(2) {
            if let [(_, earlier), (position, later)] = pair
                && position.seq != self.opening_seq
                && later.event.at < earlier.event.at
            {
                return Err(Refusal {
                    message: format!(
                        "the {} at {} would come before the {} at {}",
                        later.event.kind, later.event.at, earlier.event.kind, earlier.event.at
                    ),
                    hint: "check --at: closing and reopening must follow each other in time".into(),
                });
            }
        }
        Ok(())
    }

    fn alert_changes(&self, request: &Request, policy: &Policy, now: Timestamp) -> Result<Vec<AlertChange>, Refusal> {
        let refused =
            |message: String| Refusal { message, hint: "`escalation list` shows the status of all alerts".into() };
        // The recurring alert follows its episode, not this incident.
        let own = || self.alerts.values().filter(|alert| alert.trigger != Trigger::Recurring);
        match request {
            Request::RecordRootCause(_)
            | Request::ReopenIncident(_)
            | Request::EvaluateEscalations(_)
            | Request::RecordCompliance(_) => Ok(self.evaluate(policy, now)),
            Request::AcknowledgeIncident(step) => own()
                .filter(|alert| alert.status == AlertStatus::Open)
                .map(|alert| escalation::acknowledge(alert, &step.actor).map_err(refused))
                .collect(),
            Request::CloseIncident(step) => own()
                .filter(|alert| alert.status != AlertStatus::Resolved)
                .map(|alert| escalation::resolve(alert, &step.actor, step.at.unwrap_or(now)).map_err(refused))
                .collect(),
            Request::AcknowledgeEscalation(step) => {
                let alert = self.alert(step.alert.trigger).map_err(refused)?;
                Ok(vec![escalation::acknowledge(alert, &step.actor).map_err(refused)?])
            }
            Request::ResolveEscalation(step) => {
                let alert = self.alert(step.alert.trigger).map_err(refused)?;
                Ok(vec![escalation::resolve(alert, &step.actor, step.at.unwrap_or(now)).map_err(refused)?])
            }
            Request::SuppressEscalation(step) => {
                let key = self.dedup_key(step.alert.trigger);
                let (alert, at) = (self.alerts.get(&key), step.at.unwrap_or(now));
                Ok(vec![escalation::snooze(alert, &key, &step.actor, step.until, at).map_err(refused)?])
            }
            Request::EvaluateRecurrence(evaluation) => {
                let key = self.dedup_key(Trigger::Recurring);
                let verdict = evaluation.verdict(policy);
                Ok(vec![escalation::step(self.alerts.get(&key), &verdict, &key, policy, now)])
            }
            _ => Ok(Vec::new()),
        }
    }

    fn alert(&self, trigger: Trigger) -> Result<&Alert, String> {
        self.alerts.get(&self.dedup_key(trigger)).ok_or_else(|| format!("{} has no {trigger} alert", self.id))
    }

    /// Returns the deduplication key of the incident's alert for a trigger.
    pub fn dedup_key(&self, trigger: Trigger) -> String {
        escalation::dedup_key(self.id, trigger, &self.opening_key)
    }

    /// Evaluates the triggers that depend on this incident alone.
    pub fn evaluate(&self, policy: &Policy, now: Timestamp) -> Vec<AlertChange> {
        let run = self.incident.resources.iter().find(|r| matches!(r.kind.as_str(), "job_run" | "task_run"));
        let subject = TriggerContext {
            incident_id: self.id,
            workspace_id: &self.incident.workspace.id,
            run: run.map(|resource| &resource.id),
            finding: self.incident.finding.as_ref(),
            rca: self.rca.as_ref(),
            checks: self.checks.iter().collect(),
        };
        escalation::evaluate(&subject, policy)
            .iter()
            .map(|verdict| {
                let key = self.dedup_key(verdict.trigger);
                escalation::step(self.alerts.get(&key), verdict, &key, policy, now).suppressed_by(self.suppression)
            })
            .collect()
    }
}

/// Decides the facts of a report that opens the incident `id`.
pub fn opening_facts(report: &Report, id: IncidentId, key: &RequestKey, policy: &Policy, now: Timestamp) -> Facts {
    let finding = report.rca.as_ref().map(decide::finding);
    let mut verdicts = escalation::evaluate(&TriggerContext::from_report(id, report, finding.as_ref()), policy);
    // Recurrence of a known cause needs the whole history. An unknown cause never recurs.
    if finding.as_ref().is_none_or(|finding| finding.cause.is_none()) {
        verdicts.push(escalation::recurring_verdict(None, policy));
    }
    let alerts = verdicts
        .iter()
        .map(|verdict| {
            let key = escalation::dedup_key(id, verdict.trigger, key.as_str());
            escalation::step(None, verdict, &key, policy, now).suppressed_by(SuppressionReason::from_report(report))
        })
        .collect();
    Facts { incident_id: Some(id), finding, alerts, ..Facts::default() }
}
