//! The authentication headers of requests: requested on first use, and replaced before they expire.

use std::time::{Duration, Instant};

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use tokio::sync::Mutex;

use super::{
    CredentialChain, LoginCredentials,
    oauth::{self, AccessToken, ClientSecret, SCOPE},
};
use crate::{
    databricks::{
        Token, WorkspaceUrl,
        error::{ApiError, FailedAttempt},
    },
    domain::login::Method,
};

/// Headers that expire within this time are replaced before use.
const RENEW_BEFORE_EXPIRY: Duration = Duration::from_secs(60);

/// Authentication headers and their expiry.
#[derive(Debug, Clone)]
pub(super) struct Authentication {
    pub headers: HeaderMap,
    /// `None`: no expiry is known.
    pub expires_at: Option<Instant>,
}

impl Authentication {
    fn bearer(AccessToken { token, expires_at }: &AccessToken) -> Result<Self, FailedAttempt> {
        let headers = bearer(token).map_err(|why| FailedAttempt::final_error(ApiError::NoToken(why)))?;
        Ok(Self { headers, expires_at: *expires_at })
    }
}

pub(super) fn bearer(token: &Token) -> Result<HeaderMap, String> {
    Ok(HeaderMap::from_iter([(AUTHORIZATION, sensitive(&format!("Bearer {}", token.expose()))?)]))
}

pub(super) fn sensitive(text: &str) -> Result<HeaderValue, String> {
    let mut value = HeaderValue::from_str(text).map_err(|_| "the token cannot be sent in a header")?;
    value.set_sensitive(true);
    Ok(value)
}

impl LoginCredentials {
    async fn authenticate(
        &self,
        workspace: &WorkspaceUrl,
        http: &reqwest::Client,
    ) -> Result<Authentication, FailedAttempt> {
        match self {
            Self::Pat(token) => Authentication::bearer(&AccessToken { token: token.clone(), expires_at: None }),
            Self::OauthM2m { id, secret } => {
                let endpoint = oauth::token_endpoint(workspace, http).await?;
                let form = [("grant_type", "client_credentials"), SCOPE];
                let secret = ClientSecret::Basic { id, secret };
                Authentication::bearer(&oauth::request_token(http, endpoint, &form, secret).await?)
            }
            Self::DatabricksCli(cli) => match cli.token().await {
                Ok(token) => Authentication::bearer(&token),
                Err(why) => Err(FailedAttempt::final_error(ApiError::NoToken(why))),
            },
            Self::Federation(federation) => Authentication::bearer(&federation.token(workspace, http).await?),
            Self::AzureClientSecret(principal) => principal.authenticate(http).await,
            Self::AzureCli(cli) => cli.authenticate(workspace, http).await,
        }
    }
}

/// The credentials that may be used, and the current headers.
#[derive(Debug)]
pub(in crate::databricks) struct LoginSession {
    chain: CredentialChain,
    state: Mutex<SessionState>,
}

#[derive(Debug, Default)]
struct SessionState {
    /// Why the first credentials returned no token.
    failed: Vec<(Method, String)>,
    used: Option<ActiveLogin>,
}

/// The first credentials that returned a token. They stay in use.
#[derive(Debug)]
struct ActiveLogin {
    credentials: LoginCredentials,
    authentication: Authentication,
}

impl LoginSession {
    pub fn new(chain: CredentialChain) -> Self {
        Self { chain, state: Mutex::default() }
    }

    /// Returns headers that are valid for at least a minute. Only one caller at a time requests new ones; the others wait.
    pub async fn headers(&self, workspace: &WorkspaceUrl, http: &reqwest::Client) -> Result<HeaderMap, FailedAttempt> {
        let mut state = self.state.lock().await;
        let SessionState { failed, used } = &mut *state;
        let used = match used {
            Some(used) => {
                if used
                    .authentication
                    .expires_at
                    .is_some_and(|expires_at| expires_at <= Instant::now() + RENEW_BEFORE_EXPIRY)
                {
                    let asked = used.credentials.authenticate(workspace, http).await;
                    used.authentication = asked.map_err(|attempt| match attempt.is_retryable {
                        true => attempt,
                        false => no_token(&[(used.credentials.method(), attempt.error.reason())]),
                    })?;
                }
                used
            }
            None => used.insert(self.choose(failed, workspace, http).await?),
        };
        Ok(used.authentication.headers.clone())
    }

    /// Returns the first credentials that return a token. A transient error is returned: it is no reason to use others.
    async fn choose(
        &self,
        failed: &mut Vec<(Method, String)>,
        workspace: &WorkspaceUrl,
        http: &reqwest::Client,
    ) -> Result<ActiveLogin, FailedAttempt> {
        if failed.len() == self.chain.len() {
            failed.clear();
        }
        for credentials in self.chain.iter().skip(failed.len()) {
            match credentials.authenticate(workspace, http).await {
                Ok(authentication) => return Ok(ActiveLogin { credentials: credentials.clone(), authentication }),
                Err(error) if error.is_retryable => return Err(error),
                Err(error) => failed.push((credentials.method(), error.error.reason())),
            }
        }
        Err(no_token(failed))
    }

    /// Returns the method that returned a token, and the errors of methods before it.
    pub async fn methods(&self) -> (Option<Method>, Vec<(Method, String)>) {
        let state = self.state.lock().await;
        (state.used.as_ref().map(|used| used.credentials.method()), state.failed.clone())
    }
}

/// Returns the error that no method returned a token, with the reason for each.
fn no_token(failed: &[(Method, String)]) -> FailedAttempt {
    let reasons: Vec<String> = failed.iter().map(|(method, reason)| format!("{method}: {reason}")).collect();
    FailedAttempt::final_error(ApiError::NoToken(reasons.join("; ")))
}
