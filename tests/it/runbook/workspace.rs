//! A workspace at a socket: the parts of the REST API that runbooks use, as Databricks documents them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, Method, StatusCode, Uri, header::HeaderName},
};
use serde_json::{Map, Value, json};

pub const TOKEN: &str = "not-a-real-token";
const PAGE: usize = 100;

/// The id of the workspace, which every answer has.
pub const WORKSPACE_ID: &str = "7405612783315468";

/// The state of the workspace.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct World {
    pub jobs: BTreeMap<String, Value>,
    pub clusters: BTreeMap<String, Value>,
    pub warehouses: BTreeMap<String, Value>,
    /// The user as whom a job runs, by job id; other jobs run as a service principal. Lists do not have it.
    pub run_as: BTreeMap<String, String>,
    /// Names of settings that a write ignores without an error.
    pub ignored: BTreeSet<String>,
    /// Jobs that are listed and may not be read.
    pub forbidden: BTreeSet<String>,
    /// Tokens of run-now.
    pub runs: Vec<String>,
    /// Runs in the format of the API. If there are any, they replace those that run-now started.
    pub listed_runs: Vec<Value>,
    pub statements: Vec<String>,
    /// The paths of all requests that wrote.
    pub writes: Vec<String>,
    /// The number of requests that only read, by path.
    pub reads: BTreeMap<String, usize>,
}

#[derive(Debug, Clone)]
pub struct Workspace {
    pub url: String,
    pub world: Arc<Mutex<World>>,
}

impl Workspace {
    /// Must be called inside a runtime, and lives as long as that.
    pub async fn start(world: World) -> Self {
        let world = Arc::new(Mutex::new(world));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(answer).with_state(Arc::clone(&world));
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, world }
    }

    pub fn world(&self) -> World {
        self.world.lock().unwrap().clone()
    }

    /// The settings, without the log of requests.
    pub fn settings(&self) -> World {
        World { writes: Vec::new(), runs: Vec::new(), statements: Vec::new(), reads: BTreeMap::new(), ..self.world() }
    }
}

type Answer = Result<Value, (StatusCode, &'static str)>;

async fn answer(
    State(world): State<Arc<Mutex<World>>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, [(HeaderName, &'static str); 1], String) {
    let authorised = headers.get("authorization").is_some_and(|value| value == &format!("Bearer {TOKEN}"));
    let outcome = if authorised {
        route(&mut world.lock().unwrap(), &method, &uri, &body)
    } else {
        Err((StatusCode::UNAUTHORIZED, "no token"))
    };
    let (status, text) = match outcome {
        Ok(value) => (StatusCode::OK, value.to_string()),
        Err((status, message)) => (status, json!({ "error_code": status.as_u16(), "message": message }).to_string()),
    };
    (status, [(HeaderName::from_static("x-databricks-org-id"), WORKSPACE_ID)], text)
}

const UNKNOWN: (StatusCode, &str) = (StatusCode::NOT_FOUND, "there is no such thing");
const BAD: (StatusCode, &str) = (StatusCode::BAD_REQUEST, "the request is wrong");

fn route(world: &mut World, method: &Method, uri: &Uri, body: &[u8]) -> Answer {
    let query: BTreeMap<String, String> =
        url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()).into_owned().collect();
    let asked = |name: &str| query.get(name).map(String::as_str).ok_or(BAD);
    if method == Method::POST {
        let body: Value = serde_json::from_slice(body).map_err(|_| BAD)?;
        world.writes.push(uri.path().to_owned());
        let before = world.clone();
        let answer = write(world, uri.path(), &body);
        for (held, settings) in [
            (&before.jobs, &mut world.jobs),
            (&before.clusters, &mut world.clusters),
            (&before.warehouses, &mut world.warehouses),
        ] {
            for (id, settings) in settings {
                keep(&before.ignored, &held[id], settings);
            }
        }
        return answer;
    }
    *world.reads.entry(uri.path().to_owned()).or_default() += 1;
    match uri.path() {
        "/api/2.0/preview/scim/v2/Me" => Ok(json!({ "userName": "tester" })),
        "/api/2.2/jobs/list" => {
            assert_eq!(asked("expand_tasks"), Ok("true"));
            let (limit, from) = (asked("limit")?, asked("page_token").unwrap_or("0"));
            let (limit, from): (usize, usize) = (limit.parse().map_err(|_| BAD)?, from.parse().map_err(|_| BAD)?);
            assert!(limit <= 100);
            let mut jobs = Vec::new();
            for (id, settings) in world.jobs.iter().skip(from).take(limit) {
                let mut listed = job(settings, None)?;
                let more = listed.as_object_mut().unwrap().remove("next_page_token").is_some();
                listed["has_more"] = more.into();
                listed["job_id"] = id.parse::<u64>().unwrap().into();
                listed["creator_user_name"] = "ada@example.test".into();
                jobs.push(listed);
            }
            let next = from + jobs.len();
            let next = if next < world.jobs.len() { next.to_string() } else { String::new() };
            Ok(json!({ "jobs": jobs, "next_page_token": next }))
        }
        "/api/2.2/jobs/get" => {
            let id = asked("job_id")?;
            if world.forbidden.contains(id) {
                return Err((StatusCode::FORBIDDEN, "CAN VIEW is missing"));
            }
            let mut found = job(world.jobs.get(id).ok_or(UNKNOWN)?, asked("page_token").ok())?;
            found["job_id"] = id.parse::<u64>().map_err(|_| BAD)?.into();
            found["creator_user_name"] = "ada@example.test".into();
            let run_as = world.run_as.get(id).map_or("0f8fad5b-d9cb-469f-a165-70867728950e", String::as_str);
            found["run_as_user_name"] = run_as.into();
            Ok(found)
        }
        "/api/2.1/clusters/get" => {
            let id = asked("cluster_id")?;
            let mut cluster = world.clusters.get(id).ok_or(UNKNOWN)?.clone();
            cluster["cluster_id"] = id.into();
            cluster["state"] = "TERMINATED".into();
            Ok(cluster)
        }
        "/api/2.2/jobs/runs/list" => {
            let limit: usize = asked("limit")?.parse().map_err(|_| BAD)?;
            if !world.listed_runs.is_empty() {
                assert!(limit < 25);
                let (job, from) = (asked("job_id")?, asked("start_time_from")?.parse::<i64>().map_err(|_| BAD)?);
                let matching = |run: &&Value| {
                    run["job_id"].as_u64() == job.parse().ok() && run["start_time"].as_i64().unwrap() >= from
                };
                let mut runs: Vec<Value> = world.listed_runs.iter().filter(matching).cloned().collect();
                runs.sort_by_key(|run| -run["start_time"].as_i64().unwrap());
                return Ok(json!({ "runs": runs }));
            }
            let runs = world.runs.iter().enumerate().rev().take(limit).map(|(index, _)| {
                json!({ "run_id": index + 1, "start_time": 1_700_000_000_000_i64,
                        "status": { "state": "TERMINATED", "termination_details": { "code": "SUCCESS", "message": "\u{1b}]0;x\u{7}" } } })
            });
            Ok(json!({ "runs": runs.collect::<Vec<_>>() }))
        }
        "/api/2.0/sql/statements/one" => Ok(finished(world.statements.last().ok_or(UNKNOWN)?)),
        path => {
            let id = path.strip_prefix("/api/2.0/sql/warehouses/").ok_or(UNKNOWN)?;
            let mut warehouse = world.warehouses.get(id).ok_or(UNKNOWN)?.clone();
            warehouse["id"] = id.into();
            warehouse["num_clusters"] = 0.into();
            Ok(warehouse)
        }
    }
}

fn keep(ignored: &BTreeSet<String>, before: &Value, settings: &mut Value) {
    for name in ignored {
        match before.get(name) {
            Some(value) => settings[name] = value.clone(),
            None => drop(settings.as_object_mut().unwrap().remove(name)),
        }
    }
}

fn finished(statement: &str) -> Value {
    if statement.contains("fail") {
        json!({ "statement_id": "one", "status": { "state": "FAILED", "error": { "message": "no such table" } } })
    } else {
        json!({ "statement_id": "one", "status": { "state": "SUCCEEDED" }, "result": { "data_array": [["1"]] } })
    }
}

/// One page of tasks, with defaults a workspace fills in.
fn job(settings: &Value, page: Option<&str>) -> Answer {
    let from: usize = page.map_or(Ok(0), |page| page.trim_end_matches("/+=").parse()).map_err(|_| BAD)?;
    let tasks = settings["tasks"].as_array().ok_or(BAD)?;
    let mut shown = settings.clone();
    shown["tasks"] = tasks.iter().skip(from).take(PAGE).cloned().collect();
    for task in shown["tasks"].as_array_mut().unwrap() {
        for (name, default) in [("run_if", json!("ALL_SUCCESS")), ("email_notifications", json!({}))] {
            task.as_object_mut().unwrap().entry(name).or_insert(default);
        }
    }
    shown.as_object_mut().unwrap().entry("email_notifications").or_insert(json!({}));
    let mut answer = json!({ "settings": shown });
    if from + PAGE < tasks.len() {
        answer["next_page_token"] = format!("{}/+=", from + PAGE).into();
    }
    Ok(answer)
}

fn write(world: &mut World, path: &str, body: &Value) -> Answer {
    match path {
        "/api/2.2/jobs/update" => {
            let settings = world.jobs.get_mut(&body["job_id"].as_u64().ok_or(BAD)?.to_string()).ok_or(UNKNOWN)?;
            update_job(settings.as_object_mut().unwrap(), body)
        }
        "/api/2.2/jobs/run-now" => {
            let token = body["idempotency_token"].as_str().ok_or(BAD)?;
            assert!(token.len() <= 64);
            if !world.runs.iter().any(|known| known == token) {
                world.runs.push(token.to_owned());
            }
            Ok(json!({ "run_id": world.runs.len() }))
        }
        "/api/2.1/clusters/update" => {
            let cluster = world.clusters.get_mut(body["cluster_id"].as_str().ok_or(BAD)?).ok_or(UNKNOWN)?;
            let cluster = cluster.as_object_mut().unwrap();
            let new = body["cluster"].as_object().ok_or(BAD)?;
            let mask: Vec<&str> = body["update_mask"].as_str().ok_or(BAD)?.split(',').collect();
            if new.keys().any(|name| !mask.contains(&name.as_str())) {
                return Err(BAD);
            }
            for name in mask {
                match new.get(name) {
                    Some(value) => drop(cluster.insert(name.into(), value.clone())),
                    None => drop(cluster.remove(name)),
                }
            }
            Ok(json!({}))
        }
        "/api/2.0/sql/statements" => {
            if body["warehouse_id"] != "wh1" {
                return Err(UNKNOWN);
            }
            world.statements.push(body["statement"].as_str().ok_or(BAD)?.to_owned());
            Ok(json!({ "statement_id": "one", "status": { "state": "PENDING" } }))
        }
        path => {
            let id = path.strip_prefix("/api/2.0/sql/warehouses/").and_then(|rest| rest.strip_suffix("/edit"));
            let warehouse = world.warehouses.get_mut(id.ok_or(UNKNOWN)?).ok_or(UNKNOWN)?;
            // A setting that an edit leaves out gets its default.
            let mut new: Map<String, Value> = body.as_object().ok_or(BAD)?.clone();
            new.entry("auto_stop_mins").or_insert(json!(120));
            *warehouse = Value::Object(new);
            Ok(json!({}))
        }
    }
}

fn update_job(settings: &mut Map<String, Value>, body: &Value) -> Answer {
    let new = body["new_settings"].as_object().ok_or(BAD)?;
    for (name, value) in new {
        let key = match name.as_str() {
            "tasks" => "task_key",
            "job_clusters" => "job_cluster_key",
            _ => {
                settings.insert(name.clone(), value.clone());
                continue;
            }
        };
        let entries = settings.entry(name).or_insert(json!([])).as_array_mut().unwrap();
        for item in value.as_array().ok_or(BAD)? {
            match entries.iter_mut().find(|entry| entry[key] == item[key]) {
                Some(entry) => *entry = item.clone(),
                None => entries.push(item.clone()),
            }
        }
    }
    for name in body["fields_to_remove"].as_array().into_iter().flatten() {
        let name = name.as_str().ok_or(BAD)?;
        match name.split_once('/') {
            Some(("job_clusters", key)) => {
                settings["job_clusters"].as_array_mut().unwrap().retain(|entry| entry["job_cluster_key"] != key);
            }
            Some(_) => return Err(BAD),
            None => drop(settings.remove(name)),
        }
    }
    Ok(json!({}))
}
