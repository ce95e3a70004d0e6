//! A Databricks workspace, through its REST API.
//!
//! - here: the client, which sends requests and retries them
//! - [`auth`][]: authentication
//! - [`error`][]: errors of the API
//! - [`pages`][]: reads paged lists
//! - [`jobs`], [`runs`], [`compute`]: jobs, their runs, clusters and warehouses
//! - [`storage`][]: storage of schemas and volumes, and temporary credentials
//! - [`statements`][]: runs SQL on a warehouse
//! - [`secrets`][]: reads secrets
//!
//! Every request is idempotent, so it may be retried after any error. A request only reads, or it repeats without effect
//! (`CREATE … IF NOT EXISTS`, `CREATE OR REPLACE VIEW`, `DROP VIEW IF EXISTS` of a view of this program), or it checks in its own
//! transaction what was done before (`INSERT … WHERE seq > …`). After an error of `ADD COLUMNS` the columns are read. A new request
//! that writes needs an idempotency token, or must check first whether it was done.

pub mod auth;
pub mod compute;
pub mod error;
pub mod jobs;
mod pages;
pub mod runs;
mod secrets;
pub mod statements;
pub mod storage;

use std::{fmt, str::FromStr, sync::Arc, time::Duration};

use backon::{ExponentialBuilder, Retryable};
use reqwest::{
    Method,
    header::{self, HeaderMap, HeaderValue},
    redirect,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use url::Url;

use crate::domain::{
    host::is_local,
    login::{CurrentUser, Method as LoginMethod},
};
use auth::{CredentialChain, LoginSession, access::WorkspaceAccess};
use error::{ApiError, ApiResponse, FailedAttempt};

/// The time-out of a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The time-out of a request, including the body of the response.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(90);
/// The pause before the first retry.
const FIRST_BACKOFF: Duration = Duration::from_millis(200);
/// The number of retries of a request.
const MAX_RETRIES: usize = 5;
/// The longest `Retry-After` that is respected. A longer one ends the retries.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(120);
/// The cheapest request that every identity may make.
const CURRENT_USER: [&str; 5] = ["2.0", "preview", "scim", "v2", "Me"];
/// The header of a response that names its workspace.
const WORKSPACE_ID: &str = "x-databricks-org-id";
/// The header of a request that selects one of the workspaces of a host.
const CHOSEN_WORKSPACE_ID: &str = "x-databricks-workspace-id";

/// An access token or another secret for authentication. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

impl Token {
    fn expose(&self) -> &str {
        &self.0
    }
}

impl FromStr for Token {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        match text {
            "" => Err("the token is empty".into()),
            _ if text.bytes().all(|byte| byte.is_ascii_graphic()) => Ok(Self(text.to_owned())),
            _ => Err("the token contains white space or characters that are not ASCII".into()),
        }
    }
}

/// The URL of a workspace: `https://` and a host. `http://` is allowed on this machine only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkspaceUrl(Url);

impl fmt::Display for WorkspaceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str().trim_end_matches('/'))
    }
}

impl FromStr for WorkspaceUrl {
    type Err = String;

    /// A host alone means `https://`; a path, as a browser shows it, is dropped.
    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let full = if text.contains("://") { text.to_owned() } else { format!("https://{text}") };
        let mut url = Url::parse(&full).map_err(|error| format!("the workspace is not a URL: {error}"))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err("the workspace's URL contains a name or a password; set the token in DATABRICKS_TOKEN".into());
        }
        if url.host().is_none() {
            return Err("the workspace's URL has no host".into());
        }
        if !is_safe_to_send(&url) {
            return Err("the workspace's URL is not https://; tokens are sent by https:// only".into());
        }
        url.set_path("/");
        url.set_query(None);
        url.set_fragment(None);
        Ok(Self(url))
    }
}

/// Returns whether a secret may be sent to `url`: by https://, or on this machine.
fn is_safe_to_send(url: &Url) -> bool {
    match url.scheme() {
        "https" => true,
        "http" => url.host().is_some_and(|host| is_local(&host)),
        _ => false,
    }
}

impl WorkspaceUrl {
    fn host(&self) -> &str {
        self.0.host_str().unwrap_or_default()
    }

    fn endpoint(&self, path: &[&str]) -> Url {
        let mut url = self.0.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.clear().extend(path);
        }
        url
    }
}

/// A client of one workspace with one identity.
#[derive(Debug, Clone)]
pub struct Client {
    workspace: WorkspaceUrl,
    session: Arc<LoginSession>,
    /// Sent with each request.
    headers: HeaderMap,
    http: reqwest::Client,
    first_pause: Duration,
}

impl Client {
    /// Returns a client. Makes no request.
    ///
    /// # Errors
    /// [`ApiError::Unreachable`] if this machine cannot make encrypted connections.
    pub fn new(workspace: WorkspaceUrl, credentials: impl Into<CredentialChain>) -> Result<Self, ApiError> {
        Self::with_headers(workspace, credentials.into(), HeaderMap::new())
    }

    /// Returns a client for a configured workspace. Makes no request.
    ///
    /// # Errors
    /// [`ApiError::Unreachable`], and [`ApiError::Refused`] for a workspace id that cannot be sent.
    pub fn of(access: WorkspaceAccess) -> Result<Self, ApiError> {
        let mut headers = HeaderMap::new();
        if let Some(id) = access.workspace_id {
            let id = HeaderValue::from_str(&id)
                .map_err(|_| ApiError::Refused("the workspace's id is not one line of text".into()))?;
            headers.insert(CHOSEN_WORKSPACE_ID, id);
        }
        Self::with_headers(access.workspace, access.credentials, headers)
    }

    fn with_headers(
        workspace: WorkspaceUrl,
        credentials: CredentialChain,
        headers: HeaderMap,
    ) -> Result<Self, ApiError> {
        let http = reqwest::Client::builder()
            .user_agent(concat!("ops-runbook/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(REQUEST_TIMEOUT)
            // The API never redirects; a redirect leads to a login page.
            .redirect(redirect::Policy::none())
            .build()
            .map_err(ApiError::Unreachable)?;
        let session = Arc::new(LoginSession::new(credentials));
        Ok(Self { workspace, session, headers, http, first_pause: FIRST_BACKOFF })
    }

    /// Sets the pause before the first retry, instead of 0.2 s. Each later pause doubles.
    #[must_use]
    pub fn with_first_pause(self, first_pause: Duration) -> Self {
        Self { first_pause, ..self }
    }

    pub fn workspace(&self) -> &WorkspaceUrl {
        &self.workspace
    }

    /// Returns the id of the workspace, from a response header. `None`: the response has no such header.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn workspace_id(&self) -> Result<Option<String>, ApiError> {
        Ok(answering_workspace(&self.send(Method::GET, &CURRENT_USER, &[], None::<&()>).await?))
    }

    /// Returns the identity of this client. Its name is the principal of grants: the e-mail address of a user, or the application
    /// id of a service principal. Untrusted text.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn current_user(&self) -> Result<CurrentUser, ApiError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Me {
            user_name: String,
            #[serde(default)]
            display_name: Option<String>,
        }
        let answer = self.send(Method::GET, &CURRENT_USER, &[], None::<&()>).await?;
        let Me { user_name: name, display_name } = read(&answer.body)?;
        Ok(CurrentUser { name, display_name, workspace_id: answering_workspace(&answer) })
    }

    /// Returns the method that returned a token, and the errors of methods that were tried before.
    pub async fn login_methods(&self) -> (Option<LoginMethod>, Vec<(LoginMethod, String)>) {
        self.session.methods().await
    }

    /// Sends a request and ignores the body of the response.
    async fn post_without_response(&self, path: &[&str]) -> Result<(), ApiError> {
        self.send(Method::POST, path, &[], None::<&()>).await.map(drop)
    }

    async fn get<T: DeserializeOwned>(&self, path: &[&str], query: &[(&str, String)]) -> Result<T, ApiError> {
        read(&self.send(Method::GET, path, query, None::<&()>).await?.body)
    }

    async fn post<T: DeserializeOwned>(&self, path: &[&str], body: &impl Serialize) -> Result<T, ApiError> {
        read(&self.send(Method::POST, path, &[], Some(body)).await?.body)
    }

    /// Sends a request, with retries after transient errors.
    async fn send(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, String)],
        body: Option<&impl Serialize>,
    ) -> Result<ApiResponse, ApiError> {
        let url = self.workspace.endpoint(&[&["api"], path].concat());
        let body = body.map(serde_json::to_vec).transpose().map_err(ApiError::unexpected)?;
        let attempt = || async {
            let authentication = self.session.headers(&self.workspace, &self.http).await?;
            let mut request = self.http.request(method.clone(), url.clone());
            request = request.headers(self.headers.clone()).headers(authentication);
            if !query.is_empty() {
                request = request.query(query);
            }
            if let Some(body) = &body {
                request = request.header(header::CONTENT_TYPE, "application/json").body(body.clone());
            }
            FailedAttempt::of(request.send().await).await
        };
        attempt
            .retry(self.backoff().with_max_times(MAX_RETRIES))
            .when(|failed| failed.is_retryable)
            .adjust(|failed, pause| pause_before_retry(pause, failed.retry_after))
            .await
            .map_err(|failed| failed.error)
    }

    /// Pauses of 0.2 s, 0.4 s … 10 s, unless another first pause is set. Random jitter up to doubles each, so that concurrent
    /// clients do not retry together.
    fn backoff(&self) -> ExponentialBuilder {
        ExponentialBuilder::new().with_min_delay(self.first_pause).with_max_delay(Duration::from_secs(10)).with_jitter()
    }
}

/// Returns the pause before the next attempt: our own plus the one that the workspace asks for. `None` ends the retries: there were
/// enough, or the workspace asks for more than [`MAX_RETRY_AFTER`].
fn pause_before_retry(own: Option<Duration>, asked: Option<Duration>) -> Option<Duration> {
    match asked {
        Some(asked) if asked > MAX_RETRY_AFTER => None,
        asked => Some(own? + asked.unwrap_or_default()),
    }
}

fn answering_workspace(answer: &ApiResponse) -> Option<String> {
    let id = answer.headers.get(WORKSPACE_ID)?.to_str().ok()?.trim();
    Some(id.to_owned()).filter(|id| !id.is_empty())
}

fn read<T: DeserializeOwned>(answer: &[u8]) -> Result<T, ApiError> {
    serde_json::from_slice(answer).map_err(|error| ApiError::not_json(answer, error))
}

#[cfg(test)]
mod tests;
