//! Authentication at a workspace, with the methods, names and settings of the official SDKs.
//!
//! - [`settings`]: settings from the environment and from a profile
//! - [`access`]: selects the authentication methods that may be used
//! - `session`: the current token, which is replaced before it expires
//! - `databricks_cli`, `azure`, `federation`: methods; `oauth` and `program`: request tokens
//!
//! Personal access tokens, service principals (OAuth and Microsoft Entra ID), the logins of the Databricks CLI and the Azure
//! CLI, and identity tokens (GitHub, variable, file) are supported.

pub mod access;
mod azure;
mod databricks_cli;
mod expiry;
mod federation;
mod oauth;
mod program;
mod session;
pub mod settings;

pub use azure::{AzureCli, AzureClientSecret};
pub use databricks_cli::DatabricksCli;
pub use federation::Federation;
pub(super) use session::LoginSession;

use super::Token;
use crate::domain::login::Method;

/// An error of the login settings. A setting is described by the source of its value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// The missing settings, each with its variable.
    #[error("access to a workspace requires {}", .0.join(", "))]
    Missing(Vec<String>),
    #[error("two authentication methods are set: {} by {}, and {} by {}", .first.0, .first.1, .second.0, .second.1)]
    Contradiction { first: (Method, String), second: (Method, String) },
    #[error("the authentication method {name:?} in {set_by} is not supported")]
    UnknownMethod { name: String, set_by: String, instead: Option<&'static str> },
    #[error("{method}, which {set_by} selects, cannot be used: {reason}")]
    Inapplicable { method: Method, set_by: String, reason: String },
    #[error("there is no profile {name:?} in {file}")]
    NoProfile { name: String, file: String },
    #[error("the profiles file {file} cannot be read: it is not of the form [profile], key = value")]
    BadProfiles { file: String },
    #[error("{what} cannot be used: {reason}")]
    Unusable { what: String, reason: String },
}

impl AuthError {
    pub fn hint(&self) -> String {
        match self {
            Self::Missing(_) | Self::Unusable { .. } => {
                "log in with `databricks auth login --host URL --profile NAME` and set DATABRICKS_CONFIG_PROFILE=NAME, or \
                 set DATABRICKS_HOST with DATABRICKS_TOKEN or with DATABRICKS_CLIENT_ID and DATABRICKS_CLIENT_SECRET; \
                 `ops-runbook doctor --workspace` shows why no other method is used"
            }
            Self::Contradiction { first, second } => {
                return format!("unset one of them, or set DATABRICKS_AUTH_TYPE to {} or {}", first.0, second.0);
            }
            Self::UnknownMethod { instead: Some(instead), .. } => instead,
            Self::UnknownMethod { instead: None, .. } => {
                return format!("the methods are {}", Method::ALL.map(Method::as_str).join(", "));
            }
            Self::Inapplicable { method: Method::DatabricksCli, .. } => {
                "the Databricks CLI 0.207.1 or later must be on the PATH (or in DATABRICKS_CLI_PATH), with a login to this \
                 workspace"
            }
            Self::Inapplicable { .. } => {
                "a workspace whose address does not show that it is on Azure needs DATABRICKS_AZURE_RESOURCE_ID or \
                 DATABRICKS_CLOUD=AZURE; azure-cli needs `az` on the PATH"
            }
            Self::NoProfile { .. } | Self::BadProfiles { .. } => {
                "`databricks auth profiles` lists the profiles; the file is DATABRICKS_CONFIG_FILE or ~/.databrickscfg"
            }
        }
        .into()
    }
}

/// The credentials of one authentication method.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LoginCredentials {
    Pat(Token),
    OauthM2m { id: String, secret: Token },
    DatabricksCli(DatabricksCli),
    Federation(Federation),
    AzureClientSecret(AzureClientSecret),
    AzureCli(AzureCli),
}

impl LoginCredentials {
    pub fn method(&self) -> Method {
        match self {
            Self::Pat(_) => Method::Pat,
            Self::OauthM2m { .. } => Method::OauthM2m,
            Self::DatabricksCli(_) => Method::DatabricksCli,
            Self::Federation(federation) => federation.method(),
            Self::AzureClientSecret(_) => Method::AzureClientSecret,
            Self::AzureCli(_) => Method::AzureCli,
        }
    }
}

/// Credentials in the order in which they are tried. There is at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CredentialChain {
    first: LoginCredentials,
    rest: Vec<LoginCredentials>,
}

impl CredentialChain {
    /// Returns a chain of credentials. `None`: there are none.
    pub fn new(credentials: impl IntoIterator<Item = LoginCredentials>) -> Option<Self> {
        let mut credentials = credentials.into_iter();
        Some(Self { first: credentials.next()?, rest: credentials.collect() })
    }

    pub fn iter(&self) -> impl Iterator<Item = &LoginCredentials> {
        std::iter::once(&self.first).chain(&self.rest)
    }

    fn len(&self) -> usize {
        1 + self.rest.len()
    }
}

impl From<LoginCredentials> for CredentialChain {
    fn from(first: LoginCredentials) -> Self {
        Self { first, rest: Vec::new() }
    }
}

impl From<Token> for CredentialChain {
    fn from(token: Token) -> Self {
        LoginCredentials::Pat(token).into()
    }
}

#[cfg(test)]
mod tests;
