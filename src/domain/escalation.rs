//! Escalation: evaluates triggers for an incident and decides the changes of its alerts.
//!
//! [`evaluate`] returns the verdicts of the triggers, [`step`] the change of an alert that follows from a verdict, and
//! [`Alert::after`] the alert after a change. Every evaluation gives a change with a reason, also when nothing fires.
//! Notifications are not sent here: a change with the event `fired` puts them into the outbox.

use super::{
    check::Severity,
    entry::RootCauseFinding,
    escalation::trigger::Trigger,
    ids::{Id, IncidentId},
    policy::Policy,
    report::{Check, Rca, Report},
};

mod alert;
mod key;
pub mod replay;
pub mod status;
pub mod trigger;
mod triggers;
mod wording;

pub use alert::{Alert, AlertChange, SuppressionReason, acknowledge, resolve, snooze, step};
pub use key::dedup_key;
pub use triggers::{Recurrence, recurring_verdict};

/// Facts about an incident for the evaluation of its triggers.
#[derive(Debug, Clone)]
pub struct TriggerContext<'a> {
    pub incident_id: IncidentId,
    pub workspace_id: &'a Id,
    /// Job run or task run that the incident is about.
    pub run: Option<&'a Id>,
    /// Finding. `None`: there is no root-cause analysis yet.
    pub finding: Option<&'a RootCauseFinding>,
    pub rca: Option<&'a Rca>,
    /// Results of all checks.
    pub checks: Vec<&'a Check>,
}

impl<'a> TriggerContext<'a> {
    /// Collects the facts from a report.
    pub fn from_report(incident_id: IncidentId, report: &'a Report, finding: Option<&'a RootCauseFinding>) -> Self {
        let is_run = |kind: &Id| matches!(kind.as_str(), "job_run" | "task_run");
        Self {
            incident_id,
            workspace_id: &report.workspace.id,
            run: report.resources.iter().find(|resource| is_run(&resource.kind)).map(|resource| &resource.id),
            finding,
            rca: report.rca.as_ref(),
            checks: report.checks.iter().collect(),
        }
    }
}

/// Result of the evaluation of one trigger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TriggerVerdict {
    pub trigger: Trigger,
    pub holds: bool,
    /// Severity of the alert if the trigger holds.
    pub severity: Severity,
    /// Why the trigger holds or does not hold; one line.
    pub reason: String,
    /// Text for people if the trigger holds, two or three lines.
    pub message: Option<String>,
}

/// Evaluates the triggers that depend on one incident, in this order: missing-evidence, partial-checks, security-finding,
/// access-issue. The recurring trigger depends on several incidents: [`recurring_verdict`].
pub fn evaluate(subject: &TriggerContext, policy: &Policy) -> Vec<TriggerVerdict> {
    vec![
        triggers::missing_evidence(subject, policy),
        triggers::partial_checks(subject, policy),
        triggers::security_finding(subject, policy),
        triggers::access_issue(subject, policy),
    ]
}

#[cfg(test)]
mod tests;
