//! Tests of the project's conventions: layers, SQL files, tables, texts of the command line.

use std::{
    collections::BTreeSet,
    fs,
    process::{Command, Stdio},
};

use ops_runbook::{analytics, tables::catalog};
use serde_json::{Value, json};
use tempfile::tempdir;

use crate::{
    support::{demo_lake, ok, run, sql_rows},
    wait::output_of,
};

mod layers;

/// Returns package, version and features of every dependency, as `cargo tree` lists them for these edges.
fn dependencies(edges: &str) -> BTreeSet<String> {
    let mut command = Command::new(env!("CARGO"));
    command.args(["tree", "--locked", "--offline", "--prefix", "none", "--format", "{p} {f}", "--edges", edges]);
    let child = command.current_dir(env!("CARGO_MANIFEST_DIR")).stdout(Stdio::piped()).spawn().unwrap();
    let output = output_of("cargo tree", child);
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| line.trim_end_matches(" (*)").to_owned()).collect()
}

#[test]
fn the_tests_use_the_dependencies_that_the_program_is_built_with() {
    let (program, tests) = (dependencies("normal"), dependencies("normal,dev"));
    assert!(program.len() > 300, "{}", program.len());
    let compiled_twice: Vec<&String> = program.difference(&tests).collect();
    assert!(compiled_twice.is_empty(), "the dev-dependencies add features to {compiled_twice:#?}");
}

#[test]
fn every_sql_file_is_embedded_and_has_a_header() {
    for (folder, known) in [
        ("", analytics::queries().map(|(name, _)| name).collect::<BTreeSet<_>>()),
        ("views", analytics::views().map(|(name, _)| name).collect()),
        ("audits", analytics::audits().map(|(name, _)| name).collect()),
    ] {
        let mut files = BTreeSet::new();
        for entry in fs::read_dir(format!("{}/sql/{folder}", env!("CARGO_MANIFEST_DIR"))).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_none_or(|extension| extension != "sql") {
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            for word in ["-- What:", "-- Grain:", "-- Parameters:", "-- Columns:"] {
                assert!(text.contains(word), "{} lacks {word}", path.display());
            }
            files.insert(path.file_stem().unwrap().to_string_lossy().into_owned());
        }
        assert!(files.iter().map(String::as_str).eq(known), "{folder}: {files:?}");
    }
}

#[test]
fn every_view_and_audit_runs_and_the_audits_find_nothing() {
    let folder = tempdir().unwrap();
    demo_lake(folder.path());
    for (name, _) in analytics::views() {
        sql_rows(folder.path(), &format!("SELECT * FROM {name}"));
    }
    for (name, sql) in analytics::audits() {
        assert!(sql_rows(folder.path(), sql).is_empty(), "{name}");
    }
}

#[test]
fn every_table_and_column_has_a_comment_without_quotes_and_line_ends() {
    for def in catalog::all() {
        let comments = def.columns.iter().map(|column| column.comment()).chain([def.comment()]);
        for comment in comments {
            assert!(!comment.is_empty() && !comment.contains(['\'', '\\', '\n']), "{}: {comment:?}", def.name);
        }
        let names: BTreeSet<&str> = def.columns.iter().map(|column| column.name).collect();
        assert!(def.stats.iter().chain(def.bloom).chain(def.sort).all(|name| names.contains(name)), "{}", def.name);
        assert_eq!(names.len(), def.columns.len());
    }
}

#[test]
fn sql_that_changes_data_or_settings_is_refused() {
    let folder = tempdir().unwrap();
    ok(folder.path(), &["init"]);
    for sql in [
        "DROP TABLE audit_log",
        "DELETE FROM audit_log",
        "INSERT INTO audit_log SELECT * FROM audit_log",
        "CREATE TABLE x AS SELECT 1",
        "COPY audit_log TO 'out.csv'",
        "SET datafusion.execution.batch_size = 1",
        "SELECT 1; SELECT 2",
    ] {
        assert!(matches!(run(folder.path(), &["sql", sql]).status.code(), Some(3 | 4)), "{sql}");
    }
}

#[test]
fn help_texts_and_schemas_match_their_snapshots() {
    let folder = tempdir().unwrap();
    let mut text = String::new();
    for command in [
        &[][..],
        &["init"],
        &["demo"],
        &["record"],
        &["ingest"],
        &["incident"],
        &["incident", "open"],
        &["incident", "log"],
        &["incident", "ack"],
        &["incident", "rca"],
        &["incident", "remediate"],
        &["incident", "verify"],
        &["incident", "escalate"],
        &["incident", "close"],
        &["incident", "reopen"],
        &["incident", "correct"],
        &["incident", "show"],
        &["incident", "list"],
        &["incident", "similar"],
        &["incident", "postmortem"],
        &["escalation"],
        &["escalation", "list"],
        &["escalation", "show"],
        &["escalation", "ack"],
        &["escalation", "resolve"],
        &["escalation", "snooze"],
        &["escalation", "evaluate"],
        &["escalation", "replay"],
        &["recurrence"],
        &["recurrence", "scan"],
        &["recurrence", "list"],
        &["recurrence", "show"],
        &["recurrence", "adopt"],
        &["cause"],
        &["cause", "list"],
        &["cause", "merge"],
        &["cause", "split"],
        &["cause", "explain"],
        &["config"],
        &["config", "check"],
        &["compliance"],
        &["compliance", "check"],
        &["remediation"],
        &["remediation", "watch"],
        &["notification"],
        &["notification", "send"],
        &["audit"],
        &["audit", "list"],
        &["audit", "show"],
        &["audit", "export"],
        &["audit", "verify"],
        &["audit", "checkpoint"],
        &["audit", "keygen"],
        &["mcp"],
        &["sweep"],
        &["runbook"],
        &["runbook", "show"],
        &["runbook", "capture"],
        &["runbook", "list"],
        &["rebuild"],
        &["maintain"],
        &["doctor"],
        &["query"],
        &["query", "list"],
        &["query", "show"],
        &["query", "run"],
        &["catalog"],
        &["catalog", "register"],
        &["catalog", "copy"],
        &["catalog", "views"],
        &["bundle"],
        &["bundle", "init"],
        &["bundle", "check"],
        &["sql"],
        &["schema"],
        &["schema", "report"],
        &["schema", "digest"],
        &["schema", "config"],
        &["schema", "tables"],
        &["completions"],
    ] {
        let help = ok(folder.path(), &[command, &["--help"]].concat());
        text.push_str(&format!("$ ops-runbook {} --help\n{help}\n", command.join(" ")));
    }
    let environment =
        text.replace(&format!("[env: OPS_RUNBOOK_LAKE={}]", folder.path().display()), "[env: OPS_RUNBOOK_LAKE=]");
    insta::assert_snapshot!("help", environment);
    insta::assert_snapshot!("ddl", ok(folder.path(), &["schema", "tables", "--format", "ddl"]));
    insta::assert_snapshot!("report_schema", ok(folder.path(), &["schema", "report"]));
    insta::assert_snapshot!("digest_schema", ok(folder.path(), &["schema", "digest"]));
}

#[test]
fn errors_have_hints_and_the_documented_exit_codes() {
    let folder = tempdir().unwrap();
    let lake = folder.path().join("lake");
    let check = |arguments: &[&str], code: i32, expected: &str| {
        let output = run(&lake, arguments);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {text}");
        assert!(text.contains(expected), "{arguments:?}: {text}");
        assert!(output.stdout.is_empty());
    };
    check(&["incident", "ack", "INC-1001"], 4, "there is no lake at");
    check(&["cause", "list"], 4, "there is no lake at");
    check(&["escalation", "evaluate"], 4, "there is no lake at");
    check(&["recurrence", "scan"], 4, "there is no lake at");
    check(&["runbook", "show", "INC-1001"], 4, "there is no lake at");
    check(&["audit", "verify"], 4, "hint: create one with `ops-runbook init`");
    check(&["incident", "list"], 4, "there is no lake at");
    check(&["record", "/no/such/file"], 1, "hint: give a file that can be read");
    ok(&lake, &["init"]);
    check(&["incident", "ack", "INC-1001"], 4, "there is no incident INC-1001");
    check(&["escalation", "show", "INC-1001/recurring"], 4, "there is no incident INC-1001");
    check(&["recurrence", "show", "rec-1"], 4, "`ops-runbook recurrence list --all` lists the recurring issues");
    check(&["cause", "split", "c1:1"], 4, "`ops-runbook cause list` lists the causes");
    check(
        &["incident", "log", "INC-1001", "x", "--kind", "CLOSE"],
        2,
        "[possible values: DISCOVER, FETCH, ANALYZE, NOTE]",
    );
    check(&["incident", "show", "INC-1001"], 4, "there is no incident INC-1001");
    check(&["incident", "show", "banana"], 2, "is not an incident id");
    check(&["audit", "show", "1"], 4, "there is no audit log row 1");
    check(&["sql", "SELECT * FROM nope"], 4, "there is no table or view");
    check(&["sql", "SELEC"], 3, "one SELECT statement");
    check(&["audit", "verify", "--head", "x"], 2, "expected SEQ:HASH");
    assert_eq!(ok(&lake, &["incident", "list"]), "There are no incidents to list.\n");
    assert!(ok(&lake, &["audit", "verify"]).starts_with("intact: 0 rows"));
}

#[test]
fn config_check_shows_the_recipients_of_an_alert() {
    let folder = tempdir().unwrap();
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/bundle/ops-runbook.example.toml");
    let check = |arguments: &[&str]| {
        let output = run(folder.path(), &[&["config", "check"], arguments].concat());
        (output.status.code(), String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, text, _) = check(&["--config", example, "--if", "recurring"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(
        text.contains("\n    pager (pagerduty: data-platform-oncall)\n") && !text.contains("access-issue"),
        "{text}"
    );
    let (code, text, _) = check(&["--config", example, "--if", "recurring", "--severity", "LOW", "--json"]);
    let answer: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((code, &answer["told_if"][0]["routes"], &answer["gaps"]), (Some(0), &json!([3]), &json!([])));
    let (code, text, _) = check(&[]);
    assert!(code == Some(1) && text.starts_with("no configuration file, using the defaults"), "{text}");
    let broken = folder.path().join("broken.toml");
    fs::write(&broken, "[channels.x]\nkind = \"fax\"\n[recurring]\nthreshold = 1\n").unwrap();
    let (code, text, error) = check(&["--config", broken.to_str().unwrap()]);
    assert!(code == Some(3) && text.is_empty(), "{text}");
    assert!(error.contains("line 2") && error.contains("line 4"), "{error}");
}
