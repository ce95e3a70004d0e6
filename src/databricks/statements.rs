//! SQL on a warehouse: the Statement Execution API.
//!
//! A statement is submitted and polled until it has ended. Its result is text, one chunk at a time, which [`cells`] converts to
//! typed columns. An incomplete result is an error.

pub mod cells;
mod wire;

use std::{collections::BTreeSet, time::Duration};

use backon::BackoffBuilder;
use serde::Serialize;
use tokio::sync::watch;

pub use wire::{StatementColumn, StatementState};

use super::{
    Client,
    error::{ApiError, cut},
};
use wire::{Chunk, Manifest, Response};

const PATH: [&str; 3] = ["2.0", "sql", "statements"];
/// How long the API waits for a statement in the request that submits it: 5 s to 50 s. Until its response the statement's id is
/// unknown and it cannot be cancelled, so the shortest is best.
const WAIT: &str = "5s";
/// The longest pause between two polls.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// The time-out of cancelling statements.
const CANCELLING: Duration = Duration::from_secs(20);

/// A statement, and the warehouse that runs it.
#[derive(Debug, Clone, Copy)]
pub struct Statement<'a> {
    pub warehouse_id: &'a str,
    /// The catalog of names without one, as `schema` is the schema.
    pub catalog: &'a str,
    pub schema: &'a str,
    /// One statement, `:name` for parameters.
    pub sql: &'a str,
    pub parameters: &'a [StatementParameter],
}

/// A value of a named parameter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StatementParameter {
    /// Without the colon.
    pub name: String,
    pub value: String,
    /// Such as `STRING`, `INT`, `TIMESTAMP`.
    #[serde(rename = "type")]
    pub kind: &'static str,
}

/// The complete result of a statement. A row has a cell for each column; `None` is null.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatementResult {
    pub columns: Vec<StatementColumn>,
    pub rows: Vec<Vec<Option<String>>>,
}

/// An error of a statement.
#[derive(Debug, thiserror::Error)]
pub enum StatementError {
    #[error(transparent)]
    Api(#[from] ApiError),
    /// Texts are messages of the warehouse, cut to a few hundred characters.
    #[error("the warehouse reports an error: {message}")]
    Failed { code: String, message: String },
    #[error("the statement {id} was cancelled, or the warehouse was stopped")]
    Cancelled { id: String },
    #[error("the result of the statement {id} is no longer available")]
    Closed { id: String },
    #[error("the warehouse truncated the result at {rows} rows")]
    Truncated { rows: u64 },
    #[error("the result is incomplete: {got} of {expected} rows")]
    Incomplete { expected: u64, got: u64 },
    #[error("column {column:?} has the type {kind}, which is not supported")]
    UnknownType { column: String, kind: String },
    /// Rows are counted from 1.
    #[error("column {column:?}, row {row}: {text:?} is not a {kind}")]
    Cell { column: String, row: usize, text: String, kind: String },
    #[error("the warehouse's time zone is not UTC: midnight UTC is {midnight} there")]
    NotUtc { midnight: String },
}

impl StatementError {
    /// Returns whether the statement itself is wrong, or an object that it names does not exist.
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Failed { code, .. } if code == "BAD_REQUEST")
    }

    /// A concurrent writer changed what the statement read; nothing was written, and the same statement may be run again.
    pub fn is_conflict(&self) -> bool {
        let names = ["[DELTA_CONCURRENT_", "[DELTA_METADATA_CHANGED", "[DELTA_PROTOCOL_CHANGED"];
        matches!(self, Self::Failed { message, .. } if names.iter().any(|name| message.contains(name)))
    }

    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Api(error) => return error.hint(),
            Self::Failed { .. } if self.is_conflict() => "another run writes the same table; try again",
            Self::Failed { .. } => {
                "tables and views must be in --catalog and --schema; `catalog register` creates them"
            }
            Self::Cancelled { .. } | Self::Closed { .. } | Self::Incomplete { .. } => {
                "run it again; what was done is not done twice"
            }
            Self::Truncated { .. } => "select less: a shorter time range, or a limit",
            Self::UnknownType { .. } => "cast the column to STRING in the query",
            Self::Cell { .. } => "this version of ops-runbook does not support this format; use a newer version",
            Self::NotUtc { .. } => "set TIMEZONE to UTC in the workspace's SQL configuration parameters",
        };
        Some(hint.into())
    }
}

/// Statements that have not ended, as far as this process knows.
#[derive(Debug, Default)]
struct ActiveStatements {
    /// Submitted statements whose id is not known yet.
    sent: usize,
    running: BTreeSet<String>,
}

/// The result of cancelling statements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CancelSummary {
    pub cancelled: usize,
    /// Statements that may still run.
    pub unknown: usize,
}

/// Runs statements, and keeps track of those that have not ended.
#[derive(Debug)]
pub struct StatementRunner {
    client: Client,
    underway: watch::Sender<ActiveStatements>,
}

impl StatementRunner {
    pub fn new(client: Client) -> Self {
        Self { client, underway: watch::Sender::default() }
    }

    /// Runs a statement and waits for its complete result, without a time-out. `on_state` gets every state on the way.
    ///
    /// Dropping the future leaves the statement running; [`Self::cancel_all`] ends it.
    ///
    /// # Errors
    /// [`StatementError`].
    pub async fn run(
        &self,
        statement: Statement<'_>,
        on_state: impl Fn(&StatementState),
    ) -> Result<StatementResult, StatementError> {
        on_state(&StatementState::Pending);
        let mut response = self.submit(statement).await?;
        let id = response.statement_id.clone();
        let mut pauses = self.client.backoff().with_max_delay(LONGEST_PAUSE).without_max_times().build();
        while response.status.state.is_under_way() {
            on_state(&response.status.state);
            tokio::time::sleep(pauses.next().unwrap_or(LONGEST_PAUSE)).await;
            let asked = self.client.get::<Response>(&[&PATH[..], &[&id]].concat(), &[]).await;
            if !matches!(&asked, Ok(response) if response.status.state.is_under_way()) {
                self.forget(&id);
            }
            response = asked?;
        }
        let message = |response: &Response| response.status.error.as_ref().map(|error| cut(&error.message));
        match &response.status.state {
            StatementState::Succeeded => self.collect(&id, response).await,
            StatementState::Failed => Err(StatementError::Failed {
                code: response.status.error.as_ref().map(|error| error.error_code.clone()).unwrap_or_default(),
                message: message(&response).unwrap_or_else(|| "no reason given".into()),
            }),
            StatementState::Canceled => Err(StatementError::Cancelled { id }),
            StatementState::Closed => Err(StatementError::Closed { id }),
            state => Err(ApiError::unexpected(format!("the statement is in the state {state}")).into()),
        }
    }

    /// Submits the statement in its own task, which continues if the caller is dropped: cancelling needs the statement's id.
    async fn submit(&self, statement: Statement<'_>) -> Result<Response, StatementError> {
        let body = serde_json::to_value(wire::StatementRequest::of(statement)).map_err(ApiError::unexpected)?;
        let (client, underway) = (self.client.clone(), self.underway.clone());
        underway.send_modify(|underway| underway.sent += 1);
        let sending = tokio::spawn(async move {
            let answer = client.post::<Response>(&PATH, &body).await;
            underway.send_modify(|underway| {
                underway.sent -= 1;
                if let Ok(response) = &answer
                    && response.status.state.is_under_way()
                {
                    underway.running.insert(response.statement_id.clone());
                }
            });
            answer
        });
        Ok(sending.await.map_err(ApiError::unexpected)??)
    }

    /// Reads all chunks, in order.
    async fn collect(&self, id: &str, response: Response) -> Result<StatementResult, StatementError> {
        let Some(Manifest { schema, truncated, total_chunk_count, total_row_count }) = response.manifest else {
            return Err(ApiError::unexpected("the result has no manifest").into());
        };
        if truncated {
            return Err(StatementError::Truncated { rows: total_row_count });
        }
        let mut columns = schema.columns;
        columns.sort_by_key(|column| column.position);
        let mut rows = response.result.map(|chunk| chunk.data_array).unwrap_or_default();
        for index in 1..total_chunk_count {
            let index_text = index.to_string();
            let path = [&PATH[..], &[id, "result", "chunks", &index_text]].concat();
            let chunk: Chunk = self.client.get(&path, &[]).await?;
            if chunk.chunk_index != Some(index) {
                return Err(ApiError::unexpected(format!("the response is not chunk {index}")).into());
            }
            rows.extend(chunk.data_array);
        }
        if rows.len() as u64 != total_row_count {
            return Err(StatementError::Incomplete { expected: total_row_count, got: rows.len() as u64 });
        }
        if rows.iter().any(|row| row.len() != columns.len()) {
            return Err(ApiError::unexpected("a row does not have one cell for each column").into());
        }
        Ok(StatementResult { columns, rows })
    }

    fn forget(&self, id: &str) {
        self.underway.send_modify(|underway| {
            underway.running.remove(id);
        });
    }

    /// Cancels every active statement. Returns how many were cancelled, and how many may still run.
    pub async fn cancel_all(&self) -> CancelSummary {
        let mut done = CancelSummary::default();
        let cancelling = async {
            let mut changes = self.underway.subscribe();
            // A statement that was just submitted gets its id soon.
            let _ = changes.wait_for(|underway| underway.sent == 0).await;
            let running: Vec<String> = self.underway.borrow().running.iter().cloned().collect();
            for id in running {
                let path = [&PATH[..], &[&id, "cancel"]].concat();
                if self.client.post_without_response(&path).await.is_ok() {
                    self.forget(&id);
                    done.cancelled += 1;
                }
            }
        };
        let _ = tokio::time::timeout(CANCELLING, cancelling).await;
        let left = self.underway.borrow();
        done.unknown = left.sent + left.running.len();
        done
    }
}

#[cfg(test)]
mod tests;
