//! What others made to hold a server against the protocol: the Python client, the conformance suite, the inspector.

use std::process::{Command, Output};

use serde_json::Value;
use tempfile::tempdir;

use super::client::{Served, TOKEN};
use crate::support::{EXAMPLES, assert_intact, example, json_lines, ok};

/// tests/peers/mcp_agent.py in the environment of the official client.
fn agent(arguments: &[&str]) -> String {
    let python =
        std::env::var("OPS_RUNBOOK_TEST_MCP").expect("run the tests by tests/run, which fetches the MCP client");
    let script = format!("{}/tests/peers/mcp_agent.py", env!("CARGO_MANIFEST_DIR"));
    let output = Command::new(python).arg(script).args(arguments).env("MCP_TOKEN", TOKEN).output().unwrap();
    told(&output)
}

fn module(name: &str, arguments: &[&str]) -> Output {
    let modules = std::env::var("OPS_RUNBOOK_TEST_MCP_MODULES").expect("run the tests by tests/run");
    Command::new(format!("{modules}/node_modules/.bin/{name}")).args(arguments).output().unwrap()
}

fn told(output: &Output) -> String {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}\n{err}");
    out.into_owned()
}

#[test]
fn an_agent_that_works_through_the_examples_ends_with_the_lake_of_the_command_line() {
    let folder = tempdir().unwrap();
    let (by_hand, by_agent) = (folder.path().join("by-hand"), folder.path().join("by-agent"));
    let examples = EXAMPLES.map(example);
    for file in &examples {
        ok(&by_hand, &["record", file, "--artefacts"]);
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
        let shown = &json_lines(&by_hand, &["record", file, "--artefacts"])[1];
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
fn the_official_client_calls_every_tool_is_told_of_progress_and_cancels() {
    let folder = tempdir().unwrap();
    ok(folder.path(), &["demo"]);
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
fn the_conformance_suite_finds_nothing() {
    let folder = tempdir().unwrap();
    ok(folder.path(), &["demo"]);
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
fn the_inspector_lists_and_calls() {
    let folder = tempdir().unwrap();
    ok(folder.path(), &["demo"]);
    let lake = folder.path().to_str().unwrap();
    let inspected = |arguments: &[&str]| -> Value {
        let server = ["--cli", env!("CARGO_BIN_EXE_ops-runbook"), "--lake", lake, "mcp"];
        serde_json::from_str(&told(&module("mcp-inspector", &[&server, arguments].concat()))).unwrap()
    };
    let tools = inspected(&["--method", "tools/list"]);
    assert_eq!(tools["tools"].as_array().unwrap().len(), 17);
    let found =
        inspected(&["--method", "tools/call", "--tool-name", "search_incidents", "--tool-arg", "text=daily-etl"]);
    assert!(!found["structuredContent"]["incidents"].as_array().unwrap().is_empty(), "{found:#}");
    let told =
        inspected(&["--method", "tools/call", "--tool-name", "get_incident", "--tool-arg", "incident_id=banana"]);
    assert_eq!(told["isError"], true);
    let listed = inspected(&["--method", "resources/list"]);
    assert!(!listed["resources"].as_array().unwrap().is_empty());
}
