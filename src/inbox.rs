//! An inbox: a folder or a prefix in an object store where users drop documents. This module handles files, not their content.
//!
//! - here: the operations of both kinds of inbox
//! - [`file_names`]: which files are documents, and their names after processing; pure
//! - [`folder`]: needs only list, read, rename, create and remove, so a volume mounted by FUSE is sufficient
//! - [`bucket`]: needs put-if-absent
//!
//! A file is moved only if it is the version that was read, and never overwrites another file. Concurrent ingest processes are safe:
//! each document is recorded once, and of two moves of a file one finds that it is gone.

mod bucket;
pub mod file_names;
mod folder;

use std::{io, path::PathBuf};

use bytes::Bytes;
use futures::stream::BoxStream;
use object_store::path::Path;

use crate::{
    domain::time::Timestamp,
    lake::{LakeError, StoreEnvironment, location::Location},
};
use file_names::ResultFolder;

/// Examples of inboxes, for hints.
const EXAMPLES: &str = "give a folder, such as /Volumes/main/ops/inbox/incoming, or s3://bucket/prefix, \
                        abfss://container@account.dfs.core.windows.net/prefix, az://container/prefix or gs://bucket/prefix";

/// An error of an inbox.
#[derive(Debug, thiserror::Error)]
pub enum InboxError {
    #[error("there is no inbox at {0}")]
    Missing(String),
    #[error("{0} cannot be an inbox")]
    NotSupported(String),
    /// A root, such as that of a volume or of a bucket.
    #[error(
        "{inbox} cannot be an inbox: processed files are moved to _done and _rejected beside the inbox, and a root has no siblings"
    )]
    Root { inbox: String, instead: String },
    /// An invalid location, or an invalid setting of the environment.
    #[error("the inbox cannot be used")]
    Place(#[source] LakeError),
    #[error("{path} cannot be read or moved")]
    File { path: String, source: io::Error },
    #[error("the storage of the inbox reports an error")]
    Store(#[from] object_store::Error),
    #[error("every name for {0} is taken in _done or _rejected")]
    NoName(String),
}

impl InboxError {
    /// Returns what the user can do about the error.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Missing(_) => "create the folder with `ops-runbook init --inbox`, or correct --inbox".into(),
            Self::NotSupported(_) => EXAMPLES.into(),
            Self::Root { instead, .. } => format!("use a folder in it, such as {instead}"),
            Self::Place(LakeError::BadLocation { .. }) => EXAMPLES.into(),
            Self::Place(error) => return error.hint(),
            Self::File { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                "ingest needs to list, read and rename files in the inbox, and to create folders beside it".into()
            }
            Self::File { source, .. } if source.kind() == io::ErrorKind::CrossesDevices => {
                "_done and _rejected beside the inbox are on another file system; set --inbox to a folder in the inbox"
                    .into()
            }
            Self::File { .. } => {
                "run it again: the remaining files are ingested, and no document is recorded twice".into()
            }
            Self::Store(error) => return crate::lake::cloud::hint(error),
            Self::NoName(_) => "move the files with this name in _done and _rejected away".into(),
        })
    }
}

pub type Result<T, E = InboxError> = std::result::Result<T, E>;

/// A file in the inbox whose name is that of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InboxFile {
    /// The path below the inbox.
    pub name: String,
    file: File,
}

/// The address of a file. Names in a file system need not be UTF-8.
#[derive(Debug, Clone, PartialEq, Eq)]
enum File {
    Path(PathBuf),
    Object(Path),
}

/// An item of a listing.
#[derive(Debug)]
pub enum ListedItem {
    File(InboxFile),
    /// A folder in the inbox that cannot be listed.
    Unreadable {
        name: String,
        reason: String,
    },
}

/// The version of a file that was read. Two versions differ if any field differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileVersion {
    pub size: u64,
    pub modified: Timestamp,
    /// An entity tag, or the inode and the time in nanoseconds, if available.
    version: Option<String>,
}

/// A file that is being read.
pub struct OpenedFile {
    pub seen: FileVersion,
    pub parts: BoxStream<'static, Result<Bytes>>,
}

impl std::fmt::Debug for OpenedFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Opened").field("seen", &self.seen).finish_non_exhaustive()
    }
}

/// The result of opening a file.
#[derive(Debug)]
pub enum ReadResult {
    Opened(OpenedFile),
    /// Another process moved it.
    Gone,
    Unreadable(String),
}

/// The result of moving a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MoveResult {
    Moved,
    /// Another process moved it.
    Gone,
    /// It is no longer the version that was read, and was not moved.
    Changed,
}

/// An inbox.
#[derive(Debug, Clone)]
pub enum Inbox {
    Folder(folder::FolderInbox),
    Bucket(bucket::BucketInbox),
}

impl Inbox {
    /// Opens an inbox. Makes no request, and reads and creates nothing.
    ///
    /// # Errors
    /// [`InboxError::NotSupported`], [`InboxError::Root`], [`InboxError::Place`].
    pub fn open(text: &str, store_environment: &StoreEnvironment) -> Result<Self> {
        let location: Location = text.parse().map_err(InboxError::Place)?;
        match location.in_account(store_environment.variables.azure_account()) {
            Location::Folder(root) => Ok(Self::Folder(folder::FolderInbox::new(root)?)),
            location @ Location::Catalog(_) => Err(InboxError::NotSupported(location.to_string())),
            location => Ok(Self::Bucket(bucket::BucketInbox::open(location, store_environment)?)),
        }
    }

    /// Creates its folder. Returns whether the folder was missing. An object store needs no folder.
    ///
    /// # Errors
    /// Errors of the file system.
    pub async fn make(&self) -> Result<bool> {
        match self {
            Self::Folder(inbox) => inbox.make().await,
            Self::Bucket(_) => Ok(false),
        }
    }

    /// Returns the location of the done or rejected files, without a slash at its end.
    pub fn display_of(&self, folder: ResultFolder) -> String {
        match self {
            Self::Folder(inbox) => inbox.results(folder).display().to_string(),
            Self::Bucket(inbox) => inbox.display_of(folder),
        }
    }

    /// Returns the location of the inbox, without a slash at its end.
    pub fn display(&self) -> String {
        match self {
            Self::Folder(inbox) => inbox.display(),
            Self::Bucket(inbox) => inbox.display(),
        }
    }

    /// Returns whether a file is visible before it is complete.
    pub fn shows_unfinished(&self) -> bool {
        matches!(self, Self::Folder(_))
    }

    /// Begins a listing.
    ///
    /// # Errors
    /// [`InboxError::Missing`] if there is no inbox; errors of the file system or store.
    pub async fn list(&self) -> Result<Listing> {
        Ok(match self {
            Self::Folder(inbox) => Listing::Folder(Some(inbox.list().await?)),
            Self::Bucket(inbox) => Listing::Bucket(Box::new(inbox.list())),
        })
    }

    /// Opens a file.
    ///
    /// # Errors
    /// Errors of the file system or store that affect more than this file.
    pub async fn read(&self, entry: &InboxFile) -> Result<ReadResult> {
        match (self, &entry.file) {
            (Self::Folder(inbox), File::Path(path)) => inbox.read(path.clone()).await,
            (Self::Bucket(inbox), File::Object(path)) => inbox.read(path).await,
            _ => Err(InboxError::NotSupported(entry.name.clone())),
        }
    }

    /// Moves a file that was read and whose content has the hash `hash`. A `reason` is written first, next to the target.
    ///
    /// # Errors
    /// Errors of the file system or store. The file is at its old or its new path.
    pub async fn move_file(
        &self,
        entry: &InboxFile,
        seen: &FileVersion,
        hash: &str,
        into: ResultFolder,
        reason: Option<String>,
    ) -> Result<MoveResult> {
        match (self, &entry.file) {
            (Self::Folder(inbox), File::Path(path)) => {
                let taking = folder::MoveRequest {
                    path: path.clone(),
                    name: entry.name.clone(),
                    seen: seen.clone(),
                    hash: hash.to_owned(),
                    into,
                    reason,
                };
                inbox.move_file(taking).await
            }
            (Self::Bucket(inbox), File::Object(path)) => {
                inbox.move_file(path, file_names::of_file(&entry.name, hash), seen, hash, into, reason).await
            }
            _ => Err(InboxError::NotSupported(entry.name.clone())),
        }
    }

    /// Writes a rejected line of a file to the rejected folder, with the reason next to it. Idempotent. Without `bytes`, writes only
    /// the reason.
    ///
    /// # Errors
    /// Errors of the file system or store.
    pub async fn reject_line(
        &self,
        entry: &InboxFile,
        line: u64,
        hash: &str,
        bytes: Option<Bytes>,
        reason: String,
    ) -> Result<()> {
        let names = file_names::of_line(&entry.name, line, hash);
        match self {
            Self::Folder(inbox) => inbox.reject_line(names, bytes, hash.to_owned(), reason).await,
            Self::Bucket(inbox) => inbox.reject_line(names, bytes, hash, reason).await,
        }
    }
}

/// A listing of an inbox, in pages. The order depends on the kind of inbox.
#[derive(Debug)]
pub enum Listing {
    Folder(Option<folder::FolderListing>),
    Bucket(Box<bucket::BucketListing>),
}

impl Listing {
    /// Returns up to `most` more items. Empty at the end.
    ///
    /// # Errors
    /// Errors of the file system or store.
    pub async fn next(&mut self, most: usize) -> Result<Vec<ListedItem>> {
        match self {
            Self::Folder(walk) => {
                let Some(mut own) = walk.take() else { return Ok(Vec::new()) };
                let (found, own) = folder::blocking(move || {
                    let found = own.next(most);
                    (found, own)
                })
                .await?;
                *walk = Some(own);
                found
            }
            Self::Bucket(walk) => walk.next(most).await,
        }
    }
}
