//! A place in an object store. An object is there whole or not at all.
//!
//! Moving is: a copy of exactly the version that was read, put where nothing is, then the source removed if it still is that
//! version. No store removes on a condition; who puts another object under the same name in just that moment loses it. Names
//! that are used once have no such moment.

use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream::BoxStream};
use object_store::{
    Error, GetOptions, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload, WriteMultipart,
    path::Path,
};
use sha2::{Digest, Sha256};

use super::{
    Entry, File, Found, InboxError, Moved, Opened, Read, Result, Seen,
    names::{self, Folder, is_document, is_reserved},
};
use crate::{
    domain::{ids::hex, report::MAX_REPORT_BYTES, time::Timestamp},
    lake::{Backoff, Surroundings, cloud, location::Location},
};

/// Parts of an upload under way at once.
const UPLOADS: usize = 4;

#[derive(Debug, Clone)]
pub struct Place {
    store: Arc<dyn ObjectStore>,
    location: Location,
    /// Where what was taken goes.
    done: Path,
    rejected: Path,
}

impl Place {
    /// # Errors
    /// [`InboxError::Root`], [`InboxError::Place`].
    pub fn open(location: Location, surroundings: &Surroundings) -> Result<Self> {
        let prefix = location.prefix();
        let mut parts: Vec<_> = prefix.parts().collect();
        let Some(name) = parts.pop() else {
            return Err(InboxError::Root { inbox: location.to_string(), instead: format!("{location}/incoming") });
        };
        let parent = Path::from_iter(parts);
        let [done, rejected] =
            [Folder::Done, Folder::Rejected].map(|folder| parent.clone().join(folder.name()).join(name.clone()));
        let store = cloud::open(&location, &surroundings.variables, None, surroundings.request_timeout);
        Ok(Self { store: store.map_err(InboxError::Place)?, location, done, rejected })
    }

    /// Where what was taken goes.
    fn results(&self, folder: Folder) -> &Path {
        match folder {
            Folder::Done => &self.done,
            Folder::Rejected => &self.rejected,
        }
    }

    pub fn display_of(&self, folder: Folder) -> String {
        self.location.clone().with_prefix(self.results(folder).clone()).to_string()
    }

    pub fn display(&self) -> String {
        self.location.to_string()
    }

    pub fn list(&self) -> Walk {
        let prefix = self.location.prefix();
        let listed = self.store.list(Some(&prefix)).fuse().boxed();
        // Of Azure it is not said in which order it lists folders.
        let ordered = !matches!(self.location, Location::Azure { .. });
        Walk { store: Arc::clone(&self.store), prefix, listed, ordered }
    }

    pub async fn read(&self, path: &Path) -> Result<Read> {
        match self.store.get(path).await {
            Ok(got) => {
                let seen = seen(&got.meta);
                Ok(Read::Opened(Opened { seen, parts: got.into_stream().map_err(InboxError::Store).boxed() }))
            }
            Err(Error::NotFound { .. }) => Ok(Read::Gone),
            Err(error @ Error::PermissionDenied { .. }) => Ok(Read::Unreadable(error.to_string())),
            Err(error) => Err(error.into()),
        }
    }

    pub async fn take(
        &self,
        path: &Path,
        names: Vec<String>,
        expected: &Seen,
        hash: &str,
        into: Folder,
        reason: Option<String>,
    ) -> Result<Moved> {
        let target = self.free(into, &names, hash, reason.as_deref()).await?;
        if let Some(reason) = reason {
            self.write_reason(&target, reason).await?;
        }
        match self.copy(path, &target, expected).await {
            Err(InboxError::Store(Error::NotFound { .. })) => return Ok(Moved::Gone),
            Err(InboxError::Store(Error::Precondition { .. } | Error::NotModified { .. })) => {
                return Ok(Moved::Changed);
            }
            copied => copied?,
        }
        match self.store.head(path).await {
            Ok(now) if seen(&now) == *expected => {}
            Ok(_) => return Ok(Moved::Changed),
            Err(Error::NotFound { .. }) => return Ok(Moved::Gone),
            Err(error) => return Err(error.into()),
        }
        match self.store.delete(path).await {
            Ok(()) => Ok(Moved::Moved),
            Err(Error::NotFound { .. }) => Ok(Moved::Gone),
            Err(error) => Err(error.into()),
        }
    }

    pub async fn put_aside(&self, names: Vec<String>, bytes: Option<Bytes>, hash: &str, reason: String) -> Result<()> {
        let target = self.free(Folder::Rejected, &names, hash, Some(&reason)).await?;
        if let Some(bytes) = bytes {
            self.put_new(&target, bytes).await?;
        }
        self.write_reason(&target, reason).await
    }

    fn below(&self, into: Folder, name: &str) -> Path {
        name.split('/').fold(self.results(into).clone(), |path, segment| path.join(segment))
    }

    /// The first name that nothing else has.
    async fn free(&self, into: Folder, names: &[String], hash: &str, reason: Option<&str>) -> Result<Path> {
        for name in names {
            let target = self.below(into, name);
            let same_reason = match reason {
                Some(reason) => match self.whole(&told(&target)).await? {
                    Some(there) => there == reason.as_bytes(),
                    None => true,
                },
                None => true,
            };
            if same_reason && self.hash_of(&target).await?.is_none_or(|there| there == hash) {
                return Ok(target);
            }
        }
        Err(InboxError::NoName(names.first().cloned().unwrap_or_default()))
    }

    async fn whole(&self, path: &Path) -> Result<Option<Bytes>> {
        match self.store.get(path).await {
            Ok(got) => Ok(Some(got.bytes().await?)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    async fn hash_of(&self, path: &Path) -> Result<Option<String>> {
        let mut parts = match self.store.get(path).await {
            Ok(got) => got.into_stream(),
            Err(Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let mut hasher = Sha256::new();
        while let Some(part) = parts.try_next().await? {
            hasher.update(&part);
        }
        Ok(Some(hex(&hasher.finalize())))
    }

    /// The version that was read, and no other.
    async fn copy(&self, from: &Path, to: &Path, expected: &Seen) -> Result<()> {
        let options = GetOptions { if_match: expected.version.clone(), ..GetOptions::default() };
        let got = self.store.get_opts(from, options).await?;
        if seen(&got.meta) != *expected {
            return Err(Error::Precondition { path: from.to_string(), source: "it is another one".into() }.into());
        }
        if got.meta.size <= MAX_REPORT_BYTES as u64 {
            return self.put_new(to, got.bytes().await?).await;
        }
        let mut parts = got.into_stream();
        let mut upload = WriteMultipart::new(self.store.put_multipart(to).await?);
        while let Some(part) = parts.try_next().await? {
            upload.wait_for_capacity(UPLOADS).await?;
            upload.write(&part);
        }
        upload.finish().await?;
        Ok(())
    }

    /// What is there already is the same: that was looked at.
    async fn put_new(&self, to: &Path, bytes: Bytes) -> Result<()> {
        let payload = PutPayload::from_bytes(bytes);
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        let mut pause = Backoff::new();
        loop {
            match self.store.put_opts(to, payload.clone(), options.clone()).await {
                // S3 says so too when two came at once and neither was taken: what stands there counts.
                Err(Error::AlreadyExists { .. }) if self.store.head(to).await.is_ok() => return Ok(()),
                Err(Error::AlreadyExists { .. }) if !pause.exhausted() => pause.pause().await,
                put => return Ok(put.map(|_| ())?),
            }
        }
    }

    async fn write_reason(&self, target: &Path, reason: String) -> Result<()> {
        self.store.put(&told(target), PutPayload::from(reason.into_bytes())).await?;
        Ok(())
    }
}

fn told(target: &Path) -> Path {
    Path::from(names::reason(target.as_ref()))
}

fn seen(meta: &ObjectMeta) -> Seen {
    Seen { size: meta.size, modified: Timestamp::new(meta.last_modified), version: meta.e_tag.clone() }
}

/// A walk through everything below the prefix, what was taken from it or from an inbox in it left out.
pub struct Walk {
    store: Arc<dyn ObjectStore>,
    prefix: Path,
    /// Is asked again after its end.
    listed: BoxStream<'static, object_store::Result<ObjectMeta>>,
    /// By name, so that one can go on behind a folder.
    ordered: bool,
}

impl std::fmt::Debug for Walk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Walk").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

impl Walk {
    pub async fn next(&mut self, most: usize) -> Result<Vec<Found>> {
        let mut found = Vec::new();
        while found.len() < most {
            let Some(meta) = self.listed.try_next().await? else { break };
            let Some(segments) = meta.location.prefix_match(&self.prefix) else { continue };
            let segments: Vec<String> = segments.map(|part| part.as_ref().to_owned()).collect();
            let Some((file, folders)) = segments.split_last() else { continue };
            let ours = folders.first().and_then(|first| Folder::ALL.into_iter().find(|it| it.name() == first));
            if let Some(ours) = ours.filter(|_| self.ordered) {
                self.skip(ours);
            } else if is_document(file) && !folders.iter().any(|folder| is_reserved(folder)) {
                found.push(Found::Entry(Entry { name: segments.join("/"), file: File::Object(meta.location) }));
            }
        }
        Ok(found)
    }

    /// Goes on behind a folder that earlier versions put into the inbox, or that belongs to an inbox in this one.
    fn skip(&mut self, folder: Folder) {
        // The character that follows the slash.
        let behind = self.prefix.clone().join(format!("{}0", folder.name()));
        self.listed = self.store.list_with_offset(Some(&self.prefix), &behind).fuse().boxed();
    }
}
