//! Recurring issues whose alert was snoozed.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use chrono::TimeDelta;
use ops_runbook::{
    channels::{ChannelTarget, HttpClient, Secrets, secrets::WorkspaceClientError},
    databricks::Client,
    domain::{policy::Policy, redact::Redactor, time::Timestamp},
    lake::{Context, Lake},
    ops::notify::{ConfiguredChannels, SendMode, send_due},
};
use serde_json::{Value, json};
use tempfile::tempdir;
use tokio_util::sync::CancellationToken;

use super::{configuration, ok_deliver, receiver::Receiver, record};
use crate::support::{assert_intact, ok, report, sql_rows};

const ALERT: &str = "INC-1003/recurring";

/// Records three incidents with one cause, one per minute. `minutes`: the age of the first one.
fn recurs(lake: &Path, config: &Path, minutes: i64) {
    let first = Context::system().now().plus(TimeDelta::minutes(-minutes));
    for n in 0..3 {
        let mut one = report(&format!("r-{n}"));
        one["incident"]["reported_at"] = first.plus(TimeDelta::minutes(n)).to_string().into();
        one["timeline"] = json!([]);
        record(lake, config, &one);
    }
}

/// Runs a sender with the clock `now`. Returns the number of delivered notifications.
async fn deliver_at(now: Timestamp, lake: &Path, config: &Path, seed: u64) -> u64 {
    let policy = Policy::parse(&fs::read_to_string(config).unwrap()).unwrap();
    let context = Context::new(Arc::new(move || now), seed).with_policy(policy);
    let lake = Lake::at(lake.to_str().unwrap(), context).unwrap();
    let environment = |_: &str| Some("a1".repeat(16));
    let workspace = || -> Result<Client, WorkspaceClientError> { Err("there is no workspace".into()) };
    let secrets = Secrets { environment: &environment, workspace: &workspace };
    let mut targets = BTreeMap::new();
    for (name, channel) in &lake.context.policy.channels {
        let target =
            ChannelTarget::resolve(channel.kind, channel.to.as_deref(), &channel.connection, None, &secrets).await;
        targets.insert(name.clone(), target.map(Arc::new));
    }
    let receivers = ConfiguredChannels { http: HttpClient::new(Duration::from_secs(60)).unwrap(), targets };
    let (redactor, stop) = (Redactor::new(None), CancellationToken::new());
    let delivered = send_due(&lake, &redactor, &receivers, &SendMode::UntilDone, None, stop, |_| {}).await.unwrap();
    delivered.delivered
}

/// Snoozes an alert for an hour, then runs two senders at once. Returns what the webhook received, and the recorded issue.
async fn snooze_and_send(window_hours: u32, minutes: i64) -> (Vec<String>, Value) {
    let folder = tempdir().unwrap();
    let lake: PathBuf = folder.path().join("lake");
    let receiver = Receiver::start(0).await;
    let rules = format!("[recurring]\nwindow_hours = {window_hours}\n[escalation.recurring]\ncool_down_minutes = 0");
    let config = configuration(folder.path(), &receiver, &rules);
    recurs(&lake, &config, minutes);
    ok_deliver(&lake, &config);
    let until = Context::system().now().plus(TimeDelta::hours(1));
    let suppress = ["escalation", "snooze", ALERT, "--until", &until.to_string()];
    ok(&lake, &[&["--config", config.to_str().unwrap()], &suppress[..]].concat());
    assert_eq!(
        deliver_at(Context::system().now(), &lake, &config, 1).await,
        2,
        "the acknowledgement of the snooze, to both channels"
    );
    let later = until.plus(TimeDelta::seconds(1));
    let both = tokio::join!(deliver_at(later, &lake, &config, 2), deliver_at(later, &lake, &config, 3));
    assert_eq!(both.0 + both.1, 2, "what came after it, to both channels");
    assert_eq!(deliver_at(later, &lake, &config, 4).await, 0);
    let hook = receiver.arrived().into_iter().filter(|arrived| arrived.path == "/hook");
    let received = hook.map(|arrived| arrived.key_and_action().1.replace("ops-runbook.escalation.", "")).collect();
    let evaluated = sql_rows(
        &lake,
        "SELECT count(*) AS n FROM audit_log WHERE request_kind = 'evaluate_recurrence' AND interface = 'deliver'",
    );
    assert_eq!(evaluated, [json!({ "n": 1 })], "only one of the two senders");
    assert_intact(&lake, 3);
    let issue = sql_rows(
        &lake,
        "SELECT recurring_issues.event, recurring_issues.reason, escalations.status FROM recurring_issues \
         INNER JOIN escalations ON escalations.incident_id = recurring_issues.incident_id \
         WHERE escalations.trigger = 'recurring'",
    );
    assert_eq!(issue.len(), 1, "{issue:?}");
    (received, issue[0].clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issue_that_still_recurs_fires_again_after_the_snooze_and_is_sent_once() {
    let (received, issue) = snooze_and_send(168, 90).await;
    assert_eq!(received, ["trigger", "acknowledge", "trigger"]);
    assert_eq!((&issue["event"], &issue["status"]), (&json!("updated"), &json!("open")), "{issue}");
    assert!(issue["reason"].as_str().unwrap().starts_with("the suppression of its alert expired at "), "{issue}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issue_that_stopped_recurring_during_the_snooze_is_resolved() {
    let (received, issue) = snooze_and_send(1, 90).await;
    assert_eq!(received, ["trigger", "acknowledge", "resolve"]);
    assert_eq!((&issue["event"], &issue["status"]), (&json!("closed"), &json!("resolved")), "{issue}");
}
