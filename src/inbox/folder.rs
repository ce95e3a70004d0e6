//! An inbox in a folder, on a disk or mounted.
//!
//! Between the check for a free name and the rename, another process could take that name. This can only happen if a file of the
//! same name is dropped again at that time. Both files are recorded nevertheless.

use std::{
    ffi::OsString,
    fs::{self, ReadDir},
    io::{self, ErrorKind, Read as _},
    path::{Path, PathBuf},
    time::SystemTime,
};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures::{StreamExt, stream};
use sha2::{Digest, Sha256};

use super::{
    File, FileVersion, InboxError, InboxFile, ListedItem, MoveResult, OpenedFile, ReadResult, Result,
    file_names::{self, ResultFolder, is_document, is_reserved, of_file},
};
use crate::domain::{ids::hex, time::Timestamp};

/// Bytes read at a time.
const PART: usize = 1 << 20;

/// Runs blocking work, on a disk or a mounted volume.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    let stopped = |error: tokio::task::JoinError| InboxError::File { path: "a file".into(), source: error.into() };
    tokio::task::spawn_blocking(work).await.map_err(stopped)
}

fn failed(path: &Path) -> impl Fn(io::Error) -> InboxError + '_ {
    move |source| InboxError::File { path: path.display().to_string(), source }
}

#[derive(Debug, Clone)]
pub struct FolderInbox {
    /// Absolute.
    root: PathBuf,
    parent: PathBuf,
    /// The name of the inbox in its parent.
    name: OsString,
}

/// A request to move a processed file.
#[derive(Debug)]
pub struct MoveRequest {
    pub path: PathBuf,
    pub name: String,
    pub seen: FileVersion,
    pub hash: String,
    pub into: ResultFolder,
    pub reason: Option<String>,
}

impl FolderInbox {
    /// # Errors
    /// [`InboxError::Root`].
    pub fn new(root: PathBuf) -> Result<Self> {
        match (root.parent(), root.file_name()) {
            (Some(parent), Some(name)) if !is_volume(&root) => {
                Ok(Self { parent: parent.to_owned(), name: name.to_owned(), root })
            }
            _ => {
                let instead = root.join("incoming").display().to_string();
                Err(InboxError::Root { inbox: root.display().to_string(), instead })
            }
        }
    }

    /// Returns the folder of the done or rejected files.
    pub fn results(&self, folder: ResultFolder) -> PathBuf {
        self.parent.join(folder.name()).join(&self.name)
    }

    pub async fn make(&self) -> Result<bool> {
        let root = self.root.clone();
        blocking(move || {
            let is_missing = !root.exists();
            fs::create_dir_all(&root).map_err(failed(&root))?;
            Ok(is_missing)
        })
        .await?
    }

    pub fn display(&self) -> String {
        self.root.display().to_string()
    }

    pub async fn list(&self) -> Result<FolderListing> {
        let root = self.root.clone();
        blocking(move || match fs::read_dir(&root) {
            Ok(open) => Ok(FolderListing { open: vec![(open, String::new())] }),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                Err(InboxError::Missing(root.display().to_string()))
            }
            Err(error) => Err(failed(&root)(error)),
        })
        .await?
    }

    pub async fn read(&self, path: PathBuf) -> Result<ReadResult> {
        blocking(move || match open(&path) {
            Ok((file, seen)) => Ok(ReadResult::Opened(OpenedFile { seen, parts: parts(file, path).boxed() })),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(ReadResult::Gone),
            Err(error) => Ok(ReadResult::Unreadable(error.to_string())),
        })
        .await?
    }

    pub async fn move_file(&self, request: MoveRequest) -> Result<MoveResult> {
        let inbox = self.clone();
        blocking(move || move_file(&inbox, &request)).await?
    }

    pub async fn reject_line(
        &self,
        names: Vec<String>,
        bytes: Option<Bytes>,
        hash: String,
        reason: String,
    ) -> Result<()> {
        let folder = self.results(ResultFolder::Rejected);
        blocking(move || {
            let (_, target) = free(&folder, &names, &hash, Some(&reason))?;
            if let Some(bytes) = bytes.filter(|_| !target.exists()) {
                let partial = with_suffix(&target, ".partial");
                fs::write(&partial, &bytes).map_err(failed(&partial))?;
                match fs::rename(&partial, &target) {
                    // Another process wrote the same line.
                    Err(error) if error.kind() == ErrorKind::NotFound && target.exists() => {}
                    renamed => renamed.map_err(failed(&target))?,
                }
            }
            write_reason(&target, &reason)
        })
        .await?
    }
}

/// Returns whether `root` is a volume, `/Volumes/CATALOG/SCHEMA/VOLUME`, or above one. A schema holds no files.
fn is_volume(root: &Path) -> bool {
    root.strip_prefix("/Volumes").is_ok_and(|below| below.components().count() <= 3)
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

/// A listing of the inbox and its subfolders. Links are not followed, and only regular files are listed.
#[derive(Debug)]
pub struct FolderListing {
    open: Vec<(ReadDir, String)>,
}

impl FolderListing {
    pub fn next(&mut self, most: usize) -> Result<Vec<ListedItem>> {
        let mut found = Vec::new();
        while found.len() < most {
            let Some((reading, prefix)) = self.open.last_mut() else { break };
            let Some(entry) = reading.next() else {
                self.open.pop();
                continue;
            };
            let (entry, prefix) = match entry {
                Ok(entry) => (entry, prefix.clone()),
                Err(error) => {
                    found.push(ListedItem::Unreadable { name: prefix.clone(), reason: error.to_string() });
                    self.open.pop();
                    continue;
                }
            };
            let file_name = entry.file_name();
            let segment = file_name.to_string_lossy();
            let Ok(kind) = entry.file_type() else { continue };
            let name = format!("{prefix}{segment}");
            if kind.is_file() && is_document(&segment) {
                found.push(ListedItem::File(InboxFile { name, file: File::Path(entry.path()) }));
            } else if kind.is_dir() && !is_reserved(&segment) {
                match fs::read_dir(entry.path()) {
                    Ok(inner) => self.open.push((inner, format!("{name}/"))),
                    Err(error) if error.kind() == ErrorKind::NotFound => {}
                    Err(error) => found.push(ListedItem::Unreadable { name, reason: error.to_string() }),
                }
            }
        }
        Ok(found)
    }
}

fn open(path: &Path) -> io::Result<(fs::File, FileVersion)> {
    let file = fs::File::open(path)?;
    let seen = seen(&file.metadata()?);
    Ok((file, seen))
}

fn seen(metadata: &fs::Metadata) -> FileVersion {
    let modified = DateTime::<Utc>::from(metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH));
    FileVersion {
        size: metadata.len(),
        modified: Timestamp::new(modified),
        version: Some(format!("{}@{}", number(metadata), modified.timestamp_subsec_nanos())),
    }
}

#[cfg(unix)]
fn number(metadata: &fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(metadata)
}

#[cfg(not(unix))]
fn number(_: &fs::Metadata) -> u64 {
    0
}

fn parts(file: fs::File, path: PathBuf) -> impl futures::Stream<Item = Result<Bytes>> {
    stream::try_unfold(Some(file), move |file| {
        let path = path.clone();
        async move {
            let Some(mut file) = file else { return Ok(None) };
            blocking(move || {
                let mut part = Vec::new();
                let count = (&mut file).take(PART as u64).read_to_end(&mut part).map_err(failed(&path))?;
                // A short part is the last one.
                let rest = (count == PART).then_some(file);
                Ok((count > 0).then(|| (Bytes::from(part), rest)))
            })
            .await?
        }
    })
}

fn move_file(inbox: &FolderInbox, request: &MoveRequest) -> Result<MoveResult> {
    let MoveRequest { path, name, seen: expected, hash, into, reason } = request;
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_file() && seen(&found) == *expected => {}
        Ok(_) => return Ok(MoveResult::Changed),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(MoveResult::Gone),
        Err(error) => return Err(failed(path)(error)),
    }
    let (made_reason, target) = free(&inbox.results(*into), &of_file(name, hash), hash, reason.as_deref())?;
    if let Some(reason) = reason {
        write_reason(&target, reason)?;
    }
    match fs::rename(path, &target) {
        Err(error) if error.kind() == ErrorKind::NotFound && !path.exists() => return Ok(MoveResult::Gone),
        renamed => renamed.map_err(failed(path))?,
    }
    // The content at the time of the rename decides, not the content before.
    if hash_of(&target).map_err(failed(&target))? == *hash {
        return Ok(MoveResult::Moved);
    }
    put_back(&inbox.root, path, name, &target)?;
    if reason.is_some() && made_reason {
        let _ = fs::remove_file(with_reason(&target));
    }
    Ok(MoveResult::Changed)
}

/// Moves a file that was not read yet back to the inbox, under its own name if that is free.
fn put_back(root: &Path, path: &Path, name: &str, target: &Path) -> Result<()> {
    let hash = hash_of(target).map_err(failed(target))?;
    let back = match path.exists() {
        false => path.to_owned(),
        true => of_file(name, &hash)
            .into_iter()
            .skip(1)
            .map(|name| root.join(name))
            .find(|path| !path.exists())
            .ok_or_else(|| InboxError::NoName(name.to_owned()))?,
    };
    fs::rename(target, &back).map_err(failed(&back))
}

/// Returns the first free name, and whether there is no reason file next to it yet.
fn free(folder: &Path, names: &[String], hash: &str, reason: Option<&str>) -> Result<(bool, PathBuf)> {
    for name in names {
        let target = folder.join(name);
        let taken = match hash_of(&target) {
            Ok(there) => there != hash,
            Err(error) if error.kind() == ErrorKind::NotFound => false,
            Err(_) => true,
        };
        let reason_path = with_reason(&target);
        let made_reason = !reason_path.exists();
        let other_reason = reason.is_some() && fs::read(&reason_path).is_ok_and(|there| is_about_another(&there, hash));
        if !taken && !other_reason {
            if let Some(folder) = target.parent() {
                fs::create_dir_all(folder).map_err(failed(folder))?;
            }
            return Ok((made_reason, target));
        }
    }
    Err(InboxError::NoName(names.first().cloned().unwrap_or_default()))
}

/// Returns whether a reason file is about another document. An incomplete reason file of a killed process may be overwritten.
fn is_about_another(reason: &[u8], hash: &str) -> bool {
    serde_json::from_slice::<serde_json::Value>(reason).is_ok_and(|reason| reason["input_hash"] != hash)
}

fn with_reason(target: &Path) -> PathBuf {
    with_suffix(target, &file_names::reason(""))
}

fn write_reason(target: &Path, reason: &str) -> Result<()> {
    let path = with_reason(target);
    fs::write(&path, reason).map_err(failed(&path))
}

fn hash_of(path: &Path) -> io::Result<String> {
    let mut file = fs::File::open(path)?;
    let mut hasher = Sha256::new();
    let mut part = vec![0; PART.min(64 << 10)];
    loop {
        match file.read(&mut part)? {
            0 => return Ok(hex(&hasher.finalize())),
            count => hasher.update(&part[..count]),
        }
    }
}

#[cfg(test)]
mod tests;
