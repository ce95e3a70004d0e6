//! A lake in Unity Catalog, in a volume or in a schema's own storage. Its storage is resolved on first use. Vended credentials are
//! replaced before they expire, and when the store rejects them.
//!
//! - here: the store, and the resolution of its location
//! - [`vended_credentials`]: temporary credentials
//! - [`grants`]: the privileges that they require

mod grants;
mod vended_credentials;

use std::{fmt, ops::Range, sync::Arc};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream::BoxStream};
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result, aws::resolve_bucket_region,
    path::Path, prefix::PrefixStore,
};
use tokio::sync::OnceCell;

use super::{
    LakeError,
    cloud::{self, StoreVariables},
    location::{CatalogLocation, Location, SchemaName, VolumeName},
};
use crate::databricks::{Client, error::ApiError, storage::StorageScope};
use vended_credentials::CredentialVendor;

/// The folder of managed tables. Other files are not allowed below it.
const MANAGED: &str = "__unitystorage";

/// An error of a location in Unity Catalog.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    #[error("the schema {0} has no storage of its own for external tables")]
    NoStorage(SchemaName),
    #[error("{} cannot be looked up", kind_and_name(.location))]
    LookUp { location: CatalogLocation, advice: Option<String>, source: ApiError },
    #[error("the workspace vends no credentials for {storage}")]
    NoCredentials { storage: String, advice: Option<String>, source: ApiError },
    #[error("the region of the bucket {bucket} cannot be found")]
    NoRegion { bucket: String, source: Error },
    #[error(transparent)]
    Place(#[from] Box<LakeError>),
}

impl CatalogError {
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NoStorage(_) => {
                "set --catalog-root (or OPS_RUNBOOK_CATALOG_ROOT) to a path below an external location".into()
            }
            Self::LookUp { advice, source, .. } | Self::NoCredentials { advice, source, .. } => {
                return advice.clone().or_else(|| source.hint());
            }
            Self::NoRegion { .. } => "set AWS_REGION".into(),
            Self::Place(error) => return error.hint(),
        })
    }

    fn is_transient(&self) -> bool {
        let (Self::LookUp { source, .. } | Self::NoCredentials { source, .. }) = self else { return false };
        matches!(source, ApiError::Throttled(_) | ApiError::Unreachable(_))
    }
}

fn kind_and_name(location: &CatalogLocation) -> String {
    match location {
        CatalogLocation::Schema(schema) => format!("the schema {schema}"),
        CatalogLocation::Volume { volume, .. } => format!("the volume {volume}"),
    }
}

/// Returns what to do about a store's error that came from the catalog.
pub fn hint(error: &Error) -> Option<String> {
    from_catalog(error)?.hint()
}

/// Returns the catalog's error among the causes of a store's error.
fn from_catalog(error: &Error) -> Option<&CatalogError> {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(resolved) = error.downcast_ref::<CatalogError>() {
            return Some(resolved);
        }
        cause = error.source();
    }
    None
}

impl From<CatalogError> for Error {
    /// Maps permanent errors to a kind that callers do not retry.
    fn from(error: CatalogError) -> Self {
        let is_transient = error.is_transient();
        let (path, source) = (String::new(), Box::new(error));
        if is_transient {
            Self::Generic { store: "Unity Catalog", source }
        } else {
            Self::Unauthenticated { path, source }
        }
    }
}

/// The storage of a location in Unity Catalog.
#[derive(Debug)]
struct ResolvedStorage {
    location: Location,
    store: Arc<dyn ObjectStore>,
    vendor: Arc<CredentialVendor>,
}

/// The store of a location in Unity Catalog, rooted at the lake. Makes no request before first use.
#[derive(Debug)]
pub struct CatalogStore {
    location: CatalogLocation,
    workspace: Client,
    variables: StoreVariables,
    /// The URL of the lake, instead of the schema's own storage.
    root: Option<String>,
    resolved: OnceCell<ResolvedStorage>,
}

impl CatalogStore {
    /// # Errors
    /// [`LakeError::BadSetting`] if `root` is set for a volume, which has its own storage.
    pub fn new(
        location: CatalogLocation,
        workspace: Client,
        variables: StoreVariables,
        root: Option<String>,
    ) -> Result<Self, LakeError> {
        if root.is_some() && matches!(location, CatalogLocation::Volume { .. }) {
            return Err(LakeError::BadSetting {
                location: location.to_string(),
                reason: "a volume has its own storage, and --catalog-root is set".into(),
                hint: "unset --catalog-root and OPS_RUNBOOK_CATALOG_ROOT, or use uc://catalog.schema".into(),
            });
        }
        Ok(Self { location, workspace, variables, root, resolved: OnceCell::new() })
    }

    /// Returns the location of the lake in storage.
    ///
    /// # Errors
    /// [`CatalogError`], as the cause of a store's error.
    pub async fn location(&self) -> Result<&Location> {
        Ok(&self.resolved().await?.location)
    }

    async fn resolved(&self) -> Result<&ResolvedStorage> {
        Ok(self.resolved.get_or_try_init(|| self.resolve()).await?)
    }

    async fn resolve(&self) -> Result<ResolvedStorage, CatalogError> {
        let (location, scope) = self.storage().await?;
        let variables = match &location {
            Location::S3 { bucket, r2: None, .. } if !cloud::has_region(&self.variables) => {
                let region = resolve_bucket_region(bucket, &cloud::client(false)).await;
                let unknown = |source| CatalogError::NoRegion { bucket: bucket.clone(), source };
                cloud::with_region(&self.variables, region.map_err(unknown)?)
            }
            _ => self.variables.clone(),
        };
        let vendor = Arc::new(CredentialVendor::new(self.workspace.clone(), self.location.clone(), scope));
        let credentials = Arc::clone(&vendor).credentials().await?;
        let store = cloud::open(&location, &variables, Some(&credentials), None).map_err(Box::new)?;
        Ok(ResolvedStorage { store: Arc::new(PrefixStore::new(store, location.prefix())), location, vendor })
    }

    /// Returns the location of the lake in storage, and the scope of the credentials to request.
    async fn storage(&self) -> Result<(Location, StorageScope), CatalogError> {
        let parse = |url: &str| url.parse::<Location>().map_err(Box::new);
        Ok(match (&self.location, &self.root) {
            (CatalogLocation::Schema(_), Some(root)) => {
                let location = parse(root)?;
                let scope = StorageScope::Path(location.to_string());
                (location, scope)
            }
            (CatalogLocation::Schema(schema), None) => {
                let location = parse(&self.own_storage(schema).await?)?;
                let scope = StorageScope::Path(location.to_string());
                (location, scope)
            }
            (CatalogLocation::Volume { volume: VolumeName { schema, volume }, folder }, _) => {
                let SchemaName { catalog, schema } = schema;
                let storage = match self.workspace.volume_storage(catalog, schema, volume).await {
                    Ok(storage) => storage,
                    Err(source) => return Err(self.lookup_error(source).await),
                };
                let url = storage.storage_location.trim_end_matches('/');
                (parse(&format!("{url}/{folder}"))?, StorageScope::Volume(storage.volume_id))
            }
        })
    }

    async fn own_storage(&self, name: &SchemaName) -> Result<String, CatalogError> {
        let storage = match self.workspace.schema_storage(&name.catalog, &name.schema).await {
            Ok(storage) => storage,
            Err(source) => return Err(self.lookup_error(source).await),
        };
        [storage.storage_location, storage.storage_root]
            .into_iter()
            .flatten()
            .find(|url| !url.is_empty() && !url.contains(MANAGED))
            .ok_or_else(|| CatalogError::NoStorage(name.clone()))
    }

    async fn lookup_error(&self, source: ApiError) -> CatalogError {
        let advice = grants::advice_for(&self.workspace, &self.location, &source).await;
        CatalogError::LookUp { location: self.location.clone(), advice, source }
    }

    /// Does `work`, and repeats it once with new credentials if the store rejects the current ones: credentials may expire earlier
    /// than announced, or without an announced expiry.
    async fn with_credential_retry<T, W: Future<Output = Result<T>>>(
        &self,
        work: impl Fn(Arc<dyn ObjectStore>) -> W,
    ) -> Result<T> {
        let ResolvedStorage { store, vendor, .. } = self.resolved().await?;
        let generation = vendor.generation();
        match work(Arc::clone(store)).await {
            Err(error) if cloud::rejects_credentials(&error) && from_catalog(&error).is_none() => {
                vendor.discard(generation).await;
                work(Arc::clone(store)).await
            }
            outcome => outcome,
        }
    }

    /// As [`Self::with_credential_retry`]. The first page shows whether the credentials are accepted.
    async fn list_with_credential_retry(
        &self,
        list: impl Fn(&dyn ObjectStore) -> BoxStream<'static, Result<ObjectMeta>>,
    ) -> Result<BoxStream<'static, Result<ObjectMeta>>> {
        let begin = |store: Arc<dyn ObjectStore>| {
            // A listing without a first entry has ended, and must not be polled again.
            let mut listing = list(store.as_ref()).fuse();
            async move {
                let first = listing.next().await.transpose()?;
                Ok::<_, Error>(futures::stream::iter(first.map(Ok)).chain(listing).boxed())
            }
        };
        self.with_credential_retry(begin).await
    }
}

impl fmt::Display for CatalogStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.location)
    }
}

/// An [`ObjectStore`] that resolves its storage on first use.
#[derive(Debug, Clone)]
pub struct CatalogObjectStore(pub Arc<CatalogStore>);

impl fmt::Display for CatalogObjectStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[async_trait::async_trait]
impl ObjectStore for CatalogObjectStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let put = |store: Arc<dyn ObjectStore>| {
            let (payload, options) = (payload.clone(), options.clone());
            async move { store.put_opts(location, payload, options).await }
        };
        self.0.with_credential_retry(put).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let begin = |store: Arc<dyn ObjectStore>| {
            let options = options.clone();
            async move { store.put_multipart_opts(location, options).await }
        };
        self.0.with_credential_retry(begin).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let get = |store: Arc<dyn ObjectStore>| {
            let options = options.clone();
            async move { store.get_opts(location, options).await }
        };
        self.0.with_credential_retry(get).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.0.with_credential_retry(|store| async move { store.get_ranges(location, ranges).await }).await
    }

    /// Removals are not repeated with new credentials: their stream can be read only once.
    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let catalog = Arc::clone(&self.0);
        let deleting = async move { Ok::<_, Error>(catalog.resolved().await?.store.delete_stream(locations)) };
        futures::stream::once(deleting).try_flatten().boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (catalog, prefix) = (Arc::clone(&self.0), prefix.cloned());
        let listing = async move { catalog.list_with_credential_retry(|store| store.list(prefix.as_ref())).await };
        futures::stream::once(listing).try_flatten().boxed()
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        let (catalog, prefix, offset) = (Arc::clone(&self.0), prefix.cloned(), offset.clone());
        let listing = async move {
            catalog.list_with_credential_retry(|store| store.list_with_offset(prefix.as_ref(), &offset)).await
        };
        futures::stream::once(listing).try_flatten().boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.0.with_credential_retry(|store| async move { store.list_with_delimiter(prefix).await }).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let copy = |store: Arc<dyn ObjectStore>| {
            let options = options.clone();
            async move { store.copy_opts(from, to, options).await }
        };
        self.0.with_credential_retry(copy).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        let rename = |store: Arc<dyn ObjectStore>| {
            let options = options.clone();
            async move { store.rename_opts(from, to, options).await }
        };
        self.0.with_credential_retry(rename).await
    }
}
