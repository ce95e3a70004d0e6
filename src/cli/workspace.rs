//! The workspace that is asked: from the environment and the profiles file, never from arguments.

use std::{io::ErrorKind, path::PathBuf};

use super::exit::Failure;
use crate::{
    databricks::{
        Client,
        auth::{AuthError, Settings},
    },
    delivery::secrets::{NoClient, Secrets},
};

/// A client of the workspace that the environment or a profile names. Makes no request.
///
/// # Errors
/// [`Failure::Auth`], or that the profiles file cannot be read.
pub fn client() -> Result<Client, Failure> {
    let (workspace, credentials) = settings()?.access()?;
    Ok(Client::new(workspace, credentials)?)
}

/// What secrets are read from.
pub fn secrets() -> Secrets<'static> {
    fn asked() -> Result<Client, NoClient> {
        client().map_err(|why| why.to_string().into())
    }
    Secrets { environment: &environment, workspace: &asked }
}

fn settings() -> Result<Settings, Failure> {
    let settings = Settings::from_variables(environment);
    if !settings.wants_profile() {
        return Ok(settings);
    }
    let given = environment("DATABRICKS_CONFIG_FILE").map(PathBuf::from);
    let Some(path) = given.clone().or_else(|| Some(PathBuf::from(environment("HOME")?).join(".databrickscfg"))) else {
        return Ok(settings);
    };
    match std::fs::read_to_string(&path) {
        Ok(file) => Ok(settings.with_profiles(&file)?),
        // Nobody has to have one; a profile that was named is missing then.
        Err(error) if error.kind() == ErrorKind::NotFound && given.is_none() => Ok(settings.with_profiles("")?),
        Err(source) => Err(Failure::Input { what: path.display().to_string(), source }),
    }
}

#[expect(clippy::disallowed_methods, reason = "as an argument, a token would be shown to everybody on the machine")]
fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.trim().is_empty())
}

impl From<AuthError> for Failure {
    fn from(error: AuthError) -> Self {
        Self::Auth(error)
    }
}
