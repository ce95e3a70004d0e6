use proptest::prelude::*;

use super::*;

fn fingerprint(text: &str) -> String {
    identify(None, text).map_or("none".into(), |cause| cause.fingerprint)
}

#[test]
fn the_normal_form_keeps_words_and_masks_the_rest() {
    fn check(input: &str, expected: &str) {
        assert_eq!(normalise(input), expected, "{input:?}");
    }
    check("Job retry policies not configured (max_retries=0)", "job retry policies not configured max_retries <num>");
    check(
        "job retry policies  not configured\t( max_retries = 12 )",
        "job retry policies not configured max_retries <num>",
    );
    check("failed at 2026-02-11T12:36:00.123Z", "failed at <time>");
    check("failed on 2026-02-11 12:36:00 UTC, again at 01:09", "failed on <time> again at <time>");
    check("run 123e4567-e89b-12d3-a456-426614174000 lost", "run <uuid> lost");
    check("commit 4f3a2b1c9d is bad, at 0xFF", "commit <hex> is bad at <hex>");
    check("503 from https://partner.example.test/export?run=7", "<num> from <url>");
    check("no route to adb-740.8.azuredatabricks.net:443", "no route to <host>");
    check("no route to 10.0.0.12:8080", "no route to <ip>");
    check("mail oncall@example.test", "mail <email>");
    check("missing /Workspace/etl/transform:42", "missing <path> <num>");
    check(
        "missing dbfs:/mnt/raw and s3://bucket/key and abfss://c@acct.dfs.core.windows.net/x",
        "missing <path> and <path> and <path>",
    );
    check("java.net.SocketException: reads/writes/deletes", "java net socketexception reads writes deletes");
    check("task3 and run_42_x took 1.5 s, 2, 3", "task <num> and run <num> x took <num> s <num>");
    check("retries: <num>", "retries <num>");
    check("--- ", "");
}

#[test]
fn unknown_is_never_a_cause() {
    for text in [
        "unknown",
        "Unknown.",
        "N/A",
        "n/a",
        "none",
        "Not known",
        "undetermined",
        "TBD",
        "?",
        "unclear",
        "Root cause unknown",
        "root cause: unknown",
        "to be determined",
        "Under investigation",
        "",
        " \t",
        "--",
        "???",
        "The root cause is not yet known",
        "unknown error",
        "TBD, see logs",
        "unknown (run output unavailable)",
        "12345",
        "Root cause",
    ] {
        assert_eq!(identify(None, text), None, "{text:?}");
        if text != "12345" {
            assert_eq!(identify(Some(text), "unknown"), None, "{text:?} as a code");
        }
    }
    for text in
        ["unknown column payload", "Unknown host db.example.test", "None type returned by parser", "Error: disk full"]
    {
        assert!(identify(None, text).is_some(), "{text:?}");
    }
}

#[test]
fn a_code_takes_precedence_and_an_unknown_code_falls_back_to_the_text() {
    let cause = identify(Some("  NO_RETRY_POLICY "), "anything").expect("a cause");
    assert_eq!((cause.fingerprint.as_str(), cause.source), ("code:no_retry_policy", CauseSource::Code));
    let cause = identify(Some("n/a"), "disk full").expect("a cause");
    assert_eq!((cause.normalised.as_str(), cause.source), ("disk full", CauseSource::Text));
    assert_eq!(identify(Some("404"), "unknown").expect("a cause").fingerprint, "code:404");
}

#[test]
fn the_three_examples_without_retries_are_one_cause() {
    let causes = [
        include_str!("../../../tests/examples/01-daily-etl-no-retries.json"),
        include_str!("../../../tests/examples/02-hourly-sync-no-retries.json"),
        include_str!("../../../tests/examples/03-nightly-backup-no-retries.json"),
    ]
    .map(|text| {
        let report: serde_json::Value = serde_json::from_str(text).expect("JSON");
        fingerprint(report["rca"]["root_cause"].as_str().expect("a root cause"))
    });
    assert!(causes[0].starts_with("c1:") && causes[0].len() == 19);
    assert!(causes.iter().all(|cause| *cause == causes[0]), "{causes:?}");
}

#[test]
fn an_explanation_shows_both_normal_forms() {
    assert_eq!(
        explain("Disk full (90%)", "disk FULL: 100 %"),
        r#"They match: both normalise to "disk full <num>" (c1)."#
    );
    assert_eq!(
        explain("disk full", "disk slow"),
        r#"They do not match: the first normalises to "disk full", the second to "disk slow" (c1). Only the first has "full", only the second "slow"."#
    );
    assert!(explain("disk full", "TBD").contains("the second names no cause"));
}

proptest! {
    #[test]
    fn normalising_twice_equals_normalising_once(text in any::<String>()) {
        let once = normalise(&text);
        prop_assert_eq!(normalise(&once), once);
    }

    #[test]
    fn normalising_technical_text_twice_equals_normalising_once(text in r#"([a-fz]{1,4}|[0-9]{1,4}|[-_./:@<>= \\]|num|com|İ|ß){0,16}"#) {
        let once = normalise(&text);
        prop_assert_eq!(normalise(&once), once);
        let _ = explain(&text, "disk full");
    }

    #[test]
    fn case_white_space_and_numbers_do_not_matter(a in 0u32.., b in 0u32.., space in "[ \t\n]{1,4}") {
        let one = fingerprint(&format!("Task {a} timed out after {a}s (limit={a})"));
        let other = fingerprint(&format!("TASK{space}{b} timed{space}out AFTER {b}s ( limit = {b} )"));
        prop_assert_eq!(one, other);
    }
}
