//! A lake in Unity Catalog, in a volume or in a schema's own storage: asked for when it is first needed, with credentials that
//! are replaced before they end, and when the store does not accept them.
//!
//! - here: the store, and where it is
//! - [`lending`]: credentials for a while
//! - [`grants`]: what has to be granted for them

mod grants;
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
    location::{CatalogPlace, Location, SchemaName, VolumeName},
};
use crate::databricks::{Client, error::ApiError, storage::StorageScope};
use lending::Lending;

/// Managed tables live below a folder of this name; nobody else may.
const MANAGED: &str = "__unitystorage";

/// What keeps a schema or a volume from being a place for a lake.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    #[error("the schema {0} has no storage of its own for external tables")]
    NoStorage(SchemaName),
    #[error("{} cannot be looked up", kind_and_name(.place))]
    LookUp { place: CatalogPlace, advice: Option<String>, source: ApiError },
    #[error("the workspace gives no credentials for {storage}")]
    NoCredentials { storage: String, advice: Option<String>, source: ApiError },
    #[error("the region of the bucket {bucket} is not known")]
    NoRegion { bucket: String, source: Error },
    #[error(transparent)]
    Place(#[from] Box<LakeError>),
}

impl CatalogError {
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NoStorage(_) => {
                "give --catalog-root (or OPS_RUNBOOK_CATALOG_ROOT), a path below an external location".into()
            }
            Self::LookUp { advice, source, .. } | Self::NoCredentials { advice, source, .. } => {
                return advice.clone().or_else(|| source.hint());
            }
            Self::NoRegion { .. } => "set AWS_REGION".into(),
            Self::Place(error) => return error.hint(),
        })
    }

    fn passing(&self) -> bool {
        let (Self::LookUp { source, .. } | Self::NoCredentials { source, .. }) = self else { return false };
        matches!(source, ApiError::Throttled(_) | ApiError::Unreachable(_))
    }
}

fn kind_and_name(place: &CatalogPlace) -> String {
    match place {
        CatalogPlace::Schema(schema) => format!("the schema {schema}"),
        CatalogPlace::Volume { volume, .. } => format!("the volume {volume}"),
    }
}

/// What to do about an error of a store that came from the catalog.
pub fn hint(error: &Error) -> Option<String> {
    from_catalog(error)?.hint()
}

/// The catalog's error in an error of a store, however deep it is in there.
fn from_catalog(error: &Error) -> Option<&CatalogError> {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(found) = error.downcast_ref::<CatalogError>() {
            return Some(found);
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

/// What was found out about a place.
#[derive(Debug)]
struct Found {
    place: Location,
    store: Arc<dyn ObjectStore>,
    lending: Arc<Lending>,
}

/// The storage of a place in Unity Catalog, rooted at the lake. Makes no request before it is used.
#[derive(Debug)]
pub struct CatalogStore {
    place: CatalogPlace,
    workspace: Client,
    variables: Variables,
    /// Where the lake is instead of in the schema's own storage.
    root: Option<String>,
    found: OnceCell<Found>,
}

impl CatalogStore {
    /// # Errors
    /// [`LakeError::BadSetting`] when there is a `root` for a volume, which has its own.
    pub fn new(
        place: CatalogPlace,
        workspace: Client,
        variables: Variables,
        root: Option<String>,
    ) -> Result<Self, LakeError> {
        if root.is_some() && matches!(place, CatalogPlace::Volume { .. }) {
            return Err(LakeError::BadSetting {
                place: place.to_string(),
                reason: "a volume has its own storage, and --catalog-root is given".into(),
                hint: "leave out --catalog-root and OPS_RUNBOOK_CATALOG_ROOT, or give uc://catalog.schema".into(),
            });
        }
        Ok(Self { place, workspace, variables, root, found: OnceCell::new() })
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

    async fn find(&self) -> Result<Found, CatalogError> {
        let (place, scope) = self.storage().await?;
        let variables = match &place {
            Location::S3 { bucket, r2: None, .. } if !cloud::says_region(&self.variables) => {
                let region = resolve_bucket_region(bucket, &cloud::client(false)).await;
                let unknown = |source| CatalogError::NoRegion { bucket: bucket.clone(), source };
                cloud::with_region(&self.variables, region.map_err(unknown)?)
            }
            _ => self.variables.clone(),
        };
        let lending = Arc::new(Lending::new(self.workspace.clone(), self.place.clone(), scope));
        let credentials = Arc::clone(&lending).credentials().await?;
        let store = cloud::open(&place, &variables, Some(&credentials), None).map_err(Box::new)?;
        Ok(Found { store: Arc::new(PrefixStore::new(store, place.prefix())), place, lending })
    }

    /// Where the lake is, and what credentials for it are asked for.
    async fn storage(&self) -> Result<(Location, StorageScope), CatalogError> {
        let parse = |url: &str| url.parse::<Location>().map_err(Box::new);
        Ok(match (&self.place, &self.root) {
            (CatalogPlace::Schema(_), Some(root)) => {
                let place = parse(root)?;
                let scope = StorageScope::Path(place.to_string());
                (place, scope)
            }
            (CatalogPlace::Schema(schema), None) => {
                let place = parse(&self.own_storage(schema).await?)?;
                let scope = StorageScope::Path(place.to_string());
                (place, scope)
            }
            (CatalogPlace::Volume { volume: VolumeName { schema, volume }, folder }, _) => {
                let SchemaName { catalog, schema } = schema;
                let storage = match self.workspace.volume_storage(catalog, schema, volume).await {
                    Ok(storage) => storage,
                    Err(source) => return Err(self.unknown(source).await),
                };
                let url = storage.storage_location.trim_end_matches('/');
                (parse(&format!("{url}/{folder}"))?, StorageScope::Volume(storage.volume_id))
            }
        })
    }

    async fn own_storage(&self, name: &SchemaName) -> Result<String, CatalogError> {
        let storage = match self.workspace.schema_storage(&name.catalog, &name.schema).await {
            Ok(storage) => storage,
            Err(source) => return Err(self.unknown(source).await),
        };
        [storage.storage_location, storage.storage_root]
            .into_iter()
            .flatten()
            .find(|url| !url.is_empty() && !url.contains(MANAGED))
            .ok_or_else(|| CatalogError::NoStorage(name.clone()))
    }

    async fn unknown(&self, source: ApiError) -> CatalogError {
        let advice = grants::advice_for(&self.workspace, &self.place, &source).await;
        CatalogError::LookUp { place: self.place.clone(), advice, source }
    }

    /// Does `work`, and once more with other credentials when the store does not accept those that it was done with: they may
    /// have ended sooner than was said, or without a word about it.
    async fn accepted<T, W: Future<Output = Result<T>>>(&self, work: impl Fn(Arc<dyn ObjectStore>) -> W) -> Result<T> {
        let Found { store, lending, .. } = self.found().await?;
        let generation = lending.generation();
        match work(Arc::clone(store)).await {
            Err(error) if cloud::refuses_credentials(&error) && from_catalog(&error).is_none() => {
                lending.give_up(generation).await;
                work(Arc::clone(store)).await
            }
            outcome => outcome,
        }
    }

    /// As [`Self::accepted`]: the first page says whether the credentials are.
    async fn listed(
        &self,
        list: impl Fn(&dyn ObjectStore) -> BoxStream<'static, Result<ObjectMeta>>,
    ) -> Result<BoxStream<'static, Result<ObjectMeta>>> {
        let begin = |store: Arc<dyn ObjectStore>| {
            // A listing without a first entry has ended, and may not be asked for more.
            let mut listing = list(store.as_ref()).fuse();
            async move {
                let first = listing.next().await.transpose()?;
                Ok::<_, Error>(futures::stream::iter(first.map(Ok)).chain(listing).boxed())
            }
        };
        self.accepted(begin).await
    }
}

impl fmt::Display for CatalogStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.place)
    }
}

/// As [`ObjectStore`], by the store that the place turns out to be in.
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
        let put = |store: Arc<dyn ObjectStore>| {
            let (payload, options) = (payload.clone(), options.clone());
            async move { store.put_opts(location, payload, options).await }
        };
        self.0.accepted(put).await
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
        self.0.accepted(begin).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let get = |store: Arc<dyn ObjectStore>| {
            let options = options.clone();
            async move { store.get_opts(location, options).await }
        };
        self.0.accepted(get).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.0.accepted(|store| async move { store.get_ranges(location, ranges).await }).await
    }

    /// What is to be removed comes as a stream, which cannot be had twice: it is not done again with other credentials.
    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let catalog = Arc::clone(&self.0);
        let deleting = async move { Ok::<_, Error>(catalog.found().await?.store.delete_stream(locations)) };
        futures::stream::once(deleting).try_flatten().boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (catalog, prefix) = (Arc::clone(&self.0), prefix.cloned());
        let listing = async move { catalog.listed(|store| store.list(prefix.as_ref())).await };
        futures::stream::once(listing).try_flatten().boxed()
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        let (catalog, prefix, offset) = (Arc::clone(&self.0), prefix.cloned(), offset.clone());
        let listing = async move { catalog.listed(|store| store.list_with_offset(prefix.as_ref(), &offset)).await };
        futures::stream::once(listing).try_flatten().boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.0.accepted(|store| async move { store.list_with_delimiter(prefix).await }).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let copy = |store: Arc<dyn ObjectStore>| {
            let options = options.clone();
            async move { store.copy_opts(from, to, options).await }
        };
        self.0.accepted(copy).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        let rename = |store: Arc<dyn ObjectStore>| {
            let options = options.clone();
            async move { store.rename_opts(from, to, options).await }
        };
        self.0.accepted(rename).await
    }
}
