//! `notification send`: each notification is delivered in order and within the rate limit, despite errors and kills. A
//! receiver with deduplication keys sees each one exactly once.

mod mail;
mod pagerduty_webhook;
mod receiver;
mod snooze;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use axum::http::StatusCode;
use futures::TryStreamExt;
use ops_runbook::{
    domain::{
        ids::{Id, IncidentId},
        interface::Interface,
        redact::Redactor,
        steps::CloseIncident,
    },
    lake::ledger::Ledger,
    ops,
};
use serde_json::{Value, json};
use tempfile::tempdir;

use crate::{
    support::{assert_intact, binary, demo_lake, finish, lake_at, ok, report, run, sql_rows},
    wait::{LIMIT, eventually_async, eventually_within, output_of, output_within, repetitions},
};
use receiver::Receiver;

/// Returns a configuration with a PagerDuty channel and a rate-limited webhook, both for every alert.
fn configuration(folder: &Path, receiver: &Receiver, more: &str) -> PathBuf {
    let url = &receiver.url;
    let file = folder.join("ops-runbook.toml");
    let text = format!(
        r#"
{more}
[channels.pager]
kind = "pagerduty"
to = "on-call"
secret = "env:PAGER_KEY"
webhook_secret = "env:PAGER_SIGNS"
url = "{url}"
per_minute = 60000
[channels.hook]
kind = "webhook"
to = "platform"
secret = "env:HOOK_KEY"
url = "{url}/hook"
per_minute = 6000
[[routes]]
channels = ["pager", "hook"]
"#
    );
    fs::write(&file, text).unwrap();
    file
}

fn sender(lake: &Path, config: &Path) -> Command {
    let mut command = binary(lake);
    command.arg("--config").arg(config).args(["notification", "send"]);
    command.env("PAGER_KEY", "a1".repeat(16)).env("HOOK_KEY", "not-a-real-key").env("PAGER_SIGNS", "signs");
    command
}

/// A report that fires an alert: evidence is missing, so the confidence is LOW.
fn missing(id: &str) -> Value {
    let mut report = report(id);
    report["rca"]["root_cause"] = "unknown".into();
    report["rca"]["missing_evidence"] = json!(["run_output"]);
    report
}

/// Records incidents with two alerts each.
async fn incidents(lake: &Path, config: &Path, count: usize) -> Ledger {
    let policy = ops_runbook::domain::policy::Policy::parse(&fs::read_to_string(config).unwrap()).unwrap();
    let context = ops_runbook::lake::Context::system().with_policy(policy);
    let lake = ops_runbook::lake::Lake::at(lake.to_str().unwrap(), context).unwrap();
    let (ledger, _) = ops::open_ledger(&lake).await.unwrap();
    let redactor = Redactor::new(None);
    let reports = (0..count).map(|n| serde_json::to_vec(&missing(&format!("r-{n}"))).unwrap());
    let submissions =
        reports.map(|bytes| ops::prepare(&bytes, &redactor, lake.context.now(), Interface::Cli).unwrap()).collect();
    let recorded: Vec<_> = ops::record(&ledger, submissions).try_collect().await.unwrap();
    assert!(recorded.iter().all(|one| !one.known));
    ledger
}

/// Closes every second incident.
async fn close(lake: &Path, ledger: &Ledger, count: usize) {
    let now = lake_at(lake).context.now();
    let closing = (0..count as u64).filter(|n| n % 2 == 0).map(|n| CloseIncident {
        incident_id: IncidentId::from_ordinal(n + 1),
        message: "done".into(),
        compliance_impact: None,
        lessons_learned: Vec::new(),
        actor: Id::new("user:sre").unwrap(),
        at: None,
        request_id: None,
    });
    let prepared = closing.map(|step| ops::prepare_step(step, &Redactor::new(None), now, Interface::Cli).unwrap());
    let recorded: Vec<_> = ops::record(ledger, prepared.collect()).try_collect().await.unwrap();
    assert!(recorded.iter().all(|one| !one.known));
}

/// Kills a sender shortly after its start, or after a number of further requests. Returns whether it was still running.
async fn kill(mut child: Child, receiver: &Receiver, round: usize, alerts: usize) -> bool {
    if round.is_multiple_of(4) {
        tokio::time::sleep(Duration::from_millis(100 + 60 * (round as u64 % 7))).await;
    } else {
        let wanted = receiver.count() + [1, 7, alerts / 6][round % 3];
        let is_time = async || {
            let ended = child.try_wait().unwrap().is_some();
            (ended || receiver.count() >= wanted).then_some(())
        };
        eventually_async("requests arrive, or nothing is left to send", is_time).await;
    }
    let runs = child.try_wait().unwrap().is_none();
    if runs {
        child.kill().unwrap();
    }
    child.wait().unwrap();
    runs
}

/// Runs one sender after the other. Notifications that wait for a lease or a retry are sent by the next one.
fn to_the_end(lake: &Path, config: &Path) {
    // Minutes for ten thousand alerts: a channel takes a hundred a second.
    let limit = repetitions(LIMIT, 20 * LIMIT);
    eventually_within(limit, "everything is delivered", || {
        let child = sender(lake, config).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let output = output_within(limit, "deliver", child);
        match output.status.code() {
            Some(0) => Some(()),
            Some(6) => None,
            code => panic!("{code:?}: {}", String::from_utf8_lossy(&output.stderr)),
        }
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_sent_once_and_in_order_despite_errors_and_kills() {
    let (alerts, kills) = (repetitions(100, 10_000), repetitions(6, 40));
    let folder = tempdir().unwrap();
    let lake = folder.path().join("lake");
    let receiver = Receiver::start(30).await;
    let long_deadlines =
        "[delivery]\nlease_seconds = 3\ntimeout_seconds = 1\ngive_up_minutes = 600\nstale_minutes = 600";
    let config = configuration(folder.path(), &receiver, long_deadlines);
    // Two alerts an incident: evidence is missing, and could not be retrieved.
    let count = alerts / 2;
    let ledger = incidents(&lake, &config, count).await;
    let started = Instant::now();
    let mut killed = 0;
    // Half of the kills before everything was received, half of them after every second incident was closed.
    for round in 0..kills {
        if round == kills / 2 {
            to_the_end(&lake, &config);
            assert!(["/v2/enqueue", "/hook"].iter().all(|path| receiver.keys(path) == alerts));
            close(&lake, &ledger, count).await;
        }
        let child = sender(&lake, &config).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        killed += usize::from(kill(child, &receiver, round, alerts).await);
    }
    drop(ledger);
    assert!(killed > kills / 4, "{killed} of {kills} still ran");
    to_the_end(&lake, &config);
    let took = started.elapsed();
    let paged = receiver.paged();
    assert_eq!(paged.len(), alerts, "every alert was received, under its own key");
    assert!(paged.values().all(|incident| incident.opened == 1), "and none was opened twice: {paged:#?}");
    // Exactly the closed incidents are resolved in PagerDuty.
    for (key, incident) in &paged {
        let ordinal = key.split('/').next().unwrap().parse::<IncidentId>().unwrap().ordinal();
        assert_eq!(incident.is_open, ordinal % 2 == 0, "{key}");
    }
    // The webhook gets each notification at least once and in order; a duplicate has the same id.
    let mut streams: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
    for arrived in receiver.arrived().iter().filter(|arrived| arrived.path == "/hook" && arrived.accepted) {
        let (key, kind) = arrived.key_and_action();
        streams.entry(key).or_default().push((kind, arrived.body["id"].as_str().unwrap().to_owned()));
    }
    assert_eq!(streams.len(), alerts);
    for (key, notifications) in &streams {
        let kinds: Vec<&str> = notifications.iter().map(|(kind, _)| kind.rsplit('.').next().unwrap()).collect();
        let resolved = kinds.iter().position(|kind| *kind == "resolve").unwrap_or(kinds.len());
        assert!(resolved > 0 && kinds[..resolved].iter().all(|kind| *kind == "trigger"), "{key}: {kinds:?}");
        assert!(kinds[resolved..].iter().all(|kind| *kind == "resolve"), "{key}: {kinds:?}");
        let mut ids: Vec<&String> = notifications.iter().map(|(_, id)| id).collect();
        ids.sort();
        ids.dedup();
        assert!(ids.len() <= 2, "{key}: {ids:?}");
    }
    let most = receiver.most_within("/hook", Duration::from_secs(60));
    assert!(most <= 6_000, "{most} within a minute");
    let all = receiver.arrived();
    let accepted = all.iter().filter(|arrived| arrived.accepted).count();
    println!(
        "{alerts} alerts over 2 channels, {killed} kills: {:.0} s, {} requests, {accepted} accepted, most to the webhook within \
         a minute {most}, within ten seconds {}",
        took.as_secs_f64(),
        all.len(),
        receiver.most_within("/hook", Duration::from_secs(10)),
    );
    assert_intact(&lake, count as u64);
    assert_eq!(sql_rows(&lake, "SELECT count(*) AS n FROM outbox"), [json!({ "n": 0 })]);
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_senders_send_nothing_twice() {
    let folder = tempdir().unwrap();
    let lake = folder.path().join("lake");
    let receiver = Receiver::start(0).await;
    let config = configuration(folder.path(), &receiver, "");
    let ledger = incidents(&lake, &config, 60).await;
    let start = |_| sender(&lake, &config).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let both: Vec<Child> = (0..2).map(start).collect();
    for child in both {
        let output = output_of("deliver", child);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    drop(ledger);
    let mut received: BTreeMap<(String, (String, String)), u32> = BTreeMap::new();
    for arrived in receiver.arrived() {
        *received.entry((arrived.path.clone(), arrived.key_and_action())).or_default() += 1;
    }
    assert_eq!(received.len(), 240, "two alerts per incident, two channels");
    assert!(received.values().all(|times| *times == 1), "{received:#?}");
    assert_eq!(ok_deliver(&lake, &config), "Nothing was due.\n");
}

fn ok_deliver(lake: &Path, config: &Path) -> String {
    let output = finish(&mut sender(lake, config));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn record(lake: &Path, config: &Path, report: &Value) {
    let file = lake.parent().unwrap().join("report.json");
    fs::write(&file, report.to_string()).unwrap();
    ok(lake, &["--config", config.to_str().unwrap(), "record", file.to_str().unwrap()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_notification_is_reported_on_another_channel_and_fails() {
    let folder = tempdir().unwrap();
    let lake = folder.path().join("lake");
    let (receiver, other) = (Receiver::start(0).await, Receiver::start(0).await);
    let config = configuration(folder.path(), &receiver, "");
    let text = fs::read_to_string(&config).unwrap();
    let hook = format!("{}/hook", receiver.url);
    let text = text.replace(&hook, &format!("{}/hook", other.url)).replace("[\"pager\", \"hook\"]", "[\"pager\"]");
    fs::write(&config, text).unwrap();
    record(&lake, &config, &missing("r-1"));
    receiver
        .always(Some((StatusCode::BAD_REQUEST, r#"{"status":"invalid event","errors":["routing key is not valid"]}"#)));
    let output = finish(&mut sender(&lake, &config));
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(1), "{out}{err}");
    assert!(out.contains("GIVEN UP: 2"), "{out}");
    assert!(err.contains("error: dead") && err.contains("routing key is not valid"), "{err}");
    assert!(!out.contains("a1a1") && !err.contains("a1a1"), "no key is shown");
    let reported: Vec<_> = other.arrived().into_iter().map(|arrived| arrived.body["type"].clone()).collect();
    assert_eq!(reported, ["ops-runbook.escalation.undelivered", "ops-runbook.escalation.undelivered"]);
    // It is given up, and not retried.
    assert_eq!(ok_deliver(&lake, &config), "Nothing was due.\n");
    let shown = ok(&lake, &["escalation", "show", "INC-1001/missing-evidence"]);
    assert!(shown.contains("NOTIFICATIONS\n") && shown.contains("dead") && shown.contains("undelivered"), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreachable_channel_is_reported_first_and_retried() {
    let folder = tempdir().unwrap();
    let lake = folder.path().join("lake");
    let receiver = Receiver::start(0).await;
    let config = configuration(folder.path(), &receiver, "");
    record(&lake, &config, &missing("r-1"));
    let output = finish(sender(&lake, &config).env_remove("HOOK_KEY").arg("--once"));
    let err = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(6), "{err}");
    assert!(err.contains("channel hook cannot be reached: the environment variable HOOK_KEY is not set"), "{err}");
    assert_eq!(receiver.paged().len(), 2);
    // The next run has nothing to retry yet, and still reports the undelivered notifications.
    let output = finish(sender(&lake, &config).env_remove("HOOK_KEY"));
    let out = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(6), "{out}");
    assert!(out.contains("NOT DELIVERED YET: 2"), "{out}");
    let nowhere = folder.path().join("nowhere");
    let output = finish(&mut sender(&nowhere, &config));
    assert_eq!(output.status.code(), Some(4), "a missing lake is not created: {output:?}");
    assert!(!nowhere.exists());
    let output = finish(sender(&lake, &config).args(["--heartbeat", "http://example.test/beat"]));
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let checked = run(&lake, &["--config", config.to_str().unwrap(), "config", "check"]);
    assert!(checked.status.success(), "secrets may be missing when the configuration is checked");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_run_sends_no_old_alerts_and_watch_mode_sends_new_ones() {
    let folder = tempdir().unwrap();
    let lake = folder.path().join("lake");
    let receiver = Receiver::start(0).await;
    let beats = Receiver::start(0).await;
    let config = configuration(folder.path(), &receiver, "");
    demo_lake(&lake);
    let heart = format!("{}/beat", beats.url);
    let started = Instant::now();
    let watch = sender(&lake, &config)
        .args(["--watch", "--every-ms", "50", "--json", "--heartbeat", &heart])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // The first heartbeat follows the first plan.
    eventually_async("a heartbeat", async || (beats.count() > 0).then_some(())).await;
    assert_eq!(receiver.count(), 0, "the demo's alerts are weeks old");
    record(&lake, &config, &missing("r-1"));
    eventually_async("both alerts arrive at both channels", async || (receiver.count() >= 4).then_some(())).await;
    assert_eq!(receiver.paged().len(), 2);
    let minutes = started.elapsed().as_secs() as usize / 60;
    assert!((1..=minutes + 1).contains(&beats.count()), "one a minute: {} in {minutes} minutes", beats.count());
    assert!(Command::new("kill").args(["-TERM", &watch.id().to_string()]).status().unwrap().success());
    let output = output_of("deliver --watch", watch);
    assert_eq!(output.status.code(), Some(0));
    // No alert of the demo was in flight either.
    assert_eq!(receiver.count(), 4);
    let lines: Vec<Value> =
        String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let last = lines.last().unwrap();
    assert_eq!(last["delivered"], 4, "{last}");
    assert!(lines.iter().any(|line| line["event"] == "delivered" && line["says"] == "trigger"), "{lines:#?}");
    // The webhook's signature covers the body and the time.
    let hook = receiver.arrived().into_iter().find(|arrived| arrived.path == "/hook").unwrap();
    assert!(hook.headers["x-ops-runbook-signature"].to_str().unwrap().starts_with("v1="));
    assert_eq!(hook.headers["idempotency-key"].to_str().unwrap(), hook.body["id"].as_str().unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lake_without_the_deliveries_table_gets_it_with_the_first_command_that_needs_it() {
    let folder = tempdir().unwrap();
    let lake = folder.path().join("lake");
    let receiver = Receiver::start(0).await;
    let config = configuration(folder.path(), &receiver, "");
    record(&lake, &config, &missing("r-1"));
    fs::remove_dir_all(lake.join("deliveries")).unwrap();
    ok_deliver(&lake, &config);
    assert_eq!(receiver.paged().len(), 2);
    // Removing the table loses nothing: no notification is sent again.
    fs::remove_dir_all(lake.join("deliveries")).unwrap();
    assert_eq!(ok_deliver(&lake, &config), "Nothing was due.\n");
    fs::remove_dir_all(lake.join("deliveries")).unwrap();
    record(&lake, &config, &missing("r-2"));
    ok_deliver(&lake, &config);
    assert_eq!(receiver.arrived().iter().filter(|arrived| arrived.path == "/v2/enqueue").count(), 4);
    assert_intact(&lake, 2);
}
