//! Tests of `query` and `catalog views` with the binary.

use serde_json::{Value, json};
use tempfile::{TempDir, tempdir};

use crate::support::{demo_lake, json_lines, ok, run};

fn demo() -> TempDir {
    let folder = tempdir().unwrap();
    demo_lake(folder.path());
    folder
}

const WEEK: [&str; 4] = ["--week", "2026-W08", "--tz", "Europe/Berlin"];

#[test]
fn queries_are_listed_and_shown_without_a_lake() {
    let folder = tempdir().unwrap();
    let text = ok(folder.path(), &["query", "list"]);
    assert!(
        text.contains("weekly_counts  (query)\n    Incidents reported in a week by one dimension at a time"),
        "{text}"
    );
    assert!(text.contains("    parameters: since TIMESTAMP, as_of TIMESTAMP, cause STRING\n"), "{text}");
    assert!(text.contains("open_incidents  (view)"));
    let listed = json_lines(folder.path(), &["query", "list"]);
    let names: Vec<&Value> = listed.iter().map(|one| &one["name"]).collect();
    assert!(names.contains(&&json!("durations")) && names.contains(&&json!("incidents")));
    let text = ok(folder.path(), &["query", "show", "daily_counts"]);
    assert!(text.starts_with("-- What:") && text.contains("from_utc_timestamp(reported_at, :time_zone)"));
    assert_eq!(json_lines(folder.path(), &["query", "show", "incidents"])[0]["kind"], "view");
}

#[test]
fn every_query_and_view_runs_on_the_demo_with_default_parameters() {
    let folder = demo();
    let listed = json_lines(folder.path(), &["query", "list"]);
    assert!(listed.len() > 25);
    for one in listed {
        let name = one["name"].as_str().unwrap();
        let needs = |parameter: &str| one["parameters"].as_array().unwrap().iter().any(|it| it["name"] == parameter);
        let mut arguments = vec!["query", "run", name, "--as-of", "2026-02-20T12:00:00Z"];
        if needs("cause") {
            arguments.extend(["--param", "cause=code:executor_oom"]);
        }
        arguments.extend(WEEK);
        let rows = json_lines(folder.path(), &arguments);
        // The demo adopts no preventive action, and reads no workspace.
        let is_empty = ["prevention_effect", "job_checks", "job_gaps"].contains(&name);
        assert!(is_empty || !rows.is_empty(), "{name} finds nothing");
    }
}

#[test]
fn a_week_is_in_its_time_zone_and_rows_are_in_order() {
    let folder = demo();
    let counts =
        |arguments: &[&str]| json_lines(folder.path(), &[&["query", "run", "daily_counts"], arguments].concat());
    let rows = counts(&WEEK);
    let days: Vec<&str> = rows.iter().map(|row| row["day"].as_str().unwrap()).collect();
    assert!(days.is_sorted() && days[0] >= "2026-01-19" && *days.last().unwrap() <= "2026-02-22", "{days:?}");
    assert_ne!(rows, counts(&["--week", "2026-W07", "--tz", "Europe/Berlin"]));
    // The last week that has ended at this time.
    assert_eq!(rows, counts(&["--as-of", "2026-02-22T23:00:00Z", "--tz", "Europe/Berlin"]));
    assert_ne!(rows, counts(&["--as-of", "2026-02-22T22:59:59Z", "--tz", "Europe/Berlin"]));
    let given = counts(&[
        "--param",
        "week_end=2026-02-22T23:00:00Z",
        "--param",
        "week_4_start=2026-01-18T23:00:00Z",
        "--param",
        "time_zone=Europe/Berlin",
    ]);
    assert_eq!(rows, given);
}

#[test]
fn rows_are_printed_as_table_csv_or_json() {
    let folder = demo();
    let print =
        |arguments: &[&str]| ok(folder.path(), &[&["query", "run", "on_call_load"][..], &WEEK, arguments].concat());
    let table = print(&[]);
    assert!(table.contains("| band     | incidents | alerts | urgent_alerts |"), "{table}");
    let csv = print(&["--format", "csv"]);
    assert!(csv.starts_with("band,incidents,alerts,urgent_alerts\nbusiness,"), "{csv}");
    let lines = print(&["--format", "json"]);
    assert_eq!(lines, print(&["--json"]));
    assert_eq!(lines.lines().count(), 3);
    // an unknown week is n/a in a table, not 0
    let counts = ok(folder.path(), &["query", "run", "weekly_counts", "--week", "2025-W50"]);
    assert!(counts.contains("| total     | all   | 0         | n/a      | n/a           | 0            |"), "{counts}");
}

#[test]
fn all_parameter_errors_are_reported_together() {
    let folder = tempdir().unwrap();
    ok(folder.path(), &["init"]);
    let output = run(
        folder.path(),
        &[
            "query",
            "run",
            "cause_impact",
            "--param",
            "as_of=yesterday",
            "--param",
            "nope=1",
            "--param",
            "x",
            "--param",
            "evil\u{1b}[31m=1",
        ],
    );
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(3), "{text}");
    for expected in [
        "as_of: \"yesterday\" is not an RFC 3339 time",
        "cause_impact has no parameter \"nope\"",
        "\"x\" is not NAME=VALUE",
        "cause_impact needs --param cause=…, STRING: after merges and splits.",
        "`ops-runbook query show cause_impact`",
    ] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    assert!(!text.contains('\u{1b}') && output.stdout.is_empty());

    let check = |arguments: &[&str], code: i32, expected: &str| {
        let output = run(folder.path(), arguments);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {text}");
        assert!(text.contains(expected), "{arguments:?}: {text}");
    };
    check(&["query", "run", "nope"], 4, "there is no query or view \"nope\"");
    check(&["query", "show", "audit_log"], 4, "`ops-runbook query list` lists the queries and views");
    check(&["query", "run", "incidents", "--param", "as_of=2026-02-20T12:00:00Z"], 3, "incidents has no parameter");
    check(&["query", "run", "recurrence", "--param", "threshold=3.5"], 3, "is not a whole number");
    check(
        &["query", "run", "recurrence", "--param", "threshold=1", "--param", "threshold=2"],
        3,
        "threshold is given more than once",
    );
    check(&["query", "run", "durations", "--tz", "Europe/Bielefeld"], 2, "is not an IANA time zone");
    check(&["query", "run", "durations", "--week", "2026-8"], 2, "is not an ISO week");
    let nowhere = folder.path().join("nowhere");
    assert_eq!(run(&nowhere, &["query", "run", "incidents"]).status.code(), Some(4));
}

#[test]
fn thresholds_follow_the_configuration() {
    let folder = demo();
    let config = folder.path().join("rules.toml");
    std::fs::write(&config, "[recurring]\nthreshold = 2\nwindow_hours = 240\n").unwrap();
    let episodes = |arguments: &[&str]| {
        let asked = ["query", "run", "recurrence", "--as-of", "2026-02-20T12:00:00Z"];
        json_lines(folder.path(), &[&asked[..], arguments].concat())
    };
    let loose = episodes(&["--config", config.to_str().unwrap()]);
    assert!(loose.len() > episodes(&[]).len());
    assert_eq!(loose, episodes(&["--param", "threshold=2", "--param", "window_hours=240"]));
}

#[test]
fn views_are_created_in_order_under_any_name() {
    let folder = tempdir().unwrap();
    let ddl = |arguments: &[&str]| ok(folder.path(), &[&["catalog", "views"], arguments].concat());
    let text = ddl(&["--catalog", "ma`in; DROP", "--schema", "ops"]);
    assert!(text.starts_with("USE CATALOG `ma``in; DROP`;\nUSE SCHEMA `ops`;\n\nCREATE VIEW `"), "{text}");
    let at = |view: &str| text.find(&format!("CREATE VIEW `{view}` COMMENT '")).unwrap();
    assert!(at("incidents") < at("open_incidents") && at("incidents") < at("runbook_steps"));
    let names = ops_runbook::analytics::views().count();
    assert_eq!(text.matches("CREATE VIEW `").count(), names);
    // outside of texts every ; ends a statement, so that a client can split what is printed
    let rest = text.split_once("USE SCHEMA").unwrap().1;
    let code = regex::Regex::new("'[^']*'|--.*").unwrap().replace_all(rest, "");
    assert_eq!(code.matches(';').count(), names + 1, "{code}");
    assert_eq!(code.matches(";\n").count(), names + 1);
    assert!(rest.lines().filter(|line| line.trim_start().starts_with("--")).all(|line| !line.contains(';')));
    let replacing = ddl(&["--catalog", "main", "--schema", "ops", "--or-replace"]);
    assert_eq!(replacing.matches("CREATE OR REPLACE VIEW `").count(), names);
    for name in ["", " ", "a\nb"] {
        let output = run(folder.path(), &["catalog", "views", "--catalog", name, "--schema", "ops"]);
        assert_eq!(output.status.code(), Some(3), "{name:?}");
    }
}
