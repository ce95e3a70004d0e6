//! `tables`: the lake's tables and views in a catalog.

use clap::{Args, Subcommand};
use serde_json::json;

use super::{
    commands::Outcome,
    engine,
    exit::{Code, Failure},
    output::Output,
    query::identifier,
    workspace,
};
use crate::{
    analytics::warehouse::Warehouse,
    lake::{Lake, location::VolumePath},
    ops::tables::{self, CopiedRows, Step},
    render::plain,
};

#[derive(Debug, Subcommand)]
pub enum TablesCommand {
    /// Show the lake's tables and views in Unity Catalog
    ///
    /// Tables below an external location stay where they are; the catalog learns their location. This needs CREATE EXTERNAL TABLE
    /// on the external location. For a lake in a volume the catalog gets managed tables, which `tables copy` fills. Both need
    /// USE SCHEMA and CREATE TABLE on the schema. Repeating it is harmless.
    Register(CatalogArgs),
    /// Copy new rows of a lake in a volume into managed tables
    ///
    /// One statement a table inserts the rows with a higher seq than the table has; each row is copied once, however often this
    /// runs. Before and after, the tables are compared with the lake: exit code 5 when one says something else. Tables of a lake
    /// below an external location are registered and never copied: there is nothing to do then. Needs READ VOLUME on the volume,
    /// and MODIFY and SELECT on the tables.
    Copy(CatalogArgs),
}

#[derive(Debug, Args)]
pub struct CatalogArgs {
    /// The catalog to show them in
    #[arg(long, value_name = "NAME", env = "OPS_RUNBOOK_CATALOG")]
    catalog: String,
    /// The schema in it; it must be there
    #[arg(long, value_name = "NAME", env = "OPS_RUNBOOK_SCHEMA")]
    schema: String,
    /// Run the statements on a SQL warehouse instead of printing them
    #[arg(long, requires = "warehouse_id")]
    run: bool,
    /// The SQL warehouse that runs them
    #[arg(long, value_name = "ID", env = "DATABRICKS_WAREHOUSE_ID")]
    warehouse_id: Option<String>,
}

impl CatalogArgs {
    /// The warehouse that is to run the statements. `None`: they are printed.
    fn warehouse_id(&self) -> Option<&str> {
        self.warehouse_id.as_deref().filter(|_| self.run)
    }
}

pub async fn run(command: &TablesCommand, lake: &Lake, output: &Output) -> Outcome {
    match command {
        TablesCommand::Register(args) => {
            let steps = tables::registration(lake).await?;
            match args.warehouse_id() {
                Some(warehouse_id) => register(args, warehouse_id, lake, &steps, output).await,
                None => print(args, &steps, output),
            }
        }
        TablesCommand::Copy(args) => match (lake.volume_path(), args.warehouse_id()) {
            (None, _) => nothing_to_copy(lake, output),
            (Some(path), Some(warehouse_id)) => copy(args, warehouse_id, lake, path, output).await,
            (Some(path), None) => print(args, &tables::copying(path), output),
        },
    }
}

/// Prints statements. What they name is looked for in the schema of the session.
fn print(args: &CatalogArgs, steps: &[Step], output: &Output) -> Outcome {
    let (catalog, schema) = (identifier(&args.catalog)?, identifier(&args.schema)?);
    if output.json {
        for step in steps {
            output.json(step)?;
        }
        return Ok(Code::Success);
    }
    let mut text = format!("USE CATALOG {catalog};\nUSE SCHEMA {schema};\n");
    for step in steps {
        text.push_str(&format!("\n{};\n", step.sql));
    }
    output.text(&text)?;
    Ok(Code::Success)
}

fn warehouse(args: &CatalogArgs, warehouse_id: &str) -> Result<Warehouse, Failure> {
    let (catalog, schema) = (args.catalog.clone(), args.schema.clone());
    Ok(Warehouse::new(workspace::client()?, warehouse_id.into(), catalog, schema, Box::new(|_| {})))
}

async fn register(args: &CatalogArgs, warehouse_id: &str, lake: &Lake, steps: &[Step], output: &Output) -> Outcome {
    let warehouse = warehouse(args, warehouse_id)?;
    let bar = output.progress("registering");
    bar.set_length(steps.len() as u64);
    let mut written = Ok(());
    let done = |step: &Step| {
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
    Ok(Code::Success)
}

async fn copy(args: &CatalogArgs, warehouse_id: &str, lake: &Lake, path: &VolumePath, output: &Output) -> Outcome {
    let warehouse = warehouse(args, warehouse_id)?;
    let bar = output.progress("copying");
    let done = |step: &Step| {
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
        return Ok(Code::Success);
    }
    if copied.is_empty() {
        output.text(&plain::line(&format!("{} holds all rows of the lake", warehouse.schema_name())))?;
    }
    for CopiedRows { table, rows, last_seq } in &copied {
        let name = format!("{}.{table}", warehouse.schema_name());
        output.text(&plain::line(&format!("{name}: {rows} new rows, up to entry {last_seq}")))?;
    }
    Ok(Code::Success)
}

fn nothing_to_copy(lake: &Lake, output: &Output) -> Outcome {
    if !output.json {
        let place = lake.display();
        output.text(&plain::line(&format!("nothing to copy: the tables of {place} are registered where they are")))?;
    }
    Ok(Code::Success)
}
