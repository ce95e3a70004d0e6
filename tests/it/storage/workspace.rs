//! A workspace at a socket that knows one schema with one volume and lends credentials for a few seconds. It can answer as the
//! open-source server of Unity Catalog does (its api/all.yaml): credentials at version 2.1 only, and without an end.

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
/// Who has the token.
pub const PRINCIPAL: &str = "tester@example.test";
/// The volume main.ops.lake.
pub const VOLUME_ID: &str = "11111111-2222-3333-4444-555555555555";
/// From signing a request to its arrival.
const ON_THE_WAY: Duration = Duration::from_secs(20);

/// What it says, and what it was asked.
#[derive(Debug)]
pub struct Books {
    /// The answer about the schema.
    pub schema: (u16, Value),
    /// The answer about the volume.
    pub volume: (u16, Value),
    /// Answers as the open-source server.
    pub is_open_source: bool,
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
            volume: (200, volume("s3://ops/__unitystorage/volumes/1")),
            is_open_source: false,
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

    /// The store accepts nothing any more that was lent until now.
    pub fn revokes(&self) {
        self.books.lock().unwrap().lent.clear();
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

/// The answer about the volume, when its files are there.
pub fn volume(location: &str) -> Value {
    json!({
        "catalog_name": "main", "schema_name": "ops", "name": "lake", "full_name": "main.ops.lake", "volume_type": "MANAGED",
        "volume_id": VOLUME_ID, "storage_location": location,
    })
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
    let is_open_source = workspace.books.lock().unwrap().is_open_source;
    let version = if is_open_source { "2.1" } else { "2.0" };
    let lends = |what: &str| uri.path() == format!("/api/{version}/unity-catalog/temporary-{what}-credentials");
    match (method.as_str(), uri.path()) {
        ("POST", _) if lends("path") => lend(&workspace, &body, "url"),
        ("POST", _) if lends("volume") => lend(&workspace, &body, "volume_id"),
        (_, path) if is_open_source && path.starts_with("/api/2.0/") => {
            (StatusCode::NOT_FOUND, "Status: 404\nDescription: Not Found\n".into())
        }
        ("GET", "/api/2.0/preview/scim/v2/Me") => reply(200, json!({ "userName": PRINCIPAL })),
        ("GET", "/api/2.1/unity-catalog/volumes/main.ops.lake") => {
            let (status, body) = workspace.books.lock().unwrap().volume.clone();
            reply(status, body)
        }
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
        ("POST", "/api/2.0/sql/statements") => {
            workspace.books.lock().unwrap().statements.push(serde_json::from_str(&body).unwrap());
            let manifest = json!({ "schema": { "columns": [] }, "truncated": false, "total_chunk_count": 0, "total_row_count": 0 });
            reply(200, json!({ "statement_id": "one", "status": { "state": "SUCCEEDED" }, "manifest": manifest }))
        }
        _ => missing(),
    }
}

/// A body has an operation and one more field: `what`.
fn lend(workspace: &Workspace, body: &str, what: &str) -> (StatusCode, String) {
    let mut books = workspace.books.lock().unwrap();
    let asked: Value = serde_json::from_str(body).unwrap();
    assert!(asked.as_object().unwrap().keys().all(|key| key == "operation" || key == what), "{asked}");
    if asked.get("volume_id").is_some_and(|id| id != VOLUME_ID) {
        return (StatusCode::NOT_FOUND, json!({ "error_code": "NOT_FOUND", "message": "no such volume" }).to_string());
    }
    books.asked.push(asked);
    if let Some((status, body)) = books.refuses.clone() {
        return (StatusCode::from_u16(status).unwrap(), body.to_string());
    }
    let ends = SystemTime::now().duration_since(UNIX_EPOCH).unwrap() + books.good_for;
    let ends = u64::try_from(ends.as_millis()).unwrap();
    let ends = if books.is_open_source { Value::Null } else { ends.into() };
    if let Some(mut answer) = books.lends.clone() {
        answer["expiration_time"] = ends;
        return (StatusCode::OK, answer.to_string());
    }
    let key = format!("LENT{}", books.asked.len());
    let end = Instant::now() + books.good_for;
    books.lent.insert(key.clone(), end);
    let keys = json!({
        "access_key_id": key, "secret_access_key": "hunter2hunter2", "session_token": format!("token-of-{key}"),
    });
    let answer = json!({ "aws_temp_credentials": keys, "expiration_time": ends, "url": "s3://ops/schema" });
    (StatusCode::OK, answer.to_string())
}
