//! Requests and answers as they travel.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Parameter, Statement, WAIT};

/// Sends a statement.
#[derive(Debug, Serialize)]
pub struct Submission<'a> {
    warehouse_id: &'a str,
    catalog: &'a str,
    schema: &'a str,
    statement: &'a str,
    parameters: &'a [Parameter],
    wait_timeout: &'static str,
    on_wait_timeout: &'static str,
    disposition: &'static str,
    format: &'static str,
}

impl<'a> Submission<'a> {
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

/// Where a statement stands, and what it found once it has succeeded.
#[derive(Debug, Deserialize)]
pub struct Response {
    pub statement_id: String,
    pub status: Status,
    pub manifest: Option<Manifest>,
    /// The first chunk.
    pub result: Option<Chunk>,
}

#[derive(Debug, Deserialize)]
pub struct Status {
    pub state: State,
    pub error: Option<Failure>,
}

#[derive(Debug, Deserialize)]
#[serde(default)]
#[derive(Default)]
pub struct Failure {
    pub error_code: String,
    pub message: String,
}

/// How far a statement is.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "String")]
pub enum State {
    /// It waits, most often for its warehouse to start.
    Pending,
    Running,
    Succeeded,
    Failed,
    Canceled,
    Closed,
    Other(String),
}

impl State {
    pub fn is_under_way(&self) -> bool {
        matches!(self, Self::Pending | Self::Running)
    }
}

impl From<String> for State {
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

impl fmt::Display for State {
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

/// What an answer holds. Counts that are missing are 0, and an answer with another number of rows is refused.
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

/// Without columns when a statement has no result.
#[derive(Debug, Deserialize)]
pub struct Schema {
    #[serde(default)]
    pub columns: Vec<Column>,
}

/// A column of an answer.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Column {
    pub name: String,
    pub position: u64,
    /// Such as `LONG`, `DECIMAL`.
    pub type_name: String,
    /// As SQL says it, such as `BIGINT`, `DECIMAL(10,2)`.
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
