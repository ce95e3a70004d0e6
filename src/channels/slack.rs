//! Slack: incoming webhooks, and bots.

use reqwest::StatusCode;
use serde::Deserialize;
use serde_json::Value;

use super::{Address, DeliveryAttempt, HttpClient, Secret, http::exchange};
use crate::domain::notification::DeliveryOutcome;

pub(super) const BASE: &str = "https://slack.com";
/// How the token of a bot begins.
pub(super) const BOT: &str = "xoxb-";
const POST_MESSAGE: &[&str] = &["api", "chat.postMessage"];
/// Temporary errors.
const TEMPORARY: &[&str] = &[
    "fatal_error",
    "internal_error",
    "message_limit_exceeded",
    "rate_limited",
    "ratelimited",
    "request_timeout",
    "service_unavailable",
    "team_added_to_org",
];
/// Errors of a thread that was deleted.
const NO_THREAD: &[&str] = &["cannot_reply_to_message", "message_not_found", "thread_not_found"];

/// Sends through an incoming webhook, which returns no message id and supports no threads.
pub(super) async fn to_webhook(
    http: &HttpClient,
    address: &Address,
    message: &Value,
    attempt: DeliveryAttempt<'_>,
) -> DeliveryOutcome {
    match exchange(http.post_json(address.url(), message), attempt.now).await {
        Ok(answer) if answer.status == StatusCode::OK && answer.text() == "ok" => {
            DeliveryOutcome::Accepted { receipt: None, refused: None }
        }
        Ok(answer) => answer.unexpected(),
        Err(outcome) => outcome,
    }
}

#[derive(Deserialize)]
struct PostMessageResponse {
    ok: bool,
    error: Option<String>,
    ts: Option<String>,
}

/// Sends as a bot. The receipt is the message's `ts`, which is the thread id of later messages.
pub(super) async fn as_bot(
    http: &HttpClient,
    base: &Address,
    token: &Secret,
    channel: &str,
    message: &Value,
    attempt: DeliveryAttempt<'_>,
) -> DeliveryOutcome {
    let mut body = message.clone();
    let Some(fields) = body.as_object_mut() else {
        return DeliveryOutcome::Refused { reason: "the message is not a JSON object".into() };
    };
    fields.insert("channel".into(), channel.into());
    if let Some(thread) = attempt.thread {
        fields.insert("thread_ts".into(), thread.into());
    }
    let post = async |body: &Value| {
        let request = http.post_json(base.join(POST_MESSAGE), body).bearer_auth(token.expose());
        let answer = exchange(request, attempt.now).await?;
        let response = answer.json::<PostMessageResponse>().ok_or_else(|| answer.unexpected())?;
        Ok::<_, DeliveryOutcome>((response, answer.after_s))
    };
    let mut result = post(&body).await;
    // The first message of the thread was deleted: the message starts a new thread.
    let thread_is_gone =
        |response: &PostMessageResponse| response.error.as_deref().is_some_and(|error| NO_THREAD.contains(&error));
    if attempt.thread.is_some() && result.as_ref().is_ok_and(|(response, _)| !response.ok && thread_is_gone(response)) {
        if let Some(fields) = body.as_object_mut() {
            fields.remove("thread_ts");
        }
        result = post(&body).await;
    }
    match result {
        Ok((PostMessageResponse { ok: true, ts, .. }, _)) => DeliveryOutcome::Accepted { receipt: ts, refused: None },
        Ok((PostMessageResponse { error, .. }, after_s)) => {
            let error = error.unwrap_or_else(|| "an unnamed error".into());
            let reason = format!("Slack answered {error}");
            if TEMPORARY.contains(&error.as_str()) {
                DeliveryOutcome::RetryLater { reason, after_s }
            } else {
                DeliveryOutcome::Refused { reason }
            }
        }
        Err(outcome) => outcome,
    }
}
