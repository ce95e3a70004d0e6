//! Which files of a bundle folder are written.
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

/// What was written last, and by which version.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Manifest {
    version: String,
    /// SHA-256 in hex by path.
    files: BTreeMap<String, String>,
}

/// What becomes of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FileState {
    /// It was missing.
    Written,
    /// It was as an earlier version wrote it.
    Upgraded,
    /// It is as this version has it.
    Unchanged,
    /// People changed or removed it. This version has it as the version that wrote it.
    Kept,
    /// People changed or removed it, and this version has it otherwise than the version that wrote it.
    KeptOutdated,
    /// People changed it, and it was replaced because that was asked for.
    Replaced,
    /// This version has no such file, and it was unchanged.
    Removed,
}

/// A file and what becomes of it.
#[derive(Debug, Serialize)]
pub struct Planned {
    pub path: String,
    pub state: FileState,
}

/// A folder, and what was written there before.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    manifest: Manifest,
}

impl Folder {
    /// Reads the manifest. A folder without one, or none at all, is a folder where nothing was written.
    ///
    /// # Errors
    /// [`BundleError::Read`]; [`BundleError::Shape`] for a manifest that is no manifest.
    pub fn read(path: &Path) -> Result<Self, BundleError> {
        let file = path.join(MANIFEST);
        let manifest = match content_of(&file)? {
            Some(content) => {
                serde_json::from_slice(&content).map_err(|error| BundleError::shape(&file, error.to_string()))?
            }
            None => Manifest::default(),
        };
        Ok(Self { path: path.to_owned(), manifest })
    }

    /// Whether a version wrote this folder last.
    pub fn is_of(&self, version: &str) -> bool {
        self.manifest.version == version
    }

    /// What would become of each file. Changes nothing.
    ///
    /// # Errors
    /// [`BundleError::Read`].
    pub fn plan(&self, is_forced: bool) -> Result<Vec<Planned>, BundleError> {
        let mut planned = Vec::new();
        for file in files() {
            let here = content_of(&self.path.join(file.path))?;
            let written = self.manifest.files.get(file.path).map(String::as_str);
            let state = state_of(&file, here.as_deref(), written, is_forced);
            planned.push(Planned { path: file.path.to_owned(), state });
        }
        let known: BTreeSet<&str> = files().map(|file| file.path).collect();
        for (path, written) in self.manifest.files.iter().filter(|(path, _)| !known.contains(path.as_str())) {
            // A manifest that people edited must not lead out of the folder.
            let is_inside = Path::new(path).components().all(|part| matches!(part, std::path::Component::Normal(_)));
            let here = if is_inside { content_of(&self.path.join(path))? } else { None };
            if let Some(here) = here {
                let state = if sha256_hex(here) == *written { FileState::Removed } else { FileState::KeptOutdated };
                planned.push(Planned { path: path.clone(), state });
            }
        }
        Ok(planned)
    }

    /// Writes what was planned, and the manifest last.
    ///
    /// # Errors
    /// [`BundleError::Write`].
    pub fn write(&self, planned: &[Planned]) -> Result<(), BundleError> {
        let state: BTreeMap<&str, FileState> = planned.iter().map(|it| (it.path.as_str(), it.state)).collect();
        let mut manifest = Manifest { version: VERSION.into(), files: BTreeMap::new() };
        for file in files() {
            let hash = match state.get(file.path) {
                Some(FileState::Written | FileState::Upgraded | FileState::Replaced) => {
                    write_file(&self.path.join(file.path), file.content.as_bytes())?;
                    Some(sha256_hex(file.content))
                }
                Some(FileState::Unchanged) => Some(sha256_hex(file.content)),
                // Still changed when the next version comes.
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

/// `here`: the content of the file in the folder. `written`: the hash that it was written with.
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
