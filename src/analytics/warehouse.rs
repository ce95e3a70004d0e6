//! Queries on a Databricks SQL warehouse: the same texts, the same answers.
//!
//! The API sends every value as text, and cuts timestamps to milliseconds, in the time zone of the warehouse. What is compared
//! with other timestamps must be exact, and the queries take the days and hours of UTC. So the warehouse's clock is looked at
//! before anything else is asked; unless it is exact, the statement is asked for its columns first, and then for its rows, with
//! timestamps as SQL itself writes them.

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

use super::engine::Value;
use crate::{
    databricks::{
        Client,
        error::ApiError,
        statements::{Answer, Cancelled, Column, Parameter, State, Statement, StatementError, Statements, cells},
    },
    tables::ddl::quoted,
};

/// Microseconds after the whole second, which an exact clock keeps.
const REST: i64 = 123_456;
/// Moments without an offset: what they are tells the time zone, in winter and in summer.
const CLOCK: &str =
    "SELECT TIMESTAMP '2026-01-15 00:00:00.123456' AS winter, TIMESTAMP '2026-07-15 00:00:00.123456' AS summer";
/// The same in UTC, seconds since 1970.
const MOMENTS: [i64; 2] = [1_768_435_200, 1_784_073_600];

/// Hears how far a statement is, and `None` when it has ended.
pub type Listener = Box<dyn Fn(Option<&State>) + Send + Sync>;

/// A warehouse, and where the lake's tables and views are in its catalog.
pub struct Warehouse {
    statements: Statements,
    warehouse_id: String,
    catalog: String,
    schema: String,
    listener: Listener,
    is_exact: OnceCell<bool>,
    /// Columns of statements that were asked for them.
    columns: Mutex<HashMap<String, Arc<[Column]>>>,
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
    /// Asks nothing yet.
    pub fn new(client: Client, warehouse_id: String, catalog: String, schema: String, listener: Listener) -> Self {
        Self {
            statements: Statements::new(client),
            warehouse_id,
            catalog,
            schema,
            listener,
            is_exact: OnceCell::new(),
            columns: Mutex::default(),
        }
    }

    /// Cancels what is under way; see [`Statements::cancel_all`].
    pub async fn cancel_all(&self) -> Cancelled {
        self.statements.cancel_all().await
    }

    /// The catalog and the schema.
    pub fn place(&self) -> (&str, &str) {
        (&self.catalog, &self.schema)
    }

    /// `catalog.schema`.
    pub fn schema_name(&self) -> String {
        format!("{}.{}", self.catalog, self.schema)
    }

    /// Runs one statement without parameters. What it finds must hold no timestamps: these would be cut.
    ///
    /// # Errors
    /// [`StatementError`].
    pub async fn execute(&self, sql: &str) -> Result<RecordBatch, StatementError> {
        cells::batch(&self.ask(sql, &[]).await?)
    }

    /// Names of the columns of a table.
    ///
    /// # Errors
    /// [`StatementError`].
    pub async fn column_names(&self, table: &str) -> Result<Vec<String>, StatementError> {
        let asked = self.ask(&format!("SELECT * FROM `{table}` LIMIT 0"), &[]).await?;
        Ok(asked.columns.into_iter().map(|column| column.name).collect())
    }

    /// The rows of one SELECT statement, timestamps exact to the microsecond.
    pub(super) async fn query(
        &self,
        sql: &str,
        parameters: &[(String, Value)],
    ) -> Result<(SchemaRef, Vec<RecordBatch>), StatementError> {
        let parameters: Vec<Parameter> = parameters.iter().map(|(name, value)| parameter(name, value)).collect();
        let answer = if *self.is_exact.get_or_try_init(|| self.look_at_clock()).await? {
            self.ask(sql, &parameters).await?
        } else {
            self.ask_exactly(sql, &parameters).await?
        };
        let batch = cells::batch(&answer)?;
        Ok((batch.schema(), vec![batch]))
    }

    async fn ask(&self, sql: &str, parameters: &[Parameter]) -> Result<Answer, StatementError> {
        let Self { warehouse_id, catalog, schema, .. } = self;
        let statement = Statement { warehouse_id, catalog, schema, sql, parameters };
        let answer = self.statements.run(statement, |state| (self.listener)(Some(state))).await;
        (self.listener)(None);
        answer
    }

    /// Whether timestamps arrive as they are.
    async fn look_at_clock(&self) -> Result<bool, StatementError> {
        let batch = cells::batch(&self.ask(CLOCK, &[]).await?)?;
        let mut is_exact = true;
        for (column, expected) in batch.columns().iter().zip(MOMENTS) {
            let moment =
                column.as_primitive_opt::<TimestampMicrosecondType>().and_then(|moments| moments.iter().next()?);
            let moment = moment.ok_or_else(|| ApiError::Unexpected("another moment than was asked for".into()))?;
            let seconds = moment.div_euclid(1_000_000);
            if seconds != expected {
                let midnight = DateTime::from_timestamp(2 * expected - seconds, 0);
                let midnight = midnight.map_or_else(String::new, |there| there.format("%Y-%m-%d %H:%M").to_string());
                return Err(StatementError::NotUtc { midnight });
            }
            is_exact &= moment.rem_euclid(1_000_000) == REST;
        }
        Ok(is_exact)
    }

    async fn ask_exactly(&self, sql: &str, parameters: &[Parameter]) -> Result<Answer, StatementError> {
        let sql = sql.trim_end().trim_end_matches(';');
        let columns = self.columns_of(sql, parameters).await?;
        if !columns.iter().any(Column::is_timestamp) {
            return self.ask(sql, parameters).await;
        }
        let answer = self.ask(&exact(sql, &columns), parameters).await?;
        if !answer.columns.iter().map(|column| &column.name).eq(columns.iter().map(|column| &column.name)) {
            return Err(ApiError::Unexpected("other columns than were asked for".into()).into());
        }
        Ok(Answer { columns: columns.to_vec(), rows: answer.rows })
    }

    /// A statement that needs no row is planned and not run.
    async fn columns_of(&self, sql: &str, parameters: &[Parameter]) -> Result<Arc<[Column]>, StatementError> {
        let known = self.columns.lock().unwrap_or_else(PoisonError::into_inner).get(sql).cloned();
        if let Some(columns) = known {
            return Ok(columns);
        }
        let asked = self.ask(&format!("SELECT * FROM (\n{sql}\n) AS asked LIMIT 0"), parameters).await?;
        let columns: Arc<[Column]> = asked.columns.into();
        self.columns.lock().unwrap_or_else(PoisonError::into_inner).insert(sql.to_owned(), Arc::clone(&columns));
        Ok(columns)
    }
}

/// The statement with its timestamps as text. A projection keeps the order of the rows below it.
fn exact(sql: &str, columns: &[Column]) -> String {
    let items = columns.iter().map(|column| {
        let name = quoted(&column.name);
        if column.is_timestamp() { format!("CAST(asked.{name} AS STRING) AS {name}") } else { format!("asked.{name}") }
    });
    format!("SELECT {} FROM (\n{sql}\n) AS asked", items.collect::<Vec<_>>().join(", "))
}

/// Values travel as text; a timestamp says that it is in UTC.
fn parameter(name: &str, value: &Value) -> Parameter {
    let (value, kind) = match value {
        Value::Text(text) => (text.clone(), "STRING"),
        Value::Int(number) => (number.to_string(), if i32::try_from(*number).is_ok() { "INT" } else { "BIGINT" }),
        Value::Timestamp(at) => (at.utc().format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string(), "TIMESTAMP"),
    };
    Parameter { name: name.to_owned(), value, kind }
}

#[cfg(test)]
mod tests;
