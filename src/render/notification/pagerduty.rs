//! Events for PagerDuty's Events API v2, without `routing_key`, which the sender adds.

use serde_json::{Value, json};

use super::{
    details,
    outline::{self, NotificationOutline, Tone, alert_of, name},
};
use crate::{
    domain::{
        check::Severity,
        ids::sha256_hex,
        notification::{AlertSummary, IncidentContext, Notification, NotificationContent, event::NotificationKind},
        time::Timestamp,
    },
    render::plain::{line, within},
};

/// Characters of a summary.
const MOST_SUMMARY: usize = 1_024;
/// Characters of a dedup key.
const MOST_KEY: usize = 255;

/// An event that opens, acknowledges or resolves an alert, keyed by the stream. `None`: PagerDuty has no event for it.
pub fn event(notification: &Notification, about: &IncidentContext) -> Option<Value> {
    let action = match (&notification.content, notification.notification_kind) {
        (NotificationContent::Change { .. } | NotificationContent::Digest(_), _) => return None,
        (NotificationContent::Alert(_), NotificationKind::Acknowledge) => "acknowledge",
        (NotificationContent::Alert(_), NotificationKind::Resolve) => "resolve",
        (NotificationContent::Alert(_) | NotificationContent::Undelivered(_), _) => "trigger",
    };
    if action != "trigger" {
        return Some(json!({ "event_action": action, "dedup_key": key(&notification.stream) }));
    }
    let outline = outline::of(notification, about);
    let mut payload = payload(&outline, source(&outline, about), notification.at, details::of(notification, about));
    payload["severity"] = severity(outline.tone).into();
    if let Some(resource) = about.resource.as_deref() {
        payload["component"] = name(resource).into();
    }
    if let Some(workspace) = about.workspace_id.as_deref() {
        payload["group"] = name(workspace).into();
    }
    if let Some(alert) = alert_of(notification) {
        payload["class"] = alert.trigger.as_str().into();
    }
    Some(triggered(&notification.stream, payload, &outline))
}

/// A change event, for `/v2/change/enqueue`. `None`: the notification is not about a change.
pub fn change(notification: &Notification, about: &IncidentContext) -> Option<Value> {
    let NotificationContent::Change { .. } = notification.content else { return None };
    let outline = outline::of(notification, about);
    let payload = payload(&outline, source(&outline, about), notification.at, details::of(notification, about));
    Some(json!({ "payload": payload, "links": links(&outline) }))
}

/// One event for several alerts, keyed by the stream.
pub fn summary(stream: &str, summary: &AlertSummary) -> Value {
    let outline = outline::summary(summary);
    let details = details::summary(summary);
    let mut payload = json!({
        "summary": short(&outline.headline),
        "source": "ops-runbook",
        "severity": severity(outline.tone),
    });
    if let Some((_, last)) = outline::span(&outline::sorted(summary)) {
        payload["timestamp"] = json!(last);
    }
    payload["class"] = "summary".into();
    payload["custom_details"] = details;
    triggered(stream, payload, &outline)
}

fn triggered(stream: &str, payload: Value, outline: &NotificationOutline) -> Value {
    json!({
        "event_action": "trigger",
        "dedup_key": key(stream),
        "client": "ops-runbook",
        "payload": payload,
        "links": links(outline),
    })
}

fn payload(outline: &NotificationOutline, source: String, at: Timestamp, details: Value) -> Value {
    json!({ "summary": short(&outline.headline), "source": source, "timestamp": at, "custom_details": details })
}

fn short(text: &str) -> String {
    within(text, MOST_SUMMARY, |_| 1).into_owned()
}

/// The host of the workspace, or its id.
fn source(outline: &NotificationOutline, about: &IncidentContext) -> String {
    let host = outline.link.as_ref().and_then(|link| link.host_str()).map(str::to_owned);
    let host = host.or_else(|| about.workspace_id.as_deref().map(name));
    host.unwrap_or_else(|| "ops-runbook".into())
}

fn links(outline: &NotificationOutline) -> Vec<Value> {
    outline.link.iter().map(|link| json!({ "href": link.as_str(), "text": "Open the workspace" })).collect()
}

fn severity(tone: Tone) -> &'static str {
    match tone {
        Tone::Alert(Severity::Critical) => "critical",
        Tone::Alert(Severity::High) => "error",
        Tone::Alert(Severity::Medium) => "warning",
        Tone::Alert(Severity::Low) | Tone::Acknowledged | Tone::Resolved | Tone::Info => "info",
    }
}

/// The stream's id. One that is too long ends in its hash, so that two of them never share a key.
fn key(stream: &str) -> String {
    let key = line(stream);
    if key.chars().count() <= MOST_KEY {
        return key.into_owned();
    }
    let hash = sha256_hex(stream);
    let begins: String = key.chars().take(MOST_KEY - 1 - hash.len()).collect();
    format!("{begins}/{hash}")
}
