//! The lake: Delta tables below one folder, and the only code that writes them.
//!
//! - [`location`]: the locations that a lake can have
//! - [`store`]: durable local disks; [`cloud`]: object stores; [`unity`]: storage in Unity Catalog
//! - [`log`]: reads a Delta log without listing it; [`cache`]: the logs that this process has read; [`delta`]: tables of delta-rs
//! - [`reader`]: reads a Parquet file from the store
//! - [`table`]: writes data files and commits, and reads rows
//! - [`ledger`]: appends to the audit log: group commit, idempotence, conflicts
//! - [`projector`]: computes the other tables from the audit log, exactly once; [`rebuild`]: recomputes them
//! - [`scan`]: reads the audit log a few rows at a time
//! - [`row_count`]: counts the rows of a table up to a position in the ledger
//! - [`verify`]: proves that no row was changed; [`doctor`]: health checks of storage and lake
//! - [`lease`], [`maintenance`]: compaction, checkpoints and cleanup, one owner at a time; [`merge`]: merges data files

mod cache;
pub mod cloud;
mod delta;
pub mod doctor;
pub mod lease;
pub mod ledger;
pub mod location;
pub mod log;
pub mod maintenance;
mod merge;
pub mod projector;
mod reader;
pub mod rebuild;
pub mod row_count;
pub mod scan;
pub mod store;
pub mod table;
pub mod unity;
pub mod verify;

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use arrow::error::ArrowError;
use chrono::{DateTime, Utc};
use object_store::{ObjectStore, path::Path, prefix::PrefixStore};
use parquet::errors::ParquetError;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use url::Url;
use uuid::Uuid;

use crate::{
    databricks::Client,
    domain::{
        ids::{IncidentId, sha256_hex},
        policy::Policy,
        time::Timestamp,
    },
    tables::{TableDef, catalog},
};
use cloud::StoreVariables;
use location::{CatalogLocation, Location, VolumePath};
use table::Table;
use unity::CatalogStore;

pub type Result<T, E = LakeError> = std::result::Result<T, E>;

/// An error of a lake.
#[derive(Debug, thiserror::Error)]
pub enum LakeError {
    #[error("there is no lake at {0}")]
    NoLake(String),
    #[error("{text:?} cannot be the location of a lake: {reason}")]
    BadLocation { text: String, reason: String },
    /// A store that cannot be opened with the current settings. Holds no secret.
    #[error("{location} cannot be used: {reason}")]
    BadSetting { location: String, reason: String, hint: String },
    /// A store without put-if-absent: two writers could both believe that they wrote the same commit.
    #[error("{0} does not support conditional writes: a second writer of the same file is not refused")]
    NoConditionalWrites(String),
    /// An incomplete log file. Later commits are not read.
    #[error("{table}/{file} is damaged: {detail}")]
    Torn { table: String, file: String, detail: String },
    /// A table that another program changed so that this one cannot read or write it.
    #[error(transparent)]
    Unsupported(#[from] log::protocol::Unsupported),
    /// A ledger entry that this program could not have written.
    #[error("the audit log is damaged: {0}")]
    Corrupt(String),
    /// A put whose result is unknown.
    #[error("it is unknown whether commit {version} of {table} was written")]
    OutcomeUnknown { table: String, version: u64 },
    #[error("concurrent writers committed to {table} first, {attempts} times in a row")]
    TooBusy { table: String, attempts: u32 },
    #[error("another process took over the maintenance lease of {0}")]
    LeaseLost(String),
    #[error("the storage reports an error")]
    Store(#[from] object_store::Error),
    #[error("a Parquet file cannot be read or written")]
    Parquet(#[from] ParquetError),
    #[error("rows do not match the schema of their table")]
    Arrow(#[from] ArrowError),
    #[error("a value cannot be written as JSON, or stored JSON cannot be read")]
    Json(#[from] serde_json::Error),
    #[error("delta-rs reports an error")]
    Delta(#[from] deltalake::DeltaTableError),
    /// A request that is not allowed in the incident's current state.
    #[error(transparent)]
    Refused(#[from] crate::domain::incident::Refusal),
    #[error("there is no incident {0} in this lake")]
    NoIncident(IncidentId),
    /// A request that was computed from an old state. It must be computed again.
    #[error("the request is stale: a conflicting request was recorded in the meantime")]
    Stale,
    /// The committer task has ended. An earlier request returned the reason.
    #[error("the ledger has stopped after an earlier error")]
    Stopped,
}

impl LakeError {
    /// Returns what the user can do about the error.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NoLake(_) => "create one with `ops-runbook init`, or point --lake at an existing one".into(),
            Self::BadLocation { .. } => location::EXAMPLES.into(),
            Self::BadSetting { hint, .. } => hint.clone(),
            Self::NoConditionalWrites(_) => {
                "records could be lost; choose a store with conditional writes: S3, Azure, Google, a local disk".into()
            }
            Self::Torn { table, file, .. } if file.ends_with("_last_checkpoint") => {
                format!("remove {table}/{file}; checkpoints are found without it")
            }
            Self::Torn { table, file, .. } if table != catalog::AUDIT_LOG.name => format!(
                "{table} is computed from the audit log: restore {table}/{file} from a backup, or move the folder {table} \
                 away; the next command that needs the table rebuilds it"
            ),
            Self::Torn { table, file, .. } => format!(
                "a writer without fsync lost power, or the file was changed. Restore {table}/{file} from a backup. \
                 If it is the newest commit and no command reported its success, move it away, then run `audit verify`"
            ),
            Self::Unsupported(unsupported) => unsupported.hint(),
            Self::Corrupt(_) => "run `audit verify`, which lists every wrong row".into(),
            Self::OutcomeUnknown { .. } => "send the same request again: it is recorded once at most".into(),
            Self::Refused(refusal) => refusal.hint.clone(),
            Self::NoIncident(_) => "`ops-runbook incident list` lists the incidents".into(),
            Self::TooBusy { .. } | Self::LeaseLost(_) | Self::Stale => "try again".into(),
            Self::Store(error) => return unity::hint(error).or_else(|| cloud::hint(error)),
            _ => return None,
        })
    }

    /// Returns whether a retry may succeed.
    fn is_transient(error: &object_store::Error) -> bool {
        use object_store::Error;
        !matches!(
            error,
            Error::NotFound { .. }
                | Error::AlreadyExists { .. }
                | Error::Precondition { .. }
                | Error::NotModified { .. }
                | Error::NotImplemented { .. }
                | Error::NotSupported { .. }
                | Error::PermissionDenied { .. }
                | Error::Unauthenticated { .. }
                | Error::InvalidPath { .. }
                | Error::UnknownConfigurationKey { .. }
        )
    }
}

/// Returns the current time.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// The generator of ids. Clones share its state.
type Ids = Arc<Mutex<ChaCha8Rng>>;

/// Everything that can differ between two runs: the clock, the ids, the configuration. The caller passes it, so a test can repeat
/// a run.
#[derive(Clone)]
pub struct Context {
    pub clock: Clock,
    seed: u64,
    ids: Ids,
    /// One generator for each table: ids do not depend on the order in which tables are written.
    streams: Arc<Mutex<BTreeMap<&'static str, Ids>>>,
    /// The configured policy.
    pub policy: Arc<Policy>,
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Context")
    }
}

impl Context {
    /// Returns a context with the system's clock and random ids.
    pub fn system() -> Self {
        #[expect(clippy::disallowed_methods, reason = "the only caller of the system's clock")]
        let clock = || Timestamp::new(DateTime::<Utc>::from(std::time::SystemTime::now()));
        Self::new(Arc::new(clock), rand::random())
    }

    /// Returns a context whose ids are derived from `seed`.
    pub fn new(clock: Clock, seed: u64) -> Self {
        let ids = Arc::new(Mutex::new(ChaCha8Rng::seed_from_u64(seed)));
        Self { clock, seed, ids, streams: Arc::default(), policy: Arc::default() }
    }

    pub fn with_policy(self, policy: Policy) -> Self {
        Self { policy: Arc::new(policy), ..self }
    }

    /// Returns the same context, with ids that are derived from the seed and `table` only.
    fn for_table(&self, table: &'static str) -> Self {
        let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        let ids = streams.entry(table).or_insert_with(|| {
            let mut ids = ChaCha8Rng::seed_from_u64(self.seed);
            ids.set_stream(u64::from_str_radix(&sha256_hex(table)[..16], 16).unwrap_or(1));
            Arc::new(Mutex::new(ids))
        });
        Self { ids: Arc::clone(ids), ..self.clone() }
    }

    pub fn now(&self) -> Timestamp {
        (self.clock)()
    }

    pub fn uuid(&self) -> Uuid {
        let mut bytes = [0; 16];
        self.ids.lock().unwrap_or_else(PoisonError::into_inner).fill_bytes(&mut bytes);
        uuid::Builder::from_random_bytes(bytes).into_uuid()
    }
}

/// Pauses between attempts: 20 ms, doubled each time, at most 2 s. Each pause is random, between half and all of that.
#[derive(Debug)]
pub(crate) struct Backoff {
    attempt: u32,
}

impl Backoff {
    /// About ten seconds in total.
    const MAX_ATTEMPTS: u32 = 12;

    pub(crate) fn new() -> Self {
        Self { attempt: 0 }
    }

    pub(crate) fn exhausted(&self) -> bool {
        self.attempt >= Self::MAX_ATTEMPTS
    }

    pub(crate) async fn pause(&mut self) {
        let ceiling = (20_u64 << self.attempt.min(7)).min(2_000);
        self.attempt += 1;
        let millis = rand::rng().random_range(ceiling / 2..=ceiling);
        tokio::time::sleep(Duration::from_millis(millis)).await;
    }

    /// Waits if a retry may succeed, else returns the error.
    pub(crate) async fn retry_or_fail(&mut self, error: object_store::Error) -> Result<()> {
        if self.exhausted() || !LakeError::is_transient(&error) {
            return Err(error.into());
        }
        self.pause().await;
        Ok(())
    }
}

/// Settings of stores that the environment gives. The caller passes them: the lake does not read the environment.
#[derive(Debug, Clone, Default)]
pub struct StoreEnvironment {
    pub variables: StoreVariables,
    /// The workspace that resolves `uc://` locations.
    pub workspace: Option<Client>,
    /// The URL of lakes at `uc://catalog.schema`, instead of the schema's own storage.
    pub catalog_root: Option<String>,
    /// The path at which SQL finds the lake's files, if the lake is in a volume and its location is not `uc://`: a [`VolumePath`].
    pub volume_path: Option<String>,
    /// The time-out of a request to an object store, instead of 30 s.
    pub request_timeout: Option<Duration>,
}

/// An open lake. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Lake {
    url: Url,
    /// Rooted at the storage system's root, because delta-rs needs that root too.
    root: Arc<dyn ObjectStore>,
    prefix: Path,
    /// The store that resolves a `uc://` location.
    catalog: Option<Arc<CatalogStore>>,
    volume_path: Option<VolumePath>,
    cache: Arc<cache::LogCache>,
    pub context: Context,
}

impl Lake {
    /// Opens a lake at a [`Location`] that needs no settings from the environment, such as a local folder.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn at(location: &str, context: Context) -> Result<Self> {
        Self::open(location, &StoreEnvironment::default(), context)
    }

    /// Opens a lake at a [`Location`]. Makes no request, and reads and creates nothing.
    ///
    /// # Errors
    /// [`LakeError::BadLocation`], [`LakeError::BadSetting`].
    pub fn open(location: &str, store_environment: &StoreEnvironment, context: Context) -> Result<Self> {
        let location = location.parse::<Location>()?.in_account(store_environment.variables.azure_account());
        let mut catalog = None;
        let (root, prefix): (Arc<dyn ObjectStore>, Path) = match &location {
            Location::Folder(folder) => {
                let prefix = Path::from_absolute_path(folder).map_err(|error| LakeError::BadLocation {
                    text: location.to_string(),
                    reason: error.to_string(),
                })?;
                (Arc::new(store::DurableLocal::new(folder.join(".staging"))), prefix)
            }
            Location::Catalog(location) => {
                let Some(workspace) = store_environment.workspace.clone() else {
                    return Err(LakeError::BadSetting {
                        location: location.to_string(),
                        reason: "no workspace is set".into(),
                        hint: "set DATABRICKS_HOST and DATABRICKS_TOKEN".into(),
                    });
                };
                let root = store_environment.catalog_root.clone();
                let store = CatalogStore::new(location.clone(), workspace, store_environment.variables.clone(), root)?;
                let store = catalog.insert(Arc::new(store));
                (Arc::new(unity::CatalogObjectStore(Arc::clone(store))), Path::default())
            }
            _ => (
                cloud::open(&location, &store_environment.variables, None, store_environment.request_timeout)?,
                location.prefix(),
            ),
        };
        let volume_path = match (&store_environment.volume_path, &location) {
            (Some(path), _) => Some(path.parse()?),
            (None, Location::Catalog(CatalogLocation::Volume { volume, folder })) => {
                Some(VolumePath::in_volume(volume, folder)?)
            }
            (None, _) => None,
        };
        Ok(Self { url: location.url()?, root, prefix, catalog, volume_path, cache: Arc::default(), context })
    }

    /// Returns a lake at `url` on a store that supports put-if-absent. `root` is rooted at the storage system's root.
    pub fn with_store(url: Url, root: Arc<dyn ObjectStore>, prefix: Path, context: Context) -> Self {
        Self { url, root, prefix, catalog: None, volume_path: None, cache: Arc::default(), context }
    }

    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Returns the URL of the lake's files for other engines. For a location in Unity Catalog, asks the workspace.
    ///
    /// # Errors
    /// Errors of the workspace, inside those of the store.
    pub async fn storage_url(&self) -> Result<Url> {
        match &self.catalog {
            Some(catalog) => catalog.location().await?.url(),
            None => Ok(self.url.clone()),
        }
    }

    /// Returns the path at which SQL finds the files of a lake in a volume. `None`: its tables are registered by URL.
    pub fn volume_path(&self) -> Option<&VolumePath> {
        self.volume_path.as_ref()
    }

    /// Returns the location as text for people: a path for a local lake, else the URL without its last slash.
    pub fn display(&self) -> String {
        let url = || self.url.as_str().trim_end_matches('/').to_owned();
        self.url.to_file_path().map_or_else(|()| url(), |path| path.display().to_string())
    }

    /// Returns the store below the folder `name`.
    pub(crate) fn store(&self, name: &str) -> Arc<dyn ObjectStore> {
        Arc::new(PrefixStore::new(Arc::clone(&self.root), self.prefix.clone().join(name)))
    }

    /// Returns a handle on a table. The table need not exist.
    pub fn table(&self, def: &'static TableDef) -> Table {
        Table::new(def, self)
    }

    /// Creates missing tables. Concurrent and repeated calls are safe. Returns whether a table was created.
    ///
    /// # Errors
    /// Errors of the store.
    pub async fn init(&self) -> Result<bool> {
        let audit_log = self.table(catalog::AUDIT_LOG);
        if self.url.scheme() != "file" && !audit_log.exists().await? && !doctor::refuses_second_writer(self).await? {
            return Err(LakeError::NoConditionalWrites(self.display()));
        }
        // The audit log comes last: if it exists, the other tables exist.
        let projections = catalog::PROJECTIONS.map(|def| async { self.table(def).create().await });
        let made = futures::future::try_join_all(projections).await?;
        let made = audit_log.create().await? || made.contains(&true);
        Ok(made)
    }
}
