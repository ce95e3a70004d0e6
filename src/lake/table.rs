//! One Delta table: creates it, writes data files, puts commits with put-if-absent, reads rows.

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use arrow::{
    array::{Array, AsArray, BooleanArray, RecordBatch, StringArray},
    compute::{max, max_string, min, min_string},
    datatypes::{DataType, Int64Type, TimeUnit, TimestampMicrosecondType},
};
use chrono::SecondsFormat;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload, path::Path};
use parquet::{
    arrow::{
        ArrowWriter, ParquetRecordBatchStreamBuilder, ProjectionMask,
        arrow_reader::{ArrowPredicate, ArrowPredicateFn, RowFilter},
    },
    basic::{Compression, ZstdLevel},
    file::{
        properties::{BloomFilterPosition, WriterProperties},
        statistics::Statistics,
    },
    schema::types::ColumnPath,
};
use serde_json::{Map, Value, json};
use url::Url;
use uuid::Uuid;

use super::{
    Backoff, Context, Lake, LakeError, Result,
    cache::CachedTable,
    log::{AddFile, Commit, CommitNote, Log, PROJECTION_APP_ID, RemoveFile, commit_path, read_commit},
    maintenance::MIN_RETENTION_HOURS,
    reader::DataFileReader,
};
use crate::{
    domain::time::Timestamp,
    tables::{Kind, TableDef, catalog::AUDIT_LOG, ddl},
};

/// Rows in a row group. A look-up reads at most one group, and a writer holds one in memory.
const ROW_GROUP_ROWS: usize = 16_384;

/// The maximum age of a log at a commit: half of the shortest retention.
const MAX_LOG_AGE_SECONDS: f64 = MIN_RETENTION_HOURS as f64 * 1_800.0;

/// Data files that are read concurrently: each takes at least one round trip to an object store.
pub(super) const CONCURRENT_READS: usize = 16;

/// The name of this program in every commit and data file.
pub const ENGINE: &str = concat!("ops-runbook/", env!("CARGO_PKG_VERSION"));

/// The result of a commit. A conflict is not an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommitResponse {
    Committed,
    /// A concurrent writer committed this version.
    Conflict,
}

/// Commits that are read after a failed put: the one of this version, and the next.
const COMMITS_READ_AFTER_ERROR: usize = 2;

/// The writer of the commit that is stored for a version.
#[derive(Debug)]
enum CommitOwner {
    Own,
    /// The commit of a concurrent writer, and the next commit if there is one.
    Other(Vec<Commit>),
}

impl CommitOwner {
    fn outcome(&self) -> CommitResponse {
        match self {
            Self::Own => CommitResponse::Committed,
            Self::Other(_) => CommitResponse::Conflict,
        }
    }
}

/// The content of a commit.
#[derive(Debug, Clone)]
pub struct CommitDraft {
    pub operation: &'static str,
    pub adds: Vec<AddFile>,
    pub removes: Vec<RemoveFile>,
    pub projected_to: Option<u64>,
    /// `actions` is set when the commit is written.
    pub note: CommitNote,
}

/// A handle on a table's folder.
#[derive(Debug, Clone)]
pub struct Table {
    pub def: &'static TableDef,
    pub store: Arc<dyn ObjectStore>,
    /// The lake, as [`Lake::display`] shows it.
    lake: String,
    context: Context,
    cache: Arc<CachedTable>,
}

impl Table {
    pub fn new(def: &'static TableDef, lake: &Lake) -> Self {
        Self {
            def,
            store: lake.store(def.name),
            lake: lake.display(),
            context: lake.context.for_table(def.name),
            cache: lake.cache.table(def),
        }
    }

    /// Returns a handle on a table with this definition in another folder of the lake.
    pub fn in_folder(def: &'static TableDef, lake: &Lake, folder: &str) -> Self {
        Self { store: lake.store(folder), cache: Arc::default(), ..Self::new(def, lake) }
    }

    /// Returns the note for a new commit.
    pub fn note(&self) -> CommitNote {
        CommitNote::new(self.context.uuid(), 0)
    }

    pub fn name(&self) -> &'static str {
        self.def.name
    }

    /// Writes commit 0: protocol, schema, comments, properties. Returns false if the table exists.
    ///
    /// # Errors
    /// Errors of the store.
    pub async fn create(&self) -> Result<bool> {
        // With this check a second `init` writes nothing.
        if self.exists().await? {
            return Ok(false);
        }
        let commit_id = self.context.uuid();
        let now = self.context.now();
        let properties: Map<String, Value> =
            ddl::properties(self.def).into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        let lines = [
            self.commit_info("CREATE TABLE", &CommitNote::new(commit_id, 3), now),
            json!({ "protocol": { "minReaderVersion": 1, "minWriterVersion": 2 } }),
            json!({ "metaData": {
                "id": self.context.uuid(),
                "name": self.def.name,
                "description": self.def.comment(),
                "format": { "provider": "parquet", "options": {} },
                "schemaString": ddl::delta_schema(self.def).to_string(),
                "partitionColumns": [],
                "configuration": properties,
                "createdTime": now.utc().timestamp_millis(),
            }}),
        ];
        Ok(self.put_commit(0, join_lines(&lines), commit_id).await?.outcome() == CommitResponse::Committed)
    }

    /// Returns whether the table exists.
    ///
    /// # Errors
    /// Errors of the store.
    pub async fn exists(&self) -> Result<bool> {
        let get = |path| async move { super::log::get(self.store.as_ref(), &path).await };
        let (first, checkpoint) = tokio::try_join!(get(commit_path(0)), get(super::log::last_checkpoint_path()))?;
        Ok(first.is_some() || checkpoint.is_some())
    }

    fn commit_info(&self, operation: &str, note: &CommitNote, now: Timestamp) -> Value {
        json!({ "commitInfo": {
            "timestamp": now.utc().timestamp_millis(),
            "operation": operation,
            "operationParameters": if operation == "WRITE" { json!({ "mode": "Append" }) } else { json!({}) },
            "isBlindAppend": operation == "WRITE",
            "engineInfo": ENGINE,
            "opsRunbook": note,
        }})
    }

    /// Reads the whole log.
    ///
    /// # Errors
    /// As [`Log::load`]; [`LakeError::NoLake`] if there is no such table.
    pub async fn log(&self) -> Result<Log> {
        self.try_log().await?.ok_or_else(|| self.missing())
    }

    /// As [`Self::log`]. `None`: there is no such table.
    ///
    /// # Errors
    /// As [`Log::load`].
    pub async fn try_log(&self) -> Result<Option<Log>> {
        let read_at = self.context.now();
        let log = Log::load(self.store.as_ref(), self.name()).await?;
        Ok(log.map(|log| Log { read_at: Some(read_at), ..log }))
    }

    /// Returns the current log. Reads only commits that this process has not read yet. A caller that must not rely on this
    /// cache, such as a verification, uses [`Self::log`].
    ///
    /// # Errors
    /// As [`Self::log`].
    pub async fn newest_log(&self) -> Result<Log> {
        self.try_newest_log().await?.ok_or_else(|| self.missing())
    }

    /// As [`Self::newest_log`]. `None`: there is no such table.
    ///
    /// # Errors
    /// As [`Log::load`].
    pub async fn try_newest_log(&self) -> Result<Option<Log>> {
        let asked = Instant::now();
        let mut known = self.cache.log.lock().await;
        let begun = Instant::now();
        let mut newest = match known.take() {
            // Another call began to read after this one started: its log is new enough.
            Some((read, log)) if read >= asked => return Ok(Some(known.insert((read, log)).1.clone())),
            // Another process may have written the due checkpoint in the meantime.
            Some((_, log)) if log.checkpoint_due() => self.try_log().await?,
            Some((_, mut log)) => {
                let (version, id) = (log.version, log.commit_id);
                let last = read_commit(self.store.as_ref(), self.name(), version);
                match tokio::join!(last, self.refresh(&mut log)) {
                    (Ok(Some(last)), Ok(())) if id.is_some() && id == last.note.as_ref().map(|note| note.commit_id) => {
                        Some(log)
                    }
                    // The last known commit is missing: cleanup removed it, or the table was created again.
                    _ => {
                        *self.cache.delta.lock().await = None;
                        self.try_log().await?
                    }
                }
            }
            None => self.try_log().await?,
        };
        if let Some(log) = &mut newest {
            log.forget_requests();
            *known = Some((begun, log.clone()));
        }
        Ok(newest)
    }

    /// Returns whether a checkpoint is due, from the last log that this process has read. Reads the log if it is not cached, or if
    /// the cached one says that a checkpoint is due.
    ///
    /// # Errors
    /// As [`Self::newest_log`].
    pub async fn checkpoint_due(&self) -> Result<bool> {
        let seen = self.cache.log.lock().await.as_ref().map(|(_, log)| log.checkpoint_due());
        match seen {
            Some(false) => Ok(false),
            _ => Ok(self.newest_log().await?.checkpoint_due()),
        }
    }

    fn missing(&self) -> LakeError {
        let is_audit_log = self.name() == AUDIT_LOG.name;
        LakeError::NoLake(if is_audit_log {
            self.lake.clone()
        } else {
            format!("{} (table {})", self.lake, self.name())
        })
    }

    /// Returns whether a commit may be based on `log`. Cleanup removes old commits: with an outdated log, the version of a removed
    /// commit would look free.
    pub fn is_fresh(&self, log: &Log) -> bool {
        let now = self.context.now();
        log.read_at.is_some_and(|read_at| (0.0..MAX_LOG_AGE_SECONDS).contains(&now.seconds_since(read_at)))
    }

    /// Reads newer commits; reads the whole log if it was read too long ago.
    ///
    /// # Errors
    /// As [`Log::load`].
    pub async fn refresh(&self, log: &mut Log) -> Result<()> {
        if !self.is_fresh(log) {
            *log = self.log().await?;
            return Ok(());
        }
        let read_at = self.context.now();
        log.catch_up(self.store.as_ref(), self.name()).await?;
        log.read_at = Some(read_at);
        Ok(())
    }

    /// Writes a batch as one data file, and returns its `add` action. The file has no effect until a commit adds it.
    ///
    /// # Errors
    /// Errors of the store and of Parquet.
    pub async fn write_file(&self, batch: &RecordBatch, data_change: bool) -> Result<AddFile> {
        let mut file = self.new_file(batch.num_rows() as u64)?;
        file.write(batch)?;
        self.put_file(file, data_change).await
    }

    /// Returns the writer of a new data file of about `rows` rows.
    ///
    /// # Errors
    /// Errors of Parquet.
    pub(super) fn new_file(&self, rows: u64) -> Result<DataFileWriter> {
        let writer = ArrowWriter::try_new(Vec::new(), self.def.arrow_schema(), Some(properties(self.def, rows)?))?;
        Ok(DataFileWriter { writer, def: self.def, tally: StatsCollector::default() })
    }

    /// Finishes a data file and stores it.
    ///
    /// # Errors
    /// As [`Self::write_file`].
    pub(super) async fn put_file(&self, file: DataFileWriter, data_change: bool) -> Result<AddFile> {
        let DataFileWriter { writer, tally, .. } = file;
        let bytes = writer.into_inner()?;
        let path = format!("part-{}.zstd.parquet", self.context.uuid());
        let size = bytes.len() as i64;
        let payload = PutPayload::from(bytes);
        let mut pause = Backoff::new();
        // The name is new, so a put may be retried even if it succeeded without a response.
        while let Err(error) = self.store.put(&Path::from(path.as_str()), payload.clone()).await {
            pause.retry_or_fail(error).await?;
        }
        Ok(AddFile {
            path,
            partition_values: BTreeMap::new(),
            size,
            modification_time: self.context.now().utc().timestamp_millis(),
            data_change,
            stats: Some(tally.stats().to_string()),
        })
    }

    /// Removes data files that no commit names, in the background: Google removes a new file only after a second. A failure is
    /// harmless, because vacuum removes the files later.
    pub fn discard(&self, files: &[AddFile]) {
        for file in files {
            let (store, path) = (Arc::clone(&self.store), Path::from(file.path.as_str()));
            tokio::spawn(async move { store.delete(&path).await });
        }
    }

    /// Tries to commit a draft as the version after `log`. A log that was read too long ago counts as a conflict: refresh it.
    ///
    /// # Errors
    /// Errors of the store; [`LakeError::Unsupported`] if the table requires an unsupported writer feature;
    /// [`LakeError::OutcomeUnknown`] if it remains unknown whether the commit was stored.
    pub async fn commit(&self, log: &Log, draft: &CommitDraft) -> Result<CommitResponse> {
        if !self.is_fresh(log) {
            return Ok(CommitResponse::Conflict);
        }
        Ok(self.put(log, draft).await?.outcome())
    }

    /// As [`Self::commit`]. After a conflict `log` includes the concurrent writers' commits. The check of a failed put reads this
    /// version and the next together, so a conflict takes one more round trip, not two.
    ///
    /// # Errors
    /// As [`Self::commit`].
    pub async fn commit_or_catch_up(&self, log: &mut Log, draft: &CommitDraft) -> Result<CommitResponse> {
        if !self.is_fresh(log) {
            self.refresh(log).await?;
            return Ok(CommitResponse::Conflict);
        }
        let read_at = self.context.now();
        match self.put(log, draft).await? {
            CommitOwner::Own => Ok(CommitResponse::Committed),
            CommitOwner::Other(commits) => {
                commits.iter().for_each(|commit| log.apply(commit));
                if commits.len() < COMMITS_READ_AFTER_ERROR {
                    log.read_at = Some(read_at);
                } else {
                    self.refresh(log).await?;
                }
                Ok(CommitResponse::Conflict)
            }
        }
    }

    async fn put(&self, log: &Log, draft: &CommitDraft) -> Result<CommitOwner> {
        log.may_write.clone()?;
        let mut lines = Vec::with_capacity(2 + draft.adds.len() + draft.removes.len());
        if let Some(projected_to) = draft.projected_to {
            lines.push(json!({ "txn": { "appId": PROJECTION_APP_ID, "version": projected_to } }));
        }
        for add in &draft.adds {
            lines.push(json!({ "add": add }));
        }
        for remove in &draft.removes {
            lines.push(json!({ "remove": remove }));
        }
        let note = CommitNote { actions: lines.len() + 1, ..draft.note.clone() };
        lines.insert(0, self.commit_info(draft.operation, &note, self.context.now()));
        self.put_commit(log.version + 1, join_lines(&lines), note.commit_id).await
    }

    /// Puts the same bytes under the same version until it is certain whether they are stored. Only a version that another writer
    /// has committed is a conflict: as long as it is free, an earlier attempt could still succeed.
    async fn put_commit(&self, version: u64, bytes: Vec<u8>, commit_id: Uuid) -> Result<CommitOwner> {
        let payload = PutPayload::from(bytes);
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        let mut pause = Backoff::new();
        loop {
            let outcome = self.store.put_opts(&commit_path(version), payload.clone(), options.clone()).await;
            let Err(error) = outcome else { return Ok(CommitOwner::Own) };
            let (stored, next) = tokio::join!(
                read_commit(self.store.as_ref(), self.name(), version),
                read_commit(self.store.as_ref(), self.name(), version + 1),
            );
            match stored {
                Ok(Some(commit)) => {
                    let ours = commit.note.as_ref().is_some_and(|note| note.commit_id == commit_id);
                    let others =
                        || CommitOwner::Other([Some(commit), next.ok().flatten()].into_iter().flatten().collect());
                    return Ok(if ours { CommitOwner::Own } else { others() });
                }
                Err(error @ (LakeError::Torn { .. } | LakeError::Unsupported(_))) => return Err(error),
                Ok(None) | Err(_) if pause.exhausted() => {
                    return Err(LakeError::OutcomeUnknown { table: self.name().into(), version });
                }
                Ok(None) if !LakeError::is_transient(&error) && !already_there(&error) => return Err(error.into()),
                Ok(None) | Err(_) => pause.pause().await,
            }
        }
    }

    /// Reads `columns` of the selected rows of `files`. Skips files, row groups and pages that cannot hold a selected row.
    ///
    /// # Errors
    /// Errors of the store and of Parquet.
    pub async fn read(&self, files: &[&AddFile], columns: &[&str], rows: RowSelection<'_>) -> Result<Vec<RecordBatch>> {
        let files = files.iter().filter(|file| rows.may_be_in(file));
        let reading: Vec<_> = files.map(|file| self.read_file(file, columns, rows)).collect();
        let read: Vec<Vec<RecordBatch>> = stream::iter(reading).buffered(CONCURRENT_READS).try_collect().await?;
        Ok(read.into_iter().flatten().collect())
    }

    async fn read_file(&self, file: &AddFile, columns: &[&str], rows: RowSelection<'_>) -> Result<Vec<RecordBatch>> {
        let mut builder = ParquetRecordBatchStreamBuilder::new(DataFileReader::new(&self.store, file)).await?;
        let groups = rows.row_groups(self.def, &mut builder).await?;
        if groups.is_empty() {
            return Ok(Vec::new());
        }
        let output = ProjectionMask::columns(builder.parquet_schema(), columns.iter().copied());
        if let Some(predicate) = rows.predicate(&builder) {
            builder = builder.with_row_filter(RowFilter::new(vec![predicate]));
        }
        Ok(builder.with_row_groups(groups).with_projection(output).build()?.try_collect().await?)
    }
}

/// Returns the URL of a table's folder in the lake at `lake`, without a slash at its end.
pub fn folder_url(lake: &Url, def: &TableDef) -> String {
    format!("{}/{}", lake.as_str().trim_end_matches('/'), def.name)
}

/// Returns whether a put-if-absent was refused because the file exists, from another writer or from an earlier attempt.
pub(super) fn already_there(error: &object_store::Error) -> bool {
    matches!(error, object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. })
}

/// A selection of rows to read.
#[derive(Debug, Clone, Copy)]
pub enum RowSelection<'a> {
    All,
    /// The text column is one of the values.
    Where(&'a str, &'a [&'a str]),
    /// `after < seq <= last`.
    Seq {
        after: u64,
        last: u64,
    },
}

type Builder = ParquetRecordBatchStreamBuilder<DataFileReader>;

impl RowSelection<'_> {
    fn may_be_in(&self, file: &AddFile) -> bool {
        match self {
            Self::All => true,
            Self::Where(column, values) => {
                let stats = file.parse_stats();
                values.iter().any(|value| stats.may_hold(column, value))
            }
            Self::Seq { after, last } => {
                let stats = file.parse_stats();
                stats.max_u64("seq").is_none_or(|seq| seq > *after)
                    && stats.min_u64("seq").is_none_or(|seq| seq <= *last)
            }
        }
    }

    /// Returns the row groups that statistics and Bloom filters do not exclude.
    async fn row_groups(&self, def: &TableDef, builder: &mut Builder) -> Result<Vec<usize>> {
        let all = 0..builder.metadata().num_row_groups();
        let position = |name: &str| def.columns.iter().position(|column| column.name == name);
        let mut groups = Vec::new();
        match self {
            Self::Where(name, values) if let Some(column) = position(name) => {
                for group in all {
                    let bloom = builder.get_row_group_column_bloom_filter(group, column).await?;
                    if bloom.is_none_or(|bloom| values.iter().any(|value| bloom.check(*value))) {
                        groups.push(group);
                    }
                }
            }
            Self::Seq { after, last } if let Some(column) = position("seq") => {
                for group in all {
                    let range = match builder.metadata().row_group(group).column(column).statistics() {
                        Some(Statistics::Int64(range)) => range.min_opt().zip(range.max_opt()),
                        _ => None,
                    };
                    if range.is_none_or(|(low, high)| *high > as_long(*after) && *low <= as_long(*last)) {
                        groups.push(group);
                    }
                }
            }
            _ => groups.extend(all),
        }
        Ok(groups)
    }

    fn predicate(&self, builder: &Builder) -> Option<Box<dyn ArrowPredicate>> {
        let mask = |name: &str| ProjectionMask::columns(builder.parquet_schema(), [name]);
        match *self {
            Self::All => None,
            Self::Where(column, values) => {
                let values: Vec<String> = values.iter().map(ToString::to_string).collect();
                let wanted =
                    move |cell: Option<&str>| cell.is_some_and(|cell| values.iter().any(|value| value == cell));
                Some(Box::new(ArrowPredicateFn::new(mask(column), move |batch| {
                    let column = batch.column(0).as_string::<i32>();
                    Ok(column.iter().map(|cell| Some(wanted(cell))).collect::<BooleanArray>())
                })))
            }
            Self::Seq { after, last } => {
                let (after, last) = (as_long(after), as_long(last));
                Some(Box::new(ArrowPredicateFn::new(mask("seq"), move |batch| {
                    let column = batch.column(0).as_primitive::<Int64Type>();
                    Ok(column.iter().map(|cell| cell.map(|seq| seq > after && seq <= last)).collect::<BooleanArray>())
                })))
            }
        }
    }
}

fn as_long(seq: u64) -> i64 {
    i64::try_from(seq).unwrap_or(i64::MAX)
}

impl CommitNote {
    pub fn new(commit_id: Uuid, actions: usize) -> Self {
        Self { commit_id, actions, head: None, keys: Vec::new(), epoch: None }
    }
}

fn join_lines(lines: &[Value]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for line in lines {
        bytes.extend_from_slice(line.to_string().as_bytes());
        bytes.push(b'\n');
    }
    bytes
}

/// The writer of a data file, in memory.
pub(super) struct DataFileWriter {
    writer: ArrowWriter<Vec<u8>>,
    def: &'static TableDef,
    tally: StatsCollector,
}

impl DataFileWriter {
    /// Adds rows.
    ///
    /// # Errors
    /// Errors of Parquet.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        self.writer.write(batch)?;
        self.tally.add(self.def, batch);
        Ok(())
    }

    /// Returns the number of rows that were written.
    pub fn rows(&self) -> u64 {
        self.tally.rows
    }
}

/// Returns the Parquet properties of a data file of about `rows` rows: zstd, Bloom filters on ids, pages small enough to skip.
fn properties(def: &TableDef, rows: u64) -> Result<WriterProperties> {
    let mut properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
        .set_created_by(ENGINE.into())
        .set_bloom_filter_position(BloomFilterPosition::End)
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_data_page_row_count_limit(1024)
        .set_write_batch_size(256);
    for column in def.bloom {
        let path = ColumnPath::from(*column);
        properties = properties
            .set_column_bloom_filter_enabled(path.clone(), true)
            .set_column_bloom_filter_max_ndv(path.clone(), rows.clamp(16, ROW_GROUP_ROWS as u64))
            .set_column_bloom_filter_fpp(path, 0.001);
    }
    Ok(properties.build())
}

/// Collects Delta's per-file statistics: rows, and minimum, maximum and nulls of the columns that have statistics.
#[derive(Debug, Default)]
struct StatsCollector {
    rows: u64,
    mins: Map<String, Value>,
    maxs: Map<String, Value>,
    nulls: BTreeMap<&'static str, usize>,
}

impl StatsCollector {
    fn add(&mut self, def: &'static TableDef, batch: &RecordBatch) {
        self.rows += batch.num_rows() as u64;
        for column in def.columns.iter().filter(|column| def.stats.contains(&column.name)) {
            let Some(array) = batch.column_by_name(column.name) else { continue };
            *self.nulls.entry(column.name).or_default() += array.null_count();
            if let Some((low, high)) = range(column.kind, array.as_ref()) {
                keep(&mut self.mins, column.name, low, is_less);
                keep(&mut self.maxs, column.name, high, |high, known| is_less(known, high));
            }
        }
    }

    fn stats(&self) -> Value {
        json!({ "numRecords": self.rows, "minValues": self.mins, "maxValues": self.maxs, "nullCount": self.nulls })
    }
}

/// Replaces the known value by a better one.
fn keep(known: &mut Map<String, Value>, name: &str, value: Value, is_better: fn(&Value, &Value) -> bool) {
    if known.get(name).is_none_or(|known| is_better(&value, known)) {
        known.insert(name.into(), value);
    }
}

/// Compares two values that [`range`] returned for one column.
fn is_less(a: &Value, b: &Value) -> bool {
    match (a.as_i64().zip(b.as_i64()), a.as_str().zip(b.as_str())) {
        (Some((a, b)), _) => a < b,
        (None, Some((a, b))) => a < b,
        (None, None) => false,
    }
}

/// Returns minimum and maximum. Timestamps have milliseconds as the protocol requires: the minimum rounded down, the maximum up.
fn range(kind: Kind, array: &dyn Array) -> Option<(Value, Value)> {
    match kind {
        Kind::Long => {
            let array = array.as_primitive_opt::<Int64Type>()?;
            Some((min(array)?.into(), max(array)?.into()))
        }
        Kind::Text => {
            let array: &StringArray = array.as_string_opt()?;
            Some((min_string(array)?.into(), max_string(array)?.into()))
        }
        Kind::Timestamp => {
            debug_assert!(matches!(array.data_type(), DataType::Timestamp(TimeUnit::Microsecond, _)));
            let array = array.as_primitive_opt::<TimestampMicrosecondType>()?;
            let text = |micros: i64| {
                let moment = chrono::DateTime::from_timestamp_micros(micros)?;
                Some(Value::from(moment.to_rfc3339_opts(SecondsFormat::Millis, true)))
            };
            Some((text(min(array)?)?, text(max(array)?.saturating_add(999))?))
        }
        Kind::Int | Kind::Double | Kind::Boolean => None,
    }
}
