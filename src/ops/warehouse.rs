//! Checks that a warehouse reads the tables of this lake and that they are up to date.

use serde::Deserialize;

use super::{OpsError, tables};
use crate::{
    analytics::engine::{Engine, ParameterValue},
    lake::{Lake, LakeError, ledger, projector},
    tables::catalog::AUDIT_LOG,
};

/// Projects the ledger, copies new rows to managed tables, and checks that the engine reads this lake: the newest row of the
/// audit log must be the same there. Results from another lake must not be recorded in this one.
///
/// # Errors
/// [`OpsError::OtherLake`], or the lake's, or the warehouse's.
pub async fn check_same_lake(lake: &Lake, engine: Engine<'_>) -> Result<(), OpsError> {
    #[derive(Deserialize)]
    struct HashRow {
        entry_hash: String,
    }
    let Engine::Warehouse(warehouse) = engine else { return Ok(()) };
    projector::project(lake, |_, _| {}).await?;
    let table = lake.table(AUDIT_LOG);
    let head = ledger::head(&table, &table.newest_log().await?).await?.chain;
    if let Some(path) = lake.volume_path() {
        tables::copy(lake, path, warehouse, |_| {}).await?;
    }
    // An empty log must have no row there either.
    let seq = i64::try_from(head.seq.max(1)).map_err(|error| LakeError::Corrupt(error.to_string()))?;
    let rows: Vec<HashRow> = engine
        .rows("SELECT entry_hash FROM audit_log WHERE seq = :seq", &[("seq".into(), ParameterValue::Int(seq))])
        .await?;
    let expected = (head.seq > 0).then_some(&head.hash);
    if rows.iter().map(|row| &row.entry_hash).eq(expected) { Ok(()) } else { Err(OpsError::OtherLake(head.seq)) }
}
