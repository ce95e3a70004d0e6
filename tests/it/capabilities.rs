//! The capabilities of the specification: escalation, recurrence and hostile input, through the binary.

use std::{fs, path::Path, sync::Arc};

use ops_runbook::{
    domain::{
        entry::{EvaluateRecurrence, Request},
        ids::Id,
        interface::Interface,
        redact::Redactions,
    },
    lake::{
        LakeError,
        ledger::{Ledger, Submission},
    },
};
use serde_json::{Value, json};
use tempfile::tempdir;

use crate::support::{assert_intact, binary, example, finish, json_lines, lake_at, ok, report, sql_rows, submission};

/// Records reports, given by id, time, cause and job run, with one command.
fn record(lake: &Path, reports: &[(&str, &str, &str, Option<&str>)]) -> String {
    let file = lake.with_extension("jsonl");
    let lines = reports.iter().map(|(id, at, cause, run)| {
        let mut document = report(id);
        document["incident"]["reported_at"] = json!(at);
        document["timeline"] = json!([]);
        document["rca"]["root_cause"] = json!(cause);
        if let Some(run) = run {
            document["resources"] = json!([{ "kind": "job", "id": "7" }, { "kind": "job_run", "id": run }]);
        }
        format!("{document}\n")
    });
    fs::write(&file, lines.collect::<String>()).unwrap();
    ok(lake, &["record", file.to_str().unwrap()])
}

fn act(lake: &Path, arguments: &[&str]) -> String {
    let output = finish(binary(lake).env("OPS_RUNBOOK_ACTOR", "user:sre@example.test").args(arguments));
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Alerts that fired, in the order of the ledger.
fn fired(lake: &Path) -> Vec<String> {
    let sql = "SELECT incident_id, trigger FROM escalation_events WHERE event = 'fired' ORDER BY seq, ordinal";
    let rows = sql_rows(lake, sql);
    rows.iter()
        .map(|row| format!("{} {}", row["incident_id"].as_str().unwrap(), row["trigger"].as_str().unwrap()))
        .collect()
}

fn episodes(lake: &Path) -> Vec<(String, i64)> {
    let rows = json_lines(lake, &["recurrence", "list", "--all"]).remove(0);
    let episode = |row: &Value| (row["event"].as_str().unwrap().to_owned(), row["incidents"].as_i64().unwrap());
    rows.as_array().unwrap().iter().map(episode).collect()
}

#[test]
fn the_examples_raise_exactly_the_expected_alerts() {
    let folder = tempdir().unwrap();
    let lake = folder.path().join("lake");
    for name in crate::support::EXAMPLES {
        ok(&lake, &["record", &example(name)]);
    }
    assert_eq!(
        fired(&lake),
        [
            // Three incidents with two texts for their cause.
            "INC-1003 recurring",
            "INC-1004 missing-evidence",
            "INC-1004 access-issue",
            "INC-1005 partial-checks",
            "INC-1005 security-finding",
        ]
    );
    assert_eq!(episodes(&lake), [("opened".to_owned(), 3)]);
    let forced = sql_rows(&lake, "SELECT confidence FROM incidents WHERE incident_id = 'INC-1004'");
    assert_eq!(forced, [json!({ "confidence": "LOW" })]);
    // All five triggers of every incident are recorded with a reason, also if they did not fire.
    let evaluated = sql_rows(
        &lake,
        "SELECT incident_id, count(DISTINCT trigger) AS n FROM escalation_events GROUP BY 1 ORDER BY 1",
    );
    assert!(evaluated.len() == 6 && evaluated.iter().all(|row| row["n"] == 5), "{evaluated:?}");
    let without_reason = sql_rows(&lake, "SELECT reason FROM escalation_events WHERE reason = ''");
    assert!(without_reason.is_empty());
    let outbox = sql_rows(&lake, "SELECT incident_id FROM outbox WHERE unrouted");
    assert_eq!(outbox.len(), 5, "the alerts have no route");
    assert_intact(&lake, 6);
}

#[test]
fn a_missing_run_output_forces_the_confidence_to_low_whatever_the_report_says() {
    let folder = tempdir().unwrap();
    let lake = folder.path().join("lake");
    let mut document = report("sure");
    document["rca"]["missing_evidence"] = json!(["run_output"]);
    let file = folder.path().join("r.json");
    fs::write(&file, document.to_string()).unwrap();
    ok(&lake, &["record", file.to_str().unwrap()]);
    let shown = ok(&lake, &["incident", "show", "INC-1001"]);
    assert!(shown.contains("Confidence: LOW (reported HIGH, but evidence is missing: run_output)"), "{shown}");
}

#[test]
fn the_third_incident_within_the_window_fires_and_the_fourth_only_updates() {
    let folder = tempdir().unwrap();
    let lake = folder.path().join("lake");
    record(
        &lake,
        &[("a", "2026-02-01T00:00:00Z", "disk full", None), ("b", "2026-02-03T00:00:00Z", "Disk  full", None)],
    );
    assert!(fired(&lake).is_empty());
    // It is one microsecond after the window of the first.
    record(&lake, &[("late", "2026-02-08T00:00:00.000001Z", "disk full", None)]);
    assert!(fired(&lake).is_empty() && episodes(&lake).is_empty());
    // A late report falls between them: exactly 168 hours from the first to the third.
    record(&lake, &[("c", "2026-02-08T00:00:00Z", "DISK FULL", None)]);
    assert_eq!(fired(&lake), ["INC-1004 recurring"]);
    assert_eq!(episodes(&lake), [("opened".to_owned(), 4)]);
    let text = record(&lake, &[("d", "2026-02-12T00:00:00Z", "disk full", None)]);
    assert!(text.contains("RECURRING ISSUE ALERT") && !text.contains("ESCALATION ALERT"), "{text}");
    assert_eq!((fired(&lake).len(), episodes(&lake)), (1, vec![("updated".to_owned(), 5)]));
    // An unknown cause never recurs.
    record(&lake, &[1, 2, 3].map(|_| ("x", "2026-02-12T00:00:00Z", "unknown", None)));
    assert_eq!(fired(&lake).len(), 1);
    // A window without incidents closes the episode and resolves the alert.
    act(&lake, &["recurrence", "scan", "--as-of", "2026-02-19T00:00:00Z"]);
    assert_eq!(episodes(&lake)[0].0, "updated", "the end of the window is inclusive");
    act(&lake, &["recurrence", "scan", "--as-of", "2026-02-19T00:00:00.000001Z"]);
    assert_eq!(episodes(&lake), [("closed".to_owned(), 5)]);
    let alert = sql_rows(&lake, "SELECT status FROM escalations WHERE trigger = 'recurring'");
    assert_eq!(alert, [json!({ "status": "resolved" })]);
    assert_intact(&lake, 6);
}

#[test]
fn retried_runs_reopenings_and_repeated_reports_are_not_new_occurrences() {
    let folder = tempdir().unwrap();
    let lake = folder.path().join("lake");
    record(
        &lake,
        &[
            ("a", "2026-02-01T00:00:00Z", "disk full", Some("900")),
            ("repair", "2026-02-01T02:00:00Z", "disk full", Some("900")),
            ("b", "2026-02-02T00:00:00Z", "disk full", Some("901")),
        ],
    );
    record(&lake, &[("a", "2026-02-01T00:00:00Z", "disk full", Some("900"))]);
    for _ in 0..2 {
        act(&lake, &["incident", "close", "INC-1001", "done"]);
        act(&lake, &["incident", "reopen", "INC-1001", "not done"]);
    }
    act(&lake, &["incident", "rca", "INC-1001", "disk full", "--confidence", "MEDIUM"]);
    assert!(fired(&lake).is_empty() && episodes(&lake).is_empty());
    assert_intact(&lake, 3);
}

#[test]
fn merged_causes_recur_together_and_split_ones_do_not() {
    let folder = tempdir().unwrap();
    let lake = folder.path().join("lake");
    record(
        &lake,
        &[
            ("a", "2026-02-01T00:00:00Z", "disk full", None),
            ("b", "2026-02-02T00:00:00Z", "no space left on device", None),
            ("c", "2026-02-03T00:00:00Z", "disk full", None),
        ],
    );
    let causes = json_lines(&lake, &["cause", "list"]).remove(0);
    let named = |words: &str| {
        let causes = causes["causes"].as_array().unwrap();
        causes.iter().find(|cause| cause["root_cause"] == words).unwrap()["cause"].as_str().unwrap().to_owned()
    };
    let (disk, space) = (named("disk full"), named("no space left on device"));
    let text = act(&lake, &["cause", "merge", &space, "--into", &disk, "--reason", "the same thing"]);
    assert!(text.contains("RECURRING ISSUE ALERT"), "{text}");
    assert_eq!(fired(&lake), ["INC-1003 recurring"]);
    let merge = ["cause", "merge", &space, "--into", &disk];
    let refused = finish(binary(&lake).env("OPS_RUNBOOK_ACTOR", "user:sre@example.test").args(merge));
    assert_eq!(refused.status.code(), Some(3));
    assert!(act(&lake, &["cause", "explain", "INC-1001", "INC-1002"]).contains("They were merged"));
    let text = act(&lake, &["cause", "split", &space]);
    assert!(text.contains("is closed: no longer found: causes were merged or split"), "{text}");
    assert_eq!(episodes(&lake)[0].0, "closed");
    assert_intact(&lake, 3);
}

#[test]
fn a_cause_that_recurs_after_the_fix_is_reported() {
    let folder = tempdir().unwrap();
    let lake = folder.path().join("lake");
    let cause = "Job retry policies not configured";
    record(
        &lake,
        &[
            ("a", "2026-02-01T00:00:00Z", cause, None),
            ("b", "2026-02-02T00:00:00Z", cause, None),
            ("c", "2026-02-03T00:00:00Z", cause, None),
        ],
    );
    let fingerprint = sql_rows(&lake, "SELECT DISTINCT cause_fingerprint AS c FROM root_causes")[0]["c"].clone();
    let states = |lake: &Path| {
        let sql = "SELECT state FROM preventive_actions WHERE action = 'bundle-retry-policy' ORDER BY seq";
        let rows = sql_rows(lake, sql);
        rows.iter().map(|row| row["state"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(states(&lake), ["proposed"]);
    act(
        &lake,
        &["recurrence", "adopt", fingerprint.as_str().unwrap(), "bundle-retry-policy", "--at", "2026-02-04T00:00:00Z"],
    );
    let text = record(&lake, &[("d", "2026-02-05T00:00:00Z", cause, None)]);
    assert!(text.contains("RECURRED AFTER THE FIX"), "{text}");
    assert_eq!(states(&lake), ["proposed", "adopted", "recurred"]);
    assert_intact(&lake, 4);
}

#[test]
fn alerts_are_acknowledged_resolved_and_suppressed_and_follow_their_incident() {
    let folder = tempdir().unwrap();
    let lake = folder.path().join("lake");
    ok(&lake, &["record", &example("04-run-output-unavailable")]);
    let alert = "INC-1001/missing-evidence";
    let status = |trigger: &str| {
        let sql = format!("SELECT status FROM escalations WHERE trigger = '{trigger}'");
        sql_rows(&lake, &sql)[0]["status"].as_str().unwrap().to_owned()
    };
    act(&lake, &["incident", "ack", "INC-1001"]);
    assert_eq!((status("missing-evidence"), status("access-issue")), ("acknowledged".into(), "acknowledged".into()));
    act(&lake, &["escalation", "evaluate"]);
    assert_eq!(fired(&lake).len(), 2, "an acknowledged alert does not fire again");
    let listed = act(&lake, &["escalation", "list"]);
    let line = listed.lines().find(|line| line.contains("missing-evidence")).unwrap();
    assert!(line.contains("acknowledged") && line.contains("NO CHANNEL") && line.contains(alert), "{listed}");
    act(&lake, &["escalation", "resolve", alert]);
    let again = finish(binary(&lake).env("OPS_RUNBOOK_ACTOR", "user:a").args(["escalation", "ack", alert]));
    assert_eq!(again.status.code(), Some(3), "{}", String::from_utf8_lossy(&again.stderr));
    let other = ["escalation", "ack", "INC-1001/security-finding"];
    let unknown = finish(binary(&lake).env("OPS_RUNBOOK_ACTOR", "user:a").args(other));
    assert_eq!(unknown.status.code(), Some(3));
    act(&lake, &["escalation", "snooze", alert, "--until", "2999-01-01T00:00:00Z"]);
    act(&lake, &["escalation", "evaluate", "INC-1001"]);
    assert_eq!((fired(&lake).len(), status("missing-evidence")), (2, "suppressed".into()));
    // With the evidence, the triggers no longer hold.
    act(
        &lake,
        &["incident", "rca", "INC-1001", "token lacked a grant", "--confidence", "HIGH", "--evidence", "run_output"],
    );
    assert_eq!(status("access-issue"), "resolved");
    let shown = act(&lake, &["escalation", "show", "INC-1001/access-issue"]);
    assert!(shown.contains("ESCALATION ALERT") && shown.contains("cleared"), "{shown}");
    assert_intact(&lake, 1);
}

#[test]
fn the_configuration_decides_the_routes() {
    let folder = tempdir().unwrap();
    let lake = folder.path().join("lake");
    let file = folder.path().join("ops-runbook.toml");
    let config = |text: &str| {
        fs::write(&file, text).unwrap();
        file.to_str().unwrap().to_owned()
    };
    let routed = config(
        "[channels.oncall]\nkind = \"slack\"\nto = \"#data-oncall\"\n[[routes]]\ntriggers = [\"access-issue\"]\nchannels = [\"oncall\"]\n",
    );
    let output = finish(binary(&lake).args(["--config", &routed, "record", &example("04-run-output-unavailable")]));
    let (stdout, stderr) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(stdout.contains("Escalate To: oncall (slack: #data-oncall)"), "{stdout}");
    assert!(stdout.contains("Escalate To: NO CHANNEL: no route matches MEDIUM missing-evidence"), "{stdout}");
    assert!(stderr.contains("no notification for INC-1001/missing-evidence"), "{stderr}");
    assert!(!stderr.contains("INC-1001/access-issue"), "{stderr}");
    let broken = config("[recurring]\nthreshhold = 3\n");
    let output = finish(binary(&lake).args(["--config", &broken, "record", &example("05-workspace-validation")]));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(3));
    assert!(stderr.contains("threshhold") && stderr.contains("threshold"), "{stderr}");
    assert_intact(&lake, 1);
}

/// The sixth example contains names that attack outputs without quoting.
#[test]
fn hostile_names_are_harmless_in_all_outputs() {
    let folder = tempdir().unwrap();
    let lake = folder.path().join("lake");
    ok(&lake, &["record", &example("06-hostile-names-and-secrets")]);
    let commands: &[&[&str]] = &[
        &["incident", "show", "INC-1001", "--refs"],
        &["incident", "list"],
        &["incident", "postmortem", "INC-1001"],
        &["runbook", "show", "INC-1001"],
        &["runbook", "show", "INC-1001", "--with", "curl"],
        &["runbook", "show", "INC-1001", "--format", "markdown"],
        &["runbook", "show", "INC-1001", "--format", "script"],
        &["runbook", "list"],
        &["escalation", "list", "--all"],
        &["cause", "list"],
        &["audit", "show", "1"],
        &["audit", "export", "--format", "csv"],
        &["audit", "export", "--format", "jsonl"],
        &["audit", "export", "--format", "ocsf"],
        &["sql", "SELECT title, resource_name FROM incidents", "--format", "csv"],
        &["record", &example("06-hostile-names-and-secrets"), "--artifacts"],
    ];
    for command in commands {
        let text = ok(&lake, command);
        // CSV has no escapes for characters, and checking a hash needs the exact text.
        let exact = command.contains(&"csv");
        assert!(exact || !text.contains(['\u{202e}', '\u{1b}', '\0']), "{command:?}: {text}");
        for secret in
            ["dapi0123456789abcdef0123456789abcdef", "hunter2hunter2", "abcdefghijklmnopqrstuvwx", "Zm9vYmFyZm9v"]
        {
            assert!(!text.contains(secret), "{secret} in {command:?}");
        }
    }
    let markdown = ok(&lake, &["incident", "postmortem", "INC-1001"]);
    let prose = markdown.lines().filter(|line| !line.starts_with("    ") && !line.starts_with('`')).collect::<String>();
    assert!(!prose.contains("<img") && !prose.contains("<!channel>") && !prose.contains("</script>"), "{markdown}");
    // The table is still there.
    assert_eq!(sql_rows(&lake, "SELECT count(*) > 0 AS there FROM audit_log"), [json!({ "there": true })]);
    assert_intact(&lake, 1);
}

#[tokio::test]
async fn a_stale_evaluation_is_not_recorded() {
    let folder = tempdir().unwrap();
    let lake = lake_at(folder.path());
    lake.init().await.unwrap();
    let (one, other) = (Ledger::open(&lake).await.unwrap(), Ledger::open(&lake).await.unwrap());
    let recorded = one.0.submit(submission("a")).await.unwrap().receipt;
    let found = |id: &str, cause: &str, based_on: u64, after: Option<&str>| Submission {
        request_id: Id::new(id).unwrap(),
        request: Request::EvaluateRecurrence(Box::new(EvaluateRecurrence {
            actor: Id::new("system:recurrence").unwrap(),
            incident_id: recorded.incident_id.unwrap(),
            as_of: recorded.recorded_at,
            based_on,
            cause: cause.into(),
            threshold: 3,
            window_hours: 168,
            fullest: Some(1),
            after: after.map(|after| Id::new(after).unwrap()),
            change: None,
            prevention: Vec::new(),
        })),
        redactions: Redactions::default(),
        interface: Interface::Scan,
        size: 100,
    };
    let first = one.0.submit(found("first", "c1:a", 1, None)).await.unwrap().receipt;
    for ledger in [&one.0, &other.0] {
        let error = ledger.submit(found("late", "c1:a", 1, None)).await.unwrap_err();
        assert!(matches!(*error, LakeError::Stale), "{error}");
    }
    assert!(other.0.submit(found("again", "c1:a", first.seq, None)).await.is_ok());
    assert!(
        other.0.submit(found("elsewhere", "c1:b", 1, None)).await.is_ok(),
        "evaluations of other causes do not conflict"
    );
    // Several evaluations of one scan may follow each other if no other one is recorded between them.
    let assert_stale = |answer: Result<_, Arc<LakeError>>| assert!(matches!(*answer.unwrap_err(), LakeError::Stale));
    assert_stale(one.0.submit(found("b3", "c1:b", 1, Some("b2"))).await);
    assert!(one.0.submit(found("b2", "c1:b", 1, Some("elsewhere"))).await.is_ok());
    let together = ["b3", "b4"].map(|id| found(id, "c1:b", 1, Some(if id == "b3" { "b2" } else { "b3" })));
    for answer in futures::future::join_all(together.map(|request| one.0.submit(request))).await {
        answer.unwrap();
    }
    assert_stale(other.0.submit(found("fork", "c1:b", 1, Some("b3"))).await);
    assert_stale(other.0.submit(found("late b", "c1:b", 1, None)).await);
}
