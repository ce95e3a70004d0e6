//! People are told: once and only once where the receiver has a key, in order, never faster than the channel takes, whatever
//! fails on the way and whoever is killed.

mod mail;
mod quiet;
mod receiver;
mod returning;

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
        redact::Redactor,
        steps::CloseIncident,
        words::Interface,
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

/// One page for every alert, and one call of a webhook that takes so many a minute.
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

fn deliverer(lake: &Path, config: &Path) -> Command {
    let mut command = binary(lake);
    command.arg("--config").arg(config).arg("deliver");
    command.env("PAGER_KEY", "a1".repeat(16)).env("HOOK_KEY", "not-a-real-key").env("PAGER_SIGNS", "signs");
    command
}

/// An alert that nobody can miss: evidence is missing, so the confidence is LOW.
fn missing(id: &str) -> Value {
    let mut report = report(id);
    report["rca"]["root_cause"] = "unknown".into();
    report["rca"]["missing_evidence"] = json!(["run_output"]);
    report
}

/// Records so many incidents with two alerts each, and closes every second of them after `between`.
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

/// Kills a deliverer: within a moment of its start, or when so many more requests have arrived. Returns whether it still ran.
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

/// One deliverer after the other: what waits for the end of a lease, or for another attempt, is sent by the next.
fn to_the_end(lake: &Path, config: &Path) {
    // Minutes for ten thousand alerts: a channel takes a hundred a second.
    let limit = repetitions(LIMIT, 20 * LIMIT);
    eventually_within(limit, "everything is delivered", || {
        let child = deliverer(lake, config).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let output = output_within(limit, "deliver", child);
        match output.status.code() {
            Some(0) => Some(()),
            Some(6) => None,
            code => panic!("{code:?}: {}", String::from_utf8_lossy(&output.stderr)),
        }
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_sent_once_and_in_order_whatever_fails_and_is_killed() {
    let (alerts, kills) = (repetitions(100, 10_000), repetitions(6, 40));
    let folder = tempdir().unwrap();
    let lake = folder.path().join("lake");
    let receiver = Receiver::start(30).await;
    let patient = "[delivery]\nlease_seconds = 3\ntimeout_seconds = 1\ngive_up_minutes = 600\nstale_minutes = 600";
    let config = configuration(folder.path(), &receiver, patient);
    // Two alerts an incident: evidence is missing, and could not be retrieved.
    let count = alerts / 2;
    let ledger = incidents(&lake, &config, count).await;
    let begun = Instant::now();
    let mut killed = 0;
    // Half of the kills before everything was received, half of them after every second incident was closed.
    for round in 0..kills {
        if round == kills / 2 {
            to_the_end(&lake, &config);
            assert!(["/v2/enqueue", "/hook"].iter().all(|path| receiver.keys(path) == alerts));
            close(&lake, &ledger, count).await;
        }
        let child = deliverer(&lake, &config).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        killed += usize::from(kill(child, &receiver, round, alerts).await);
    }
    drop(ledger);
    assert!(killed > kills / 4, "{killed} of {kills} still ran");
    to_the_end(&lake, &config);
    let took = begun.elapsed();
    let paged = receiver.paged();
    assert_eq!(paged.len(), alerts, "every alert was received, under its own key");
    assert!(paged.values().all(|incident| incident.opened == 1), "and nobody was paged twice: {paged:#?}");
    // What was closed is closed there, and nothing else.
    for (key, incident) in &paged {
        let ordinal = key.split('/').next().unwrap().parse::<IncidentId>().unwrap().ordinal();
        assert_eq!(incident.is_open, ordinal % 2 == 0, "{key}");
    }
    // The webhook is told in order too, of each at least once; what it was told twice has one id.
    let mut lanes: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
    for arrived in receiver.arrived().iter().filter(|arrived| arrived.path == "/hook" && arrived.accepted) {
        let (key, kind) = arrived.key_and_action();
        lanes.entry(key).or_default().push((kind, arrived.body["id"].as_str().unwrap().to_owned()));
    }
    assert_eq!(lanes.len(), alerts);
    for (key, told) in &lanes {
        let kinds: Vec<&str> = told.iter().map(|(kind, _)| kind.rsplit('.').next().unwrap()).collect();
        let resolved = kinds.iter().position(|kind| *kind == "resolve").unwrap_or(kinds.len());
        assert!(resolved > 0 && kinds[..resolved].iter().all(|kind| *kind == "trigger"), "{key}: {kinds:?}");
        assert!(kinds[resolved..].iter().all(|kind| *kind == "resolve"), "{key}: {kinds:?}");
        let mut ids: Vec<&String> = told.iter().map(|(_, id)| id).collect();
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
async fn two_deliverers_at_once_send_nothing_twice() {
    let folder = tempdir().unwrap();
    let lake = folder.path().join("lake");
    let receiver = Receiver::start(0).await;
    let config = configuration(folder.path(), &receiver, "");
    let ledger = incidents(&lake, &config, 60).await;
    let start = |_| deliverer(&lake, &config).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let both: Vec<Child> = (0..2).map(start).collect();
    for child in both {
        let output = output_of("deliver", child);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    drop(ledger);
    let mut told: BTreeMap<(String, (String, String)), u32> = BTreeMap::new();
    for arrived in receiver.arrived() {
        *told.entry((arrived.path.clone(), arrived.key_and_action())).or_default() += 1;
    }
    assert_eq!(told.len(), 240, "two alerts an incident, two channels");
    assert!(told.values().all(|times| *times == 1), "{told:#?}");
    assert_eq!(ok_deliver(&lake, &config), "Nothing was due.\n");
}

fn ok_deliver(lake: &Path, config: &Path) -> String {
    let output = finish(&mut deliverer(lake, config));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn record(lake: &Path, config: &Path, report: &Value) {
    let file = lake.parent().unwrap().join("report.json");
    fs::write(&file, report.to_string()).unwrap();
    ok(lake, &["--config", config.to_str().unwrap(), "record", file.to_str().unwrap()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_for_good_is_told_elsewhere_and_fails() {
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
    let output = finish(&mut deliverer(&lake, &config));
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(1), "{out}{err}");
    assert!(out.contains("GIVEN UP: 2"), "{out}");
    assert!(err.contains("error: dead") && err.contains("routing key is not valid"), "{err}");
    assert!(!out.contains("a1a1") && !err.contains("a1a1"), "no key is shown");
    let told: Vec<_> = other.arrived().into_iter().map(|arrived| arrived.body["type"].clone()).collect();
    assert_eq!(told, ["ops-runbook.escalation.undelivered", "ops-runbook.escalation.undelivered"]);
    // It is over, and not tried again.
    assert_eq!(ok_deliver(&lake, &config), "Nothing was due.\n");
    let shown = ok(&lake, &["escalations", "show", "INC-1001/missing-evidence"]);
    assert!(shown.contains("TOLD\n") && shown.contains("dead") && shown.contains("undelivered"), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_reached_is_said_before_anything_is_sent_and_tried_again() {
    let folder = tempdir().unwrap();
    let lake = folder.path().join("lake");
    let receiver = Receiver::start(0).await;
    let config = configuration(folder.path(), &receiver, "");
    record(&lake, &config, &missing("r-1"));
    let output = finish(deliverer(&lake, &config).env_remove("HOOK_KEY").arg("--once"));
    let err = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(6), "{err}");
    assert!(err.contains("channel hook cannot be reached: the variable HOOK_KEY is not set"), "{err}");
    assert_eq!(receiver.paged().len(), 2);
    // Who comes a moment later has nothing to try yet, and all the same somebody was not told.
    let output = finish(deliverer(&lake, &config).env_remove("HOOK_KEY"));
    let out = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(6), "{out}");
    assert!(out.contains("NOT TOLD YET: 2"), "{out}");
    let nowhere = folder.path().join("nowhere");
    let output = finish(&mut deliverer(&nowhere, &config));
    assert_eq!(output.status.code(), Some(4), "another lake is not made up: {output:?}");
    assert!(!nowhere.exists());
    let output = finish(deliverer(&lake, &config).args(["--heartbeat", "http://example.test/beat"]));
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let checked = run(&lake, &["--config", config.to_str().unwrap(), "config", "check"]);
    assert!(checked.status.success(), "where a secret is need not be there when the configuration is checked");
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
    let begun = Instant::now();
    let watch = deliverer(&lake, &config)
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
    let minutes = begun.elapsed().as_secs() as usize / 60;
    assert!((1..=minutes + 1).contains(&beats.count()), "one a minute: {} in {minutes} minutes", beats.count());
    assert!(Command::new("kill").args(["-TERM", &watch.id().to_string()]).status().unwrap().success());
    let output = output_of("deliver --watch", watch);
    assert_eq!(output.status.code(), Some(0));
    // Nothing of the demo was on its way either.
    assert_eq!(receiver.count(), 4);
    let lines: Vec<Value> =
        String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let last = lines.last().unwrap();
    assert_eq!(last["delivered"], 4, "{last}");
    assert!(lines.iter().any(|line| line["event"] == "delivered" && line["says"] == "trigger"), "{lines:#?}");
    // The webhook's signature covers what was sent, and when.
    let hook = receiver.arrived().into_iter().find(|arrived| arrived.path == "/hook").unwrap();
    assert!(hook.headers["x-ops-runbook-signature"].to_str().unwrap().starts_with("v1="));
    assert_eq!(hook.headers["idempotency-key"].to_str().unwrap(), hook.body["id"].as_str().unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lake_from_before_gets_the_table_with_the_first_command_that_needs_it() {
    let folder = tempdir().unwrap();
    let lake = folder.path().join("lake");
    let receiver = Receiver::start(0).await;
    let config = configuration(folder.path(), &receiver, "");
    record(&lake, &config, &missing("r-1"));
    fs::remove_dir_all(lake.join("deliveries")).unwrap();
    ok_deliver(&lake, &config);
    assert_eq!(receiver.paged().len(), 2);
    // Whoever removes it loses nothing either: nobody is told anew.
    fs::remove_dir_all(lake.join("deliveries")).unwrap();
    assert_eq!(ok_deliver(&lake, &config), "Nothing was due.\n");
    fs::remove_dir_all(lake.join("deliveries")).unwrap();
    record(&lake, &config, &missing("r-2"));
    ok_deliver(&lake, &config);
    assert_eq!(receiver.arrived().iter().filter(|arrived| arrived.path == "/v2/enqueue").count(), 4);
    assert_intact(&lake, 2);
}
