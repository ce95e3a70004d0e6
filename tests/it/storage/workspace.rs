//! A workspace at a socket that knows one schema and lends credentials for a few seconds.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use axum::{
    Router,
    extract::State,
    http::{HeaderMap, Method, StatusCode, Uri},
};
use serde_json::{Value, json};

pub const TOKEN: &str = "not-a-real-token";
/// From signing a request to its arrival.
const ON_THE_WAY: Duration = Duration::from_secs(20);

/// What it says, and what it was asked.
#[derive(Debug)]
pub struct Books {
    /// The answer about the schema.
    pub schema: (u16, Value),
    /// The answer about credentials, when it gives none.
    pub refuses: Option<(u16, Value)>,
    /// What it lends instead of keys of S3: a field of the answer.
    pub lends: Option<Value>,
    /// Tables that are registered, and where they are.
    pub tables: BTreeMap<String, String>,
    /// Bodies of requests for credentials.
    pub asked: Vec<Value>,
    /// Statements that were run, with their catalog and schema.
    pub statements: Vec<Value>,
    /// How long credentials are good that are asked for from now on.
    pub good_for: Duration,
    lent: BTreeMap<String, Instant>,
    /// Keys that requests to the store were signed by.
    pub used: BTreeSet<String>,
}

#[derive(Debug, Clone)]
pub struct Workspace {
    pub url: String,
    pub books: Arc<Mutex<Books>>,
}

impl Workspace {
    /// Lends keys of S3 for so long. Lives as long as the process, on a thread of its own.
    pub fn lending_for(good_for: Duration) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let books = Books {
            schema: (200, json!({ "name": "ops", "storage_location": "s3://ops/schema" })),
            refuses: None,
            lends: None,
            tables: BTreeMap::new(),
            asked: Vec::new(),
            statements: Vec::new(),
            good_for,
            lent: BTreeMap::new(),
            used: BTreeSet::new(),
        };
        let url = format!("http://{}", listener.local_addr().unwrap());
        let workspace = Self { url, books: Arc::new(Mutex::new(books)) };
        let router = Router::new().fallback(answer).with_state(workspace.clone());
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                axum::serve(listener, router).await.unwrap();
            });
        });
        workspace
    }

    /// Whether a request to the store is signed by keys that are lent at this moment, or were when the request was signed: a
    /// busy machine takes [`ON_THE_WAY`] at most to send it.
    pub fn vouches_for(&self, headers: &HeaderMap) -> bool {
        let signed = headers.get("authorization").map_or("", |value| value.to_str().unwrap());
        let key = signed.split_once("Credential=").and_then(|(_, rest)| rest.split('/').next()).unwrap_or_default();
        let token = headers.get("x-amz-security-token").map_or("", |value| value.to_str().unwrap());
        let mut books = self.books.lock().unwrap();
        books.used.insert(key.to_owned());
        books.lent.get(key).is_some_and(|end| Instant::now() < *end + ON_THE_WAY) && token == format!("token-of-{key}")
    }
}

async fn answer(
    State(workspace): State<Workspace>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: String,
) -> (StatusCode, String) {
    let reply = |status: u16, body: Value| (StatusCode::from_u16(status).unwrap(), body.to_string());
    if headers.get("authorization").is_none_or(|value| value != format!("Bearer {TOKEN}").as_str()) {
        return reply(401, json!({ "error_code": "UNAUTHENTICATED", "message": "no" }));
    }
    let missing =
        || reply(404, json!({ "error_code": "RESOURCE_DOES_NOT_EXIST", "message": format!("{method} {uri}") }));
    match (method.as_str(), uri.path()) {
        ("GET", "/api/2.1/unity-catalog/schemas/main.ops") => {
            let (status, body) = workspace.books.lock().unwrap().schema.clone();
            reply(status, body)
        }
        ("GET", path) => match path.strip_prefix("/api/2.1/unity-catalog/tables/main.ops.") {
            Some(table) => match workspace.books.lock().unwrap().tables.get(table) {
                Some(location) => reply(200, json!({ "name": table, "storage_location": location })),
                None => missing(),
            },
            None => missing(),
        },
        ("POST", "/api/2.0/unity-catalog/temporary-path-credentials") => lend(&workspace, &body),
        ("POST", "/api/2.0/sql/statements") => {
            workspace.books.lock().unwrap().statements.push(serde_json::from_str(&body).unwrap());
            let manifest = json!({ "schema": { "columns": [] }, "truncated": false, "total_chunk_count": 0, "total_row_count": 0 });
            reply(200, json!({ "statement_id": "one", "status": { "state": "SUCCEEDED" }, "manifest": manifest }))
        }
        _ => missing(),
    }
}

fn lend(workspace: &Workspace, body: &str) -> (StatusCode, String) {
    let mut books = workspace.books.lock().unwrap();
    books.asked.push(serde_json::from_str(body).unwrap());
    if let Some((status, body)) = books.refuses.clone() {
        return (StatusCode::from_u16(status).unwrap(), body.to_string());
    }
    let ends = SystemTime::now().duration_since(UNIX_EPOCH).unwrap() + books.good_for;
    let ends = u64::try_from(ends.as_millis()).unwrap();
    if let Some(mut answer) = books.lends.clone() {
        answer["expiration_time"] = ends.into();
        return (StatusCode::OK, answer.to_string());
    }
    let key = format!("LENT{}", books.lent.len() + 1);
    let end = Instant::now() + books.good_for;
    books.lent.insert(key.clone(), end);
    let keys = json!({
        "access_key_id": key, "secret_access_key": "hunter2hunter2", "session_token": format!("token-of-{key}"),
    });
    let answer = json!({ "aws_temp_credentials": keys, "expiration_time": ends, "url": "s3://ops/schema" });
    (StatusCode::OK, answer.to_string())
}
