//! A durable store on local disks.
//!
//! object_store never calls fsync. This store stages a file outside every table, syncs it, links it into place and syncs its folder
//! before a put returns. So data is stored before the commit that names it, and a commit is never torn.

use std::{
    fmt,
    fs::{self, File},
    io::{self, ErrorKind, Write},
    ops::Range,
    path::{Path as FsPath, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use futures::{FutureExt, stream::BoxStream};
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result, UploadPart, local::LocalFileSystem,
    path::Path,
};

/// A [`LocalFileSystem`] whose puts are on the disk when they return.
#[derive(Debug, Clone)]
pub struct DurableLocal {
    inner: Arc<LocalFileSystem>,
    staging: PathBuf,
}

impl DurableLocal {
    /// Returns a store with absolute paths. `staging` is a folder on the same file system, created on first use.
    pub fn new(staging: PathBuf) -> Self {
        Self { inner: Arc::new(LocalFileSystem::new()), staging }
    }

    fn stage(&self) -> PathBuf {
        // Process ids are not unique: containers share folders, and a crash leaves files behind.
        self.staging.join(format!("{:032x}", rand::random::<u128>()))
    }
}

impl fmt::Display for DurableLocal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DurableLocal")
    }
}

fn generic(path: &FsPath) -> impl Fn(io::Error) -> Error + '_ {
    move |source| {
        let source = io::Error::new(source.kind(), format!("{}: {source}", path.display()));
        match source.kind() {
            ErrorKind::PermissionDenied => {
                Error::PermissionDenied { path: path.display().to_string(), source: Box::new(source) }
            }
            _ => Error::Generic { store: "local disk", source: Box::new(source) },
        }
    }
}

fn sync_folder(folder: &FsPath) -> Result<()> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(generic(folder))
}

/// Creates a folder and its missing parents, and syncs each parent.
fn make_folders(folder: &FsPath) -> Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    if let Some(parent) = folder.parent() {
        make_folders(parent)?;
        match fs::create_dir(folder) {
            Ok(()) => sync_folder(parent)?,
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(generic(folder)(error)),
        }
    }
    Ok(())
}

fn write_synced(staged: &FsPath, payload: &PutPayload) -> Result<()> {
    let write = || {
        let mut file = File::create_new(staged)?;
        payload.iter().try_for_each(|part| file.write_all(part))?;
        file.sync_all()
    };
    match write() {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            staged.parent().map_or(Ok(()), make_folders)?;
            write().map_err(generic(staged))
        }
        outcome => outcome.map_err(generic(staged)),
    }
}

/// Links or renames a staged file into place. Creates a missing folder and tries once more.
fn move_into_place(staged: &FsPath, path: &FsPath, mode: &PutMode) -> Result<()> {
    let attempt = || match mode {
        PutMode::Create => fs::hard_link(staged, path),
        _ => fs::rename(staged, path),
    };
    let outcome = match attempt() {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            path.parent().map_or(Ok(()), make_folders)?;
            attempt()
        }
        outcome => outcome,
    };
    outcome.map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => Error::AlreadyExists { path: path.display().to_string(), source: Box::new(error) },
        _ => generic(path)(error),
    })
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await?
}

#[async_trait::async_trait]
impl ObjectStore for DurableLocal {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        if matches!(options.mode, PutMode::Update(_)) {
            return self.inner.put_opts(location, payload, options).await;
        }
        let path = self.inner.path_to_filesystem(location)?;
        let staged = self.stage();
        blocking(move || {
            let outcome = write_synced(&staged, &payload).and_then(|()| move_into_place(&staged, &path, &options.mode));
            // After a rename there is nothing left to remove.
            let _ = fs::remove_file(&staged);
            outcome?;
            path.parent().map_or(Ok(()), sync_folder)?;
            Ok(PutResult { e_tag: None, version: None })
        })
        .await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let path = self.inner.path_to_filesystem(location)?;
        Ok(Box::new(SyncedUpload { inner: self.inner.put_multipart_opts(location, options).await?, path }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.inner.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await?;
        self.sync_parent(to).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.inner.rename_opts(from, to, options).await?;
        self.sync_parent(to).await
    }
}

impl DurableLocal {
    async fn sync_parent(&self, location: &Path) -> Result<()> {
        let path = self.inner.path_to_filesystem(location)?;
        blocking(move || path.parent().map_or(Ok(()), sync_folder)).await
    }
}

/// A multipart upload that is on the disk when it completes.
#[derive(Debug)]
struct SyncedUpload {
    inner: Box<dyn MultipartUpload>,
    path: PathBuf,
}

#[async_trait::async_trait]
impl MultipartUpload for SyncedUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        self.inner.put_part(data).boxed()
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let result = self.inner.complete().await?;
        let path = self.path.clone();
        blocking(move || {
            File::open(&path).and_then(|file| file.sync_all()).map_err(generic(&path))?;
            path.parent().map_or(Ok(()), sync_folder)
        })
        .await?;
        Ok(result)
    }

    async fn abort(&mut self) -> Result<()> {
        self.inner.abort().await
    }
}
