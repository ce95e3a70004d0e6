//! Decides which files of a bundle folder are written.
//!
//! A manifest in the folder holds the hash of each file as it was written. A file that still has that hash is unchanged,
//! so a newer version may replace it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{
    BundleError, content_of,
    template::{TemplateFile, VERSION, files},
    write_file,
};
use crate::domain::ids::sha256_hex;

/// The name of the manifest. It belongs into version control with the other files.
pub const MANIFEST: &str = ".ops-runbook.json";

/// The files of the last run and the version that wrote them.
#[derive(Debug, Default, Serialize, Deserialize)]
struct BundleManifest {
    version: String,
    /// SHA-256 in hex by path.
    files: BTreeMap<String, String>,
}

/// What [`BundleFolder::write`] does with a file, or why it leaves it as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FileState {
    /// It was missing.
    Written,
    /// It was unchanged since an earlier version wrote it, and is replaced.
    Upgraded,
    /// It already has the content of this version.
    Unchanged,
    /// People changed or removed it. It is the same in this version and in the version that wrote it.
    Kept,
    /// People changed or removed it, and this version has a newer content.
    KeptOutdated,
    /// People changed it, and it is replaced because of `--force`.
    Replaced,
    /// This version has no such file, and people did not change it.
    Removed,
}

/// A file and its planned state.
#[derive(Debug, Serialize)]
pub struct PlannedFile {
    pub path: String,
    pub state: FileState,
}

/// A bundle folder and its manifest.
#[derive(Debug)]
pub struct BundleFolder {
    path: PathBuf,
    manifest: BundleManifest,
}

impl BundleFolder {
    /// Reads the manifest. A missing folder or manifest counts as empty.
    ///
    /// # Errors
    /// [`BundleError::Read`]; [`BundleError::Shape`] for an invalid manifest.
    pub fn read(path: &Path) -> Result<Self, BundleError> {
        let file = path.join(MANIFEST);
        let manifest = match content_of(&file)? {
            Some(content) => {
                serde_json::from_slice(&content).map_err(|error| BundleError::shape(&file, error.to_string()))?
            }
            None => BundleManifest::default(),
        };
        Ok(Self { path: path.to_owned(), manifest })
    }

    /// Returns whether `version` wrote this folder last.
    pub fn is_of(&self, version: &str) -> bool {
        self.manifest.version == version
    }

    /// Plans the state of each file. Changes nothing.
    ///
    /// # Errors
    /// [`BundleError::Read`].
    pub fn plan(&self, is_forced: bool) -> Result<Vec<PlannedFile>, BundleError> {
        let mut planned = Vec::new();
        for file in files() {
            let here = content_of(&self.path.join(file.path))?;
            let written = self.manifest.files.get(file.path).map(String::as_str);
            let state = state_of(&file, here.as_deref(), written, is_forced);
            planned.push(PlannedFile { path: file.path.to_owned(), state });
        }
        let known: BTreeSet<&str> = files().map(|file| file.path).collect();
        for (path, written) in self.manifest.files.iter().filter(|(path, _)| !known.contains(path.as_str())) {
            // A manifest that people edited must not point outside of the folder.
            let is_inside = Path::new(path).components().all(|part| matches!(part, std::path::Component::Normal(_)));
            let here = if is_inside { content_of(&self.path.join(path))? } else { None };
            if let Some(here) = here {
                let state = if sha256_hex(here) == *written { FileState::Removed } else { FileState::KeptOutdated };
                planned.push(PlannedFile { path: path.clone(), state });
            }
        }
        Ok(planned)
    }

    /// Writes the planned files, and the manifest last.
    ///
    /// # Errors
    /// [`BundleError::Write`].
    pub fn write(&self, planned: &[PlannedFile]) -> Result<(), BundleError> {
        let state: BTreeMap<&str, FileState> = planned.iter().map(|it| (it.path.as_str(), it.state)).collect();
        let mut manifest = BundleManifest { version: VERSION.into(), files: BTreeMap::new() };
        for file in files() {
            let hash = match state.get(file.path) {
                Some(FileState::Written | FileState::Upgraded | FileState::Replaced) => {
                    write_file(&self.path.join(file.path), file.content.as_bytes())?;
                    Some(sha256_hex(file.content))
                }
                Some(FileState::Unchanged) => Some(sha256_hex(file.content)),
                // The file stays changed for the next version.
                _ => self.manifest.files.get(file.path).cloned(),
            };
            manifest.files.extend(hash.map(|hash| (file.path.to_owned(), hash)));
        }
        for removed in planned.iter().filter(|it| it.state == FileState::Removed) {
            let path = self.path.join(&removed.path);
            fs::remove_file(&path).map_err(|source| BundleError::write(&path, source))?;
        }
        let path = self.path.join(MANIFEST);
        let text = serde_json::to_string_pretty(&manifest).map_err(|error| BundleError::shape(&path, error))?;
        write_file(&path, format!("{text}\n").as_bytes())
    }
}

/// Returns the state of a file. `here`: its content in the folder. `written`: its hash when it was written.
fn state_of(file: &TemplateFile, here: Option<&[u8]>, written: Option<&str>, is_forced: bool) -> FileState {
    let is_as_written = here.map(sha256_hex).as_deref() == written;
    match here {
        Some(here) if here == file.content.as_bytes() => FileState::Unchanged,
        Some(_) if is_as_written => FileState::Upgraded,
        None if written.is_none() => FileState::Written,
        Some(_) if is_forced => FileState::Replaced,
        None if is_forced => FileState::Written,
        _ if written == Some(sha256_hex(file.content).as_str()) => FileState::Kept,
        _ => FileState::KeptOutdated,
    }
}
