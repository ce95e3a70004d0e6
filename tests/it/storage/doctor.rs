//! `doctor`: usable and unusable storage, and the findings about it.

use std::fs;

use serde_json::Value;
use tempfile::tempdir;

use super::emulators::Store;
use crate::{
    support::{LakeLocation, binary, example, finish, ok, run},
    warehouse::copied,
};

/// Runs `doctor` and returns its exit code and findings.
fn examined(lake: &(impl LakeLocation + ?Sized)) -> (Option<i32>, Value) {
    let output = finish(binary(lake).args(["doctor", "--json"]));
    let text = String::from_utf8(output.stdout).unwrap();
    (
        output.status.code(),
        serde_json::from_str(&text).unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr))),
    )
}

fn finding<'a>(examined: &'a Value, check: &str) -> &'a Value {
    examined["findings"].as_array().unwrap().iter().find(|finding| finding["check"] == check).unwrap()
}

fn assert_all(examined: &(Option<i32>, Value), state: &str, checks: &[&str]) {
    for check in checks {
        assert_eq!(finding(&examined.1, check)["state"], state, "{check}: {:#}", examined.1);
    }
}

const STORE: [&str; 8] =
    ["write", "read-after-write", "list-after-write", "overwrite", "second-writer", "same-moment", "clock", "delete"];
const TABLES: [&str; 7] = ["lake", "protocol", "properties", "columns", "log", "head", "projection"];

fn assert_passes(lake: &(impl LakeLocation + ?Sized)) {
    let before = examined(lake);
    assert_all(&before, "ok", &STORE);
    assert_all(&before, "not-checked", &TABLES[1..]);
    assert_eq!((before.0, &before.1["usable"]), (Some(0), &true.into()));
    ok(lake, &["record", &example("01-daily-etl-no-retries")]);
    ok(lake, &["maintain"]);
    let after = examined(lake);
    assert_all(&after, "ok", &STORE);
    assert_all(&after, "ok", &TABLES);
    assert!(ok(lake, &["doctor"]).ends_with("\nNo problems found.\n"));
}

#[test]
fn a_folder_passes_all_checks_and_no_test_file_is_left() {
    let folder = tempdir().unwrap();
    let lake = folder.path().join("lake");
    assert_eq!(examined(&lake).0, Some(0));
    assert!(!lake.exists(), "something was left behind");
    assert_passes(&lake);
    assert!(!lake.join("_doctor").exists() && !lake.join(".staging").exists(), "something was left behind");
}

#[test]
fn s3_passes_all_checks() {
    let store = Store::s3();
    assert_passes(&store.lake("doctor"));
}

#[test]
fn azure_passes_all_checks() {
    let store = Store::azure();
    assert_passes(&store.lake("doctor"));
}

#[test]
fn google_passes_all_checks() {
    let store = Store::google();
    assert_passes(&store.lake("doctor"));
}

#[test]
fn s3_and_google_are_refused_without_conditional_writes() {
    assert_refused(&Store::s3());
    assert_refused(&Store::google_with_pauses_of("0"));
}

fn assert_refused(store: &Store) {
    store.proxy.forgets_conditions();
    let place = store.lake("careless");
    let examined = examined(&place);
    assert_eq!((examined.0, &examined.1["usable"]), (Some(1), &false.into()));
    assert_all(&examined, "failed", &["second-writer", "same-moment"]);
    assert_all(&examined, "ok", &["write", "read-after-write", "list-after-write", "delete"]);
    let advice = finding(&examined.1, "second-writer")["advice"].as_str().unwrap().to_owned();
    assert!(advice.contains("use a store with conditional writes"), "{advice}");
    let init = run(&place, &["init"]);
    let text = String::from_utf8_lossy(&init.stderr).into_owned();
    assert!(!init.status.success() && text.contains("a second writer of the same file is not refused"), "{text}");
}

#[test]
fn s3_that_cannot_be_written_fails_one_check_and_skips_the_others() {
    let store = Store::s3();
    store.proxy.admits(|_| false);
    let examined = examined(&store.lake("closed"));
    assert_eq!(examined.0, Some(1));
    assert_all(&examined, "failed", &["write"]);
    assert_all(&examined, "not-checked", &STORE[1..]);
    assert_all(&examined, "not-checked", &TABLES);
    let advice = finding(&examined.1, "write")["advice"].as_str().unwrap().to_owned();
    assert!(advice.contains("read, write, list and delete"), "{advice}");
}

/// Each change to a healthy lake must produce its finding.
#[test]
fn damage_to_a_lake_is_found() {
    let folder = tempdir().unwrap();
    let healthy = folder.path().join("healthy");
    ok(&healthy, &["record", &example("01-daily-etl-no-retries")]);
    ok(&healthy, &["maintain"]);
    let check = |change: &dyn Fn(&std::path::Path), expected: &str, state: &str| {
        let lake = folder.path().join("changed");
        copied(&healthy, &lake);
        change(&lake);
        let (code, found) = examined(&lake);
        let finding = finding(&found, expected);
        assert_eq!(finding["state"], state, "{found:#}");
        assert!(finding["advice"].is_string(), "{finding:#}");
        assert_eq!(code, Some(i32::from(state == "failed")));
        fs::remove_dir_all(lake).unwrap();
    };
    let rewrite = |table: &'static str, from: &'static str, to: &'static str| {
        move |lake: &std::path::Path| {
            // Before the first checkpoint, protocol and metadata are in the first commit.
            let log = lake.join(table).join("_delta_log");
            for entry in fs::read_dir(&log).unwrap() {
                let path = entry.unwrap().path();
                if path.to_str().unwrap().contains("checkpoint") {
                    fs::remove_file(path).unwrap();
                }
            }
            let first = log.join("00000000000000000000.json");
            let text = fs::read_to_string(&first).unwrap();
            let changed = text.replacen(from, to, 1);
            assert_ne!(text, changed);
            fs::write(first, changed).unwrap();
        }
    };
    check(&rewrite("digests", r#""minWriterVersion":2"#, r#""minWriterVersion":4"#), "protocol", "failed");
    check(
        &rewrite("audit_log", r#""delta.appendOnly":"true""#, r#""delta.appendOnly":"false""#),
        "properties",
        "failed",
    );
    check(
        &rewrite("digests", r#"\"name\":\"seq\",\"type\":\"long\""#, r#"\"name\":\"seq\",\"type\":\"integer\""#),
        "columns",
        "failed",
    );
    check(&|lake| fs::remove_dir_all(lake.join("digests")).unwrap(), "lake", "warning");
    check(&|lake| fs::write(lake.join("audit_log/_delta_log/_last_checkpoint"), "{").unwrap(), "log", "failed");
    check(
        &|lake| {
            let files = fs::read_dir(lake.join("audit_log")).unwrap().map(|entry| entry.unwrap().path());
            for file in files.filter(|path| path.extension().is_some_and(|extension| extension == "parquet")) {
                fs::write(file, "").unwrap();
            }
        },
        "log",
        "failed",
    );
}
