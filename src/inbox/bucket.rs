//! An inbox in an object store, where an object exists completely or not at all.
//!
//! A move copies exactly the version that was read to a free name, then removes the source if it is still that version. No store
//! supports conditional removes: an object that is put under the same name between check and remove is lost. So use each file name
//! only once.

use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream::BoxStream};
use object_store::{
    Error, GetOptions, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload, WriteMultipart,
    path::Path,
};
use sha2::{Digest, Sha256};

use super::{
    File, FileVersion, InboxError, InboxFile, ListedItem, MoveResult, OpenedFile, ReadResult, Result,
    file_names::{self, ResultFolder, is_document, is_reserved},
};
use crate::{
    domain::{ids::hex, report::MAX_REPORT_BYTES, time::Timestamp},
    lake::{Backoff, StoreEnvironment, cloud, location::Location},
};

/// Parts of an upload that are sent concurrently.
const UPLOADS: usize = 4;

#[derive(Debug, Clone)]
pub struct BucketInbox {
    store: Arc<dyn ObjectStore>,
    location: Location,
    /// The prefix of done files.
    done: Path,
    rejected: Path,
}

impl BucketInbox {
    /// # Errors
    /// [`InboxError::Root`], [`InboxError::Place`].
    pub fn open(location: Location, store_environment: &StoreEnvironment) -> Result<Self> {
        let prefix = location.prefix();
        let mut parts: Vec<_> = prefix.parts().collect();
        let Some(name) = parts.pop() else {
            return Err(InboxError::Root { inbox: location.to_string(), instead: format!("{location}/incoming") });
        };
        let parent = Path::from_iter(parts);
        let [done, rejected] = [ResultFolder::Done, ResultFolder::Rejected]
            .map(|folder| parent.clone().join(folder.name()).join(name.clone()));
        let store = cloud::open(&location, &store_environment.variables, None, store_environment.request_timeout);
        Ok(Self { store: store.map_err(InboxError::Place)?, location, done, rejected })
    }

    /// Returns the prefix of the done or rejected files.
    fn results(&self, folder: ResultFolder) -> &Path {
        match folder {
            ResultFolder::Done => &self.done,
            ResultFolder::Rejected => &self.rejected,
        }
    }

    pub fn display_of(&self, folder: ResultFolder) -> String {
        self.location.clone().with_prefix(self.results(folder).clone()).to_string()
    }

    pub fn display(&self) -> String {
        self.location.to_string()
    }

    pub fn list(&self) -> BucketListing {
        let prefix = self.location.prefix();
        let listed = self.store.list(Some(&prefix)).fuse().boxed();
        // Azure does not document the order in which it lists folders.
        let ordered = !matches!(self.location, Location::Azure { .. });
        BucketListing { store: Arc::clone(&self.store), prefix, listed, ordered }
    }

    pub async fn read(&self, path: &Path) -> Result<ReadResult> {
        match self.store.get(path).await {
            Ok(got) => {
                let seen = seen(&got.meta);
                Ok(ReadResult::Opened(OpenedFile { seen, parts: got.into_stream().map_err(InboxError::Store).boxed() }))
            }
            Err(Error::NotFound { .. }) => Ok(ReadResult::Gone),
            Err(error @ Error::PermissionDenied { .. }) => Ok(ReadResult::Unreadable(error.to_string())),
            Err(error) => Err(error.into()),
        }
    }

    pub async fn move_file(
        &self,
        path: &Path,
        names: Vec<String>,
        expected: &FileVersion,
        hash: &str,
        into: ResultFolder,
        reason: Option<String>,
    ) -> Result<MoveResult> {
        let target = self.free(into, &names, hash, reason.as_deref()).await?;
        if let Some(reason) = reason {
            self.write_reason(&target, reason).await?;
        }
        match self.copy(path, &target, expected).await {
            Err(InboxError::Store(Error::NotFound { .. })) => return Ok(MoveResult::Gone),
            Err(InboxError::Store(Error::Precondition { .. } | Error::NotModified { .. })) => {
                return Ok(MoveResult::Changed);
            }
            copied => copied?,
        }
        match self.store.head(path).await {
            Ok(now) if seen(&now) == *expected => {}
            Ok(_) => return Ok(MoveResult::Changed),
            Err(Error::NotFound { .. }) => return Ok(MoveResult::Gone),
            Err(error) => return Err(error.into()),
        }
        match self.store.delete(path).await {
            Ok(()) => Ok(MoveResult::Moved),
            Err(Error::NotFound { .. }) => Ok(MoveResult::Gone),
            Err(error) => Err(error.into()),
        }
    }

    pub async fn reject_line(
        &self,
        names: Vec<String>,
        bytes: Option<Bytes>,
        hash: &str,
        reason: String,
    ) -> Result<()> {
        let target = self.free(ResultFolder::Rejected, &names, hash, Some(&reason)).await?;
        if let Some(bytes) = bytes {
            self.put_new(&target, bytes).await?;
        }
        self.write_reason(&target, reason).await
    }

    fn below(&self, into: ResultFolder, name: &str) -> Path {
        name.split('/').fold(self.results(into).clone(), |path, segment| path.join(segment))
    }

    /// Returns the first free name.
    async fn free(&self, into: ResultFolder, names: &[String], hash: &str, reason: Option<&str>) -> Result<Path> {
        for name in names {
            let target = self.below(into, name);
            let same_reason = match reason {
                Some(reason) => match self.whole(&reason_path(&target)).await? {
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

    /// Copies exactly the version that was read.
    async fn copy(&self, from: &Path, to: &Path, expected: &FileVersion) -> Result<()> {
        let options = GetOptions { if_match: expected.version.clone(), ..GetOptions::default() };
        let got = self.store.get_opts(from, options).await?;
        if seen(&got.meta) != *expected {
            return Err(Error::Precondition { path: from.to_string(), source: "it is another version".into() }.into());
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

    /// Puts an object. If it exists, it has the same content, which was checked before.
    async fn put_new(&self, to: &Path, bytes: Bytes) -> Result<()> {
        let payload = PutPayload::from_bytes(bytes);
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        let mut pause = Backoff::new();
        loop {
            match self.store.put_opts(to, payload.clone(), options.clone()).await {
                // S3 also returns this if two puts came at once and neither succeeded: only a stored object decides.
                Err(Error::AlreadyExists { .. }) if self.store.head(to).await.is_ok() => return Ok(()),
                Err(Error::AlreadyExists { .. }) if !pause.exhausted() => pause.pause().await,
                put => return Ok(put.map(|_| ())?),
            }
        }
    }

    async fn write_reason(&self, target: &Path, reason: String) -> Result<()> {
        self.store.put(&reason_path(target), PutPayload::from(reason.into_bytes())).await?;
        Ok(())
    }
}

fn reason_path(target: &Path) -> Path {
    Path::from(file_names::reason(target.as_ref()))
}

fn seen(meta: &ObjectMeta) -> FileVersion {
    FileVersion { size: meta.size, modified: Timestamp::new(meta.last_modified), version: meta.e_tag.clone() }
}

/// A listing of all objects below the prefix, without the done and rejected files of this inbox or of one inside it.
pub struct BucketListing {
    store: Arc<dyn ObjectStore>,
    prefix: Path,
    /// May be polled again after its end.
    listed: BoxStream<'static, object_store::Result<ObjectMeta>>,
    /// Whether objects are listed in the order of their names, so that a folder can be skipped.
    ordered: bool,
}

impl std::fmt::Debug for BucketListing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Walk").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

impl BucketListing {
    pub async fn next(&mut self, most: usize) -> Result<Vec<ListedItem>> {
        let mut found = Vec::new();
        while found.len() < most {
            let Some(meta) = self.listed.try_next().await? else { break };
            let Some(segments) = meta.location.prefix_match(&self.prefix) else { continue };
            let segments: Vec<String> = segments.map(|part| part.as_ref().to_owned()).collect();
            let Some((file, folders)) = segments.split_last() else { continue };
            let ours = folders.first().and_then(|first| ResultFolder::ALL.into_iter().find(|it| it.name() == first));
            if let Some(ours) = ours.filter(|_| self.ordered) {
                self.skip(ours);
            } else if is_document(file) && !folders.iter().any(|folder| is_reserved(folder)) {
                found.push(ListedItem::File(InboxFile { name: segments.join("/"), file: File::Object(meta.location) }));
            }
        }
        Ok(found)
    }

    /// Skips a folder that earlier versions put into the inbox, or that belongs to an inbox inside this one.
    fn skip(&mut self, folder: ResultFolder) {
        // `0` is the character after the slash.
        let behind = self.prefix.clone().join(format!("{}0", folder.name()));
        self.listed = self.store.list_with_offset(Some(&self.prefix), &behind).fuse().boxed();
    }
}
