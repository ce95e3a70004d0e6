//! The Azure store, which removes each file with a request of its own.
//!
//! The client of object_store removes files with a batch request for the container. A signature that Unity Catalog vends is for a
//! folder and does not allow that. If a batch fails, the client's error quotes the signature.

use std::{fmt, ops::Range, sync::Arc};

use bytes::Bytes;
use futures::{StreamExt, stream::BoxStream};
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result,
    azure::{AzureAuthorizer, MicrosoftAzure},
    client::{HttpClient, HttpRequest, HttpRequestBody},
    path::Path,
};
use reqwest::{Method, StatusCode};
use url::Url;

use super::{FIRST_BACKOFF, MAX_RETRIES};

const STORE: &str = "MicrosoftAzure";
/// Files that are removed concurrently.
const AT_ONCE: usize = 16;

/// The store of an Azure container.
#[derive(Debug, Clone)]
pub struct AzureStore(Arc<AzureClient>);

struct AzureClient {
    client: MicrosoftAzure,
    account: String,
    url: Url,
    http: HttpClient,
}

impl fmt::Debug for AzureClient {
    /// The client's own `Debug` prints credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Container").field("url", &self.url.as_str()).finish_non_exhaustive()
    }
}

impl AzureStore {
    /// Returns the store of the container at `url`.
    pub fn new(client: MicrosoftAzure, account: String, url: Url, http: HttpClient) -> Self {
        Self(Arc::new(AzureClient { client, account, url, http }))
    }
}

impl fmt::Display for AzureStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0.client, f)
    }
}

impl AzureClient {
    async fn remove(&self, path: Path) -> Result<Path> {
        let mut pause = FIRST_BACKOFF;
        for _ in 0..MAX_RETRIES {
            match self.try_remove(&path).await {
                Err(Error::Generic { .. }) => {}
                outcome => return outcome.map(|()| path),
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
        self.try_remove(&path).await.map(|()| path)
    }

    /// Removes a file. Returns [`Error::Generic`] if a retry may succeed.
    async fn try_remove(&self, path: &Path) -> Result<()> {
        let mut url = self.url.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.extend(path.parts());
        }
        let generic = |source: Box<dyn std::error::Error + Send + Sync>| Error::Generic { store: STORE, source };
        let mut request = HttpRequest::new(HttpRequestBody::empty());
        *request.method_mut() = Method::DELETE;
        *request.uri_mut() = url
            .as_str()
            .parse()
            .map_err(|_| Error::NotSupported { source: "the file's name cannot be part of a URL".into() })?;
        let credential = self.client.credentials().get_credential().await?;
        AzureAuthorizer::new(&credential, &self.account).authorize(&mut request);
        let status = self.http.execute(request).await.map_err(|error| generic(Box::new(error)))?.status();
        let source =
            || -> Box<dyn std::error::Error + Send + Sync> { format!("a file was not removed: {status}").into() };
        let path = path.to_string();
        match status {
            _ if status.is_success() => Ok(()),
            StatusCode::NOT_FOUND => Err(Error::NotFound { path, source: source() }),
            StatusCode::FORBIDDEN => Err(Error::PermissionDenied { path, source: source() }),
            StatusCode::UNAUTHORIZED => Err(Error::Unauthenticated { path, source: source() }),
            StatusCode::CONFLICT | StatusCode::PRECONDITION_FAILED => {
                Err(Error::Precondition { path, source: source() })
            }
            _ => Err(generic(source())),
        }
    }
}

#[async_trait::async_trait]
impl ObjectStore for AzureStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.0.client.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.0.client.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.0.client.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.0.client.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let parts = Arc::clone(&self.0);
        let removing = locations.map(move |path| {
            let parts = Arc::clone(&parts);
            async move { parts.remove(path?).await }
        });
        removing.buffered(AT_ONCE).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.0.client.list(prefix)
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        self.0.client.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.0.client.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.0.client.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.0.client.rename_opts(from, to, options).await
    }
}
