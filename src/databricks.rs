//! A Databricks workspace, through its REST API.
//!
//! - here: the client, and how requests are sent and sent again
//! - [`auth`]: how this program logs in
//! - [`error`]: what a workspace answers when it does not do what it was asked
//! - [`pages`] turns the pages of lists
//! - [`jobs`] as they are deployed, and their [`runs`]; clusters and warehouses as they are configured
//! - [`storage`]: where a schema is, and credentials for it
//! - [`statements`] runs SQL on a warehouse
//! - [`secrets`] that a workspace keeps
//!
//! Everything sent so far only reads, leaves what is there as it is (`CREATE … IF NOT EXISTS`, `CREATE OR REPLACE VIEW`, `DROP VIEW
//! IF EXISTS` of a view that this program made), or finds out in its own transaction what was done before (`INSERT … WHERE seq >
//! …`), so every request may be sent again after any error. After an error of `ADD COLUMNS` the columns are read. A new request
//! that writes needs an idempotency token, or has to find out first whether it was done.

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
use auth::{Chain, Session, access::Access};
use error::{Answered, ApiError, Attempt};

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(10);
/// How long an answer may take, its body included.
const ANSWER: Duration = Duration::from_secs(90);
/// The pause before the first retry.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// How often a request is sent again.
const RETRIES: usize = 5;
/// A workspace that asks to wait for longer than this is not waited for.
const LONGEST_WAIT: Duration = Duration::from_secs(120);
/// The cheapest request that everybody may make.
const WHO_AM_I: [&str; 5] = ["2.0", "preview", "scim", "v2", "Me"];
/// The header of an answer that names its workspace.
const WORKSPACE_ID: &str = "x-databricks-org-id";
/// The header of a request that chooses between the workspaces of a host.
const CHOSEN_WORKSPACE_ID: &str = "x-databricks-workspace-id";

/// What shows who somebody is. Never printed.
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
            _ => Err("the token holds white space or something that is not ASCII".into()),
        }
    }
}

/// Where a workspace is: `https://` and a host. Without encryption on this machine only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workspace(Url);

impl fmt::Display for Workspace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str().trim_end_matches('/'))
    }
}

impl FromStr for Workspace {
    type Err = String;

    /// A host alone means `https://`; a path, as a browser shows it, is dropped.
    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let full = if text.contains("://") { text.to_owned() } else { format!("https://{text}") };
        let mut url = Url::parse(&full).map_err(|error| format!("the workspace is not a URL: {error}"))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err("the workspace's URL holds a name or a password; the token goes into DATABRICKS_TOKEN".into());
        }
        if url.host().is_none() {
            return Err("the workspace's URL names no host".into());
        }
        if !is_safe_to_send(&url) {
            return Err("a token is sent by https:// only".into());
        }
        url.set_path("/");
        url.set_query(None);
        url.set_fragment(None);
        Ok(Self(url))
    }
}

/// Whether a secret may be sent there: encrypted, or without leaving this machine.
fn is_safe_to_send(url: &Url) -> bool {
    match url.scheme() {
        "https" => true,
        "http" => url.host().is_some_and(|host| is_local(&host)),
        _ => false,
    }
}

impl Workspace {
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

/// Speaks to one workspace as one user.
#[derive(Debug, Clone)]
pub struct Client {
    workspace: Workspace,
    session: Arc<Session>,
    /// Sent with each request.
    headers: HeaderMap,
    http: reqwest::Client,
    first_pause: Duration,
}

impl Client {
    /// Makes no request.
    ///
    /// # Errors
    /// [`ApiError::Unreachable`] when this machine cannot make encrypted connections.
    pub fn new(workspace: Workspace, credentials: impl Into<Chain>) -> Result<Self, ApiError> {
        Self::with_headers(workspace, credentials.into(), HeaderMap::new())
    }

    /// As [`Client::new`].
    ///
    /// # Errors
    /// [`ApiError::Unreachable`], and [`ApiError::Refused`] for a workspace id that cannot be sent.
    pub fn of(access: Access) -> Result<Self, ApiError> {
        let mut headers = HeaderMap::new();
        if let Some(id) = access.workspace_id {
            let id = HeaderValue::from_str(&id)
                .map_err(|_| ApiError::Refused("the workspace's id is not one line".into()))?;
            headers.insert(CHOSEN_WORKSPACE_ID, id);
        }
        Self::with_headers(access.workspace, access.credentials, headers)
    }

    fn with_headers(workspace: Workspace, credentials: Chain, headers: HeaderMap) -> Result<Self, ApiError> {
        let http = reqwest::Client::builder()
            .user_agent(concat!("ops-runbook/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT)
            .timeout(ANSWER)
            // The API redirects nobody; a page to log in at is not an answer.
            .redirect(redirect::Policy::none())
            .build()
            .map_err(ApiError::Unreachable)?;
        let session = Arc::new(Session::new(credentials));
        Ok(Self { workspace, session, headers, http, first_pause: FIRST_PAUSE })
    }

    /// Sets the pause before the first retry, instead of 0.2 s. Each later pause doubles.
    #[must_use]
    pub fn with_first_pause(self, first_pause: Duration) -> Self {
        Self { first_pause, ..self }
    }

    pub fn workspace(&self) -> &Workspace {
        &self.workspace
    }

    /// The id of the workspace, which every answer carries. `None`: this one does not.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn workspace_id(&self) -> Result<Option<String>, ApiError> {
        Ok(answering_workspace(&self.send(Method::GET, &WHO_AM_I, &[], None::<&()>).await?))
    }

    /// The identity that the workspace sees. Its name is what privileges are granted to: the e-mail address of a user, or the
    /// application id of a service principal. Hostile text.
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
        let answer = self.send(Method::GET, &WHO_AM_I, &[], None::<&()>).await?;
        let Me { user_name: name, display_name } = read(&answer.body)?;
        Ok(CurrentUser { name, display_name, workspace_id: answering_workspace(&answer) })
    }

    /// The method that gave a token, and why others that were tried before it gave none.
    pub async fn login_methods(&self) -> (Option<LoginMethod>, Vec<(LoginMethod, String)>) {
        self.session.methods().await
    }

    /// Where the body of the answer says nothing.
    async fn post_unanswered(&self, path: &[&str]) -> Result<(), ApiError> {
        self.send(Method::POST, path, &[], None::<&()>).await.map(drop)
    }

    async fn get<T: DeserializeOwned>(&self, path: &[&str], query: &[(&str, String)]) -> Result<T, ApiError> {
        read(&self.send(Method::GET, path, query, None::<&()>).await?.body)
    }

    async fn post<T: DeserializeOwned>(&self, path: &[&str], body: &impl Serialize) -> Result<T, ApiError> {
        read(&self.send(Method::POST, path, &[], Some(body)).await?.body)
    }

    /// Sends until there is an answer that another attempt would not change.
    async fn send(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, String)],
        body: Option<&impl Serialize>,
    ) -> Result<Answered, ApiError> {
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
            Attempt::of(request.send().await).await
        };
        attempt
            .retry(self.backoff().with_max_times(RETRIES))
            .when(|failed| failed.again)
            .adjust(|failed, pause| pause_before_retry(pause, failed.retry_after))
            .await
            .map_err(|failed| failed.error)
    }

    /// 0.2 s, 0.4 s … 10 s, unless another first pause is set. Each is up to twice as long: many that wait do not come back
    /// at once.
    fn backoff(&self) -> ExponentialBuilder {
        ExponentialBuilder::new().with_min_delay(self.first_pause).with_max_delay(Duration::from_secs(10)).with_jitter()
    }
}

/// The pause before the next attempt: our own and what the workspace asks for. `None` ends the attempts, because enough were
/// made or the workspace asks for more than [`LONGEST_WAIT`].
fn pause_before_retry(own: Option<Duration>, asked: Option<Duration>) -> Option<Duration> {
    match asked {
        Some(asked) if asked > LONGEST_WAIT => None,
        asked => Some(own? + asked.unwrap_or_default()),
    }
}

fn answering_workspace(answer: &Answered) -> Option<String> {
    let id = answer.headers.get(WORKSPACE_ID)?.to_str().ok()?.trim();
    Some(id.to_owned()).filter(|id| !id.is_empty())
}

fn read<T: DeserializeOwned>(answer: &[u8]) -> Result<T, ApiError> {
    serde_json::from_slice(answer).map_err(|error| ApiError::not_json(answer, error))
}

#[cfg(test)]
mod tests;
