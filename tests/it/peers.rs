//! Other engines read what this one wrote: DuckDB with its Delta extension, Spark with Delta's jars.

use std::{fs, path::Path, process::Command};

use ops_runbook::{
    analytics::{
        self,
        engine::{Engine, Value},
        header::Header,
    },
    tables::catalog,
};
use serde_json::Value as Json;
use tempfile::tempdir;

use crate::support::{batches, demo_lake, digest, lake_at, ok, tamper};

fn peer(script: &str, lake: &Path) -> Json {
    let python = std::env::var("OPS_RUNBOOK_TEST_PYTHON")
        .expect("the peers need their Python environment: run the tests by tests/run, which makes it");
    let root = env!("CARGO_MANIFEST_DIR");
    let output = Command::new(python)
        .arg(format!("{root}/tests/peers/{script}"))
        .arg(lake)
        .arg(format!("{root}/sql"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Rows and digest of every table as this binary reads them.
fn ours(folder: &Path) -> Json {
    let lake = lake_at(folder);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let tables = catalog::all().map(|def| {
        let (rows, digest) = digest(&runtime.block_on(batches(&lake, def)));
        (def.name.to_owned(), serde_json::json!({ "rows": rows, "digest": digest }))
    });
    Json::Object(tables.collect())
}

fn audit_findings(found: &Json) -> u64 {
    let audits = found["audits"].as_object().unwrap();
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

/// Rows and digest of every query with parameters, as this binary answers it. The parameters are tests/peers/spark_reads.py's.
fn asked(folder: &Path) -> Json {
    let lake = lake_at(folder);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let at = |text: &str| Value::Timestamp(text.parse().unwrap());
    let parameters: [(&str, Value); 15] = [
        ("as_of", at("2026-02-20T12:00:00Z")),
        ("threshold", Value::Int(3)),
        ("window_hours", Value::Int(168)),
        ("cause", "code:executor_oom".into()),
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
        ("known_seq", Value::Int(0)),
    ];
    let queries = analytics::queries().map(|(name, sql)| {
        let takes = Header::of(sql).parameters;
        let own = parameters.iter().filter(|(parameter, _)| takes.iter().any(|it| it.name == *parameter));
        let own: Vec<(String, Value)> =
            own.map(|(parameter, value)| ((*parameter).to_owned(), value.clone())).collect();
        let (_, batches) = runtime.block_on(Engine::Local(&lake).run(name, &own)).unwrap();
        let (rows, digest) = digest(&batches);
        assert!(rows > 0, "{name} finds nothing to compare");
        (name.to_owned(), serde_json::json!({ "rows": rows, "digest": digest }))
    });
    Json::Object(queries.collect())
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

/// An intact lake, after compaction and checkpoint, and a tampered copy of it.
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
    let found = peer("duckdb_reads.py", &intact);
    assert_eq!(found["tables"], ours(&intact));
    assert_eq!(audit_findings(&found), 0, "{found:#}");
    check_views(&intact, &found);
    assert!(audit_findings(&peer("duckdb_reads.py", &tampered)) > 0);
}

#[test]
fn spark_reads_the_same_rows_and_comments_and_runs_the_audits() {
    let folder = tempdir().unwrap();
    let [intact, tampered] = lakes(folder.path());
    let found = peer("spark_reads.py", &intact);
    assert_eq!(found["tables"], ours(&intact));
    assert_eq!(audit_findings(&found), 0, "{found:#}");
    check_views(&intact, &found);
    assert_eq!(found["queries"], asked(&intact));
    for def in catalog::all() {
        let comments = &found["comments"][def.name];
        assert_eq!(comments["table"], def.comment(), "{}", def.name);
        for column in def.columns {
            assert_eq!(comments["columns"][column.name], column.comment(), "{}.{}", def.name, column.name);
        }
    }
    assert!(audit_findings(&peer("spark_reads.py", &tampered)) > 0);
}
