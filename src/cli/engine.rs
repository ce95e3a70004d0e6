//! `--engine`: the engine that runs the queries.

use std::sync::{Mutex, PoisonError};

use clap::{Args, ValueEnum};
use indicatif::ProgressBar;

use super::{exit::CommandError, output::Output, workspace};
use crate::{
    analytics::{
        engine::Engine,
        warehouse::{StateListener, Warehouse},
    },
    databricks::{
        auth::AuthError,
        statements::{CancelSummary, StatementState},
    },
    lake::Lake,
};

/// Options of the commands that can run their queries on a warehouse.
#[derive(Debug, Args)]
pub struct EngineArgs {
    /// The engine that runs the queries. A warehouse needs a login to a workspace; `doctor --workspace` checks it
    #[arg(long, default_value = "local")]
    engine: EngineKind,
    /// Id of the SQL warehouse
    #[arg(long, value_name = "ID", env = "DATABRICKS_WAREHOUSE_ID")]
    warehouse_id: Option<String>,
    /// The catalog with the lake's tables and views
    #[arg(long, value_name = "NAME", env = "OPS_RUNBOOK_CATALOG")]
    catalog: Option<String>,
    /// The schema in the catalog
    #[arg(long, value_name = "NAME", env = "OPS_RUNBOOK_SCHEMA")]
    schema: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum EngineKind {
    /// In this process, over the lake's files
    Local,
    /// On a Databricks SQL warehouse
    Warehouse,
}

/// Runs `work` with the selected engine. When the work fails or is interrupted (Ctrl-C), its statements on a warehouse are
/// cancelled. Recorded requests stay recorded.
///
/// # Errors
/// The work's own, [`CommandError::Settings`], [`CommandError::Interrupted`].
pub async fn with<T>(
    args: &EngineArgs,
    lake: &Lake,
    output: &Output,
    work: impl AsyncFnOnce(Engine<'_>) -> Result<T, CommandError>,
) -> Result<T, CommandError> {
    let Some(warehouse) = warehouse(args, *output)? else { return work(choose(lake, None)).await };
    guarded(&warehouse, output, work(choose(lake, Some(&warehouse)))).await
}

/// Returns the result of `work`. When the work fails or is interrupted, its statements on the warehouse are cancelled.
///
/// # Errors
/// The work's own, [`CommandError::Interrupted`].
pub async fn guarded<T>(
    warehouse: &Warehouse,
    output: &Output,
    work: impl Future<Output = Result<T, CommandError>>,
) -> Result<T, CommandError> {
    let outcome = tokio::select! {
        outcome = work => Some(outcome),
        Ok(()) = tokio::signal::ctrl_c() => None,
    };
    match outcome {
        Some(outcome) => {
            if outcome.is_err() {
                warehouse.cancel_all().await;
            }
            outcome
        }
        None => {
            output.problem("cancelling the statements on the warehouse");
            let left = tokio::select! {
                left = warehouse.cancel_all() => left,
                Ok(()) = tokio::signal::ctrl_c() => CancelSummary { cancelled: 0, unknown: 1 },
            };
            Err(CommandError::Interrupted(left))
        }
    }
}

/// Returns the engine of the warehouse, or the local engine without one.
pub fn choose<'a>(lake: &'a Lake, warehouse: Option<&'a Warehouse>) -> Engine<'a> {
    warehouse.map_or(Engine::Local(lake), Engine::Warehouse)
}

/// Returns the selected warehouse; `None` for the local engine. Sends no request.
///
/// # Errors
/// [`CommandError::Settings`] lists the missing settings; [`CommandError::Auth`] reports invalid ones.
pub fn warehouse(args: &EngineArgs, output: Output) -> Result<Option<Warehouse>, CommandError> {
    if args.engine == EngineKind::Local {
        return Ok(None);
    }
    let mut missing = Vec::new();
    let client = match workspace::client() {
        Err(CommandError::Auth(AuthError::Missing(names))) => {
            missing.extend(names);
            None
        }
        client => Some(client?),
    };
    let mut given = |value: &Option<String>, name: &str| {
        let value = value.clone().filter(|value| !value.trim().is_empty());
        if value.is_none() {
            missing.push(name.to_owned());
        }
        value.unwrap_or_default()
    };
    let warehouse_id = given(&args.warehouse_id, "--warehouse-id (or DATABRICKS_WAREHOUSE_ID)");
    let catalog = given(&args.catalog, "--catalog (or OPS_RUNBOOK_CATALOG)");
    let schema = given(&args.schema, "--schema (or OPS_RUNBOOK_SCHEMA)");
    match client {
        Some(client) if missing.is_empty() => {
            Ok(Some(Warehouse::new(client, warehouse_id, catalog, schema, listener(output))))
        }
        _ => Err(CommandError::Settings(missing)),
    }
}

/// Shows the state of a running statement.
fn listener(output: Output) -> StateListener {
    let shown: Mutex<Option<ProgressBar>> = Mutex::default();
    Box::new(move |state| {
        let mut shown = shown.lock().unwrap_or_else(PoisonError::into_inner);
        match state {
            Some(state) => shown.get_or_insert_with(|| output.spinner()).set_message(match state {
                StatementState::Pending => "waiting for the warehouse",
                _ => "running on the warehouse",
            }),
            None => {
                if let Some(spinner) = shown.take() {
                    spinner.finish_and_clear();
                }
            }
        }
    })
}
