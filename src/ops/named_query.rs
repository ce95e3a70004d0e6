//! Runs the queries and views of `sql/` by name, with a value for every parameter.

use std::sync::Arc;

use arrow::{
    array::RecordBatch,
    compute::{SortColumn, SortOptions, concat_batches, lexsort_to_indices, take_record_batch},
    datatypes::SchemaRef,
    error::ArrowError,
};
use clap::Args;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{OpsError, digest, existing_lake, recurrence};
use crate::{
    analytics::{
        self, QueryError,
        engine::{Engine, ParameterValue, Parameters},
        header::{QueryParameter, SqlHeader},
        weekly::WeekParameters,
    },
    domain::{
        recurrence::time_range::beginning,
        time::Timestamp,
        week::{Week, WeekNumber, Zone},
    },
    lake::Lake,
};

/// Run one of the named queries or views.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, Args)]
#[serde(deny_unknown_fields)]
pub struct RunQuery {
    /// Name of the query or view, as `query list` prints it
    pub name: String,
    /// A parameter of the query as NAME=VALUE; times in RFC 3339. May be repeated
    #[arg(long = "param", value_name = "NAME=VALUE")]
    #[serde(default)]
    pub parameters: Vec<String>,
    /// ISO week such as 2026-W08; default: the last complete week
    #[arg(long, value_name = "WEEK")]
    pub week: Option<WeekNumber>,
    /// Time zone of weeks, days and hours; default: the one of the configuration
    #[arg(long, value_name = "ZONE")]
    pub tz: Option<Zone>,
    /// Evaluate the query as of this time, RFC 3339; default: now
    #[arg(long, value_name = "TIME")]
    pub as_of: Option<Timestamp>,
}

/// A query with a value for every parameter.
#[derive(Debug)]
pub struct BoundQuery {
    /// A name of [`analytics::queries`], or a statement.
    sql: String,
    parameters: Parameters,
}

/// Returns name, kind and text of all queries, then of all views.
pub fn known() -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
    let queries = analytics::queries().map(|(name, sql)| (name, "query", sql));
    queries.chain(analytics::views().map(|(name, sql)| (name, "view", sql)))
}

/// Returns the query or view of [`known`] with this name.
///
/// # Errors
/// [`OpsError::NoQuery`].
pub fn find(name: &str) -> Result<(&'static str, &'static str, &'static str), OpsError> {
    known().find(|(known, ..)| *known == name).ok_or_else(|| OpsError::NoQuery(name.to_owned()))
}

/// Binds a value to every parameter: the given value or its default. The inner error lists all problems of the parameters.
///
/// # Errors
/// [`OpsError::NoQuery`], or the lake's.
pub async fn bind(lake: &Lake, request: &RunQuery) -> Result<Result<BoundQuery, Vec<String>>, OpsError> {
    let (name, kind, sql) = find(&request.name)?;
    existing_lake(lake).await?;
    let parameters = parameters(name, &SqlHeader::of(sql).parameters, request, lake).await?;
    let sql = if kind == "view" { format!("SELECT * FROM {name}") } else { name.to_owned() };
    Ok(parameters.map(|parameters| BoundQuery { sql, parameters }))
}

/// Returns all rows, sorted by their columns, because engines return rows in any order.
///
/// # Errors
/// The query's.
pub async fn run(engine: Engine<'_>, query: &BoundQuery) -> Result<(SchemaRef, RecordBatch), OpsError> {
    let (schema, batches) = engine.run(&query.sql, &query.parameters).await?;
    let rows = ordered(&schema, &batches).map_err(|error| QueryError::Run(error.into()))?;
    Ok((schema, rows))
}

/// Returns one JSON object per line and row, nulls included.
///
/// # Errors
/// [`ArrowError`] for a type without a JSON form.
pub fn json_lines(batches: &[RecordBatch]) -> Result<String, ArrowError> {
    let mut text = Vec::new();
    let mut writer = arrow::json::WriterBuilder::new()
        .with_explicit_nulls(true)
        .build::<_, arrow::json::writer::LineDelimited>(&mut text);
    for batch in batches {
        writer.write(batch)?;
    }
    writer.finish()?;
    drop(writer);
    String::from_utf8(text).map_err(|error| ArrowError::JsonError(error.to_string()))
}

fn ordered(schema: &SchemaRef, batches: &[RecordBatch]) -> Result<RecordBatch, ArrowError> {
    let rows = concat_batches(schema, batches)?;
    let options = Some(SortOptions { descending: false, nulls_first: false });
    let columns: Vec<SortColumn> =
        rows.columns().iter().map(|values| SortColumn { values: Arc::clone(values), options }).collect();
    take_record_batch(&rows, &lexsort_to_indices(&columns, None)?)
}

async fn parameters(
    query: &str,
    declared: &[QueryParameter],
    request: &RunQuery,
    lake: &Lake,
) -> Result<Result<Parameters, Vec<String>>, OpsError> {
    let mut problems = Vec::new();
    let mut values = Parameters::new();
    for given in &request.parameters {
        let Some((name, text)) = given.split_once('=') else {
            problems.push(format!("{given:?} is not NAME=VALUE"));
            continue;
        };
        match declared.iter().find(|it| it.name == name) {
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
    let now = request.as_of.unwrap_or_else(|| lake.context.now());
    let zone = request.tz.map_or(lake.context.policy.digest.time_zone, |zone| zone.0);
    let week = request.week.map_or_else(|| Week::last_complete(now, zone), |week| Week::new(week, zone));
    let known_from = digest::known_from(lake).await?.unwrap_or(week.end());
    let at = WeekParameters { week, known_from };
    let rule = recurrence::rule(lake);
    for parameter in declared {
        if values.iter().any(|(name, _)| *name == parameter.name) {
            continue;
        }
        let value = match parameter.name.as_str() {
            "as_of" => Some(now.into()),
            "threshold" => Some(rule.threshold.into()),
            "window_hours" => Some(rule.window_hours.into()),
            "known_until" => Timestamp::from_micros(0).map(ParameterValue::from),
            "known_seq" => Some(ParameterValue::Int(0)),
            name => at.value(query, name).or_else(|| (name == "since").then(|| beginning().into())),
        };
        match value {
            Some(value) => values.push((parameter.name.clone(), value)),
            None => problems
                .push(format!("{query} needs --param {}=…, {}: {}", parameter.name, parameter.kind, parameter.meaning)),
        }
    }
    Ok(if problems.is_empty() { Ok(values) } else { Err(problems) })
}
