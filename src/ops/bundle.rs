//! The bundle as a folder that the Databricks CLI deploys, without a clone of this repository.
//!
//! - here: [`init`] writes or upgrades the folder
//! - [`template`]: the files of this version
//! - [`folder`]: decides which files are written, and keeps files that people changed
//! - [`binaries`]: the binary for each processor of Databricks compute, split into parts
//! - [`variables`]: the values that differ between workspaces
//! - [`grants`]: checks the privileges that the jobs need in Unity Catalog

pub mod binaries;
pub mod folder;
pub mod grants;
pub mod template;
pub mod variables;

use std::{
    io,
    path::{Path, PathBuf},
};

use serde::Serialize;
use serde_json::{Map, Value};

use binaries::Binary;
use folder::{BundleFolder, PlannedFile};

/// An error while a bundle folder is read or written.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    #[error("{path} cannot be read")]
    Read { path: String, source: io::Error },
    #[error("{path} cannot be written")]
    Write { path: String, source: io::Error },
    /// A file has an unexpected shape.
    #[error("{path} cannot be used: {reason}")]
    Shape { path: String, reason: String },
}

impl BundleError {
    fn read(path: &Path, source: io::Error) -> Self {
        Self::Read { path: path.display().to_string(), source }
    }

    fn write(path: &Path, source: io::Error) -> Self {
        Self::Write { path: path.display().to_string(), source }
    }

    fn shape(path: &Path, reason: impl ToString) -> Self {
        Self::Shape { path: path.display().to_string(), reason: reason.to_string() }
    }
}

/// The parameters of [`init`].
#[derive(Debug)]
pub struct BundleRequest<'a> {
    pub folder: &'a Path,
    /// The running binary, used for its own processor. Parts for other processors may be in the same folder.
    pub program: &'a Path,
    pub target: variables::BundleTarget,
    /// Values for variables of the target, by name. Other variables in the file stay as they are.
    pub variables: &'a Map<String, Value>,
    /// Whether files that people changed are replaced.
    pub is_forced: bool,
}

/// The result of [`init`].
#[derive(Debug, Serialize)]
pub struct BundleResult {
    pub version: &'static str,
    pub files: Vec<PlannedFile>,
    pub binaries: Vec<Binary>,
    /// The file with the variables of the target.
    pub variables_file: PathBuf,
}

/// Writes a bundle folder, or upgrades the files that people did not change.
///
/// # Errors
/// [`BundleError`]. A second call completes what a failed one began.
pub fn init(request: &BundleRequest<'_>) -> Result<BundleResult, BundleError> {
    let folder = BundleFolder::read(request.folder)?;
    let variables = variables::merged(request.folder, request.target, request.variables)?;
    let files = folder.plan(request.is_forced)?;
    let binaries = binaries::place(request.program, request.folder, folder.is_of(template::VERSION))?;
    folder.write(&files)?;
    let variables_file = variables::write(request.folder, request.target, &variables)?;
    Ok(BundleResult { version: template::VERSION, files, binaries, variables_file })
}

/// Writes a file and creates its parent folders.
fn write_file(path: &Path, content: &[u8]) -> Result<(), BundleError> {
    let parent = path.parent().map_or(Ok(()), std::fs::create_dir_all);
    parent.and_then(|()| std::fs::write(path, content)).map_err(|source| BundleError::write(path, source))
}

/// Returns the content of a file, or `None` if it does not exist.
fn content_of(path: &Path) -> Result<Option<Vec<u8>>, BundleError> {
    match std::fs::read(path) {
        Ok(content) => Ok(Some(content)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(BundleError::read(path, source)),
    }
}
