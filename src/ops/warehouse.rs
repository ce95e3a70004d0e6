//! Before a warehouse is believed: its tables are this lake's, and up to date.

use serde::Deserialize;

use super::{OpsError, tables};
use crate::{
    analytics::engine::{Engine, Value},
    lake::{Lake, LakeError, ledger, projector},
    tables::catalog::AUDIT_LOG,
};

/// Brings the tables up to date, also managed ones that are copied, and looks whether the engine reads this lake: the newest row
/// of the audit log must be the same there. What is found in another lake must not be recorded in this one.
///
/// # Errors
/// [`OpsError::OtherLake`], or the lake's, or the warehouse's.
pub async fn agree(lake: &Lake, engine: Engine<'_>) -> Result<(), OpsError> {
    #[derive(Deserialize)]
    struct Row {
        entry_hash: String,
    }
    let Engine::Warehouse(warehouse) = engine else { return Ok(()) };
    projector::project(lake, |_, _| {}).await?;
    let table = lake.table(AUDIT_LOG);
    let head = ledger::head(&table, &table.newest().await?).await?.chain;
    if let Some(path) = lake.volume_path() {
        tables::copy(lake, path, warehouse, |_| {}).await?;
    }
    // Of an empty log there must be no row at all.
    let seq = i64::try_from(head.seq.max(1)).map_err(|error| LakeError::Corrupt(error.to_string()))?;
    let rows: Vec<Row> =
        engine.rows("SELECT entry_hash FROM audit_log WHERE seq = :seq", &[("seq".into(), Value::Int(seq))]).await?;
    let expected = (head.seq > 0).then_some(&head.hash);
    if rows.iter().map(|row| &row.entry_hash).eq(expected) { Ok(()) } else { Err(OpsError::OtherLake(head.seq)) }
}
