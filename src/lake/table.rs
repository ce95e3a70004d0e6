//! One Delta table: create it, write a data file, put a commit if nobody else did, read rows back.

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
    known::KnownTable,
    log::{AddFile, Commit, CommitNote, Log, PROJECTION_APP_ID, RemoveFile, commit_path, read_commit},
    maintenance::MIN_RETENTION_HOURS,
    reader::DataFile,
};
use crate::{
    domain::time::Timestamp,
    tables::{Kind, TableDef, ddl},
};

/// Rows in a row group: what a look-up reads at most, and what a writer holds in memory.
const ROW_GROUP_ROWS: usize = 16_384;

/// Half of the shortest retention that `maintain` takes.
const MAX_LOG_AGE_SECONDS: f64 = MIN_RETENTION_HOURS as f64 * 1_800.0;

/// Data files that are read at the same time: of an object store, each is a round trip or more.
pub(super) const READ_AT_ONCE: usize = 16;

/// Said in every commit and every data file.
pub const ENGINE: &str = concat!("ops-runbook/", env!("CARGO_PKG_VERSION"));

/// How a put-if-absent ended. A conflict is an outcome, not an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    Committed,
    /// Somebody else has that version.
    Conflict,
}

/// Commits that are read to find out whose one of them is.
const LOOKED_AT: usize = 2;

/// Whose commit stands under a version.
#[derive(Debug)]
enum Found {
    Ours,
    /// The one that came first, and the next where there is one.
    Others(Vec<Commit>),
}

impl Found {
    fn outcome(&self) -> Put {
        match self {
            Self::Ours => Put::Committed,
            Self::Others(_) => Put::Conflict,
        }
    }
}

/// What goes into a commit.
#[derive(Debug, Clone)]
pub struct Draft {
    pub operation: &'static str,
    pub adds: Vec<AddFile>,
    pub removes: Vec<RemoveFile>,
    pub projected_to: Option<u64>,
    /// `actions` is filled in.
    pub note: CommitNote,
}

/// A handle on a table's folder.
#[derive(Debug, Clone)]
pub struct Table {
    pub def: &'static TableDef,
    pub store: Arc<dyn ObjectStore>,
    context: Context,
    known: Arc<KnownTable>,
}

impl Table {
    pub fn new(def: &'static TableDef, lake: &Lake) -> Self {
        Self { def, store: lake.store(def.name), context: lake.context.of(def.name), known: lake.known.table(def) }
    }

    /// A handle on the same definition in another folder of the lake.
    pub fn in_folder(def: &'static TableDef, lake: &Lake, folder: &str) -> Self {
        Self { def, store: lake.store(folder), context: lake.context.of(def.name), known: Arc::default() }
    }

    /// The note of a commit yet to be made.
    pub fn note(&self) -> CommitNote {
        CommitNote::new(self.context.uuid(), 0)
    }

    pub fn name(&self) -> &'static str {
        self.def.name
    }

    /// Commit 0: protocol, schema, comments, properties. False when the table is there already.
    ///
    /// # Errors
    /// The store's.
    pub async fn create(&self) -> Result<bool> {
        // Looking first keeps a second `init` from writing anything at all.
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
        Ok(self.put_commit(0, join_lines(&lines), commit_id).await?.outcome() == Put::Committed)
    }

    /// # Errors
    /// The store's.
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

    /// # Errors
    /// As [`Log::load`]; [`LakeError::NoLake`] when there is no such table.
    pub async fn log(&self) -> Result<Log> {
        self.try_log().await?.ok_or_else(|| self.missing())
    }

    /// `None`: there is no such table.
    ///
    /// # Errors
    /// As [`Log::load`].
    pub async fn try_log(&self) -> Result<Option<Log>> {
        let read_at = self.context.now();
        let log = Log::load(self.store.as_ref(), self.name()).await?;
        Ok(log.map(|log| Log { read_at: Some(read_at), ..log }))
    }

    /// The log as it stands, of which this process reads only what it has not read yet. What rests on what nobody may have
    /// changed behind its back, such as a proof, reads [`Self::log`].
    ///
    /// # Errors
    /// As [`Self::log`].
    pub async fn newest(&self) -> Result<Log> {
        self.try_newest().await?.ok_or_else(|| self.missing())
    }

    /// As [`Self::newest`]. `None`: there is no such table.
    ///
    /// # Errors
    /// As [`Log::load`].
    pub async fn try_newest(&self) -> Result<Option<Log>> {
        let asked = Instant::now();
        let mut known = self.known.log.lock().await;
        let begun = Instant::now();
        let mut newest = match known.take() {
            // Somebody began to read after we had asked: whatever stood then is in it.
            Some((read, log)) if read >= asked => return Ok(Some(known.insert((read, log)).1.clone())),
            // By now somebody may have made the checkpoint that was due.
            Some((_, log)) if log.checkpoint_due() => self.try_log().await?,
            Some((_, mut log)) => {
                let (version, id) = (log.version, log.commit_id);
                let last = read_commit(self.store.as_ref(), self.name(), version);
                match tokio::join!(last, self.refresh(&mut log)) {
                    (Ok(Some(last)), Ok(())) if id.is_some() && id == last.note.as_ref().map(|note| note.commit_id) => {
                        Some(log)
                    }
                    // The commit it ended with is not there: it was cleaned away, or the table was made anew.
                    _ => {
                        *self.known.delta.lock().await = None;
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

    /// Whether this process has last seen the table without a checkpoint that is due. Reads only what it has never seen.
    ///
    /// # Errors
    /// As [`Self::newest`].
    pub async fn checkpoint_due(&self) -> Result<bool> {
        let seen = self.known.log.lock().await.as_ref().map(|(_, log)| log.checkpoint_due());
        match seen {
            Some(false) => Ok(false),
            _ => Ok(self.newest().await?.checkpoint_due()),
        }
    }

    fn missing(&self) -> LakeError {
        LakeError::NoLake(format!("{} (table {})", self.store, self.name()))
    }

    /// Whether a log may be committed to. Cleanup removes commits that are older than any retention allows; to whoever has
    /// not looked since, the first of them would look like a version that is still free.
    pub fn is_fresh(&self, log: &Log) -> bool {
        let now = self.context.now();
        log.read_at.is_some_and(|read_at| (0.0..MAX_LOG_AGE_SECONDS).contains(&now.seconds_since(read_at)))
    }

    /// Reads what others have committed since; everything anew when that was too long ago.
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

    /// Writes a batch as one data file and tells how it would be added. It counts only once a commit adds it.
    ///
    /// # Errors
    /// The store's and Parquet's.
    pub async fn write_file(&self, batch: &RecordBatch, data_change: bool) -> Result<AddFile> {
        let mut file = self.new_file(batch.num_rows() as u64)?;
        file.write(batch)?;
        self.put_file(file, data_change).await
    }

    /// A data file of about so many rows, yet to be written.
    ///
    /// # Errors
    /// Parquet's.
    pub(super) fn new_file(&self, rows: u64) -> Result<NewFile> {
        let writer = ArrowWriter::try_new(Vec::new(), self.def.arrow_schema(), Some(properties(self.def, rows)?))?;
        Ok(NewFile { writer, def: self.def, tally: Tally::default() })
    }

    /// As [`Self::write_file`].
    ///
    /// # Errors
    /// As [`Self::write_file`].
    pub(super) async fn put_file(&self, file: NewFile, data_change: bool) -> Result<AddFile> {
        let NewFile { writer, tally, .. } = file;
        let bytes = writer.into_inner()?;
        let path = format!("part-{}.zstd.parquet", self.context.uuid());
        let size = bytes.len() as i64;
        let payload = PutPayload::from(bytes);
        let mut pause = Backoff::new();
        // The name is new each time, so that a put that landed without an answer may simply be repeated.
        while let Err(error) = self.store.put(&Path::from(path.as_str()), payload.clone()).await {
            pause.again_or(error).await?;
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

    /// Removes data files that no commit names, and lets nobody wait for it: on Google, what was written just now cannot be
    /// removed before a second is over. Failing to is harmless: vacuum finds them.
    pub fn discard(&self, files: &[AddFile]) {
        for file in files {
            let (store, path) = (Arc::clone(&self.store), Path::from(file.path.as_str()));
            tokio::spawn(async move { store.delete(&path).await });
        }
    }

    /// Tries to commit a draft as the version after `log`. A log that was read too long ago counts as a conflict: refresh it.
    ///
    /// # Errors
    /// The store's; [`LakeError::Unsupported`] when the table requires of writers what is not done here;
    /// [`LakeError::OutcomeUnknown`] when it stays unknown whether the commit landed.
    pub async fn commit(&self, log: &Log, draft: &Draft) -> Result<Put> {
        if !self.is_fresh(log) {
            return Ok(Put::Conflict);
        }
        Ok(self.put(log, draft).await?.outcome())
    }

    /// As [`Self::commit`]. After a conflict `log` has taken over whoever came first: finding out whose commit stands there
    /// reads the next one too, so that losing costs one more round trip, not two.
    ///
    /// # Errors
    /// As [`Self::commit`].
    pub async fn commit_or_catch_up(&self, log: &mut Log, draft: &Draft) -> Result<Put> {
        if !self.is_fresh(log) {
            self.refresh(log).await?;
            return Ok(Put::Conflict);
        }
        let read_at = self.context.now();
        match self.put(log, draft).await? {
            Found::Ours => Ok(Put::Committed),
            Found::Others(commits) => {
                commits.iter().for_each(|commit| log.apply(commit));
                if commits.len() < LOOKED_AT {
                    log.read_at = Some(read_at);
                } else {
                    self.refresh(log).await?;
                }
                Ok(Put::Conflict)
            }
        }
    }

    async fn put(&self, log: &Log, draft: &Draft) -> Result<Found> {
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

    /// Puts the same bytes under the same version until it is certain whether they stand there. Only a version that somebody
    /// else holds is a conflict: as long as it is free, an earlier attempt could still land.
    async fn put_commit(&self, version: u64, bytes: Vec<u8>, commit_id: Uuid) -> Result<Found> {
        let payload = PutPayload::from(bytes);
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        let mut pause = Backoff::new();
        loop {
            let outcome = self.store.put_opts(&commit_path(version), payload.clone(), options.clone()).await;
            let Err(error) = outcome else { return Ok(Found::Ours) };
            let (standing, next) = tokio::join!(
                read_commit(self.store.as_ref(), self.name(), version),
                read_commit(self.store.as_ref(), self.name(), version + 1),
            );
            match standing {
                Ok(Some(commit)) => {
                    let ours = commit.note.as_ref().is_some_and(|note| note.commit_id == commit_id);
                    let others = || Found::Others([Some(commit), next.ok().flatten()].into_iter().flatten().collect());
                    return Ok(if ours { Found::Ours } else { others() });
                }
                Err(error @ (LakeError::Torn { .. } | LakeError::Unsupported(_))) => return Err(error),
                Ok(None) | Err(_) if pause.exhausted() => {
                    return Err(LakeError::OutcomeUnknown { table: self.name().into(), version });
                }
                Ok(None) if !LakeError::passing(&error) && !already_there(&error) => return Err(error.into()),
                Ok(None) | Err(_) => pause.pause().await,
            }
        }
    }

    /// Rows of `files`, only `columns`. Files, row groups and pages that cannot hold any of the wanted ones are not read.
    ///
    /// # Errors
    /// The store's and Parquet's.
    pub async fn read(&self, files: &[&AddFile], columns: &[&str], rows: Rows<'_>) -> Result<Vec<RecordBatch>> {
        let files = files.iter().filter(|file| rows.may_be_in(file));
        let reading: Vec<_> = files.map(|file| self.read_file(file, columns, rows)).collect();
        let read: Vec<Vec<RecordBatch>> = stream::iter(reading).buffered(READ_AT_ONCE).try_collect().await?;
        Ok(read.into_iter().flatten().collect())
    }

    async fn read_file(&self, file: &AddFile, columns: &[&str], rows: Rows<'_>) -> Result<Vec<RecordBatch>> {
        let mut builder = ParquetRecordBatchStreamBuilder::new(DataFile::new(&self.store, file)).await?;
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

/// Where a table's files are, in a lake at `lake`, without a slash at its end.
pub fn folder_url(lake: &Url, def: &TableDef) -> String {
    format!("{}/{}", lake.as_str().trim_end_matches('/'), def.name)
}

/// A put-if-absent was refused: by what somebody wrote, or by what an earlier attempt of its own did.
pub(super) fn already_there(error: &object_store::Error) -> bool {
    matches!(error, object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. })
}

/// Which rows to read.
#[derive(Debug, Clone, Copy)]
pub enum Rows<'a> {
    All,
    /// The text column is one of the values.
    Where(&'a str, &'a [&'a str]),
    /// `after < seq <= last`.
    Seq {
        after: u64,
        last: u64,
    },
}

type Builder = ParquetRecordBatchStreamBuilder<DataFile>;

impl Rows<'_> {
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

    /// The row groups that statistics and Bloom filters do not exclude.
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

/// A data file that is being written, in memory.
pub(super) struct NewFile {
    writer: ArrowWriter<Vec<u8>>,
    def: &'static TableDef,
    tally: Tally,
}

impl NewFile {
    /// # Errors
    /// Parquet's.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        self.writer.write(batch)?;
        self.tally.add(self.def, batch);
        Ok(())
    }

    /// How many rows are in it.
    pub fn rows(&self) -> u64 {
        self.tally.rows
    }
}

/// How a data file of about so many rows is written: zstd, Bloom filters on ids, pages small enough to skip.
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

/// Delta's per-file statistics: rows, and minimum, maximum and nulls of the columns that are worth it.
#[derive(Debug, Default)]
struct Tally {
    rows: u64,
    mins: Map<String, Value>,
    maxs: Map<String, Value>,
    nulls: BTreeMap<&'static str, usize>,
}

impl Tally {
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

/// Takes over a value that is better than the known one.
fn keep(known: &mut Map<String, Value>, name: &str, value: Value, is_better: fn(&Value, &Value) -> bool) {
    if known.get(name).is_none_or(|known| is_better(&value, known)) {
        known.insert(name.into(), value);
    }
}

/// Of two values that [`range`] makes of one column.
fn is_less(a: &Value, b: &Value) -> bool {
    match (a.as_i64().zip(b.as_i64()), a.as_str().zip(b.as_str())) {
        (Some((a, b)), _) => a < b,
        (None, Some((a, b))) => a < b,
        (None, None) => false,
    }
}

/// Timestamps to the millisecond as the protocol asks: the minimum cut down, the maximum cut up.
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
