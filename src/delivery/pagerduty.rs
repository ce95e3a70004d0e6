//! PagerDuty's Events API, version 2.

use reqwest::StatusCode;
use serde::Deserialize;
use serde_json::Value;

use super::{Address, Attempt, Http, Secret, http::exchange};
use crate::domain::delivery::Outcome;

pub(super) const BASE: &str = "https://events.pagerduty.com";
pub(super) const EVENTS: &[&str] = &["v2", "enqueue"];
pub(super) const CHANGES: &[&str] = &["v2", "change", "enqueue"];

#[derive(Deserialize)]
struct Said {
    status: Option<String>,
    dedup_key: Option<String>,
}

/// The receipt is the deduplication key.
pub(super) async fn send(
    http: &Http,
    base: &Address,
    path: &[&str],
    key: &Secret,
    event: &Value,
    attempt: Attempt<'_>,
) -> Outcome {
    let mut body = event.clone();
    let Some(fields) = body.as_object_mut() else {
        return Outcome::Refused { reason: "the event is not a JSON object".into() };
    };
    fields.insert("routing_key".into(), key.expose().into());
    let answer = match exchange(http.post_json(base.join(path), &body), attempt.now).await {
        Ok(answer) => answer,
        Err(outcome) => return outcome,
    };
    let said: Option<Said> = answer.json();
    let accepted = said.as_ref().is_some_and(|said| said.status.as_deref() == Some("success"));
    if answer.status != StatusCode::ACCEPTED && !accepted {
        return answer.unexpected();
    }
    let sent = || event.get("dedup_key")?.as_str().map(str::to_owned);
    Outcome::Accepted { receipt: said.and_then(|said| said.dedup_key).or_else(sent), refused: None }
}
