//! Compares the tables in the catalog with the lake for `doctor`.

use super::super::{
    engine::{self, EngineArgs},
    exit::{CommandError, DIFFERENT_TABLES},
    output::Output,
};
use crate::{
    analytics::engine::Engine,
    domain::{
        copies::{self, CopyComparison},
        health::{HealthCheck, HealthFinding},
    },
    lake::Lake,
    ops,
};

/// Compares the tables in the catalog with the lake. Returns the finding, and whether a table differs; `None` without a warehouse.
///
/// # Errors
/// As [`engine::with`]. An error of the warehouse is a finding.
pub async fn check(
    args: &EngineArgs,
    lake: &Lake,
    output: &Output,
) -> Result<Option<(HealthFinding, bool)>, CommandError> {
    engine::with(args, lake, output, async |engine| match engine {
        Engine::Warehouse(warehouse) => {
            let compared = ops::tables::compare(lake, warehouse).await.map_err(CommandError::from);
            let differs = compared.as_ref().is_ok_and(|tables| tables.iter().any(CopyComparison::is_different));
            Ok(Some((finding(compared), differs)))
        }
        Engine::Local(_) | Engine::Snapshot(_) => Ok(None),
    })
    .await
}

fn finding(compared: Result<Vec<CopyComparison>, CommandError>) -> HealthFinding {
    let tables = match compared {
        Ok(tables) => tables,
        Err(error) => return HealthFinding::failed(HealthCheck::Catalog, error.to_string(), error.hint()),
    };
    let different: Vec<String> = tables.iter().filter(|it| it.is_different()).map(ToString::to_string).collect();
    if !different.is_empty() {
        return HealthFinding::failed(HealthCheck::Catalog, different.join("; "), Some(DIFFERENT_TABLES.into()));
    }
    match copies::lag(&tables) {
        None => HealthFinding::ok(HealthCheck::Catalog, format!("{} tables match the lake", tables.len())),
        Some(lag) => HealthFinding::warning(HealthCheck::Catalog, lag, "`catalog copy --run` copies the new rows"),
    }
}
