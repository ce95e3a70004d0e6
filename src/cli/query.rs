//! `query` and `views`: the questions of `sql/`, asked by people, and the views as statements for a catalog.

use std::{io, sync::Arc};

use arrow::{
    array::RecordBatch,
    compute::{SortColumn, SortOptions, concat_batches, lexsort_to_indices, take_record_batch},
    datatypes::SchemaRef,
    error::ArrowError,
};
use chrono_tz::Tz;
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
    analytics::{
        self,
        engine::{Parameters, Value},
        header::{Header, Parameter, body},
        weekly::WeekParameters,
    },
    domain::{
        recurrence::stretch::beginning,
        time::Timestamp,
        week::{Week, WeekNumber, zone},
    },
    lake::Lake,
    ops,
    render::plain,
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
    /// As `query list` prints it
    name: String,
    /// A parameter of the query; a time is given as RFC 3339. May be repeated
    #[arg(long = "param", value_name = "NAME=VALUE")]
    parameters: Vec<String>,
    /// ISO week such as 2026-W08; the last one that is over unless given
    #[arg(long, value_name = "WEEK")]
    week: Option<WeekNumber>,
    /// The time zone that weeks, days and hours are in; the configuration's unless given
    #[arg(long, value_name = "ZONE", value_parser = zone)]
    tz: Option<Tz>,
    /// As if it were that moment, RFC 3339; now unless given
    #[arg(long, value_name = "TIME")]
    as_of: Option<Timestamp>,
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

/// Name, kind, text. Queries first.
fn known() -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
    let queries = analytics::queries().map(|(name, sql)| (name, "query", sql));
    queries.chain(analytics::views().map(|(name, sql)| (name, "view", sql)))
}

fn find(name: &str) -> Result<(&'static str, &'static str, &'static str), Failure> {
    known().find(|(known, ..)| *known == name).ok_or_else(|| Failure::NoQuery(name.to_owned()))
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
    let (name, kind, sql) = find(&args.name)?;
    ops::existing_lake(lake).await?;
    let header = Header::of(sql);
    let parameters = parameters(name, &header.parameters, args, lake, output).await?;
    let asked = if kind == "view" { format!("SELECT * FROM {name}") } else { name.to_owned() };
    let (schema, batches) =
        engine::with(&args.engine, lake, output, async |engine| Ok(engine.run(&asked, &parameters).await?)).await?;
    let rows = ordered(&schema, &batches).map_err(|error| Failure::Output(io::Error::other(error)))?;
    print_rows(schema, vec![rows], args.format, output)?;
    Ok(Code::Success)
}

/// All rows, by their columns from the first one on. No engine promises an order, and the same question is printed alike.
fn ordered(schema: &SchemaRef, batches: &[RecordBatch]) -> Result<RecordBatch, ArrowError> {
    let rows = concat_batches(schema, batches)?;
    let options = Some(SortOptions { descending: false, nulls_first: false });
    let columns: Vec<SortColumn> =
        rows.columns().iter().map(|values| SortColumn { values: Arc::clone(values), options }).collect();
    take_record_batch(&rows, &lexsort_to_indices(&columns, None)?)
}

/// A value for every parameter: given, or what it is otherwise. Everything that is wrong is told.
async fn parameters(
    query: &str,
    takes: &[Parameter],
    args: &RunArgs,
    lake: &Lake,
    output: &Output,
) -> Result<Parameters, Failure> {
    let mut problems = Vec::new();
    let mut values = Parameters::new();
    for given in &args.parameters {
        let Some((name, text)) = given.split_once('=') else {
            problems.push(format!("{given:?} is not NAME=VALUE"));
            continue;
        };
        match takes.iter().find(|it| it.name == name) {
            None => problems.push(format!("{query} has no parameter {name:?}")),
            Some(_) if values.iter().any(|(known, _)| known == name) => {
                problems.push(format!("{name} is given more than once"));
            }
            Some(parameter) => match parameter.kind.parse(text) {
                Ok(value) => values.push((name.to_owned(), value)),
                Err(error) => problems.push(format!("{name}: {error}")),
            },
        }
    }
    let now = args.as_of.unwrap_or_else(|| lake.context.now());
    let zone = args.tz.unwrap_or(lake.context.policy.digest.time_zone);
    let week = args.week.map_or_else(|| Week::last_complete(now, zone), |week| Week::new(week, zone));
    let known_from = ops::digest::known_from(lake).await?.unwrap_or(week.end());
    let at = WeekParameters { week, known_from };
    let rule = ops::recurrence::rule(lake);
    for parameter in takes {
        if values.iter().any(|(name, _)| *name == parameter.name) {
            continue;
        }
        let value = match parameter.name.as_str() {
            "as_of" => Some(now.into()),
            "threshold" => Some(rule.threshold.into()),
            "window_hours" => Some(rule.window_hours.into()),
            "known_until" => Timestamp::from_micros(0).map(Value::from),
            "known_seq" => Some(Value::Int(0)),
            name => at.value(query, name).or_else(|| (name == "since").then(|| beginning().into())),
        };
        match value {
            Some(value) => values.push((parameter.name.clone(), value)),
            None => problems
                .push(format!("{query} needs --param {}=…, {}: {}", parameter.name, parameter.kind, parameter.meaning)),
        }
    }
    if problems.is_empty() {
        return Ok(values);
    }
    for problem in &problems {
        output.problem(&format!("refused: {}", plain::line(problem)));
    }
    Err(Failure::Parameters { query: query.to_owned() })
}

/// Prints statements. Whoever runs them has read what stands in them: what is inside refers to the schema of the session.
pub fn views(command: &ViewsCommand, output: &Output) -> Outcome {
    let ViewsCommand::Ddl { catalog, schema, or_replace } = command;
    let mut text = format!("USE CATALOG {};\nUSE SCHEMA {};\n", identifier(catalog)?, identifier(schema)?);
    let create = if *or_replace { "CREATE OR REPLACE VIEW" } else { "CREATE VIEW" };
    let mut statements = Vec::new();
    for (name, statement) in view_statements(create)? {
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

/// Name and statement of every view, those first that others need. What they are made from is looked for in the session's schema.
///
/// # Errors
/// [`analytics::QueryError`] when a view cannot be read.
pub fn view_statements(create: &str) -> Result<Vec<(&'static str, String)>, Failure> {
    let views = analytics::views_in_order()?.into_iter().map(|(name, sql)| {
        let comment = comment(&Header::of(sql).what);
        Ok((name, format!("{create} {} COMMENT {comment} AS\n{}", identifier(name)?, body(sql).trim_end())))
    });
    views.collect()
}

/// A name in back quotes. A catalog takes no control characters, and nobody sees them in a statement.
pub fn identifier(name: &str) -> Result<String, Failure> {
    if name.trim().is_empty() || name.chars().any(char::is_control) {
        let reason = "a name is not blank and has no control characters".to_owned();
        return Err(Failure::Unusable { what: format!("{name:?}"), reason });
    }
    Ok(format!("`{}`", name.replace('`', "``")))
}

/// A string literal that ends nowhere on any engine, with or without backslash escapes.
fn comment(text: &str) -> String {
    format!("'{}'", text.replace('\'', "’").replace('\\', "/"))
}
