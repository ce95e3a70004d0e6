//! Tests that other engines read the same tables: DuckDB with its Delta extension, Spark with Delta's jars.

use std::{fs, path::Path, process::Stdio};

use ops_runbook::{
    analytics::{
        self,
        engine::{Engine, ParameterValue},
        header::SqlHeader,
    },
    tables::catalog,
};
use serde_json::{Map, Value as Json, json};
use tempfile::tempdir;

use crate::{
    cases::spark::bound,
    peer, spark,
    support::{batches, demo_lake, digest, lake_at, ok, tamper},
    wait::{is_long, output_of},
};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const SQL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/sql");

/// Returns the content of a lake as DuckDB reads it.
fn on_duckdb(lake: &Path) -> Json {
    let script = format!("{ROOT}/tests/peers/duckdb_reads.py");
    let mut command = peer::python("duckdb");
    command.arg(script).arg(lake).arg(SQL).stdout(Stdio::piped()).stderr(Stdio::piped());
    let output = output_of("duckdb_reads.py", command.spawn().unwrap());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Returns rows and checksum of every table as this binary reads them.
pub fn ours(folder: &Path) -> Json {
    let lake = lake_at(folder);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let tables = catalog::all().map(|def| {
        let (rows, digest) = digest(&runtime.block_on(batches(&lake, def)));
        (def.name.to_owned(), json!({ "rows": rows, "digest": digest }))
    });
    Json::Object(tables.collect())
}

fn audit_findings(audits: &Json) -> u64 {
    let audits = audits.as_object().unwrap();
    assert_eq!(audits.len(), ops_runbook::analytics::audits().count());
    audits.values().map(|rows| rows.as_u64().unwrap()).sum()
}

fn check_views(folder: &Path, found: &Json) {
    let views = found["views"].as_object().unwrap();
    assert_eq!(views.len(), ops_runbook::analytics::views().count());
    for (view, rows) in views {
        let text = ok(folder, &["sql", &format!("SELECT count(*) AS n FROM {view}"), "--format", "csv"]);
        assert_eq!(text.lines().nth(1).unwrap(), rows.to_string(), "{view}");
    }
}

/// Name, text and parameters of a query.
type Query = (&'static str, &'static str, Vec<(String, ParameterValue)>);

/// Returns every query with values of its parameters.
fn queries() -> Vec<Query> {
    let at = |text: &str| ParameterValue::Timestamp(text.parse().unwrap());
    let parameters: [(&str, ParameterValue); 15] = [
        ("as_of", at("2026-02-20T12:00:00Z")),
        ("threshold", ParameterValue::Int(3)),
        ("window_hours", ParameterValue::Int(168)),
        ("cause", "code:executor_oom".into()),
        // 2026-W08 in Berlin
        ("week_start", at("2026-02-15T23:00:00Z")),
        ("week_end", at("2026-02-22T23:00:00Z")),
        ("week_1_start", at("2026-02-08T23:00:00Z")),
        ("week_2_start", at("2026-02-01T23:00:00Z")),
        ("week_3_start", at("2026-01-25T23:00:00Z")),
        ("week_4_start", at("2026-01-18T23:00:00Z")),
        ("time_zone", "Europe/Berlin".into()),
        ("since", at("2025-11-16T23:00:00Z")),
        ("known_from", at("2026-02-01T00:00:00Z")),
        ("known_until", at("1970-01-01T00:00:00Z")),
        ("known_seq", ParameterValue::Int(0)),
    ];
    let queries = analytics::queries().map(|(name, sql)| {
        let takes = SqlHeader::of(sql).parameters;
        let own = parameters.iter().filter(|(parameter, _)| takes.iter().any(|it| it.name == *parameter));
        let own = own.map(|(parameter, value)| ((*parameter).to_owned(), value.clone()));
        (name, sql, own.collect())
    });
    queries.collect()
}

/// Returns rows and checksum of every query's result from this binary.
fn answers(folder: &Path) -> Json {
    let lake = lake_at(folder);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let answers = queries().into_iter().map(|(name, _, parameters)| {
        let (_, batches) = runtime.block_on(Engine::Local(&lake).run(name, &parameters)).unwrap();
        let (rows, digest) = digest(&batches);
        assert!(rows > 0, "{name} finds nothing to compare");
        (name.to_owned(), json!({ "rows": rows, "digest": digest }))
    });
    Json::Object(answers.collect())
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target)
        } else {
            fs::copy(entry.path(), target).map(drop).unwrap()
        }
    }
}

/// Creates an intact lake, after compaction and checkpoint, and a tampered copy of it.
fn lakes(folder: &Path) -> [std::path::PathBuf; 2] {
    let [intact, tampered] = ["intact", "tampered"].map(|name| folder.join(name));
    demo_lake(&intact);
    let adopted = ["recurrence", "adopt", "code:executor_oom", "job-memory", "--at", "2026-02-04T00:00:00Z"];
    ok(&intact, &adopted);
    copy(&intact, &tampered);
    tamper(&tampered, 1);
    ok(&intact, &["maintain"]);
    [intact, tampered]
}

#[test]
fn duckdb_reads_the_same_rows_and_runs_the_audits() {
    let folder = tempdir().unwrap();
    let [intact, tampered] = lakes(folder.path());
    let found = on_duckdb(&intact);
    assert_eq!(found["tables"], ours(&intact));
    assert_eq!(audit_findings(&found["audits"]), 0, "{found:#}");
    check_views(&intact, &found);
    assert!(audit_findings(&on_duckdb(&tampered)["audits"]) > 0);
}

#[test]
fn spark_reads_the_same_rows_and_comments_and_runs_the_audits() {
    let folder = tempdir().unwrap();
    let [intact, tampered] = lakes(folder.path());
    let queries: Map<String, Json> = queries()
        .into_iter()
        .map(|(name, sql, parameters)| (name.to_owned(), json!({ "sql": sql, "parameters": bound(&parameters) })))
        .collect();
    let found = spark::ask(&json!({ "read": { "lake": intact, "sql": SQL, "queries": queries } })).unwrap();
    assert_eq!(found["tables"], ours(&intact));
    assert_eq!(audit_findings(&found["audits"]), 0, "{found:#}");
    check_views(&intact, &found);
    assert_eq!(found["queries"], answers(&intact));
    for def in catalog::all() {
        let comments = &found["comments"][def.name];
        assert_eq!(comments["table"], def.comment(), "{}", def.name);
        for column in def.columns {
            assert_eq!(comments["columns"][column.name], column.comment(), "{}.{}", def.name, column.name);
        }
    }
    let audits = spark::ask(&json!({ "audit": { "lake": tampered, "sql": SQL } })).unwrap();
    assert!(audit_findings(&audits) > 0);
}

fn question(sql: &str) -> Json {
    json!({ "sql": sql, "views": [], "tables": {}, "parameters": {} })
}

/// Asserts an error for the first statement and a result for the second.
fn assert_answers(answers: &Json) {
    assert!(answers[0]["error"].as_str().unwrap().contains("nowhere"), "{answers}");
    assert_eq!(answers[1]["rows"], json!([[1]]), "{answers}");
}

#[test]
fn an_error_of_spark_belongs_to_one_question() {
    let asked = json!({ "answer": [question("SELECT nothing FROM nowhere"), question("SELECT 1 AS one")] });
    assert_answers(&spark::ask(&asked).unwrap());
    let error = spark::ask(&json!({ "audit": { "lake": "/nowhere", "sql": SQL } })).unwrap_err();
    assert!(error.contains("/nowhere"), "{error}");
    assert_answers(&spark::ask(&asked).unwrap());
}

/// Runs only with `--long`: it starts two more JVMs.
#[test]
fn a_jvm_of_spark_that_exits_is_restarted_once() {
    if !is_long() {
        return;
    }
    let asked = json!({ "answer": [question("SELECT nothing FROM nowhere"), question("SELECT 1 AS one")] });
    let server = spark::Server::start();
    assert_answers(&server.ask(&asked).unwrap());
    server.ask(&json!({ "kill": {} })).unwrap();
    assert_answers(&server.ask(&asked).unwrap());
    server.ask(&json!({ "kill": {} })).unwrap();
    let error = server.ask(&asked).unwrap_err();
    assert!(error.contains("has exited 2 times"), "{error}");
}
