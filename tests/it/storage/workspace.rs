//! A fake workspace with one schema and one volume, which vends credentials for a few seconds. It can behave like the open-source
//! server of Unity Catalog (its api/all.yaml): credentials at version 2.1 only, and without expiry.

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
/// The owner of the token.
pub const PRINCIPAL: &str = "tester@example.test";
/// The volume main.ops.lake.
pub const VOLUME_ID: &str = "11111111-2222-3333-4444-555555555555";
/// The longest time from signing a request to its arrival.
const ON_THE_WAY: Duration = Duration::from_secs(20);

/// Its responses, and the requests that it got.
#[derive(Debug)]
pub struct Books {
    /// The response about the schema.
    pub schema: (u16, Value),
    /// The response about the volume.
    pub volume: (u16, Value),
    /// Behaves like the open-source server.
    pub is_open_source: bool,
    /// The response about credentials if it refuses them.
    pub refuses: Option<(u16, Value)>,
    /// The credentials that it vends instead of keys of S3: a field of the response.
    pub vends: Option<Value>,
    /// Registered tables and their locations.
    pub tables: BTreeMap<String, String>,
    /// Bodies of requests for credentials.
    pub asked: Vec<Value>,
    /// Statements that were run, with their catalog and schema.
    pub statements: Vec<Value>,
    /// The lifetime of credentials that are requested from now on.
    pub good_for: Duration,
    vended: BTreeMap<String, Instant>,
    /// Keys with which requests to the store were signed.
    pub used: BTreeSet<String>,
}

#[derive(Debug, Clone)]
pub struct Workspace {
    pub url: String,
    pub books: Arc<Mutex<Books>>,
}

impl Workspace {
    /// Starts a workspace that vends keys of S3 for this time, on its own thread, for the lifetime of the process.
    pub fn vending_for(good_for: Duration) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let books = Books {
            schema: (200, json!({ "name": "ops", "storage_location": "s3://ops/schema" })),
            volume: (200, volume("s3://ops/__unitystorage/volumes/1")),
            is_open_source: false,
            refuses: None,
            vends: None,
            tables: BTreeMap::new(),
            asked: Vec::new(),
            statements: Vec::new(),
            good_for,
            vended: BTreeMap::new(),
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

    /// Revokes all credentials that were vended until now.
    pub fn revokes(&self) {
        self.books.lock().unwrap().vended.clear();
    }

    /// Returns whether a request to the store is signed with keys that are valid now, or were valid when it was signed: a busy
    /// machine takes at most [`ON_THE_WAY`] to send it.
    pub fn accepts(&self, headers: &HeaderMap) -> bool {
        let signed = headers.get("authorization").map_or("", |value| value.to_str().unwrap());
        let key = signed.split_once("Credential=").and_then(|(_, rest)| rest.split('/').next()).unwrap_or_default();
        let token = headers.get("x-amz-security-token").map_or("", |value| value.to_str().unwrap());
        let mut books = self.books.lock().unwrap();
        books.used.insert(key.to_owned());
        books.vended.get(key).is_some_and(|end| Instant::now() < *end + ON_THE_WAY)
            && token == format!("token-of-{key}")
    }
}

/// Returns the response about the volume with its files at `location`.
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
        ("POST", _) if lends("path") => vend(&workspace, &body, "url"),
        ("POST", _) if lends("volume") => vend(&workspace, &body, "volume_id"),
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

/// Responds to a request for credentials. Its body has an operation and one more field: `what`.
fn vend(workspace: &Workspace, body: &str, what: &str) -> (StatusCode, String) {
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
    if let Some(mut answer) = books.vends.clone() {
        answer["expiration_time"] = ends;
        return (StatusCode::OK, answer.to_string());
    }
    let key = format!("LENT{}", books.asked.len());
    let end = Instant::now() + books.good_for;
    books.vended.insert(key.clone(), end);
    let keys = json!({
        "access_key_id": key, "secret_access_key": "hunter2hunter2", "session_token": format!("token-of-{key}"),
    });
    let answer = json!({ "aws_temp_credentials": keys, "expiration_time": ends, "url": "s3://ops/schema" });
    (StatusCode::OK, answer.to_string())
}
