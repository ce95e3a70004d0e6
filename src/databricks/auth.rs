//! How this program logs in to a workspace: as the official SDKs do, by the same names and settings.
//!
//! - [`settings`]: what the environment and a profile say
//! - [`access`]: which methods of authentication may be used
//! - `session`: the token of the moment, which is replaced before it ends
//! - `databricks_cli`, `azure`, `federation`: methods; `oauth` and `program`: how tokens are asked for
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
pub(super) use session::Session;

use super::Token;
use crate::domain::login::Method;

/// Why it is not known where a workspace is, or how to log in to it. A setting is described by where its value came from.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// What is missing, and how each is given.
    #[error("asking a workspace needs {}", .0.join(", "))]
    Missing(Vec<String>),
    #[error("two methods of authentication are set: {} by {}, and {} by {}", .first.0, .first.1, .second.0, .second.1)]
    Contradiction { first: (Method, String), second: (Method, String) },
    #[error("the method of authentication {name:?} in {set_by} is not supported")]
    UnknownMethod { name: String, set_by: String, instead: Option<&'static str> },
    #[error("{method}, which {set_by} asks for, cannot be used: {reason}")]
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

/// What one method of authentication needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credentials {
    Pat(Token),
    OauthM2m { id: String, secret: Token },
    DatabricksCli(DatabricksCli),
    Federation(Federation),
    AzureClientSecret(AzureClientSecret),
    AzureCli(AzureCli),
}

impl Credentials {
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

/// Credentials in the order in which they are tried: at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    first: Credentials,
    rest: Vec<Credentials>,
}

impl Chain {
    /// `None`: there are none.
    pub fn new(credentials: impl IntoIterator<Item = Credentials>) -> Option<Self> {
        let mut credentials = credentials.into_iter();
        Some(Self { first: credentials.next()?, rest: credentials.collect() })
    }

    pub fn iter(&self) -> impl Iterator<Item = &Credentials> {
        std::iter::once(&self.first).chain(&self.rest)
    }

    fn len(&self) -> usize {
        1 + self.rest.len()
    }
}

impl From<Credentials> for Chain {
    fn from(first: Credentials) -> Self {
        Self { first, rest: Vec::new() }
    }
}

impl From<Token> for Chain {
    fn from(token: Token) -> Self {
        Credentials::Pat(token).into()
    }
}

#[cfg(test)]
mod tests;
