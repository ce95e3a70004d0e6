//! Queries on a Databricks SQL warehouse, with the same texts and the same results as on DataFusion.
//!
//! The API sends every value as text. It truncates timestamps to milliseconds, in the time zone of the warehouse. The queries need
//! exact timestamps and days and hours in UTC. So the warehouse's time zone and precision are checked first. If timestamps are not
//! exact, the columns of a statement are fetched first, and then its rows with timestamps cast to text.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use arrow::{
    array::{AsArray, RecordBatch},
    datatypes::{SchemaRef, TimestampMicrosecondType},
};
use chrono::DateTime;
use tokio::sync::OnceCell;

use super::engine::ParameterValue;
use crate::{
    databricks::{
        Client,
        error::ApiError,
        statements::{
            CancelSummary, Statement, StatementColumn, StatementError, StatementParameter, StatementResult,
            StatementRunner, StatementState, cells,
        },
    },
    tables::ddl::quoted,
};

/// The microseconds of the test timestamps. A warehouse with exact timestamps keeps them.
const CLOCK_MICROS: i64 = 123_456;
/// Timestamps without an offset, whose value shows the time zone, in winter and in summer.
const CLOCK: &str =
    "SELECT TIMESTAMP '2026-01-15 00:00:00.123456' AS winter, TIMESTAMP '2026-07-15 00:00:00.123456' AS summer";
/// The same timestamps in UTC, in seconds since 1970.
const CLOCK_SECONDS: [i64; 2] = [1_768_435_200, 1_784_073_600];

/// Gets every state of a statement, and `None` when it has ended.
pub type StateListener = Box<dyn Fn(Option<&StatementState>) + Send + Sync>;

/// A warehouse, and the catalog and schema of the lake's tables and views.
pub struct Warehouse {
    statements: StatementRunner,
    warehouse_id: String,
    catalog: String,
    schema: String,
    listener: StateListener,
    is_exact: OnceCell<bool>,
    /// Columns by statement, for statements that were run before.
    columns: Mutex<HashMap<String, Arc<[StatementColumn]>>>,
}

impl fmt::Debug for Warehouse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Warehouse")
            .field("warehouse_id", &self.warehouse_id)
            .field("catalog", &self.catalog)
            .field("schema", &self.schema)
            .finish_non_exhaustive()
    }
}

impl Warehouse {
    /// Returns a warehouse. Makes no request.
    pub fn new(client: Client, warehouse_id: String, catalog: String, schema: String, listener: StateListener) -> Self {
        Self {
            statements: StatementRunner::new(client),
            warehouse_id,
            catalog,
            schema,
            listener,
            is_exact: OnceCell::new(),
            columns: Mutex::default(),
        }
    }

    /// Cancels active statements; see [`StatementRunner::cancel_all`].
    pub async fn cancel_all(&self) -> CancelSummary {
        self.statements.cancel_all().await
    }

    /// Returns the catalog and the schema.
    pub fn catalog_and_schema(&self) -> (&str, &str) {
        (&self.catalog, &self.schema)
    }

    /// Returns `catalog.schema`.
    pub fn schema_name(&self) -> String {
        format!("{}.{}", self.catalog, self.schema)
    }

    /// Runs one statement without parameters. Its result must not contain timestamps, which could be truncated.
    ///
    /// # Errors
    /// [`StatementError`].
    pub async fn execute(&self, sql: &str) -> Result<RecordBatch, StatementError> {
        cells::batch(&self.run(sql, &[]).await?)
    }

    /// Returns the names of the columns of a table.
    ///
    /// # Errors
    /// [`StatementError`].
    pub async fn column_names(&self, table: &str) -> Result<Vec<String>, StatementError> {
        let asked = self.run(&format!("SELECT * FROM `{table}` LIMIT 0"), &[]).await?;
        Ok(asked.columns.into_iter().map(|column| column.name).collect())
    }

    /// Returns the rows of one SELECT statement, with timestamps exact to the microsecond.
    pub(super) async fn query(
        &self,
        sql: &str,
        parameters: &[(String, ParameterValue)],
    ) -> Result<(SchemaRef, Vec<RecordBatch>), StatementError> {
        let parameters: Vec<StatementParameter> =
            parameters.iter().map(|(name, value)| parameter(name, value)).collect();
        let answer = if *self.is_exact.get_or_try_init(|| self.check_clock()).await? {
            self.run(sql, &parameters).await?
        } else {
            self.run_exactly(sql, &parameters).await?
        };
        let batch = cells::batch(&answer)?;
        Ok((batch.schema(), vec![batch]))
    }

    async fn run(&self, sql: &str, parameters: &[StatementParameter]) -> Result<StatementResult, StatementError> {
        let Self { warehouse_id, catalog, schema, .. } = self;
        let statement = Statement { warehouse_id, catalog, schema, sql, parameters };
        let answer = self.statements.run(statement, |state| (self.listener)(Some(state))).await;
        (self.listener)(None);
        answer
    }

    /// Checks that the time zone is UTC. Returns whether timestamps arrive with microseconds.
    async fn check_clock(&self) -> Result<bool, StatementError> {
        let batch = cells::batch(&self.run(CLOCK, &[]).await?)?;
        let mut is_exact = true;
        for (column, expected) in batch.columns().iter().zip(CLOCK_SECONDS) {
            let moment =
                column.as_primitive_opt::<TimestampMicrosecondType>().and_then(|moments| moments.iter().next()?);
            let moment = moment.ok_or_else(|| ApiError::Unexpected("the result has no timestamp".into()))?;
            let seconds = moment.div_euclid(1_000_000);
            if seconds != expected {
                let midnight = DateTime::from_timestamp(2 * expected - seconds, 0);
                let midnight = midnight.map_or_else(String::new, |there| there.format("%Y-%m-%d %H:%M").to_string());
                return Err(StatementError::NotUtc { midnight });
            }
            is_exact &= moment.rem_euclid(1_000_000) == CLOCK_MICROS;
        }
        Ok(is_exact)
    }

    async fn run_exactly(
        &self,
        sql: &str,
        parameters: &[StatementParameter],
    ) -> Result<StatementResult, StatementError> {
        let sql = sql.trim_end().trim_end_matches(';');
        let columns = self.columns_of(sql, parameters).await?;
        if !columns.iter().any(StatementColumn::is_timestamp) {
            return self.run(sql, parameters).await;
        }
        let answer = self.run(&exact(sql, &columns), parameters).await?;
        if !answer.columns.iter().map(|column| &column.name).eq(columns.iter().map(|column| &column.name)) {
            return Err(ApiError::Unexpected("the columns of the result have changed".into()).into());
        }
        Ok(StatementResult { columns: columns.to_vec(), rows: answer.rows })
    }

    /// Returns the columns of a statement. With `LIMIT 0` it is planned and not run.
    async fn columns_of(
        &self,
        sql: &str,
        parameters: &[StatementParameter],
    ) -> Result<Arc<[StatementColumn]>, StatementError> {
        let known = self.columns.lock().unwrap_or_else(PoisonError::into_inner).get(sql).cloned();
        if let Some(columns) = known {
            return Ok(columns);
        }
        let asked = self.run(&format!("SELECT * FROM (\n{sql}\n) AS asked LIMIT 0"), parameters).await?;
        let columns: Arc<[StatementColumn]> = asked.columns.into();
        self.columns.lock().unwrap_or_else(PoisonError::into_inner).insert(sql.to_owned(), Arc::clone(&columns));
        Ok(columns)
    }
}

/// Returns the statement with its timestamps cast to text. A projection keeps the order of its input.
fn exact(sql: &str, columns: &[StatementColumn]) -> String {
    let items = columns.iter().map(|column| {
        let name = quoted(&column.name);
        if column.is_timestamp() { format!("CAST(asked.{name} AS STRING) AS {name}") } else { format!("asked.{name}") }
    });
    format!("SELECT {} FROM (\n{sql}\n) AS asked", items.collect::<Vec<_>>().join(", "))
}

/// Returns a parameter for the API. Values are text; a timestamp has the offset of UTC.
fn parameter(name: &str, value: &ParameterValue) -> StatementParameter {
    let (value, kind) = match value {
        ParameterValue::Text(text) => (text.clone(), "STRING"),
        ParameterValue::Int(number) => {
            (number.to_string(), if i32::try_from(*number).is_ok() { "INT" } else { "BIGINT" })
        }
        ParameterValue::Timestamp(at) => (at.utc().format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string(), "TIMESTAMP"),
    };
    StatementParameter { name: name.to_owned(), value, kind }
}

#[cfg(test)]
mod tests;
