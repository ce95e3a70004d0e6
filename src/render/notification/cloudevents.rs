//! CloudEvents 1.0 as structured JSON, for webhooks of any kind.
//!
//! The id of an event is the same for every attempt to send it. A receiver can drop duplicates.

use serde_json::{Value, json};

use super::{
    details,
    outline::{self, name, outside},
};
use crate::domain::{
    ids::sha256_hex,
    notification::{AlertSummary, IncidentContext, Notification, NotificationContent},
};

/// The event of one notification.
pub fn event(notification: &Notification, about: &IncidentContext) -> Value {
    let says = notification.notification_kind;
    let kind = match &notification.content {
        NotificationContent::Alert(_) => format!("ops-runbook.escalation.{says}"),
        NotificationContent::Undelivered(_) => "ops-runbook.escalation.undelivered".into(),
        NotificationContent::Change { .. } => "ops-runbook.incident.change".into(),
        NotificationContent::Digest(_) => "ops-runbook.digest".into(),
    };
    json!({
        "specversion": "1.0",
        "id": id(notification),
        "source": "urn:ops-runbook",
        "type": kind,
        "subject": subject(&notification.stream),
        "time": notification.at,
        "datacontenttype": "application/json",
        "data": details::of(notification, about),
    })
}

/// One event for several alerts.
pub fn summary(stream: &str, summary: &AlertSummary) -> Value {
    let ids: Vec<String> = summary.notifications.iter().map(|(notification, _)| id(notification)).collect();
    let mut hash = sha256_hex(format!("{stream}\n{}", ids.join("\n")));
    hash.truncate(32);
    let mut event = json!({
        "specversion": "1.0",
        "id": format!("summary/{hash}/{}", name(summary.channel.as_str())),
        "source": "urn:ops-runbook",
        "type": "ops-runbook.escalation.summary",
        "subject": subject(stream),
        "datacontenttype": "application/json",
        "data": details::summary(summary),
    });
    if let Some((_, last)) = outline::span(&outline::sorted(summary)) {
        event["time"] = json!(last);
    }
    event
}

/// `17.3/trigger/pager`
fn id(notification: &Notification) -> String {
    outside(&notification.id(), 400)
}

fn subject(stream: &str) -> String {
    outside(stream, 255)
}
