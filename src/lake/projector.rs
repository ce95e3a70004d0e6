//! The projection: from ledger entries to the other tables, each row exactly once, by whichever process comes first.
//!
//! Every projection commit carries a `txn` with the last `seq` it covers; whoever wants to project reads it first, and
//! again after losing to somebody else. `incident_states` goes last in a pass and gets a commit even without rows: its
//! `txn` says that all tables are done up to there, so that the others need a commit only when they have rows.

use std::time::Instant;

use super::{
    Lake, LakeError, Result,
    ledger::{self, entries},
    log::Log,
    rebuild,
    table::{Draft, Put, Table},
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

/// Entries held in memory at a time.
const CHUNK: u64 = 2_000;
/// How often one table's commit is tried against other writers.
const MAX_CONFLICTS: u32 = 100;

/// The table whose `txn` speaks for all.
pub const LEAD: &TableDef = IncidentState::TABLE;

/// What a pass did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pass {
    /// The last `seq` that all tables now cover.
    pub projected_to: u64,
    /// Ledger rows that were not covered before.
    pub entries: u64,
}

/// Brings every table up to the ledger's head. `progress` is told the last `seq` done, and the head. Of all that want that at
/// once in this process one does it.
///
/// # Errors
/// The store's; [`LakeError::Corrupt`] when an entry cannot be read.
pub async fn project(lake: &Lake, progress: impl Fn(u64, u64)) -> Result<Pass> {
    let asked = Instant::now();
    let mut done = lake.known.projected.lock().await;
    if let Some((begun, projected_to)) = *done
        && begun >= asked
    {
        return Ok(Pass { projected_to, entries: 0 });
    }
    let begun = Instant::now();
    let pass = pass(lake, progress).await?;
    *done = Some((begun, pass.projected_to));
    Ok(pass)
}

async fn pass(lake: &Lake, progress: impl Fn(u64, u64)) -> Result<Pass> {
    let audit = lake.table(AUDIT_LOG);
    let lead = lake.table(LEAD);
    let (audit_log, lead_log) = tokio::try_join!(audit.try_newest(), lead.try_newest())?;
    let audit_log = audit_log.ok_or_else(|| LakeError::NoLake(lake.display()))?;
    let mut lead_log = match lead_log {
        Some(log) => log,
        // It cannot be made from the ledger by itself: it would say of the others that they are done.
        None => {
            lead.create().await?;
            lead.newest().await?
        }
    };
    let head = ledger::head(&audit, &audit_log).await?.chain.seq;
    let from = u64::try_from(lead_log.projected_to).unwrap_or(0);
    let mut done = from;
    let mut others: Vec<(Table, Option<Log>)> =
        PROJECTIONS.into_iter().filter(|def| def.name != LEAD.name).map(|def| (lake.table(def), None)).collect();
    while done < head {
        let last = head.min(done + CHUNK);
        let chunk = parse(entries(&audit, &audit_log, done, last).await?, done, last)?;
        // Each table is its own; only the one that speaks for all comes last.
        let advancing = others.into_iter().map(|(table, log)| {
            let chunk = &chunk;
            async move {
                let log = match rows(table.def, chunk, 0)?.is_empty() {
                    true => log,
                    false => {
                        let log = match log {
                            Some(log) => log,
                            None => rebuild::restored(lake, table.def).await?,
                        };
                        Some(advance(&table, log, chunk, last).await?)
                    }
                };
                Ok::<_, LakeError>((table, log))
            }
        });
        others = futures::future::try_join_all(advancing.collect::<Vec<_>>()).await?;
        lead_log = advance(&lead, lead_log, &chunk, last).await?;
        done = last;
        progress(done, head);
    }
    Ok(Pass { projected_to: head.max(from), entries: head.saturating_sub(from) })
}

/// Entries, checked to be exactly `after + 1 ..= last`.
pub(super) fn parse(entries: Vec<(u64, String)>, after: u64, last: u64) -> Result<Vec<Entry>> {
    let complete = entries.iter().map(|(seq, _)| *seq).eq(after + 1..=last);
    if !complete {
        return Err(LakeError::Corrupt(format!(
            "rows {} to {last} should be there once each, but {} were found",
            after + 1,
            entries.len()
        )));
    }
    entries
        .into_iter()
        .map(|(seq, text)| Entry::parse(&text).map_err(|error| LakeError::Corrupt(format!("entry {seq}: {error}"))))
        .collect()
}

/// A table's rows from entries above `after`.
fn rows(def: &TableDef, entries: &[Entry], after: u64) -> Result<Vec<arrow::array::RecordBatch>> {
    let mut projections = Projections::default();
    for entry in entries.iter().filter(|entry| entry.seq > after) {
        projections.add(entry)?;
    }
    let batch = projections.batch(def)?;
    Ok(if batch.num_rows() == 0 { Vec::new() } else { vec![batch] })
}

/// Commits what `table` lacks of `entries`, up to `last`. Returns the table's log as it then is.
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
        let draft = Draft { operation: "WRITE", adds, removes: Vec::new(), projected_to: Some(last), note };
        match table.commit_or_catch_up(&mut log, &draft).await? {
            Put::Committed => {
                table.refresh(&mut log).await?;
                return Ok(log);
            }
            Put::Conflict => table.discard(&draft.adds),
        }
    }
    Err(LakeError::TooBusy { table: table.name().into(), attempts: MAX_CONFLICTS })
}
