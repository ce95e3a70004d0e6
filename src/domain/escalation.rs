//! Escalation: which triggers hold for an incident, what becomes of their alerts, and what people are told.
//!
//! [`evaluate`] says what holds, [`step`] what that changes about an alert, [`Alert::after`] folds the changes back into
//! the alert. Every evaluation gives a change, also when nothing fired, and says why. Sending is not done here: a change
//! whose event is `fired` waits in the view `outbox`.

use super::{
    entry::Finding,
    ids::{Id, IncidentId},
    policy::Policy,
    report::{Check, Rca, Report},
    words::{Severity, Trigger},
};

mod alert;
mod key;
pub mod replay;
mod triggers;
mod wording;

pub use alert::{Alert, AlertChange, Silence, acknowledge, resolve, step, suppress};
pub use key::dedup_key;
pub use triggers::{Recurrence, recurring_verdict};

/// What is known of an incident when its triggers are evaluated.
#[derive(Debug, Clone)]
pub struct Subject<'a> {
    pub incident_id: IncidentId,
    pub workspace_id: &'a Id,
    /// The run it is about: of a job, or of a task.
    pub run: Option<&'a Id>,
    /// `None`: no root-cause analysis yet.
    pub finding: Option<&'a Finding>,
    pub rca: Option<&'a Rca>,
    /// Every check that was made.
    pub checks: Vec<&'a Check>,
}

impl<'a> Subject<'a> {
    /// An incident of which one report says everything.
    pub fn of_report(incident_id: IncidentId, report: &'a Report, finding: Option<&'a Finding>) -> Self {
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

/// What an evaluation of one trigger said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    pub trigger: Trigger,
    pub holds: bool,
    /// How urgent it is when it holds.
    pub severity: Severity,
    /// Why it holds, or does not; one line.
    pub reason: String,
    /// What people are told when it holds, two or three lines.
    pub message: Option<String>,
}

/// One verdict for every trigger that a single incident can pull, in this order: missing-evidence, partial-checks,
/// security-finding, access-issue. Whether a cause is recurring takes more than one incident: [`recurring_verdict`].
pub fn evaluate(subject: &Subject, policy: &Policy) -> Vec<Verdict> {
    vec![
        triggers::missing_evidence(subject, policy),
        triggers::partial_checks(subject, policy),
        triggers::security_finding(subject, policy),
        triggers::access_issue(subject, policy),
    ]
}

#[cfg(test)]
mod tests;
