//! SQL on the lake: the tables, the views of `sql/views`, the queries of `sql`, in sessions in UTC.
//!
//! - [`engine`]: where a query runs; [`snapshot`]: the lake at one point in time; [`warehouse`]: a SQL warehouse
//! - [`header`]: the header of a file of `sql/`; [`row`]: the row type of each query
//! - [`recurrence`], [`weekly`]: typed access to the queries about recurrence and about a week

pub mod engine;
pub mod header;
pub mod recurrence;
pub mod row;
pub mod snapshot;
pub mod warehouse;
pub mod weekly;

use std::{collections::BTreeSet, sync::Arc};

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use datafusion::{
    common::ScalarValue,
    dataframe::DataFrame,
    error::DataFusionError,
    execution::context::SQLOptions,
    logical_expr::ScalarUDF,
    prelude::{SessionConfig, SessionContext},
    sql::parser::Statement,
};

use crate::{
    databricks::statements::StatementError,
    lake::{Lake, LakeError, rebuild},
    tables::catalog,
};
use snapshot::Snapshot;

macro_rules! sql_files {
    ($($name:literal),* $(,)?) => { &[$(($name, include_str!(concat!("../sql/", $name, ".sql")))),*] };
}

/// Views by name: the bodies of `CREATE VIEW`.
const VIEWS: &[(&str, &str)] = sql_files![
    "views/audit_trail",
    "views/cause_findings",
    "views/checks",
    "views/escalations",
    "views/incidents",
    "views/job_checks",
    "views/job_gaps",
    "views/open_incidents",
    "views/outbox",
    "views/recurring_issues",
    "views/root_cause_history",
    "views/runbook_steps",
    "views/timeline",
];

/// Audits by name: queries that return no rows on an intact lake.
const AUDITS: &[(&str, &str)] = sql_files![
    "audits/chain_duplicates",
    "audits/chain_gaps",
    "audits/chain_hashes",
    "audits/chain_links",
    "audits/projection_duplicates",
    "audits/projection_missing",
    "audits/projection_orphans",
    "audits/projection_typed",
    "audits/request_hashes",
];

/// Queries with parameters, by name.
const QUERIES: &[(&str, &str)] = sql_files![
    "cause_counts",
    "cause_impact",
    "cause_occurrences",
    "cause_ranking",
    "cause_resources",
    "check_results",
    "daily_counts",
    "durations",
    "escalation_outcomes",
    "hourly_counts",
    "on_call_load",
    "open_incidents_ageing",
    "prevention_effect",
    "recurrence",
    "recurrence_members",
    "recurring_in_week",
    "repeat_offenders",
    "weekly_counts",
];

/// Returns names and bodies of the views.
pub fn views() -> impl Iterator<Item = (&'static str, &'static str)> {
    VIEWS.iter().map(|(name, sql)| (name.rsplit('/').next().unwrap_or(name), *sql))
}

/// Returns names and texts of the audits.
pub fn audits() -> impl Iterator<Item = (&'static str, &'static str)> {
    AUDITS.iter().map(|(name, sql)| (name.rsplit('/').next().unwrap_or(name), *sql))
}

/// Returns names and texts of the queries with parameters, for [`query_with`].
pub fn queries() -> impl Iterator<Item = (&'static str, &'static str)> {
    QUERIES.iter().copied()
}

/// An error of a query.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    #[error("the query is invalid")]
    Sql(#[source] DataFusionError),
    #[error("there is no table or view {name:?}")]
    NoTable { name: String },
    #[error("the query could not be run")]
    Run(#[source] DataFusionError),
    #[error(transparent)]
    Lake(#[from] LakeError),
    #[error(transparent)]
    Warehouse(#[from] StatementError),
}

impl QueryError {
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NoTable { .. } => {
                let names: Vec<&str> =
                    catalog::all().map(|def| def.name).chain(views().map(|(name, _)| name)).collect();
                Some(format!("the tables and views are {}", names.join(", ")))
            }
            Self::Sql(_) => {
                Some("one SELECT statement in DataFusion's dialect; `schema tables` lists the columns".into())
            }
            Self::Run(_) => None,
            Self::Lake(error) => error.hint(),
            Self::Warehouse(error) => error.hint(),
        }
    }
}

/// Projects all entries, then runs one read-only statement on the lake.
///
/// # Errors
/// [`QueryError`]. Statements that change data are refused.
pub async fn query(lake: &Lake, sql: &str) -> Result<(SchemaRef, Vec<RecordBatch>), QueryError> {
    query_with(lake, sql, &[]).await
}

/// [`query`], with values for the statement's named parameters. A name of [`queries`] means the text of that query.
///
/// # Errors
/// [`QueryError`], also if a parameter has no value.
pub async fn query_with(
    lake: &Lake,
    name_or_sql: &str,
    parameters: &[(&str, ScalarValue)],
) -> Result<(SchemaRef, Vec<RecordBatch>), QueryError> {
    Snapshot::of(lake).await?.run(name_or_sql, parameters).await
}

/// Plans a read-only statement in a session, with the values of its parameters.
async fn frame(
    session: &SessionContext,
    statement: Statement,
    parameters: &[(&str, ScalarValue)],
) -> Result<DataFrame, QueryError> {
    let read_only = SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
    let plan = session.state().statement_to_plan(statement).await.map_err(QueryError::Sql)?;
    read_only.verify_plan(&plan).map_err(QueryError::Sql)?;
    let frame = session.execute_logical_plan(plan).await.map_err(QueryError::Run)?;
    if parameters.is_empty() {
        return Ok(frame);
    }
    frame.with_param_values(parameters.to_vec()).map_err(QueryError::Sql)
}

const DIALECT: datafusion::config::Dialect = datafusion::config::Dialect::Generic;

fn session() -> SessionContext {
    let mut config = SessionConfig::new();
    config.options_mut().execution.time_zone = Some("UTC".into());
    let session = SessionContext::new_with_config(config);
    for function in [
        datafusion_spark::function::hash::sha2(),
        datafusion_spark::function::datetime::from_utc_timestamp(),
        datafusion_spark::function::datetime::unix_micros(),
    ] {
        session.register_udf(ScalarUDF::clone(&function));
    }
    session
}

/// Registers the tables and views that a statement needs, in the order of their dependencies.
async fn register(session: &SessionContext, lake: Option<&Lake>, statement: &Statement) -> Result<(), QueryError> {
    let state = session.state();
    for reference in state.resolve_table_references(statement).map_err(QueryError::Sql)? {
        let name = reference.table();
        if reference.schema().is_some() || session.table_exist(name).unwrap_or(false) {
            continue;
        }
        if let Some((def, lake)) = catalog::all().find(|def| def.name == name).zip(lake) {
            // Our own reader goes first: it refuses a damaged log, which delta-rs might read as an empty table.
            let log = match def.name == catalog::AUDIT_LOG.name {
                true => lake.table(def).newest_log().await?,
                false => rebuild::log_or_rebuild(lake, def).await?,
            };
            let table = lake.delta_table_since(def, log.version).await?;
            table.update_datafusion_session(&state).map_err(LakeError::from)?;
            let provider = table.table_provider().with_session(Arc::new(state.clone())).build().await;
            let provider = provider.map_err(QueryError::Run)?;
            session.register_table(name, Arc::new(provider)).map_err(QueryError::Sql)?;
        } else if let Some((_, sql)) = views().find(|(view, _)| *view == name) {
            let body = state.sql_to_statement(sql, &DIALECT).map_err(QueryError::Sql)?;
            Box::pin(register(session, lake, &body)).await?;
            let view = session.sql(sql).await.map_err(QueryError::Sql)?.into_view();
            session.register_table(name, view).map_err(QueryError::Sql)?;
        } else {
            return Err(QueryError::NoTable { name: name.into() });
        }
    }
    Ok(())
}

/// Returns the tables and views that a statement names directly.
///
/// # Errors
/// [`QueryError::Sql`] if the text is not a statement.
pub fn references(sql: &str) -> Result<BTreeSet<String>, QueryError> {
    let state = session().state();
    let statement = state.sql_to_statement(sql, &DIALECT).map_err(QueryError::Sql)?;
    let names = state.resolve_table_references(&statement).map_err(QueryError::Sql)?;
    Ok(names.iter().map(|name| name.table().to_owned()).collect())
}

/// Returns names and bodies of the views, each after the views that it depends on.
///
/// # Errors
/// [`QueryError::Sql`] if a body is not a statement.
pub fn views_in_order() -> Result<Vec<(&'static str, &'static str)>, QueryError> {
    let mut waiting = Vec::new();
    for (name, sql) in views() {
        waiting.push((name, sql, references(sql)?));
    }
    let mut ordered: Vec<(&str, &str)> = Vec::new();
    while !waiting.is_empty() {
        let names: BTreeSet<&str> = waiting.iter().map(|(name, ..)| *name).collect();
        let (ready, rest): (Vec<_>, Vec<_>) =
            waiting.into_iter().partition(|(_, _, needs)| !needs.iter().any(|need| names.contains(need.as_str())));
        if ready.is_empty() {
            return Err(LakeError::Corrupt("views depend on each other".into()).into());
        }
        ordered.extend(ready.into_iter().map(|(name, sql, _)| (name, sql)));
        waiting = rest;
    }
    Ok(ordered)
}

/// Returns name and statement of every view, each after the views that it depends on. Names resolve in the session's schema.
///
/// # Errors
/// As [`views_in_order`].
pub fn view_statements(create: &str) -> Result<Vec<(&'static str, String)>, QueryError> {
    let views = views_in_order()?.into_iter().map(|(name, sql)| {
        let comment = view_comment(&header::SqlHeader::of(sql).what);
        (name, format!("{create} `{name}` COMMENT {comment} AS\n{}", header::body(sql).trim_end()))
    });
    Ok(views.collect())
}

/// Returns a string literal that every engine reads alike, with or without backslash escapes.
fn view_comment(text: &str) -> String {
    format!("'{}'", text.replace('\'', "’").replace('\\', "/"))
}

#[cfg(test)]
mod tests;
