//! The login to the workspace: from the environment and the profiles file, never from arguments.

use std::{io::ErrorKind, path::PathBuf};

use super::exit::CommandError;
use crate::{
    channels::secrets::{Secrets, WorkspaceClientError},
    databricks::{
        Client,
        auth::{AuthError, settings::LoginSettings},
    },
};

/// Returns a client of the workspace that the environment or a profile names. Sends no request.
///
/// # Errors
/// [`CommandError::Auth`]; [`CommandError::Input`] for an unreadable profiles file.
pub fn client() -> Result<Client, CommandError> {
    Ok(Client::of(settings()?.access()?)?)
}

/// Returns the sources of secrets: the environment and the workspace.
pub fn secrets() -> Secrets<'static> {
    fn lazy_client() -> Result<Client, WorkspaceClientError> {
        client().map_err(|why| why.to_string().into())
    }
    Secrets { environment: &environment, workspace: &lazy_client }
}

/// Returns the profile that the environment names.
pub fn profile() -> Option<String> {
    environment("DATABRICKS_CONFIG_PROFILE")
}

/// Reads the settings of the login.
///
/// # Errors
/// [`CommandError::Auth`]; [`CommandError::Input`] for an unreadable profiles file.
pub fn settings() -> Result<LoginSettings, CommandError> {
    let settings = LoginSettings::from_variables(environment);
    if !settings.wants_profile() {
        return Ok(settings);
    }
    let home = || environment("HOME").map(PathBuf::from);
    let given = environment("DATABRICKS_CONFIG_FILE").map(|path| match path.strip_prefix("~/").zip(home()) {
        Some((rest, home)) => home.join(rest),
        None => PathBuf::from(path),
    });
    let Some(path) = given.clone().or_else(|| Some(home()?.join(".databrickscfg"))) else { return Ok(settings) };
    let file = path.display().to_string();
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok(settings.with_profiles(&file, &text, environment)?),
        // The file is optional. Without it a named profile is missing.
        Err(error) if error.kind() == ErrorKind::NotFound && given.is_none() => {
            Ok(settings.with_profiles(&file, "", environment)?)
        }
        Err(source) => Err(CommandError::Input { what: file, source }),
    }
}

#[expect(clippy::disallowed_methods, reason = "all users of a machine can read the arguments of a process")]
fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.trim().is_empty())
}

impl From<AuthError> for CommandError {
    fn from(error: AuthError) -> Self {
        Self::Auth(error)
    }
}
