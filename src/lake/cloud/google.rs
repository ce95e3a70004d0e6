//! Google, with puts that may not overwrite repeated only while nothing stands there.
//!
//! Google takes one write a second to one name and answers what comes sooner by 429, also when a condition would have refused it.
//! The client would repeat such a put until the second is over. Here it is looked whether somebody came first.

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

use super::{LONGEST_PAUSE, RETRIES, RETRYING};

/// The first pause before something is repeated: all of them are longer than the second in which a name takes one write.
pub const PAUSE: Duration = Duration::from_millis(300);

/// A bucket.
pub struct Bucket {
    client: GoogleCloudStorage,
    /// The same, repeating nothing.
    once: GoogleCloudStorage,
}

impl fmt::Debug for Bucket {
    /// The client's own would show credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bucket").field("client", &self.client.to_string()).finish_non_exhaustive()
    }
}

impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.client, f)
    }
}

impl Bucket {
    /// `once` repeats nothing.
    pub fn new(client: GoogleCloudStorage, once: GoogleCloudStorage) -> Self {
        Self { client, once }
    }

    async fn put_new(&self, path: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let begun = Instant::now();
        let mut pauses = (0..RETRIES as u32).map(|attempt| (PAUSE * 2_u32.pow(attempt)).min(LONGEST_PAUSE));
        loop {
            let source = match self.once.put_opts(path, payload.clone(), options.clone()).await {
                // 429, 5xx, or no answer.
                Err(error @ Error::Generic { .. }) => error,
                outcome => return outcome,
            };
            let pause = pauses.next().filter(|_| begun.elapsed() < RETRYING);
            match (self.client.head(path).await, pause) {
                (Ok(_), _) => return Err(Error::AlreadyExists { path: path.to_string(), source: Box::new(source) }),
                (Err(Error::NotFound { .. }), Some(pause)) => tokio::time::sleep(pause).await,
                _ => return Err(source),
            }
        }
    }
}

#[async_trait::async_trait]
impl ObjectStore for Bucket {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        match options.mode {
            PutMode::Create => self.put_new(location, payload, options).await,
            _ => self.client.put_opts(location, payload, options).await,
        }
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.client.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.client.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.client.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.client.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.client.list(prefix)
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        self.client.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.client.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.client.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.client.rename_opts(from, to, options).await
    }
}
