//! An inbox: a folder or a place in an object store into which anybody drops documents. Knows files, and nothing of what is
//! in them.
//!
//! - here: what both kinds of place can do
//! - [`names`] says which files are documents, and what they are called once they are taken; pure
//! - [`folder`] needs no more of a file system than list, read, rename, create and remove: a volume mounted by FUSE will do
//! - [`bucket`] needs puts that do not overwrite
//!
//! A file is moved only if it is what was read, and never onto something else. What two ingests do at once both may do: what was
//! read is recorded once, whoever sends it, and of two moves one finds that the file is gone.

mod bucket;
mod folder;
pub mod names;

use std::{io, path::PathBuf};

use bytes::Bytes;
use futures::stream::BoxStream;
use object_store::path::Path;

use crate::{
    domain::time::Timestamp,
    lake::{LakeError, Surroundings, location::Location},
};
use names::Folder;

/// What can be given as an inbox, as hints say it.
const EXAMPLES: &str = "give a folder, such as /Volumes/main/ops/inbox/incoming, or s3://bucket/prefix, \
                        abfss://container@account.dfs.core.windows.net/prefix, az://container/prefix or gs://bucket/prefix";

/// What can go wrong with an inbox.
#[derive(Debug, thiserror::Error)]
pub enum InboxError {
    #[error("there is no inbox at {0}")]
    Missing(String),
    #[error("{0} cannot be an inbox")]
    Unfit(String),
    /// A root, such as that of a volume or of a bucket.
    #[error(
        "{inbox} cannot be an inbox: what was taken goes into _done and _rejected beside it, and nothing can be beside it"
    )]
    Root { inbox: String, instead: String },
    /// The location, or what the environment says about it.
    #[error("the inbox cannot be used")]
    Place(#[source] LakeError),
    #[error("{path} cannot be read or moved")]
    File { path: String, source: io::Error },
    #[error("the storage of the inbox failed")]
    Store(#[from] object_store::Error),
    #[error("there is no name left for {0} among what was taken")]
    NoName(String),
}

impl InboxError {
    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Missing(_) => "make the folder with `ops-runbook init --inbox`, or correct --inbox".into(),
            Self::Unfit(_) => EXAMPLES.into(),
            Self::Root { instead, .. } => format!("give a folder in it, such as {instead}"),
            Self::Place(LakeError::BadLocation { .. }) => EXAMPLES.into(),
            Self::Place(error) => return error.hint(),
            Self::File { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                "ingest needs to list, read and rename files in the inbox, and to create folders beside it".into()
            }
            Self::File { source, .. } if source.kind() == io::ErrorKind::CrossesDevices => {
                "_done and _rejected beside the inbox are on another file system; give a folder in the inbox as --inbox"
                    .into()
            }
            Self::File { .. } => {
                "run it again: what was recorded is not recorded twice, and what is left is taken".into()
            }
            Self::Store(error) => return crate::lake::cloud::hint(error),
            Self::NoName(_) => "move away what has this name in _done and _rejected beside the inbox".into(),
        })
    }
}

pub type Result<T, E = InboxError> = std::result::Result<T, E>;

/// A file that looks like a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Below the inbox, for people and for the name it gets.
    pub name: String,
    file: File,
}

/// How a place calls a file. A file system has names that are no text.
#[derive(Debug, Clone, PartialEq, Eq)]
enum File {
    Path(PathBuf),
    Object(Path),
}

/// One thing that was found.
#[derive(Debug)]
pub enum Found {
    Entry(Entry),
    /// A folder in the inbox that cannot be listed.
    Unreadable {
        name: String,
        reason: String,
    },
}

/// A file as it was when it was read. What differs in any of these is another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    pub size: u64,
    pub modified: Timestamp,
    /// Where there is one, what tells versions apart: an entity tag, or the number of a file and its time to the nanosecond.
    version: Option<String>,
}

/// A file that is being read.
pub struct Opened {
    pub seen: Seen,
    pub parts: BoxStream<'static, Result<Bytes>>,
}

impl std::fmt::Debug for Opened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Opened").field("seen", &self.seen).finish_non_exhaustive()
    }
}

/// What became of reading a file.
#[derive(Debug)]
pub enum Read {
    Opened(Opened),
    /// Somebody else took it.
    Gone,
    Unreadable(String),
}

/// What became of moving a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moved {
    Moved,
    /// Somebody else took it.
    Gone,
    /// It is not what was read any more, and stays.
    Changed,
}

/// An inbox. Opening it makes, asks and reads nothing.
#[derive(Debug, Clone)]
pub enum Inbox {
    Folder(folder::Place),
    Bucket(bucket::Place),
}

impl Inbox {
    /// # Errors
    /// [`InboxError::Unfit`], [`InboxError::Root`], [`InboxError::Place`].
    pub fn open(text: &str, surroundings: &Surroundings) -> Result<Self> {
        let location: Location = text.parse().map_err(InboxError::Place)?;
        match location.in_account(surroundings.variables.azure_account()) {
            Location::Folder(root) => Ok(Self::Folder(folder::Place::new(root)?)),
            location @ Location::Catalog(_) => Err(InboxError::Unfit(location.to_string())),
            location => Ok(Self::Bucket(bucket::Place::open(location, surroundings)?)),
        }
    }

    /// Makes its folder. Returns whether that was missing; an object store needs none.
    ///
    /// # Errors
    /// The place's.
    pub async fn make(&self) -> Result<bool> {
        match self {
            Self::Folder(place) => place.make().await,
            Self::Bucket(_) => Ok(false),
        }
    }

    /// Where what was taken goes. Ends without a slash.
    pub fn display_of(&self, folder: Folder) -> String {
        match self {
            Self::Folder(place) => place.results(folder).display().to_string(),
            Self::Bucket(place) => place.display_of(folder),
        }
    }

    /// Where it is. Ends without a slash.
    pub fn display(&self) -> String {
        match self {
            Self::Folder(place) => place.display(),
            Self::Bucket(place) => place.display(),
        }
    }

    /// Whether a file can be seen before all of it is there.
    pub fn shows_unfinished(&self) -> bool {
        matches!(self, Self::Folder(_))
    }

    /// Begins to list it.
    ///
    /// # Errors
    /// [`InboxError::Missing`] where there is none, or the place's.
    pub async fn list(&self) -> Result<Listing> {
        Ok(match self {
            Self::Folder(place) => Listing::Folder(Some(place.list().await?)),
            Self::Bucket(place) => Listing::Bucket(Box::new(place.list())),
        })
    }

    /// Begins to read a file.
    ///
    /// # Errors
    /// The place's, where it concerns more than this file.
    pub async fn read(&self, entry: &Entry) -> Result<Read> {
        match (self, &entry.file) {
            (Self::Folder(place), File::Path(path)) => place.read(path.clone()).await,
            (Self::Bucket(place), File::Object(path)) => place.read(path).await,
            _ => Err(InboxError::Unfit(entry.name.clone())),
        }
    }

    /// Moves a file that has been read, and whose content has that hash; with a reason, that goes first and next to it.
    ///
    /// # Errors
    /// The place's: the file is where it was, or where it should go.
    pub async fn take(
        &self,
        entry: &Entry,
        seen: &Seen,
        hash: &str,
        into: Folder,
        reason: Option<String>,
    ) -> Result<Moved> {
        match (self, &entry.file) {
            (Self::Folder(place), File::Path(path)) => {
                let taking = folder::Taking {
                    path: path.clone(),
                    name: entry.name.clone(),
                    seen: seen.clone(),
                    hash: hash.to_owned(),
                    into,
                    reason,
                };
                place.take(taking).await
            }
            (Self::Bucket(place), File::Object(path)) => {
                place.take(path, names::of_file(&entry.name, hash), seen, hash, into, reason).await
            }
            _ => Err(InboxError::Unfit(entry.name.clone())),
        }
    }

    /// Puts a line of a file aside, with the reason next to it. Done again, it changes nothing. Without `bytes` only the reason
    /// is put there.
    ///
    /// # Errors
    /// The place's.
    pub async fn put_aside(
        &self,
        entry: &Entry,
        line: u64,
        hash: &str,
        bytes: Option<Bytes>,
        reason: String,
    ) -> Result<()> {
        let names = names::of_line(&entry.name, line, hash);
        match self {
            Self::Folder(place) => place.put_aside(names, bytes, hash.to_owned(), reason).await,
            Self::Bucket(place) => place.put_aside(names, bytes, hash, reason).await,
        }
    }
}

/// What is in an inbox, a few at a time. In what order is for the place to say.
#[derive(Debug)]
pub enum Listing {
    Folder(Option<folder::Walk>),
    Bucket(Box<bucket::Walk>),
}

impl Listing {
    /// So many more at most; none at the end.
    ///
    /// # Errors
    /// The place's.
    pub async fn next(&mut self, most: usize) -> Result<Vec<Found>> {
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
