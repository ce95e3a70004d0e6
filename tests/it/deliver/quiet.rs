//! Recurring issues whose alert was quiet for a while.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use chrono::TimeDelta;
use ops_runbook::{
    databricks::Client,
    delivery::{Http, Secrets, Target, secrets::NoClient},
    domain::{policy::Policy, redact::Redactor, time::Timestamp},
    lake::{Context, Lake},
    ops::deliver::{Receivers, Until, deliver},
};
use serde_json::{Value, json};
use tempfile::tempdir;
use tokio_util::sync::CancellationToken;

use super::{configuration, ok_deliver, receiver::Receiver, record};
use crate::support::{assert_intact, ok, report, sql_rows};

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

/// A deliverer in this process that takes `now` for the present. Returns how many notifications it delivered.
async fn deliver_at(now: Timestamp, lake: &Path, config: &Path, seed: u64) -> u64 {
    let policy = Policy::parse(&fs::read_to_string(config).unwrap()).unwrap();
    let context = Context::new(Arc::new(move || now), seed).with_policy(policy);
    let lake = Lake::at(lake.to_str().unwrap(), context).unwrap();
    let environment = |_: &str| Some("a1".repeat(16));
    let workspace = || -> Result<Client, NoClient> { Err("there is no workspace".into()) };
    let secrets = Secrets { environment: &environment, workspace: &workspace };
    let mut targets = BTreeMap::new();
    for (name, channel) in &lake.context.policy.channels {
        let target = Target::of(channel.kind, channel.to.as_deref(), &channel.reach, None, &secrets).await;
        targets.insert(name.clone(), target.map(Arc::new));
    }
    let receivers = Receivers { http: Http::new(Duration::from_secs(60)).unwrap(), targets };
    let (redactor, stop) = (Redactor::new(None), CancellationToken::new());
    let delivered = deliver(&lake, &redactor, &receivers, &Until::Done, None, stop, |_| {}).await.unwrap();
    delivered.delivered
}

/// What the webhook received of an alert that was suppressed for an hour and evaluated after that by two deliverers at once, and
/// what is recorded of its issue.
async fn told(window_hours: u32, minutes: i64) -> (Vec<String>, Value) {
    let folder = tempdir().unwrap();
    let lake: PathBuf = folder.path().join("lake");
    let receiver = Receiver::start(0).await;
    let rules = format!("[recurring]\nwindow_hours = {window_hours}\n[escalation.recurring]\ncool_down_minutes = 0");
    let config = configuration(folder.path(), &receiver, &rules);
    recurs(&lake, &config, minutes);
    ok_deliver(&lake, &config);
    let until = Context::system().now().plus(TimeDelta::hours(1));
    let suppress = ["escalations", "suppress", ALERT, "--until", &until.to_string()];
    ok(&lake, &[&["--config", config.to_str().unwrap()], &suppress[..]].concat());
    assert_eq!(deliver_at(Context::system().now(), &lake, &config, 1).await, 2, "the suppression, to both channels");
    let later = until.plus(TimeDelta::seconds(1));
    let both = tokio::join!(deliver_at(later, &lake, &config, 2), deliver_at(later, &lake, &config, 3));
    assert_eq!(both.0 + both.1, 2, "what came after it, to both channels");
    assert_eq!(deliver_at(later, &lake, &config, 4).await, 0);
    let hook = receiver.arrived().into_iter().filter(|arrived| arrived.path == "/hook");
    let told = hook.map(|arrived| arrived.key_and_action().1.replace("ops-runbook.escalation.", "")).collect();
    let evaluated = sql_rows(
        &lake,
        "SELECT count(*) AS n FROM audit_log WHERE request_kind = 'evaluate_recurrence' AND interface = 'deliver'",
    );
    assert_eq!(evaluated, [json!({ "n": 1 })], "whoever looks");
    assert_intact(&lake, 3);
    let issue = sql_rows(
        &lake,
        "SELECT recurring_issues.event, recurring_issues.reason, escalations.status FROM recurring_issues \
         INNER JOIN escalations ON escalations.incident_id = recurring_issues.incident_id \
         WHERE escalations.trigger = 'recurring'",
    );
    assert_eq!(issue.len(), 1, "{issue:?}");
    (told, issue[0].clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issue_that_still_recurs_fires_again_and_is_told_once_by_whoever_looks() {
    let (told, issue) = told(168, 90).await;
    assert_eq!(told, ["trigger", "acknowledge", "trigger"]);
    assert_eq!((&issue["event"], &issue["status"]), (&json!("updated"), &json!("open")), "{issue}");
    assert!(issue["reason"].as_str().unwrap().starts_with("its alert was quiet until "), "{issue}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issue_that_went_quiet_meanwhile_is_over() {
    let (told, issue) = told(1, 90).await;
    assert_eq!(told, ["trigger", "acknowledge", "resolve"]);
    assert_eq!((&issue["event"], &issue["status"]), (&json!("closed"), &json!("resolved")), "{issue}");
}
