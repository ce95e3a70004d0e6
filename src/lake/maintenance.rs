//! Maintenance: compaction, checkpoints, log cleanup, vacuum. It runs under the lease, and correctness does not depend on it.

use chrono::TimeDelta;
use deltalake::operations::vacuum::VacuumMode;
use futures::TryStreamExt;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt, path::Path};
use serde::Serialize;

use super::{
    Lake, LakeError, Result,
    lease::Lease,
    log::{AddFile, CommitNote, Log, RemoveFile, checkpoint_path, last_checkpoint_path},
    merge::FileMerge,
    table::{CommitDraft, CommitResponse, Table},
};
use crate::{
    domain::time::Timestamp,
    tables::{TableDef, catalog},
};

/// Files of one size class that are merged into one. So each row is rewritten about once per power of ten.
const FANOUT: usize = 10;
/// The maximum bytes of the input of a merge, whose output is in memory. Files larger than half of it are not merged.
const MAX_MERGE_BYTES: i64 = 32 << 20;
/// The age at which staged files of crashed writers are removed.
const STAGING_HOURS: i64 = 1;
/// The shortest retention: a slow reader or writer may still use a file.
pub const MIN_RETENTION_HOURS: u32 = 1;

/// The maintenance that was done on one table.
#[derive(Debug, Default, Serialize)]
pub struct TableMaintenance {
    pub table: &'static str,
    pub files_before: usize,
    pub files_after: usize,
    /// The version of the checkpoint that was written.
    pub checkpoint: Option<u64>,
    pub log_files_removed: usize,
    pub data_files_removed: usize,
}

/// The result of a maintenance run.
#[derive(Debug)]
pub enum MaintenanceResult {
    Done(Vec<TableMaintenance>),
    /// Another process holds the lease until then.
    LeaseHeld(Timestamp),
}

/// Runs all maintenance on every table. Removes files that have been unused for longer than `retention`.
///
/// # Errors
/// Errors of the store and of delta-rs.
pub async fn maintain(lake: &Lake, retention: TimeDelta, progress: impl Fn(&str)) -> Result<MaintenanceResult> {
    let lease = match Lease::acquire(lake).await? {
        Ok(lease) => lease,
        Err(until) => return Ok(MaintenanceResult::LeaseHeld(until)),
    };
    let outcome = async {
        let mut done = Vec::new();
        for def in catalog::all() {
            progress(def.name);
            done.push(maintain_table(lake, &lease, def, retention).await?);
        }
        let staging = lake.store(".staging");
        let cutoff = lake.context.now().plus(-TimeDelta::hours(STAGING_HOURS));
        for meta in list(staging.as_ref()).await?.iter().filter(|meta| meta.last_modified < cutoff.utc()) {
            let _ = staging.delete(&meta.location).await;
        }
        Ok(MaintenanceResult::Done(done))
    }
    .await;
    lease.release(lake).await;
    outcome
}

async fn maintain_table(
    lake: &Lake,
    lease: &Lease,
    def: &'static TableDef,
    retention: TimeDelta,
) -> Result<TableMaintenance> {
    if !lease.renew(lake).await? {
        return Err(LakeError::LeaseLost(lake.display()));
    }
    let table = lake.table(def);
    let files_before = table.log().await?.files.len();
    let log = compact(lake, &table, lease, 2).await?;
    let mut maintained =
        TableMaintenance { table: def.name, files_before, files_after: log.files.len(), ..TableMaintenance::default() };
    if log.version > log.checkpoint.unwrap_or(0) {
        checkpoint(lake, &table, &log).await?;
        maintained.checkpoint = Some(log.version);
    }
    let cutoff = lake.context.now().plus(-retention);
    maintained.log_files_removed = clean_log(&table, log.version, cutoff).await?;
    maintained.data_files_removed = vacuum(lake, &table, retention).await?;
    Ok(maintained)
}

/// Compacts one table and writes a checkpoint, if a checkpoint is due and no other process holds the lease. Returns the
/// checkpoint's version.
///
/// # Errors
/// Errors of the store and of delta-rs.
pub async fn maintain_if_due(lake: &Lake, def: &'static TableDef) -> Result<Option<u64>> {
    let table = lake.table(def);
    if !table.log().await?.checkpoint_due() {
        return Ok(None);
    }
    let Ok(lease) = Lease::acquire(lake).await? else { return Ok(None) };
    let outcome = async {
        let log = compact(lake, &table, &lease, FANOUT).await?;
        checkpoint(lake, &table, &log).await?;
        Ok(Some(log.version))
    }
    .await;
    lease.release(lake).await;
    outcome
}

/// [`maintain_if_due`] for every table.
///
/// # Errors
/// As [`maintain_if_due`].
pub async fn maintain_due_tables(lake: &Lake) -> Result<()> {
    let due =
        catalog::all().map(|def| async move { Ok::<_, LakeError>((def, lake.table(def).checkpoint_due().await?)) });
    for (def, due) in futures::future::try_join_all(due.collect::<Vec<_>>()).await? {
        if due {
            maintain_if_due(lake, def).await?;
        }
    }
    Ok(())
}

/// Merges small files of a size class as soon as there are `fanout` of them, smallest class first.
async fn compact(lake: &Lake, table: &Table, lease: &Lease, fanout: usize) -> Result<Log> {
    let mut log = table.log().await?;
    // Checkpoints and removals follow: they need write access too.
    log.may_write.clone()?;
    while let Some(inputs) = next_merge(&log, fanout) {
        if !merge_files(lake, table, lease, &mut log, &inputs).await? {
            return Err(LakeError::LeaseLost(lake.display()));
        }
    }
    Ok(log)
}

/// Returns the files to merge next, if any.
fn next_merge(log: &Log, fanout: usize) -> Option<Vec<AddFile>> {
    let mut classes: Vec<(u32, i64, AddFile)> = log
        .files
        .values()
        .filter(|file| file.size <= MAX_MERGE_BYTES / 2)
        .filter_map(|file| {
            let stats = file.parse_stats();
            let rows = stats.num_records?;
            let class = if fanout < FANOUT { 0 } else { rows.max(1).ilog10().saturating_sub(1) };
            Some((
                class,
                stats.min_u64("seq").map_or(i64::MAX, |seq| i64::try_from(seq).unwrap_or(i64::MAX)),
                file.clone(),
            ))
        })
        .collect();
    classes.sort_by(|a, b| (a.0, a.1, &a.2.path).cmp(&(b.0, b.1, &b.2.path)));
    classes.chunk_by(|a, b| a.0 == b.0).filter(|class| class.len() >= fanout).find_map(|class| {
        let mut bytes = 0;
        let inputs: Vec<AddFile> = class
            .iter()
            .map(|(_, _, file)| file)
            .take_while(|file| {
                bytes += file.size;
                bytes <= MAX_MERGE_BYTES
            })
            .cloned()
            .collect();
        (inputs.len() >= fanout.min(FANOUT)).then_some(inputs)
    })
}

/// Merges files into one with the same rows. Returns false if the lease was lost or an input is no longer live.
async fn merge_files(lake: &Lake, table: &Table, lease: &Lease, log: &mut Log, inputs: &[AddFile]) -> Result<bool> {
    let expected: u64 = inputs.iter().filter_map(|file| file.parse_stats().num_records).sum();
    let mut merge = FileMerge::new(table, inputs)?;
    let mut merged = table.new_file(expected)?;
    while let Some(rows) = merge.next().await? {
        merged.write(&rows)?;
    }
    if merged.rows() != expected {
        return Err(LakeError::Torn {
            table: table.name().into(),
            file: inputs.first().map_or_else(String::new, |file| file.path.clone()),
            detail: format!("{} files hold {} rows, but the log has {expected}", inputs.len(), merged.rows()),
        });
    }
    let output = table.put_file(merged, false).await?;
    let deleted_at = lake.context.now().utc().timestamp_millis();
    let removes: Vec<RemoveFile> = inputs
        .iter()
        .map(|file| RemoveFile {
            path: file.path.clone(),
            deletion_timestamp: Some(deleted_at),
            data_change: false,
            extended_file_metadata: Some(true),
            partition_values: Some(file.partition_values.clone()),
            size: Some(file.size),
        })
        .collect();
    let commit_id = lake.context.uuid();
    loop {
        let live = inputs.iter().all(|file| log.files.contains_key(&file.path));
        if !live || log.epoch > lease.epoch || !lease.renew(lake).await? {
            table.discard(&[output]);
            return Ok(false);
        }
        let note = CommitNote { head: log.head.clone(), epoch: Some(lease.epoch), ..CommitNote::new(commit_id, 0) };
        let draft = CommitDraft {
            operation: "OPTIMIZE",
            adds: vec![output.clone()],
            removes: removes.clone(),
            projected_to: None,
            note,
        };
        let put = table.commit(log, &draft).await?;
        table.refresh(log).await?;
        if put == CommitResponse::Committed {
            return Ok(true);
        }
    }
}

/// Writes a checkpoint of exactly the version of `log`, and reads it back.
async fn checkpoint(lake: &Lake, table: &Table, log: &Log) -> Result<()> {
    let mut delta = lake.delta_table(table.def)?;
    delta.load_version(log.version).await?;
    deltalake::checkpoints::create_checkpoint(&delta, None).await?;
    let written = table.log().await;
    let same = |read: &Log| log.files.keys().all(|path| read.files.contains_key(path) || read.version > log.version);
    match written {
        Ok(read) if same(&read) && read.checkpoint == Some(log.version) => Ok(()),
        outcome => {
            // Without the hint, readers use the commits, none of which is removed yet.
            let _ = table.store.delete(&last_checkpoint_path()).await;
            let _ = table.store.delete(&checkpoint_path(log.version)).await;
            let detail = match outcome {
                Err(error) => error.to_string(),
                Ok(_) => "it did not list the files of its version, and was removed".into(),
            };
            Err(LakeError::Torn { table: table.name().into(), file: checkpoint_path(log.version).to_string(), detail })
        }
    }
}

async fn list(store: &dyn ObjectStore) -> Result<Vec<ObjectMeta>> {
    match store.list(None).try_collect().await {
        Ok(metas) => Ok(metas),
        Err(object_store::Error::NotFound { .. }) => Ok(Vec::new()),
        Err(error) => Err(error.into()),
    }
}

/// Removes commits and checkpoints before `checkpoint` that are older than `cutoff`, oldest first.
async fn clean_log(table: &Table, checkpoint: u64, cutoff: Timestamp) -> Result<usize> {
    let metas: Vec<ObjectMeta> = table.store.list(Some(&Path::from("_delta_log"))).try_collect().await?;
    let mut old: Vec<(u64, ObjectMeta)> = metas
        .into_iter()
        .filter_map(|meta| {
            let version: u64 = meta.location.filename()?.split('.').next()?.parse().ok()?;
            (version < checkpoint).then_some((version, meta))
        })
        .collect();
    old.sort_by(|a, b| (a.0, &a.1.location).cmp(&(b.0, &b.1.location)));
    let mut removed = 0;
    for (_, meta) in old.iter().take_while(|(_, meta)| meta.last_modified < cutoff.utc()) {
        table.store.delete(&meta.location).await?;
        removed += 1;
    }
    Ok(removed)
}

/// Removes data files that no version within the retention needs. delta-rs lists them.
async fn vacuum(lake: &Lake, table: &Table, retention: TimeDelta) -> Result<usize> {
    let mut delta = lake.delta_table(table.def)?;
    delta.load().await?;
    let (_, found) = delta
        .vacuum()
        .with_retention_period(retention)
        .with_enforce_retention_duration(false)
        .with_mode(VacuumMode::Full)
        .with_dry_run(true)
        .await?;
    for path in &found.files_deleted {
        match table.store.delete(&Path::from(path.as_str())).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(found.files_deleted.len())
}
