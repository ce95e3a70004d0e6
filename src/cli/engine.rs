//! `--engine`: where queries run.

use std::sync::{Mutex, PoisonError};

use clap::{Args, ValueEnum};
use indicatif::ProgressBar;

use super::{exit::Failure, output::Output, workspace};
use crate::{
    analytics::{
        engine::Engine,
        warehouse::{Listener, Warehouse},
    },
    databricks::{
        auth::AuthError,
        statements::{Cancelled, State},
    },
    lake::Lake,
};

/// Flags of every command that asks queries which may be too much for one machine.
#[derive(Debug, Args)]
pub struct EngineArgs {
    /// Where queries run. A warehouse needs a login to a workspace; `doctor --workspace` checks it
    #[arg(long, default_value = "local")]
    engine: Kind,
    /// The SQL warehouse that runs them
    #[arg(long, value_name = "ID", env = "DATABRICKS_WAREHOUSE_ID")]
    warehouse_id: Option<String>,
    /// The catalog with the lake's tables and views, for a warehouse
    #[arg(long, value_name = "NAME", env = "OPS_RUNBOOK_CATALOG")]
    catalog: Option<String>,
    /// The schema in it
    #[arg(long, value_name = "NAME", env = "OPS_RUNBOOK_SCHEMA")]
    schema: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// In this process, over the lake's files
    Local,
    /// On a Databricks SQL warehouse
    Warehouse,
}

/// Does some work with the engine that was asked for. When the work fails or is interrupted (Ctrl-C), what it started on a
/// warehouse is cancelled; what it recorded stays.
///
/// # Errors
/// The work's own, [`Failure::Settings`], [`Failure::Interrupted`].
pub async fn with<T>(
    args: &EngineArgs,
    lake: &Lake,
    output: &Output,
    work: impl AsyncFnOnce(Engine<'_>) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let Some(warehouse) = warehouse(args, *output)? else { return work(choose(lake, None)).await };
    guarded(&warehouse, output, work(choose(lake, Some(&warehouse)))).await
}

/// What `work` returns. When it fails, or is interrupted, the statements that it left on the warehouse are cancelled.
///
/// # Errors
/// The work's own, [`Failure::Interrupted`].
pub async fn guarded<T>(
    warehouse: &Warehouse,
    output: &Output,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
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
            output.problem("cancelling what runs on the warehouse");
            let left = tokio::select! {
                left = warehouse.cancel_all() => left,
                Ok(()) = tokio::signal::ctrl_c() => Cancelled { cancelled: 0, unknown: 1 },
            };
            Err(Failure::Interrupted(left))
        }
    }
}

/// The warehouse where there is one, else this process.
pub fn choose<'a>(lake: &'a Lake, warehouse: Option<&'a Warehouse>) -> Engine<'a> {
    warehouse.map_or(Engine::Local(lake), Engine::Warehouse)
}

/// The warehouse that the arguments ask for; `None` when they ask for none. Makes no request.
///
/// # Errors
/// [`Failure::Settings`] names everything that is missing, [`Failure::Auth`] what is there and wrong.
pub fn warehouse(args: &EngineArgs, output: Output) -> Result<Option<Warehouse>, Failure> {
    if args.engine == Kind::Local {
        return Ok(None);
    }
    let mut missing = Vec::new();
    let client = match workspace::client() {
        Err(Failure::Auth(AuthError::Missing(names))) => {
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
        _ => Err(Failure::Settings(missing)),
    }
}

/// Shows how far a statement is, while it is under way.
fn listener(output: Output) -> Listener {
    let shown: Mutex<Option<ProgressBar>> = Mutex::default();
    Box::new(move |state| {
        let mut shown = shown.lock().unwrap_or_else(PoisonError::into_inner);
        match state {
            Some(state) => shown.get_or_insert_with(|| output.spinner()).set_message(match state {
                State::Pending => "waiting for the warehouse",
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
