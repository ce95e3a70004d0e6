//! The projection: computes the other tables from ledger entries, each row exactly once, in any process.
//!
//! Every projection commit carries a `txn` with the last `seq` that it covers. A process reads it before it projects, and again
//! after a conflict. `incident_states` is written last and gets a commit even without rows: its `txn` covers all tables.
//! Other tables get a commit only if they have rows.

use std::time::Instant;

use super::{
    Lake, LakeError, Result,
    ledger::{self, entries},
    log::Log,
    rebuild,
    table::{CommitDraft, CommitResponse, Table},
};
use crate::{
    domain::entry::Entry,
    tables::{
        Row, TableDef,
        catalog::{AUDIT_LOG, PROJECTIONS},
        project::Projections,
        rows::IncidentState,
    },
};

/// Entries in memory at a time.
const CHUNK: u64 = 2_000;
/// Conflicts in a row on one table after which the projection fails.
const MAX_CONFLICTS: u32 = 100;

/// The table whose `txn` holds the progress of all tables.
pub const PROGRESS_TABLE: &TableDef = IncidentState::TABLE;

/// The result of a projection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProjectionResult {
    /// The last `seq` that all tables cover.
    pub projected_to: u64,
    /// Ledger rows that were not covered before.
    pub entries: u64,
}

/// Projects all entries up to the ledger's head. `progress` gets the last `seq` done, and the head. Concurrent calls in this
/// process share one projection.
///
/// # Errors
/// Errors of the store; [`LakeError::Corrupt`] if an entry cannot be read.
pub async fn project(lake: &Lake, progress: impl Fn(u64, u64)) -> Result<ProjectionResult> {
    let asked = Instant::now();
    let mut done = lake.cache.projected.lock().await;
    if let Some((begun, projected_to)) = *done
        && begun >= asked
    {
        return Ok(ProjectionResult { projected_to, entries: 0 });
    }
    let begun = Instant::now();
    let result = project_pending(lake, progress).await?;
    *done = Some((begun, result.projected_to));
    Ok(result)
}

async fn project_pending(lake: &Lake, progress: impl Fn(u64, u64)) -> Result<ProjectionResult> {
    let audit = lake.table(AUDIT_LOG);
    let progress_table = lake.table(PROGRESS_TABLE);
    let (audit_log, progress_log) = tokio::try_join!(audit.try_newest_log(), progress_table.try_newest_log())?;
    let audit_log = audit_log.ok_or_else(|| LakeError::NoLake(lake.display()))?;
    let mut progress_log = match progress_log {
        Some(log) => log,
        // It cannot be rebuilt alone: its `txn` would claim that the other tables are done.
        None => {
            progress_table.create().await?;
            progress_table.newest_log().await?
        }
    };
    let head = ledger::head(&audit, &audit_log).await?.chain.seq;
    let from = u64::try_from(progress_log.projected_to).unwrap_or(0);
    let mut done = from;
    let mut others: Vec<(Table, Option<Log>)> = PROJECTIONS
        .into_iter()
        .filter(|def| def.name != PROGRESS_TABLE.name)
        .map(|def| (lake.table(def), None))
        .collect();
    while done < head {
        let last = head.min(done + CHUNK);
        let chunk = parse(entries(&audit, &audit_log, done, last).await?, done, last)?;
        // Tables are independent; only the progress table must come last.
        let advancing = others.into_iter().map(|(table, log)| {
            let chunk = &chunk;
            async move {
                let log = match rows(table.def, chunk, 0)?.is_empty() {
                    true => log,
                    false => {
                        let log = match log {
                            Some(log) => log,
                            None => rebuild::log_or_rebuild(lake, table.def).await?,
                        };
                        Some(advance(&table, log, chunk, last).await?)
                    }
                };
                Ok::<_, LakeError>((table, log))
            }
        });
        others = futures::future::try_join_all(advancing.collect::<Vec<_>>()).await?;
        progress_log = advance(&progress_table, progress_log, &chunk, last).await?;
        done = last;
        progress(done, head);
    }
    Ok(ProjectionResult { projected_to: head.max(from), entries: head.saturating_sub(from) })
}

/// Parses entries, and checks that they are exactly `after + 1 ..= last`.
pub(super) fn parse(entries: Vec<(u64, String)>, after: u64, last: u64) -> Result<Vec<Entry>> {
    let complete = entries.iter().map(|(seq, _)| *seq).eq(after + 1..=last);
    if !complete {
        return Err(LakeError::Corrupt(format!(
            "rows {} to {last} should exist once each, but {} were found",
            after + 1,
            entries.len()
        )));
    }
    entries
        .into_iter()
        .map(|(seq, text)| Entry::parse(&text).map_err(|error| LakeError::Corrupt(format!("entry {seq}: {error}"))))
        .collect()
}

/// Computes a table's rows from the entries above `after`.
fn rows(def: &TableDef, entries: &[Entry], after: u64) -> Result<Vec<arrow::array::RecordBatch>> {
    let mut projections = Projections::default();
    for entry in entries.iter().filter(|entry| entry.seq > after) {
        projections.add(entry)?;
    }
    let batch = projections.batch(def)?;
    Ok(if batch.num_rows() == 0 { Vec::new() } else { vec![batch] })
}

/// Commits the rows of `entries` up to `last` that `table` does not have yet. Returns the table's new log.
async fn advance(table: &Table, mut log: Log, entries: &[Entry], last: u64) -> Result<Log> {
    for _ in 0..MAX_CONFLICTS {
        let after = u64::try_from(log.projected_to).unwrap_or(0);
        if after >= last {
            return Ok(log);
        }
        let mut adds = Vec::new();
        for batch in rows(table.def, entries, after)? {
            adds.push(table.write_file(&batch, true).await?);
        }
        let note = table.note();
        let draft = CommitDraft { operation: "WRITE", adds, removes: Vec::new(), projected_to: Some(last), note };
        match table.commit_or_catch_up(&mut log, &draft).await? {
            CommitResponse::Committed => {
                table.refresh(&mut log).await?;
                return Ok(log);
            }
            CommitResponse::Conflict => table.discard(&draft.adds),
        }
    }
    Err(LakeError::TooBusy { table: table.name().into(), attempts: MAX_CONFLICTS })
}
