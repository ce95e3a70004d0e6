//! The content of a notification for programs: one field per value, `null` if unknown. Text from outside is safe and of
//! bounded length, because programs show it to people.

use serde_json::{Value, json};

use super::outline::{self, alert_of, name, outside, sentence};
use crate::{
    domain::{
        digest::Digest,
        notification::{AlertContent, AlertSummary, IncidentContext, Notification, NotificationContent, Undelivered},
    },
    render::plain::line,
};

/// Characters of one line of a message.
const MOST_LINE: usize = 3_000;
/// Characters of a message.
const MOST_MESSAGE: usize = 12_000;

pub fn of(notification: &Notification, about: &IncidentContext) -> Value {
    match &notification.content {
        NotificationContent::Alert(alert) => of_alert(notification, alert, about),
        NotificationContent::Undelivered(Undelivered { alert, channel, kind, recipients, reason }) => {
            let mut details = of_alert(notification, alert, about);
            details["undelivered"] =
                json!({ "channel": name(channel.as_str()), "kind": kind, "reason": sentence(reason) });
            if let Some(some) = recipients {
                details["undelivered"]["recipients"] = name(&some.to_string()).into();
            }
            details
        }
        NotificationContent::Change { incident_id, title, actor } => {
            let outline = outline::of(notification, about);
            json!({
                "incident_id": incident_id,
                "title": name(&about.title),
                "step": name(title),
                "actor": name(actor.as_str()),
                "at": notification.at,
                "resource": about.resource.as_deref().map(name),
                "workspace_id": about.workspace_id.as_deref().map(name),
                "workspace_url": outline.link.as_ref().map(ToString::to_string),
                "event": notification.source,
                "next": outline.commands(),
            })
        }
        NotificationContent::Digest(digest) => of_digest(digest),
    }
}

fn of_alert(notification: &Notification, alert: &AlertContent, about: &IncidentContext) -> Value {
    let outline = outline::of(notification, about);
    json!({
        "severity": alert.severity,
        "trigger": alert.trigger,
        "incident_id": alert.incident_id,
        "title": name(&about.title),
        "message": outline::message_lines(alert).short(MOST_LINE, MOST_MESSAGE),
        "reason": sentence(&alert.reason),
        "unacknowledged_minutes": alert.unacknowledged_minutes,
        "actor": name(alert.actor.as_str()),
        "at": notification.at,
        "resource": about.resource.as_deref().map(name),
        "workspace_id": about.workspace_id.as_deref().map(name),
        "workspace_url": outline.link.as_ref().map(ToString::to_string),
        "dedup_key": outside(&alert.dedup_key, 255),
        "event": notification.source,
        "next": outline.commands(),
    })
}

/// The digest as JSON; only its week if it cannot be serialised.
fn of_digest(digest: &Digest) -> Value {
    fn made_safe(value: &mut Value) {
        match value {
            Value::String(text) => *text = line(text).into_owned(),
            Value::Array(items) => items.iter_mut().for_each(made_safe),
            Value::Object(fields) => fields.values_mut().for_each(made_safe),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
    let mut value = serde_json::to_value(digest).unwrap_or_else(|_| json!({ "week": { "week": digest.week.week } }));
    made_safe(&mut value);
    value
}

pub fn summary(summary: &AlertSummary) -> Value {
    let outline = outline::summary(summary);
    let notifications = outline::sorted(summary);
    let alerts: Vec<&AlertContent> =
        notifications.iter().filter_map(|(notification, _)| alert_of(notification)).collect();
    let counts: serde_json::Map<String, Value> =
        outline::counts(&alerts).into_iter().map(|(severity, count)| (severity.to_string(), count.into())).collect();
    let (first, last) = outline::span(&notifications).unzip();
    json!({
        "alerts": alerts.len(),
        "by_severity": counts,
        "first_at": first,
        "last_at": last,
        "most_severe": outline.body.short(MOST_LINE, MOST_MESSAGE),
        "next": outline.commands(),
    })
}
