//! OAuth 2.0: finds the token endpoint of a workspace, and requests tokens.

use std::time::{Duration, Instant};

use reqwest::header;
use serde::Deserialize;
use serde_json::Value;
use url::{Url, form_urlencoded};

use crate::databricks::{
    Token, WorkspaceUrl,
    error::{ApiError, FailedAttempt},
    is_safe_to_send,
};

/// The scope of every token: all rights of its owner.
pub(super) const SCOPE: (&str, &str) = ("scope", "all-apis");

/// A token and its expiry. `None`: the expiry is unknown, or there is none.
#[derive(Debug, Clone)]
pub(super) struct AccessToken {
    pub token: Token,
    pub expires_at: Option<Instant>,
}

/// Returns the token endpoint of a workspace.
pub(super) async fn token_endpoint(workspace: &WorkspaceUrl, http: &reqwest::Client) -> Result<Url, FailedAttempt> {
    #[derive(Deserialize)]
    struct Metadata {
        token_endpoint: String,
    }
    let url = workspace.endpoint(&["oidc", ".well-known", "oauth-authorization-server"]);
    let answer = match FailedAttempt::of(http.get(url).send().await).await {
        Ok(answer) => answer,
        // A workspace without metadata uses the default endpoint.
        Err(FailedAttempt { error: ApiError::NotFound(_), .. }) => {
            return Ok(workspace.endpoint(&["oidc", "v1", "token"]));
        }
        Err(failed) => return Err(failed),
    };
    let unusable = |why: &str| FailedAttempt::final_error(ApiError::unexpected(format!("its token endpoint: {why}")));
    let Metadata { token_endpoint } =
        serde_json::from_slice(&answer.body).map_err(|error| unusable(&error.to_string()))?;
    let url = Url::parse(&token_endpoint).map_err(|error| unusable(&error.to_string()))?;
    if is_safe_to_send(&url) { Ok(url) } else { Err(unusable("it is not https://")) }
}

/// The secret of a client, and the place in the request where it is sent.
#[derive(Debug, Clone, Copy)]
pub(super) enum ClientSecret<'a> {
    /// In the `Authorization` header.
    Basic { id: &'a str, secret: &'a Token },
    /// In a form field with this name.
    Field(&'static str, &'a Token),
}

/// Requests a token. Errors never contain the secret.
pub(super) async fn request_token(
    http: &reqwest::Client,
    url: Url,
    form: &[(&str, &str)],
    secret: ClientSecret<'_>,
) -> Result<AccessToken, FailedAttempt> {
    let asked = Instant::now();
    let (field, hidden) = match secret {
        ClientSecret::Basic { secret, .. } => (None, secret),
        ClientSecret::Field(name, secret) => (Some((name, secret.expose())), secret),
    };
    let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).extend_pairs(field).finish();
    let mut request = http.post(url).header(header::CONTENT_TYPE, "application/x-www-form-urlencoded").body(body);
    if let ClientSecret::Basic { id, secret } = secret {
        request = request.basic_auth(id, Some(secret.expose()));
    }
    let answer = FailedAttempt::of(request.send().await).await.map_err(|failed| failed.without(hidden.expose()))?;
    read(&answer.body, asked).map_err(|why| FailedAttempt::final_error(ApiError::Unexpected(why.into())))
}

/// Parses a response. It is never printed: it may contain a token.
fn read(body: &[u8], asked: Instant) -> Result<AccessToken, &'static str> {
    #[derive(Deserialize)]
    struct Granted {
        access_token: String,
        /// Seconds; Microsoft's older endpoint sends them as text.
        expires_in: Value,
    }
    let Ok(granted) = serde_json::from_slice::<Granted>(body) else { return Err("the answer has no access token") };
    let seconds = granted.expires_in.as_u64().or_else(|| granted.expires_in.as_str()?.parse().ok());
    let token = granted.access_token.parse().map_err(|_| "the access token is invalid")?;
    let expires_at = asked.checked_add(Duration::from_secs(seconds.ok_or("the access token has no expiry")?));
    Ok(AccessToken { token, expires_at })
}
