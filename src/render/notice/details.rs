//! What a notice says, for programs: field by field, `null` where something is not known. Text from outside is safe and of
//! bounded length here too, because programs show it to people.

use serde_json::{Value, json};

use super::said::{self, alert_of, name, outside, sentence};
use crate::{
    domain::{
        delivery::{About, AlertContent, Content, Notice, Summary, Undelivered},
        digest::Digest,
    },
    render::plain::line,
};

/// Characters of one line of a message.
const MOST_LINE: usize = 3_000;
/// Characters of a message.
const MOST_MESSAGE: usize = 12_000;

pub fn of(notice: &Notice, about: &About) -> Value {
    match &notice.content {
        Content::Alert(alert) => of_alert(notice, alert, about),
        Content::Undelivered(Undelivered { alert, channel, kind, recipients, reason }) => {
            let mut details = of_alert(notice, alert, about);
            details["undelivered"] =
                json!({ "channel": name(channel.as_str()), "kind": kind, "reason": sentence(reason) });
            if let Some(some) = recipients {
                details["undelivered"]["recipients"] = name(&some.to_string()).into();
            }
            details
        }
        Content::Change { incident_id, title, actor } => {
            let said = said::of(notice, about);
            json!({
                "incident_id": incident_id,
                "title": name(&about.title),
                "step": name(title),
                "actor": name(actor.as_str()),
                "at": notice.at,
                "resource": about.resource.as_deref().map(name),
                "workspace_id": about.workspace_id.as_deref().map(name),
                "workspace_url": said.link.as_ref().map(ToString::to_string),
                "event": notice.source,
                "next": said.commands(),
            })
        }
        Content::Digest(digest) => of_digest(digest),
    }
}

fn of_alert(notice: &Notice, alert: &AlertContent, about: &About) -> Value {
    let said = said::of(notice, about);
    json!({
        "severity": alert.severity,
        "trigger": alert.trigger,
        "incident_id": alert.incident_id,
        "title": name(&about.title),
        "message": said::happened(alert).short(MOST_LINE, MOST_MESSAGE),
        "reason": sentence(&alert.reason),
        "unacknowledged_minutes": alert.unacknowledged_minutes,
        "actor": name(alert.actor.as_str()),
        "at": notice.at,
        "resource": about.resource.as_deref().map(name),
        "workspace_id": about.workspace_id.as_deref().map(name),
        "workspace_url": said.link.as_ref().map(ToString::to_string),
        "dedup_key": outside(&alert.dedup_key, 255),
        "event": notice.source,
        "next": said.commands(),
    })
}

/// The digest's JSON. Should it not be JSON, the week it is of.
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

pub fn summary(summary: &Summary) -> Value {
    let said = said::summary(summary);
    let notices = said::sorted(summary);
    let alerts: Vec<&AlertContent> = notices.iter().filter_map(|(notice, _)| alert_of(notice)).collect();
    let counts: serde_json::Map<String, Value> =
        said::counts(&alerts).into_iter().map(|(severity, count)| (severity.to_string(), count.into())).collect();
    let (first, last) = said::span(&notices).unzip();
    json!({
        "alerts": alerts.len(),
        "by_severity": counts,
        "first_at": first,
        "last_at": last,
        "most_severe": said.body.short(MOST_LINE, MOST_MESSAGE),
        "next": said.commands(),
    })
}
