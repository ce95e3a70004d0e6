//! A folder, on a disk or mounted.
//!
//! Between the look at a free name and the rename onto it somebody else could take that name. Two ingests can only meet there
//! when a file of the same name is dropped anew in that very moment; both are recorded all the same.

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
    Entry, File, Found, InboxError, Moved, Opened, Read, Result, Seen,
    names::{self, Folder, is_document, is_reserved, of_file},
};
use crate::domain::{ids::hex, time::Timestamp};

/// Bytes read at a time.
const PART: usize = 1 << 20;

/// Work that waits for a disk, or for a mounted volume's server.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    let stopped = |error: tokio::task::JoinError| InboxError::File { path: "a file".into(), source: error.into() };
    tokio::task::spawn_blocking(work).await.map_err(stopped)
}

fn failed(path: &Path) -> impl Fn(io::Error) -> InboxError + '_ {
    move |source| InboxError::File { path: path.display().to_string(), source }
}

#[derive(Debug, Clone)]
pub struct Place {
    /// Absolute.
    root: PathBuf,
    parent: PathBuf,
    /// In its parent.
    name: OsString,
}

/// A file on its way.
#[derive(Debug)]
pub struct Taking {
    pub path: PathBuf,
    pub name: String,
    pub seen: Seen,
    pub hash: String,
    pub into: Folder,
    pub reason: Option<String>,
}

impl Place {
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

    /// Where what was taken goes.
    pub fn results(&self, folder: Folder) -> PathBuf {
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

    pub async fn list(&self) -> Result<Walk> {
        let root = self.root.clone();
        blocking(move || match fs::read_dir(&root) {
            Ok(open) => Ok(Walk { open: vec![(open, String::new())] }),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                Err(InboxError::Missing(root.display().to_string()))
            }
            Err(error) => Err(failed(&root)(error)),
        })
        .await?
    }

    pub async fn read(&self, path: PathBuf) -> Result<Read> {
        blocking(move || match open(&path) {
            Ok((file, seen)) => Ok(Read::Opened(Opened { seen, parts: parts(file, path).boxed() })),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Read::Gone),
            Err(error) => Ok(Read::Unreadable(error.to_string())),
        })
        .await?
    }

    pub async fn take(&self, taking: Taking) -> Result<Moved> {
        let place = self.clone();
        blocking(move || take(&place, &taking)).await?
    }

    pub async fn put_aside(
        &self,
        names: Vec<String>,
        bytes: Option<Bytes>,
        hash: String,
        reason: String,
    ) -> Result<()> {
        let folder = self.results(Folder::Rejected);
        blocking(move || {
            let (_, target) = free(&folder, &names, &hash, Some(&reason))?;
            if let Some(bytes) = bytes.filter(|_| !target.exists()) {
                let partial = with_suffix(&target, ".partial");
                fs::write(&partial, &bytes).map_err(failed(&partial))?;
                match fs::rename(&partial, &target) {
                    // Somebody else is at the same line.
                    Err(error) if error.kind() == ErrorKind::NotFound && target.exists() => {}
                    renamed => renamed.map_err(failed(&target))?,
                }
            }
            write_reason(&target, &reason)
        })
        .await?
    }
}

/// `/Volumes/CATALOG/SCHEMA/VOLUME`: a schema holds no files.
fn is_volume(root: &Path) -> bool {
    root.strip_prefix("/Volumes").is_ok_and(|below| below.components().count() <= 3)
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

/// A walk through the inbox and the folders in it. Links are not followed, and nothing but files is read.
#[derive(Debug)]
pub struct Walk {
    open: Vec<(ReadDir, String)>,
}

impl Walk {
    pub fn next(&mut self, most: usize) -> Result<Vec<Found>> {
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
                    found.push(Found::Unreadable { name: prefix.clone(), reason: error.to_string() });
                    self.open.pop();
                    continue;
                }
            };
            let file_name = entry.file_name();
            let segment = file_name.to_string_lossy();
            let Ok(kind) = entry.file_type() else { continue };
            let name = format!("{prefix}{segment}");
            if kind.is_file() && is_document(&segment) {
                found.push(Found::Entry(Entry { name, file: File::Path(entry.path()) }));
            } else if kind.is_dir() && !is_reserved(&segment) {
                match fs::read_dir(entry.path()) {
                    Ok(inner) => self.open.push((inner, format!("{name}/"))),
                    Err(error) if error.kind() == ErrorKind::NotFound => {}
                    Err(error) => found.push(Found::Unreadable { name, reason: error.to_string() }),
                }
            }
        }
        Ok(found)
    }
}

fn open(path: &Path) -> io::Result<(fs::File, Seen)> {
    let file = fs::File::open(path)?;
    let seen = seen(&file.metadata()?);
    Ok((file, seen))
}

fn seen(metadata: &fs::Metadata) -> Seen {
    let modified = DateTime::<Utc>::from(metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH));
    Seen {
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
                // A part that is not full is the last one.
                let rest = (count == PART).then_some(file);
                Ok((count > 0).then(|| (Bytes::from(part), rest)))
            })
            .await?
        }
    })
}

fn take(place: &Place, taking: &Taking) -> Result<Moved> {
    let Taking { path, name, seen: expected, hash, into, reason } = taking;
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_file() && seen(&found) == *expected => {}
        Ok(_) => return Ok(Moved::Changed),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Moved::Gone),
        Err(error) => return Err(failed(path)(error)),
    }
    let (made_reason, target) = free(&place.results(*into), &of_file(name, hash), hash, reason.as_deref())?;
    if let Some(reason) = reason {
        write_reason(&target, reason)?;
    }
    match fs::rename(path, &target) {
        Err(error) if error.kind() == ErrorKind::NotFound && !path.exists() => return Ok(Moved::Gone),
        renamed => renamed.map_err(failed(path))?,
    }
    // What was there in the moment of the rename counts, not what was there before.
    if hash_of(&target).map_err(failed(&target))? == *hash {
        return Ok(Moved::Moved);
    }
    put_back(&place.root, path, name, &target)?;
    if reason.is_some() && made_reason {
        let _ = fs::remove_file(with_reason(&target));
    }
    Ok(Moved::Changed)
}

/// Under its name where that is free, for it was not read yet.
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

/// The first name that nothing else has. Tells also whether there is no reason next to it yet.
fn free(folder: &Path, names: &[String], hash: &str, reason: Option<&str>) -> Result<(bool, PathBuf)> {
    for name in names {
        let target = folder.join(name);
        let taken = match hash_of(&target) {
            Ok(there) => there != hash,
            Err(error) if error.kind() == ErrorKind::NotFound => false,
            Err(_) => true,
        };
        let told = with_reason(&target);
        let made_reason = !told.exists();
        let other_reason = reason.is_some() && fs::read(&told).is_ok_and(|there| is_about_another(&there, hash));
        if !taken && !other_reason {
            if let Some(folder) = target.parent() {
                fs::create_dir_all(folder).map_err(failed(folder))?;
            }
            return Ok((made_reason, target));
        }
    }
    Err(InboxError::NoName(names.first().cloned().unwrap_or_default()))
}

/// A reason that somebody began to write, and was killed, is nobody's.
fn is_about_another(reason: &[u8], hash: &str) -> bool {
    serde_json::from_slice::<serde_json::Value>(reason).is_ok_and(|reason| reason["input_hash"] != hash)
}

fn with_reason(target: &Path) -> PathBuf {
    with_suffix(target, &names::reason(""))
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
