//! Who asks, and where: what the environment and the profiles file say, by the names and in the order of the official SDKs.
//!
//! What the environment says counts before what a profile says. The profiles file is read when a profile is named, or when
//! nothing else is. Personal access tokens and service principals (OAuth, machine to machine) are supported.

use std::{
    fmt,
    time::{Duration, Instant},
};

use configparser::ini::{Ini, IniDefault};
use reqwest::header;
use serde::Deserialize;
use tokio::sync::Mutex;
use url::form_urlencoded;

use super::{
    Token, Workspace,
    error::{ApiError, Attempt},
};

/// A token that ends within so long is replaced before it is used.
const BEFORE_END: Duration = Duration::from_secs(60);
/// The profile that counts when none is named.
const DEFAULT_PROFILE: &str = "DEFAULT";

/// What is known before anything is asked.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Settings {
    host: Option<String>,
    token: Option<String>,
    client_id: Option<String>,
    client_secret: Option<String>,
    auth_type: Option<String>,
    profile: Option<String>,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings").field("host", &self.host).field("profile", &self.profile).finish_non_exhaustive()
    }
}

/// Why it is not known who asks, or where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// What is missing, and how each is given.
    #[error("asking a workspace needs {}", .0.join(", "))]
    Missing(Vec<String>),
    #[error("both a token and a service principal are given")]
    Ambiguous,
    #[error("the authentication type {0:?} is not supported")]
    UnknownType(String),
    #[error("there is no profile {0:?}")]
    NoProfile(String),
    #[error("the profiles file cannot be read: {0}")]
    BadProfiles(String),
    #[error("{what} cannot be used: {reason}")]
    Unusable { what: &'static str, reason: String },
}

impl AuthError {
    pub fn hint(&self) -> String {
        match self {
            Self::Missing(_) | Self::Unusable { .. } => {
                "set DATABRICKS_HOST and DATABRICKS_TOKEN, or DATABRICKS_CLIENT_ID and DATABRICKS_CLIENT_SECRET, or name a \
                 profile of ~/.databrickscfg in DATABRICKS_CONFIG_PROFILE; arguments are shown to everybody on a machine"
            }
            Self::Ambiguous => "unset one of them, or say which in DATABRICKS_AUTH_TYPE: pat or oauth-m2m",
            Self::UnknownType(_) => "DATABRICKS_AUTH_TYPE is pat or oauth-m2m",
            Self::NoProfile(_) | Self::BadProfiles(_) => {
                "look at DATABRICKS_CONFIG_PROFILE, and at the file in DATABRICKS_CONFIG_FILE or ~/.databrickscfg"
            }
        }
        .into()
    }
}

impl Settings {
    /// `read` gives the value of a variable of the environment. Empty ones count as absent.
    pub fn from_variables(read: impl Fn(&str) -> Option<String>) -> Self {
        let read = |name: &str| read(name).filter(|value| !value.trim().is_empty());
        Self {
            host: read("DATABRICKS_HOST"),
            token: read("DATABRICKS_TOKEN"),
            client_id: read("DATABRICKS_CLIENT_ID"),
            client_secret: read("DATABRICKS_CLIENT_SECRET"),
            auth_type: read("DATABRICKS_AUTH_TYPE"),
            profile: read("DATABRICKS_CONFIG_PROFILE"),
        }
    }

    /// Whether the profiles file counts: a profile was named, or nothing else was said.
    pub fn wants_profile(&self) -> bool {
        self.profile.is_some()
            || [&self.host, &self.token, &self.client_id, &self.client_secret].into_iter().all(Option::is_none)
    }

    /// Fills in from a profiles file what the environment does not say. A profile that was named must be there.
    ///
    /// # Errors
    /// [`AuthError::NoProfile`], [`AuthError::BadProfiles`].
    pub fn with_profiles(self, file: &str) -> Result<Self, AuthError> {
        let mut defaults = IniDefault::default();
        // Sections are names, and a token may hold a `#`.
        defaults.case_sensitive = true;
        defaults.default_section = DEFAULT_PROFILE.into();
        defaults.inline_comment_symbols = Some(Vec::new());
        let mut profiles = Ini::new_from_defaults(defaults);
        // The reason would quote a line, which may be a token.
        let bad = |_| AuthError::BadProfiles("it is not of the form [profile], key = value".into());
        profiles.read(file.to_owned()).map_err(bad)?;
        let name = self.profile.as_deref().unwrap_or(DEFAULT_PROFILE);
        if !profiles.sections().iter().any(|section| section == name) {
            return if self.profile.is_some() { Err(AuthError::NoProfile(name.to_owned())) } else { Ok(self) };
        }
        let value = |key: &str| profiles.get(name, key).filter(|value| !value.trim().is_empty());
        Ok(Self {
            host: self.host.or_else(|| value("host")),
            token: self.token.or_else(|| value("token")),
            client_id: self.client_id.or_else(|| value("client_id")),
            client_secret: self.client_secret.or_else(|| value("client_secret")),
            auth_type: self.auth_type.or_else(|| value("auth_type")),
            profile: self.profile,
        })
    }

    /// Where, and as whom.
    ///
    /// # Errors
    /// [`AuthError`] names everything that is missing.
    pub fn access(self) -> Result<(Workspace, Credentials), AuthError> {
        let unusable = |what| move |reason| AuthError::Unusable { what, reason };
        let principal = self.client_id.is_some() || self.client_secret.is_some();
        let by_token = match self.auth_type.as_deref() {
            Some("pat") => true,
            Some("oauth-m2m") => false,
            Some(other) => return Err(AuthError::UnknownType(other.to_owned())),
            None if self.token.is_some() && principal => return Err(AuthError::Ambiguous),
            None => !principal,
        };
        let mut missing = Vec::new();
        let mut wanted = |value: Option<String>, name: &str| {
            if value.is_none() {
                missing.push(name.to_owned());
            }
            value.unwrap_or_default()
        };
        let host = wanted(self.host, "the workspace's URL in DATABRICKS_HOST");
        let (id, secret) = if by_token {
            (String::new(), wanted(self.token, "a token in DATABRICKS_TOKEN"))
        } else {
            let id = wanted(self.client_id, "a service principal in DATABRICKS_CLIENT_ID");
            (id, wanted(self.client_secret, "its secret in DATABRICKS_CLIENT_SECRET"))
        };
        if !missing.is_empty() {
            return Err(AuthError::Missing(missing));
        }
        let what = if by_token { "DATABRICKS_TOKEN" } else { "DATABRICKS_CLIENT_SECRET" };
        let secret = secret.parse().map_err(unusable(what))?;
        let host = host.parse().map_err(unusable("DATABRICKS_HOST"))?;
        Ok((host, if by_token { Credentials::Token(secret) } else { Credentials::Principal { id, secret } }))
    }
}

/// As whom a workspace is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credentials {
    /// A personal access token, or one that somebody else takes care of.
    Token(Token),
    /// A service principal, which gets tokens of an hour for its secret.
    Principal { id: String, secret: Token },
}

impl From<Token> for Credentials {
    fn from(token: Token) -> Self {
        Self::Token(token)
    }
}

/// A token that was given out for some time.
#[derive(Debug)]
struct Lent {
    token: Token,
    until: Instant,
}

/// Credentials, and the token they are good for at the moment.
#[derive(Debug)]
pub(super) struct Session {
    credentials: Credentials,
    lent: Mutex<Option<Lent>>,
}

impl Session {
    pub fn new(credentials: Credentials) -> Self {
        Self { credentials, lent: Mutex::new(None) }
    }

    /// A token that is good for another minute at least. One request at a time asks for a new one, all others wait for it.
    pub async fn token(&self, workspace: &Workspace, http: &reqwest::Client) -> Result<Token, Attempt> {
        let (id, secret) = match &self.credentials {
            Credentials::Token(token) => return Ok(token.clone()),
            Credentials::Principal { id, secret } => (id, secret),
        };
        let mut lent = self.lent.lock().await;
        if let Some(lent) = lent.as_ref().filter(|lent| lent.until > Instant::now() + BEFORE_END) {
            return Ok(lent.token.clone());
        }
        let asked = Instant::now();
        let body = form_urlencoded::Serializer::new(String::new())
            .append_pair("grant_type", "client_credentials")
            .append_pair("scope", "all-apis")
            .finish();
        let request = http
            .post(workspace.endpoint(&["oidc", "v1", "token"]))
            .basic_auth(id, Some(&secret.0))
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(body);
        let answer = Attempt::of(request.send().await).await?;
        let granted: Granted = serde_json::from_slice(&answer.body).map_err(|_| {
            // What was answered may be a token all the same.
            Attempt::final_error(ApiError::Unexpected("no access token was given for the service principal".into()))
        })?;
        let token: Token =
            granted.access_token.parse().map_err(|why| Attempt::final_error(ApiError::Unexpected(why)))?;
        *lent = Some(Lent { token: token.clone(), until: asked + Duration::from_secs(granted.expires_in) });
        Ok(token)
    }
}

#[derive(Deserialize)]
struct Granted {
    access_token: String,
    /// Seconds.
    expires_in: u64,
}

#[cfg(test)]
mod tests;
