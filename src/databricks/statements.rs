//! SQL on a warehouse: the Statement Execution API.
//!
//! A statement is sent, and asked about until it has ended; what it found comes as text, a chunk at a time, and [`cells`] makes
//! typed columns of it. Part of an answer is never taken for all of it.

pub mod cells;
mod wire;

use std::{collections::BTreeSet, time::Duration};

use backon::BackoffBuilder;
use serde::Serialize;
use tokio::sync::watch;

pub use wire::{Column, State};

use super::{
    Client,
    error::{ApiError, cut},
};
use wire::{Chunk, Manifest, Response};

const PATH: [&str; 3] = ["2.0", "sql", "statements"];
/// How long a statement is waited for with the request that sends it; the API takes 5 s to 50 s. Until that is answered nobody
/// knows the statement's id, so it cannot be cancelled: the shortest is best.
const WAIT: &str = "5s";
/// At most this long between two questions.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// At most this long for cancelling.
const CANCELLING: Duration = Duration::from_secs(20);

/// What to run, where.
#[derive(Debug, Clone, Copy)]
pub struct Statement<'a> {
    pub warehouse_id: &'a str,
    /// Where names that say neither are looked for.
    pub catalog: &'a str,
    pub schema: &'a str,
    /// One statement, `:name` for parameters.
    pub sql: &'a str,
    pub parameters: &'a [Parameter],
}

/// A value of a named parameter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Parameter {
    /// Without the colon.
    pub name: String,
    pub value: String,
    /// Such as `STRING`, `INT`, `TIMESTAMP`.
    #[serde(rename = "type")]
    pub kind: &'static str,
}

/// All of what a statement found. A row has a cell for each column; `None` is null.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub columns: Vec<Column>,
    pub rows: Vec<Vec<Option<String>>>,
}

/// What can go wrong with a statement.
#[derive(Debug, thiserror::Error)]
pub enum StatementError {
    #[error(transparent)]
    Api(#[from] ApiError),
    /// Texts are the warehouse's own, cut to a few hundred characters.
    #[error("the warehouse failed: {message}")]
    Failed { code: String, message: String },
    #[error("somebody else cancelled the statement {id}, or the warehouse was stopped")]
    Cancelled { id: String },
    #[error("the result of the statement {id} is not there any more")]
    Closed { id: String },
    #[error("the warehouse cut the answer off at {rows} rows")]
    Truncated { rows: u64 },
    #[error("the answer is not whole: {got} of {expected} rows")]
    Incomplete { expected: u64, got: u64 },
    #[error("column {column:?} has the type {kind}, which is not known here")]
    UnknownType { column: String, kind: String },
    /// The first row is 1.
    #[error("column {column:?}, row {row}: {text:?} is not a {kind}")]
    Cell { column: String, row: usize, text: String, kind: String },
    #[error("the warehouse's clock is not in UTC: midnight UTC is {midnight} there")]
    NotUtc { midnight: String },
}

impl StatementError {
    /// The statement itself is wrong, or what it names is not there.
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
            Self::Failed { .. } => "tables and views must be in --catalog and --schema; `tables register` makes them",
            Self::Cancelled { .. } | Self::Closed { .. } | Self::Incomplete { .. } => {
                "run it again; what was done is not done twice"
            }
            Self::Truncated { .. } => "ask for less: a shorter time, or a limit",
            Self::UnknownType { .. } => "cast the column to STRING in the query",
            Self::Cell { .. } => "this is a disagreement between the warehouse and this version of ops-runbook",
            Self::NotUtc { .. } => "set TIMEZONE to UTC in the workspace's SQL configuration parameters",
        };
        Some(hint.into())
    }
}

/// Statements of which this process does not know that they have ended.
#[derive(Debug, Default)]
struct Underway {
    /// Sent, and not yet known by an id.
    sent: usize,
    running: BTreeSet<String>,
}

/// What became of statements that were to be cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cancelled {
    pub cancelled: usize,
    /// Nobody knows whether these still run.
    pub unknown: usize,
}

/// Runs statements, and knows which are under way.
#[derive(Debug)]
pub struct Statements {
    client: Client,
    underway: watch::Sender<Underway>,
}

impl Statements {
    pub fn new(client: Client) -> Self {
        Self { client, underway: watch::Sender::default() }
    }

    /// Runs a statement and waits for all of its answer, for as long as the warehouse takes. `told` hears every state on the way.
    ///
    /// Dropping the future leaves the statement running; [`Self::cancel_all`] ends it.
    ///
    /// # Errors
    /// [`StatementError`].
    pub async fn run(&self, statement: Statement<'_>, told: impl Fn(&State)) -> Result<Answer, StatementError> {
        told(&State::Pending);
        let mut response = self.submit(statement).await?;
        let id = response.statement_id.clone();
        let mut pauses = self.client.backoff().with_max_delay(LONGEST_PAUSE).without_max_times().build();
        while response.status.state.is_under_way() {
            told(&response.status.state);
            tokio::time::sleep(pauses.next().unwrap_or(LONGEST_PAUSE)).await;
            let asked = self.client.get::<Response>(&[&PATH[..], &[&id]].concat(), &[]).await;
            if !matches!(&asked, Ok(response) if response.status.state.is_under_way()) {
                self.forget(&id);
            }
            response = asked?;
        }
        let message = |response: &Response| response.status.error.as_ref().map(|error| cut(&error.message));
        match &response.status.state {
            State::Succeeded => self.collect(&id, response).await,
            State::Failed => Err(StatementError::Failed {
                code: response.status.error.as_ref().map(|error| error.error_code.clone()).unwrap_or_default(),
                message: message(&response).unwrap_or_else(|| "it does not say why".into()),
            }),
            State::Canceled => Err(StatementError::Cancelled { id }),
            State::Closed => Err(StatementError::Closed { id }),
            state => Err(ApiError::unexpected(format!("a statement in the state {state}")).into()),
        }
    }

    /// Sends the statement from a task of its own, which goes on when nobody waits for it any more: what was sent has an id,
    /// and that is what cancelling needs.
    async fn submit(&self, statement: Statement<'_>) -> Result<Response, StatementError> {
        let body = serde_json::to_value(wire::Submission::of(statement)).map_err(ApiError::unexpected)?;
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

    /// All chunks, in order.
    async fn collect(&self, id: &str, response: Response) -> Result<Answer, StatementError> {
        let Some(Manifest { schema, truncated, total_chunk_count, total_row_count }) = response.manifest else {
            return Err(ApiError::unexpected("a result without a manifest").into());
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
                return Err(ApiError::unexpected(format!("another chunk than {index}")).into());
            }
            rows.extend(chunk.data_array);
        }
        if rows.len() as u64 != total_row_count {
            return Err(StatementError::Incomplete { expected: total_row_count, got: rows.len() as u64 });
        }
        if rows.iter().any(|row| row.len() != columns.len()) {
            return Err(ApiError::unexpected("a row with fewer or more cells than columns").into());
        }
        Ok(Answer { columns, rows })
    }

    fn forget(&self, id: &str) {
        self.underway.send_modify(|underway| {
            underway.running.remove(id);
        });
    }

    /// Cancels every statement that is under way, and says how many it took notice of.
    pub async fn cancel_all(&self) -> Cancelled {
        let mut done = Cancelled::default();
        let cancelling = async {
            let mut changes = self.underway.subscribe();
            // What was just sent gets its id in a moment.
            let _ = changes.wait_for(|underway| underway.sent == 0).await;
            let running: Vec<String> = self.underway.borrow().running.iter().cloned().collect();
            for id in running {
                let path = [&PATH[..], &[&id, "cancel"]].concat();
                if self.client.post_unanswered(&path).await.is_ok() {
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
