//! `query`: the queries and views of `sql/`.

use clap::{Args, Subcommand};
use serde_json::json;

use super::{
    RowFormat,
    commands::{CommandResult, print_rows},
    engine::{self, EngineArgs},
    exit::{CommandError, ExitStatus},
    help::examples,
    output::Output,
};
use crate::{
    analytics::header::SqlHeader,
    lake::Lake,
    ops::named_query::{self, RunQuery, find, known},
    render::plain,
};

#[derive(Debug, Subcommand)]
pub enum QueryCommand {
    /// List the queries and views with summary and parameters
    #[command(after_help = examples!("ops-runbook query list"))]
    List,
    /// Print the SQL text of a query or view
    #[command(after_help = examples!("ops-runbook query show cause_ranking"))]
    Show {
        /// Name of the query or view, as `query list` prints it
        name: String,
    },
    /// Run a query or view
    ///
    /// Defaults of the parameters: a week's from --week and --tz; as_of from --as-of; threshold and window_hours from the
    /// configuration; known_from from the earliest report. Outside weekly queries, since is the start of the history. A list of
    /// open incidents is computed from the whole history. The rows are sorted by their columns, the first column first.
    #[command(after_help = examples!(
        "ops-runbook query run cause_ranking",
        "ops-runbook query run weekly_counts --week 2026-W08 --format csv",
        "ops-runbook query run incidents --engine warehouse --catalog main --schema ops",
    ))]
    Run(QueryRunArgs),
}

#[derive(Debug, Args)]
pub struct QueryRunArgs {
    #[command(flatten)]
    question: RunQuery,
    /// Output format
    #[arg(long, default_value = "table")]
    format: RowFormat,
    #[command(flatten)]
    engine: EngineArgs,
}

/// Runs a command. `lake` is called by the commands that need one.
pub async fn run(
    command: &QueryCommand,
    lake: impl Fn() -> Result<Lake, crate::lake::LakeError>,
    output: &Output,
) -> CommandResult {
    match command {
        QueryCommand::List => list(output),
        QueryCommand::Show { name } => {
            let (name, kind, sql) = find(name)?;
            if output.json {
                output.json(&json!({ "name": name, "kind": kind, "sql": sql }))?;
            } else {
                output.text(sql)?;
            }
            Ok(ExitStatus::Success)
        }
        QueryCommand::Run(args) => ask(args, &lake()?, output).await,
    }
}

fn list(output: &Output) -> CommandResult {
    let mut text = String::new();
    for (name, kind, sql) in known() {
        let header = SqlHeader::of(sql);
        if output.json {
            let parameters: Vec<_> = header
                .parameters
                .iter()
                .map(|it| json!({ "name": it.name, "type": it.kind.to_string(), "meaning": it.meaning }))
                .collect();
            let (summary, grain) = (header.summary(), &header.grain);
            output.json(&json!({
                "name": name, "kind": kind, "summary": summary, "grain": grain, "parameters": parameters
            }))?;
            continue;
        }
        text.push_str(&format!("{name}  ({kind})\n    {}\n", header.summary()));
        if !header.parameters.is_empty() {
            let names: Vec<String> = header.parameters.iter().map(|it| format!("{} {}", it.name, it.kind)).collect();
            text.push_str(&format!("    parameters: {}\n", names.join(", ")));
        }
    }
    output.text(&text)?;
    Ok(ExitStatus::Success)
}

async fn ask(args: &QueryRunArgs, lake: &Lake, output: &Output) -> CommandResult {
    let asked = match named_query::bind(lake, &args.question).await? {
        Ok(asked) => asked,
        Err(problems) => {
            for problem in &problems {
                output.problem(&format!("refused: {}", plain::line(problem)));
            }
            return Err(CommandError::Parameters { query: args.question.name.clone() });
        }
    };
    let (schema, rows) =
        engine::with(&args.engine, lake, output, async |engine| Ok(named_query::run(engine, &asked).await?)).await?;
    print_rows(schema, vec![rows], args.format, output)?;
    Ok(ExitStatus::Success)
}
