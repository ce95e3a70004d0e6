//! The lake: Delta tables below one folder, and the only code that writes them.
//!
//! - [`location`] says where a lake can be
//! - [`store`] makes local disks durable; [`cloud`] speaks to object stores; [`unity`] asks a workspace for one
//! - [`log`] reads a Delta log without listing it; [`known`] keeps what was read of it; [`delta`] is delta-rs's view
//! - [`reader`] is Parquet's view of a data file
//! - [`table`] writes data files and commits, and reads rows back
//! - [`ledger`] appends to the audit log: group commit, idempotence, conflicts
//! - [`projector`] computes the other tables from it, exactly once; [`rebuild`] makes them anew
//! - [`scan`] walks the audit log a few rows at a time
//! - [`extent`] counts the rows of a table up to a position of the ledger
//! - [`verify`] proves that nothing was changed; [`doctor`] that a place is fit for a lake
//! - [`lease`], [`maintenance`] keep the tables healthy, one owner at a time; [`merge`] makes one file of several

pub mod cloud;
mod delta;
pub mod doctor;
pub mod extent;
mod known;
pub mod lease;
pub mod ledger;
pub mod location;
pub mod log;
pub mod maintenance;
mod merge;
pub mod projector;
mod reader;
pub mod rebuild;
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
use cloud::Variables;
use location::{CatalogPlace, Location, VolumePath};
use table::Table;
use unity::CatalogStore;

pub type Result<T, E = LakeError> = std::result::Result<T, E>;

/// What can go wrong with a lake.
#[derive(Debug, thiserror::Error)]
pub enum LakeError {
    #[error("there is no lake at {0}")]
    NoLake(String),
    #[error("{text:?} is not a place for a lake: {reason}")]
    BadLocation { text: String, reason: String },
    /// A store that cannot be opened as things are set. Holds no secret.
    #[error("{place} cannot be used: {reason}")]
    BadSetting { place: String, reason: String, hint: String },
    /// A store in which two writers could both believe that they wrote the same commit.
    #[error("{0} does not refuse a second writer of one file")]
    Unguarded(String),
    /// A log file that is not whole. Nothing is read past it.
    #[error("{table}/{file} is damaged: {detail}")]
    Torn { table: String, file: String, detail: String },
    /// A table that another program changed so that this one cannot read or write it.
    #[error(transparent)]
    Unsupported(#[from] log::protocol::Unsupported),
    /// The ledger says something that no writer of this kind could have written.
    #[error("the audit log is damaged: {0}")]
    Corrupt(String),
    /// A put whose fate could not be learnt in time.
    #[error("it is not known whether commit {version} of {table} was written")]
    OutcomeUnknown { table: String, version: u64 },
    #[error("{table} was written by others {attempts} times in a row")]
    TooBusy { table: String, attempts: u32 },
    #[error("the lease of {0} was taken over by somebody else")]
    Fenced(String),
    #[error("the storage failed")]
    Store(#[from] object_store::Error),
    #[error("a Parquet file cannot be written or read")]
    Parquet(#[from] ParquetError),
    #[error("rows do not fit their table")]
    Arrow(#[from] ArrowError),
    #[error("a value cannot be written as JSON, or a stored one cannot be read")]
    Json(#[from] serde_json::Error),
    #[error("delta-rs failed")]
    Delta(#[from] deltalake::DeltaTableError),
    /// A request that is not legal as the incident stands.
    #[error(transparent)]
    Refused(#[from] crate::domain::incident::Refusal),
    #[error("there is no incident {0} in this lake")]
    NoIncident(IncidentId),
    /// What a request was computed from has changed since: compute it again.
    #[error("somebody else recorded the like in the meantime")]
    Outdated,
    /// The committer has gone; the reason has been told to whoever came first.
    #[error("the ledger has stopped after an earlier error")]
    Stopped,
}

impl LakeError {
    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NoLake(_) => "make one with `ops-runbook init`, or point --lake at an existing one".into(),
            Self::BadLocation { .. } => location::EXAMPLES.into(),
            Self::BadSetting { hint, .. } => hint.clone(),
            Self::Unguarded(_) => {
                "records could be lost there; choose a store with conditional writes: S3, Azure, Google, a local disk"
                    .into()
            }
            Self::Torn { table, file, .. } if file.ends_with("_last_checkpoint") => {
                format!("remove {table}/{file}; the checkpoint itself is found without it")
            }
            Self::Torn { table, file, .. } if table != catalog::AUDIT_LOG.name => format!(
                "it is computed from the audit log: restore {table}/{file} from a backup, or move the folder {table} away, and \
                 the next command that needs it makes it anew"
            ),
            Self::Torn { table, file, .. } => format!(
                "a writer without fsync lost power here, or the file was changed. Restore {table}/{file} from a backup. \
                 If it is the newest commit and nobody was told that it succeeded, move it away, then run `audit verify`"
            ),
            Self::Unsupported(unsupported) => unsupported.hint(),
            Self::Corrupt(_) => "run `audit verify`, which names every row that is wrong".into(),
            Self::OutcomeUnknown { .. } => {
                "send the same request again: it is answered as recorded, or recorded now, never twice".into()
            }
            Self::Refused(refusal) => refusal.hint.clone(),
            Self::NoIncident(_) => "`ops-runbook incident list` shows which there are".into(),
            Self::TooBusy { .. } | Self::Fenced(_) | Self::Outdated => "try again".into(),
            Self::Store(error) => return unity::hint(error).or_else(|| cloud::hint(error)),
            _ => return None,
        })
    }

    /// Whether another attempt could end differently.
    fn passing(error: &object_store::Error) -> bool {
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

/// Where the present comes from.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Where ids come from; clones go on where the others are.
type Ids = Arc<Mutex<ChaCha8Rng>>;

/// Everything that would make two runs differ: the clock, the ids, the configuration. Given from outside, so that a run can
/// be repeated.
#[derive(Clone)]
pub struct Context {
    pub clock: Clock,
    seed: u64,
    ids: Ids,
    /// Of each table its own, so that no id depends on which of several tables is written first.
    streams: Arc<Mutex<BTreeMap<&'static str, Ids>>>,
    /// What is decided by configuration.
    pub policy: Arc<Policy>,
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Context")
    }
}

impl Context {
    /// The system's clock, random ids.
    pub fn system() -> Self {
        #[expect(clippy::disallowed_methods, reason = "the one place that asks the system for the time")]
        let clock = || Timestamp::new(DateTime::<Utc>::from(std::time::SystemTime::now()));
        Self::new(Arc::new(clock), rand::random())
    }

    /// Ids that follow from `seed`.
    pub fn new(clock: Clock, seed: u64) -> Self {
        let ids = Arc::new(Mutex::new(ChaCha8Rng::seed_from_u64(seed)));
        Self { clock, seed, ids, streams: Arc::default(), policy: Arc::default() }
    }

    pub fn with_policy(self, policy: Policy) -> Self {
        Self { policy: Arc::new(policy), ..self }
    }

    /// The same, with ids that follow from the seed and `table` only.
    fn of(&self, table: &'static str) -> Self {
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

/// Pauses between attempts: 20 ms, doubled each time up to 2 s, each a random half to whole of that.
#[derive(Debug)]
pub(crate) struct Backoff {
    attempt: u32,
}

impl Backoff {
    /// About ten seconds in all.
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

    /// Waits when trying again can help, else gives the error back.
    pub(crate) async fn again_or(&mut self, error: object_store::Error) -> Result<()> {
        if self.exhausted() || !LakeError::passing(&error) {
            return Err(error.into());
        }
        self.pause().await;
        Ok(())
    }
}

/// What the environment says about stores. Given from outside, so that the lake reads no environment.
#[derive(Debug, Clone, Default)]
pub struct Surroundings {
    pub variables: Variables,
    /// The workspace that knows `uc://`.
    pub workspace: Option<Client>,
    /// Where lakes at `uc://catalog.schema` are instead of in the schema's own storage: a URL.
    pub catalog_root: Option<String>,
    /// Where SQL finds the lake's files, of a lake in a volume whose location does not say so: [`VolumePath`].
    pub volume_path: Option<String>,
    /// How long an object store that the location names may take to answer a request, instead of 30 s.
    pub request_timeout: Option<Duration>,
}

/// A lake, opened. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Lake {
    url: Url,
    /// Rooted at the storage system's root, because delta-rs wants that one too.
    root: Arc<dyn ObjectStore>,
    prefix: Path,
    /// Who knows where it is, when the location does not say so.
    catalog: Option<Arc<CatalogStore>>,
    volume_path: Option<VolumePath>,
    known: Arc<known::Known>,
    pub context: Context,
}

impl Lake {
    /// A lake at a [`Location`] that needs nothing from the environment: a local folder, as a rule.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn at(location: &str, context: Context) -> Result<Self> {
        Self::open(location, &Surroundings::default(), context)
    }

    /// A lake at a [`Location`]. Nothing is asked, read or made yet.
    ///
    /// # Errors
    /// [`LakeError::BadLocation`], [`LakeError::BadSetting`].
    pub fn open(location: &str, surroundings: &Surroundings, context: Context) -> Result<Self> {
        let location = location.parse::<Location>()?.in_account(surroundings.variables.azure_account());
        let mut catalog = None;
        let (root, prefix): (Arc<dyn ObjectStore>, Path) = match &location {
            Location::Folder(folder) => {
                let prefix = Path::from_absolute_path(folder).map_err(|error| LakeError::BadLocation {
                    text: location.to_string(),
                    reason: error.to_string(),
                })?;
                (Arc::new(store::DurableLocal::new(folder.join(".staging"))), prefix)
            }
            Location::Catalog(place) => {
                let Some(workspace) = surroundings.workspace.clone() else {
                    return Err(LakeError::BadSetting {
                        place: location.to_string(),
                        reason: "no workspace is known".into(),
                        hint: "set DATABRICKS_HOST and DATABRICKS_TOKEN".into(),
                    });
                };
                let root = surroundings.catalog_root.clone();
                let store = CatalogStore::new(place.clone(), workspace, surroundings.variables.clone(), root)?;
                let store = catalog.insert(Arc::new(store));
                (Arc::new(unity::Shared(Arc::clone(store))), Path::default())
            }
            _ => (
                cloud::open(&location, &surroundings.variables, None, surroundings.request_timeout)?,
                location.prefix(),
            ),
        };
        let volume_path = match (&surroundings.volume_path, &location) {
            (Some(path), _) => Some(path.parse()?),
            (None, Location::Catalog(CatalogPlace::Volume { volume, folder })) => {
                Some(VolumePath::in_volume(volume, folder)?)
            }
            (None, _) => None,
        };
        Ok(Self { url: location.url()?, root, prefix, catalog, volume_path, known: Arc::default(), context })
    }

    /// A lake at `url` on any store that puts if absent. `root` is rooted at the storage system's root.
    pub fn with_store(url: Url, root: Arc<dyn ObjectStore>, prefix: Path, context: Context) -> Self {
        Self { url, root, prefix, catalog: None, volume_path: None, known: Arc::default(), context }
    }

    pub fn url(&self) -> &Url {
        &self.url
    }

    /// The URL of the lake's files as other engines take it. For a place in Unity Catalog, the workspace is asked.
    ///
    /// # Errors
    /// The workspace's, inside the store's.
    pub async fn storage_url(&self) -> Result<Url> {
        match &self.catalog {
            Some(catalog) => catalog.place().await?.url(),
            None => Ok(self.url.clone()),
        }
    }

    /// Where SQL finds the files of a lake in a volume. `None`: its tables are registered where they are.
    pub fn volume_path(&self) -> Option<&VolumePath> {
        self.volume_path.as_ref()
    }

    /// For people: a path for a local lake, else the URL without its last slash.
    pub fn display(&self) -> String {
        let url = || self.url.as_str().trim_end_matches('/').to_owned();
        self.url.to_file_path().map_or_else(|()| url(), |path| path.display().to_string())
    }

    /// The store below `name`.
    pub(crate) fn store(&self, name: &str) -> Arc<dyn ObjectStore> {
        Arc::new(PrefixStore::new(Arc::clone(&self.root), self.prefix.clone().join(name)))
    }

    /// A table, whether or not it exists.
    pub fn table(&self, def: &'static TableDef) -> Table {
        Table::new(def, self)
    }

    /// Makes whatever table is missing. Safe to run by many at once, and again. Tells whether anything was made.
    ///
    /// # Errors
    /// The store's.
    pub async fn init(&self) -> Result<bool> {
        let audit_log = self.table(catalog::AUDIT_LOG);
        if self.url.scheme() != "file" && !audit_log.exists().await? && !doctor::refuses_second_writer(self).await? {
            return Err(LakeError::Unguarded(self.display()));
        }
        // The audit log last: where it is, the others are.
        let projections = catalog::PROJECTIONS.map(|def| async { self.table(def).create().await });
        let made = futures::future::try_join_all(projections).await?;
        let made = audit_log.create().await? || made.contains(&true);
        Ok(made)
    }
}
