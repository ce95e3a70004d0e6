//! SQL warehouses: the API's answers as they were recorded, the same queries with the same answers, and what is cancelled.

mod emulators;
mod fake;

use std::{
    fs,
    path::Path,
    process::{Command, Output, Stdio},
    sync::Mutex,
    time::{Duration, Instant},
};

use ops_runbook::{
    analytics::{
        QueryError,
        engine::{Engine, Parameters},
        queries, recurrence,
        warehouse::Warehouse,
    },
    databricks::{
        error::ApiError,
        statements::{Answer, Cancelled, Parameter, State, Statement, StatementError},
    },
    domain::{
        recurrence::{Rule, stretch::Stretch},
        time::Timestamp,
    },
};
use serde_json::{Value, json};
use tempfile::tempdir;

use crate::support::{EXAMPLES, binary, example, json_lines, lake_at, ok, report, run};
use fake::{Fake, Reply, TOKEN, error, found, stands};

const STATEMENT: Statement<'_> =
    Statement { warehouse_id: "wh", catalog: "ops", schema: "runbook", sql: "SELECT 1", parameters: &[] };

async fn answer_to<R: Into<Reply>>(replies: impl IntoIterator<Item = R>) -> Result<Answer, StatementError> {
    Fake::script(replies).await.statements().run(STATEMENT, |_| {}).await
}

async fn refusal<R: Into<Reply>>(reply: R) -> StatementError {
    answer_to([reply]).await.unwrap_err()
}

#[tokio::test]
async fn a_statement_is_asked_about_until_it_ends_and_read_chunk_by_chunk() {
    let chunk = |index, rows| json!({ "chunk_index": index, "row_offset": 2 * index, "data_array": rows });
    let first = found(&[("n", "LONG"), ("text", "STRING")], 5, 3, json!([["1", "a"], ["2", null]]));
    let script = [
        stands("PENDING"),
        stands("RUNNING"),
        first,
        chunk(1, json!([["3", "c"], ["4", "d"]])),
        chunk(2, json!([["5", "e"]])),
    ];
    let fake = Fake::script(script).await;
    let told = Mutex::new(Vec::new());
    let parameters = [
        Parameter { name: "cause".into(), value: "a'b".into(), kind: "STRING" },
        Parameter { name: "n".into(), value: "3".into(), kind: "INT" },
    ];
    let statement = Statement { parameters: &parameters, ..STATEMENT };
    let tell = |state: &State| told.lock().unwrap().push(state.to_string());
    let answer = fake.statements().run(statement, tell).await.unwrap();
    assert_eq!(answer.columns.iter().map(|column| column.name.as_str()).collect::<Vec<_>>(), ["n", "text"]);
    let rows: Value = answer.rows.iter().cloned().collect();
    assert_eq!(rows, json!([["1", "a"], ["2", null], ["3", "c"], ["4", "d"], ["5", "e"]]));
    assert_eq!(*told.lock().unwrap(), ["PENDING", "PENDING", "RUNNING"]);

    let at = "/api/2.0/sql/statements";
    let lines = ["POST ", "GET /one", "GET /one", "GET /one/result/chunks/1", "GET /one/result/chunks/2"];
    assert_eq!(fake.lines(), lines.map(|line| line.replacen(' ', &format!(" {at}"), 1)));
    assert_eq!(
        fake.requests()[0].body,
        json!({
            "warehouse_id": "wh", "catalog": "ops", "schema": "runbook", "statement": "SELECT 1",
            "parameters": [{ "name": "cause", "value": "a'b", "type": "STRING" }, { "name": "n", "value": "3", "type": "INT" }],
            "wait_timeout": "5s", "on_wait_timeout": "CONTINUE", "disposition": "INLINE", "format": "JSON_ARRAY",
        })
    );
    assert!(fake.requests().iter().all(|request| request.agent.starts_with("ops-runbook/")));
}

#[tokio::test]
async fn a_failure_in_a_success_is_a_failure() {
    let error = json!({ "error_code": "BAD_REQUEST", "message": "[TABLE_OR_VIEW_NOT_FOUND] `x` cannot be found. SQLSTATE: 42P01" });
    let failed =
        json!({ "statement_id": "one", "status": { "state": "FAILED", "error": error, "sql_state": "42P01" } });
    let refused = refusal(failed).await;
    assert!(refused.is_refusal());
    assert_eq!(
        refused.to_string(),
        "the warehouse failed: [TABLE_OR_VIEW_NOT_FOUND] `x` cannot be found. SQLSTATE: 42P01"
    );
    let silent = refusal(stands("FAILED")).await;
    assert!(!silent.is_refusal());
    assert_eq!(silent.to_string(), "the warehouse failed: it does not say why");
    assert!(matches!(refusal(stands("CANCELED")).await, StatementError::Cancelled { id } if id == "one"));
    assert!(matches!(refusal(stands("CLOSED")).await, StatementError::Closed { id } if id == "one"));
    let odd = refusal(stands("LOST")).await.to_string();
    assert_eq!(odd, "the workspace gives an unexpected answer: a statement in the state LOST");
}

#[tokio::test]
async fn a_part_of_an_answer_is_never_taken_for_all_of_it() {
    let whole = || found(&[("n", "LONG")], 2, 1, json!([["1"], ["2"]]));
    assert_eq!(answer_to([whole()]).await.unwrap().rows.len(), 2);
    let with = |pointer: &str, value: Value| {
        let mut changed = whole();
        *changed.pointer_mut(pointer).unwrap() = value;
        changed
    };
    let truncated = refusal(with("/manifest/truncated", json!(true))).await;
    assert!(matches!(truncated, StatementError::Truncated { rows: 2 }));
    let fewer = refusal(with("/manifest/total_row_count", json!(3))).await;
    assert!(matches!(fewer, StatementError::Incomplete { expected: 3, got: 2 }));
    let linked =
        refusal(with("/result", json!({ "external_links": [{ "external_link": "https://example.test" }] }))).await;
    assert!(matches!(linked, StatementError::Incomplete { expected: 2, got: 0 }));
    for odd in [
        with("/manifest", Value::Null),
        with("/result/data_array", json!([["1"], ["2", "3"]])),
        with("/result/data_array", json!([["1"], [2]])),
        with("/status", Value::Null),
    ] {
        let found = refusal(odd.clone()).await;
        assert!(matches!(found, StatementError::Api(ApiError::Unexpected(_))), "{odd}: {found}");
    }
    let mut two = with("/manifest/total_chunk_count", json!(2));
    let wrong = json!({ "chunk_index": 0, "data_array": [["1"], ["2"]] });
    let again = answer_to([two.clone(), wrong]).await.unwrap_err();
    assert!(again.to_string().contains("another chunk than 1"), "{again}");
    *two.pointer_mut("/manifest/total_row_count").unwrap() = json!(4);
    let gone = answer_to([two.into(), error(404, "NOT_FOUND", "the result is not there any more")]).await.unwrap_err();
    assert!(matches!(gone, StatementError::Api(ApiError::NotFound(_))), "{gone}");
}

#[tokio::test]
async fn every_refusal_says_what_to_do() {
    let page = |status| Reply { status, body: "<!doctype html><title>Sign in</title>".into(), ..json!(null).into() };
    let mut cut: Reply = found(&[("n", "LONG")], 1, 1, json!([["1"]])).into();
    cut.body.truncate(cut.body.len() / 2);
    for (reply, expected) in [
        (error(401, "X", "expired"), "the workspace does not accept the token: X: expired"),
        (
            error(403, "PERMISSION_DENIED", "no CAN USE"),
            "the workspace does not allow this: PERMISSION_DENIED: no CAN USE",
        ),
        (error(404, "NOT_FOUND", "wh"), "the workspace knows no such thing: NOT_FOUND: wh"),
        (
            error(400, "INVALID_PARAMETER_VALUE", "wh is not a valid endpoint id"),
            "the workspace refuses the request: INVALID_PARAMETER_VALUE: wh is not a valid endpoint id",
        ),
        (page(403), "the workspace does not allow this: 403 Forbidden"),
        (page(500), "the workspace gives an unexpected answer: 500 Internal Server Error"),
        (page(302), "the workspace gives an unexpected answer: 302 Found"),
        (
            page(200),
            "the workspace gives an unexpected answer: expected value at line 1 column 1, in \"<!doctype html>",
        ),
        (cut, "the workspace gives an unexpected answer: EOF while parsing"),
    ] {
        let refused = refusal(reply.clone()).await;
        assert!(refused.to_string().starts_with(expected), "{reply:?}: {refused}");
        assert!(refused.hint().is_some());
    }
}

#[tokio::test]
async fn who_is_asked_to_wait_waits_and_asks_again() {
    let whole: Reply = found(&[("n", "LONG")], 1, 1, json!([["1"]])).into();
    let busy = |status, retry_after| Reply { retry_after, ..error(status, "REQUEST_LIMIT_EXCEEDED", "slow down") };
    let started = Instant::now();
    let fake =
        Fake::script([busy(429, Some("1")), busy(503, None), Reply { is_cut: true, ..whole.clone() }, whole]).await;
    assert_eq!(fake.statements().run(STATEMENT, |_| {}).await.unwrap().rows.len(), 1);
    assert_eq!(fake.lines().len(), 4);
    assert!(started.elapsed() > Duration::from_millis(1_600), "{:?}", started.elapsed());

    let started = Instant::now();
    let refused = refusal(busy(429, Some("86400"))).await;
    assert!(
        matches!(&refused, StatementError::Api(ApiError::Throttled(text)) if text.contains("slow down")),
        "{refused}"
    );
    assert!(started.elapsed() < Duration::from_secs(5), "a day is too long to wait");
}

#[tokio::test]
async fn a_workspace_that_is_not_there_is_given_up() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut fake = Fake::script([stands("FAILED")]).await;
    fake.url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let failed = fake.statements().run(STATEMENT, |_| {}).await.unwrap_err();
    assert!(matches!(failed, StatementError::Api(ApiError::Unreachable(_))), "{failed}");
}

#[tokio::test]
async fn what_is_under_way_is_cancelled_and_nothing_else() {
    let fake = Fake::script([stands("PENDING"), stands("RUNNING")]).await;
    let statements = fake.statements();
    let waited = tokio::time::timeout(Duration::from_millis(700), statements.run(STATEMENT, |_| {})).await;
    assert!(waited.is_err());
    assert_eq!(statements.cancel_all().await, Cancelled { cancelled: 1, unknown: 0 });
    assert_eq!(fake.lines().last().unwrap(), "POST /api/2.0/sql/statements/one/cancel");
    assert_eq!(statements.cancel_all().await, Cancelled::default());

    let done = Fake::script([stands("PENDING"), found(&[("n", "LONG")], 0, 0, json!([]))]).await;
    let statements = done.statements();
    statements.run(STATEMENT, |_| {}).await.unwrap();
    assert_eq!(statements.cancel_all().await, Cancelled::default());
}

fn warehouse(fake: &Fake) -> Warehouse {
    Warehouse::new(fake.client(), "wh".into(), "ops".into(), "runbook".into(), Box::new(|_| {}))
}

#[tokio::test]
async fn a_clock_in_another_zone_is_refused() {
    for (winter, summer, midnight) in [
        ("2026-01-15T00:00:00.123-08:00", "2026-07-15T00:00:00.123-07:00", "2026-01-14 16:00"),
        ("2026-01-15T00:00:00.123Z", "2026-07-15T00:00:00.123+01:00", "2026-07-15 01:00"),
    ] {
        let clock = found(&[("winter", "TIMESTAMP"), ("summer", "TIMESTAMP")], 1, 1, json!([[winter, summer]]));
        let fake = Fake::script([clock]).await;
        let refused = Engine::Warehouse(&warehouse(&fake)).run("SELECT 1", &[]).await.unwrap_err();
        let told = format!("the warehouse's clock is not in UTC: midnight UTC is {midnight} there");
        assert!(matches!(&refused, QueryError::Warehouse(error) if error.to_string() == told), "{refused}");
        assert_eq!(fake.lines().len(), 1, "nothing else is asked");
    }
}

#[tokio::test]
async fn an_exact_clock_spares_the_question_for_columns() {
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

/// Two months with four causes at odd microseconds, so that something cut to milliseconds would be seen.
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

/// A value for every parameter that the header of a file names, by its name or else by its type.
fn parameters(sql: &str, as_of: Timestamp, cause: &str) -> Parameters {
    let week_before = Timestamp::from_micros(as_of.micros() - 7 * 24 * 3_600_000_000).unwrap();
    let header = regex::Regex::new(r"(?m)^--.*?:([a-z_]+)\s+(TIMESTAMP|INT|BIGINT|STRING)\b").unwrap();
    let given = header.captures_iter(sql).map(|found| {
        let value = match (&found[1], &found[2]) {
            ("as_of", _) => as_of.into(),
            ("threshold", _) => 3.into(),
            ("window_hours", _) => 168.into(),
            ("cause", _) => cause.into(),
            ("since", _) => Stretch::whole(as_of).since.into(),
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
async fn the_queries_about_recurrence_say_the_same_on_a_warehouse() {
    let folder = tempdir().unwrap();
    let path = history(folder.path());
    let lake = lake_at(&path);
    let fake = Fake::over(&path).await;
    let warehouse = warehouse(&fake);
    let (here, there) = (Engine::Local(&lake), Engine::Warehouse(&warehouse));
    let as_of: Timestamp = "2026-02-20T00:00:00Z".parse().unwrap();
    let whole = Stretch::whole(as_of);
    let episodes = recurrence::episodes(here, whole, Rule::DEFAULT, None).await.unwrap();
    let is_odd = |at: Timestamp| at.micros() % 1_000 != 0;
    assert!(episodes.iter().any(|episode| is_odd(episode.first_at) || is_odd(episode.last_at)), "{episodes:?}");
    assert_eq!(recurrence::episodes(there, whole, Rule::DEFAULT, None).await.unwrap(), episodes);
    let causes: Vec<String> = episodes.iter().map(|episode| episode.cause.clone()).collect();
    assert_eq!(
        recurrence::members(there, whole, Rule::DEFAULT, &causes, whole.since).await.unwrap(),
        recurrence::members(here, whole, Rule::DEFAULT, &causes, whole.since).await.unwrap()
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

/// The binary, told of a workspace.
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

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn copied(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-r").args([from, to]).status().unwrap().success());
}

/// What was recorded about recurrence, without when.
fn recorded(lake: &Path) -> Vec<Value> {
    let mut rows = json_lines(lake, &["sql", "SELECT * FROM recurrence_events ORDER BY seq"]);
    for row in &mut rows {
        row.as_object_mut().unwrap().remove("recorded_at");
    }
    rows
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scan_on_a_warehouse_records_what_a_scan_here_records() {
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
    let output = on(&fake.url, &there, &[&scan[..], &PLACE[..]].concat()).output().unwrap();
    assert!(output.status.success(), "{}", err(&output));
    assert_eq!(err(&output), err(&said), "nothing is drawn into a pipe");
    assert_eq!(output.stdout.len(), said.stdout.len());
    let found = recorded(&there);
    assert!(found.len() > before + 2, "{} and {before}", found.len());
    assert_eq!(found, recorded(&here));
    assert!(fake.requests().iter().all(|request| request.body["catalog"] == "ops"));
    assert!(fake.requests().len() > 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_warehouse_over_another_lake_is_not_believed() {
    let folder = tempdir().unwrap();
    let lakes = ["ours", "theirs", "empty"].map(|name| folder.path().join(name));
    for (lake, examples) in lakes.iter().zip([&EXAMPLES[..2], &EXAMPLES[..3], &[]]) {
        ok(lake, &["init"]);
        examples.iter().for_each(|name| drop(ok(lake, &["record", &example(name)])));
    }
    for (ours, theirs) in [(0, 1), (1, 0), (2, 0), (0, 2)] {
        let fake = Fake::over(&lakes[theirs]).await;
        let before = json_lines(&lakes[ours], &["sql", "SELECT count(*) AS n FROM audit_log"]);
        let output = on(&fake.url, &lakes[ours], &[&["recurrence", "scan"], &PLACE[..]].concat()).output().unwrap();
        assert_eq!(output.status.code(), Some(3), "{ours} {theirs}: {}", err(&output));
        assert!(err(&output).contains("the warehouse's tables are not this lake's"), "{}", err(&output));
        assert_eq!(json_lines(&lakes[ours], &["sql", "SELECT count(*) AS n FROM audit_log"]), before);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_cancels_what_runs_on_the_warehouse() {
    let folder = tempdir().unwrap();
    ok(folder.path(), &["init"]);
    let fake = Fake::script([stands("PENDING")]).await;
    let mut command = on(&fake.url, folder.path(), &[&["recurrence", "scan"], &PLACE[..]].concat());
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    while fake.lines().len() < 3 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", err(&output));
    assert_eq!(
        err(&output),
        "cancelling what runs on the warehouse\nerror: interrupted; statements on the warehouse that were cancelled: 1\n"
    );
    assert_eq!(fake.lines().last().unwrap(), "POST /api/2.0/sql/statements/one/cancel");
}

#[test]
fn everything_that_is_missing_is_named_at_once() {
    let folder = tempdir().unwrap();
    ok(folder.path(), &["init"]);
    let mut command = on("", folder.path(), &["recurrence", "scan", "--schema", " "]);
    let output = command.env_remove("DATABRICKS_TOKEN").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(
        err(&output).lines().next().unwrap(),
        "error: a warehouse needs the workspace's URL in DATABRICKS_HOST, a token in DATABRICKS_TOKEN, --warehouse-id (or \
         DATABRICKS_WAREHOUSE_ID), --catalog (or OPS_RUNBOOK_CATALOG), --schema (or OPS_RUNBOOK_SCHEMA)"
    );
    let plain =
        on("http://example.test", folder.path(), &[&["recurrence", "scan"], &PLACE[..]].concat()).output().unwrap();
    assert_eq!(plain.status.code(), Some(3));
    assert!(err(&plain).starts_with("error: DATABRICKS_HOST cannot be used: a token is sent by https:// only\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_workspace_says_cannot_show_a_secret_or_draw_on_a_terminal() {
    let folder = tempdir().unwrap();
    ok(folder.path(), &["init"]);
    let secret = format!("dapi{}", "0123456789abcdef".repeat(2));
    let fake =
        Fake::script([error(403, "PERMISSION_DENIED", &format!("\u{1b}[2J token {secret}\nerror: all is well"))]).await;
    let output = on(&fake.url, folder.path(), &[&["recurrence", "scan"], &PLACE[..]].concat()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let told = err(&output);
    assert!(told.contains("[REDACTED:") && !told.contains(&secret) && !told.contains('\u{1b}'), "{told}");
    assert_eq!(told.lines().filter(|line| line.starts_with("error: ")).count(), 1, "{told}");
}
