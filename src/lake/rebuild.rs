//! Makes the projected tables anew from the ledger, and tells what stood there instead.

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
    table::{Draft, Put, Rows, Table},
};
use crate::tables::{
    TableDef,
    catalog::{AUDIT_LOG, PROJECTIONS},
    project::Projections,
};

/// Entries held in memory at a time.
const CHUNK: u64 = 2_000;
/// How many differing positions are named.
const NAMED: usize = 20;
const MAX_CONFLICTS: u32 = 20;

/// A projected table beside what the ledger says it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Comparison {
    pub table: &'static str,
    pub rows_expected: u64,
    pub rows_found: u64,
    /// Ledger positions whose rows differ, the first twenty.
    pub differing_seqs: Vec<u64>,
    pub differing: u64,
}

impl Comparison {
    pub fn equal(&self) -> bool {
        self.differing == 0
    }
}

/// What became of a table.
#[derive(Debug, Serialize)]
pub struct Rebuilt {
    #[serde(flatten)]
    pub comparison: Comparison,
    /// The table was missing altogether.
    pub missing: bool,
    /// Its rows were replaced.
    pub replaced: bool,
}

/// Rows of one table by ledger position: how many, and the sum of their digests, which no order changes.
#[derive(Debug, Default, PartialEq)]
struct Content(HashMap<u64, (u64, u128)>);

impl Content {
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

/// Compares every projected table, up to the ledger position `head`, with what the ledger says.
///
/// # Errors
/// The store's; [`LakeError::Corrupt`] when an entry cannot be read.
pub async fn compare(lake: &Lake, head: u64, progress: impl Fn(u64, u64)) -> Result<Vec<Comparison>> {
    let mut expected: BTreeMap<&str, (Content, RowConverter)> = BTreeMap::new();
    for def in PROJECTIONS {
        expected.insert(def.name, (Content::default(), converter(&def.arrow_schema())?));
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

async fn content(lake: &Lake, def: &'static TableDef, head: u64, converter: &RowConverter) -> Result<Content> {
    let table = lake.table(def);
    let Some(log) = table.try_log().await? else { return Ok(Content::default()) };
    let columns: Vec<&str> = def.columns.iter().map(|column| column.name).collect();
    let mut content = Content::default();
    for file in log.files.values() {
        for batch in table.read(&[file], &columns, Rows::Seq { after: 0, last: head }).await? {
            content.add(&batch, converter)?;
        }
    }
    Ok(content)
}

fn difference(def: &TableDef, expected: &Content, found: &Content) -> Comparison {
    let mut differing: Vec<u64> = expected
        .0
        .iter()
        .filter(|(seq, cell)| found.0.get(seq) != Some(cell))
        .map(|(seq, _)| *seq)
        .chain(found.0.keys().filter(|seq| !expected.0.contains_key(seq)).copied())
        .collect();
    differing.sort_unstable();
    Comparison {
        table: def.name,
        rows_expected: expected.rows(),
        rows_found: found.rows(),
        differing: differing.len() as u64,
        differing_seqs: differing.into_iter().take(NAMED).collect(),
    }
}

/// Makes missing tables, brings all up to date, compares them with the ledger, and replaces those that differ, each in one
/// commit. A table that is right is not touched.
///
/// # Errors
/// As [`compare`].
pub async fn rebuild(lake: &Lake, progress: impl Fn(u64, u64)) -> Result<Vec<Rebuilt>> {
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
        rebuilt.push(Rebuilt { comparison, missing: missing.contains(&def.name), replaced: replace });
    }
    Ok(rebuilt)
}

/// The log of a projected table. One that is missing is made from the ledger: a version of this program before it knew no such
/// table, or somebody removed it.
///
/// # Errors
/// The store's; [`LakeError::NoLake`] where there is no audit log either.
pub async fn restored(lake: &Lake, def: &'static TableDef) -> Result<Log> {
    let table = lake.table(def);
    if let Some(log) = table.try_newest().await? {
        return Ok(log);
    }
    lake.table(AUDIT_LOG).newest().await?;
    if table.create().await? {
        replace_rows(lake, def).await?;
    }
    table.newest().await
}

/// One commit that takes out every row and puts in what the ledger says.
async fn replace_rows(lake: &Lake, def: &'static TableDef) -> Result<()> {
    let (audit, table) = (lake.table(AUDIT_LOG), lake.table(def));
    for _ in 0..MAX_CONFLICTS {
        // The table first: whatever others project into it before the commit makes the commit fail.
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
        let draft = Draft { operation: "REBUILD", adds, removes, projected_to: Some(last), note };
        match table.commit(&log, &draft).await? {
            Put::Committed => return Ok(()),
            Put::Conflict => table.discard(&draft.adds),
        }
    }
    Err(LakeError::TooBusy { table: def.name.into(), attempts: MAX_CONFLICTS })
}
