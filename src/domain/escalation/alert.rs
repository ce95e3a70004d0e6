//! The life cycle of an alert: the fold of its recorded changes ([`AlertChange`]).

use serde::{Deserialize, Serialize};

use super::{TriggerVerdict, wording::word};
use crate::domain::{
    check::Severity,
    escalation::{
        status::{AlertEvent, AlertStatus},
        trigger::Trigger,
    },
    ids::{AlertRef, Id, IncidentId},
    policy::{Destination, Policy},
    report::Report,
    time::Timestamp,
};

/// Current state of an alert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alert {
    pub trigger: Trigger,
    pub dedup_key: String,
    pub status: AlertStatus,
    /// Severity when it last fired. `None`: it never fired.
    pub severity: Option<Severity>,
    /// Time when it last fired.
    pub last_fired: Option<Timestamp>,
    /// End of the suppression.
    pub quiet_until: Option<Timestamp>,
    /// Time of the acknowledgement of an acknowledged alert.
    pub acknowledged_at: Option<Timestamp>,
    /// Time of the resolution of a resolved alert.
    pub resolved_at: Option<Timestamp>,
    /// Text of the latest message.
    pub message: Option<String>,
    /// Destinations when it last fired.
    pub routes: Vec<Destination>,
}

/// Change of an alert by an evaluation or an actor. It is a recorded fact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AlertChange {
    pub trigger: Trigger,
    pub event: AlertEvent,
    /// Status after the change. `None`: the alert never fired.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<AlertStatus>,
    /// Severity. `None` if the trigger does not hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub severity: Option<Severity>,
    pub dedup_key: String,
    /// Reason of the change; one line.
    pub reason: String,
    /// Text for people, also of a suppressed alert.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Destinations, also of a suppressed alert. Empty: no route matches.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<Destination>,
    /// End of the suppression.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quiet_until: Option<Timestamp>,
}

/// Returns the change of an alert by an evaluation at `at`. `alert` is `None` if there is none yet.
///
/// - The trigger holds: the alert fires, unless it is open already (`repeated`), is snoozed, or fired within the cool-down
///   (`suppressed`). A suppressed alert fires at the first later evaluation at which the trigger holds.
/// - The severity rises, or the alert had no reachable route and has one now: an open alert fires again, and the cool-down
///   does not apply to a resolved one.
/// - The trigger does not hold: the alert is resolved (`cleared`), or there was none (`not-fired`). A snooze remains in
///   effect.
pub fn step(
    alert: Option<&Alert>,
    verdict: &TriggerVerdict,
    dedup_key: &str,
    policy: &Policy,
    at: Timestamp,
) -> AlertChange {
    let transition = if verdict.holds { holding(alert, verdict, policy, at) } else { not_holding(alert, at) };
    let AlertTransition { event, status, quiet_until, because } = transition;
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

/// Reason why an alert is suppressed that would fire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SuppressionReason {
    /// The incident is older than the lake.
    History,
    /// The alert of this incident already reports that evidence cannot be read.
    ReportedWith(IncidentId),
}

impl SuppressionReason {
    /// Returns the reason that a report gives, if any.
    pub fn from_report(report: &Report) -> Option<Self> {
        if report.history { Some(Self::History) } else { report.told_with.map(Self::ReportedWith) }
    }
}

impl AlertChange {
    /// Turns a fired alert into a suppressed one if there is a reason for that.
    pub fn suppressed_by(self, reason: Option<SuppressionReason>) -> Self {
        let because = match reason {
            _ if self.event != AlertEvent::Fired => return self,
            Some(SuppressionReason::History) => {
                "it is history from before the lake; no notification is sent".to_owned()
            }
            Some(SuppressionReason::ReportedWith(incident))
                if matches!(self.trigger, Trigger::MissingEvidence | Trigger::AccessIssue) =>
            {
                format!("{incident} already reports that evidence cannot be read")
            }
            Some(SuppressionReason::ReportedWith(_)) | None => return self,
        };
        let reason = format!("{}; {because}", self.reason);
        Self { event: AlertEvent::Suppressed, status: Some(AlertStatus::Suppressed), reason, ..self }
    }
}

/// Event and status that follow from an evaluation.
struct AlertTransition {
    event: AlertEvent,
    status: Option<AlertStatus>,
    quiet_until: Option<Timestamp>,
    because: Option<String>,
}

fn holding(alert: Option<&Alert>, verdict: &TriggerVerdict, policy: &Policy, at: Timestamp) -> AlertTransition {
    let rises = alert.and_then(|alert| alert.severity).is_some_and(|before| verdict.severity > before);
    // An alert that fired without a reachable route was not sent.
    let reaches = |routes: &[Destination]| routes.iter().any(|destination| destination.to.is_some());
    let was_unreachable = alert.is_some_and(|alert| alert.last_fired.is_some() && !reaches(&alert.routes))
        && reaches(&policy.destinations(verdict.trigger, verdict.severity));
    let snoozed = alert.and_then(|alert| alert.suppressed_at(at));
    let cooling = alert.and_then(|alert| {
        let fired_at = alert.last_fired?;
        let until = fired_at.plus(policy.cool_down(verdict.trigger));
        (until > at && !rises && !was_unreachable).then_some((fired_at, until))
    });
    let fired = |because: Option<&str>| AlertTransition {
        event: AlertEvent::Fired,
        status: Some(AlertStatus::Open),
        quiet_until: None,
        because: because.map(str::to_owned),
    };
    let suppressed = |until: Timestamp, because: String| AlertTransition {
        event: AlertEvent::Suppressed,
        status: Some(AlertStatus::Suppressed),
        quiet_until: Some(until),
        because: Some(because),
    };
    match alert.map(|alert| alert.status) {
        Some(AlertStatus::Open | AlertStatus::Acknowledged) if rises => fired(Some("the severity rose")),
        Some(AlertStatus::Open) if was_unreachable => fired(Some("no route was reachable before")),
        Some(status @ (AlertStatus::Open | AlertStatus::Acknowledged)) => AlertTransition {
            event: AlertEvent::Repeated,
            status: Some(status),
            quiet_until: None,
            because: Some(format!("the alert is {status} already")),
        },
        _ => match (snoozed, cooling) {
            (Some(until), _) => suppressed(until, format!("suppressed until {until}")),
            (None, Some((fired_at, until))) => {
                suppressed(until, format!("it fired at {fired_at} and is suppressed until {until}"))
            }
            (None, None) => fired(None),
        },
    }
}

fn not_holding(alert: Option<&Alert>, at: Timestamp) -> AlertTransition {
    let quiet_until = alert.and_then(|alert| alert.suppressed_at(at));
    let (event, status) = match alert.map(|alert| alert.status) {
        None => (AlertEvent::NotFired, None),
        Some(AlertStatus::Resolved) => (AlertEvent::NotFired, Some(AlertStatus::Resolved)),
        Some(AlertStatus::Open | AlertStatus::Acknowledged | AlertStatus::Suppressed) => {
            (AlertEvent::Cleared, Some(AlertStatus::Resolved))
        }
    };
    AlertTransition { event, status, quiet_until, because: None }
}

impl Alert {
    /// Returns the alert after a change at `at`. `None`: there is still none. Folding all changes of a key in order gives
    /// the current alert.
    pub fn after(alert: Option<Self>, change: &AlertChange, at: Timestamp) -> Option<Self> {
        // A `not-fired` evaluation does not change a resolved alert.
        let (Some(status), false) = (change.status, change.event == AlertEvent::NotFired) else {
            return alert;
        };
        let before = alert.unwrap_or_else(|| Self {
            trigger: change.trigger,
            dedup_key: change.dedup_key.clone(),
            status,
            severity: None,
            last_fired: None,
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
            last_fired: since(fired, before.last_fired),
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

    fn suppressed_at(&self, at: Timestamp) -> Option<Timestamp> {
        self.quiet_until.filter(|until| *until > at)
    }

    fn changed(
        &self,
        event: AlertEvent,
        status: AlertStatus,
        reason: String,
        quiet_until: Option<Timestamp>,
    ) -> AlertChange {
        AlertChange {
            trigger: self.trigger,
            event,
            status: Some(status),
            severity: self.severity,
            dedup_key: self.dedup_key.clone(),
            reason,
            message: self.message.clone(),
            routes: self.routes.clone(),
            quiet_until,
        }
    }
}

/// Acknowledges an open alert. It does not fire again while its trigger holds, unless its severity rises.
///
/// # Errors
/// An alert that is not open, with its status and the possible actions.
pub fn acknowledge(alert: &Alert, actor: &Id) -> Result<AlertChange, String> {
    let key = &alert.dedup_key;
    match alert.status {
        AlertStatus::Open => {
            let reason = format!("acknowledged by {}", word(actor.as_str()));
            Ok(alert.changed(AlertEvent::Acknowledged, AlertStatus::Acknowledged, reason, None))
        }
        AlertStatus::Acknowledged => {
            Err(format!("{key} is acknowledged already{}; resolve or snooze it", since(alert.acknowledged_at)))
        }
        AlertStatus::Suppressed => {
            let until = alert.quiet_until.map(|until| format!(" until {until}")).unwrap_or_default();
            Err(format!("{key} is suppressed{until}; resolve it, or snooze it until another time"))
        }
        AlertStatus::Resolved => {
            Err(format!("{key} is resolved{}; only an open alert can be acknowledged", since(alert.resolved_at)))
        }
    }
}

/// Resolves an alert. If its trigger still holds at an evaluation after the cool-down, it fires again.
///
/// # Errors
/// A resolved alert.
pub fn resolve(alert: &Alert, actor: &Id, at: Timestamp) -> Result<AlertChange, String> {
    if alert.status == AlertStatus::Resolved {
        let since = since(alert.resolved_at);
        return Err(format!("{} is resolved already{since}; it can only be snoozed", alert.dedup_key));
    }
    let reason = format!("resolved by {}", word(actor.as_str()));
    Ok(alert.changed(AlertEvent::Resolved, AlertStatus::Resolved, reason, alert.suppressed_at(at)))
}

/// Snoozes an alert until a given time, whether it has fired or not.
///
/// # Errors
/// A time that is not after `at`; without an alert, an invalid key.
pub fn snooze(
    alert: Option<&Alert>,
    dedup_key: &str,
    actor: &Id,
    until: Timestamp,
    at: Timestamp,
) -> Result<AlertChange, String> {
    if until <= at {
        return Err(format!("cannot snooze until {until}, which is not after now ({at}); give a later time"));
    }
    let reason = format!("snoozed by {} until {until}", word(actor.as_str()));
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
