//! `tables`: the lake's tables and views in a catalog.

use clap::{Args, Subcommand};
use serde_json::json;

use super::{
    commands::Outcome,
    exit::{Code, Failure},
    output::Output,
    query::{identifier, view_statements},
    workspace,
};
use crate::{
    databricks::{
        error::ApiError,
        statements::{Statement, StatementError, Statements},
    },
    lake::{Lake, table::folder_url},
    ops,
    render::plain,
    tables::{catalog, ddl},
};

#[derive(Debug, Subcommand)]
pub enum TablesCommand {
    /// Print or run the statements that show the lake's tables and views in Unity Catalog
    ///
    /// The tables stay where they are; the catalog learns their location. Repeating it is harmless. Needs CREATE EXTERNAL TABLE
    /// on the external location, and USE SCHEMA and CREATE TABLE on the schema.
    Register(RegisterArgs),
}

#[derive(Debug, Args)]
pub struct RegisterArgs {
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

/// A statement, and what it makes.
struct Step {
    kind: &'static str,
    name: &'static str,
    sql: String,
}

pub async fn run(command: &TablesCommand, lake: &Lake, output: &Output) -> Outcome {
    let TablesCommand::Register(args) = command;
    let steps = steps(lake).await?;
    match args.warehouse_id.as_deref().filter(|_| args.run) {
        Some(warehouse_id) => register(args, warehouse_id, lake, &steps, output).await,
        None => print(args, &steps, output),
    }
}

/// Tables first, then views, those first that others need.
async fn steps(lake: &Lake) -> Result<Vec<Step>, Failure> {
    let unusable = |reason: String| Failure::Unusable { what: lake.display(), reason };
    if lake.url().scheme() == "file" {
        return Err(unusable("a catalog reaches object stores only, and this lake is a folder of this machine".into()));
    }
    let storage = lake.storage_url().await?;
    let mut steps = Vec::new();
    for def in catalog::all() {
        let sql = ddl::external_table(def, folder_url(&storage, def).as_str());
        let sql = sql.ok_or_else(|| {
            unusable("its location has a quote or a backslash, which engines read differently".into())
        })?;
        steps.push(Step { kind: "table", name: def.name, sql });
    }
    for (name, sql) in view_statements("CREATE OR REPLACE VIEW")? {
        steps.push(Step { kind: "view", name, sql });
    }
    Ok(steps)
}

/// Whoever runs them has read what stands in them: what is inside refers to the schema of the session.
fn print(args: &RegisterArgs, steps: &[Step], output: &Output) -> Outcome {
    let (catalog, schema) = (identifier(&args.catalog)?, identifier(&args.schema)?);
    if output.json {
        for Step { kind, name, sql } in steps {
            output.json(&json!({ "kind": kind, "name": name, "statement": sql }))?;
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

/// Statements may be sent twice after an error of the network: each leaves what is there as it is.
async fn register(args: &RegisterArgs, warehouse_id: &str, lake: &Lake, steps: &[Step], output: &Output) -> Outcome {
    // A catalog takes the columns of a table from its log.
    ops::existing_lake(lake).await?;
    let client = workspace::client()?;
    let storage = lake.storage_url().await?;
    for def in catalog::all() {
        let expected = folder_url(&storage, def);
        match client.table_location(&args.catalog, &args.schema, def.name).await {
            Ok(Some(found)) if found.trim_end_matches('/') == expected => {}
            Ok(found) => {
                let found = found.unwrap_or_else(|| "n/a".into());
                return Err(Failure::Unusable {
                    what: format!("{}.{}.{}", args.catalog, args.schema, def.name),
                    reason: format!("it is there already, with another location: {found}"),
                });
            }
            Err(ApiError::NotFound(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let statements = Statements::new(client);
    let bar = output.progress("registering");
    bar.set_length(steps.len() as u64);
    for step in steps {
        let statement =
            Statement { warehouse_id, catalog: &args.catalog, schema: &args.schema, sql: &step.sql, parameters: &[] };
        statements.run(statement, |_| {}).await.map_err(failed)?;
        bar.inc(1);
        bar.suspend(|| match output.json {
            true => output.json(&json!({ "kind": step.kind, "name": step.name, "registered": true })),
            false => {
                output.text(&plain::line(&format!("{} {}.{}.{}", step.kind, args.catalog, args.schema, step.name)))
            }
        })?;
    }
    bar.finish_and_clear();
    Ok(Code::Success)
}

fn failed(error: StatementError) -> Failure {
    crate::analytics::QueryError::Warehouse(error).into()
}
