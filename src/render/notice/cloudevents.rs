//! CloudEvents 1.0 as structured JSON, for webhooks of any kind.
//!
//! The id of an event is the same for every attempt to send it: whoever receives it twice can tell.

use serde_json::{Value, json};

use super::{
    details,
    said::{self, name, outside},
};
use crate::domain::{
    delivery::{About, Content, Notice, Summary},
    ids::sha256_hex,
};

/// The event of one notice.
pub fn event(notice: &Notice, about: &About) -> Value {
    let says = notice.says;
    let kind = match &notice.content {
        Content::Alert(_) => format!("ops-runbook.escalation.{says}"),
        Content::Undelivered(_) => "ops-runbook.escalation.undelivered".into(),
        Content::Change { .. } => "ops-runbook.incident.change".into(),
        Content::Digest(_) => "ops-runbook.digest".into(),
    };
    json!({
        "specversion": "1.0",
        "id": id(notice),
        "source": "urn:ops-runbook",
        "type": kind,
        "subject": subject(&notice.lane),
        "time": notice.at,
        "datacontenttype": "application/json",
        "data": details::of(notice, about),
    })
}

/// One event for several alerts.
pub fn summary(lane: &str, summary: &Summary) -> Value {
    let ids: Vec<String> = summary.notices.iter().map(|(notice, _)| id(notice)).collect();
    let mut hash = sha256_hex(format!("{lane}\n{}", ids.join("\n")));
    hash.truncate(32);
    let mut event = json!({
        "specversion": "1.0",
        "id": format!("summary/{hash}/{}", name(summary.channel.as_str())),
        "source": "urn:ops-runbook",
        "type": "ops-runbook.escalation.summary",
        "subject": subject(lane),
        "datacontenttype": "application/json",
        "data": details::summary(summary),
    });
    if let Some((_, last)) = said::span(&said::sorted(summary)) {
        event["time"] = json!(last);
    }
    event
}

/// `17.3/trigger/pager`
fn id(notice: &Notice) -> String {
    outside(&notice.name(), 400)
}

fn subject(lane: &str) -> String {
    outside(lane, 255)
}
