//! What a workspace answers when it does not do what it was asked.

use std::time::Duration;

use bytes::Bytes;
use reqwest::{
    StatusCode,
    header::{self, HeaderMap},
};
use serde::Deserialize;

/// Characters kept of what a workspace says.
const KEPT: usize = 600;

/// Why a request was not answered. Texts are the workspace's own, cut to a few hundred characters.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// Each method of authentication that was tried, and why it gives no token.
    #[error("there is no token for the workspace: {0}")]
    NoToken(String),
    #[error("the workspace does not accept the token: {0}")]
    Unauthorised(String),
    #[error("the workspace does not allow this: {0}")]
    Forbidden(String),
    #[error("the workspace knows no such thing: {0}")]
    NotFound(String),
    #[error("the workspace refuses the request: {0}")]
    Refused(String),
    #[error("the workspace has too much to do: {0}")]
    Throttled(String),
    #[error("the workspace cannot be reached")]
    Unreachable(#[source] reqwest::Error),
    #[error("the workspace gives an unexpected answer: {0}")]
    Unexpected(String),
}

impl ApiError {
    pub(super) fn unexpected(what: impl ToString) -> Self {
        Self::Unexpected(cut(&what.to_string()))
    }

    /// A page of a proxy, or an answer of which a part is missing.
    pub(super) fn not_json(body: &[u8], error: serde_json::Error) -> Self {
        let start = String::from_utf8_lossy(body.get(..120).unwrap_or(body)).into_owned();
        Self::Unexpected(format!("{error}, in {start:?}"))
    }

    /// The text alone, without what the kind of error says about a workspace.
    pub(super) fn reason(self) -> String {
        match self {
            Self::NoToken(text)
            | Self::Unauthorised(text)
            | Self::Forbidden(text)
            | Self::NotFound(text)
            | Self::Refused(text)
            | Self::Throttled(text)
            | Self::Unexpected(text) => text,
            Self::Unreachable(_) => self.to_string(),
        }
    }

    /// Whether every other request would end the same, or may only later succeed.
    pub fn concerns_every_request(&self) -> bool {
        matches!(self, Self::NoToken(_) | Self::Unauthorised(_) | Self::Throttled(_) | Self::Unreachable(_))
    }

    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::NoToken(_) => {
                "log in again (`databricks auth login`, `az login`), or look at the secrets that were given; \
                 `ops-runbook doctor --workspace` shows which method is used and where its settings come from"
            }
            Self::Unauthorised(_) => {
                "the token must belong to the workspace in DATABRICKS_HOST and must not have expired; `ops-runbook doctor \
                 --workspace` shows which method is used and where its settings come from"
            }
            Self::Forbidden(_) => {
                "whoever asks needs: for queries CAN USE on the warehouse, USE CATALOG, USE SCHEMA, and SELECT on tables and \
                 views; for jobs CAN VIEW"
            }
            Self::NotFound(_) => {
                "look at the ids and names that were given, such as --warehouse-id, --catalog and --schema"
            }
            Self::Refused(_) => {
                "look at what the workspace says, and at the ids that were given, such as --warehouse-id"
            }
            Self::Throttled(_) => "run it again later; nothing was changed",
            Self::Unreachable(_) => "look at DATABRICKS_HOST and at the network; nothing was changed",
            Self::Unexpected(_) => {
                "DATABRICKS_HOST is a workspace's own URL, such as https://adb-1234567890123456.7.azuredatabricks.net"
            }
        };
        Some(hint.into())
    }
}

/// A success.
#[derive(Debug)]
pub(super) struct Answered {
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// One attempt that failed.
#[derive(Debug)]
pub(super) struct Attempt {
    pub error: ApiError,
    /// Another attempt may succeed.
    pub again: bool,
    /// How long the workspace asks to wait.
    pub retry_after: Option<Duration>,
}

/// How errors are answered: by the API, and by token endpoints.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Body {
    error_code: serde_json::Value,
    message: String,
    error: serde_json::Value,
    error_description: String,
}

impl Attempt {
    /// What was answered, or what to make of it when that is no success.
    pub async fn of(sent: Result<reqwest::Response, reqwest::Error>) -> Result<Answered, Self> {
        let response = sent.map_err(Self::broken)?;
        let status = response.status();
        let headers = response.headers().clone();
        let retry_after = headers.get(header::RETRY_AFTER).and_then(|value| value.to_str().ok());
        // Seconds, as this API sends them; a date is treated as if nothing was said.
        let retry_after = retry_after.and_then(|text| text.trim().parse().ok()).map(Duration::from_secs);
        let body = response.bytes().await.map_err(Self::broken)?;
        if status.is_success() {
            return Ok(Answered { headers, body });
        }
        let text = said(status, &body);
        let again = matches!(
            status,
            StatusCode::TOO_MANY_REQUESTS
                | StatusCode::SERVICE_UNAVAILABLE
                | StatusCode::BAD_GATEWAY
                | StatusCode::GATEWAY_TIMEOUT
        );
        let error = match status {
            StatusCode::UNAUTHORIZED => ApiError::Unauthorised(text),
            StatusCode::FORBIDDEN => ApiError::Forbidden(text),
            StatusCode::NOT_FOUND => ApiError::NotFound(text),
            _ if again => ApiError::Throttled(text),
            _ if status.is_client_error() => ApiError::Refused(text),
            _ => ApiError::Unexpected(text),
        };
        Err(Self { error, again, retry_after })
    }

    /// Another attempt would end the same.
    pub fn final_error(error: ApiError) -> Self {
        Self { error, again: false, retry_after: None }
    }

    /// Takes a secret out of the text, which may repeat what was sent.
    pub fn without(mut self, secret: &str) -> Self {
        if let ApiError::NoToken(text)
        | ApiError::Unauthorised(text)
        | ApiError::Forbidden(text)
        | ApiError::NotFound(text)
        | ApiError::Refused(text)
        | ApiError::Throttled(text)
        | ApiError::Unexpected(text) = &mut self.error
        {
            *text = text.replace(secret, "[REDACTED]");
        }
        self
    }

    fn broken(error: reqwest::Error) -> Self {
        // What cannot be sent at all will not be sent next time.
        let again = !error.is_builder();
        Self { error: ApiError::Unreachable(error.without_url()), again, retry_after: None }
    }
}

fn said(status: StatusCode, body: &[u8]) -> String {
    match serde_json::from_slice::<Body>(body) {
        Ok(Body { error_code, message, .. }) if !message.is_empty() => match error_code {
            serde_json::Value::String(code) => cut(&format!("{code}: {message}")),
            _ => cut(&message),
        },
        Ok(Body { error: serde_json::Value::String(error), error_description, .. }) if !error.is_empty() => {
            cut(&format!("{error}: {error_description}")).trim_end_matches([' ', ':']).to_owned()
        }
        _ => status.to_string(),
    }
}

/// The beginning of a text that somebody else chose the length of.
pub(super) fn cut(text: &str) -> String {
    match text.char_indices().nth(KEPT) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}
