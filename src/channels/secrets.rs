//! Reads secrets from the environment, a file or a secret scope, as the configuration says.

use std::{error::Error, fmt, io};

use tokio::io::AsyncReadExt;

use crate::{
    databricks::{Client, error::ApiError},
    domain::policy::notification::SecretRef,
};

/// The largest file that is read.
const LARGEST: u64 = 64 * 1024;

/// A routing key, a token, a URL, a password. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Trims white space. `None` if the rest is empty or has several lines.
    pub fn new(text: &str) -> Option<Self> {
        let text = text.trim();
        (!text.is_empty() && !text.chars().any(char::is_control)).then(|| Self(text.to_owned()))
    }

    pub(super) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Why a client for the workspace could not be created.
pub type WorkspaceClientError = Box<dyn Error + Send + Sync>;

/// The sources of secrets.
#[derive(Clone, Copy)]
pub struct Secrets<'a> {
    /// Returns the value of an environment variable.
    pub environment: &'a (dyn Fn(&str) -> Option<String> + Sync),
    /// Creates a client for the workspace. Called only for a secret in a secret scope.
    pub workspace: &'a (dyn Fn() -> Result<Client, WorkspaceClientError> + Sync),
}

impl fmt::Debug for Secrets<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secrets").finish_non_exhaustive()
    }
}

/// A secret could not be read. Names the reference, never the value.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    #[error("the environment variable {0} is not set")]
    NotSet(String),
    #[error("the secret's file {path} cannot be read")]
    Unreadable { path: String, source: io::Error },
    #[error("the secret {0} cannot be used: {1}")]
    Unusable(SecretRef, &'static str),
    #[error("the secret {0} needs a login to a workspace")]
    NoWorkspace(SecretRef, #[source] WorkspaceClientError),
    #[error("the workspace does not return the secret {0}")]
    NotGiven(SecretRef, #[source] ApiError),
}

impl SecretError {
    pub fn hint(&self) -> String {
        match self {
            Self::NotSet(name) => format!("set {name} in the environment of `notification send`"),
            Self::Unreadable { path, .. } => format!("make {path} readable for the user that runs `notification send`"),
            Self::Unusable(..) => "a secret is one line of UTF-8 text, at most 64 KiB".into(),
            Self::NoWorkspace(..) => "`ops-runbook doctor --workspace` checks the login to the workspace".into(),
            Self::NotGiven(reference, _) => match reference {
                SecretRef::Databricks { scope, .. } => {
                    format!("grant the user that is logged in READ on the secret scope {scope}")
                }
                SecretRef::Env(_) | SecretRef::File(_) => {
                    "check the `secret` of the channel in the configuration".into()
                }
            },
        }
    }
}

impl Secrets<'_> {
    /// Reads the secret that `reference` names.
    ///
    /// # Errors
    /// [`SecretError`].
    pub async fn read(&self, reference: &SecretRef) -> Result<Secret, SecretError> {
        let unusable = |why| SecretError::Unusable(reference.clone(), why);
        let bytes = match reference {
            SecretRef::Env(name) => {
                let value = (self.environment)(name).filter(|value| !value.trim().is_empty());
                value.ok_or_else(|| SecretError::NotSet(name.clone()))?.into_bytes()
            }
            SecretRef::File(path) => {
                let bytes = file(path).await;
                bytes.map_err(|source| SecretError::Unreadable { path: path.clone(), source })?
            }
            SecretRef::Databricks { scope, key } => {
                let client = (self.workspace)().map_err(|why| SecretError::NoWorkspace(reference.clone(), why))?;
                let bytes = client.secret(scope, key).await;
                bytes.map_err(|source| SecretError::NotGiven(reference.clone(), source))?
            }
        };
        if bytes.len() as u64 > LARGEST {
            return Err(unusable("it is longer than 64 KiB"));
        }
        let text = String::from_utf8(bytes).map_err(|_| unusable("it is not UTF-8"))?;
        Secret::new(&text).ok_or_else(|| unusable("it is empty or has several lines"))
    }
}

/// Reads at most one byte more than the limit.
async fn file(path: &str) -> Result<Vec<u8>, io::Error> {
    let mut bytes = Vec::new();
    tokio::fs::File::open(path).await?.take(LARGEST + 1).read_to_end(&mut bytes).await?;
    Ok(bytes)
}

#[cfg(test)]
mod tests;
