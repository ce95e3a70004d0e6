//! `--engine`: where queries run.

use std::sync::{Mutex, PoisonError};

use clap::{Args, ValueEnum};
use indicatif::ProgressBar;

use super::{exit::Failure, output::Output};
use crate::{
    analytics::{
        engine::Engine,
        warehouse::{Listener, Warehouse},
    },
    databricks::{
        Client,
        statements::{Cancelled, State},
    },
    lake::Lake,
};

/// Flags of every command that asks queries which may be too much for one machine.
#[derive(Debug, Args)]
pub struct EngineArgs {
    /// Where queries run. A warehouse needs its workspace in DATABRICKS_HOST and a token in DATABRICKS_TOKEN
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
    let outcome = tokio::select! {
        outcome = work(choose(lake, Some(&warehouse))) => Some(outcome),
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
/// [`Failure::Settings`] names everything that is missing, [`Failure::Unusable`] what is there and wrong.
pub fn warehouse(args: &EngineArgs, output: Output) -> Result<Option<Warehouse>, Failure> {
    if args.engine == Kind::Local {
        return Ok(None);
    }
    let given = |value: &Option<String>| value.clone().filter(|value| !value.trim().is_empty());
    let found = (
        environment("DATABRICKS_HOST"),
        environment("DATABRICKS_TOKEN"),
        given(&args.warehouse_id),
        given(&args.catalog),
        given(&args.schema),
    );
    let (Some(host), Some(token), Some(warehouse_id), Some(catalog), Some(schema)) = found else {
        let (host, token, warehouse_id, catalog, schema) = found;
        let missing = [
            (host.is_none(), "the workspace's URL in DATABRICKS_HOST"),
            (token.is_none(), "a token in DATABRICKS_TOKEN"),
            (warehouse_id.is_none(), "--warehouse-id (or DATABRICKS_WAREHOUSE_ID)"),
            (catalog.is_none(), "--catalog (or OPS_RUNBOOK_CATALOG)"),
            (schema.is_none(), "--schema (or OPS_RUNBOOK_SCHEMA)"),
        ];
        let missing = missing.into_iter().filter(|(is_missing, _)| *is_missing).map(|(_, name)| name.to_owned());
        return Err(Failure::Settings(missing.collect()));
    };
    let unusable = |what: &str| {
        let what = what.to_owned();
        move |reason| Failure::Unusable { what, reason }
    };
    let client = Client::new(
        host.parse().map_err(unusable("DATABRICKS_HOST"))?,
        token.parse().map_err(unusable("DATABRICKS_TOKEN"))?,
    )?;
    Ok(Some(Warehouse::new(client, warehouse_id, catalog, schema, listener(output))))
}

#[expect(clippy::disallowed_methods, reason = "as an argument, a token would be shown to everybody on the machine")]
fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.trim().is_empty())
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
