//! Managed tables in a catalog, copied from a lake in a volume: real Delta tables on Spark. A folder replaces the volume.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

use ops_runbook::{
    analytics::{
        engine::{Engine, Parameters},
        queries, views,
        warehouse::Warehouse,
    },
    databricks::{Client, Token},
    tables::catalog,
};
use serde_json::{Value, json};
use tempfile::{TempDir, tempdir};

use super::{TOKEN, emulators::sorted, err, parameters};
use crate::{
    peers::ours,
    spark,
    support::{EXAMPLES, LakeLocation, binary, demo_lake, example, finish, json_lines, lake_at, ok, report, run},
    wait::{is_long, output_of, repetitions},
};

/// A lake, and a schema of Spark with the API of a warehouse.
struct Catalog {
    folder: TempDir,
    address: Value,
}

impl Catalog {
    fn on_spark() -> Self {
        static SCHEMAS: AtomicU32 = AtomicU32::new(1);
        let name = format!("ops_{}", SCHEMAS.fetch_add(1, Ordering::Relaxed));
        let address = spark::ask(&json!({ "serve_schema": { "name": name } })).unwrap();
        Self { folder: tempdir().unwrap(), address }
    }

    fn text(&self, name: &str) -> &str {
        self.address[name].as_str().unwrap()
    }

    fn lake(&self) -> PathBuf {
        self.folder.path().join("the lake")
    }

    /// Returns a command of the binary, with the lake as the volume.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = binary(&self.lake());
        command.env("DATABRICKS_HOST", self.text("url")).env("DATABRICKS_TOKEN", TOKEN).env("NO_PROXY", "127.0.0.1");
        command.env("OPS_RUNBOOK_VOLUME_PATH", self.lake());
        command.args(arguments).args(["--warehouse-id", self.text("warehouse_id")]);
        command.args(["--catalog", self.text("catalog"), "--schema", self.text("schema")]);
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        finish(&mut self.command(arguments))
    }

    fn ok(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", err(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    fn register(&self) {
        self.ok(&["catalog", "register", "--run"]);
    }

    /// Copies, and returns the number of copied rows by table.
    fn copy(&self) -> Vec<(String, u64)> {
        let text = self.ok(&["catalog", "copy", "--run", "--json"]);
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.map(|line| (line["table"].as_str().unwrap().to_owned(), line["rows"].as_u64().unwrap())).collect()
    }

    /// Sets faults, runs statements and returns the state; see `spark_statements.in_schema`.
    fn set(&self, more: Value) -> Value {
        let mut question = json!({ "name": self.text("schema") });
        question.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        spark::ask(&json!({ "in_schema": question })).unwrap()
    }

    fn tamper(&self, statements: &[&str]) {
        self.set(json!({ "run": statements }));
    }

    /// Asserts that every managed table has the rows of the lake's table, by value.
    fn assert_equal(&self) {
        assert_eq!(self.set(json!({ "digests": true }))["tables"], ours(&self.lake()));
    }

    fn warehouse(&self) -> Warehouse {
        let text = |name: &str| self.text(name).to_owned();
        let client = Client::new(text("url").parse().unwrap(), TOKEN.parse::<Token>().unwrap()).unwrap();
        Warehouse::new(client, text("warehouse_id"), text("catalog"), text("schema"), Box::new(|_| {}))
    }

    fn record(&self, ids: &[&str]) {
        for id in ids {
            let file = self.folder.path().join("report.json");
            std::fs::write(&file, report(id).to_string()).unwrap();
            ok(&self.lake(), &["record", file.to_str().unwrap()]);
        }
    }

    /// Returns the finding of `doctor` about the catalog, and the exit code.
    fn doctor(&self) -> (String, String, Option<i32>) {
        let output = self.run(&["doctor", "--json", "--engine", "warehouse"]);
        let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", err(&output)));
        let found = report["findings"].as_array().unwrap().iter().find(|it| it["check"] == "catalog").unwrap();
        let text = |name: &str| found[name].as_str().unwrap().to_owned();
        (text("state"), text("seen"), output.status.code())
    }
}

/// Returns the number of rows of the lake's tables that have rows.
fn lake_rows(lake: &Path) -> Vec<(String, u64)> {
    let tables = catalog::all().map(|def| {
        let sql = format!("SELECT count(*) AS n FROM {}", def.name);
        (def.name.to_owned(), json_lines(lake, &["sql", &sql])[0]["n"].as_u64().unwrap())
    });
    tables.filter(|(_, rows)| *rows > 0).collect()
}

/// The process is killed between two INSERT statements; the next one continues.
#[test]
fn a_copy_that_is_killed_between_statements_is_finished_by_the_next_one_on_spark() {
    let catalog = Catalog::on_spark();
    EXAMPLES.iter().for_each(|name| drop(ok(&catalog.lake(), &["record", &example(name)])));
    catalog.register();
    let tables = lake_rows(&catalog.lake()).len();
    let commits = || {
        let commits = catalog.set(json!({}))["commits"].clone();
        commits.as_object().unwrap().values().map(|number| number.as_u64().unwrap() as usize).sum::<usize>()
    };
    let created = commits();
    let mut filled = 0;
    for inserts in repetitions(vec![1, 3], vec![1; tables]) {
        catalog.set(json!({ "inserts": inserts }));
        let output = catalog.run(&["catalog", "copy", "--run"]);
        assert!(!output.status.success() && err(&output).contains("stopped"), "{filled}: {}", err(&output));
        filled += inserts;
        assert_eq!(commits() - created, filled);
    }
    assert!(filled < tables || is_long());
    catalog.set(json!({}));
    assert_eq!(catalog.copy().len(), tables - filled);
    catalog.assert_equal();
    assert!(catalog.copy().is_empty(), "everything was copied");
    let (state, seen, code) = catalog.doctor();
    assert_eq!((state.as_str(), code), ("ok", Some(0)), "{seen}");
}

#[test]
fn managed_tables_on_spark_return_the_same_as_the_lake() {
    let catalog = Catalog::on_spark();
    let path = catalog.lake();
    demo_lake(&path);
    catalog.register();
    assert_eq!(catalog.copy(), lake_rows(&path));
    catalog.assert_equal();
    let lake = lake_at(&path);
    let warehouse = catalog.warehouse();
    let (here, there) = (Engine::Local(&lake), Engine::Warehouse(&warehouse));
    let as_of = "2026-02-20T12:00:00Z".parse().unwrap();
    let statements = views().map(|(name, _)| (name.to_owned(), format!("SELECT * FROM {name}"), Parameters::new()));
    let files =
        queries().map(|(name, sql)| (name.to_owned(), name.to_owned(), parameters(sql, as_of, "code:executor_oom")));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let answer = |engine: Engine<'_>, sql: &str, parameters: &Parameters| {
        sorted(&runtime.block_on(engine.run(sql, parameters)).unwrap().1)
    };
    let mut rows = 0;
    for (name, sql, parameters) in statements.chain(files) {
        let expected = answer(here, &sql, &parameters);
        assert_eq!(answer(there, &sql, &parameters), expected, "{name}");
        rows += expected.len();
    }
    assert!(rows > 1_000, "{rows}");
}

#[test]
fn new_rows_are_copied_once_by_spark_and_missing_columns_added() {
    let catalog = Catalog::on_spark();
    let lake = catalog.lake();
    EXAMPLES[..2].iter().for_each(|name| drop(ok(&lake, &["record", &example(name)])));
    // Created by a version without the last column.
    let printed = catalog.ok(&["catalog", "register"]);
    let made = printed.split(";\n\n").find(|one| one.contains("TABLE IF NOT EXISTS `incident_states`")).unwrap();
    let column = regex::Regex::new(r",\n  `lessons_learned` STRING COMMENT '[^']*',\n  PRIMARY KEY \(`seq`\)").unwrap();
    assert!(column.is_match(made), "{made}");
    catalog.tamper(&[column.replace(made, "").as_ref()]);
    catalog.register();
    catalog.register();
    assert_eq!(catalog.copy(), lake_rows(&lake));
    catalog.assert_equal();

    let before = lake_rows(&lake);
    catalog.record(&["one", "two", "three"]);
    let (state, seen, code) = catalog.doctor();
    let added = lake_rows(&lake)[0].1 - before[0].1;
    assert_eq!((state.as_str(), seen, code), ("warning", format!("{added} entries behind the lake"), Some(0)));
    let verified = catalog.ok(&["audit", "verify", "--engine", "warehouse"]);
    assert!(verified.contains(&format!("match as far as they go, {added} entries behind")), "{verified}");
    assert_eq!(catalog.copy(), rows_since(&before, &lake));
    catalog.assert_equal();

    // Compaction writes the same rows into other files.
    ok(&lake, &["maintain"]);
    assert!(catalog.copy().is_empty());
    let before = lake_rows(&lake);
    catalog.record(&["four"]);
    ok(&lake, &["maintain", "--retention-hours", "1"]);
    assert_eq!(catalog.copy(), rows_since(&before, &lake));
    catalog.assert_equal();
    // A command that queries the warehouse copies first.
    catalog.record(&["five"]);
    catalog.ok(&["recurrence", "scan", "--as-of", "2026-02-20T00:00:00Z", "--engine", "warehouse"]);
    let verified = catalog.ok(&["audit", "verify", "--engine", "warehouse"]);
    assert!(verified.contains("tables in the catalog match"), "{verified}");
}

/// Returns the number of rows that the lake's tables gained since `before`.
fn rows_since(before: &[(String, u64)], lake: &Path) -> Vec<(String, u64)> {
    let known = |table: &str| before.iter().find(|(name, _)| name == table).map_or(0, |(_, rows)| *rows);
    let new = lake_rows(lake).into_iter().map(|(table, rows)| (table.clone(), rows - known(&table)));
    new.filter(|(_, rows)| *rows > 0).collect()
}

#[test]
fn a_lost_response_copies_nothing_twice_on_spark() {
    let catalog = Catalog::on_spark();
    EXAMPLES.iter().for_each(|name| drop(ok(&catalog.lake(), &["record", &example(name)])));
    catalog.register();
    catalog.set(json!({ "lost": 2 }));
    catalog.copy();
    catalog.assert_equal();
    // The first of two equal statements still runs when the second one comes.
    catalog.record(&["one"]);
    catalog.set(json!({ "lost": 3, "late": true }));
    catalog.copy();
    catalog.assert_equal();
}

#[test]
fn two_concurrent_copies_insert_no_row_twice_on_spark() {
    const ROUNDS: usize = 8;
    let catalog = Catalog::on_spark();
    EXAMPLES.iter().for_each(|name| drop(ok(&catalog.lake(), &["record", &example(name)])));
    catalog.register();
    for round in 0..ROUNDS {
        catalog.record(&[format!("round {round}").as_str()]);
        // The statements about the audit log start at the same time.
        catalog.set(json!({ "together": 2 }));
        let mut children = Vec::new();
        for _ in 0..2 {
            let mut command = catalog.command(&["catalog", "copy", "--run"]);
            children.push(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap());
        }
        for child in children {
            let output = output_of("a copy beside another one", child);
            assert!(output.status.success(), "{}", err(&output));
        }
        catalog.assert_equal();
        if catalog.set(json!({}))["conflicts"] != 0 {
            return;
        }
    }
    panic!("no two statements met in {ROUNDS} rounds");
}

#[test]
fn tables_that_differ_from_the_lake_are_found_on_spark() {
    let catalog = Catalog::on_spark();
    EXAMPLES.iter().for_each(|name| drop(ok(&catalog.lake(), &["record", &example(name)])));
    catalog.register();
    catalog.copy();
    catalog.tamper(&["ALTER TABLE audit_log SET TBLPROPERTIES ('delta.appendOnly' = 'false')"]);
    let check = |tampering: &str, expected: &str, repair: &str| {
        catalog.tamper(&[tampering]);
        let (state, seen, code) = catalog.doctor();
        assert_eq!((state.as_str(), code), ("failed", Some(5)), "{tampering}: {seen}");
        assert!(seen.contains(expected), "{expected}: {seen}");
        let before = catalog.set(json!({}))["commits"].clone();
        let copy = catalog.run(&["catalog", "copy", "--run"]);
        assert_eq!(copy.status.code(), Some(5), "{}", err(&copy));
        assert!(err(&copy).contains(expected), "{expected}: {}", err(&copy));
        assert_eq!(catalog.set(json!({}))["commits"], before, "nothing may be copied");
        catalog.tamper(&[repair]);
    };
    let restore = |table: &str| format!("RESTORE TABLE {table} TO VERSION AS OF 1");
    check(
        "DELETE FROM timeline_events WHERE ordinal = 1",
        "timeline_events in the catalog has",
        &restore("timeline_events"),
    );
    check(
        "INSERT INTO root_causes SELECT * FROM root_causes",
        "root_causes in the catalog has",
        &restore("root_causes"),
    );
    check(
        "UPDATE practice_checks SET seq = 100000",
        "practice_checks in the catalog ends at entry 100000, after the lake's last entry",
        &restore("practice_checks"),
    );
    check(
        &format!("UPDATE audit_log SET entry_hash = 'x' WHERE seq = {}", lake_rows(&catalog.lake())[0].1),
        "audit_log in the catalog has a different entry",
        "RESTORE TABLE audit_log TO VERSION AS OF 2",
    );
    catalog.assert_equal();
    let intact = catalog.ok(&["audit", "verify", "--engine", "warehouse"]);
    assert!(intact.contains(" tables in the catalog match\n"), "{intact}");
    // Only the audits read every row.
    catalog.tamper(&["UPDATE audit_log SET entry = entry || ' ' WHERE seq = 1"]);
    let (state, seen, _) = catalog.doctor();
    assert_eq!(state, "ok", "{seen}");
    let found = catalog.run(&["audit", "verify", "--engine", "warehouse"]);
    let text = String::from_utf8_lossy(&found.stdout).into_owned();
    assert_eq!(found.status.code(), Some(5), "{text} {}", err(&found));
    assert!(text.contains("the audit chain_hashes returns 1 rows") && text.contains("The lake is intact"), "{text}");
}

#[test]
fn statements_of_a_copy_are_printed_and_a_lake_without_volume_has_nothing_to_copy() {
    let folder = tempdir().unwrap();
    let path = "/Volumes/main/ops/o`dd lake";
    let place = ["--catalog", "main", "--schema", "o`ps"];
    let mut command = binary(folder.path());
    command.env("OPS_RUNBOOK_VOLUME_PATH", path).args(["catalog", "copy"]).args(place);
    let printed = String::from_utf8(finish(&mut command).stdout).unwrap();
    assert!(
        printed.starts_with("USE CATALOG `main`;\nUSE SCHEMA `o``ps`;\n\nINSERT INTO `audit_log` (`seq`, "),
        "{printed}"
    );
    let last = printed.rsplit(";\n\n").next().unwrap();
    assert!(last.starts_with("INSERT INTO `incident_states` ("), "{last}");
    assert!(
        last.ends_with(
            "\nFROM delta.`/Volumes/main/ops/o``dd lake/incident_states`\n\
             WHERE `seq` > (SELECT coalesce(max(`seq`), 0) FROM `incident_states`)\n  \
             AND `seq` <= (SELECT coalesce(max(`seq`), 0) FROM `audit_log`);\n"
        ),
        "{last}"
    );
    assert_eq!(printed.matches("INSERT INTO").count(), catalog::all().count());

    let nothing = run(folder.path(), &[&["catalog", "copy"], &place[..]].concat());
    assert!(nothing.status.success(), "{}", err(&nothing));
    let output = String::from_utf8_lossy(&nothing.stdout).into_owned();
    assert!(output.starts_with("nothing to copy: ") && output.contains(&folder.path().uri()), "{output}");
    let mut command = binary(folder.path());
    command.env("OPS_RUNBOOK_VOLUME_PATH", "/Volumes/it's").args(["catalog", "copy"]).args(place);
    let refused = finish(&mut command);
    assert_eq!(refused.status.code(), Some(2), "{}", err(&refused));
}
