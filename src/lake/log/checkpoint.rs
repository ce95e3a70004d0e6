//! Reads a checkpoint: a Parquet file with the log's actions at one version.

use std::collections::BTreeMap;

use arrow::{
    array::{Array, AsArray, StructArray},
    datatypes::{Int32Type, Int64Type},
};
use bytes::Bytes;
use futures::TryStreamExt;
use object_store::{ObjectStore, ObjectStoreExt, path::Path};
use parquet::arrow::{
    ProjectionMask,
    arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder},
};
use serde::{Deserialize, de::IgnoredAny};

use super::{
    AddFile, Log, PROJECTION_APP_ID, checkpoint_path, commit_path, get, last_checkpoint_path,
    protocol::{LogFile, Protocol, TableAccess},
    read_commit,
};
use crate::lake::{LakeError, Result};

/// The columns of a checkpoint that are read.
const COLUMNS: [&str; 12] = [
    "add.path",
    "add.size",
    "add.modificationTime",
    "add.dataChange",
    "add.stats",
    "add.deletionVector",
    "txn.appId",
    "txn.version",
    "protocol.minReaderVersion",
    "protocol.minWriterVersion",
    "protocol.readerFeatures",
    "protocol.writerFeatures",
];

type BoxError = Box<dyn std::error::Error + Send + Sync>;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LastCheckpoint {
    version: u64,
    parts: Option<IgnoredAny>,
    v2_checkpoint: Option<IgnoredAny>,
}

/// Returns the version of the newest checkpoint. Without `_last_checkpoint`, lists the log if necessary.
pub(super) async fn last(store: &dyn ObjectStore, table: &str) -> Result<Option<u64>> {
    let path = last_checkpoint_path();
    let hint = match get(store, &path).await? {
        None => return newest_if_cleaned(store).await,
        Some(bytes) => serde_json::from_slice::<LastCheckpoint>(&bytes),
    };
    let hint = hint.map_err(|error| LakeError::Torn {
        table: table.into(),
        file: path.to_string(),
        detail: format!("{error}; it is only a hint and may be deleted"),
    })?;
    let file = LogFile { table, version: hint.version, path: &path };
    let kind = match hint {
        LastCheckpoint { parts: None, v2_checkpoint: None, version } => return Ok(Some(version)),
        LastCheckpoint { parts: Some(_), .. } => "multi-part",
        LastCheckpoint { v2_checkpoint: Some(_), .. } => "V2",
    };
    Err(file.unsupported(TableAccess::Read, format!("is a {kind} checkpoint, which this program cannot read")).into())
}

/// Lists the log only if its first commit is missing, which means that cleanup has removed commits.
async fn newest_if_cleaned(store: &dyn ObjectStore) -> Result<Option<u64>> {
    match store.head(&commit_path(0)).await {
        Ok(_) => return Ok(None),
        Err(object_store::Error::NotFound { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    let names: Vec<_> = store.list(Some(&Path::from("_delta_log"))).try_collect().await?;
    Ok(names
        .iter()
        .filter_map(|meta| meta.location.filename()?.strip_suffix(".checkpoint.parquet")?.parse().ok())
        .max())
}

pub(super) async fn read(store: &dyn ObjectStore, table: &str, version: u64) -> Result<Log> {
    let path = checkpoint_path(version);
    let file = LogFile { table, version, path: &path };
    let bytes = get(store, &path)
        .await?
        .ok_or_else(|| file.torn("it is missing, although _last_checkpoint names it".into()))?;
    let ParsedCheckpoint { mut log, protocol, deleted_from } =
        parse(bytes).map_err(|error| file.torn(error.to_string()))?;
    let protocol = protocol.ok_or_else(|| file.torn("it has no protocol".into()))?;
    log.may_write = file.admits(&protocol)?;
    if let Some(data_file) = deleted_from {
        return Err(file.has_deleted_rows(&data_file).into());
    }
    log.version = version;
    log.checkpoint = Some(version);
    // The commit of the checkpoint's version holds the head. After cleanup has removed it, the head is read from the rows.
    if let Some(commit) = read_commit(store, table, version).await?
        && let Some(note) = commit.note
    {
        log.commit_id = Some(note.commit_id);
        if let Some(head) = note.head {
            log.indexed_from = Some(head.chain.seq + 1);
            log.head = Some(head);
        }
    }
    Ok(log)
}

struct ParsedCheckpoint {
    log: Log,
    protocol: Option<Protocol>,
    /// A data file that has a deletion vector.
    deleted_from: Option<String>,
}

fn parse(bytes: Bytes) -> Result<ParsedCheckpoint, BoxError> {
    // Use plain Parquet types, and ignore the writer's Arrow schema.
    let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    let builder = ParquetRecordBatchReaderBuilder::try_new_with_options(bytes, options)?;
    let mask = ProjectionMask::columns(builder.parquet_schema(), COLUMNS);
    let mut parsed = ParsedCheckpoint { log: Log::empty(), protocol: None, deleted_from: None };
    for batch in builder.with_projection(mask).build()? {
        let batch = batch?;
        let structs = |name: &str| batch.column_by_name(name).and_then(|column| column.as_struct_opt());
        if let Some(adds) = structs("add") {
            read_adds(adds, &mut parsed)?;
        }
        if let Some(txns) = structs("txn") {
            read_transactions(txns, &mut parsed.log);
        }
        if let Some(protocols) = structs("protocol") {
            for row in (0..protocols.len()).filter(|row| protocols.is_valid(*row)) {
                parsed.protocol = Some(read_protocol(protocols, row)?);
            }
        }
    }
    Ok(parsed)
}

fn read_adds(adds: &StructArray, parsed: &mut ParsedCheckpoint) -> Result<(), BoxError> {
    let text = |name: &str| adds.column_by_name(name).and_then(|column| column.as_string_opt::<i32>());
    let long = |name: &str| adds.column_by_name(name).and_then(|column| column.as_primitive_opt::<Int64Type>());
    let columns = text("path").zip(long("size")).zip(long("modificationTime"));
    let ((path, size), time) = columns.ok_or("its data files have no path, size or modification time")?;
    let (stats, deleted) = (text("stats"), adds.column_by_name("deletionVector"));
    for row in (0..adds.len()).filter(|row| adds.is_valid(*row) && path.is_valid(*row)) {
        if deleted.is_some_and(|deleted| deleted.is_valid(row)) {
            parsed.deleted_from = Some(path.value(row).into());
        }
        let add = AddFile {
            path: path.value(row).into(),
            partition_values: BTreeMap::new(),
            size: size.value(row),
            modification_time: time.value(row),
            data_change: false,
            stats: stats.filter(|stats| stats.is_valid(row)).map(|stats| stats.value(row).into()),
        };
        parsed.log.files.insert(add.path.clone(), add);
    }
    Ok(())
}

fn read_transactions(txns: &StructArray, log: &mut Log) {
    if let Some(app) = txns.column_by_name("appId").and_then(|column| column.as_string_opt::<i32>())
        && let Some(version) = txns.column_by_name("version").and_then(|c| c.as_primitive_opt::<Int64Type>())
    {
        for row in (0..txns.len()).filter(|row| txns.is_valid(*row)) {
            if app.is_valid(row) && app.value(row) == PROJECTION_APP_ID {
                log.projected_to = version.value(row);
            }
        }
    }
}

fn read_protocol(protocols: &StructArray, row: usize) -> Result<Protocol, BoxError> {
    let version = |name: &str| {
        let versions = protocols.column_by_name(name).and_then(|column| column.as_primitive_opt::<Int32Type>());
        let version = versions.filter(|versions| versions.is_valid(row)).map(|versions| versions.value(row));
        version.map(i64::from).ok_or_else(|| format!("its protocol has no {name}"))
    };
    let features = |name: &str| match protocols.column_by_name(name) {
        Some(column) if column.is_valid(row) => {
            let listed = column.as_list_opt::<i32>().map(|lists| lists.value(row));
            let listed = listed.as_ref().and_then(|listed| listed.as_string_opt::<i32>());
            let listed = listed.ok_or_else(|| format!("{name} in its protocol is not a list of names"))?;
            Ok::<_, BoxError>(Some(listed.iter().flatten().map(str::to_owned).collect()))
        }
        _ => Ok(None),
    };
    Ok(Protocol {
        min_reader_version: version("minReaderVersion")?,
        min_writer_version: version("minWriterVersion")?,
        reader_features: features("readerFeatures")?,
        writer_features: features("writerFeatures")?,
    })
}
