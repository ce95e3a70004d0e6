//! `remediation watch` through the binary, against a workspace at a socket.

use std::path::Path;

use serde_json::{Value, json};
use tempfile::{TempDir, tempdir};

use crate::{
    runbook::workspace::{TOKEN, WORKSPACE_ID, Workspace, World},
    support::{binary, finish, json_lines, ok},
};

/// 2026-02-11T13:00:00Z
const FIXED: i64 = 1_770_814_800_000;

/// A run that started `minutes` after the fix (before it, if negative).
fn run(id: u64, minutes: i64, state: Value) -> Value {
    json!({
        "run_id": id, "job_id": 7, "start_time": FIXED + minutes * 60_000, "end_time": FIXED + minutes * 60_000 + 1_000,
        "status": state, "tasks": [],
    })
}

fn ended(code: &str, kind: &str) -> Value {
    json!({ "state": "TERMINATED", "termination_details": { "code": code, "type": kind, "message": "\u{1b}]0;x\u{7}" } })
}

fn good(id: u64, minutes: i64) -> Value {
    run(id, minutes, ended("SUCCESS", "SUCCESS"))
}

fn bad(id: u64, minutes: i64) -> Value {
    run(id, minutes, ended("RUN_EXECUTION_ERROR", "CLIENT_ERROR"))
}

fn running(id: u64, minutes: i64) -> Value {
    let mut run = run(id, minutes, json!({ "state": "RUNNING" }));
    run.as_object_mut().unwrap().remove("end_time");
    run
}

/// A lake with an incident about job 7 and an applied fix.
fn incident() -> TempDir {
    let folder = tempdir().unwrap();
    let lake = folder.path();
    ok(
        lake,
        &[
            "incident",
            "open",
            "etl failed",
            "--workspace",
            WORKSPACE_ID,
            "--resource",
            "job:7:etl",
            "--at",
            "2026-02-11T12:00:00Z",
        ],
    );
    let step = ["incident", "remediate", "INC-1001", "more memory", "--kind", "command", "--command", "x", "--applied"];
    ok(lake, &[&step[..], &["--at", "2026-02-11T13:00:00Z"]].concat());
    folder
}

/// Returns the exit code and the result.
fn verify(lake: &Path, workspace: &Workspace, arguments: &[&str]) -> (Option<i32>, Value) {
    let mut command = binary(lake);
    command.env("DATABRICKS_HOST", &workspace.url).env("DATABRICKS_TOKEN", TOKEN).args([
        "remediation",
        "watch",
        "INC-1001",
        "--json",
    ]);
    let output = finish(command.args(arguments));
    let found =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| json!(String::from_utf8_lossy(&output.stderr)));
    (output.status.code(), found)
}

fn verifications(lake: &Path) -> Vec<Value> {
    let sql = "SELECT message, occurred_at, evidence FROM timeline_events WHERE kind = 'VERIFY' ORDER BY seq";
    json_lines(lake, &["sql", sql, "--format", "json"])
}

async fn workspace(runs: &[Value]) -> Workspace {
    Workspace::start(World { listed_runs: runs.to_vec(), ..World::default() }).await
}

#[tokio::test(flavor = "multi_thread")]
async fn three_runs_after_the_fix_that_succeed_are_recorded_once() {
    let lake = incident();
    let runs = [bad(1, -5), good(2, 10), good(3, 20), running(4, 30)];
    let workspace = workspace(&runs).await;
    let (code, found) = verify(lake.path(), &workspace, &[]);
    assert_eq!((code, &found["recorded"]), (Some(6), &Value::Null), "{found}");
    assert_eq!((found["found"]["succeeded"].as_array().unwrap().len(), &found["found"]["running"]), (2, &json!(1)));
    assert_eq!(verifications(lake.path()), [] as [Value; 0]);
    // The third run is repaired and counts with its final result; a later failure does not count.
    workspace.world.lock().unwrap().listed_runs[3] = good(4, 30);
    workspace.world.lock().unwrap().listed_runs.push(bad(5, 40));
    let (code, found) = verify(lake.path(), &workspace, &[]);
    assert_eq!((code, &found["found"]["verification"]), (Some(0), &json!("succeeded")), "{found}");
    let recorded = verifications(lake.path());
    assert_eq!(recorded[0]["message"], "The next 3 runs of job 7 since 2026-02-11T13:00:00Z succeeded: 2, 3, 4");
    assert!(recorded[0]["occurred_at"].as_str().unwrap().starts_with("2026-02-11T13:30:01"), "{recorded:?}");
    let evidence: Value = serde_json::from_str(recorded[0]["evidence"].as_str().unwrap()).unwrap();
    assert_eq!(evidence[2], json!({ "kind": "job_run", "ref": "4", "excerpt": "SUCCESS" }));
    let again = verify(lake.path(), &workspace, &[]);
    assert_eq!((again.0, again.1["recorded"].clone()), (Some(0), found["recorded"].clone()));
    assert_eq!(verifications(lake.path()).len(), 1);
    assert_eq!(workspace.world().writes, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_failure_decides_and_a_cancelled_run_does_not_count() {
    let lake = incident();
    let stopped = run(2, 10, ended("USER_CANCELED", "CLIENT_ERROR"));
    let skipped = run(
        3,
        15,
        json!({ "state": "TERMINATED", "termination_details": { "code": "MAX_CONCURRENT_RUNS_EXCEEDED", "type": "CLIENT_ERROR" } }),
    );
    let workspace = workspace(&[stopped, skipped, good(4, 20), running(5, 30)]).await;
    assert_eq!(verify(lake.path(), &workspace, &[]).0, Some(6));
    workspace.world.lock().unwrap().listed_runs.push(bad(6, 40));
    let (code, found) = verify(lake.path(), &workspace, &["--wait", "--every", "1"]);
    assert_eq!((code, &found["found"]["verification"]), (Some(1), &json!("failed")), "{found}");
    assert_eq!(found["found"]["run"]["run_id"], "6");
    let message = verifications(lake.path())[0]["message"].as_str().unwrap().to_owned();
    assert!(
        message.starts_with("Run 6 of job 7 since 2026-02-11T13:00:00Z ended as FAILED, after 4 succeeded"),
        "{message}"
    );
    assert_eq!(
        json_lines(lake.path(), &["sql", "SELECT mitigated_at FROM incidents", "--format", "json"])[0]["mitigated_at"],
        "2026-02-11T13:00:00Z"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_needs_a_job_and_a_fix() {
    let lake = incident();
    let workspace = workspace(&[good(2, 10)]).await;
    let (code, _) = verify(lake.path(), &workspace, &["--since", "2026-02-11T13:05:00Z", "--runs", "1"]);
    assert_eq!(code, Some(0));
    ok(lake.path(), &["incident", "open", "no job", "--workspace", WORKSPACE_ID]);
    let ask = |arguments: &[&str]| {
        let mut command = binary(lake.path());
        command
            .env("DATABRICKS_HOST", &workspace.url)
            .env("DATABRICKS_TOKEN", TOKEN)
            .args(["remediation", "watch"])
            .args(arguments);
        let output = finish(&mut command);
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, err) = ask(&["INC-1002"]);
    assert!(code == Some(3) && err.contains("INC-1002 has no job among its resources"), "{err}");
    let (code, err) = ask(&["INC-1002", "--job", "7"]);
    assert!(code == Some(3) && err.contains("no fix of INC-1002 is recorded"), "{err}");
    ok(lake.path(), &["incident", "open", "elsewhere", "--workspace", "12", "--resource", "job:7"]);
    let (code, err) = ask(&["INC-1003", "--since", "2026-02-11T13:05:00Z"]);
    assert!(code == Some(3) && err.contains(&format!("is {WORKSPACE_ID}, not 12")), "{err}");
    assert_eq!(ask(&["INC-1009"]).0, Some(4));
}
