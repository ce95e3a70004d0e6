//! Events for PagerDuty's Events API v2, without `routing_key`, which the sender adds.

use serde_json::{Value, json};

use super::{
    details,
    said::{self, Said, Tone, alert_of, name},
};
use crate::{
    domain::{
        delivery::{About, Content, Notice, Summary},
        ids::sha256_hex,
        time::Timestamp,
        words::{NoticeKind, Severity},
    },
    render::plain::{line, within},
};

/// Characters of a summary.
const MOST_SUMMARY: usize = 1_024;
/// Characters of a dedup key.
const MOST_KEY: usize = 255;

/// An event that opens, acknowledges or resolves an alert under the lane as its key. `None`: a pager is not told of that.
pub fn event(notice: &Notice, about: &About) -> Option<Value> {
    let action = match (&notice.content, notice.says) {
        (Content::Change { .. } | Content::Digest(_), _) => return None,
        (Content::Alert(_), NoticeKind::Acknowledge) => "acknowledge",
        (Content::Alert(_), NoticeKind::Resolve) => "resolve",
        (Content::Alert(_) | Content::Undelivered(_), _) => "trigger",
    };
    if action != "trigger" {
        return Some(json!({ "event_action": action, "dedup_key": key(&notice.lane) }));
    }
    let said = said::of(notice, about);
    let mut payload = payload(&said, source(&said, about), notice.at, details::of(notice, about));
    payload["severity"] = severity(said.tone).into();
    if let Some(resource) = about.resource.as_deref() {
        payload["component"] = name(resource).into();
    }
    if let Some(workspace) = about.workspace_id.as_deref() {
        payload["group"] = name(workspace).into();
    }
    if let Some(alert) = alert_of(notice) {
        payload["class"] = alert.trigger.as_str().into();
    }
    Some(triggered(&notice.lane, payload, &said))
}

/// A change event, for `/v2/change/enqueue`. `None`: the notice tells of no change.
pub fn change(notice: &Notice, about: &About) -> Option<Value> {
    let Content::Change { .. } = notice.content else { return None };
    let said = said::of(notice, about);
    let payload = payload(&said, source(&said, about), notice.at, details::of(notice, about));
    Some(json!({ "payload": payload, "links": links(&said) }))
}

/// One event for several alerts, under the lane as its key.
pub fn summary(lane: &str, summary: &Summary) -> Value {
    let said = said::summary(summary);
    let details = details::summary(summary);
    let mut payload = json!({
        "summary": short(&said.headline),
        "source": "ops-runbook",
        "severity": severity(said.tone),
    });
    if let Some((_, last)) = said::span(&said::sorted(summary)) {
        payload["timestamp"] = json!(last);
    }
    payload["class"] = "summary".into();
    payload["custom_details"] = details;
    triggered(lane, payload, &said)
}

fn triggered(lane: &str, payload: Value, said: &Said) -> Value {
    json!({
        "event_action": "trigger",
        "dedup_key": key(lane),
        "client": "ops-runbook",
        "payload": payload,
        "links": links(said),
    })
}

fn payload(said: &Said, source: String, at: Timestamp, details: Value) -> Value {
    json!({ "summary": short(&said.headline), "source": source, "timestamp": at, "custom_details": details })
}

fn short(text: &str) -> String {
    within(text, MOST_SUMMARY, |_| 1).into_owned()
}

/// Where it happened: the host of the workspace, or its id.
fn source(said: &Said, about: &About) -> String {
    let host = said.link.as_ref().and_then(|link| link.host_str()).map(str::to_owned);
    let host = host.or_else(|| about.workspace_id.as_deref().map(name));
    host.unwrap_or_else(|| "ops-runbook".into())
}

fn links(said: &Said) -> Vec<Value> {
    said.link.iter().map(|link| json!({ "href": link.as_str(), "text": "Open the workspace" })).collect()
}

fn severity(tone: Tone) -> &'static str {
    match tone {
        Tone::Alarm(Severity::Critical) => "critical",
        Tone::Alarm(Severity::High) => "error",
        Tone::Alarm(Severity::Medium) => "warning",
        Tone::Alarm(Severity::Low) | Tone::Taken | Tone::Over | Tone::Note => "info",
    }
}

/// The lane itself. One that is too long ends in its hash: two of them never share a key.
fn key(lane: &str) -> String {
    let key = line(lane);
    if key.chars().count() <= MOST_KEY {
        return key.into_owned();
    }
    let hash = sha256_hex(lane);
    let begins: String = key.chars().take(MOST_KEY - 1 - hash.len()).collect();
    format!("{begins}/{hash}")
}
