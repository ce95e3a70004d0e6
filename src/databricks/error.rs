//! Errors of the API of a workspace.

use std::time::Duration;

use bytes::Bytes;
use reqwest::{
    StatusCode,
    header::{self, HeaderMap},
};
use serde::Deserialize;

/// The maximum number of characters of a message of a workspace.
const MAX_TEXT_CHARS: usize = 600;

/// Why a request failed. Texts are messages of the workspace, cut to a few hundred characters.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// Each authentication method that was tried, and why it returned no token.
    #[error("no authentication method returned a token for the workspace: {0}")]
    NoToken(String),
    #[error("the workspace does not accept the token: {0}")]
    Unauthorised(String),
    #[error("the workspace does not allow this: {0}")]
    Forbidden(String),
    #[error("the workspace does not find it: {0}")]
    NotFound(String),
    #[error("the workspace refuses the request: {0}")]
    Refused(String),
    #[error("the workspace is overloaded: {0}")]
    Throttled(String),
    #[error("the workspace cannot be reached")]
    Unreachable(#[source] reqwest::Error),
    #[error("unexpected answer of the workspace: {0}")]
    Unexpected(String),
}

impl ApiError {
    pub(super) fn unexpected(what: impl ToString) -> Self {
        Self::Unexpected(cut(&what.to_string()))
    }

    /// Returns the error for a response that is not the expected JSON: a page of a proxy, or an incomplete response.
    pub(super) fn not_json(body: &[u8], error: serde_json::Error) -> Self {
        let start = String::from_utf8_lossy(body.get(..120).unwrap_or(body)).into_owned();
        Self::Unexpected(format!("{error}, in {start:?}"))
    }

    /// Returns the message of the workspace only.
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

    /// Returns whether every other request would fail too.
    pub fn concerns_every_request(&self) -> bool {
        matches!(self, Self::NoToken(_) | Self::Unauthorised(_) | Self::Throttled(_) | Self::Unreachable(_))
    }

    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::NoToken(_) => {
                "log in again (`databricks auth login`, `az login`), or check the configured secrets; \
                 `ops-runbook doctor --workspace` shows which method is used and where its settings come from"
            }
            Self::Unauthorised(_) => {
                "the token must belong to the workspace in DATABRICKS_HOST and must not have expired; `ops-runbook doctor \
                 --workspace` shows which method is used and where its settings come from"
            }
            Self::Forbidden(_) => {
                "the identity needs: for queries CAN USE on the warehouse, USE CATALOG, USE SCHEMA, and SELECT on tables and \
                 views; for jobs CAN VIEW"
            }
            Self::NotFound(_) => "check the ids and names, such as --warehouse-id, --catalog and --schema",
            Self::Refused(_) => "check the message of the workspace, and the ids, such as --warehouse-id",
            Self::Throttled(_) => "run it again later; nothing was changed",
            Self::Unreachable(_) => "check DATABRICKS_HOST and the network; nothing was changed",
            Self::Unexpected(_) => {
                "set DATABRICKS_HOST to a workspace's own URL, such as https://adb-1234567890123456.7.azuredatabricks.net"
            }
        };
        Some(hint.into())
    }
}

/// A successful response.
#[derive(Debug)]
pub(super) struct ApiResponse {
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// A failed attempt of a request.
#[derive(Debug)]
pub(super) struct FailedAttempt {
    pub error: ApiError,
    /// A retry may succeed.
    pub is_retryable: bool,
    /// How long the workspace asks to wait.
    pub retry_after: Option<Duration>,
}

/// The body of an error response, of the API or of a token endpoint.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ErrorBody {
    error_code: serde_json::Value,
    message: String,
    error: serde_json::Value,
    error_description: String,
}

impl FailedAttempt {
    /// Returns a successful response, or the error of the attempt.
    pub async fn of(sent: Result<reqwest::Response, reqwest::Error>) -> Result<ApiResponse, Self> {
        let response = sent.map_err(Self::broken)?;
        let status = response.status();
        let headers = response.headers().clone();
        let retry_after = headers.get(header::RETRY_AFTER).and_then(|value| value.to_str().ok());
        // This API sends seconds; a date is ignored.
        let retry_after = retry_after.and_then(|text| text.trim().parse().ok()).map(Duration::from_secs);
        let body = response.bytes().await.map_err(Self::broken)?;
        if status.is_success() {
            return Ok(ApiResponse { headers, body });
        }
        let text = error_text(status, &body);
        let is_retryable = matches!(
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
            _ if is_retryable => ApiError::Throttled(text),
            _ if status.is_client_error() => ApiError::Refused(text),
            _ => ApiError::Unexpected(text),
        };
        Err(Self { error, is_retryable, retry_after })
    }

    /// Returns an error that a retry would not change.
    pub fn final_error(error: ApiError) -> Self {
        Self { error, is_retryable: false, retry_after: None }
    }

    /// Removes a secret from the message, which may repeat the request.
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
        // A request that cannot be built fails in every attempt.
        let is_retryable = !error.is_builder();
        Self { error: ApiError::Unreachable(error.without_url()), is_retryable, retry_after: None }
    }
}

fn error_text(status: StatusCode, body: &[u8]) -> String {
    match serde_json::from_slice::<ErrorBody>(body) {
        Ok(ErrorBody { error_code, message, .. }) if !message.is_empty() => match error_code {
            serde_json::Value::String(code) => cut(&format!("{code}: {message}")),
            _ => cut(&message),
        },
        Ok(ErrorBody { error: serde_json::Value::String(error), error_description, .. }) if !error.is_empty() => {
            cut(&format!("{error}: {error_description}")).trim_end_matches([' ', ':']).to_owned()
        }
        _ => status.to_string(),
    }
}

/// Cuts an untrusted text to [`MAX_TEXT_CHARS`] characters.
pub(super) fn cut(text: &str) -> String {
    match text.char_indices().nth(MAX_TEXT_CHARS) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}
