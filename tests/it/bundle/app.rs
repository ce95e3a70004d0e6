//! Tests of the app. They start it as Databricks does: its command, without a shell, in the folder of its files.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use tempfile::tempdir;

use super::{ROOT, python, workspace::resources};
use crate::{
    mcp::client::Served,
    support, wait,
    warehouse::fake::{Fake, Reply, Request, error},
};

const CLIENT: &str = "0b9a2f3c-the-app";
const SECRET: &str = "dose-of-the-app";
const KEY: &str = "a-key-for-redaction";

fn app(target: &str) -> Value {
    resources(target, &[])["apps"]["mcp"].take()
}

fn command(app: &Value) -> Vec<&str> {
    app["config"]["command"].as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect()
}

/// Returns the arguments of the binary.
fn arguments<'a>(command: &[&'a str]) -> Vec<&'a str> {
    command[command.iter().position(|word| *word == "--").unwrap() + 1..].to_vec()
}

/// Answers as a workspace with the app's service principal.
fn workspace(host: &str, request: &Request) -> Reply {
    let path = request.line.split('?').next().unwrap();
    if path == "GET /.well-known/databricks-config" {
        return json!({ "oidc_endpoint": format!("http://{host}/oidc") }).into();
    }
    if path == "GET /oidc/.well-known/oauth-authorization-server" {
        let endpoint = |name: &str| format!("http://{host}/oidc/v1/{name}");
        return json!({ "authorization_endpoint": endpoint("authorize"), "token_endpoint": endpoint("token") }).into();
    }
    let basic = format!("Basic {}", STANDARD.encode(format!("{CLIENT}:{SECRET}")));
    match path {
        "POST /oidc/v1/token" if request.authorization == basic => {
            json!({ "access_token": "issued", "token_type": "Bearer", "expires_in": 3600 }).into()
        }
        other => error(404, "ENDPOINT_NOT_FOUND", other),
    }
}

/// Copies the files of the app: the files of its folder and the binary in parts.
fn deploy(binary: &Path, folder: &Path) {
    for entry in fs::read_dir(format!("{ROOT}/bundle")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            fs::copy(&path, folder.join(path.file_name().unwrap())).unwrap();
        }
    }
    fs::create_dir(folder.join("bin")).unwrap();
    let whole = folder.join(format!("bin/ops-runbook-{}", std::env::consts::ARCH));
    fs::copy(binary, &whole).unwrap();
    let packed = Command::new(format!("{ROOT}/bundle/build")).arg("--pack").arg(&whole).status().unwrap();
    assert!(packed.success());
    fs::remove_file(whole).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_app_starts_from_what_is_deployed_with_its_own_credentials() {
    /// A program in place of the binary, too large for one part.
    const PROBE: &str = "#!/usr/bin/env python3\n\
        import json, os, sys\n\
        print(json.dumps({'arguments': sys.argv[1:], 'environment': dict(os.environ), 'folder': os.getcwd()}))\n# ";
    let folder = tempdir().unwrap();
    let deployed = folder.path().join("app");
    fs::create_dir(&deployed).unwrap();
    let probe = folder.path().join("probe");
    // Text that does not compress well.
    let noise: String = (0..1_200_000_u64)
        .map(|n| format!("{:016x}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(31) ^ n.pow(3)))
        .collect();
    fs::write(&probe, format!("{PROBE}{noise}")).unwrap();
    deploy(&probe, &deployed);
    let parts: Vec<u64> =
        fs::read_dir(deployed.join("bin")).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).collect();
    assert!(parts.len() > 1 && parts.iter().all(|bytes| *bytes < 10_000_000), "{parts:?}");

    let host = std::sync::Arc::new(std::sync::OnceLock::<String>::new());
    let known = std::sync::Arc::clone(&host);
    let fake = Fake::answering(move |request| workspace(known.get().unwrap(), request)).await;
    host.set(fake.url.trim_start_matches("http://").to_owned()).unwrap();
    let app = app("prod");
    let command = command(&app);
    assert_eq!(command[..2], ["python", "launcher.py"]);
    let mut started = python();
    started.args(&command[1..]).current_dir(&deployed);
    for (name, value) in [
        ("DATABRICKS_APP_PORT", "8123"),
        ("DATABRICKS_HOST", &fake.url),
        ("DATABRICKS_CLIENT_ID", CLIENT),
        ("DATABRICKS_CLIENT_SECRET", SECRET),
        // A secret that is a resource of the app, passed by the variable app_env.
        ("OPS_RUNBOOK_REDACTION_KEY", KEY),
        ("DATABRICKS_CONFIG_FILE", "nowhere"),
        ("NO_PROXY", "127.0.0.1"),
    ] {
        started.env(name, value);
    }
    let child = started.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let output = tokio::task::spawn_blocking(move || wait::output_of("the app", child)).await.unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(!text.contains(SECRET), "the app's own credentials are masked: {text}");
    let probe: Value = serde_json::from_str(&text).unwrap();
    let arguments = [
        "mcp",
        "--http",
        "0.0.0.0:8123",
        "--behind-proxy",
        "--lake",
        "uc://main.ops/lake",
        "--config",
        "ops-runbook.toml",
    ];
    assert_eq!(probe["arguments"], json!(arguments));
    let environment = &probe["environment"];
    assert_eq!(environment["DATABRICKS_CLIENT_ID"], CLIENT);
    assert_eq!(environment["DATABRICKS_CLIENT_SECRET"], "[REDACTED]");
    assert_eq!(environment["OPS_RUNBOOK_REDACTION_KEY"], KEY);
    assert!(environment.get("DATABRICKS_TOKEN").is_none(), "{environment:#}");
    assert!(Path::new(probe["folder"].as_str().unwrap()).join("ops-runbook.toml").is_file());
}

#[test]
fn no_file_of_the_app_is_too_large() {
    let mut folders = vec![Path::new(ROOT).join("bundle")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            // Only the parts of the binary are deployed from bin, which git ignores.
            let is_deployed = !path.parent().unwrap().ends_with("bin") || path.to_string_lossy().contains(".gz.");
            if path.is_dir() {
                folders.push(path);
            } else if is_deployed {
                assert!(path.metadata().unwrap().len() <= 10_000_000, "{}", path.display());
            }
        }
    }
}

#[test]
fn app_names_of_both_targets_differ_and_are_valid() {
    let names = ["dev", "prod"].map(|target| app(target)["name"].as_str().unwrap().to_owned());
    assert_ne!(names[0], names[1]);
    for name in names {
        let fits = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '-';
        assert!(name.starts_with("mcp-") && name.len() <= 30 && name.chars().all(fits), "{name}");
    }
}

/// The proxy in front of an app authenticates users, removes the header Authorization, and uses any host name.
#[tokio::test(flavor = "multi_thread")]
async fn the_app_serves_requests_that_the_proxy_admits() {
    let folder = tempdir().unwrap();
    let lake = folder.path().join("lake");
    support::ok(&lake, &["init"]);
    let app = app("prod");
    let mut arguments = arguments(&command(&app));
    let config = format!("{ROOT}/bundle/ops-runbook.toml");
    for (name, value) in [("--http", "0.0.0.0:0"), ("--lake", lake.to_str().unwrap()), ("--config", &config)] {
        let at = arguments.iter().position(|argument| *argument == name).unwrap();
        arguments[at + 1] = value;
    }
    let mut started = Command::new(env!("CARGO_BIN_EXE_ops-runbook"));
    started.args(&arguments).current_dir(folder.path()).env_remove("OPS_RUNBOOK_MCP_TOKEN");
    let served = Served::by(started);
    let url = served.url.replace("0.0.0.0", "127.0.0.1");
    let hello = json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
        "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": { "name": "an agent", "version": "1" } } });
    let request = reqwest::Client::new()
        .post(&url)
        .timeout(wait::LIMIT)
        .header("Host", "mcp-7405612783315468.databricksapps.example.test")
        .header("Content-Type", "application/json")
        .header("Accept", "application/json, text/event-stream")
        .body(hello.to_string());
    let answer = request.send().await.unwrap().error_for_status().unwrap().text().await.unwrap();
    assert!(answer.contains("record_report"), "{answer}");
    assert_eq!(served.terminate(), Some(0));
}
