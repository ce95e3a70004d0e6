//! `query` and `views`: the questions of `sql/`, asked by people, and the views as statements for a catalog.

use clap::{Args, Subcommand};
use serde_json::json;

use super::{
    RowFormat,
    commands::{Outcome, print_rows},
    engine::{self, EngineArgs},
    exit::{Code, Failure},
    output::Output,
};
use crate::{
    analytics::{self, header::Header},
    lake::Lake,
    ops::question::{self, RunQuery, find, known},
    render::plain,
    tables::ddl,
};

#[derive(Debug, Subcommand)]
pub enum QueryCommand {
    /// List the queries and views: what each answers, and which parameters it takes
    List,
    /// Print the text of a query or view, its header included
    Show {
        /// As `query list` prints it
        name: String,
    },
    /// Run a query or view
    ///
    /// Parameters that are not given: those about a week follow from --week and --tz, as_of from --as-of, threshold and
    /// window_hours from the configuration, known_from from the earliest report; since is the beginning of time where the query
    /// is not about a week, and a list of open incidents is made from the whole history. The rows are ordered by their columns, from the first one on.
    Run(RunArgs),
}

#[derive(Debug, Args)]
pub struct RunArgs {
    #[command(flatten)]
    question: RunQuery,
    /// How to print the rows
    #[arg(long, default_value = "table")]
    format: RowFormat,
    #[command(flatten)]
    engine: EngineArgs,
}

#[derive(Debug, Subcommand)]
pub enum ViewsCommand {
    /// Print the CREATE VIEW statements for Databricks SQL, those first that others need
    Ddl {
        /// The catalog that the tables are registered in
        #[arg(long, value_name = "CATALOG")]
        catalog: String,
        /// The schema in it
        #[arg(long, value_name = "SCHEMA")]
        schema: String,
        /// Take the place of views that are there already
        #[arg(long)]
        or_replace: bool,
    },
}

/// `lake` is opened only by what needs one.
pub async fn run(
    command: &QueryCommand,
    lake: impl Fn() -> Result<Lake, crate::lake::LakeError>,
    output: &Output,
) -> Outcome {
    match command {
        QueryCommand::List => list(output),
        QueryCommand::Show { name } => {
            let (name, kind, sql) = find(name)?;
            if output.json {
                output.json(&json!({ "name": name, "kind": kind, "sql": sql }))?;
            } else {
                output.text(sql)?;
            }
            Ok(Code::Success)
        }
        QueryCommand::Run(args) => ask(args, &lake()?, output).await,
    }
}

fn list(output: &Output) -> Outcome {
    let mut text = String::new();
    for (name, kind, sql) in known() {
        let header = Header::of(sql);
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
    Ok(Code::Success)
}

async fn ask(args: &RunArgs, lake: &Lake, output: &Output) -> Outcome {
    let asked = match question::ask(lake, &args.question).await? {
        Ok(asked) => asked,
        Err(problems) => {
            for problem in &problems {
                output.problem(&format!("refused: {}", plain::line(problem)));
            }
            return Err(Failure::Parameters { query: args.question.name.clone() });
        }
    };
    let (schema, rows) =
        engine::with(&args.engine, lake, output, async |engine| Ok(question::answer(engine, &asked).await?)).await?;
    print_rows(schema, vec![rows], args.format, output)?;
    Ok(Code::Success)
}

/// Prints statements. Whoever runs them has read what stands in them: what is inside refers to the schema of the session.
pub fn views(command: &ViewsCommand, output: &Output) -> Outcome {
    let ViewsCommand::Ddl { catalog, schema, or_replace } = command;
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
    Ok(Code::Success)
}

/// A name in back quotes.
///
/// # Errors
/// [`Failure::Unusable`] for a name that a catalog does not take.
pub fn identifier(name: &str) -> Result<String, Failure> {
    let reason = "a name is not blank and has no control characters";
    let unusable = || Failure::Unusable { what: format!("{name:?}"), reason: reason.into() };
    ddl::identifier(name).ok_or_else(unusable)
}
