//! Secrets, from where the configuration says they are.

use std::{error::Error, fmt, io};

use tokio::io::AsyncReadExt;

use crate::{
    databricks::{Client, error::ApiError},
    domain::policy::delivery::SecretRef,
};

/// The largest file that is read.
const LARGEST: u64 = 64 * 1024;

/// A routing key, a token, a URL, a password. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// White space around it does not count. `None`: there is nothing else, or it goes over several lines.
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

/// Why there is no client for a workspace.
pub type NoClient = Box<dyn Error + Send + Sync>;

/// What secrets are read from.
#[derive(Clone, Copy)]
pub struct Secrets<'a> {
    /// The value of a variable of the environment.
    pub environment: &'a (dyn Fn(&str) -> Option<String> + Sync),
    /// The workspace, asked for only when a secret is kept there.
    pub workspace: &'a (dyn Fn() -> Result<Client, NoClient> + Sync),
}

impl fmt::Debug for Secrets<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secrets").finish_non_exhaustive()
    }
}

/// Why a secret cannot be had. Says where it should be, never what was found there.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    #[error("the variable {0} is not set")]
    NotSet(String),
    #[error("the secret's file {path} cannot be read")]
    Unreadable { path: String, source: io::Error },
    #[error("what {0} holds is no secret: {1}")]
    Unusable(SecretRef, &'static str),
    #[error("the secret {0} needs a workspace to be asked")]
    NoWorkspace(SecretRef, #[source] NoClient),
    #[error("the workspace does not give {0}")]
    NotGiven(SecretRef, #[source] ApiError),
}

impl SecretError {
    pub fn hint(&self) -> String {
        match self {
            Self::NotSet(name) => format!("set {name} in the environment of whoever sends"),
            Self::Unreadable { path, .. } => format!("give a file that whoever sends can read: {path}"),
            Self::Unusable(..) => "it is one line of text, and nothing else".into(),
            Self::NoWorkspace(..) => {
                "`ops-runbook doctor --workspace` shows what the login to the workspace lacks".into()
            }
            Self::NotGiven(reference, _) => match reference {
                SecretRef::Databricks { scope, .. } => format!("whoever asks needs READ on the secret scope {scope}"),
                SecretRef::Env(_) | SecretRef::File(_) => "look at the channel's `secret`".into(),
            },
        }
    }
}

impl Secrets<'_> {
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
        Secret::new(&text).ok_or_else(|| unusable("it is empty, or of several lines"))
    }
}

/// At most one byte more than may be there.
async fn file(path: &str) -> Result<Vec<u8>, io::Error> {
    let mut bytes = Vec::new();
    tokio::fs::File::open(path).await?.take(LARGEST + 1).read_to_end(&mut bytes).await?;
    Ok(bytes)
}

#[cfg(test)]
mod tests;
