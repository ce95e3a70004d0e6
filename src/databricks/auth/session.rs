//! What is sent to show who asks: asked for when it is first needed, and replaced before it ends.

use std::time::{Duration, Instant};

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use tokio::sync::Mutex;

use super::{
    Chain, Credentials,
    oauth::{self, AccessToken, ClientSecret, SCOPE},
};
use crate::{
    databricks::{
        Token, Workspace,
        error::{ApiError, Attempt},
    },
    domain::login::Method,
};

/// What ends within so long is replaced before it is used.
const BEFORE_END: Duration = Duration::from_secs(60);

/// The headers that show who asks.
#[derive(Debug, Clone)]
pub(super) struct Authentication {
    pub headers: HeaderMap,
    /// `None`: they do not end, as far as is known.
    pub until: Option<Instant>,
}

impl Authentication {
    fn bearer(AccessToken { token, until }: &AccessToken) -> Result<Self, Attempt> {
        let headers = bearer(token).map_err(|why| Attempt::final_error(ApiError::NoToken(why)))?;
        Ok(Self { headers, until: *until })
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

impl Credentials {
    async fn authenticate(&self, workspace: &Workspace, http: &reqwest::Client) -> Result<Authentication, Attempt> {
        match self {
            Self::Pat(token) => Authentication::bearer(&AccessToken { token: token.clone(), until: None }),
            Self::OauthM2m { id, secret } => {
                let endpoint = oauth::token_endpoint(workspace, http).await?;
                let form = [("grant_type", "client_credentials"), SCOPE];
                let secret = ClientSecret::Basic { id, secret };
                Authentication::bearer(&oauth::request_token(http, endpoint, &form, secret).await?)
            }
            Self::DatabricksCli(cli) => match cli.token().await {
                Ok(token) => Authentication::bearer(&token),
                Err(why) => Err(Attempt::final_error(ApiError::NoToken(why))),
            },
            Self::Federation(federation) => Authentication::bearer(&federation.token(workspace, http).await?),
            Self::AzureClientSecret(principal) => principal.authenticate(http).await,
            Self::AzureCli(cli) => cli.authenticate(workspace, http).await,
        }
    }
}

/// The credentials that may be used, and what they are good for at the moment.
#[derive(Debug)]
pub(in crate::databricks) struct Session {
    chain: Chain,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Why the first credentials gave no token.
    failed: Vec<(Method, String)>,
    used: Option<Used>,
}

/// The credentials that gave a token first. No others replace them.
#[derive(Debug)]
struct Used {
    credentials: Credentials,
    authentication: Authentication,
}

impl Session {
    pub fn new(chain: Chain) -> Self {
        Self { chain, state: Mutex::default() }
    }

    /// Headers that are good for another minute. One request at a time asks for new ones, all others wait for it.
    pub async fn headers(&self, workspace: &Workspace, http: &reqwest::Client) -> Result<HeaderMap, Attempt> {
        let mut state = self.state.lock().await;
        let State { failed, used } = &mut *state;
        let used = match used {
            Some(used) => {
                if used.authentication.until.is_some_and(|until| until <= Instant::now() + BEFORE_END) {
                    let asked = used.credentials.authenticate(workspace, http).await;
                    used.authentication = asked.map_err(|attempt| match attempt.again {
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

    /// The first credentials that give a token. An error that may pass ends the attempt: it is no reason to take others.
    async fn choose(
        &self,
        failed: &mut Vec<(Method, String)>,
        workspace: &Workspace,
        http: &reqwest::Client,
    ) -> Result<Used, Attempt> {
        if failed.len() == self.chain.len() {
            failed.clear();
        }
        for credentials in self.chain.iter().skip(failed.len()) {
            match credentials.authenticate(workspace, http).await {
                Ok(authentication) => return Ok(Used { credentials: credentials.clone(), authentication }),
                Err(error) if error.again => return Err(error),
                Err(error) => failed.push((credentials.method(), error.error.reason())),
            }
        }
        Err(no_token(failed))
    }

    /// The method that gave a token, and why others before it gave none.
    pub async fn methods(&self) -> (Option<Method>, Vec<(Method, String)>) {
        let state = self.state.lock().await;
        (state.used.as_ref().map(|used| used.credentials.method()), state.failed.clone())
    }
}

/// No method gives a token, each for its reason.
fn no_token(failed: &[(Method, String)]) -> Attempt {
    let reasons: Vec<String> = failed.iter().map(|(method, reason)| format!("{method}: {reason}")).collect();
    Attempt::final_error(ApiError::NoToken(reasons.join("; ")))
}
