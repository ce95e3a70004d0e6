//! Tests of recurrence over real Delta tables.

use std::{fs, path::Path};

use chrono::TimeDelta;
use datafusion::common::ScalarValue;
use ops_runbook::{
    analytics::{
        self,
        engine::Engine,
        recurrence::{
            aliases, cause_counts, episodes, impacts, members, occurrences, prevention_steps, recorded, resources,
        },
    },
    domain::{
        interface::Interface,
        recurrence::{
            self as definition, CauseFinding, RecurrenceRule,
            issue::{Impact, Issue},
            time_range::{TimeRange, beginning},
        },
        redact::Redactor,
        time::Timestamp,
    },
    lake::{
        Lake,
        ledger::{Ledger, Submission},
    },
    ops,
    render::recurring,
    tables::{Row, from_batch, rows::RootCause},
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};
use tempfile::tempdir;

use crate::support::{EXAMPLES, batches, example, lake_at, ok, report, run, sql_rows};

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

async fn issues(lake: &Lake, as_of: Timestamp, rule: RecurrenceRule) -> Vec<Issue> {
    let found = episodes(Engine::Local(lake), TimeRange::whole(as_of), rule, None).await.unwrap();
    let causes: Vec<String> = found.iter().map(|episode| episode.cause.clone()).collect();
    let all = members(Engine::Local(lake), TimeRange::whole(as_of), rule, &causes, beginning()).await.unwrap();
    let resources = resources(Engine::Local(lake), TimeRange::whole(as_of), &causes).await.unwrap();
    let mut issues = Vec::new();
    for episode in &found {
        let own: Vec<_> = definition::issue::members_of(episode, &all).cloned().collect();
        let others = definition::pattern::others(&resources, &episode.cause, beginning());
        let impact = impact(lake, as_of, &episode.cause).await;
        issues.push(Issue::new(episode, rule, &own, &others, impact, &[]));
    }
    issues
}

async fn impact(lake: &Lake, as_of: Timestamp, cause: &str) -> Option<Impact> {
    let look = (cause.to_owned(), TimeRange::whole(as_of).since);
    impacts(Engine::Local(lake), &[look.clone()].into(), as_of).await.unwrap().remove(&look)
}

#[tokio::test]
async fn the_third_example_opens_a_recurring_issue() {
    let folder = tempdir().unwrap();
    for name in EXAMPLES {
        ok(folder.path(), &["record", &example(name)]);
    }
    let lake = lake_at(folder.path());
    let third = time("2026-02-17T01:15:00Z");
    let before = Timestamp::from_micros(third.micros() - 1).unwrap();
    assert_eq!(issues(&lake, before, RecurrenceRule::DEFAULT).await, []);
    let counts =
        cause_counts(Engine::Local(&lake), TimeRange::whole(before), RecurrenceRule::DEFAULT, None).await.unwrap();
    assert_eq!((counts[0].fullest_window, counts[0].latest_window), (2, 2));

    let raised = issues(&lake, third, RecurrenceRule::DEFAULT).await;
    assert_eq!(raised.len(), 1);
    assert_eq!(raised[0].impact, None, "only two of them are resolved");
    let text = recurring::alert(&raised[0]);
    let lines: Vec<&str> = text.lines().skip(2).take(4).collect();
    assert_eq!(
        lines,
        [
            "Root Cause: Job retry policies not configured (max_retries=0)",
            "Occurrences: 3 incidents in 7 days (daily-etl, hourly-sync, nightly-backup)",
            "Pattern: All 3 affected jobs have compute=serverless, max_retries=0 (nothing to compare with)",
            "Confidence: HIGH (the lowest of the findings)",
        ]
    );
    let stored = serde_json::to_string(&raised[0]).unwrap();
    assert_eq!(serde_json::from_str::<Issue>(&stored).unwrap(), raised[0]);
}

fn two_months_of_reports(file: &Path) {
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let mut text = String::new();
    for n in 0..120_usize {
        let mut one = report(&format!("r{n}"));
        let hours = rng.random_range(0..1_500);
        let micros = rng.random_range(-1..=1_i64);
        let at =
            Timestamp::from_micros(time("2026-01-05T00:00:00Z").micros() + hours * 3_600_000_000 + micros).unwrap();
        one["incident"]["reported_at"] = at.to_string().into();
        one["rca"]["root_cause"] =
            ["executor out of memory", "no retry policy", "token expired", "unknown"][n % 4].into();
        if n.is_multiple_of(5) {
            one["resources"] = serde_json::json!([{ "kind": "job_run", "id": format!("{}", n % 3) }]);
        }
        text.push_str(&format!("{one}\n"));
    }
    fs::write(file, text).unwrap();
}

#[tokio::test]
async fn queries_over_delta_tables_match_the_definition() {
    let folder = tempdir().unwrap();
    let (path, file) = (folder.path().join("lake"), folder.path().join("reports.jsonl"));
    two_months_of_reports(&file);
    ok(&path, &["record", file.to_str().unwrap()]);
    let lake = lake_at(&path);
    let mut findings = Vec::new();
    for batch in batches(&lake, RootCause::TABLE).await {
        for row in from_batch::<RootCause>(&batch).unwrap() {
            findings.push(CauseFinding {
                incident_id: row.incident_id,
                seq: row.seq,
                found_at: row.found_at,
                occurrence_key: row.occurrence_key,
                cause_fingerprint: row.cause_fingerprint,
            });
        }
    }
    assert_eq!(findings.len(), 120);
    let as_of = time("2026-02-20T00:00:00Z");
    let expected = definition::occurrences(&findings, &[], as_of);
    let causes: Vec<String> =
        expected.chunk_by(|a, b| a.cause == b.cause).map(|group| group[0].cause.clone()).collect();
    assert_eq!(causes.len(), 3);
    assert_eq!(occurrences(Engine::Local(&lake), TimeRange::whole(as_of), &causes).await.unwrap(), expected);
    assert_eq!(
        occurrences(Engine::Local(&lake), TimeRange::whole(as_of), &causes[..1])
            .await
            .unwrap()
            .last()
            .map(|one| &one.cause),
        Some(&causes[0])
    );
    let mut seen = 0;
    for rule in [
        RecurrenceRule::DEFAULT,
        RecurrenceRule { threshold: 2, window_hours: 24 },
        RecurrenceRule { threshold: 4, window_hours: 100 },
    ] {
        let found = episodes(Engine::Local(&lake), TimeRange::whole(as_of), rule, None).await.unwrap();
        assert_eq!(found, definition::episodes(&expected, as_of, rule), "{rule:?}");
        let all = members(Engine::Local(&lake), TimeRange::whole(as_of), rule, &causes, beginning()).await.unwrap();
        assert_eq!(all.len() as u64, found.iter().map(|episode| episode.incidents).sum::<u64>());
        seen += found.len();
    }
    assert!(seen > 10, "{seen}");
}

#[tokio::test]
async fn the_impact_is_the_median_of_the_incidents_resolved_by_then() {
    let folder = tempdir().unwrap();
    let (path, file) = (folder.path().join("lake"), folder.path().join("reports.jsonl"));
    let reported = time("2026-02-11T12:21:00Z");
    let resolved_after = |id: &str, cause: &str, seconds: i64| {
        let mut one = report(id);
        let closed = Timestamp::from_micros(reported.micros() + seconds * 1_000_000).unwrap();
        one["incident"]["status"] = "resolved".into();
        one["timeline"] = serde_json::json!([{ "at": closed, "kind": "CLOSE", "message": "done" }]);
        one["rca"]["root_cause"] = cause.into();
        one.to_string()
    };
    let reports = [
        resolved_after("a", "executor out of memory", 600),
        resolved_after("b", "executor out of memory", 900),
        resolved_after("c", "executor out of memory", 5_000),
        resolved_after("d", "token expired", 100),
        resolved_after("e", "unknown", 300),
        report("still open").to_string(),
    ];
    fs::write(&file, reports.join("\n")).unwrap();
    ok(&path, &["record", file.to_str().unwrap()]);
    let lake = lake_at(&path);
    let later = time("2026-02-20T00:00:00Z");
    let found = episodes(Engine::Local(&lake), TimeRange::whole(later), RecurrenceRule::DEFAULT, None).await.unwrap();
    let measured = |resolved, median, others, others_median| Impact {
        resolved,
        median_s: Some(median),
        others_resolved: others,
        others_median_s: Some(others_median),
    };
    let cause = &found[0].cause;
    assert_eq!(impact(&lake, later, cause).await, Some(measured(3, 900.0, 2, 200.0)));
    let meanwhile = time("2026-02-11T12:36:00Z");
    assert_eq!(impact(&lake, meanwhile, cause).await, Some(measured(2, 750.0, 2, 200.0)));
    let text = recurring::alert(&issues(&lake, later, RecurrenceRule::DEFAULT).await[0]);
    let impact_line =
        "Cost Impact: median time to resolve (first resolved − reported) 15m (n=3); all other incidents 3m 20s (n=2)\n";
    assert!(text.ends_with(impact_line), "{text}");
}

#[tokio::test]
async fn a_new_lake_has_nothing_recorded() {
    let folder = tempdir().unwrap();
    ok(folder.path(), &["init"]);
    let lake = lake_at(folder.path());
    assert_eq!(recorded(Engine::Local(&lake)).await.unwrap(), []);
    assert_eq!(aliases(Engine::Local(&lake)).await.unwrap(), []);
    assert_eq!(prevention_steps(Engine::Local(&lake)).await.unwrap(), []);
}

#[tokio::test]
async fn a_parameter_without_a_value_is_an_error() {
    let folder = tempdir().unwrap();
    ok(folder.path(), &["init"]);
    let lake = lake_at(folder.path());
    assert!(analytics::query_with(&lake, "recurrence", &[("threshold", ScalarValue::from(3))]).await.is_err());
    assert!(analytics::query_with(&lake, "SELECT :x AS x", &[("x", ScalarValue::from(3))]).await.is_ok());
    assert!(
        analytics::query_with(&lake, "DELETE FROM audit_log WHERE seq = :x", &[("x", ScalarValue::from(3))])
            .await
            .is_err()
    );
}

/// Returns a report at noon of a day. The second part of the name is the cause.
fn on_day(n: usize, day: i64, cause: &str) -> Submission {
    let mut one = report(&format!("r{n}"));
    let at = time("2026-01-01T12:00:00Z").plus(TimeDelta::days(day));
    one["incident"]["reported_at"] = at.to_string().into();
    one["timeline"] = serde_json::json!([]);
    one["rca"]["root_cause"] = cause.into();
    let bytes = serde_json::to_vec(&one).unwrap();
    ops::prepare(&bytes, &Redactor::new(None), at.plus(TimeDelta::days(90)), Interface::Cli).unwrap()
}

/// Returns the recorded episodes without the times of their records.
async fn standing(lake: &Lake) -> Vec<(String, String, u64, Timestamp, Timestamp)> {
    let rows = recorded(Engine::Local(lake)).await.unwrap();
    rows.into_iter()
        .map(|row| (row.episode_id, row.event.to_string(), row.occurrences, row.first_at, row.last_at))
        .collect()
}

#[tokio::test]
async fn trailing_scans_record_what_whole_scans_record() {
    let folder = tempdir().unwrap();
    let lakes = ["whole", "trailing"].map(|name| lake_at(&folder.path().join(name)));
    // Day and cause of each report, and whether a scan follows. The sessions: one longer than four windows, one that ends, one
    // that resumes, and one that a late report joins.
    let steady = (0..19).map(|n| (n * 3, "executor out of memory"));
    let ended = [2, 3, 4].map(|day| (day, "token expired"));
    let back = [40, 41, 42, 58].map(|day| (day, "token expired"));
    let joined = [30, 31, 32, 45, 46, 47].map(|day| (day, "schema of the source changed"));
    let mut reports: Vec<(i64, &str)> = steady.chain(ended).chain(back).chain(joined).collect();
    reports.sort_unstable();
    // It is recorded last, although its day is 38.
    reports.push((38, "schema of the source changed"));
    let mut opened = Vec::new();
    for lake in &lakes {
        lake.init().await.unwrap();
        opened.push(Ledger::open(lake).await.unwrap());
    }
    for (n, part) in reports.chunks(4).enumerate() {
        let as_of = time("2026-01-02T00:00:00Z")
            .plus(TimeDelta::days(part.iter().map(|(day, _)| *day).max().unwrap().max(n as i64 * 7)));
        for ((lake, (ledger, _)), trailing) in lakes.iter().zip(&opened).zip([None, Some(TimeDelta::days(28))]) {
            for (at, (day, cause)) in part.iter().enumerate() {
                ledger.submit(on_day(n * 4 + at, *day, cause)).await.unwrap();
            }
            ops::recurrence::scan(lake, Engine::Local(lake), ledger, Some(as_of), trailing).await.unwrap();
        }
        assert_eq!(standing(&lakes[1]).await, standing(&lakes[0]).await, "after {part:?}, as of {as_of}");
    }
    let found = standing(&lakes[1]).await;
    assert!(found.len() >= 4 && found.iter().any(|episode| episode.2 == 19), "{found:?}");
}

#[test]
fn a_trailing_scan_of_less_than_four_windows_is_refused() {
    let folder = tempdir().unwrap();
    ok(folder.path(), &["init"]);
    ok(folder.path(), &["recurrence", "scan", "--trailing", "28"]);
    let refused = run(folder.path(), &["recurrence", "scan", "--trailing", "27"]);
    assert_eq!(refused.status.code(), Some(3));
    let text = String::from_utf8(refused.stderr).unwrap();
    assert!(text.contains("at least 672 h"), "{text}");
}

/// Records reports with one cause: three a day, then 29 days without.
fn record_history(lake: &Path, numbers: std::ops::Range<i64>) {
    let file = lake.with_extension("jsonl");
    let first = time("2020-01-01T00:00:00Z");
    let lines = numbers.map(|n| {
        let at = first.plus(TimeDelta::days(n / 3 * 30) + TimeDelta::hours(n % 3)).to_string();
        let mut report = report(&format!("old-{n}"));
        report["incident"]["reported_at"] = at.clone().into();
        report["timeline"] = json!([{ "at": at, "kind": "RCA", "message": "out of memory" }]);
        report["history"] = true.into();
        format!("{report}\n")
    });
    fs::write(&file, lines.collect::<String>()).unwrap();
    ok(lake, &["record", file.to_str().unwrap()]);
}

/// One scan finds all episodes, and each request about the cause refers to the previous one.
#[test]
fn one_scan_records_many_episodes_of_one_cause() {
    let folder = tempdir().unwrap();
    let lake = folder.path().join("lake");
    record_history(&lake, 0..156);
    let rows = sql_rows(
        &lake,
        "SELECT event, count(*) AS n, count(DISTINCT episode_id) AS e FROM recurrence_events GROUP BY event",
    );
    let of = |event: &str| rows.iter().find(|row| row["event"] == event).map(|row| (&row["n"], &row["e"]));
    // Each episode except the last one ended before the next began.
    assert_eq!(
        (of("closed"), of("opened")),
        (Some((&json!(51), &json!(51))), Some((&json!(1), &json!(1)))),
        "{rows:?}"
    );
    let alerts = sql_rows(&lake, "SELECT count(*) AS n FROM escalation_events WHERE event = 'fired'");
    assert_eq!(alerts, [json!({ "n": 1 })], "ended episodes send no notification");

    let sql = "SELECT request_id, entry FROM audit_log WHERE request_kind = 'evaluate_recurrence' ORDER BY seq";
    let requests: Vec<(Value, Value)> = sql_rows(&lake, sql)
        .into_iter()
        .map(|row| (row["request_id"].clone(), serde_json::from_str(row["entry"].as_str().unwrap()).unwrap()))
        .collect();
    let body = |n: usize| &requests[n].1["request"]["body"];
    assert_eq!((requests.len(), &body(0)["after"]), (52, &Value::Null));
    for n in 1..requests.len() {
        assert_eq!(body(n)["based_on"], body(0)["based_on"]);
        assert_eq!(body(n)["after"], requests[n - 1].0);
    }
}

/// The preventive actions in the first request of a scan are known to the following requests.
#[test]
fn an_ineffective_action_is_reported_in_every_later_episode() {
    let folder = tempdir().unwrap();
    let lake = folder.path().join("lake");
    record_history(&lake, 0..3);
    let cause = &sql_rows(&lake, "SELECT cause_fingerprint FROM recurring_issues")[0]["cause_fingerprint"];
    let adopt = ["recurrence", "adopt", cause.as_str().unwrap(), "sweep-failures", "--at", "2020-01-02T00:00:00Z"];
    ok(&lake, &adopt);
    record_history(&lake, 3..9);
    let rows = sql_rows(&lake, "SELECT seq, event, detail FROM recurrence_events ORDER BY seq");
    let states: Vec<(&str, Value)> = rows
        .iter()
        .map(|row| {
            let detail: Value = serde_json::from_str(row["detail"].as_str().unwrap()).unwrap();
            let actions = detail["actions"].as_array().unwrap();
            let state = actions.iter().find(|action| action["name"] == "sweep-failures").unwrap()["state"].clone();
            (row["event"].as_str().unwrap(), state)
        })
        .collect();
    let expected = [("opened", "proposed"), ("closed", "adopted"), ("closed", "recurred"), ("opened", "recurred")];
    assert_eq!(states, expected.map(|(event, state)| (event, json!(state))));
    let sql = "SELECT count(*) AS n FROM preventive_actions WHERE action = 'sweep-failures' AND state = 'recurred'";
    assert_eq!(sql_rows(&lake, sql), [json!({ "n": 1 })]);
}
