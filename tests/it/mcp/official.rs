//! What others made to hold a server against the protocol: the Python client, the conformance suite, the inspector.

use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::tempdir;

use super::client::{Served, TOKEN};
use crate::{
    peer,
    support::{EXAMPLES, assert_intact, demo_lake, example, json_lines, ok},
    wait::output_of,
};

/// tests/peers/mcp_agent.py in the environment of the official client.
fn agent(arguments: &[&str]) -> String {
    let mut command = peer::python("mcp_client");
    command
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/mcp_agent.py"))
        .args(arguments)
        .env("MCP_TOKEN", TOKEN);
    told(&ended("mcp_agent.py", &mut command))
}

fn module(name: &str, arguments: &[&str]) -> Output {
    let program = peer::node_modules("mcp_suite").join(".bin").join(name);
    ended(name, Command::new(program).args(arguments))
}

fn ended(name: &str, command: &mut Command) -> Output {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    output_of(name, command.spawn().unwrap())
}

fn told(output: &Output) -> String {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}\n{err}");
    out.into_owned()
}

#[test]
fn an_mcp_client_that_works_through_the_examples_ends_with_the_lake_of_the_command_line() {
    let folder = tempdir().unwrap();
    let (by_hand, by_agent) = (folder.path().join("by-hand"), folder.path().join("by-agent"));
    let examples = EXAMPLES.map(example);
    for file in &examples {
        ok(&by_hand, &["record", file, "--artifacts"]);
    }
    let mut arguments = vec!["stdio", env!("CARGO_BIN_EXE_ops-runbook"), by_agent.to_str().unwrap()];
    arguments.extend(examples.iter().map(String::as_str));
    let said: Vec<Value> = agent(&arguments).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(said.len(), EXAMPLES.len());
    let (hand, agent) = (super::recorded(&by_hand), super::recorded(&by_agent));
    for (table, rows) in hand.as_object().unwrap() {
        pretty_equal(table, rows, &agent[table]);
    }
    // What the agent showed is what the command line shows.
    for (answer, file) in said.iter().zip(&examples) {
        let shown = &json_lines(&by_hand, &["record", file, "--artifacts"])[1];
        let timeline = |from: &Value| without_the_moment(&from["artefacts"]["timeline"]);
        assert_eq!(timeline(answer), without_the_moment(&shown["timeline"]), "{file}");
        assert_eq!(answer["artefacts"]["runbook"].is_null(), shown["runbook"].is_null(), "{file}");
    }
    assert_intact(&by_agent, EXAMPLES.len() as u64);
}

/// Without hashes, which cover when and by which way a report came.
fn without_the_moment(text: &Value) -> Option<String> {
    let is_of_then = |line: &&str| line.starts_with("- seq ");
    text.as_str().map(|text| text.lines().filter(|line| !is_of_then(line)).collect::<Vec<_>>().join("\n"))
}

fn pretty_equal(table: &str, expected: &Value, found: &Value) {
    let (expected, found) = (expected.as_array().unwrap(), found.as_array().unwrap());
    for (one, other) in expected.iter().zip(found) {
        assert_eq!(one, other, "{table}");
    }
    assert_eq!(expected.len(), found.len(), "{table}");
}

#[test]
fn the_official_mcp_client_calls_every_tool_is_told_of_progress_and_cancels() {
    let folder = tempdir().unwrap();
    demo_lake(folder.path());
    let served = Served::start(folder.path());
    let said = agent(&["http", &served.url, &example(EXAMPLES[0])]);
    assert!(said.trim_end().ends_with("all tools called"), "{said}");
    assert_eq!(served.terminate(), Some(0));
}

/// Scenarios that need nothing but a server. The others call tools, resources and prompts of the suite's own example server
/// (`test_simple_text`, `test://static-text` …), or features that this server does not offer: logging, sampling, elicitation,
/// completion, subscriptions.
const SCENARIOS: [&str; 5] = ["server-initialize", "ping", "tools-list", "resources-list", "prompts-list"];

#[test]
fn the_mcp_suite_of_conformance_tests_finds_nothing() {
    let folder = tempdir().unwrap();
    demo_lake(folder.path());
    // The suite gives no token.
    let anybody = Served::at(folder.path(), "127.0.0.1:0", &["--behind-proxy"]);
    // Behind a proxy any name is welcome, unless names are given; a browser is where its origin is.
    let names = [
        "--behind-proxy",
        "--allow-host",
        "localhost",
        "--allow-host",
        "127.0.0.1",
        "--allow-origin",
        "http://localhost:*",
        "--allow-origin",
        "http://127.0.0.1:*",
    ];
    let named = Served::at(folder.path(), "127.0.0.1:0", &names);
    let scenarios = SCENARIOS.map(|scenario| (scenario, &anybody)).into_iter();
    for (scenario, served) in scenarios.chain([("dns-rebinding-protection", &named)]) {
        let text = told(&module("conformance", &["server", "--url", &served.url, "--scenario", scenario]));
        assert!(text.contains("Passed: ") && text.contains("0 failed"), "{scenario}: {text}");
    }
}

#[test]
fn the_inspector_of_the_mcp_suite_lists_and_calls_every_tool() {
    let folder = tempdir().unwrap();
    demo_lake(folder.path());
    let lake = folder.path().to_str().unwrap();
    let inspected = |arguments: &[&str]| -> Value {
        let server = ["--cli", env!("CARGO_BIN_EXE_ops-runbook"), "--lake", lake, "mcp"];
        serde_json::from_str(&told(&module("mcp-inspector", &[&server, arguments].concat()))).unwrap()
    };
    let tools = inspected(&["--method", "tools/list"]);
    let mut listed: Vec<&str> =
        tools["tools"].as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap()).collect();
    let report: Value = serde_json::from_slice(&std::fs::read(example(EXAMPLES[0])).unwrap()).unwrap();
    let report: Vec<String> = report.as_object().unwrap().iter().map(|(name, value)| argument(name, value)).collect();
    let report: Vec<&str> = report.iter().map(String::as_str).collect();
    let (id, alert) = ("incident_id=INC-1068", "alert=INC-1068/missing-evidence");
    let calls: [(&str, &[&str]); 17] = [
        ("record_report", &report),
        ("open_incident", &["request_id=i-1", "title=x failed", "workspace=w", "actor=agent:i"]),
        ("log_event", &["request_id=i-2", id, "message=looked", "actor=agent:i"]),
        (
            "record_root_cause",
            &[
                "request_id=i-3",
                id,
                "root_cause=no retries",
                "confidence=LOW",
                r#"missing_evidence=[{"kind":"run_output"}]"#,
                "actor=agent:i",
            ],
        ),
        (
            "record_remediation",
            &[
                "request_id=i-4",
                id,
                "kind=command",
                "title=rerun",
                "command=make rerun",
                "applied=true",
                "actor=agent:i",
            ],
        ),
        ("record_verification", &["request_id=i-5", id, "message=it ran", "actor=agent:i"]),
        ("acknowledge_escalation", &["request_id=i-6", alert, "actor=agent:i"]),
        ("get_incident", &[id]),
        ("search_incidents", &["text=daily-etl"]),
        ("similar_incidents", &[id]),
        ("get_runbook", &[id]),
        ("list_escalations", &["all=true"]),
        ("list_recurring", &["all=true"]),
        ("get_digest", &["week=2026-W06"]),
        ("verify_audit", &[]),
        ("run_query", &["name=cause_ranking", "week=2026-W06"]),
        ("close_incident", &["request_id=i-7", id, "message=done", "actor=agent:i"]),
    ];
    for (tool, arguments) in calls {
        let mut words = vec!["--method", "tools/call", "--tool-name", tool];
        arguments.iter().for_each(|argument| words.extend(["--tool-arg", argument]));
        let answer = inspected(&words);
        assert!(answer["isError"] == false && answer["structuredContent"].is_object(), "{tool}: {answer:#}");
        listed.retain(|name| *name != tool);
    }
    assert_eq!(listed, Vec::<&str>::new(), "not called");
    let told =
        inspected(&["--method", "tools/call", "--tool-name", "get_incident", "--tool-arg", "incident_id=banana"]);
    assert_eq!(told["isError"], true);
    let listed = inspected(&["--method", "resources/list"]);
    assert!(!listed["resources"].as_array().unwrap().is_empty());
}

fn argument(name: &str, value: &Value) -> String {
    match value {
        Value::String(text) => format!("{name}={text}"),
        value => format!("{name}={value}"),
    }
}
