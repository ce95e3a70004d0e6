//! The bundle as a folder that the Databricks CLI deploys, without a clone of this repository.
//!
//! - here: [`init`] writes the folder, or upgrades one
//! - [`template`]: the files as this version has them
//! - [`folder`]: which of them are written, and which were changed by people
//! - [`binaries`]: the binary for the processors of Databricks compute, in parts
//! - [`variables`]: what differs from workspace to workspace
//! - [`grants`]: whether an identity may do what the jobs do in Unity Catalog

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
use folder::{Folder, Planned};

/// Why a bundle folder cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    #[error("{path} cannot be read")]
    Read { path: String, source: io::Error },
    #[error("{path} cannot be written")]
    Write { path: String, source: io::Error },
    /// A file that this program or a person wrote has another shape than expected.
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

/// What is written, and where.
#[derive(Debug)]
pub struct BundleRequest<'a> {
    pub folder: &'a Path,
    /// The running binary, for its own processor. Parts for others may be beside it.
    pub program: &'a Path,
    pub target: variables::Target,
    /// Values for variables of the target, by name. Others that the file of variables has stay.
    pub variables: &'a Map<String, Value>,
    /// Whether files that people changed are replaced.
    pub is_forced: bool,
}

/// What was written.
#[derive(Debug, Serialize)]
pub struct BundleResult {
    pub version: &'static str,
    pub files: Vec<Planned>,
    pub binaries: Vec<Binary>,
    /// The file of variables of the target.
    pub variables_file: PathBuf,
}

/// Writes a bundle folder, or upgrades the files in it that are unchanged.
///
/// # Errors
/// [`BundleError`]. A second call completes what a failed one began.
pub fn init(request: &BundleRequest<'_>) -> Result<BundleResult, BundleError> {
    let folder = Folder::read(request.folder)?;
    let variables = variables::merged(request.folder, request.target, request.variables)?;
    let files = folder.plan(request.is_forced)?;
    let binaries = binaries::place(request.program, request.folder, folder.is_of(template::VERSION))?;
    folder.write(&files)?;
    let variables_file = variables::write(request.folder, request.target, &variables)?;
    Ok(BundleResult { version: template::VERSION, files, binaries, variables_file })
}

/// Writes a file and the folders above it.
fn write_file(path: &Path, content: &[u8]) -> Result<(), BundleError> {
    let parent = path.parent().map_or(Ok(()), std::fs::create_dir_all);
    parent.and_then(|()| std::fs::write(path, content)).map_err(|source| BundleError::write(path, source))
}

/// The content of a file, or `None` where there is none.
fn content_of(path: &Path) -> Result<Option<Vec<u8>>, BundleError> {
    match std::fs::read(path) {
        Ok(content) => Ok(Some(content)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(BundleError::read(path, source)),
    }
}
