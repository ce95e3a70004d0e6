//! A fake workspace: it responds from a script, from a function, or runs statements on a lake as Databricks would.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use arrow::{
    array::RecordBatch,
    datatypes::{DataType, SchemaRef},
    util::display::{ArrayFormatter, FormatOptions},
};
use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, Method, Response, StatusCode, Uri},
};
use datafusion::common::ScalarValue;
use ops_runbook::{
    analytics,
    databricks::{Client, Token, statements::StatementRunner},
    domain::time::Timestamp,
};
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::{support::lake_at, wait::eventually_async};

pub const TOKEN: &str = "not-a-real-token";
const STATEMENTS: &str = "/api/2.0/sql/statements";

/// A received request.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// `POST /api/…`
    pub line: String,
    /// JSON, or a string if the body is not JSON.
    pub body: Value,
    pub agent: String,
    pub authorization: String,
    pub headers: HeaderMap,
}

/// A response to send.
#[derive(Debug, Clone)]
pub struct Reply {
    pub status: u16,
    pub retry_after: Option<&'static str>,
    /// The workspace in the response header.
    pub workspace_id: Option<&'static str>,
    /// The target of a redirect.
    pub location: Option<&'static str>,
    pub body: String,
    /// The connection is closed in the middle of the body.
    pub is_cut: bool,
    /// The response is sent after this is notified.
    pub held: Option<Arc<Notify>>,
}

impl From<Value> for Reply {
    fn from(body: Value) -> Self {
        Self {
            status: 200,
            retry_after: None,
            workspace_id: None,
            location: None,
            body: body.to_string(),
            is_cut: false,
            held: None,
        }
    }
}

pub fn error(status: u16, code: &str, message: &str) -> Reply {
    Reply { status, ..json!({ "error_code": code, "message": message }).into() }
}

/// Returns the API's answer about the state of the statement `id`.
pub fn statement_state(state: &str) -> Value {
    json!({ "statement_id": "one", "status": { "state": state } })
}

/// Returns the API's response for a succeeded statement, with the first chunk of its rows.
pub fn found(columns: &[(&str, &str)], total: usize, chunks: usize, rows: Value) -> Value {
    let columns = columns.iter().enumerate().map(
        |(position, (name, kind))| json!({ "name": name, "position": position, "type_name": kind, "type_text": kind }),
    );
    json!({
        "statement_id": "one",
        "status": { "state": "SUCCEEDED" },
        "manifest": { "format": "JSON_ARRAY", "schema": { "column_count": columns.len(), "columns": columns.collect::<Vec<_>>() },
                      "total_chunk_count": chunks, "total_row_count": total, "truncated": false },
        "result": { "chunk_index": 0, "row_offset": 0, "row_count": rows.as_array().unwrap().len(), "data_array": rows },
    })
}

enum Plan {
    /// One reply after the other, then the last one for ever.
    Script(Vec<Reply>),
    Lake(PathBuf),
    /// The function also handles requests for credentials.
    Function(Function),
}

type Function = Box<dyn Fn(&Request) -> Reply + Send + Sync>;

/// A fake workspace for the lifetime of the runtime.
#[derive(Clone)]
pub struct Fake {
    pub url: String,
    requests: Arc<Mutex<Vec<Request>>>,
    plan: Arc<Plan>,
}

impl Fake {
    pub async fn script<R: Into<Reply>>(replies: impl IntoIterator<Item = R>) -> Self {
        Self::start(Plan::Script(replies.into_iter().map(Into::into).collect())).await
    }

    /// Starts a workspace that runs statements on a lake.
    pub async fn over(lake: &Path) -> Self {
        Self::start(Plan::Lake(lake.into())).await
    }

    /// Starts a workspace that responds with `function`, also to requests for credentials.
    pub async fn answering(function: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        Self::start(Plan::Function(Box::new(function))).await
    }

    async fn start(plan: Plan) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let fake = Self { url, requests: Arc::default(), plan: Arc::new(plan) };
        let router = Router::new().fallback(answer).with_state(fake.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        fake
    }

    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    pub fn lines(&self) -> Vec<String> {
        self.requests().into_iter().map(|request| request.line).collect()
    }

    /// Returns how often the scripted statement was cancelled.
    pub fn cancellations(&self) -> usize {
        self.lines().iter().filter(|line| **line == format!("POST {STATEMENTS}/one/cancel")).count()
    }

    /// Returns a client whose retries pause for milliseconds only.
    pub fn client(&self) -> Client {
        let client = Client::new(self.url.parse().unwrap(), TOKEN.parse::<Token>().unwrap()).unwrap();
        client.with_first_pause(Duration::from_millis(1))
    }

    /// Waits until `count` requests have come.
    pub async fn asked(&self, count: usize) {
        let enough = async || (self.requests.lock().unwrap().len() >= count).then_some(());
        eventually_async(&format!("{count} requests"), enough).await;
    }

    pub fn statements(&self) -> StatementRunner {
        StatementRunner::new(self.client())
    }
}

async fn answer(State(fake): State<Fake>, method: Method, uri: Uri, headers: HeaderMap, body: Bytes) -> Response<Body> {
    let header = |name: &str| headers.get(name).map_or("", |value| value.to_str().unwrap()).to_owned();
    let is_open = matches!(fake.plan.as_ref(), Plan::Function(_));
    if !is_open && header("authorization") != format!("Bearer {TOKEN}") {
        return response(error(401, "UNAUTHENTICATED", "Credential was not sent or was of an unsupported type"));
    }
    let text = || Value::String(String::from_utf8_lossy(&body).into_owned());
    let body = if body.is_empty() { Value::Null } else { serde_json::from_slice(&body).unwrap_or_else(|_| text()) };
    let (agent, authorization) = (header("user-agent"), header("authorization"));
    let request = Request { line: format!("{method} {uri}"), body, agent, authorization, headers };
    let number = {
        let mut requests = fake.requests.lock().unwrap();
        requests.push(request.clone());
        requests.len()
    };
    let reply = match fake.plan.as_ref() {
        Plan::Script(_) if request.line.ends_with("/cancel") => json!({}).into(),
        Plan::Script(replies) => replies[number.min(replies.len()) - 1].clone(),
        Plan::Lake(lake) => run(lake, &request).await,
        Plan::Function(function) => function(&request),
    };
    if let Some(held) = &reply.held {
        held.notified().await;
    }
    response(reply)
}

fn response(reply: Reply) -> Response<Body> {
    let mut made = Response::builder().status(StatusCode::from_u16(reply.status).unwrap());
    if let Some(seconds) = reply.retry_after {
        made = made.header("retry-after", seconds);
    }
    if let Some(workspace) = reply.workspace_id {
        made = made.header("x-databricks-org-id", workspace);
    }
    if let Some(location) = reply.location {
        made = made.header("location", location);
    }
    let body = Bytes::from(reply.body);
    let body = if reply.is_cut {
        let half = body.slice(..body.len() / 2);
        Body::from_stream(futures::stream::iter([Ok(half), Err(std::io::Error::other("the line is dead"))]))
    } else {
        Body::from(body)
    };
    made.body(body).unwrap()
}

async fn run(lake: &Path, request: &Request) -> Reply {
    if request.line != format!("POST {STATEMENTS}") {
        return error(404, "RESOURCE_DOES_NOT_EXIST", &request.line);
    }
    let parameters: Vec<(String, ScalarValue)> =
        request.body["parameters"].as_array().unwrap().iter().map(parameter).collect();
    let parameters: Vec<(&str, ScalarValue)> =
        parameters.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
    let sql = request.body["statement"].as_str().unwrap();
    match analytics::query_with(&lake_at(lake), sql, &parameters).await {
        Ok((schema, batches)) => answered(&schema, &batches).into(),
        Err(error) => json!({
            "statement_id": "one",
            "status": { "state": "FAILED", "error": { "error_code": "BAD_REQUEST", "message": format!("{error:?}") } },
        })
        .into(),
    }
}

fn parameter(given: &Value) -> (String, ScalarValue) {
    let text = given["value"].as_str().unwrap();
    let value = match given["type"].as_str().unwrap() {
        "STRING" => text.into(),
        "INT" => ScalarValue::Int32(Some(text.parse().unwrap())),
        "BIGINT" => ScalarValue::Int64(Some(text.parse().unwrap())),
        "TIMESTAMP" => {
            let at: Timestamp = text.parse().unwrap();
            ScalarValue::TimestampMicrosecond(Some(at.micros()), Some("UTC".into()))
        }
        other => panic!("no parameter is of the type {other}"),
    };
    (given["name"].as_str().unwrap().into(), value)
}

/// Returns rows as the API does: all values are text, and timestamps are truncated to milliseconds.
fn answered(schema: &SchemaRef, batches: &[RecordBatch]) -> Value {
    let columns: Vec<(&str, &str)> = schema
        .fields()
        .iter()
        .map(|field| {
            let kind = match field.data_type() {
                // The plan of a result without rows has no type for a parameter.
                DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8 | DataType::Null => "STRING",
                DataType::Int64 | DataType::UInt64 => "LONG",
                DataType::Int32 => "INT",
                DataType::Float64 => "DOUBLE",
                DataType::Boolean => "BOOLEAN",
                DataType::Date32 => "DATE",
                DataType::Timestamp(..) => "TIMESTAMP",
                other => panic!("no column is of the type {other}"),
            };
            (field.name().as_str(), kind)
        })
        .collect();
    let mut rows = Vec::new();
    let options = FormatOptions::new()
        .with_timestamp_format(Some("%Y-%m-%dT%H:%M:%S%.3fZ"))
        .with_timestamp_tz_format(Some("%Y-%m-%dT%H:%M:%S%.3fZ"));
    for batch in batches {
        let cells: Vec<ArrayFormatter<'_>> =
            batch.columns().iter().map(|column| ArrayFormatter::try_new(column, &options).unwrap()).collect();
        for row in 0..batch.num_rows() {
            let cell = |(column, cells): (usize, &ArrayFormatter<'_>)| match batch.column(column).is_null(row) {
                true => Value::Null,
                false => cells.value(row).to_string().into(),
            };
            rows.push(Value::Array(cells.iter().enumerate().map(cell).collect()));
        }
    }
    found(&columns, rows.len(), 1, Value::Array(rows))
}
