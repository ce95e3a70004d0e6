//! `catalog`: the lake's tables and views in Unity Catalog.

use clap::{Args, Subcommand};
use serde_json::json;

use super::{
    commands::CommandResult,
    engine,
    exit::{CommandError, ExitStatus},
    help::examples,
    output::Output,
    workspace,
};
use crate::{
    analytics::{self, warehouse::Warehouse},
    lake::{Lake, LakeError, location::VolumePath},
    ops::tables::{self, CatalogStatement, CopiedRows},
    render::plain,
    tables::ddl,
};

#[derive(Debug, Subcommand)]
pub enum CatalogCommand {
    /// Register the lake's tables and views in Unity Catalog
    ///
    /// A lake below an external location is registered as external tables; its files stay in place. This needs CREATE EXTERNAL
    /// TABLE on the external location. A lake in a volume gets managed tables, which `catalog copy` fills. Both need USE SCHEMA
    /// and CREATE TABLE on the schema. The command can be repeated. Without --run it prints the statements.
    #[command(after_help = examples!(
        "ops-runbook catalog register --catalog main --schema ops",
        "ops-runbook catalog register --catalog main --schema ops --run --warehouse-id 0123456789abcdef",
    ))]
    Register(CatalogArgs),
    /// Copy new rows of a lake in a volume into managed tables
    ///
    /// One statement per table inserts the rows whose seq is higher than the highest one in the table. Each row is copied once,
    /// also when the command is repeated. The tables are compared with the lake before and after: exit code 5 when one differs.
    /// A lake below an external location needs no copy: its tables are registered. Needs READ VOLUME on the volume, and MODIFY
    /// and SELECT on the tables. Without --run the command prints the statements.
    #[command(after_help = examples!(
        "ops-runbook catalog copy --catalog main --schema ops",
        "ops-runbook catalog copy --catalog main --schema ops --run --warehouse-id 0123456789abcdef",
    ))]
    Copy(CatalogArgs),
    /// Print the CREATE VIEW statements for Databricks SQL
    ///
    /// A view comes after the views that it reads.
    #[command(after_help = examples!(
        "ops-runbook catalog views --catalog main --schema ops",
        "ops-runbook catalog views --catalog main --schema ops --or-replace",
    ))]
    Views(CatalogViewsArgs),
}

#[derive(Debug, Args)]
pub struct CatalogViewsArgs {
    /// The catalog with the registered tables
    #[arg(long, value_name = "NAME")]
    catalog: String,
    /// The schema with the registered tables
    #[arg(long, value_name = "NAME")]
    schema: String,
    /// Replace existing views
    #[arg(long)]
    or_replace: bool,
}

#[derive(Debug, Args)]
pub struct CatalogArgs {
    /// The catalog
    #[arg(long, value_name = "NAME", env = "OPS_RUNBOOK_CATALOG")]
    catalog: String,
    /// The schema in the catalog; it must exist
    #[arg(long, value_name = "NAME", env = "OPS_RUNBOOK_SCHEMA")]
    schema: String,
    /// Run the statements on a SQL warehouse instead of printing them
    #[arg(long, requires = "warehouse_id")]
    run: bool,
    /// Id of the SQL warehouse that runs the statements
    #[arg(long, value_name = "ID", env = "DATABRICKS_WAREHOUSE_ID")]
    warehouse_id: Option<String>,
}

impl CatalogArgs {
    /// Returns the id of the warehouse that runs the statements. `None`: the statements are printed.
    fn warehouse_id(&self) -> Option<&str> {
        self.warehouse_id.as_deref().filter(|_| self.run)
    }
}

/// Runs a command. `lake` is called by the commands that need one.
pub async fn run(
    command: &CatalogCommand,
    lake: impl Fn() -> Result<Lake, LakeError>,
    output: &Output,
) -> CommandResult {
    match command {
        CatalogCommand::Views(args) => views(args, output),
        CatalogCommand::Register(args) => {
            let lake = lake()?;
            let steps = tables::registration(&lake).await?;
            match args.warehouse_id() {
                Some(warehouse_id) => register(args, warehouse_id, &lake, &steps, output).await,
                None => print(args, &steps, output),
            }
        }
        CatalogCommand::Copy(args) => {
            let lake = lake()?;
            match (lake.volume_path(), args.warehouse_id()) {
                (None, _) => nothing_to_copy(&lake, output),
                (Some(path), Some(warehouse_id)) => copy(args, warehouse_id, &lake, path, output).await,
                (Some(path), None) => print(args, &tables::copying(path), output),
            }
        }
    }
}

/// Prints the statements. Their names are resolved in the schema of the session.
fn print(args: &CatalogArgs, steps: &[CatalogStatement], output: &Output) -> CommandResult {
    let (catalog, schema) = (identifier(&args.catalog)?, identifier(&args.schema)?);
    if output.json {
        for step in steps {
            output.json(step)?;
        }
        return Ok(ExitStatus::Success);
    }
    let mut text = format!("USE CATALOG {catalog};\nUSE SCHEMA {schema};\n");
    for step in steps {
        text.push_str(&format!("\n{};\n", step.sql));
    }
    output.text(&text)?;
    Ok(ExitStatus::Success)
}

fn warehouse(args: &CatalogArgs, warehouse_id: &str) -> Result<Warehouse, CommandError> {
    let (catalog, schema) = (args.catalog.clone(), args.schema.clone());
    Ok(Warehouse::new(workspace::client()?, warehouse_id.into(), catalog, schema, Box::new(|_| {})))
}

async fn register(
    args: &CatalogArgs,
    warehouse_id: &str,
    lake: &Lake,
    steps: &[CatalogStatement],
    output: &Output,
) -> CommandResult {
    let warehouse = warehouse(args, warehouse_id)?;
    let bar = output.progress("registering");
    bar.set_length(steps.len() as u64);
    let mut written = Ok(());
    let done = |step: &CatalogStatement| {
        bar.inc(1);
        let (kind, name) = (step.kind.as_str(), step.name);
        let line = || match output.json {
            true => output.json(&json!({ "kind": kind, "name": name, "registered": true })),
            false => output.text(&plain::line(&format!("{kind} {}.{name}", warehouse.schema_name()))),
        };
        let shown = bar.suspend(line);
        written = std::mem::replace(&mut written, Ok(())).and(shown);
    };
    let client = workspace::client()?;
    let registering = async { Ok(tables::register(lake, &client, &warehouse, steps, done).await?) };
    let registered = engine::guarded(&warehouse, output, registering).await;
    bar.finish_and_clear();
    registered?;
    written?;
    Ok(ExitStatus::Success)
}

async fn copy(
    args: &CatalogArgs,
    warehouse_id: &str,
    lake: &Lake,
    path: &VolumePath,
    output: &Output,
) -> CommandResult {
    let warehouse = warehouse(args, warehouse_id)?;
    let bar = output.progress("copying");
    let done = |step: &CatalogStatement| {
        bar.inc(1);
        bar.set_message(format!("copying {}", step.name));
    };
    let copying = async { Ok(tables::copy(lake, path, &warehouse, done).await?) };
    let copied = engine::guarded(&warehouse, output, copying).await;
    bar.finish_and_clear();
    let copied = copied?;
    if output.json {
        for copied in &copied {
            output.json(copied)?;
        }
        return Ok(ExitStatus::Success);
    }
    if copied.is_empty() {
        output.text(&plain::line(&format!("{} has all rows of the lake", warehouse.schema_name())))?;
    }
    for CopiedRows { table, rows, last_seq } in &copied {
        let name = format!("{}.{table}", warehouse.schema_name());
        output.text(&plain::line(&format!("{name}: {rows} new rows, up to entry {last_seq}")))?;
    }
    Ok(ExitStatus::Success)
}

fn nothing_to_copy(lake: &Lake, output: &Output) -> CommandResult {
    if !output.json {
        let place = lake.display();
        output
            .text(&plain::line(&format!("nothing to copy: the tables of {place} are registered as external tables")))?;
    }
    Ok(ExitStatus::Success)
}

/// Prints the CREATE VIEW statements. Their names are resolved in the schema of the session.
fn views(args: &CatalogViewsArgs, output: &Output) -> CommandResult {
    let CatalogViewsArgs { catalog, schema, or_replace } = args;
    let mut text = format!("USE CATALOG {};\nUSE SCHEMA {};\n", identifier(catalog)?, identifier(schema)?);
    let create = if *or_replace { "CREATE OR REPLACE VIEW" } else { "CREATE VIEW" };
    let mut statements = Vec::new();
    for (name, statement) in analytics::view_statements(create)? {
        text.push_str(&format!("\n{statement};\n"));
        statements.push(json!({ "view": name, "statement": statement }));
    }
    if output.json {
        output.json(&json!({ "catalog": catalog, "schema": schema, "views": statements }))?;
    } else {
        output.text(&text)?;
    }
    Ok(ExitStatus::Success)
}

/// Returns the name in back quotes.
///
/// # Errors
/// [`CommandError::Unusable`] for a name that a catalog does not take.
fn identifier(name: &str) -> Result<String, CommandError> {
    let reason = "a name is not blank and has no control characters";
    let unusable = || CommandError::Unusable { what: format!("{name:?}"), reason: reason.into() };
    ddl::identifier(name).ok_or_else(unusable)
}
