//! Runs external programs that return tokens: finds them on the search path, and limits their time.

use std::{
    ffi::OsStr,
    io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use tokio::{process::Command, time::timeout};

use crate::{databricks::error::cut, domain::redact::Redactor};

/// The time-out of a program. The Azure CLI needs seconds, and so does the renewal of a token.
pub(super) const TIMEOUT: Duration = Duration::from_secs(60);

#[derive(Debug, thiserror::Error)]
pub(super) enum ProgramError {
    #[error("{} cannot be started: {source}", .program.display())]
    NotStarted { program: PathBuf, source: io::Error },
    #[error("{} did not end within {} seconds", .program.display(), .limit.as_secs())]
    TooSlow { program: PathBuf, limit: Duration },
    #[error("{} failed ({status}): {stderr}", .program.display())]
    Failed { program: PathBuf, status: ExitStatus, stderr: String },
}

/// Returns the programs of that name on a search path, in its order.
pub(super) fn find(name: &str, search_path: Option<&impl AsRef<OsStr>>) -> Vec<PathBuf> {
    let folders = search_path.map(|path| std::env::split_paths(path).collect::<Vec<_>>()).unwrap_or_default();
    // A relative folder or an empty part would mean the current directory.
    let folders = folders.into_iter().filter(|folder| folder.is_absolute());
    folders.map(|folder| folder.join(name)).filter(|path| is_program(path)).collect()
}

fn is_program(path: &Path) -> bool {
    path.metadata().is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}

/// Runs a program and returns its standard output. Kills it after `limit`.
pub(super) async fn run(program: &Path, arguments: &[&str], limit: Duration) -> Result<Vec<u8>, ProgramError> {
    let named = || program.to_owned();
    let child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|source| ProgramError::NotStarted { program: named(), source })?;
    let output = match timeout(limit, child.wait_with_output()).await {
        Ok(output) => output.map_err(|source| ProgramError::NotStarted { program: named(), source })?,
        Err(_) => return Err(ProgramError::TooSlow { program: named(), limit }),
    };
    if output.status.success() {
        return Ok(output.stdout);
    }
    let stderr = Redactor::default().text(String::from_utf8_lossy(&output.stderr).trim()).into_owned();
    Err(ProgramError::Failed { program: named(), status: output.status, stderr: cut(&stderr) })
}

#[cfg(test)]
mod tests;
