//! Health checks of a location before anything is recorded there, and of an existing lake.
//!
//! - [`store`]: whether the store has the guarantees that a lake needs
//! - [`tables`]: whether protocol, properties, columns and logs of the tables are as expected
//!
//! Test files are written below a folder of their own, and removed.

mod store;
mod tables;

use std::{error::Error, fs};

use super::{Lake, LakeError, Result};
use crate::domain::health::{HealthCheck, HealthFinding, HealthState};

/// The folder of the test files.
const FOLDER: &str = "_doctor";

/// Runs all checks. An error becomes a finding.
pub async fn examine(lake: &Lake) -> Vec<HealthFinding> {
    let folder = lake.url().to_file_path().ok();
    let was_there = folder.as_ref().is_none_or(|folder| folder.exists());
    let probes = lake.context.uuid().to_string();
    let mut findings = store::examine(lake, &probes).await;
    if let Some(folder) = folder {
        // Local disks keep empty folders. `remove_dir` removes no folder that holds files.
        let lake_itself = (!was_there).then(|| folder.clone());
        let own = [folder.join(FOLDER).join(&probes), folder.join(FOLDER), folder.join(".staging")];
        for empty in own.into_iter().chain(lake_itself) {
            let _ = fs::remove_dir(empty);
        }
    }
    match findings.iter().any(|it| it.check == HealthCheck::ReadAfterWrite && it.state == HealthState::Ok) {
        true => findings.extend(tables::examine(lake).await),
        false => {
            findings.extend(tables::CHECKS.map(|check| HealthFinding::not_checked(check, "the storage cannot be read")))
        }
    }
    findings
}

/// Tests once whether the store refuses a second writer of the same file.
///
/// # Errors
/// Errors of the store.
pub async fn refuses_second_writer(lake: &Lake) -> Result<bool> {
    store::refuses_second_writer(lake, &lake.context.uuid().to_string()).await
}

/// Returns an error as a finding: its message with all causes, and the hint.
fn failed(check: HealthCheck, error: &LakeError) -> HealthFinding {
    let mut seen = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let message = cause.to_string();
        if !seen.contains(&message) {
            seen = format!("{seen}: {message}");
        }
        source = cause.source();
    }
    HealthFinding::failed(check, seen, error.hint())
}
