//! A lake in a schema of Unity Catalog: asked for when it is first needed, with credentials that are replaced before they end.
//!
//! - here: the store, and where it is
//! - [`lending`]: credentials for a while

mod lending;

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
    cloud::{self, Variables},
    location::{Location, SchemaName},
};
use crate::databricks::{Client, error::ApiError};
use lending::Lending;

/// Managed tables live below a folder of this name; nobody else may.
const MANAGED: &str = "__unitystorage";

/// What keeps a schema from being a place for a lake.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    #[error("the schema {0} has no storage of its own for external tables")]
    NoStorage(SchemaName),
    #[error("the schema {schema} cannot be looked up")]
    Schema { schema: SchemaName, source: ApiError },
    #[error("the workspace gives no credentials for {place}")]
    NoCredentials { place: String, source: ApiError },
    #[error("the region of the bucket {bucket} is not known")]
    NoRegion { bucket: String, source: Error },
    #[error(transparent)]
    Place(#[from] Box<LakeError>),
}

impl CatalogError {
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NoStorage(_) => "give --catalog-root (or OPS_RUNBOOK_CATALOG_ROOT), a path below an external location".into(),
            Self::NoCredentials { source: ApiError::Forbidden(_), .. } => {
                "whoever asks needs EXTERNAL USE LOCATION on the external location, and the metastore external data access".into()
            }
            Self::Schema { source: ApiError::Forbidden(_) | ApiError::NotFound(_), .. } => {
                "look at the catalog and the schema in --lake; whoever asks needs USE CATALOG and USE SCHEMA".into()
            }
            Self::Schema { source, .. } | Self::NoCredentials { source, .. } => return source.hint(),
            Self::NoRegion { .. } => "set AWS_REGION".into(),
            Self::Place(error) => return error.hint(),
        })
    }

    fn passing(&self) -> bool {
        let (Self::Schema { source, .. } | Self::NoCredentials { source, .. }) = self else { return false };
        matches!(source, ApiError::Throttled(_) | ApiError::Unreachable(_))
    }
}

/// What to do about an error of a store that came from the catalog, however deep it is in there.
pub fn hint(error: &Error) -> Option<String> {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(found) = error.downcast_ref::<CatalogError>() {
            return found.hint();
        }
        cause = error.source();
    }
    None
}

impl From<CatalogError> for Error {
    /// What another attempt would not change must not look as if it would.
    fn from(error: CatalogError) -> Self {
        let passing = error.passing();
        let (path, source) = (String::new(), Box::new(error));
        if passing { Self::Generic { store: "Unity Catalog", source } } else { Self::Unauthenticated { path, source } }
    }
}

/// What was found out about a schema.
#[derive(Debug)]
struct Found {
    place: Location,
    store: Arc<dyn ObjectStore>,
}

/// The storage of a schema, rooted at the lake. Makes no request before it is used.
#[derive(Debug)]
pub struct CatalogStore {
    schema: SchemaName,
    workspace: Client,
    variables: Variables,
    /// Where the lake is instead of in the schema's own storage.
    root: Option<String>,
    found: OnceCell<Found>,
}

impl CatalogStore {
    pub fn new(schema: SchemaName, workspace: Client, variables: Variables, root: Option<String>) -> Self {
        Self { schema, workspace, variables, root, found: OnceCell::new() }
    }

    /// Where in storage the lake is.
    ///
    /// # Errors
    /// [`CatalogError`], inside the store's error.
    pub async fn place(&self) -> Result<&Location> {
        Ok(&self.found().await?.place)
    }

    async fn found(&self) -> Result<&Found> {
        Ok(self.found.get_or_try_init(|| self.find()).await?)
    }

    async fn store(&self) -> Result<&Arc<dyn ObjectStore>> {
        Ok(&self.found().await?.store)
    }

    async fn find(&self) -> Result<Found, CatalogError> {
        let text = match &self.root {
            Some(root) => root.clone(),
            None => self.own_storage().await?,
        };
        let place: Location = text.parse().map_err(Box::new)?;
        let variables = match &place {
            Location::S3 { bucket, r2: None, .. } if !cloud::says_region(&self.variables) => {
                let region = resolve_bucket_region(bucket, &cloud::client(false)).await;
                let unknown = |source| CatalogError::NoRegion { bucket: bucket.clone(), source };
                cloud::with_region(&self.variables, region.map_err(unknown)?)
            }
            _ => self.variables.clone(),
        };
        let lending = Arc::new(Lending::new(self.workspace.clone(), place.to_string()));
        let credentials = lending.credentials().await?;
        let store = cloud::open(&place, &variables, Some(&credentials), None).map_err(Box::new)?;
        Ok(Found { store: Arc::new(PrefixStore::new(store, place.prefix())), place })
    }

    async fn own_storage(&self) -> Result<String, CatalogError> {
        let SchemaName { catalog, schema } = &self.schema;
        let failed = |source| CatalogError::Schema { schema: self.schema.clone(), source };
        let storage = self.workspace.schema_storage(catalog, schema).await.map_err(failed)?;
        [storage.storage_location, storage.storage_root]
            .into_iter()
            .flatten()
            .find(|url| !url.is_empty() && !url.contains(MANAGED))
            .ok_or_else(|| CatalogError::NoStorage(self.schema.clone()))
    }
}

impl fmt::Display for CatalogStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "uc://{}", self.schema)
    }
}

/// As [`ObjectStore`], by whatever store the schema turns out to be in.
#[derive(Debug, Clone)]
pub struct Shared(pub Arc<CatalogStore>);

impl fmt::Display for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[async_trait::async_trait]
impl ObjectStore for Shared {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.0.store().await?.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.0.store().await?.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.0.store().await?.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.0.store().await?.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let catalog = Arc::clone(&self.0);
        let deleting = async move { Ok::<_, Error>(catalog.store().await?.delete_stream(locations)) };
        futures::stream::once(deleting).try_flatten().boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (catalog, prefix) = (Arc::clone(&self.0), prefix.cloned());
        let listing = async move { Ok::<_, Error>(catalog.store().await?.list(prefix.as_ref())) };
        futures::stream::once(listing).try_flatten().boxed()
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        let (catalog, prefix, offset) = (Arc::clone(&self.0), prefix.cloned(), offset.clone());
        let listing = async move { Ok::<_, Error>(catalog.store().await?.list_with_offset(prefix.as_ref(), &offset)) };
        futures::stream::once(listing).try_flatten().boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.0.store().await?.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.0.store().await?.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.0.store().await?.rename_opts(from, to, options).await
    }
}
