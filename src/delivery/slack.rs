//! Slack: incoming webhooks, and bots.

use reqwest::StatusCode;
use serde::Deserialize;
use serde_json::Value;

use super::{Address, Attempt, Http, Secret, http::exchange};
use crate::domain::delivery::Outcome;

pub(super) const BASE: &str = "https://slack.com";
/// How the token of a bot begins.
pub(super) const BOT: &str = "xoxb-";
const POST_MESSAGE: &[&str] = &["api", "chat.postMessage"];
/// Errors that pass.
const PASSING: &[&str] = &[
    "fatal_error",
    "internal_error",
    "message_limit_exceeded",
    "rate_limited",
    "ratelimited",
    "request_timeout",
    "service_unavailable",
    "team_added_to_org",
];
/// Errors that say that there is no thread any more.
const NO_THREAD: &[&str] = &["cannot_reply_to_message", "message_not_found", "thread_not_found"];

/// A webhook neither says what it calls a message nor answers in threads.
pub(super) async fn to_webhook(http: &Http, address: &Address, message: &Value, attempt: Attempt<'_>) -> Outcome {
    match exchange(http.post_json(address.url(), message), attempt.now).await {
        Ok(answer) if answer.status == StatusCode::OK && answer.text() == "ok" => {
            Outcome::Accepted { receipt: None, refused: None }
        }
        Ok(answer) => answer.unexpected(),
        Err(outcome) => outcome,
    }
}

#[derive(Deserialize)]
struct Said {
    ok: bool,
    error: Option<String>,
    ts: Option<String>,
}

/// The receipt is the message's `ts`, which is the thread of what follows it.
pub(super) async fn as_bot(
    http: &Http,
    base: &Address,
    token: &Secret,
    channel: &str,
    message: &Value,
    attempt: Attempt<'_>,
) -> Outcome {
    let mut body = message.clone();
    let Some(fields) = body.as_object_mut() else {
        return Outcome::Refused { reason: "the message is not a JSON object".into() };
    };
    fields.insert("channel".into(), channel.into());
    if let Some(thread) = attempt.thread {
        fields.insert("thread_ts".into(), thread.into());
    }
    let post = async |body: &Value| {
        let request = http.post_json(base.join(POST_MESSAGE), body).bearer_auth(token.expose());
        let answer = exchange(request, attempt.now).await?;
        let said = answer.json::<Said>().ok_or_else(|| answer.unexpected())?;
        Ok::<_, Outcome>((said, answer.after_s))
    };
    let mut answered = post(&body).await;
    // Somebody deleted what it would have followed: it stands alone then.
    let lost = |said: &Said| said.error.as_deref().is_some_and(|error| NO_THREAD.contains(&error));
    if attempt.thread.is_some() && answered.as_ref().is_ok_and(|(said, _)| !said.ok && lost(said)) {
        if let Some(fields) = body.as_object_mut() {
            fields.remove("thread_ts");
        }
        answered = post(&body).await;
    }
    match answered {
        Ok((Said { ok: true, ts, .. }, _)) => Outcome::Accepted { receipt: ts, refused: None },
        Ok((Said { error, .. }, after_s)) => {
            let error = error.unwrap_or_else(|| "an error without a name".into());
            let reason = format!("Slack answers {error}");
            if PASSING.contains(&error.as_str()) {
                Outcome::NotNow { reason, after_s }
            } else {
                Outcome::Refused { reason }
            }
        }
        Err(outcome) => outcome,
    }
}
