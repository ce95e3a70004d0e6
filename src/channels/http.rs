//! The HTTP client of all channels, and how a response becomes a delivery outcome.

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

use super::{Address, TargetError, sanitise};
use crate::domain::{notification::DeliveryOutcome, time::Timestamp};

/// Timeout for opening a connection.
pub(super) const CONNECT: Duration = Duration::from_secs(5);
/// An idle connection is closed after this time: receivers close theirs after a minute or more.
const IDLE: Duration = Duration::from_secs(20);
/// Bytes read of a response.
const LARGEST: usize = 64 * 1024;

/// Sends requests to receivers. Follows no redirects and retries nothing.
#[derive(Debug, Clone)]
pub struct HttpClient {
    client: Client,
    limit: Duration,
}

/// A response with a status of success.
pub(super) struct HttpResponse {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub after_s: Option<u64>,
    /// The beginning of the body, or why it could not be read.
    pub body: Result<Vec<u8>, String>,
}

impl HttpResponse {
    pub fn text(&self) -> &str {
        self.body.as_ref().ok().and_then(|body| str::from_utf8(body).ok()).unwrap_or_default().trim()
    }

    pub fn json<'a, T: Deserialize<'a>>(&'a self) -> Option<T> {
        serde_json::from_slice(self.body.as_ref().ok()?).ok()
    }

    /// Returns the outcome of a success that the receiver itself would not send, such as a proxy's page, or without a body.
    pub fn unexpected(&self) -> DeliveryOutcome {
        match &self.body {
            Ok(_) => DeliveryOutcome::RetryLater {
                reason: format!(
                    "answered {}, but not with the receiver's usual response{}",
                    self.status,
                    error_detail(self.text().as_bytes())
                ),
                after_s: self.after_s,
            },
            Err(why) => DeliveryOutcome::Unknown { reason: format!("answered {}, but {why}", self.status) },
        }
    }
}

impl HttpClient {
    /// Makes no request. `limit` is the timeout of a request, including the connection and the body of the response.
    ///
    /// # Errors
    /// [`TargetError::NoEncryption`].
    pub fn new(limit: Duration) -> Result<Self, TargetError> {
        let client = Client::builder()
            .user_agent(concat!("ops-runbook/", env!("CARGO_PKG_VERSION")))
            // Shorter than the whole timeout: without a connection nothing was sent.
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

    /// Sends a heartbeat to a monitor. Any response with a status of success is accepted.
    ///
    /// # Errors
    /// Why it failed, in one line without the URL.
    pub async fn send_heartbeat(&self, address: &Address) -> Result<(), String> {
        let secrets = address.secrets();
        let failed = |error: reqwest::Error| sanitise::text(&chain(&error.without_url()), &secrets);
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

/// Sends the request and returns the response. A status other than success is returned as an outcome.
pub(super) async fn exchange(request: RequestBuilder, now: Timestamp) -> Result<HttpResponse, DeliveryOutcome> {
    let mut response = request.send().await.map_err(outcome_without_response)?;
    let status = response.status();
    let headers = response.headers().clone();
    let after_s = retry_after(&headers, now);
    let body = read_prefix(&mut response).await;
    if status.is_success() {
        return Ok(HttpResponse { status, headers, after_s, body });
    }
    let reason = format!("answered {status}{}", body.map(|body| error_detail(&body)).unwrap_or_default());
    Err(match status.as_u16() {
        300..400 => DeliveryOutcome::Refused {
            reason: format!("answered {status}, which redirects {}", redirect_target(&headers)),
        },
        // 409: the receiver still processes an earlier attempt.
        408 | 409 | 425 | 429 => DeliveryOutcome::RetryLater { reason, after_s },
        400..500 => DeliveryOutcome::Refused { reason },
        _ => DeliveryOutcome::RetryLater { reason, after_s },
    })
}

/// Returns the outcome of a request without a response. Without a connection nothing was sent.
fn outcome_without_response(error: reqwest::Error) -> DeliveryOutcome {
    let error = error.without_url();
    let why = chain(&error);
    if error.is_connect() {
        DeliveryOutcome::RetryLater { reason: format!("cannot be reached: {why}"), after_s: None }
    } else if error.is_builder() {
        DeliveryOutcome::Refused { reason: format!("cannot be sent: {why}") }
    } else if error.is_timeout() {
        DeliveryOutcome::Unknown { reason: "no response in time".into() }
    } else {
        DeliveryOutcome::Unknown { reason: format!("the connection was lost before the response: {why}") }
    }
}

/// Reads the first [`LARGEST`] bytes of the body. Does not wait for the rest.
async fn read_prefix(response: &mut Response) -> Result<Vec<u8>, String> {
    let mut body = Vec::new();
    while body.len() < LARGEST {
        match response.chunk().await {
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Ok(None) => break,
            Err(error) if error.is_timeout() => return Err("the response did not end in time".into()),
            Err(_) => return Err("the connection was lost during the response".into()),
        }
    }
    body.truncate(LARGEST);
    Ok(body)
}

/// Returns the host that a redirect leads to.
fn redirect_target(headers: &HeaderMap) -> String {
    let location = headers.get(header::LOCATION).and_then(|value| value.to_str().ok());
    match location.and_then(|location| Url::parse(location).ok()) {
        Some(url) => format!("to {}", url.host_str().unwrap_or("no host")),
        None => "on the same host".into(),
    }
}

/// Returns the seconds of `Retry-After`, which holds seconds or a date by the receiver's clock.
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

/// Returns `: ` and the error message in a response, or an empty text.
pub(super) fn error_detail(body: &[u8]) -> String {
    let message = match serde_json::from_slice::<Value>(body) {
        Ok(Value::Object(object)) => {
            let one = |key: &str| match object.get(key) {
                Some(Value::String(text)) => Some(text.clone()),
                Some(Value::Array(items)) => {
                    Some(items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join("; "))
                }
                Some(Value::Object(inner)) => inner.get("message").and_then(Value::as_str).map(str::to_owned),
                _ => None,
            };
            let message = ["message", "error", "errors", "detail"].map(one);
            message.into_iter().flatten().filter(|text| !text.is_empty()).collect::<Vec<_>>().join(": ")
        }
        Ok(_) => String::new(),
        Err(_) => String::from_utf8_lossy(body).trim().to_owned(),
    };
    // The first lines of an HTML page hold no message.
    if message.is_empty() || message.starts_with('<') { String::new() } else { format!(": {message}") }
}

/// Returns the text of an error and its causes, each once.
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
