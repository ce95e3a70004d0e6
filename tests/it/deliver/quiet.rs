//! Recurring issues whose alert was quiet for a while.

use std::{
    path::{Path, PathBuf},
    process::{Child, Stdio},
};

use chrono::TimeDelta;
use ops_runbook::lake::Context;
use serde_json::{Value, json};
use tempfile::tempdir;

use super::{configuration, deliverer, ok_deliver, receiver::Receiver, record};
use crate::support::{assert_intact, json_lines, ok, report};

const ALERT: &str = "INC-1003/recurring";

/// Three incidents with one cause, each a minute after the one before, the first so many minutes ago.
fn recurs(lake: &Path, config: &Path, minutes: i64) {
    let first = Context::system().now().plus(TimeDelta::minutes(-minutes));
    for n in 0..3 {
        let mut one = report(&format!("r-{n}"));
        one["incident"]["reported_at"] = first.plus(TimeDelta::minutes(n)).to_string().into();
        one["timeline"] = json!([]);
        record(lake, config, &one);
    }
}

async fn told(window_hours: u32, minutes: i64, deliverers: usize) -> (Vec<String>, Value) {
    let folder = tempdir().unwrap();
    let lake: PathBuf = folder.path().join("lake");
    let receiver = Receiver::start(0).await;
    let rules = format!("[recurring]\nwindow_hours = {window_hours}\n[escalation.recurring]\ncool_down_minutes = 0");
    let config = configuration(folder.path(), &receiver, &rules);
    recurs(&lake, &config, minutes);
    ok_deliver(&lake, &config);
    let until = Context::system().now().plus(TimeDelta::seconds(6)).to_string();
    ok(&lake, &["--config", config.to_str().unwrap(), "escalations", "suppress", ALERT, "--until", &until]);
    // They wait for what is due so soon.
    let start = |_| deliverer(&lake, &config).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let all: Vec<Child> = (0..deliverers).map(start).collect();
    for child in all {
        let output = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap()).await.unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    assert_eq!(ok_deliver(&lake, &config), "Nothing was due.\n");
    let hook = receiver.arrived().into_iter().filter(|arrived| arrived.path == "/hook");
    let told = hook.map(|arrived| arrived.key_and_action().1.replace("ops-runbook.escalation.", "")).collect();
    let evaluated = json_lines(
        &lake,
        &[
            "sql",
            "SELECT count(*) AS n FROM audit_log WHERE request_kind = 'evaluate_recurrence' AND interface = 'deliver'",
        ],
    );
    assert_eq!(evaluated, [json!({ "n": 1 })], "whoever looks");
    assert_intact(&lake, 3);
    let issue = json_lines(
        &lake,
        &[
            "sql",
            "SELECT recurring_issues.event, recurring_issues.reason, escalations.status FROM recurring_issues \
             INNER JOIN escalations ON escalations.incident_id = recurring_issues.incident_id \
             WHERE escalations.trigger = 'recurring'",
        ],
    );
    assert_eq!(issue.len(), 1, "{issue:?}");
    (told, issue[0].clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issue_that_still_recurs_fires_again_and_is_told_once_by_whoever_looks() {
    let (told, issue) = told(168, 90, 2).await;
    assert_eq!(told, ["trigger", "acknowledge", "trigger"]);
    assert_eq!((&issue["event"], &issue["status"]), (&json!("updated"), &json!("open")), "{issue}");
    assert!(issue["reason"].as_str().unwrap().starts_with("its alert was quiet until "), "{issue}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issue_that_went_quiet_meanwhile_is_over() {
    let (told, issue) = told(1, 90, 2).await;
    assert_eq!(told, ["trigger", "acknowledge", "resolve"]);
    assert_eq!((&issue["event"], &issue["status"]), (&json!("closed"), &json!("resolved")), "{issue}");
}
