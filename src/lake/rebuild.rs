//! Recomputes the projected tables from the ledger, and reports differences.

use std::collections::{BTreeMap, HashMap};

use arrow::{
    array::{AsArray, RecordBatch},
    datatypes::{Int64Type, SchemaRef},
    row::{RowConverter, SortField},
};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::{
    Lake, LakeError, Result,
    ledger::{self, entries},
    log::{AddFile, CommitNote, Log, RemoveFile},
    projector::{self, parse},
    table::{CommitDraft, CommitResponse, RowSelection, Table},
};
use crate::tables::{
    TableDef,
    catalog::{AUDIT_LOG, PROJECTIONS},
    project::Projections,
};

/// Entries in memory at a time.
const CHUNK: u64 = 2_000;
/// The maximum number of differing positions that are listed.
const MAX_LISTED_SEQS: usize = 20;
const MAX_CONFLICTS: u32 = 20;

/// A comparison of a projected table with the rows that follow from the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TableComparison {
    pub table: &'static str,
    pub rows_expected: u64,
    pub rows_found: u64,
    /// The first twenty ledger positions whose rows differ.
    pub differing_seqs: Vec<u64>,
    pub differing: u64,
}

impl TableComparison {
    pub fn equal(&self) -> bool {
        self.differing == 0
    }
}

/// The result of the rebuild of one table.
#[derive(Debug, Serialize)]
pub struct RebuildResult {
    #[serde(flatten)]
    pub comparison: TableComparison,
    /// The table did not exist.
    pub missing: bool,
    /// Its rows were replaced.
    pub replaced: bool,
}

/// One table's rows by ledger position: their number, and the sum of their hashes, which does not depend on their order.
#[derive(Debug, Default, PartialEq)]
struct RowDigests(HashMap<u64, (u64, u128)>);

impl RowDigests {
    fn add(&mut self, batch: &RecordBatch, converter: &RowConverter) -> Result<()> {
        let Some(seqs) = batch.column_by_name("seq").and_then(|column| column.as_primitive_opt::<Int64Type>()) else {
            return Err(LakeError::Corrupt("a projected table has no column seq".into()));
        };
        let rows = converter.convert_columns(batch.columns())?;
        for (row, seq) in rows.iter().zip(seqs.values()) {
            let digest = Sha256::digest(row.data());
            let digest = digest.iter().take(16).fold(0_u128, |sum, byte| sum << 8 | u128::from(*byte));
            let cell = self.0.entry(u64::try_from(*seq).unwrap_or(0)).or_default();
            cell.0 += 1;
            cell.1 = cell.1.wrapping_add(digest);
        }
        Ok(())
    }

    fn rows(&self) -> u64 {
        self.0.values().map(|(rows, _)| rows).sum()
    }
}

fn converter(schema: &SchemaRef) -> Result<RowConverter> {
    Ok(RowConverter::new(schema.fields().iter().map(|field| SortField::new(field.data_type().clone())).collect())?)
}

/// Compares every projected table, up to the ledger position `head`, with the rows that follow from the ledger.
///
/// # Errors
/// Errors of the store; [`LakeError::Corrupt`] if an entry cannot be read.
pub async fn compare(lake: &Lake, head: u64, progress: impl Fn(u64, u64)) -> Result<Vec<TableComparison>> {
    let mut expected: BTreeMap<&str, (RowDigests, RowConverter)> = BTreeMap::new();
    for def in PROJECTIONS {
        expected.insert(def.name, (RowDigests::default(), converter(&def.arrow_schema())?));
    }
    let audit = lake.table(AUDIT_LOG);
    let audit_log = audit.log().await?;
    let mut done = 0;
    while done < head {
        let last = head.min(done + CHUNK);
        let chunk = projections(&audit, &audit_log, done, last).await?;
        for def in PROJECTIONS {
            if let Some((content, converter)) = expected.get_mut(def.name) {
                content.add(&chunk.batch(def)?, converter)?;
            }
        }
        done = last;
        progress(done, head);
    }
    let mut comparisons = Vec::new();
    for def in PROJECTIONS {
        let Some((expected, converter)) = expected.remove(def.name) else { continue };
        let found = content(lake, def, head, &converter).await?;
        comparisons.push(difference(def, &expected, &found));
    }
    Ok(comparisons)
}

async fn projections(audit: &Table, log: &Log, after: u64, last: u64) -> Result<Projections> {
    let mut projections = Projections::default();
    for entry in parse(entries(audit, log, after, last).await?, after, last)? {
        projections.add(&entry)?;
    }
    Ok(projections)
}

async fn content(lake: &Lake, def: &'static TableDef, head: u64, converter: &RowConverter) -> Result<RowDigests> {
    let table = lake.table(def);
    let Some(log) = table.try_log().await? else { return Ok(RowDigests::default()) };
    let columns: Vec<&str> = def.columns.iter().map(|column| column.name).collect();
    let mut content = RowDigests::default();
    for file in log.files.values() {
        for batch in table.read(&[file], &columns, RowSelection::Seq { after: 0, last: head }).await? {
            content.add(&batch, converter)?;
        }
    }
    Ok(content)
}

fn difference(def: &TableDef, expected: &RowDigests, found: &RowDigests) -> TableComparison {
    let mut differing: Vec<u64> = expected
        .0
        .iter()
        .filter(|(seq, cell)| found.0.get(seq) != Some(cell))
        .map(|(seq, _)| *seq)
        .chain(found.0.keys().filter(|seq| !expected.0.contains_key(seq)).copied())
        .collect();
    differing.sort_unstable();
    TableComparison {
        table: def.name,
        rows_expected: expected.rows(),
        rows_found: found.rows(),
        differing: differing.len() as u64,
        differing_seqs: differing.into_iter().take(MAX_LISTED_SEQS).collect(),
    }
}

/// Creates missing tables, projects all entries, compares the tables with the ledger, and replaces the rows of those that differ,
/// each in one commit. Correct tables are not changed.
///
/// # Errors
/// As [`compare`].
pub async fn rebuild(lake: &Lake, progress: impl Fn(u64, u64)) -> Result<Vec<RebuildResult>> {
    let audit = lake.table(AUDIT_LOG);
    audit.log().await?;
    let mut missing = Vec::new();
    for def in PROJECTIONS {
        if lake.table(def).create().await? {
            missing.push(def.name);
        }
    }
    let head = projector::project(lake, |_, _| {}).await?.projected_to;
    let mut rebuilt = Vec::new();
    for (def, comparison) in PROJECTIONS.into_iter().zip(compare(lake, head, progress).await?) {
        let replace = !comparison.equal();
        if replace {
            replace_rows(lake, def).await?;
        }
        rebuilt.push(RebuildResult { comparison, missing: missing.contains(&def.name), replaced: replace });
    }
    Ok(rebuilt)
}

/// Returns the log of a projected table. A missing table is rebuilt from the ledger: an earlier version of this program did not
/// have it, or it was removed.
///
/// # Errors
/// Errors of the store; [`LakeError::NoLake`] if there is no audit log either.
pub async fn log_or_rebuild(lake: &Lake, def: &'static TableDef) -> Result<Log> {
    let table = lake.table(def);
    if let Some(log) = table.try_newest_log().await? {
        return Ok(log);
    }
    lake.table(AUDIT_LOG).newest_log().await?;
    if table.create().await? {
        replace_rows(lake, def).await?;
    }
    table.newest_log().await
}

/// Replaces all rows by those that follow from the ledger, in one commit.
async fn replace_rows(lake: &Lake, def: &'static TableDef) -> Result<()> {
    let (audit, table) = (lake.table(AUDIT_LOG), lake.table(def));
    for _ in 0..MAX_CONFLICTS {
        // The table's log is read first: a projection by another process before the commit then makes the commit fail.
        let log = table.log().await?;
        let audit_log = audit.log().await?;
        let head = ledger::head(&audit, &audit_log).await?.chain.seq;
        let last = u64::try_from(log.projected_to).unwrap_or(0).max(head);
        let mut adds: Vec<AddFile> = Vec::new();
        let mut done = 0;
        while done < last {
            let next = last.min(done + CHUNK);
            let batch = projections(&audit, &audit_log, done, next).await?.batch(def)?;
            if batch.num_rows() > 0 {
                adds.push(table.write_file(&batch, true).await?);
            }
            done = next;
        }
        let deleted_at = lake.context.now().utc().timestamp_millis();
        let removes = log
            .files
            .values()
            .map(|file| RemoveFile {
                path: file.path.clone(),
                deletion_timestamp: Some(deleted_at),
                data_change: true,
                extended_file_metadata: Some(true),
                partition_values: Some(file.partition_values.clone()),
                size: Some(file.size),
            })
            .collect();
        let note = CommitNote::new(lake.context.uuid(), 0);
        let draft = CommitDraft { operation: "REBUILD", adds, removes, projected_to: Some(last), note };
        match table.commit(&log, &draft).await? {
            CommitResponse::Committed => return Ok(()),
            CommitResponse::Conflict => table.discard(&draft.adds),
        }
    }
    Err(LakeError::TooBusy { table: def.name.into(), attempts: MAX_CONFLICTS })
}
