//! The Google store, which retries a put-if-absent only while the file does not exist.
//!
//! Google accepts one write per second to one name, and returns 429 for others, even if their condition does not hold. The client
//! of object_store would retry such a put for up to a second. This store checks instead whether the file exists.

use std::{
    fmt,
    ops::Range,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures::stream::BoxStream;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt,
    PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result, gcp::GoogleCloudStorage,
    path::Path,
};

use super::{FIRST_BACKOFF, MAX_BACKOFF, MAX_RETRIES, RETRY_TIMEOUT};

/// The pause before the first retry of a write. All pauses together are longer than a second.
pub const FIRST_WRITE_BACKOFF: Duration = Duration::from_millis(300);

/// The store of a Google bucket.
pub struct GoogleStore {
    pub reading: GoogleCloudStorage,
    /// Waits at least [`FIRST_WRITE_BACKOFF`] before a retry.
    pub writing: GoogleCloudStorage,
    /// Makes no retries.
    pub once: GoogleCloudStorage,
}

impl fmt::Debug for GoogleStore {
    /// The client's own `Debug` prints credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bucket").field("reading", &self.reading.to_string()).finish_non_exhaustive()
    }
}

impl fmt::Display for GoogleStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.reading, f)
    }
}

impl GoogleStore {
    async fn put_new(&self, path: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let begun = Instant::now();
        let mut pauses = (0..MAX_RETRIES as u32).map(|attempt| (FIRST_BACKOFF * 2_u32.pow(attempt)).min(MAX_BACKOFF));
        loop {
            let source = match self.once.put_opts(path, payload.clone(), options.clone()).await {
                // 429, 5xx, or no response.
                Err(error @ Error::Generic { .. }) => error,
                outcome => return outcome,
            };
            let pause = pauses.next().filter(|_| begun.elapsed() < RETRY_TIMEOUT);
            match (self.reading.head(path).await, pause) {
                (Ok(_), _) => return Err(Error::AlreadyExists { path: path.to_string(), source: Box::new(source) }),
                (Err(Error::NotFound { .. }), Some(pause)) => tokio::time::sleep(pause).await,
                _ => return Err(source),
            }
        }
    }
}

#[async_trait::async_trait]
impl ObjectStore for GoogleStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        match options.mode {
            PutMode::Create => self.put_new(location, payload, options).await,
            _ => self.writing.put_opts(location, payload, options).await,
        }
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.writing.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.reading.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.reading.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.writing.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.reading.list(prefix)
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        self.reading.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.reading.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.writing.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.writing.rename_opts(from, to, options).await
    }
}
