//! The login of a person in the Databricks CLI, which stores and renews it and returns tokens.

use std::{path::PathBuf, time::Instant};

use chrono::{DateTime, NaiveDateTime, Utc};
use serde::Deserialize;

use super::{
    expiry,
    oauth::AccessToken,
    program::{self, TIMEOUT},
    settings::{LoginSettings, Setting},
};
use crate::databricks::WorkspaceUrl;

/// The first version that supports `--profile`.
const OLDEST: (u64, u64, u64) = (0, 207, 1);
/// The version of development builds.
const DEVELOPMENT: (u64, u64, u64) = (0, 0, 0);

/// The Databricks CLI and one of its logins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatabricksCli {
    /// Programs of that name, at least one. The first one that is new enough is used.
    programs: Vec<PathBuf>,
    login: Login,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Login {
    Profile(String),
    Host(String),
}

impl DatabricksCli {
    /// # Errors
    /// The reason why it cannot be used.
    pub(super) fn configured(settings: &LoginSettings, workspace: &WorkspaceUrl) -> Result<Self, String> {
        let programs = match settings.get(Setting::CliPath) {
            Some(path) if path.contains('/') => vec![path.into()],
            name => program::find(name.unwrap_or("databricks"), settings.search_path()),
        };
        if programs.is_empty() {
            return Err("there is no program `databricks` on the PATH".into());
        }
        let login = match settings.profile() {
            Some(profile) => match &profile.host {
                Some(host) if host.parse().as_ref() != Ok(workspace) => {
                    let named = settings.source(Setting::Host).map(ToString::to_string).unwrap_or_default();
                    return Err(format!(
                        "{named} is {workspace}, and the profile {:?} is a login to {host}",
                        profile.name
                    ));
                }
                Some(_) => Login::Profile(profile.name.clone()),
                None => Login::Host(workspace.to_string()),
            },
            None => Login::Host(workspace.to_string()),
        };
        Ok(Self { programs, login })
    }

    /// Returns a token.
    ///
    /// # Errors
    /// The reason why there is none, from the CLI if a login is missing or has expired.
    pub(super) async fn token(&self) -> Result<AccessToken, String> {
        let program = self.program().await?;
        let arguments = match &self.login {
            Login::Profile(name) => ["auth", "token", "--profile", name],
            Login::Host(host) => ["auth", "token", "--host", host],
        };
        let answer = program::run(program, &arguments, TIMEOUT).await.map_err(|error| error.to_string())?;
        read(&answer).map_err(|why| format!("{} gives {why}", program.display()))
    }

    async fn program(&self) -> Result<&PathBuf, String> {
        let mut refused = Vec::new();
        for program in &self.programs {
            let output = match program::run(program, &["version"], TIMEOUT).await {
                Ok(output) => String::from_utf8_lossy(&output).trim().to_owned(),
                Err(error) => {
                    refused.push(error.to_string());
                    continue;
                }
            };
            match version(&output) {
                Some(version) if version >= OLDEST || version == DEVELOPMENT => return Ok(program),
                _ => refused.push(format!("{} is {output:?}", program.display())),
            }
        }
        let (major, minor, patch) = OLDEST;
        Err(format!("the Databricks CLI {major}.{minor}.{patch} or later is needed; {}", refused.join("; ")))
    }
}

/// Parses `Databricks CLI v1.10.0`. The older CLI in Python prints another format.
fn version(output: &str) -> Option<(u64, u64, u64)> {
    let numbers = output.strip_prefix("Databricks CLI v")?;
    let end = numbers.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(numbers.len());
    let mut numbers = numbers[..end].split('.').map(|number| number.parse().ok());
    Some((numbers.next()??, numbers.next()??, numbers.next()??))
}

fn read(answer: &[u8]) -> Result<AccessToken, &'static str> {
    #[derive(Deserialize)]
    struct CliTokenResponse {
        access_token: String,
        #[serde(default)]
        expiry: Option<String>,
    }
    // The response is not printed: it may contain a token.
    let Ok(CliTokenResponse { access_token, expiry }) = serde_json::from_slice(answer) else { return Err("no token") };
    let token = access_token.parse().map_err(|_| "an invalid token")?;
    let Some(text) = expiry.filter(|text| !text.is_empty()) else { return Ok(AccessToken { token, expires_at: None }) };
    let end = moment(&text).ok_or("a token with an invalid expiry")?;
    // Go's zero time means no expiry.
    if end.timestamp() <= 0 {
        return Ok(AccessToken { token, expires_at: None });
    }
    let expires_at: Instant = expiry::instant(end).ok_or("an expired token; log in again")?;
    Ok(AccessToken { token, expires_at: Some(expires_at) })
}

fn moment(text: &str) -> Option<DateTime<Utc>> {
    let zoned = DateTime::parse_from_rfc3339(text).map(|at| at.to_utc()).ok();
    zoned.or_else(|| Some(NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f").ok()?.and_utc()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_of_the_cli_is_parsed() {
        for (output, expected) in [
            ("Databricks CLI v1.10.0", Some((1, 10, 0))),
            ("Databricks CLI v0.207.1", Some((0, 207, 1))),
            ("Databricks CLI v0.0.0-dev+06b169284737", Some(DEVELOPMENT)),
            ("Version 0.18.0", None),
            ("Databricks CLI v1.10", None),
            ("", None),
        ] {
            assert_eq!(version(output), expected, "{output}");
        }
    }

    #[test]
    fn the_expiry_of_a_token_is_parsed_and_an_expired_token_is_refused() {
        let answer = |expiry: &str| {
            read(format!(r#"{{"access_token": "t", "expiry": "{expiry}"}}"#).as_bytes()).map(|token| token.expires_at)
        };
        for later in ["2999-01-01T00:00:00.123456789+02:00", "2999-01-01T00:00:00Z", "2999-01-01 00:00:00.5"] {
            assert!(matches!(answer(later), Ok(Some(expires_at)) if expires_at > Instant::now()), "{later}");
        }
        assert_eq!(answer("0001-01-01T00:00:00Z"), Ok(None));
        assert_eq!(answer(""), Ok(None));
        assert!(answer("2001-01-01T00:00:00Z").is_err() && answer("soon").is_err());
        assert!(read(b"{}").is_err() && read(br#"{"access_token": ""}"#).is_err());
    }
}
