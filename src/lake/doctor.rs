//! Whether a place is fit for a lake, found out before anything is recorded there; and whether a lake that is there is well.
//!
//! - [`store`]: does the store keep what it has to promise
//! - [`tables`]: are the tables as they were made, and their logs whole
//!
//! Files that are written to find out are below a folder of their own, and are removed.

mod store;
mod tables;

use std::{error::Error, fs};

use super::{Lake, LakeError, Result};
use crate::domain::checkup::{Check, Finding, State};

/// Where files are written to find out.
const FOLDER: &str = "_doctor";

/// Everything that can be looked at. What goes wrong is a finding.
pub async fn examine(lake: &Lake) -> Vec<Finding> {
    let folder = lake.url().to_file_path().ok();
    let was_there = folder.as_ref().is_none_or(|folder| folder.exists());
    let probes = lake.context.uuid().to_string();
    let mut findings = store::examine(lake, &probes).await;
    if let Some(folder) = folder {
        // Local disks keep folders that are empty. One that is not empty stays.
        let lake_itself = (!was_there).then(|| folder.clone());
        let own = [folder.join(FOLDER).join(&probes), folder.join(FOLDER), folder.join(".staging")];
        for empty in own.into_iter().chain(lake_itself) {
            let _ = fs::remove_dir(empty);
        }
    }
    match findings.iter().any(|it| it.check == Check::ReadAfterWrite && it.state == State::Ok) {
        true => findings.extend(tables::examine(lake).await),
        false => findings.extend(tables::CHECKS.map(|check| Finding::not_checked(check, "nothing can be read there"))),
    }
    findings
}

/// Whether the store keeps two writers from writing the same commit, tried once.
///
/// # Errors
/// The store's.
pub async fn refuses_second_writer(lake: &Lake) -> Result<bool> {
    store::refuses_second_writer(lake, &lake.context.uuid().to_string()).await
}

/// An error as a finding: what the store says, and what to do.
fn failed(check: Check, error: &LakeError) -> Finding {
    let mut seen = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let told = cause.to_string();
        if !seen.contains(&told) {
            seen = format!("{seen}: {told}");
        }
        source = cause.source();
    }
    Finding::failed(check, seen, error.hint())
}
