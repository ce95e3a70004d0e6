//! The tables in the catalog, as a finding of `doctor`.

use super::{
    engine::{self, EngineArgs},
    exit::{DIFFERENT_TABLES, Failure},
    output::Output,
};
use crate::{
    analytics::engine::Engine,
    domain::{
        checkup::{Check, Finding},
        copies::{self, CopyComparison},
    },
    lake::Lake,
    ops,
};

/// What was found in the catalog, and whether a table there differs from the lake's. `None`: no warehouse was asked for.
///
/// # Errors
/// As [`engine::with`]; what the warehouse answers is a finding.
pub async fn check(args: &EngineArgs, lake: &Lake, output: &Output) -> Result<Option<(Finding, bool)>, Failure> {
    engine::with(args, lake, output, async |engine| match engine {
        Engine::Warehouse(warehouse) => {
            let compared = ops::tables::compare(lake, warehouse).await.map_err(Failure::from);
            let differs = compared.as_ref().is_ok_and(|tables| tables.iter().any(CopyComparison::is_different));
            Ok(Some((finding(compared), differs)))
        }
        Engine::Local(_) | Engine::Snapshot(_) => Ok(None),
    })
    .await
}

fn finding(compared: Result<Vec<CopyComparison>, Failure>) -> Finding {
    let tables = match compared {
        Ok(tables) => tables,
        Err(error) => return Finding::failed(Check::Catalog, error.to_string(), error.hint()),
    };
    let different: Vec<String> = tables.iter().filter(|it| it.is_different()).map(ToString::to_string).collect();
    if !different.is_empty() {
        return Finding::failed(Check::Catalog, different.join("; "), Some(DIFFERENT_TABLES.into()));
    }
    match copies::lag(&tables) {
        None => Finding::ok(Check::Catalog, format!("{} tables hold what the lake holds", tables.len())),
        Some(lag) => Finding::warning(Check::Catalog, lag, "`tables copy --run` copies what is new"),
    }
}
