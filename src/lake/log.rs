//! Reads a Delta log without listing it: the last checkpoint, then one commit after another until there is none.
//!
//! - here: commits, and the log that is replayed from them
//! - [`checkpoint`]: the log at one version
//! - [`protocol`]: requirements of a table on its readers and writers
//!
//! A commit that is empty, torn, or shorter than its own line count is an error, never an empty commit. A commit that requires an
//! unsupported feature is an error too: ignoring a deletion vector would bring deleted rows back.

mod checkpoint;
pub mod protocol;

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use object_store::{ObjectStore, ObjectStoreExt, path::Path};
use serde::{Deserialize, Serialize, de::IgnoredAny};
use uuid::Uuid;

use super::{LakeError, Result};
use crate::domain::{chain::Head, ids::RequestKey, time::Timestamp};
use protocol::{LogFile, Protocol, Unsupported};

/// The application id of the projection's `txn` actions; their version is the last `seq` projected.
pub const PROJECTION_APP_ID: &str = "ops-runbook/projection";

/// A live data file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AddFile {
    pub path: String,
    #[serde(default)]
    pub partition_values: BTreeMap<String, Option<String>>,
    pub size: i64,
    /// Milliseconds since the epoch.
    pub modification_time: i64,
    pub data_change: bool,
    pub stats: Option<String>,
}

/// `numRecords`, `minValues` and `maxValues` of a file.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FileStats {
    pub num_records: Option<u64>,
    #[serde(default)]
    min_values: HashMap<String, serde_json::Value>,
    #[serde(default)]
    max_values: HashMap<String, serde_json::Value>,
}

impl FileStats {
    pub fn min_u64(&self, column: &str) -> Option<u64> {
        self.min_values.get(column)?.as_u64()
    }

    pub fn max_u64(&self, column: &str) -> Option<u64> {
        self.max_values.get(column)?.as_u64()
    }

    /// Returns the minimum, truncated to milliseconds as in Delta: a row may be less than a millisecond later.
    pub fn min_time(&self, column: &str) -> Option<Timestamp> {
        self.min_values.get(column)?.as_str()?.parse().ok()
    }

    /// As [`Self::min_time`].
    pub fn max_time(&self, column: &str) -> Option<Timestamp> {
        self.max_values.get(column)?.as_str()?.parse().ok()
    }

    /// Returns false only if no row of the file can have `text` in `column`.
    pub fn may_hold(&self, column: &str, text: &str) -> bool {
        let below = self.min_values.get(column).and_then(|min| min.as_str()).is_some_and(|min| text < min);
        let above = self.max_values.get(column).and_then(|max| max.as_str()).is_some_and(|max| text > max);
        !below && !above
    }
}

impl AddFile {
    /// Returns the file's statistics. They are empty if the file has none, or if they cannot be parsed.
    pub fn parse_stats(&self) -> FileStats {
        self.stats.as_deref().and_then(|stats| serde_json::from_str(stats).ok()).unwrap_or_default()
    }
}

/// A file that is no longer live.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RemoveFile {
    pub path: String,
    /// Milliseconds since the epoch.
    pub deletion_timestamp: Option<i64>,
    pub data_change: bool,
    pub extended_file_metadata: Option<bool>,
    #[serde(default)]
    pub partition_values: Option<BTreeMap<String, Option<String>>>,
    pub size: Option<i64>,
}

/// The metadata that this program writes to its commits, in `commitInfo.opsRunbook`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CommitNote {
    /// Identifies our commit after the response of a put was lost.
    pub commit_id: Uuid,
    /// The number of lines in the commit, including this one. A commit with fewer lines is torn.
    pub actions: usize,
    /// `audit_log` only: the head of the chain after this commit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub head: Option<LedgerHead>,
    /// `audit_log` only: the keys of the requests in this commit, in order of `seq`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<RequestKey>,
    /// Maintenance only: the fencing epoch of its lease.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epoch: Option<u64>,
}

/// The newest position of the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerHead {
    #[serde(flatten)]
    pub chain: Head,
    /// The number of incidents that have been opened.
    pub incidents: u64,
}

/// The parts of a commit that this program uses.
#[derive(Debug, Clone, Default)]
pub struct Commit {
    pub version: u64,
    pub note: Option<CommitNote>,
    pub adds: Vec<AddFile>,
    pub removes: Vec<RemoveFile>,
    pub projected_to: Option<i64>,
    /// Whether this program may write the table from this commit on. `None`: unchanged.
    pub may_write: Option<Result<(), Unsupported>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    commit_info: Option<CommitInfoLine>,
    add: Option<AddLine>,
    remove: Option<RemoveFile>,
    txn: Option<TxnLine>,
    protocol: Option<Protocol>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AddLine {
    #[serde(flatten)]
    file: AddFile,
    deletion_vector: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CommitInfoLine {
    ops_runbook: Option<CommitNote>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TxnLine {
    app_id: String,
    version: i64,
}

/// `_delta_log/00000000000000000017.json`
pub fn commit_path(version: u64) -> Path {
    Path::from(format!("_delta_log/{version:020}.json"))
}

/// `_delta_log/00000000000000000017.checkpoint.parquet`
pub fn checkpoint_path(version: u64) -> Path {
    Path::from(format!("_delta_log/{version:020}.checkpoint.parquet"))
}

pub fn last_checkpoint_path() -> Path {
    Path::from("_delta_log/_last_checkpoint")
}

impl Commit {
    /// # Errors
    /// [`LakeError::Torn`] if the bytes are not a complete commit; [`LakeError::Unsupported`] if the commit requires an
    /// unsupported reader feature.
    pub fn parse(table: &str, version: u64, bytes: &[u8]) -> Result<Self> {
        let file = LogFile { table, version, path: &commit_path(version) };
        let torn = |detail: String| file.torn(detail);
        if bytes.iter().all(|byte| byte.is_ascii_whitespace() || *byte == 0) {
            return Err(torn(format!("it is empty ({} bytes)", bytes.len())));
        }
        let mut commit = Self { version, ..Self::default() };
        let mut lines = 0;
        for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()) {
            lines += 1;
            let line: Line = serde_json::from_slice(line).map_err(|error| torn(format!("line {lines}: {error}")))?;
            if let Some(AddLine { file: add, deletion_vector }) = line.add {
                if deletion_vector.is_some() {
                    return Err(file.has_deleted_rows(&add.path).into());
                }
                commit.adds.push(add);
            }
            if let Some(protocol) = line.protocol {
                commit.may_write = Some(file.admits(&protocol)?);
            }
            commit.removes.extend(line.remove);
            if let Some(info) = line.commit_info {
                commit.note = info.ops_runbook.or(commit.note);
            }
            if let Some(txn) = line.txn.filter(|txn| txn.app_id == PROJECTION_APP_ID) {
                commit.projected_to = Some(txn.version);
            }
        }
        match &commit.note {
            Some(note) if note.actions != lines => {
                Err(torn(format!("it has {lines} of the {} lines it was written with", note.actions)))
            }
            _ => Ok(commit),
        }
    }
}

/// A table's log up to the newest version that this process has read.
#[derive(Debug, Clone)]
pub struct Log {
    pub version: u64,
    /// The id of its last commit. It differs if the table was created again at the same location.
    pub commit_id: Option<Uuid>,
    /// When this version was last known to be the newest.
    pub read_at: Option<Timestamp>,
    pub checkpoint: Option<u64>,
    pub files: BTreeMap<String, AddFile>,
    /// The last `seq` projected into this table.
    pub projected_to: i64,
    /// The newest head in the commits that were read.
    pub head: Option<LedgerHead>,
    /// The `seq` of each request that was recorded since [`Log::indexed_from`].
    pub recent: HashMap<RequestKey, u64>,
    /// `recent` holds every row from this `seq` on.
    pub indexed_from: Option<u64>,
    /// The newest maintenance epoch in the log.
    pub epoch: u64,
    /// Whether this program may write the table.
    pub may_write: Result<(), Unsupported>,
}

impl Log {
    fn empty() -> Self {
        Self {
            version: 0,
            commit_id: None,
            read_at: None,
            checkpoint: None,
            files: BTreeMap::new(),
            projected_to: 0,
            head: None,
            recent: HashMap::new(),
            indexed_from: None,
            epoch: 0,
            may_write: Ok(()),
        }
    }

    /// Applies the next commit.
    pub fn apply(&mut self, commit: &Commit) {
        self.version = commit.version;
        self.commit_id = commit.note.as_ref().map(|note| note.commit_id);
        for remove in &commit.removes {
            self.files.remove(&remove.path);
        }
        for add in &commit.adds {
            self.files.insert(add.path.clone(), add.clone());
        }
        if let Some(projected_to) = commit.projected_to {
            self.projected_to = projected_to;
        }
        if let Some(may_write) = &commit.may_write {
            self.may_write = may_write.clone();
        }
        if let Some(note) = &commit.note {
            self.epoch = self.epoch.max(note.epoch.unwrap_or(0));
            if let Some(head) = &note.head {
                let first = (head.chain.seq + 1).saturating_sub(note.keys.len() as u64);
                if self.indexed_from.is_none() {
                    self.indexed_from = Some(first);
                }
                self.recent.extend(note.keys.iter().cloned().zip(first..));
                self.head = Some(head.clone());
            }
        }
    }

    /// Reads a table's log from its last checkpoint on. `None`: there is no table.
    ///
    /// # Errors
    /// Errors of the store; [`LakeError::Torn`] for an incomplete commit or checkpoint; [`LakeError::Unsupported`] for an
    /// unsupported reader feature.
    pub async fn load(store: &dyn ObjectStore, table: &str) -> Result<Option<Self>> {
        let mut log = match checkpoint::last(store, table).await? {
            Some(version) => checkpoint::read(store, table, version).await?,
            None => match read_commit(store, table, 0).await? {
                Some(first) => {
                    let mut log = Self::empty();
                    log.apply(&first);
                    log
                }
                None => return Ok(None),
            },
        };
        log.catch_up(store, table).await?;
        Ok(Some(log))
    }

    /// Reads newer commits.
    ///
    /// # Errors
    /// As [`Log::load`].
    pub async fn catch_up(&mut self, store: &dyn ObjectStore, table: &str) -> Result<()> {
        let mut window = 2;
        loop {
            let first = self.version + 1;
            let commits: Vec<Option<Commit>> = futures::stream::iter(first..first + window)
                .map(|version| read_commit(store, table, version))
                .buffered(16)
                .try_collect()
                .await?;
            let end = commits.iter().position(Option::is_none);
            for commit in commits.iter().map_while(Option::as_ref) {
                self.apply(commit);
            }
            match end {
                None => window = (window * 2).min(64),
                Some(end) if commits.iter().skip(end).all(Option::is_none) => return Ok(()),
                // A later commit exists: this one was written in the meantime, or it was removed.
                Some(_) => {
                    let missing = self.version + 1;
                    if read_commit(store, table, missing).await?.is_none() {
                        return Err(LakeError::Torn {
                            table: table.into(),
                            file: commit_path(missing).to_string(),
                            detail: "it is missing, although later commits exist".into(),
                        });
                    }
                }
            }
        }
    }

    /// Clears the index of requests, which only the ledger needs.
    pub fn forget_requests(&mut self) {
        self.recent = HashMap::new();
        self.indexed_from = None;
    }

    /// Returns whether a checkpoint is due.
    pub fn checkpoint_due(&self) -> bool {
        self.version - self.checkpoint.unwrap_or(0) >= crate::tables::CHECKPOINT_INTERVAL
    }
}

/// Reads a commit. `None`: there is no such commit.
///
/// # Errors
/// Errors of the store and of [`Commit::parse`].
pub async fn read_commit(store: &dyn ObjectStore, table: &str, version: u64) -> Result<Option<Commit>> {
    match get(store, &commit_path(version)).await? {
        Some(bytes) => Commit::parse(table, version, &bytes).map(Some),
        None => Ok(None),
    }
}

/// Reads an object. `None`: there is no such object. Retries after transient errors.
///
/// # Errors
/// Errors of the store that persist.
pub async fn get(store: &dyn ObjectStore, path: &Path) -> Result<Option<Bytes>> {
    let mut pause = super::Backoff::new();
    loop {
        let outcome = match store.get(path).await {
            Ok(found) => found.bytes().await,
            Err(error) => Err(error),
        };
        match outcome {
            Ok(bytes) => return Ok(Some(bytes)),
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(error) => pause.retry_or_fail(error).await?,
        }
    }
}
