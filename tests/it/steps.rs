//! Incidents logged step by step: the record equals that of a complete report, and illegal steps are refused.

use ops_runbook::{
    domain::{ids::Id, interface::Interface, redact::Redactor, steps::CloseIncident},
    lake::{LakeError, ledger::Ledger},
    ops,
};
use serde_json::{Value, json};
use tempfile::tempdir;

use crate::support::{binary, example, finish, json_lines, lake_at, ok, sql_rows, submission};

fn step(lake: &std::path::Path, arguments: &[&str]) -> std::process::Output {
    finish(binary(lake).env("OPS_RUNBOOK_ACTOR", "agent:databricks_mcp_agent").args(arguments))
}

fn done(lake: &std::path::Path, arguments: &[&str]) -> String {
    let output = step(lake, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn refused(lake: &std::path::Path, code: i32, arguments: &[&str]) -> String {
    let before = sql_rows(lake, "SELECT count(*) AS n FROM audit_log");
    let output = step(lake, arguments);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.stdout, b"", "{arguments:?}");
    assert_eq!(sql_rows(lake, "SELECT count(*) AS n FROM audit_log"), before, "{arguments:?}");
    String::from_utf8(output.stderr).unwrap()
}

/// Returns the output of `incident show` without the section about the requests.
fn shown(lake: &std::path::Path, id: &str) -> String {
    let text = ok(lake, &["incident", "show", id]);
    text.split("\nProof").next().unwrap().to_owned()
}

/// Returns the reference of the effective event of a kind.
fn event(lake: &std::path::Path, kind: &str) -> String {
    let sql = format!("SELECT seq, ordinal FROM timeline WHERE kind = '{kind}'");
    let rows = sql_rows(lake, &sql);
    format!("{}.{}", rows[0]["seq"], rows[0]["ordinal"])
}

/// Logs the first example step by step.
fn log_daily_etl(lake: &std::path::Path) {
    let report: Value =
        serde_json::from_str(&std::fs::read_to_string(example("01-daily-etl-no-retries")).unwrap()).unwrap();
    let resource = report["resources"][0].to_string();
    done(
        lake,
        &[
            "incident",
            "open",
            "daily-etl failed: transient timeout, no retry policy",
            "--slug",
            "job_failure_timeouts_without_retries",
            "--workspace",
            "7405612783315468",
            "--workspace-url",
            "https://adb-7405612783315468.8.azuredatabricks.net",
            "--resource",
            &resource,
            "--resource",
            "job_run:236083407514246",
            "--resource",
            "task_run:236083407514299:transform",
            "--reporter",
            "oncall-data@example.test",
            "--impact-started-at",
            "2026-02-11T12:05:11Z",
            "--detected-at",
            "2026-02-11T12:19:40Z",
            "--at",
            "2026-02-11T12:21:00Z",
        ],
    );
    let id = "INC-1001";
    done(
        lake,
        &[
            "incident",
            "log",
            id,
            "Found 3 jobs, 1 with failed run",
            "--kind",
            "DISCOVER",
            "--tool",
            "list_jobs",
            "--at",
            "2026-02-11T12:21:04Z",
        ],
    );
    done(
        lake,
        &[
            "incident",
            "log",
            id,
            "Retrieved run output; error: \"NullPointerException\"",
            "--kind",
            "FETCH",
            "--at",
            "2026-02-11T12:21:19Z",
            "--evidence",
            &report["timeline"][1]["evidence"][0].to_string(),
        ],
    );
    done(
        lake,
        &[
            "incident",
            "log",
            id,
            "Read notebook code; identified line 42 as root cause",
            "--kind",
            "ANALYZE",
            "--at",
            "2026-02-11T12:23:47Z",
        ],
    );
    done(
        lake,
        &[
            "incident",
            "rca",
            id,
            "Job retry policies not configured (max_retries=0)",
            "--confidence",
            "HIGH",
            "--at",
            "2026-02-11T12:26:02Z",
            "--evidence",
            "run_output",
            "--evidence",
            "notebook_source",
            "--error-class",
            "java.lang.NullPointerException",
            "--error-message",
            report["rca"]["error"]["message"].as_str().unwrap(),
            "--termination-code",
            "RUN_EXECUTION_ERROR",
        ],
    );
    let fix = &report["remediation"][0];
    done(
        lake,
        &[
            "incident",
            "remediate",
            id,
            "Fix Job Retry Policies - daily-etl",
            "--kind",
            "job_settings",
            "--resource",
            "job:360515640572923:daily-etl",
            "--task-key",
            "transform",
            "--changes",
            &fix["changes"].to_string(),
            "--captured-settings",
            &fix["captured_settings"].to_string(),
            "--applied",
            "--result",
            "SUCCESS",
            "--at",
            "2026-02-11T12:29:30Z",
        ],
    );
    done(lake, &["incident", "verify", id, "Re-ran job; SUCCESS", "--tool", "run_job", "--at", "2026-02-11T12:35:12Z"]);
    done(
        lake,
        &[
            "incident",
            "close",
            id,
            "Incident resolved",
            "--at",
            "2026-02-11T12:36:00Z",
            "--compliance-impact",
            "Reliability category moved from FAIL to PASS",
            "--lesson",
            "Every scheduled job needs a retry policy",
            "--lesson",
            "Reject rows whose payload is null before transform",
        ],
    );
}

#[test]
fn steps_give_the_same_record_as_a_complete_report() {
    let (whole, steps) = (tempdir().unwrap(), tempdir().unwrap());
    let mut report: Value =
        serde_json::from_str(&std::fs::read_to_string(example("01-daily-etl-no-retries")).unwrap()).unwrap();
    report["checks"] = json!([]);
    // Steps generate these messages.
    report["timeline"][3]["message"] = "Job retry policies not configured (max_retries=0) -> HIGH confidence".into();
    report["timeline"][4]["message"] = "Fix Job Retry Policies - daily-etl (applied)".into();
    let file = whole.path().join("report.json");
    std::fs::write(&file, report.to_string()).unwrap();
    ok(whole.path(), &["record", file.to_str().unwrap()]);
    log_daily_etl(steps.path());
    assert_eq!(shown(steps.path(), "INC-1001"), shown(whole.path(), "INC-1001"));
    for (table, columns) in [
        (
            "incidents",
            "incident_type, status, slug, title, reporter, reported_at, impact_started_at, detected_at, mitigated_at, \
          first_resolved_at, resolved_at, reopened, open_seconds, time_to_resolve_s, resource_id, root_cause, cause_fingerprint, \
          confidence, compliance_impact, lessons_learned",
        ),
        ("timeline", "position, occurred_at, kind, message"),
        (
            "root_causes",
            "found_at, occurrence_key, cause_fingerprint, confidence, evidence, error_class, resource_attributes",
        ),
        ("runbooks", "kind, title, resource_id, task_keys, changes, captured_settings, applied, result"),
    ] {
        let sql = format!("SELECT {columns} FROM {table} ORDER BY 1, 2");
        assert_eq!(sql_rows(steps.path(), &sql), sql_rows(whole.path(), &sql), "{table}");
    }
}

#[test]
fn an_illegal_step_is_refused_with_the_legal_ones() {
    let folder = tempdir().unwrap();
    let lake = folder.path();
    log_daily_etl(lake);
    let id = "INC-1001";
    let error = refused(lake, 3, &["incident", "close", id, "again"]);
    assert!(error.contains("INC-1001 is resolved since 2026-02-11T12:36:00Z; it cannot be closed"), "{error}");
    assert!(error.contains("legal now are reopen"), "{error}");
    let error = refused(lake, 3, &["incident", "escalate", id, "too late"]);
    assert!(error.contains("cannot be escalated"), "{error}");
    let error = refused(lake, 3, &["incident", "reopen", id, "too early", "--at", "2026-02-11T12:30:00Z"]);
    assert!(error.contains("would come before the CLOSE at 2026-02-11T12:36:00Z"), "{error}");
    done(lake, &["incident", "reopen", id, "It failed again", "--at", "2026-02-11T13:00:00Z"]);
    let error = refused(lake, 3, &["incident", "reopen", id, "again"]);
    assert!(error.contains("INC-1001 is investigating; it cannot be reopened"), "{error}");
    done(
        lake,
        &["incident", "escalate", id, "Needs the platform team", "--to", "platform", "--at", "2026-02-11T13:05:00Z"],
    );
    done(lake, &["incident", "close", id, "Fixed for good", "--at", "2026-02-11T13:30:00Z"]);
    refused(lake, 4, &["incident", "log", "INC-1999", "unknown incident"]);
    refused(lake, 3, &["incident", "log", id, " "]);
    refused(lake, 3, &["incident", "log", id, "in the future", "--at", "2999-01-01T00:00:00Z"]);
    refused(lake, 3, &["incident", "remediate", id, "no settings", "--kind", "job_settings"]);
    refused(lake, 3, &["incident", "correct", id, "99.1", "no such event"]);
    let states = sql_rows(lake, "SELECT status, reopened, open_seconds, time_to_resolve_s FROM incidents");
    // Open from 12:21 to 12:36 and from 13:00 to 13:30.
    assert_eq!(
        states,
        [json!({ "status": "resolved", "reopened": 1, "open_seconds": 2700.0, "time_to_resolve_s": 900.0 })]
    );
    assert_eq!(
        json_lines(lake, &["rebuild"])[0].as_array().unwrap().iter().filter(|table| table["replaced"] == true).count(),
        0
    );
    ok(lake, &["audit", "verify"]);
}

#[test]
fn a_correction_replaces_the_first_event() {
    let folder = tempdir().unwrap();
    let lake = folder.path();
    log_daily_etl(lake);
    let id = "INC-1001";
    let (close, discover) = (event(lake, "CLOSE"), event(lake, "DISCOVER"));
    // It was closed half an hour later than first recorded.
    done(lake, &["incident", "correct", id, &close, "Resolved after the second run", "--at", "2026-02-11T13:06:00Z"]);
    let corrected = event(lake, "CLOSE");
    let text = shown(lake, id);
    assert!(text.contains("[13:06:00] CLOSE: Resolved after the second run"), "{text}");
    assert!(!text.contains("[12:36:00]"), "{text}");
    assert!(text.contains("first resolved − reported): 45m"), "{text}");
    let error = refused(lake, 3, &["incident", "correct", id, &close, "once more"]);
    assert!(error.contains(&format!("event {close} was corrected by {corrected}")), "{error}");
    refused(lake, 3, &["incident", "correct", id, &corrected, "--withdraw"]);
    done(lake, &["incident", "correct", id, &discover, "--withdraw"]);
    let timeline = sql_rows(lake, "SELECT message FROM timeline ORDER BY position");
    assert!(!timeline.iter().any(|event| event["message"].as_str().unwrap().contains("Found 3 jobs")), "{timeline:?}");
    // Both events are still recorded.
    assert_eq!(sql_rows(lake, "SELECT seq FROM timeline_events").len(), 9);
    ok(lake, &["audit", "verify"]);
}

#[test]
fn late_events_are_ordered_and_repeated_events_are_marked() {
    let folder = tempdir().unwrap();
    let lake = folder.path();
    log_daily_etl(lake);
    let id = "INC-1001";
    let late = ["incident", "log", id, "Paged by the monitor", "--kind", "FETCH", "--at", "2026-02-11T12:21:01Z"];
    done(lake, &late);
    let first = sql_rows(lake, "SELECT max(seq) AS seq FROM timeline_events")[0]["seq"].clone();
    done(lake, &[&late[..], &["--request-id", "sent-by-another-agent"]].concat());
    let answer = done(lake, &[&late[..], &["--request-id", "sent-by-another-agent"]].concat());
    assert!(answer.starts_with("known"), "{answer}");
    done(lake, &["incident", "ack", id, "--at", "2026-02-11T12:22:00Z"]);
    let timeline = sql_rows(lake, "SELECT position, kind, message FROM timeline ORDER BY position");
    assert_eq!(timeline[0]["message"], "Paged by the monitor");
    assert_eq!(timeline.len(), 9, "{timeline:?}");
    let repeated = sql_rows(lake, "SELECT duplicate_of FROM timeline_events WHERE duplicate_of IS NOT NULL");
    assert_eq!(repeated, [json!({ "duplicate_of": format!("{first}.1") })]);
    let acked = sql_rows(lake, "SELECT time_to_acknowledge_s AS s FROM incidents");
    assert_eq!(acked, [json!({ "s": 60.0 })]);
}

#[test]
fn the_actor_is_recorded_also_without_an_option() {
    let folder = tempdir().unwrap();
    let lake = folder.path();
    ok(lake, &["incident", "open", "daily-etl failed", "--workspace", "1"]);
    done(lake, &["incident", "ack", "INC-1001"]);
    ok(lake, &["incident", "ack", "INC-1001", "--actor", "user:b"]);
    let actors = sql_rows(lake, "SELECT actor FROM audit_log ORDER BY seq");
    let actors: Vec<&str> = actors.iter().map(|row| row["actor"].as_str().unwrap()).collect();
    assert_eq!(actors, ["user:tester", "agent:databricks_mcp_agent", "user:b"]);
    assert_eq!(json_lines(lake, &["audit", "list"])[0].as_array().unwrap().len(), 3, "a filter has no default");
}

#[tokio::test]
async fn only_one_of_several_concurrent_closes_succeeds() {
    let folder = tempdir().unwrap();
    let lake = lake_at(folder.path());
    lake.init().await.unwrap();
    // Like four processes, the four ledgers share only the lake.
    let mut open = Vec::new();
    for _ in 0..4 {
        open.push(Ledger::open(&lake).await.unwrap());
    }
    let incident_id = open[0].0.submit(submission("a")).await.unwrap().receipt.incident_id.unwrap();
    let closing = (0..40).map(|n| {
        let step = CloseIncident {
            incident_id,
            message: format!("closed by {n}"),
            compliance_impact: None,
            lessons_learned: Vec::new(),
            actor: Id::new(format!("user:{n}")).unwrap(),
            at: None,
            request_id: None,
        };
        let prepared = ops::prepare_step(step, &Redactor::new(None), lake.context.now(), Interface::Cli).unwrap();
        open[n % 4].0.submit(prepared)
    });
    let answers = futures::future::join_all(closing).await;
    let (closed, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
    assert_eq!((closed.len(), refused.len()), (1, 39));
    assert!(refused.into_iter().all(|answer| matches!(*answer.unwrap_err(), LakeError::Refused(_))));
}
