//! The life of an alert. What happens to it is a value, [`AlertChange`]; the alert is what its changes amount to.

use serde::{Deserialize, Serialize};

use super::{Verdict, wording::word};
use crate::domain::{
    ids::{AlertRef, Id, IncidentId},
    policy::{Destination, Policy},
    report::Report,
    time::Timestamp,
    words::{AlertEvent, AlertStatus, Severity, Trigger},
};

/// An alert as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alert {
    pub trigger: Trigger,
    pub dedup_key: String,
    pub status: AlertStatus,
    /// How urgent it was when people were last told; `None` while they never were.
    pub severity: Option<Severity>,
    /// When people were last told.
    pub last_told: Option<Timestamp>,
    /// Nobody is told before this moment.
    pub quiet_until: Option<Timestamp>,
    /// Of an acknowledged alert: when.
    pub acknowledged_at: Option<Timestamp>,
    /// Of a resolved alert: when.
    pub resolved_at: Option<Timestamp>,
    /// What was last said about it.
    pub message: Option<String>,
    /// Where it went when people were last told.
    pub routes: Vec<Destination>,
}

/// What an evaluation, or somebody, changed about an alert: a fact that is recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AlertChange {
    pub trigger: Trigger,
    pub event: AlertEvent,
    /// Where the alert stands from then on; `None` while it never fired.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<AlertStatus>,
    /// `None` when there is nothing to be urgent about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub severity: Option<Severity>,
    pub dedup_key: String,
    /// Why; one line.
    pub reason: String,
    /// What people are told, were told, or would be told if the alert were not suppressed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Where that goes, went or would go. Empty: nobody is told.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<Destination>,
    /// Nobody is told before this moment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quiet_until: Option<Timestamp>,
}

/// What an evaluation at `at` changes about an alert; `None`: there is none yet.
///
/// - It holds: the alert fires, unless it is open already (`repeated`), somebody suppressed it, or people were told within
///   the cool-down (`suppressed`). What is suppressed fires at the first evaluation afterwards at which it still holds.
/// - The severity rises, or nobody could be told before and somebody can now: an open alert fires again, and the cool-down
///   does not hold one back that was over.
/// - It does not hold: the alert is over (`cleared`), or there was none (`not-fired`). A suppression outlives that.
pub fn step(alert: Option<&Alert>, verdict: &Verdict, dedup_key: &str, policy: &Policy, at: Timestamp) -> AlertChange {
    let outcome = if verdict.holds { held(alert, verdict, policy, at) } else { not_held(alert, at) };
    let Outcome { event, status, quiet_until, because } = outcome;
    let (severity, message, routes) = match (event, alert) {
        (AlertEvent::NotFired, _) => (None, None, Vec::new()),
        (AlertEvent::Cleared, Some(alert)) => (alert.severity, alert.message.clone(), alert.routes.clone()),
        (AlertEvent::Repeated, Some(alert)) => (Some(verdict.severity), verdict.message.clone(), alert.routes.clone()),
        _ => {
            let routes = policy.destinations(verdict.trigger, verdict.severity);
            (Some(verdict.severity), verdict.message.clone(), routes)
        }
    };
    AlertChange {
        trigger: verdict.trigger,
        event,
        status,
        severity,
        dedup_key: dedup_key.to_owned(),
        reason: because.map_or_else(|| verdict.reason.clone(), |because| format!("{}; {because}", verdict.reason)),
        message,
        routes,
        quiet_until,
    }
}

/// Why people are not told of what would fire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Silence {
    /// It happened before anybody watched.
    History,
    /// They are told with this incident that evidence may not be read.
    ToldWith(IncidentId),
}

impl Silence {
    pub fn of(report: &Report) -> Option<Self> {
        if report.history { Some(Self::History) } else { report.told_with.map(Self::ToldWith) }
    }
}

impl AlertChange {
    /// The same where people are not told.
    pub fn silenced(self, silence: Option<Silence>) -> Self {
        let because = match silence {
            _ if self.event != AlertEvent::Fired => return self,
            Some(Silence::History) => "it is history, from before anybody watched: nobody is told".to_owned(),
            Some(Silence::ToldWith(incident))
                if matches!(self.trigger, Trigger::MissingEvidence | Trigger::AccessIssue) =>
            {
                format!("people are told with {incident} that evidence may not be read")
            }
            Some(Silence::ToldWith(_)) | None => return self,
        };
        let reason = format!("{}; {because}", self.reason);
        Self { event: AlertEvent::Suppressed, status: Some(AlertStatus::Suppressed), reason, ..self }
    }
}

struct Outcome {
    event: AlertEvent,
    status: Option<AlertStatus>,
    quiet_until: Option<Timestamp>,
    because: Option<String>,
}

fn held(alert: Option<&Alert>, verdict: &Verdict, policy: &Policy, at: Timestamp) -> Outcome {
    let rises = alert.and_then(|alert| alert.severity).is_some_and(|told| verdict.severity > told);
    // what fired while no route led anywhere was heard by nobody
    let reaches = |routes: &[Destination]| routes.iter().any(|destination| destination.to.is_some());
    let unheard = alert.is_some_and(|alert| alert.last_told.is_some() && !reaches(&alert.routes))
        && reaches(&policy.destinations(verdict.trigger, verdict.severity));
    let quiet = alert.and_then(|alert| alert.quiet_at(at));
    let cooling = alert.and_then(|alert| {
        let told = alert.last_told?;
        let until = told.plus(policy.cool_down(verdict.trigger));
        (until > at && !rises && !unheard).then_some((told, until))
    });
    let fired = |because: Option<&str>| Outcome {
        event: AlertEvent::Fired,
        status: Some(AlertStatus::Open),
        quiet_until: None,
        because: because.map(str::to_owned),
    };
    let suppressed = |until: Timestamp, because: String| Outcome {
        event: AlertEvent::Suppressed,
        status: Some(AlertStatus::Suppressed),
        quiet_until: Some(until),
        because: Some(because),
    };
    match alert.map(|alert| alert.status) {
        Some(AlertStatus::Open | AlertStatus::Acknowledged) if rises => fired(Some("the severity rose")),
        Some(AlertStatus::Open) if unheard => fired(Some("nobody could be told before")),
        Some(status @ (AlertStatus::Open | AlertStatus::Acknowledged)) => Outcome {
            event: AlertEvent::Repeated,
            status: Some(status),
            quiet_until: None,
            because: Some(format!("the alert is {status} already")),
        },
        _ => match (quiet, cooling) {
            (Some(until), _) => suppressed(until, format!("quiet until {until}")),
            (None, Some((told, until))) => {
                suppressed(until, format!("people were told at {told}, quiet until {until}"))
            }
            (None, None) => fired(None),
        },
    }
}

fn not_held(alert: Option<&Alert>, at: Timestamp) -> Outcome {
    let quiet_until = alert.and_then(|alert| alert.quiet_at(at));
    let (event, status) = match alert.map(|alert| alert.status) {
        None => (AlertEvent::NotFired, None),
        Some(AlertStatus::Resolved) => (AlertEvent::NotFired, Some(AlertStatus::Resolved)),
        Some(AlertStatus::Open | AlertStatus::Acknowledged | AlertStatus::Suppressed) => {
            (AlertEvent::Cleared, Some(AlertStatus::Resolved))
        }
    };
    Outcome { event, status, quiet_until, because: None }
}

impl Alert {
    /// The alert after a change at `at`; `None`: there is still none. Folding all changes of a key in their order gives the
    /// alert.
    pub fn after(alert: Option<Self>, change: &AlertChange, at: Timestamp) -> Option<Self> {
        // an evaluation that does not hold tells nothing new about an alert that is over
        let (Some(status), false) = (change.status, change.event == AlertEvent::NotFired) else {
            return alert;
        };
        let before = alert.unwrap_or_else(|| Self {
            trigger: change.trigger,
            dedup_key: change.dedup_key.clone(),
            status,
            severity: None,
            last_told: None,
            quiet_until: None,
            acknowledged_at: None,
            resolved_at: None,
            message: None,
            routes: Vec::new(),
        });
        let fired = change.event == AlertEvent::Fired;
        let since = |event: bool, before: Option<Timestamp>| if event { Some(at) } else { before };
        Some(Self {
            status,
            severity: if fired { change.severity } else { before.severity },
            last_told: since(fired, before.last_told),
            quiet_until: change.quiet_until,
            acknowledged_at: match status {
                AlertStatus::Acknowledged => since(change.event == AlertEvent::Acknowledged, before.acknowledged_at),
                _ => None,
            },
            resolved_at: (status == AlertStatus::Resolved).then_some(at),
            message: change.message.clone().or(before.message),
            routes: if fired { change.routes.clone() } else { before.routes },
            ..before
        })
    }

    fn quiet_at(&self, at: Timestamp) -> Option<Timestamp> {
        self.quiet_until.filter(|until| *until > at)
    }

    fn changed(&self, event: AlertEvent, status: AlertStatus, reason: String, quiet: Option<Timestamp>) -> AlertChange {
        AlertChange {
            trigger: self.trigger,
            event,
            status: Some(status),
            severity: self.severity,
            dedup_key: self.dedup_key.clone(),
            reason,
            message: self.message.clone(),
            routes: self.routes.clone(),
            quiet_until: quiet,
        }
    }
}

/// Somebody takes an open alert on: it does not fire again while it holds, unless its severity rises.
///
/// # Errors
/// Any other alert; says how it stands and what can be done with it.
pub fn acknowledge(alert: &Alert, actor: &Id) -> Result<AlertChange, String> {
    let key = &alert.dedup_key;
    match alert.status {
        AlertStatus::Open => {
            let reason = format!("acknowledged by {}", word(actor.as_str()));
            Ok(alert.changed(AlertEvent::Acknowledged, AlertStatus::Acknowledged, reason, None))
        }
        AlertStatus::Acknowledged => {
            Err(format!("{key} is acknowledged already{}; resolve it or suppress it", since(alert.acknowledged_at)))
        }
        AlertStatus::Suppressed => {
            let until = alert.quiet_until.map(|until| format!(" until {until}")).unwrap_or_default();
            Err(format!("{key} is suppressed{until}; resolve it, or suppress it until another moment"))
        }
        AlertStatus::Resolved => {
            Err(format!("{key} is resolved{}; only an open alert is acknowledged", since(alert.resolved_at)))
        }
    }
}

/// Somebody says that an alert is over. If it still holds at an evaluation after the cool-down, it fires again.
///
/// # Errors
/// A resolved alert.
pub fn resolve(alert: &Alert, actor: &Id, at: Timestamp) -> Result<AlertChange, String> {
    if alert.status == AlertStatus::Resolved {
        let since = since(alert.resolved_at);
        return Err(format!("{} is resolved already{since}; it can be suppressed", alert.dedup_key));
    }
    let reason = format!("resolved by {}", word(actor.as_str()));
    Ok(alert.changed(AlertEvent::Resolved, AlertStatus::Resolved, reason, alert.quiet_at(at)))
}

/// Somebody wants no word about an alert until a moment, whether it has fired yet or not.
///
/// # Errors
/// A moment that is not after `at`; without an alert, a key that is none.
pub fn suppress(
    alert: Option<&Alert>,
    dedup_key: &str,
    actor: &Id,
    until: Timestamp,
    at: Timestamp,
) -> Result<AlertChange, String> {
    if until <= at {
        return Err(format!("cannot suppress until {until}, which is not after now, {at}; give a later moment"));
    }
    let reason = format!("suppressed by {} until {until}", word(actor.as_str()));
    let (event, status) = (AlertEvent::Suppressed, AlertStatus::Suppressed);
    match alert {
        Some(alert) => Ok(alert.changed(event, status, reason, Some(until))),
        None => Ok(AlertChange {
            trigger: dedup_key.parse::<AlertRef>()?.trigger,
            event,
            status: Some(status),
            severity: None,
            dedup_key: dedup_key.to_owned(),
            reason,
            message: None,
            routes: Vec::new(),
            quiet_until: Some(until),
        }),
    }
}

fn since(at: Option<Timestamp>) -> String {
    at.map(|at| format!(" since {at}")).unwrap_or_default()
}

#[cfg(test)]
mod tests;
