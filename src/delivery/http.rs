//! One HTTP client for all receivers, and what statuses mean.

use std::{error::Error, time::Duration};

use chrono::DateTime;
use reqwest::{
    Client, RequestBuilder, Response, StatusCode,
    header::{self, HeaderMap, HeaderValue},
    redirect, retry,
};
use serde::Deserialize;
use serde_json::Value;
use url::Url;

use super::{Address, TargetError, reason};
use crate::domain::{delivery::Outcome, time::Timestamp};

/// How long a connection may take to be made.
pub(super) const CONNECT: Duration = Duration::from_secs(5);
/// A connection that was not used for so long is given up: receivers do so after a minute or more.
const IDLE: Duration = Duration::from_secs(20);
/// Bytes read of an answer.
const LARGEST: usize = 64 * 1024;

/// Sends to receivers. Follows no redirect, and sends nothing twice.
#[derive(Debug, Clone)]
pub struct Http {
    client: Client,
    limit: Duration,
}

/// What was answered with a status of success.
pub(super) struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub after_s: Option<u64>,
    /// The beginning of the body, or why it did not arrive.
    pub body: Result<Vec<u8>, String>,
}

impl Answer {
    pub fn text(&self) -> &str {
        self.body.as_ref().ok().and_then(|body| str::from_utf8(body).ok()).unwrap_or_default().trim()
    }

    pub fn json<'a, T: Deserialize<'a>>(&'a self) -> Option<T> {
        serde_json::from_slice(self.body.as_ref().ok()?).ok()
    }

    /// A success that the receiver itself would not have answered, such as the page of a proxy; or its body is missing.
    pub fn unexpected(&self) -> Outcome {
        match &self.body {
            Ok(_) => Outcome::NotNow {
                reason: format!(
                    "answered {}, but not as the receiver does{}",
                    self.status,
                    said(self.text().as_bytes())
                ),
                after_s: self.after_s,
            },
            Err(why) => Outcome::Unknown { reason: format!("answered {}, but {why}", self.status) },
        }
    }
}

impl Http {
    /// `limit` is how long a receiver may take to answer, its connection and its body included. Makes no request.
    ///
    /// # Errors
    /// [`TargetError::NoEncryption`].
    pub fn new(limit: Duration) -> Result<Self, TargetError> {
        let client = Client::builder()
            .user_agent(concat!("ops-runbook/", env!("CARGO_PKG_VERSION")))
            // Shorter than the whole: what was never connected was never sent.
            .connect_timeout(CONNECT.min(limit.mul_f64(0.8)))
            .timeout(limit)
            .pool_idle_timeout(IDLE)
            .redirect(redirect::Policy::none())
            .retry(retry::never())
            .build()
            .map_err(|error| TargetError::NoEncryption(chain(&error.without_url())))?;
        Ok(Self { client, limit })
    }

    pub(super) fn limit(&self) -> Duration {
        self.limit
    }

    /// Tells somebody who waits for it that all is well, as heartbeats are told: any answer of success will do.
    ///
    /// # Errors
    /// Why not, in one line without the URL.
    pub async fn beat(&self, address: &Address) -> Result<(), String> {
        let hidden = address.secrets();
        let failed = |error: reqwest::Error| reason::reason(&chain(&error.without_url()), &hidden);
        let response = self.client.get(address.url()).send().await.map_err(failed)?;
        let status = response.status();
        if status.is_success() { Ok(()) } else { Err(format!("answered {status}")) }
    }

    pub(super) fn post(&self, url: Url) -> RequestBuilder {
        self.client.post(url)
    }

    pub(super) fn post_json(&self, url: Url, body: &Value) -> RequestBuilder {
        let json = HeaderValue::from_static("application/json; charset=utf-8");
        self.client.post(url).header(header::CONTENT_TYPE, json).body(body.to_string())
    }
}

/// Sends, and tells what was answered; what is no success by its status is an outcome already.
pub(super) async fn exchange(request: RequestBuilder, now: Timestamp) -> Result<Answer, Outcome> {
    let mut response = request.send().await.map_err(unanswered)?;
    let status = response.status();
    let headers = response.headers().clone();
    let after_s = retry_after(&headers, now);
    let body = beginning(&mut response).await;
    if status.is_success() {
        return Ok(Answer { status, headers, after_s, body });
    }
    let reason = format!("answered {status}{}", body.map(|body| said(&body)).unwrap_or_default());
    Err(match status.as_u16() {
        300..400 => Outcome::Refused { reason: format!("answered {status}, which redirects {}", elsewhere(&headers)) },
        // 409: the same is being looked at, from an attempt before.
        408 | 409 | 425 | 429 => Outcome::NotNow { reason, after_s },
        400..500 => Outcome::Refused { reason },
        _ => Outcome::NotNow { reason, after_s },
    })
}

/// There was no answer. Without a connection nothing was sent.
fn unanswered(error: reqwest::Error) -> Outcome {
    let error = error.without_url();
    let why = chain(&error);
    if error.is_connect() {
        Outcome::NotNow { reason: format!("cannot be reached: {why}"), after_s: None }
    } else if error.is_builder() {
        Outcome::Refused { reason: format!("cannot be sent: {why}") }
    } else if error.is_timeout() {
        Outcome::Unknown { reason: "no answer in time".into() }
    } else {
        Outcome::Unknown { reason: format!("the connection was lost before there was an answer: {why}") }
    }
}

/// The rest is not waited for.
async fn beginning(response: &mut Response) -> Result<Vec<u8>, String> {
    let mut body = Vec::new();
    while body.len() < LARGEST {
        match response.chunk().await {
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Ok(None) => break,
            Err(error) if error.is_timeout() => return Err("the answer did not end in time".into()),
            Err(_) => return Err("the connection was lost within the answer".into()),
        }
    }
    body.truncate(LARGEST);
    Ok(body)
}

/// Where to a redirect leads: the host only.
fn elsewhere(headers: &HeaderMap) -> String {
    let location = headers.get(header::LOCATION).and_then(|value| value.to_str().ok());
    match location.and_then(|location| Url::parse(location).ok()) {
        Some(url) => format!("to {}", url.host_str().unwrap_or("no host")),
        None => "on the same host".into(),
    }
}

/// Seconds to wait for: given as such, or as a date by the receiver's clock.
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<u64> {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok()).map(str::trim);
    let asked = text(header::RETRY_AFTER)?;
    if let Ok(seconds) = asked.parse::<f64>() {
        // Saturates.
        return (seconds.is_finite() && seconds >= 0.0).then(|| seconds.ceil() as u64);
    }
    let date = |text| DateTime::parse_from_rfc2822(text).ok().map(|date| Timestamp::new(date.to_utc()));
    let now = text(header::DATE).and_then(date).unwrap_or(now);
    Some(date(asked)?.seconds_since(now).ceil().max(0.0) as u64)
}

/// `: ` and what an answer says in its own words, or nothing.
pub(super) fn said(body: &[u8]) -> String {
    let words = match serde_json::from_slice::<Value>(body) {
        Ok(Value::Object(object)) => {
            let one = |key: &str| match object.get(key) {
                Some(Value::String(text)) => Some(text.clone()),
                Some(Value::Array(items)) => {
                    Some(items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join("; "))
                }
                Some(Value::Object(inner)) => inner.get("message").and_then(Value::as_str).map(str::to_owned),
                _ => None,
            };
            let words = ["message", "error", "errors", "detail"].map(one);
            words.into_iter().flatten().filter(|text| !text.is_empty()).collect::<Vec<_>>().join(": ")
        }
        Ok(_) => String::new(),
        Err(_) => String::from_utf8_lossy(body).trim().to_owned(),
    };
    // A page says nothing in its first lines.
    if words.is_empty() || words.starts_with('<') { String::new() } else { format!(": {words}") }
}

/// An error and its causes, each once.
pub(super) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        next = cause.source();
    }
    text
}
