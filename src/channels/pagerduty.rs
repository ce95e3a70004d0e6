//! PagerDuty's Events API, version 2.

use reqwest::StatusCode;
use serde::Deserialize;
use serde_json::Value;

use super::{Address, DeliveryAttempt, HttpClient, Secret, http::exchange};
use crate::domain::notification::DeliveryOutcome;

pub(super) const BASE: &str = "https://events.pagerduty.com";
pub(super) const EVENTS: &[&str] = &["v2", "enqueue"];
pub(super) const CHANGES: &[&str] = &["v2", "change", "enqueue"];

#[derive(Deserialize)]
struct EnqueueResponse {
    status: Option<String>,
    dedup_key: Option<String>,
}

/// Sends an event. The receipt is its deduplication key.
pub(super) async fn send(
    http: &HttpClient,
    base: &Address,
    path: &[&str],
    key: &Secret,
    event: &Value,
    attempt: DeliveryAttempt<'_>,
) -> DeliveryOutcome {
    let mut request = event.clone();
    let Some(fields) = request.as_object_mut() else {
        return DeliveryOutcome::Refused { reason: "the event is not a JSON object".into() };
    };
    fields.insert("routing_key".into(), key.expose().into());
    let response = match exchange(http.post_json(base.join(path), &request), attempt.now).await {
        Ok(response) => response,
        Err(outcome) => return outcome,
    };
    let body: Option<EnqueueResponse> = response.json();
    let accepted = body.as_ref().is_some_and(|body| body.status.as_deref() == Some("success"));
    if response.status != StatusCode::ACCEPTED && !accepted {
        return response.unexpected();
    }
    let sent = || event.get("dedup_key")?.as_str().map(str::to_owned);
    DeliveryOutcome::Accepted { receipt: body.and_then(|body| body.dedup_key).or_else(sent), refused: None }
}
