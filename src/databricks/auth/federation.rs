//! Identity tokens of other issuers, which a workspace with a federation policy exchanges for its own tokens.

use std::path::PathBuf;

use serde::Deserialize;
use url::Url;

use super::{
    oauth::{self, AccessToken, ClientSecret, SCOPE},
    settings::{LoginSettings, Setting},
};
use crate::{
    databricks::{
        Token, WorkspaceUrl,
        error::{ApiError, FailedAttempt},
    },
    domain::login::Method,
};

/// An identity token and the identity that a workspace exchanges it for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Federation {
    pub(super) source: IdTokenSource,
    /// A service principal. `None`: the policy of the account selects the identity.
    pub(super) client_id: Option<String>,
    /// The audience to use instead of the workspace's token endpoint.
    pub(super) audience: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum IdTokenSource {
    /// GitHub issues a token to each job of a workflow that has `id-token: write`.
    Github {
        url: Url,
        token: Token,
    },
    Variable(Token),
    /// Read for each request: another program renews it.
    File(PathBuf),
}

impl Federation {
    pub(super) fn new(source: IdTokenSource, settings: &LoginSettings) -> Self {
        let text = |setting| settings.get(setting).map(str::to_owned);
        Self { source, client_id: text(Setting::ClientId), audience: text(Setting::Audience) }
    }

    pub(super) fn method(&self) -> Method {
        match self.source {
            IdTokenSource::Github { .. } => Method::GithubOidc,
            IdTokenSource::Variable(_) => Method::EnvOidc,
            IdTokenSource::File(_) => Method::FileOidc,
        }
    }

    pub(super) async fn token(
        &self,
        workspace: &WorkspaceUrl,
        http: &reqwest::Client,
    ) -> Result<AccessToken, FailedAttempt> {
        let endpoint = oauth::token_endpoint(workspace, http).await?;
        let audience = self.audience.as_deref().unwrap_or(endpoint.as_str());
        let id_token = self.source.token(audience, http).await?;
        let mut form = vec![
            ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
            ("subject_token_type", "urn:ietf:params:oauth:token-type:jwt"),
            SCOPE,
        ];
        form.extend(self.client_id.as_deref().map(|id| ("client_id", id)));
        oauth::request_token(http, endpoint.clone(), &form, ClientSecret::Field("subject_token", &id_token)).await
    }
}

impl IdTokenSource {
    async fn token(&self, audience: &str, http: &reqwest::Client) -> Result<Token, FailedAttempt> {
        let unusable = |why: String| FailedAttempt::final_error(ApiError::NoToken(why));
        match self {
            Self::Variable(token) => Ok(token.clone()),
            Self::File(path) => {
                let read = tokio::fs::read_to_string(path).await;
                let text = read.map_err(|error| unusable(format!("{} cannot be read: {error}", path.display())))?;
                text.parse().map_err(|why| unusable(format!("{}: {why}", path.display())))
            }
            Self::Github { url, token } => {
                #[derive(Deserialize)]
                struct IdTokenResponse {
                    value: String,
                }
                let mut url = url.clone();
                url.query_pairs_mut().append_pair("audience", audience);
                let answer = FailedAttempt::of(http.get(url).bearer_auth(token.expose()).send().await).await;
                let answer = answer.map_err(|failed| failed.without(token.expose()))?;
                // The response is not printed: it may contain a token.
                let value = serde_json::from_slice(&answer.body).map(|answer: IdTokenResponse| answer.value);
                let token = value.ok().and_then(|value| value.parse().ok());
                token.ok_or_else(|| unusable("GitHub returns no identity token".into()))
            }
        }
    }
}
