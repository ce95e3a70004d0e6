//! SQL warehouses: the same queries with the same results, through the library and through the binary.

mod api;
mod copies;
pub mod emulators;
pub mod fake;

use std::{
    fs,
    path::Path,
    process::{Command, Output, Stdio},
};

use ops_runbook::{
    analytics::{
        QueryError,
        engine::{Engine, Parameters},
        queries, recurrence,
        warehouse::Warehouse,
    },
    domain::{
        recurrence::{RecurrenceRule, time_range::TimeRange},
        time::Timestamp,
    },
};
use serde_json::{Value, json};
use tempfile::tempdir;

use crate::{
    support::{EXAMPLES, binary, example, finish, json_lines, lake_at, ok, report, run},
    wait::output_of,
};
use fake::{Fake, TOKEN, error, found, statement_state};

fn warehouse(fake: &Fake) -> Warehouse {
    Warehouse::new(fake.client(), "wh".into(), "ops".into(), "runbook".into(), Box::new(|_| {}))
}

#[tokio::test]
async fn a_warehouse_in_another_time_zone_is_refused() {
    for (winter, summer, midnight) in [
        ("2026-01-15T00:00:00.123-08:00", "2026-07-15T00:00:00.123-07:00", "2026-01-14 16:00"),
        ("2026-01-15T00:00:00.123Z", "2026-07-15T00:00:00.123+01:00", "2026-07-15 01:00"),
    ] {
        let clock = found(&[("winter", "TIMESTAMP"), ("summer", "TIMESTAMP")], 1, 1, json!([[winter, summer]]));
        let fake = Fake::script([clock]).await;
        let refused = Engine::Warehouse(&warehouse(&fake)).run("SELECT 1", &[]).await.unwrap_err();
        let error_text = format!("the warehouse's time zone is not UTC: midnight UTC is {midnight} there");
        assert!(matches!(&refused, QueryError::Warehouse(error) if error.to_string() == error_text), "{refused}");
        assert_eq!(fake.lines().len(), 1, "nothing else is asked");
    }
}

#[tokio::test]
async fn exact_timestamps_make_the_query_for_columns_unnecessary() {
    let exact = json!([["2026-01-15T00:00:00.123456Z", "2026-07-15 00:00:00.123456"]]);
    let clock = found(&[("winter", "TIMESTAMP"), ("summer", "TIMESTAMP")], 1, 1, exact);
    let hostile = "\u{1b}[2J'); DROP TABLE x; --\\\u{0}";
    let rows = json!([["2026-02-11T12:36:00.000001Z", hostile], [null, null]]);
    let fake = Fake::script([clock, found(&[("at", "TIMESTAMP"), ("text", "STRING")], 2, 1, rows)]).await;
    let warehouse = warehouse(&fake);
    type Row = (Option<Timestamp>, Option<String>);
    let rows: Vec<Row> = Engine::Warehouse(&warehouse).rows("SELECT at, text FROM x", &[]).await.unwrap();
    assert_eq!(rows, [(Some("2026-02-11T12:36:00.000001Z".parse().unwrap()), Some(hostile.into())), (None, None)]);
    assert_eq!(fake.requests()[1].body["statement"], "SELECT at, text FROM x");
}

/// Records two months with four causes at odd microseconds, so that truncation to milliseconds is detected.
fn history(folder: &Path) -> std::path::PathBuf {
    let (lake, file) = (folder.join("lake"), folder.join("reports.jsonl"));
    let mut text = String::new();
    for n in 0..40_i64 {
        let mut one = report(&format!("r{n}"));
        let micros = 1_767_571_200_000_000 + (n * n * 7_919 % 700) * 3_600_000_000 + (n % 3 - 1);
        one["incident"]["reported_at"] = Timestamp::from_micros(micros).unwrap().to_string().into();
        one["rca"]["root_cause"] =
            ["executor out of memory", "no retry policy", "token expired", "unknown"][n as usize % 4].into();
        text.push_str(&format!("{one}\n"));
    }
    fs::write(&file, text).unwrap();
    ok(&lake, &["record", file.to_str().unwrap()]);
    lake
}

/// Returns a value for every parameter in the header of a file, by its name or its type.
fn parameters(sql: &str, as_of: Timestamp, cause: &str) -> Parameters {
    let week_before = Timestamp::from_micros(as_of.micros() - 7 * 24 * 3_600_000_000).unwrap();
    let header = regex::Regex::new(r"(?m)^--.*?:([a-z0-9_]+)\s+(TIMESTAMP|INT|BIGINT|STRING)\b").unwrap();
    let given = header.captures_iter(sql).map(|found| {
        let value = match (&found[1], &found[2]) {
            ("as_of", _) => as_of.into(),
            ("threshold", _) => 3.into(),
            ("window_hours", _) => 168.into(),
            ("cause", _) => cause.into(),
            ("since", _) => TimeRange::whole(as_of).since.into(),
            (name, "TIMESTAMP") if name.contains("end") => as_of.into(),
            (_, "TIMESTAMP") => week_before.into(),
            (_, "STRING") => "UTC".into(),
            _ => 1.into(),
        };
        (found[1].to_owned(), value)
    });
    given.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_queries_about_recurrence_return_the_same_on_a_warehouse() {
    let folder = tempdir().unwrap();
    let path = history(folder.path());
    let lake = lake_at(&path);
    let fake = Fake::over(&path).await;
    let warehouse = warehouse(&fake);
    let (here, there) = (Engine::Local(&lake), Engine::Warehouse(&warehouse));
    let as_of: Timestamp = "2026-02-20T00:00:00Z".parse().unwrap();
    let whole = TimeRange::whole(as_of);
    let episodes = recurrence::episodes(here, whole, RecurrenceRule::DEFAULT, None).await.unwrap();
    let is_odd = |at: Timestamp| at.micros() % 1_000 != 0;
    assert!(episodes.iter().any(|episode| is_odd(episode.first_at) || is_odd(episode.last_at)), "{episodes:?}");
    assert_eq!(recurrence::episodes(there, whole, RecurrenceRule::DEFAULT, None).await.unwrap(), episodes);
    let causes: Vec<String> = episodes.iter().map(|episode| episode.cause.clone()).collect();
    assert_eq!(
        recurrence::members(there, whole, RecurrenceRule::DEFAULT, &causes, whole.since).await.unwrap(),
        recurrence::members(here, whole, RecurrenceRule::DEFAULT, &causes, whole.since).await.unwrap()
    );
    assert_eq!(
        recurrence::occurrences(there, whole, &causes).await.unwrap(),
        recurrence::occurrences(here, whole, &causes).await.unwrap()
    );
    assert_eq!(recurrence::recorded(there).await.unwrap(), recurrence::recorded(here).await.unwrap());
    assert_eq!(recurrence::aliases(there).await.unwrap(), recurrence::aliases(here).await.unwrap());
    let mut rows = 0;
    for (name, sql) in queries().filter(|(_, sql)| sql.contains(":cause") || sql.contains("window_hours")) {
        let parameters = parameters(sql, as_of, &causes[0]);
        let count = |batches: &[arrow::array::RecordBatch]| batches.iter().map(|batch| batch.num_rows()).sum::<usize>();
        let (_, found) = there.run(name, &parameters).await.unwrap();
        assert_eq!(count(&found), count(&here.run(name, &parameters).await.unwrap().1), "{name}");
        rows += count(&found);
    }
    assert!(rows > 20, "{rows}");
}

/// Returns a command of the binary with the settings of a workspace.
fn on(fake_url: &str, lake: &Path, arguments: &[&str]) -> Command {
    let mut command = binary(lake);
    for name in ["DATABRICKS_WAREHOUSE_ID", "OPS_RUNBOOK_CATALOG", "OPS_RUNBOOK_SCHEMA"] {
        command.env_remove(name);
    }
    command.env("DATABRICKS_HOST", fake_url).env("DATABRICKS_TOKEN", TOKEN).env("NO_PROXY", "127.0.0.1");
    command.args(arguments).args(["--engine", "warehouse"]);
    command
}

const PLACE: [&str; 6] = ["--warehouse-id", "wh", "--catalog", "ops", "--schema", "runbook"];

const SCAN: [&str; 8] = ["recurrence", "scan", "--warehouse-id", "wh", "--catalog", "ops", "--schema", "runbook"];

pub fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Copies a lake to another folder.
pub fn copied(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-r").args([from, to]).status().unwrap().success());
}

/// Returns the recorded rows about recurrence, without times.
fn recorded(lake: &Path) -> Vec<Value> {
    let mut rows = json_lines(lake, &["sql", "SELECT * FROM recurrence_events ORDER BY seq"]);
    for row in &mut rows {
        row.as_object_mut().unwrap().remove("recorded_at");
    }
    rows
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scan_on_a_warehouse_records_the_same_as_a_local_scan() {
    let folder = tempdir().unwrap();
    let here = history(folder.path());
    let there = folder.path().join("there");
    copied(&here, &there);
    let config = folder.path().join("more.toml");
    fs::write(&config, "[recurring]\nthreshold = 2\nwindow_hours = 100\n").unwrap();
    let before = recorded(&here).len();
    let scan = ["recurrence", "scan", "--as-of", "2026-02-20T00:00:00Z", "--config", config.to_str().unwrap()];
    let said = run(&here, &scan);
    let fake = Fake::over(&there).await;
    let output = finish(&mut on(&fake.url, &there, &[&scan[..], &PLACE[..]].concat()));
    assert!(output.status.success(), "{}", err(&output));
    assert_eq!(err(&output), err(&said), "no progress is printed to a pipe");
    assert_eq!(output.stdout.len(), said.stdout.len());
    let found = recorded(&there);
    assert!(found.len() > before + 2, "{} and {before}", found.len());
    assert_eq!(found, recorded(&here));
    assert!(fake.requests().iter().all(|request| request.body["catalog"] == "ops"));
    assert!(fake.requests().len() > 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_warehouse_on_another_lake_is_refused() {
    let folder = tempdir().unwrap();
    let lakes = ["ours", "theirs", "empty"].map(|name| folder.path().join(name));
    for (lake, examples) in lakes.iter().zip([&EXAMPLES[..2], &EXAMPLES[..3], &[]]) {
        ok(lake, &["init"]);
        examples.iter().for_each(|name| drop(ok(lake, &["record", &example(name)])));
    }
    for (ours, theirs) in [(0, 1), (1, 0), (2, 0), (0, 2)] {
        let fake = Fake::over(&lakes[theirs]).await;
        let before = json_lines(&lakes[ours], &["sql", "SELECT count(*) AS n FROM audit_log"]);
        let output = finish(&mut on(&fake.url, &lakes[ours], &SCAN));
        assert_eq!(output.status.code(), Some(3), "{ours} {theirs}: {}", err(&output));
        assert!(err(&output).contains("the tables of the warehouse belong to another lake"), "{}", err(&output));
        assert_eq!(json_lines(&lakes[ours], &["sql", "SELECT count(*) AS n FROM audit_log"]), before);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_cancels_statements_on_the_warehouse() {
    let folder = tempdir().unwrap();
    ok(folder.path(), &["init"]);
    let fake = Fake::script([statement_state("PENDING")]).await;
    let mut command = on(&fake.url, folder.path(), &SCAN);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    fake.asked(3).await;
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let output = output_of("a scan that is interrupted", child);
    assert_eq!(output.status.code(), Some(130), "{}", err(&output));
    assert_eq!(
        err(&output),
        "cancelling the statements on the warehouse\nerror: interrupted; statements on the warehouse that were cancelled: 1\n"
    );
    assert_eq!(fake.cancellations(), 1);
}

#[test]
fn all_missing_settings_are_named_together() {
    let folder = tempdir().unwrap();
    ok(folder.path(), &["init"]);
    let mut command = on("", folder.path(), &["recurrence", "scan", "--schema", " "]);
    let missing = finish(command.env_remove("DATABRICKS_TOKEN"));
    assert_eq!(missing.status.code(), Some(2));
    assert_eq!(
        err(&missing).lines().next().unwrap(),
        "error: a warehouse needs the workspace's URL in DATABRICKS_HOST, a token in DATABRICKS_TOKEN, --warehouse-id (or \
         DATABRICKS_WAREHOUSE_ID), --catalog (or OPS_RUNBOOK_CATALOG), --schema (or OPS_RUNBOOK_SCHEMA)"
    );
    let plain = finish(&mut on("http://example.test", folder.path(), &SCAN));
    assert_eq!(plain.status.code(), Some(3));
    assert!(err(&plain).starts_with(
        "error: DATABRICKS_HOST cannot be used: the workspace's URL is not https://; tokens are sent by https:// only\n"
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_of_a_workspace_are_printed_without_secrets_and_control_characters() {
    let folder = tempdir().unwrap();
    ok(folder.path(), &["init"]);
    let secret = format!("dapi{}", "0123456789abcdef".repeat(2));
    let fake =
        Fake::script([error(403, "PERMISSION_DENIED", &format!("\u{1b}[2J token {secret}\nerror: all is well"))]).await;
    let output = finish(&mut on(&fake.url, folder.path(), &SCAN));
    assert_eq!(output.status.code(), Some(1));
    let error_text = err(&output);
    assert!(
        error_text.contains("[REDACTED:") && !error_text.contains(&secret) && !error_text.contains('\u{1b}'),
        "{error_text}"
    );
    assert_eq!(error_text.lines().filter(|line| line.starts_with("error: ")).count(), 1, "{error_text}");
}
