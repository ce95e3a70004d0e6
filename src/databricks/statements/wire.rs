//! Requests and responses of the API.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Statement, StatementParameter, WAIT};

/// The request that submits a statement.
#[derive(Debug, Serialize)]
pub struct StatementRequest<'a> {
    warehouse_id: &'a str,
    catalog: &'a str,
    schema: &'a str,
    statement: &'a str,
    parameters: &'a [StatementParameter],
    wait_timeout: &'static str,
    on_wait_timeout: &'static str,
    disposition: &'static str,
    format: &'static str,
}

impl<'a> StatementRequest<'a> {
    pub fn of(statement: Statement<'a>) -> Self {
        let Statement { warehouse_id, catalog, schema, sql, parameters } = statement;
        Self {
            warehouse_id,
            catalog,
            schema,
            statement: sql,
            parameters,
            wait_timeout: WAIT,
            on_wait_timeout: "CONTINUE",
            disposition: "INLINE",
            format: "JSON_ARRAY",
        }
    }
}

/// The state of a statement, and its result once it has succeeded.
#[derive(Debug, Deserialize)]
pub struct Response {
    pub statement_id: String,
    pub status: StatementStatus,
    pub manifest: Option<Manifest>,
    /// The first chunk.
    pub result: Option<Chunk>,
}

#[derive(Debug, Deserialize)]
pub struct StatementStatus {
    pub state: StatementState,
    pub error: Option<Failure>,
}

#[derive(Debug, Deserialize)]
#[serde(default)]
#[derive(Default)]
pub struct Failure {
    pub error_code: String,
    pub message: String,
}

/// The state of a statement.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "String")]
pub enum StatementState {
    /// It waits, usually for its warehouse to start.
    Pending,
    Running,
    Succeeded,
    Failed,
    Canceled,
    Closed,
    Other(String),
}

impl StatementState {
    pub fn is_under_way(&self) -> bool {
        matches!(self, Self::Pending | Self::Running)
    }
}

impl From<String> for StatementState {
    fn from(text: String) -> Self {
        match text.as_str() {
            "PENDING" => Self::Pending,
            "RUNNING" => Self::Running,
            "SUCCEEDED" => Self::Succeeded,
            "FAILED" => Self::Failed,
            "CANCELED" => Self::Canceled,
            "CLOSED" => Self::Closed,
            _ => Self::Other(text),
        }
    }
}

impl fmt::Display for StatementState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pending => "PENDING",
            Self::Running => "RUNNING",
            Self::Succeeded => "SUCCEEDED",
            Self::Failed => "FAILED",
            Self::Canceled => "CANCELED",
            Self::Closed => "CLOSED",
            Self::Other(text) => text,
        })
    }
}

/// The columns and the size of a result. A missing count is 0, and a result with another number of rows is an error.
#[derive(Debug, Deserialize)]
pub struct Manifest {
    pub schema: Schema,
    #[serde(default)]
    pub truncated: bool,
    #[serde(default)]
    pub total_chunk_count: u64,
    #[serde(default)]
    pub total_row_count: u64,
}

/// The columns of a result. Empty if the statement has no result.
#[derive(Debug, Deserialize)]
pub struct Schema {
    #[serde(default)]
    pub columns: Vec<StatementColumn>,
}

/// A column of a result.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct StatementColumn {
    pub name: String,
    pub position: u64,
    /// Such as `LONG`, `DECIMAL`.
    pub type_name: String,
    /// The type in SQL, such as `BIGINT`, `DECIMAL(10,2)`.
    #[serde(default)]
    pub type_text: String,
    pub type_precision: Option<u8>,
    pub type_scale: Option<i8>,
}

#[derive(Debug, Deserialize)]
pub struct Chunk {
    pub chunk_index: Option<u64>,
    #[serde(default)]
    pub data_array: Vec<Vec<Option<String>>>,
}
