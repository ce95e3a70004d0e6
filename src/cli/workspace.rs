//! The workspace that is asked: from the environment and the profiles file, never from arguments.

use std::{io::ErrorKind, path::PathBuf};

use super::exit::Failure;
use crate::{
    databricks::{
        Client,
        auth::{AuthError, settings::Settings},
    },
    delivery::secrets::{NoClient, Secrets},
};

/// A client of the workspace that the environment or a profile names. Makes no request.
///
/// # Errors
/// [`Failure::Auth`], or that the profiles file cannot be read.
pub fn client() -> Result<Client, Failure> {
    Ok(Client::of(settings()?.access()?)?)
}

/// What secrets are read from.
pub fn secrets() -> Secrets<'static> {
    fn asked() -> Result<Client, NoClient> {
        client().map_err(|why| why.to_string().into())
    }
    Secrets { environment: &environment, workspace: &asked }
}

/// The profile that the environment names.
pub fn profile() -> Option<String> {
    environment("DATABRICKS_CONFIG_PROFILE")
}

/// # Errors
/// [`Failure::Auth`], or that the profiles file cannot be read.
pub fn settings() -> Result<Settings, Failure> {
    let settings = Settings::from_variables(environment);
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
        // The file is optional; a profile that was named is missing then.
        Err(error) if error.kind() == ErrorKind::NotFound && given.is_none() => {
            Ok(settings.with_profiles(&file, "", environment)?)
        }
        Err(source) => Err(Failure::Input { what: file, source }),
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
