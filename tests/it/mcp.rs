//! The agent's way in.

pub mod client;
mod official;

use std::{
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde_json::{Value, json};
use tempfile::tempdir;
use tokio::runtime::Runtime;

use crate::{
    support::{EXAMPLES, assert_intact, binary, example, finish, json_lines, ok, report},
    wait::{LIMIT, eventually, repetitions},
};
use client::{Client, Served, TOKEN, post};

#[test]
fn the_tools_say_the_same_as_ever() {
    let folder = tempdir().unwrap();
    let served = Served::start(folder.path());
    Runtime::new().unwrap().block_on(async {
        let client = Client::connect(&served.url).await.unwrap();
        let mut listed = client.ask("tools/list", json!({})).await.unwrap().unwrap();
        for tool in listed["tools"].as_array_mut().unwrap() {
            // The report's own schema has a snapshot of its own; of answers only what is on top.
            if tool["name"] == "record_report" {
                tool["inputSchema"] = "…".into();
            }
            let names: Vec<String> = tool["outputSchema"]["properties"].as_object().unwrap().keys().cloned().collect();
            tool["outputSchema"] = json!(names);
        }
        insta::assert_snapshot!("mcp_tools", format!("{listed:#}"));
        let prompts = client.ask("prompts/list", json!({})).await.unwrap().unwrap();
        insta::assert_snapshot!("mcp_prompts", format!("{prompts:#}"));
    });
}

#[test]
fn the_skill_names_tools_that_are_there() {
    let skill = include_str!("../../bundle/skill/Databricks_OPS_Runbook/SKILL.md");
    let tools = include_str!("snapshots/it__mcp__mcp_tools.snap");
    let quoted: Vec<&str> = skill.split('`').skip(1).step_by(2).collect();
    let verbs = ["record_", "close_", "acknowledge_", "get_", "list_", "similar_"];
    let named: Vec<&&str> = quoted.iter().filter(|word| verbs.iter().any(|verb| word.starts_with(verb))).collect();
    assert!(named.len() > 6, "{named:?}");
    for name in named {
        assert!(tools.contains(&format!("\"name\": \"{name}\"")), "{name}");
    }
    let clients: Value = serde_json::from_str(include_str!("../../bundle/skill/mcp.json")).unwrap();
    let mut arguments: Vec<&str> = Vec::new();
    arguments.extend(clients["mcpServers"]["ops-runbook"]["args"].as_array().unwrap().iter().filter_map(Value::as_str));
    let output = finish(std::process::Command::new(env!("CARGO_BIN_EXE_ops-runbook")).args(arguments));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn nobody_comes_in_without_the_token_or_by_another_name() {
    let folder = tempdir().unwrap();
    let served = Served::start(folder.path());
    Runtime::new().unwrap().block_on(async {
        let http = reqwest::Client::new();
        let hello = json!({ "jsonrpc": "2.0", "id": 0, "method": "ping" }).to_string();
        let request = || {
            let request = http.post(&served.url).header("Content-Type", "application/json").body(hello.clone());
            request.header("Accept", "application/json, text/event-stream")
        };
        let status = async |request: reqwest::RequestBuilder| request.send().await.unwrap().status().as_u16();
        assert_eq!(status(request()).await, 401);
        assert_eq!(status(request().bearer_auth("0123456789abcdef-tesT")).await, 401);
        assert_eq!(status(request().bearer_auth(TOKEN).bearer_auth(TOKEN)).await, 401);
        assert_eq!(status(request().basic_auth("x", Some(TOKEN))).await, 401);
        assert_eq!(status(request().bearer_auth(TOKEN).header("Origin", "https://evil.example.test")).await, 403);
        assert_eq!(status(request().bearer_auth(TOKEN).header("Host", "evil.example.test")).await, 403);
        let refused = request().send().await.unwrap();
        assert_eq!(refused.headers()["www-authenticate"], "Bearer realm=\"ops-runbook\"");
        let large = format!("{{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"{}\"}}", "x".repeat(5 << 20));
        assert_eq!(post(&http, &served.url, None, &large).await.unwrap().status(), 413);
        let health = served.url.replace("/mcp", "/healthz");
        assert_eq!(reqwest::get(health).await.unwrap().text().await.unwrap(), "ok\n");
        Client::connect(&served.url).await.unwrap();
    });
}

#[test]
fn a_server_over_http_wants_a_token() {
    let folder = tempdir().unwrap();
    let told = |variable: Option<&str>, arguments: &[&str]| {
        let mut command = binary(folder.path());
        command.env_remove("OPS_RUNBOOK_MCP_TOKEN").args(["mcp", "--http", "0"]).args(arguments);
        if let Some(token) = variable {
            command.env("OPS_RUNBOOK_MCP_TOKEN", token);
        }
        let output = finish(&mut command);
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, text) = told(None, &[]);
    assert!(code == Some(2) && text.contains("set OPS_RUNBOOK_MCP_TOKEN or give --token-file"), "{text}");
    let (code, text) = told(Some("tooshort-secret"), &[]);
    assert!(code == Some(3) && text.contains("fewer than 16 characters") && !text.contains("tooshort"), "{text}");
    let (code, text) = told(None, &["--token-file", "/no/such/file"]);
    assert!(code == Some(1) && text.contains("/no/such/file cannot be read"), "{text}");
}

/// What is wrong in every way that a client can be wrong.
fn hostile() -> Vec<Value> {
    vec![
        json!({}),
        json!({ "nonsense": 1 }),
        json!({ "incident_id": 7, "request_id": [], "actor": {}, "limit": "many", "alert": null, "name": 1, "cause": 3 }),
        json!({ "incident_id": "banana", "request_id": "x", "limit": -1, "alert": "x", "name": "no_such_query" }),
        json!({ "incident_id": "INC-9999999999999999999999", "request_id": "\u{0}", "week": "2026-W99", "head": "x" }),
        json!({ "incident_id": "INC-4711", "request_id": "x".repeat(300), "message": "x", "alert": "INC-4711/recurring" }),
        json!({ "incident_id": "INC-4711", "request_id": "r", "message": " ", "root_cause": "", "confidence": "SURE",
                "title": "\u{202e}", "kind": "CLOSE", "workspace": "", "at": "yesterday", "tz": "Mars/Olympus" }),
        json!({ "name": "recurrence", "parameters": ["since=banana", "x", "threshold=1; DROP TABLE audit_log"],
                "incident_id": "INC-1001", "cause": "both", "status": "' OR 1=1 --", "type": "x", "version": -1 }),
        Value::Array(vec![Value::Null; 3]),
    ]
}

#[test]
fn bad_input_is_told_and_nothing_is_written() {
    let folder = tempdir().unwrap();
    ok(folder.path(), &["record", &example(EXAMPLES[0])]);
    let rows = || json_lines(folder.path(), &["sql", "SELECT count(*) AS n FROM audit_log"]);
    let before = rows();
    let served = Served::start(folder.path());
    Runtime::new().unwrap().block_on(async {
        let client = Client::connect(&served.url).await.unwrap();
        let listed = client.ask("tools/list", json!({})).await.unwrap().unwrap();
        let tools: Vec<Value> = listed["tools"].as_array().unwrap().clone();
        assert_eq!(tools.len(), 17);
        let mut refused = 0;
        for tool in &tools {
            let (name, reads) = (tool["name"].as_str().unwrap(), &tool["annotations"]["readOnlyHint"]);
            for arguments in hostile() {
                let mut answered = client.call(name, arguments.clone()).await;
                if let Err(error) = &answered
                    && arguments.is_array()
                {
                    assert_eq!(error.status().map(|status| status.is_client_error()), Some(true), "{error}");
                    continue;
                }
                match answered.as_mut().unwrap() {
                    Err(error) => assert!(error["message"].as_str().is_some_and(|text| !text.is_empty()), "{name}"),
                    Ok(result) if result["isError"] == true => {
                        let text = result["content"][0]["text"].as_str().unwrap();
                        let told = text.starts_with("refused; nothing was recorded") || text.starts_with("error: ");
                        assert!(told, "{name} {arguments}: {text}");
                        assert!(!text.contains("panic") && !text.contains('\u{0}'), "{name}: {text}");
                        refused += 1;
                    }
                    Ok(result) => assert_eq!(reads, true, "{name} took {arguments}: {result:#}"),
                }
            }
        }
        assert!(refused > 100, "{refused}");
        let unknown = client.call("drop_table", json!({})).await.unwrap().unwrap_err();
        assert!(unknown["message"].as_str().unwrap().contains("known tools: record_report"), "{unknown}");
        client.ask("ping", json!({})).await.unwrap().unwrap();
    });
    assert_eq!(rows(), before);
    assert_intact(folder.path(), 1);
}

#[test]
fn whatever_is_sent_the_server_lives() {
    let folder = tempdir().unwrap();
    ok(folder.path(), &["init"]);
    let served = Served::start(folder.path());
    let mut random = StdRng::seed_from_u64(0x5eed);
    Runtime::new().unwrap().block_on(async {
        let client = Client::connect(&served.url).await.unwrap();
        let seed = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call",
                           "params": { "name": "record_report", "arguments": report("fuzzed") } })
        .to_string()
        .into_bytes();
        for _ in 0..400 {
            let mut bytes = seed.clone();
            for _ in 0..random.random_range(1..6) {
                let at = random.random_range(0..bytes.len());
                match random.random_range(0..4) {
                    0 => bytes[at] = random.random(),
                    1 => bytes.truncate(at.max(1)),
                    2 => drop(bytes.splice(at..at, *b"\",{[}\\u0000")),
                    _ => drop(bytes.remove(at)),
                }
                if bytes.is_empty() {
                    bytes.push(b'{');
                }
            }
            let text = String::from_utf8_lossy(&bytes);
            // A message without an id is a notification, and has no answer.
            let sent = client.send(&text).await.unwrap();
            assert!(sent.status().as_u16() < 500, "{} for {text}", sent.status());
            if sent.status().is_success() {
                sent.text().await.unwrap();
            }
        }
        for method in ["GET", "PUT", "DELETE", "PATCH", "OPTIONS"] {
            let http = reqwest::Client::builder().timeout(LIMIT).build().unwrap();
            let request = http.request(method.parse().unwrap(), &served.url).bearer_auth(TOKEN);
            assert!(request.send().await.unwrap().status().as_u16() < 500, "{method}");
        }
        Client::connect(&served.url).await.unwrap().ask("ping", json!({})).await.unwrap().unwrap();
    });
    assert!(json_lines(folder.path(), &["audit", "verify"])[0]["intact"] == true);
}

/// The URL of a server that is replaced: another one each time, and none while no server runs.
type Address = Arc<Mutex<Option<String>>>;

/// Sends a report until it is answered. Between two attempts the server may have been replaced.
async fn until_recorded(address: &Address, client: &mut Option<Client>, report: &Value) -> Value {
    let begun = Instant::now();
    loop {
        assert!(begun.elapsed() < LIMIT, "no answer to record_report for {} s", LIMIT.as_secs());
        let url = address.lock().unwrap().clone();
        if let (None, Some(url)) = (&client, url) {
            *client = Client::connect(&url).await.ok();
        }
        if let Some(connected) = client.as_ref()
            && let Ok(Ok(result)) = connected.call("record_report", report.clone()).await
        {
            assert_ne!(result["isError"], true, "{result:#}");
            return result["structuredContent"].clone();
        }
        *client = None;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[test]
fn many_clients_and_a_server_that_is_killed_record_everything_once() {
    const CLIENTS: usize = 8;
    let each = repetitions(4, 8);
    let folder = tempdir().unwrap();
    ok(folder.path(), &["init"]);
    let address = Address::default();
    let start = || {
        let served = Served::start(folder.path());
        *address.lock().unwrap() = Some(served.url.clone());
        served
    };
    let kill = |served: Served| {
        *address.lock().unwrap() = None;
        served.kill();
    };
    let served = start();
    let runtime = Runtime::new().unwrap();
    let answered = Arc::new(AtomicUsize::new(0));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let (address, answered) = (Arc::clone(&address), Arc::clone(&answered));
            runtime.spawn(async move {
                let mut connected = None;
                for n in 0..each {
                    let report = report(&format!("mcp-{client}-{n}"));
                    let answer = until_recorded(&address, &mut connected, &report).await;
                    assert_eq!(answer["request_id"], format!("mcp-{client}-{n}"));
                    answered.fetch_add(1, Ordering::SeqCst);
                }
            })
        })
        .collect();
    let wait_for = |count: usize| {
        eventually(&format!("{count} answers"), || (answered.load(Ordering::SeqCst) >= count).then_some(()));
    };
    wait_for(CLIENTS * each / 4);
    kill(served);
    let served = start();
    wait_for(CLIENTS * each / 2);
    kill(served);
    let served = start();
    runtime.block_on(async {
        for client in clients {
            client.await.unwrap();
        }
    });
    assert_eq!(served.terminate(), Some(0));
    assert_intact(folder.path(), (CLIENTS * each) as u64);
}

#[test]
fn an_incident_that_asks_tells_that_a_fix_did_not_hold() {
    let folder = tempdir().unwrap();
    let ask = |report: &Value, name: &str| {
        let file = folder.path().join(name);
        std::fs::write(&file, report.to_string()).unwrap();
        ok(&folder.path().join("lake"), &["record", file.to_str().unwrap()]);
    };
    let mut fixed = report("first");
    fixed["incident"]["status"] = "resolved".into();
    let events = fixed["timeline"].as_array_mut().unwrap();
    events.push(json!({ "at": "2026-02-11T13:00:00Z", "kind": "CLOSE", "message": "resolved" }));
    fixed["remediation"] =
        json!([{ "kind": "command", "title": "restart", "command": "true", "applied": true, "result": "SUCCESS" }]);
    ask(&fixed, "first.json");
    let mut back = report("second");
    back["incident"]["reported_at"] = "2026-02-12T12:21:00Z".into();
    for event in back["timeline"].as_array_mut().unwrap() {
        event["at"] = event["at"].as_str().unwrap().replace("02-11", "02-12").into();
    }
    ask(&back, "second.json");
    let found = &json_lines(&folder.path().join("lake"), &["incident", "similar", "INC-1002"])[0];
    assert_eq!((&found["found"], &found["fixes"][0]["came_back"]), (&json!(1), &json!(1)), "{found:#}");
}

/// Every projected row, without what differs between two recordings of the same: when, and by which way.
fn recorded(lake: &Path) -> Value {
    let tables =
        ["incident_states", "timeline_events", "root_causes", "practice_checks", "runbooks", "escalation_events"];
    let mut found = serde_json::Map::new();
    for table in tables.into_iter().chain(["recurrence_events"]) {
        let mut rows = json_lines(lake, &["sql", &format!("SELECT * FROM {table} ORDER BY seq, 1, 2, 3")]);
        for row in &mut rows {
            without_the_present(row);
        }
        let mut rows: Vec<String> = rows.iter().map(Value::to_string).collect();
        rows.sort();
        found.insert(table.into(), json!(rows));
    }
    let sql =
        "SELECT seq, request_id, request_kind, request_hash, incident_id, actor, action FROM audit_log ORDER BY seq";
    found.insert("audit_log".into(), json!(json_lines(lake, &["sql", sql])));
    Value::Object(found)
}

/// The examples are of February; what is of today was when the test ran.
fn without_the_present(value: &mut Value) {
    match value {
        Value::Object(object) => object.values_mut().for_each(without_the_present),
        Value::Array(items) => items.iter_mut().for_each(without_the_present),
        Value::String(text) if text.len() >= 20 && text.as_str() > "2026-06" && text.starts_with("20") => {
            *text = "now".into();
        }
        _ => {}
    }
}

#[test]
fn the_whole_workflow_step_by_step() {
    let folder = tempdir().unwrap();
    let served = Served::start(folder.path());
    Runtime::new().unwrap().block_on(async {
        let client = Client::connect(&served.url).await.unwrap();
        let opened = client
            .ok(
                "open_incident",
                json!({ "request_id": "s-1", "title": "daily-etl failed", "workspace": "7405612783315468",
                        "resources": [{ "kind": "job", "id": "7", "name": "daily-etl" }] }),
            )
            .await;
        let id = &opened["incident_id"];
        let again = client
            .ok(
                "open_incident",
                json!({ "request_id": "s-1", "title": "daily-etl failed", "workspace": "7405612783315468",
                        "resources": [{ "kind": "job", "id": "7", "name": "daily-etl" }] }),
            )
            .await;
        assert_eq!((&again["incident_id"], &again["known"]), (id, &json!(true)));
        let step = json!({ "request_id": "s-2", "incident_id": id, "message": "1 failed run", "kind": "DISCOVER" });
        client.ok("log_event", step.clone()).await;
        let repeated = client.ok("log_event", step).await;
        assert_eq!((&repeated["known"], &repeated["warnings"]), (&json!(true), &json!([])));
        let found = client
            .ok(
                "record_root_cause",
                json!({ "request_id": "s-3", "incident_id": id, "root_cause": "no retries", "confidence": "HIGH",
                        "missing_evidence": [{ "kind": "run_output", "reason": "expired" }] }),
            )
            .await;
        assert!(found["alerts"].as_array().unwrap().iter().any(|alert| alert.as_str().unwrap().contains("ESCALATION")));
        client
            .ok(
                "record_remediation",
                json!({ "request_id": "s-4", "incident_id": id, "kind": "command", "title": "rerun", "command": "true",
                        "applied": true, "result": "SUCCESS" }),
            )
            .await;
        client.ok("record_verification", json!({ "request_id": "s-5", "incident_id": id, "message": "3 runs" })).await;
        let alert = format!("{}/missing-evidence", id.as_str().unwrap());
        client.ok("acknowledge_escalation", json!({ "request_id": "s-6", "alert": alert })).await;
        let closed =
            client.ok("close_incident", json!({ "request_id": "s-7", "incident_id": id, "message": "fixed" })).await;
        let timeline = closed["artefacts"]["timeline"].as_str().unwrap();
        assert!(timeline.contains("INCIDENT TIMELINE") && timeline.contains("resolved"), "{timeline}");
        assert!(closed["artefacts"]["runbook"].as_str().unwrap().contains("RUNBOOK ENTRY"));
        let shown = client.ok("get_incident", json!({ "incident_id": id })).await;
        assert_eq!(shown["timeline"], closed["artefacts"]["timeline"]);
        let found = client.ok("search_incidents", json!({ "text": "DAILY", "status": "resolved" })).await;
        assert_eq!(found["incidents"].as_array().unwrap().len(), 1);
        assert_eq!(client.ok("search_incidents", json!({ "text": "%" })).await["incidents"], json!([]));
        let similar = client.ok("similar_incidents", json!({ "cause": "no retries" })).await;
        assert_eq!((&similar["found"], &similar["fixes"][0]["applied"]), (&json!(1), &json!(1)));
        let listed = client.ask("resources/list", json!({})).await.unwrap().unwrap();
        for resource in listed["resources"].as_array().unwrap() {
            let read = client.ask("resources/read", json!({ "uri": resource["uri"] })).await.unwrap().unwrap();
            assert!(!read["contents"][0]["text"].as_str().unwrap().is_empty(), "{resource}");
        }
        assert!(client.ask("resources/read", json!({ "uri": "ops-runbook:///incidents/x" })).await.unwrap().is_err());
        for (prompt, argument) in [("hand_over", id), ("write_post_mortem", id)] {
            let arguments = json!({ "name": prompt, "arguments": { "incident_id": argument } });
            let got = client.ask("prompts/get", arguments).await.unwrap().unwrap();
            assert!(got["messages"][0]["content"]["text"].as_str().unwrap().contains("daily-etl"), "{got:#}");
        }
    });
    assert_eq!(served.terminate(), Some(0));
    assert!(json_lines(folder.path(), &["audit", "verify"])[0]["intact"] == true);
}
