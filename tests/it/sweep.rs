//! `sweep`: failed runs of a workspace become incidents exactly once, however often and concurrently it is swept.

mod world;

use std::{
    collections::BTreeMap,
    path::Path,
    process::Command,
    sync::{Arc, atomic::Ordering},
    time::Instant,
};

use ops_runbook::{
    domain::{ids::Id, redact::Redactor, sweep::SweepResult, time::Timestamp},
    lake::{Context, Lake},
    ops::{self, Consequences, sweep::SweepOptions},
    tables::{
        Row, catalog, from_batch,
        rows::{AuditRow, EscalationEvent, IncidentState, JobRun, TimelineEvent},
    },
};
use proptest::prelude::*;
use serde_json::{Value, json};
use tempfile::tempdir;

use crate::{
    support::{assert_intact, batches, binary, finish, json_lines, lake_at, ok},
    warehouse::fake::{Fake, TOKEN},
};
use world::{DAY, HOUR, MINUTE, Script, WORKSPACE, World, mixed, play};

/// Returns the binary with access to a fake workspace.
fn command(fake: &Fake, lake: &Path) -> Command {
    let mut command = binary(lake);
    command.env("DATABRICKS_HOST", &fake.url).env("DATABRICKS_TOKEN", TOKEN).env("NO_PROXY", "127.0.0.1").arg("sweep");
    command
}

async fn swept(fake: &Fake, lake: &Path, arguments: &[&str]) -> Value {
    let mut command = command(fake, lake);
    command.args(arguments).arg("--json");
    let output = tokio::task::spawn_blocking(move || finish(&mut command)).await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn now() -> i64 {
    Context::system().now().micros() / 1_000
}

async fn rows<R: Row>(lake: &Lake) -> Vec<R> {
    batches(lake, R::TABLE).await.iter().flat_map(|batch| from_batch::<R>(batch).unwrap()).collect()
}

async fn ledger(lake: &Lake) -> Vec<AuditRow> {
    let mut rows: Vec<AuditRow> = rows(lake).await;
    rows.sort_by_key(|row| row.seq);
    rows
}

async fn commits(lake: &Lake) -> Vec<u64> {
    let mut versions = Vec::new();
    for def in catalog::all() {
        versions.push(lake.table(def).log().await.unwrap().version);
    }
    versions
}

#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_jobs_and_five_thousand_runs_are_swept_once() {
    let folder = tempdir().unwrap();
    let now = now();
    let scripts = mixed(5_000, now, 7, 1);
    let total = scripts.len();
    let fake = World::new(scripts, now).serve().await;
    let begun = Instant::now();
    let first = swept(&fake, folder.path(), &["--since", "8d"]).await;
    let (took, requests) = (begun.elapsed(), fake.lines());
    let count = |part: &str| requests.iter().filter(|line| line.contains(part)).count();
    let incidents = first["incidents"].as_array().unwrap().len();
    println!(
        "{total} runs: {:.1?}, {} requests: {} pages of runs, {} runs, {} outputs, {} jobs; {incidents} incidents, {} additions; {}",
        took,
        requests.len(),
        count("runs/list"),
        count("runs/get?"),
        count("get-output"),
        count("jobs/get?"),
        first["added"].as_array().unwrap().len(),
        first["runs"]
    );
    assert_eq!(first["first"], true);
    // Repairs may be in progress.
    let ended = total - first["runs"]["running"].as_u64().unwrap_or(0) as usize;
    assert_eq!(first["news"], ended);
    assert!(incidents > 150, "{incidents}");
    // A page for 24 runs, and a few requests for each that failed.
    assert!(requests.len() < total / 24 + 10 + 5 * incidents + 2 * 120, "{}", requests.len());

    let lake = lake_at(folder.path());
    let audit = ledger(&lake).await;
    let versions = commits(&lake).await;
    let begun = Instant::now();
    let again = swept(&fake, folder.path(), &["--since", "8d"]).await;
    println!("again, all of it: {:.1?}, {} requests", begun.elapsed(), fake.lines().len() - requests.len());
    let seen = fake.lines().len();
    let begun = Instant::now();
    let third = swept(&fake, folder.path(), &[]).await;
    println!("again, as scheduled: {:.1?}, {} requests", begun.elapsed(), fake.lines().len() - seen);
    for sweep in [again, third] {
        assert_eq!((&sweep["news"], &sweep["incidents"], &sweep["added"]), (&json!(0), &json!([]), &json!([])));
    }
    assert_eq!(ledger(&lake).await, audit);
    assert_eq!(commits(&lake).await, versions);
    assert_intact(folder.path(), 0);
    let runs = json_lines(folder.path(), &["sql", "SELECT count(DISTINCT run_id) AS n FROM job_runs"]);
    assert_eq!(runs, [json!({ "n": ended })]);
}

/// A sweep of the library at a moment of the workspace's clock.
async fn sweep_at(lake: &Path, fake: &Fake, now: i64, options: SweepOptions) -> (SweepResult, Consequences) {
    let at = Timestamp::from_micros(now * 1_000).unwrap();
    let lake = Lake::at(lake.to_str().unwrap(), Context::new(Arc::new(move || at), now as u64)).unwrap();
    let (ledger, committer) = ops::open_ledger(&lake).await.unwrap();
    let swept =
        ops::sweep::sweep(&lake, &fake.client(), &ledger, &options, &Redactor::new(None), |_| {}).await.unwrap();
    drop(ledger);
    committer.finished().await;
    swept
}

fn back(millis: i64) -> SweepOptions {
    SweepOptions { since: Some(format!("{}m", millis / MINUTE).parse().unwrap()), workspace_id: None }
}

const BASE: i64 = 1_770_000_000_000;

#[tokio::test(flavor = "multi_thread")]
async fn repairs_and_active_runs_are_found_by_later_sweeps() {
    let folder = tempdir().unwrap();
    let long = Script::new(1, BASE, BASE + 20 * HOUR, "FAILED", "RUN_EXECUTION_ERROR");
    let repaired = Script::new(2, BASE + HOUR, BASE + 2 * HOUR, "FAILED", "RUN_EXECUTION_ERROR")
        .repaired(BASE + 12 * HOUR, BASE + 13 * HOUR, "FAILED")
        .repaired(BASE + 15 * HOUR, BASE + 16 * HOUR, "SUCCESS");
    let world = World::new([long, repaired], BASE);
    let clock = Arc::clone(&world.now);
    let fake = world.serve().await;
    let at = async |hour: i64| {
        clock.store(BASE + hour * HOUR, Ordering::SeqCst);
        sweep_at(folder.path(), &fake, BASE + hour * HOUR, SweepOptions::default()).await
    };
    let (first, consequences) = at(3).await;
    assert_eq!((first.incidents.len(), consequences.fired().count()), (1, 0));
    let (second, _) = at(14).await;
    assert_eq!((second.incidents.len(), second.added.len()), (0, 1), "the first repair failed: {second:?}");
    let (third, _) = at(17).await;
    assert_eq!((third.incidents.len(), third.added.len()), (0, 1), "the second succeeded");
    let (fourth, _) = at(21).await;
    assert_eq!((fourth.incidents.len(), fourth.added.len()), (1, 0), "the long run ended");
    let lake = lake_at(folder.path());
    let events: Vec<TimelineEvent> = rows(&lake).await;
    let verified: Vec<&TimelineEvent> = events.iter().filter(|event| event.kind.as_str() == "VERIFY").collect();
    assert_eq!(verified.len(), 1);
    assert!(verified[0].message.starts_with("Repair 22 of run 2 of job 2"), "{}", verified[0].message);
    let states: Vec<IncidentState> = rows(&lake).await;
    assert!(states.iter().any(|state| state.mitigated_at.is_some()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_without_a_start_time_leaves_the_others_as_they_are() {
    let failed = |id: i64, hours: i64| Script::new(id, BASE, BASE + hours * HOUR, "FAILED", "RUN_EXECUTION_ERROR");
    let world = || {
        let mut world = World::new([failed(1, 1), failed(2, 1), failed(3, 5), failed(4, 1)], BASE + 3 * HOUR);
        world.startless.insert(2);
        world.untimed.extend([(3, BASE + 10 * HOUR), (4, i64::MAX)]);
        world
    };
    let runs = |swept: &SweepResult| {
        let opened = swept.incidents.iter().map(|found| found.run_id.to_string()).collect::<Vec<_>>();
        (opened, swept.left.iter().map(|left| left.run_id.to_string()).collect::<Vec<_>>())
    };
    let texts = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>();
    let folder = tempdir().unwrap();
    let served = world();
    let clock = Arc::clone(&served.now);
    let fake = served.serve().await;
    let (first, _) = sweep_at(folder.path(), &fake, BASE + 3 * HOUR, SweepOptions::default()).await;
    assert_eq!(runs(&first), (texts(&["1", "2"]), texts(&["3", "4"])), "{first:#?}");
    let recorded: Vec<JobRun> = rows(&lake_at(folder.path())).await;
    let start = recorded.iter().find(|run| run.run_id.as_str() == "2").unwrap().started_at;
    assert_eq!(start.micros(), BASE * 1_000, "the start of its first task");

    // The third was under way: its start, known only now, is before those that are listed.
    clock.store(BASE + 14 * HOUR, Ordering::SeqCst);
    let (second, _) = sweep_at(folder.path(), &fake, BASE + 14 * HOUR, SweepOptions::default()).await;
    assert_eq!(runs(&second), (texts(&["3"]), texts(&[])), "{second:#?}");

    let fake = world().serve().await;
    let lake = tempdir().unwrap();
    let mut command = command(&fake, lake.path());
    command.args(["--since", "2026-02-01T00:00:00Z"]);
    let output = tokio::task::spawn_blocking(move || finish(&mut command)).await.unwrap();
    let warnings = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{warnings}");
    for run in ["3", "4"] {
        let warning = format!("warning: run {run} was skipped: the workspace returns no start time of the run");
        assert!(warnings.contains(&warning), "{warnings}");
    }
    assert_intact(lake.path(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn history_fires_no_alert_and_later_failures_do() {
    let folder = tempdir().unwrap();
    let old = Script::new(1, BASE, BASE + HOUR, "FAILED", "RUN_EXECUTION_ERROR");
    let new = Script::new(2, BASE + 3 * HOUR, BASE + 4 * HOUR, "FAILED", "RUN_EXECUTION_ERROR");
    let mut world = World::new([old.clone(), new.clone()], BASE + 2 * HOUR);
    world.refused_outputs = BTreeMap::from([(old.task_run(0, 0), 403), (new.task_run(0, 0), 404)]);
    let clock = Arc::clone(&world.now);
    let fake = world.serve().await;
    let (first, consequences) = sweep_at(folder.path(), &fake, BASE + 2 * HOUR, SweepOptions::default()).await;
    assert_eq!(
        (first.first, first.incidents.len(), first.missing_outputs, consequences.fired().count()),
        (true, 1, 1, 0)
    );
    let lake = lake_at(folder.path());
    let events: Vec<EscalationEvent> = rows(&lake).await;
    let suppressed: Vec<&EscalationEvent> =
        events.iter().filter(|event| event.event.as_str() == "suppressed").collect();
    assert_eq!(suppressed.len(), 2, "{events:#?}");
    assert!(
        suppressed
            .iter()
            .all(|event| event.reason.ends_with("it is history from before the lake; no notification is sent"))
    );
    ok(folder.path(), &["escalation", "evaluate"]);
    let events: Vec<EscalationEvent> = rows(&lake).await;
    assert!(events.iter().all(|event| event.event.as_str() != "fired"), "{events:#?}");

    clock.store(BASE + 5 * HOUR, Ordering::SeqCst);
    let (second, consequences) = sweep_at(folder.path(), &fake, BASE + 5 * HOUR, SweepOptions::default()).await;
    assert_eq!((second.first, second.incidents.len()), (false, 1));
    let mut triggers: Vec<&str> = consequences.fired().map(|event| event.trigger.as_str()).collect();
    triggers.sort_unstable();
    assert_eq!(triggers, ["access-issue", "missing-evidence"]);
    // The workspace's responses contain a secret.
    let entries: Vec<AuditRow> = rows(&lake).await;
    assert!(entries.iter().all(|row| !row.entry.contains("dapi0123") && !row.entry.contains("hunter22")));
    // A new finding fires again.
    let fingerprint =
        ["incident", "rca", "INC-1001", "unknown", "--confidence", "LOW", "--missing-evidence", "run_output=gone"];
    ok(folder.path(), &fingerprint);
    let events: Vec<EscalationEvent> = rows(&lake).await;
    let of_first = events.iter().filter(|event| event.incident_id == first.incidents[0].incident_id);
    assert_eq!(of_first.filter(|event| event.event.as_str() == "fired").count(), 2);
}

/// Returns the alerts that fired, and the suppressed ones that refer to them.
async fn alerts(lake: &Lake) -> (Vec<(String, String)>, Vec<(String, String)>) {
    let mut events: Vec<EscalationEvent> = rows(lake).await;
    events.sort_by_key(|event| (event.seq, event.ordinal));
    let of = |wanted: &str| {
        let chosen = events.iter().filter(|event| event.event.as_str() == wanted);
        chosen.map(|event| (event.incident_id.to_string(), event.trigger.to_string())).collect::<Vec<_>>()
    };
    let suppressed = events.iter().filter(|event| event.event.as_str() == "suppressed");
    for event in suppressed {
        assert!(event.reason.ends_with(" already reports that evidence cannot be read"), "{}", event.reason);
        assert!(event.message.is_some(), "the message of a suppressed alert is kept");
    }
    (of("fired"), of("suppressed"))
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_output_access_fires_one_alert_and_not_one_per_run() {
    let folder = tempdir().unwrap();
    let failed = |run: i64, hour: i64| {
        Script::new(run, BASE + hour * HOUR, BASE + hour * HOUR + MINUTE, "FAILED", "RUN_EXECUTION_ERROR")
    };
    let runs = [failed(1, 1), failed(2, 1), failed(3, 1), failed(4, 2), failed(5, 2), failed(6, 7), failed(7, 7)];
    let mut world = World::new(runs, BASE);
    world.denies_outputs = true;
    let clock = Arc::clone(&world.now);
    let fake = world.serve().await;
    let at = async |hour: i64, options: SweepOptions| {
        clock.store(BASE + hour * HOUR, Ordering::SeqCst);
        sweep_at(folder.path(), &fake, BASE + hour * HOUR, options).await.0
    };
    at(0, SweepOptions::default()).await;
    let first = at(2, SweepOptions::default()).await;
    assert_eq!((first.incidents.len(), first.missing_outputs), (3, 3));
    assert_eq!(first.told_with, Some(first.incidents[0].incident_id));
    let lake = lake_at(folder.path());
    let pair = |incident: &str| {
        [(incident.to_owned(), "missing-evidence".to_owned()), (incident.to_owned(), "access-issue".to_owned())]
    };
    let (fired, suppressed) = alerts(&lake).await;
    assert_eq!(fired, pair("INC-1001"));
    assert_eq!(suppressed, [pair("INC-1002"), pair("INC-1003")].concat());
    // Each incident records its missing evidence.
    let missing =
        "SELECT count(*) AS n FROM root_causes WHERE confidence = 'LOW' AND missing_evidence LIKE '%run_output%'";
    assert_eq!(json_lines(folder.path(), &["sql", missing]), [json!({ "n": 3 })]);

    // Within the cool-down, also if the same hours are swept again.
    let second = at(3, SweepOptions::default()).await;
    assert_eq!((second.incidents.len(), second.told_with), (2, first.told_with));
    let again = at(4, back(6 * HOUR)).await;
    assert_eq!((again.incidents.len(), again.told_with), (0, None));
    ok(folder.path(), &["escalation", "evaluate"]);
    assert_eq!(alerts(&lake).await.0, fired);
    // If it persists, an alert fires again after the cool-down.
    let third = at(8, SweepOptions::default()).await;
    assert_eq!(third.told_with, Some(third.incidents[0].incident_id));
    assert_eq!(alerts(&lake).await.0, [pair("INC-1001"), pair("INC-1006")].concat());
    // A new finding fires.
    let finding =
        ["incident", "rca", "INC-1002", "unknown", "--confidence", "LOW", "--missing-evidence", "run_output=gone"];
    ok(folder.path(), &finding);
    let fired: Vec<(String, String)> = alerts(&lake).await.0;
    assert_eq!(fired[4..], pair("INC-1002"));
    assert_intact(folder.path(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_sweeps_record_the_same_as_one() {
    let folder = tempdir().unwrap();
    let now = now();
    let fake = World::new(mixed(300, now, 3, 2), now).serve().await;
    let (one, other) = tokio::join!(swept(&fake, folder.path(), &[]), swept(&fake, folder.path(), &[]));
    let lake = lake_at(folder.path());
    let requests: Vec<AuditRow> = rows(&lake).await;
    let opened = requests.iter().filter(|row| row.request_kind == "open_incident").count();
    let new =
        |sweep: &Value| sweep["incidents"].as_array().unwrap().iter().filter(|found| found["known"] == false).count();
    assert!(opened > 5);
    assert_eq!(new(&one) + new(&other), opened);
    let runs: Vec<JobRun> = rows(&lake).await;
    let distinct: std::collections::BTreeSet<&Id> = runs.iter().map(|run| &run.run_id).collect();
    assert_eq!(distinct.len(), runs.len(), "each run is recorded once");
    assert_intact(folder.path(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_of_a_started_run_is_recorded_in_the_incident_of_the_started_run() {
    let folder = tempdir().unwrap();
    let now = now();
    let child = Script::new(1, now - 3 * HOUR, now - 2 * HOUR, "FAILED", "RUN_EXECUTION_ERROR");
    let mut parent = Script::new(2, now - 3 * HOUR, now - HOUR, "FAILED", "RUN_EXECUTION_ERROR");
    parent.acts[0].tasks[0].child = Some(1);
    let mut healed = Script::new(3, now - 2 * HOUR, now - HOUR, "SUCCESS", "SUCCESS");
    healed.acts[0].tasks = vec![world::Play { retries: 2, ..play("extract", "SUCCESS") }];
    let fake = World::new([child, parent, healed], now).serve().await;
    let sweep = swept(&fake, folder.path(), &[]).await;
    let incidents = sweep["incidents"].as_array().unwrap();
    assert_eq!(incidents.len(), 1, "{sweep:#}");
    assert_eq!(incidents[0]["run_id"], "1");
    assert_eq!(sweep["added"][0]["run_id"], "2");
    let shown = ok(folder.path(), &["incident", "show", "INC-1001"]);
    assert!(shown.contains("because of run 1, which its task \"extract\" started"), "{shown}");
    let runs =
        json_lines(folder.path(), &["sql", "SELECT run_id, result_state, retried_tasks FROM job_runs ORDER BY run_id"]);
    assert_eq!(runs[2], json!({ "run_id": "3", "result_state": "SUCCESS", "retried_tasks": 1 }));
    assert_eq!(runs.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_names_missing_settings() {
    let folder = tempdir().unwrap();
    let fake = World::new([], now()).serve().await;
    let mut other = command(&fake, folder.path());
    other.args(["--workspace-id", "12"]);
    let refused = tokio::task::spawn_blocking(move || finish(&mut other)).await.unwrap();
    let err = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(3), "{err}");
    assert!(err.contains(&format!("the workspace is {WORKSPACE}, not 12")), "{err}");
    let mut wrong = command(&fake, folder.path());
    wrong.args(["--since", "yesterday"]);
    let refused = tokio::task::spawn_blocking(move || finish(&mut wrong)).await.unwrap();
    assert_eq!(refused.status.code(), Some(2));
    let nothing = swept(&fake, folder.path(), &[]).await;
    assert_eq!((&nothing["first"], &nothing["news"]), (&json!(true), &json!(0)));
    let again = swept(&fake, folder.path(), &[]).await;
    assert_eq!(again["first"], false, "an empty workspace is known to have been swept");
}

/// Returns the recorded runs and incidents, independent of the sweeps that recorded them.
async fn known(lake: &Path) -> BTreeMap<String, Vec<String>> {
    let lake = lake_at(lake);
    let mut known: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut runs: Vec<JobRun> = rows(&lake).await;
    let mut latest: BTreeMap<Id, JobRun> = BTreeMap::new();
    runs.sort_by_key(|run| run.seq);
    for run in runs {
        latest.insert(run.run_id.clone(), run);
    }
    for (id, run) in latest {
        let text =
            format!("{:?} {:?} {:?} {:?}", run.ended_at, run.result_state, run.termination_code, run.retried_tasks);
        known.insert(format!("run {id}"), vec![text]);
    }
    let audit: Vec<AuditRow> = rows(&lake).await;
    let opened: BTreeMap<_, _> = audit
        .iter()
        .filter(|row| row.request_kind == "open_incident")
        .map(|row| (row.incident_id.unwrap(), row.request_id.to_string()))
        .collect();
    let events: Vec<TimelineEvent> = rows(&lake).await;
    for event in events.iter().filter(|event| event.tool.as_deref() != Some("jobs/get")) {
        let text = format!("{} {} {} {:?}", event.occurred_at, event.kind, event.message, event.evidence);
        known.entry(opened[&event.incident_id].clone()).or_default().push(text);
    }
    known.values_mut().for_each(|texts| texts.sort());
    known
}

/// Returns when alerts about missing access fired, in microseconds.
async fn access_alerts(lake: &Path) -> Vec<i64> {
    let events: Vec<EscalationEvent> = rows(&lake_at(lake)).await;
    let fired =
        events.iter().filter(|event| event.trigger.as_str() == "access-issue" && event.event.as_str() == "fired");
    let mut times: Vec<i64> = fired.map(|event| event.occurred_at.micros()).collect();
    times.sort_unstable();
    times
}

fn histories() -> impl Strategy<Value = (Vec<Script>, Vec<i64>)> {
    let run = (
        0..36_i64,
        1..180_i64,
        0..10_u8,
        proptest::collection::vec((1..300_i64, 1..60_i64, any::<bool>()), 0..3),
        any::<bool>(),
    );
    let runs = proptest::collection::vec(run, 1..12);
    let sweeps = proptest::collection::vec(1..(44 * 4_i64), 0..6);
    (runs, sweeps).prop_map(|(runs, mut sweeps)| {
        let mut scripts: Vec<Script> = Vec::new();
        for (place, (hour, minutes, ending, repairs, is_started)) in runs.into_iter().enumerate() {
            let id = place as i64 + 1;
            let start = BASE + hour * HOUR + id * 1_000;
            let end = start + minutes * MINUTE;
            let (result, code) = [
                ("SUCCESS", "SUCCESS"),
                ("SUCCESS", "SUCCESS"),
                ("FAILED", "RUN_EXECUTION_ERROR"),
                ("FAILED", "RUN_EXECUTION_ERROR"),
                ("FAILED", "RUN_EXECUTION_ERROR"),
                ("FAILED", "CLUSTER_ERROR"),
                ("TIMEDOUT", "CANCELED"),
                ("CANCELED", "USER_CANCELED"),
                ("SUCCESS_WITH_FAILURES", "SUCCESS_WITH_FAILURES"),
                ("MAXIMUM_CONCURRENT_RUNS_REACHED", "MAX_CONCURRENT_RUNS_EXCEEDED"),
            ][usize::from(ending)];
            let mut script = Script::new(id, start, end, result, code);
            if result == "FAILED" {
                let mut at = end;
                for (after, minutes, succeeds) in repairs {
                    let from = at + after * MINUTE;
                    at = from + minutes * MINUTE;
                    script = script.repaired(from, at, if succeeds { "SUCCESS" } else { "FAILED" });
                    if succeeds {
                        break;
                    }
                }
            }
            if is_started && code == "RUN_EXECUTION_ERROR" {
                let mut parent = Script::new(100 + id, start - 500, end + 500, "FAILED", "RUN_EXECUTION_ERROR");
                parent.acts[0].tasks[0].child = Some(id);
                scripts.push(parent);
            }
            scripts.push(script);
        }
        sweeps.sort_unstable();
        (scripts, sweeps)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn many_sweeps_record_the_same_as_one_at_the_end((scripts, sweeps) in histories(), denied in any::<bool>()) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async {
            let (often, once) = (tempdir().unwrap(), tempdir().unwrap());
            let end = BASE + 4 * DAY;
            let mut world = World::new(scripts, BASE);
            world.denies_outputs = denied;
            let clock = Arc::clone(&world.now);
            let fake = world.serve().await;
            // The first sweep runs before all failures, so that none is history.
            for (sweep, quarter) in [&0].into_iter().chain(&sweeps).enumerate() {
                let now = BASE - HOUR + quarter * 15 * MINUTE;
                clock.store(now, Ordering::SeqCst);
                let options = if sweep % 2 == 0 { SweepOptions::default() } else { back(quarter % 40 * HOUR + MINUTE) };
                sweep_at(often.path(), &fake, now, options).await;
            }
            clock.store(end, Ordering::SeqCst);
            sweep_at(often.path(), &fake, end, back(4 * DAY)).await;
            sweep_at(once.path(), &fake, end, back(5 * DAY)).await;
            let alerts = access_alerts(often.path()).await;
            assert!(alerts.windows(2).all(|pair| pair[1] - pair[0] >= 4 * HOUR * 1_000), "{alerts:?}");
            assert!(access_alerts(once.path()).await.is_empty(), "all of it is history");
            let (often, once) = (known(often.path()).await, known(once.path()).await);
            let failed = often.iter().any(|(what, texts)| !what.starts_with("run ") && texts.iter().any(|it| it.contains("could not be retrieved")));
            assert_eq!(alerts.is_empty(), !(denied && failed));
            for (what, texts) in &once {
                assert_eq!(often.get(what), Some(texts), "{what}");
            }
            assert_eq!(often.len(), once.len(), "{often:#?}");
        });
    }
}
