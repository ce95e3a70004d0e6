//! Verifies that the audit log and the tables computed from it were not changed.

use std::fmt;

use serde::Serialize;
use serde_json::Value;

use super::{
    Lake, LakeError, Result,
    log::{AddFile, FileStats, Log},
    projector,
    rebuild::{TableComparison, compare},
    table::{RowSelection, Table},
};
use crate::{
    domain::{
        chain::{Head, entry_hash},
        copies::CopyComparison,
        entry::Entry,
    },
    tables::{catalog::AUDIT_LOG, from_batch, project::audit_row, rows::AuditRow},
};

/// Evidence that the audit log or a projected table was changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "problem", rename_all = "kebab-case")]
pub enum Tampering {
    /// The hash of a row does not match its content.
    Altered { seq: u64 },
    /// A typed column does not match the entry.
    ColumnAltered { seq: u64, columns: Vec<String> },
    /// The entry was written for another position.
    Moved { seq: u64, entry_seq: u64 },
    /// The entry cannot be parsed.
    Unreadable { seq: u64, reason: String },
    /// Rows are missing.
    Missing { from: u64, to: u64 },
    /// Two different rows have the same position: the chain has two ends, or a row was inserted.
    Fork { seq: u64 },
    /// The same row exists more than once.
    Duplicate { seq: u64 },
    /// A row does not follow the row before it.
    BrokenLink { seq: u64 },
    /// The log ends before a head that was remembered elsewhere.
    TailCut { remembered: u64, found: u64, witness: HeadSource },
    /// The row at a remembered head is another row.
    Rewritten { seq: u64, witness: HeadSource },
    /// The checkpoint was not signed by the trusted key, or was changed after signing.
    Checkpoint { reason: String },
    /// A projected table does not match the ledger.
    Projection(TableComparison),
    /// A table in a catalog does not match the lake.
    CatalogTable(CopyComparison),
    /// An audit of `sql/audits` returned rows on the tables in a catalog.
    CatalogAudit { audit: &'static str, rows: u64 },
}

/// Where a remembered head comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum HeadSource {
    /// The user, with `--head`.
    Given,
    /// A checkpoint with a verified signature.
    Checkpoint,
    /// The previous digest.
    Digest,
    /// The commits of the table itself.
    DeltaLog,
}

impl fmt::Display for Tampering {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Altered { seq } => write!(f, "row {seq} was altered: its hash does not match prev_hash and entry"),
            Self::ColumnAltered { seq, columns } => {
                write!(f, "row {seq} was altered: {} does not match its entry", columns.join(", "))
            }
            Self::Moved { seq, entry_seq } => {
                write!(f, "row {seq} was moved or swapped: its entry was written as row {entry_seq}")
            }
            Self::Unreadable { seq, reason } => write!(f, "row {seq} was altered: its entry cannot be read ({reason})"),
            Self::Missing { from, to } if from == to => write!(f, "row {from} is missing"),
            Self::Missing { from, to } => write!(f, "rows {from} to {to} are missing"),
            Self::Fork { seq } => write!(f, "the chain forks at row {seq}: different rows have this seq"),
            Self::Duplicate { seq } => write!(f, "row {seq} exists more than once"),
            Self::BrokenLink { seq } => {
                write!(f, "row {seq} does not follow the row before it: its prev_hash differs")
            }
            Self::TailCut { remembered, found, witness } => {
                write!(f, "the end was cut off: {witness} names row {remembered}, the log ends at row {found}")
            }
            Self::Rewritten { seq, witness } => write!(f, "row {seq} is not the row that {witness} names"),
            Self::Checkpoint { reason } => write!(f, "the checkpoint proves nothing: {reason}"),
            Self::Projection(comparison) => {
                let seqs: Vec<String> = comparison.differing_seqs.iter().map(u64::to_string).collect();
                write!(
                    f,
                    "table {} does not match the ledger: {} rows for {} expected, differing at ledger rows {}{}",
                    comparison.table,
                    comparison.rows_found,
                    comparison.rows_expected,
                    seqs.join(", "),
                    if comparison.differing > seqs.len() as u64 { ", …" } else { "" }
                )
            }
            Self::CatalogTable(comparison) => write!(f, "{comparison}"),
            Self::CatalogAudit { audit, rows } => {
                write!(f, "the audit {audit} returns {rows} rows on the tables in the catalog")
            }
        }
    }
}

impl fmt::Display for HeadSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Given => "the given head",
            Self::Checkpoint => "the signed checkpoint",
            Self::Digest => "the previous digest",
            Self::DeltaLog => "the table's own commit log",
        })
    }
}

/// The result of `audit verify`.
#[derive(Debug, Serialize)]
pub struct AuditVerification {
    /// The number of rows that were read.
    pub rows: u64,
    /// The last row.
    pub head: Head,
    /// Comparisons of the projected tables. Empty if the log is not intact.
    pub projections: Vec<TableComparison>,
    pub tampering: Vec<Tampering>,
}

impl AuditVerification {
    pub fn intact(&self) -> bool {
        self.tampering.is_empty()
    }
}

/// The fields of a row that form the hash chain.
struct ChainLink {
    seq: u64,
    prev_hash: String,
    entry_hash: String,
}

impl ChainLink {
    fn head(&self) -> Head {
        Head { seq: self.seq, hash: self.entry_hash.clone() }
    }
}

/// Verifies the whole log, and every projected table if the log is intact. `remembered` are heads that were stored elsewhere.
///
/// # Errors
/// Errors of the store. Damage is a finding, not an error.
pub async fn verify(
    lake: &Lake,
    remembered: impl IntoIterator<Item = (Head, HeadSource)>,
    progress: impl Fn(u64, u64),
) -> Result<AuditVerification> {
    let table = lake.table(AUDIT_LOG);
    let log = table.log().await?;
    let (links, mut tampering) = read(&table, &log, 0, &progress).await?;
    tampering.extend(check_chain(&links, &Head::genesis()));
    let head = links.last().map_or_else(Head::genesis, ChainLink::head);
    let in_log = log.head.as_ref().map(|head| (head.chain.clone(), HeadSource::DeltaLog));
    for (remembered, witness) in in_log.into_iter().chain(remembered) {
        tampering.extend(check_head(&links, &remembered, witness));
    }
    let mut projections = Vec::new();
    if tampering.is_empty() {
        projector::project(lake, |_, _| {}).await?;
        projections = compare(lake, head.seq, progress).await?;
        tampering.extend(projections.iter().filter(|table| !table.equal()).cloned().map(Tampering::Projection));
    }
    Ok(AuditVerification { rows: links.len() as u64, head, projections, tampering })
}

/// Verifies the log from a trusted head on: the head's row and every row after it. Does not compare projected tables.
///
/// # Errors
/// Errors of the store. Damage is a finding, not an error.
pub async fn verify_after(lake: &Lake, trusted: &Head, witness: HeadSource) -> Result<AuditVerification> {
    let table = lake.table(AUDIT_LOG);
    let log = table.log().await?;
    let (mut links, mut tampering) = read(&table, &log, trusted.seq, &|_, _| {}).await?;
    tampering.extend(check_head(&links, trusted, witness));
    let in_log = log.head.as_ref().map(|head| head.chain.clone());
    tampering.extend(in_log.and_then(|head| check_head(&links, &head, HeadSource::DeltaLog)));
    let head = links.last().map_or_else(|| trusted.clone(), ChainLink::head);
    links.retain(|link| link.seq > trusted.seq);
    tampering.extend(check_chain(&links, trusted));
    Ok(AuditVerification { rows: links.len() as u64, head, projections: Vec::new(), tampering })
}

/// Reads the chain links of the rows from `from` on, in order, and checks each row.
async fn read(
    table: &Table,
    log: &Log,
    from: u64,
    progress: &impl Fn(u64, u64),
) -> Result<(Vec<ChainLink>, Vec<Tampering>)> {
    let columns: Vec<&str> = AUDIT_LOG.columns.iter().map(|column| column.name).collect();
    let mut files: Vec<(&AddFile, FileStats)> = log.files.values().map(|file| (file, file.parse_stats())).collect();
    files.retain(|(_, stats)| stats.max_u64("seq").is_none_or(|last| last >= from));
    files.sort_by_key(|(_, stats)| stats.min_u64("seq"));
    let total: u64 = files.iter().filter_map(|(_, stats)| stats.num_records).sum();
    let mut tampering = Vec::new();
    let mut links = Vec::new();
    for (file, _) in files {
        for batch in table.read(&[file], &columns, RowSelection::All).await? {
            // Row by row, so that an error names the row.
            for row in 0..batch.num_rows() {
                match from_batch::<AuditRow>(&batch.slice(row, 1)).map(|mut rows| rows.pop()) {
                    Ok(Some(row)) if row.seq < from => {}
                    Ok(Some(row)) => {
                        tampering.extend(check_row(&row));
                        links.push(ChainLink { seq: row.seq, prev_hash: row.prev_hash, entry_hash: row.entry_hash });
                    }
                    Ok(None) => {}
                    Err(error) => {
                        tampering.push(Tampering::Unreadable { seq: seq_of(&batch, row), reason: error.to_string() })
                    }
                }
            }
            progress(links.len() as u64, total);
        }
    }
    links.sort_by(|a, b| (a.seq, &a.entry_hash).cmp(&(b.seq, &b.entry_hash)));
    Ok((links, tampering))
}

fn seq_of(batch: &arrow::array::RecordBatch, row: usize) -> u64 {
    use arrow::{array::AsArray, datatypes::Int64Type};
    batch
        .column_by_name("seq")
        .and_then(|column| column.as_primitive_opt::<Int64Type>())
        .and_then(|column| u64::try_from(column.value(row)).ok())
        .unwrap_or(0)
}

fn check_row(row: &AuditRow) -> Vec<Tampering> {
    let seq = row.seq;
    let mut found = Vec::new();
    if entry_hash(&row.prev_hash, &row.entry) != row.entry_hash {
        found.push(Tampering::Altered { seq });
    }
    let entry = match Entry::parse(&row.entry) {
        Ok(entry) => entry,
        Err(error) => {
            found.push(Tampering::Unreadable { seq, reason: error.to_string() });
            return found;
        }
    };
    if entry.seq != seq {
        found.push(Tampering::Moved { seq, entry_seq: entry.seq });
        return found;
    }
    match columns_differing(row, &entry) {
        Ok(columns) if columns.is_empty() => {}
        Ok(columns) => found.push(Tampering::ColumnAltered { seq, columns }),
        Err(error) => found.push(Tampering::Unreadable { seq, reason: error.to_string() }),
    }
    found
}

/// Returns the columns that do not match the entry. The chain checks the hashes.
fn columns_differing(row: &AuditRow, entry: &Entry) -> Result<Vec<String>, LakeError> {
    let expected = audit_row(entry, row.entry.clone(), row.prev_hash.clone())?;
    let (Value::Object(found), Value::Object(expected)) = (serde_json::to_value(row)?, serde_json::to_value(expected)?)
    else {
        return Ok(Vec::new());
    };
    Ok(expected
        .into_iter()
        .filter(|(name, value)| name != "entry_hash" && found.get(name) != Some(value))
        .map(|(name, _)| name)
        .collect())
}

/// Checks that `links` follow `start` without gaps.
fn check_chain(links: &[ChainLink], start: &Head) -> Vec<Tampering> {
    let mut found = Vec::new();
    let mut before: Option<&ChainLink> = None;
    for link in links {
        let (expected_seq, expected_hash) =
            before.map_or((start.seq + 1, start.hash.as_str()), |b| (b.seq + 1, b.entry_hash.as_str()));
        if before.is_some_and(|before| before.seq == link.seq) {
            let same = before.is_some_and(|before| before.entry_hash == link.entry_hash);
            found.push(if same { Tampering::Duplicate { seq: link.seq } } else { Tampering::Fork { seq: link.seq } });
            continue;
        }
        if link.seq > expected_seq {
            found.push(Tampering::Missing { from: expected_seq, to: link.seq - 1 });
        } else if link.prev_hash != expected_hash {
            found.push(Tampering::BrokenLink { seq: link.seq });
        }
        before = Some(link);
    }
    found
}

fn check_head(links: &[ChainLink], remembered: &Head, witness: HeadSource) -> Option<Tampering> {
    if remembered.seq == 0 {
        return None;
    }
    let last = links.last().map_or(0, |link| link.seq);
    if links.iter().any(|link| link.seq == remembered.seq && link.entry_hash == remembered.hash) {
        None
    } else if remembered.seq > last {
        Some(Tampering::TailCut { remembered: remembered.seq, found: last, witness })
    } else {
        Some(Tampering::Rewritten { seq: remembered.seq, witness })
    }
}
