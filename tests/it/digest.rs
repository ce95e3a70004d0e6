//! Tests of the weekly digest, from reports to rendered formats.

use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use chrono::TimeDelta;
use chrono_tz::Tz;
use ops_runbook::{
    analytics::{
        engine::Engine,
        weekly::{WeekParameters, figures},
    },
    domain::{
        digest::{AgeingIncident, Digest, dimension::Dimension},
        ids::{Id, IncidentId},
        interface::Interface,
        redact::Redactor,
        steps::{AcknowledgeIncident, CloseIncident, ReopenIncident},
        time::Timestamp,
        week::Week,
    },
    lake::{Context, Lake},
    ops::{
        self,
        digest::{DigestStatus, make},
    },
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};
use tempfile::tempdir;

use crate::{
    support::{EXAMPLES, assert_intact, binary, example, ok, report, run, sql_rows, tamper},
    wait::{output_of, repetitions},
};

/// A report of an incident that was reported at `at`.
fn reported(id: &str, at: &str) -> Value {
    let mut report = report(id);
    report["incident"]["reported_at"] = at.into();
    report["timeline"] = json!([{ "at": at, "kind": "DISCOVER", "message": "1 failed run" }]);
    report
}

fn record(lake: &Path, reports: &[Value]) {
    let file = lake.with_extension("jsonl");
    let lines: Vec<String> = reports.iter().map(Value::to_string).collect();
    fs::write(&file, lines.join("\n") + "\n").unwrap();
    ok(lake, &["record", file.to_str().unwrap()]);
}

fn digest(lake: &Path, arguments: &[&str]) -> (Digest, String) {
    let output = run(lake, &[&["digest", "--json"], arguments].concat());
    let messages = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{messages}");
    (serde_json::from_slice(&output.stdout).unwrap(), messages)
}

fn rows(lake: &Path, table: &str) -> u64 {
    sql_rows(lake, &format!("SELECT count(*) AS n FROM {table}"))[0]["n"].as_u64().unwrap()
}

#[test]
fn the_same_week_again_is_the_same_digest() {
    let folder = tempdir().unwrap();
    let lake = folder.path().join("lake");
    for name in EXAMPLES {
        ok(&lake, &["record", &example(name)]);
    }
    let (first, messages) = digest(&lake, &["--week", "2026-W08"]);
    assert!(messages.contains("recorded as revision 1 of 2026-W08, audit log row"), "{messages}");
    assert!(first.figures.incidents() > 0 && !first.changed.is_empty());
    assert_eq!((first.audit.intact, first.audit.verified_after), (true, 0));
    let before = rows(&lake, "audit_log");
    let arguments = ["digest", "--week", "2026-W08", "--format", "text,markdown,html,json,slack"];
    let [one, two] = [run(&lake, &arguments), run(&lake, &arguments)];
    assert!(String::from_utf8_lossy(&two.stderr).contains("nothing changed: revision 1 of 2026-W08"));
    assert!(one.stdout == two.stdout && one.stdout.len() > 10_000);
    assert_eq!((rows(&lake, "audit_log"), rows(&lake, "digests")), (before, 1));
    assert_intact(&lake, 6);
}

#[test]
fn late_data_makes_a_revision_with_its_differences() {
    let folder = tempdir().unwrap();
    let lake = folder.path().join("lake");
    record(&lake, &[reported("a", "2026-02-17T10:00:00Z"), reported("b", "2026-02-18T10:00:00Z")]);
    let (first, _) = digest(&lake, &["--week", "2026-W08"]);
    assert_eq!((first.revision, first.figures.incidents(), &first.revised), (1, 2, &None));
    record(&lake, &[reported("late", "2026-02-22T23:59:59.999999Z")]);
    let (second, messages) = digest(&lake, &["--week", "2026-W08"]);
    assert!(messages.contains("recorded as revision 2 of 2026-W08"), "{messages}");
    assert_eq!((second.revision, second.figures.incidents()), (2, 3));
    let revised = second.revised.unwrap();
    assert_eq!((revised.revision, revised.made_at), (1, first.made_at));
    assert!(revised.differences.iter().any(|text| text.contains('3') && text.contains('2')), "{revised:?}");
    assert_eq!(rows(&lake, "digests"), 2);
    let text = ok(&lake, &["digest", "--week", "2026-W08"]);
    assert!(text.contains("evision 2") && text.contains(&revised.differences[0]), "{text}");
    assert_intact(&lake, 3);
}

#[test]
fn what_happens_after_the_week_does_not_change_its_digest() {
    let folder = tempdir().unwrap();
    let lake = folder.path().join("lake");
    record(&lake, &[reported("a", "2026-02-17T10:00:00Z"), reported("b", "2026-02-18T10:00:00Z")]);
    let (first, _) = digest(&lake, &["--week", "2026-W08"]);
    assert_eq!(first.figures.open.len(), 2);
    ok(&lake, &["incident", "ack", "INC-1001", "--at", "2026-02-23T00:00:00Z"]);
    ok(&lake, &["incident", "close", "INC-1001", "done", "--at", "2026-02-23T00:00:00Z"]);
    ok(&lake, &["incident", "log", "INC-1002", "still looking"]);
    ok(&lake, &["incident", "escalate", "INC-1002", "the cause is unknown"]);
    record(&lake, &[reported("next", "2026-02-23T00:00:00Z")]);
    let (again, messages) = digest(&lake, &["--week", "2026-W08"]);
    assert!(messages.contains("nothing changed") && again == first, "{messages}");
    ok(&lake, &["incident", "close", "INC-1002", "done", "--at", "2026-02-22T23:59:59Z"]);
    let (closed, _) = digest(&lake, &["--week", "2026-W08"]);
    assert_eq!((closed.revision, closed.figures.open.len()), (2, 1), "closed in the week, recorded later");
}

#[test]
fn the_present_week_is_a_preview_and_a_later_one_is_refused() {
    let folder = tempdir().unwrap();
    let lake = folder.path().join("lake");
    record(&lake, &[reported("a", "2026-02-17T10:00:00Z")]);
    let now = Context::system().now();
    let present = Week::of(now, Tz::UTC).to_string();
    let (preview, messages) = digest(&lake, &["--week", &present]);
    assert!(messages.contains("a preview, not recorded"), "{messages}");
    assert_eq!((preview.week.week, rows(&lake, "digests")), (present, 0));
    let later = Week::of(now.plus(TimeDelta::days(7)), Tz::UTC).to_string();
    let refused = run(&lake, &["digest", "--week", &later]);
    assert_eq!(refused.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("the week begins at"));
    for (arguments, messages) in [
        (["--week", "2025-W53"], "2025 has no ISO week 53"),
        (["--week", "last"], "is not an ISO week such as 2026-W08"),
        (["--tz", "Mars/Olympus"], "is not an IANA time zone"),
    ] {
        let refused = run(&lake, &[&["digest"], &arguments[..]].concat());
        assert_eq!(refused.status.code(), Some(2));
        assert!(String::from_utf8_lossy(&refused.stderr).contains(messages), "{messages}");
    }
    // Without --week: the last complete week.
    let (last, _) = digest(&lake, &[]);
    assert_eq!(last.week.week, Week::last_complete(now, Tz::UTC).to_string());
}

#[test]
fn a_week_with_a_change_of_clocks_has_its_own_length() {
    let folder = tempdir().unwrap();
    let lake = folder.path().join("lake");
    record(
        &lake,
        &[
            reported("last-of-the-week-before", "2026-03-22T22:59:59.999999Z"),
            reported("first", "2026-03-22T23:00:00Z"),
            reported("night", "2026-03-29T01:30:00Z"),
            reported("last", "2026-03-29T21:59:59.999999Z"),
            reported("next-week", "2026-03-29T22:00:00Z"),
        ],
    );
    let config = folder.path().join("ops-runbook.toml");
    fs::write(&config, "[digest]\ntime_zone = 'Europe/Berlin'\n").unwrap();
    let (found, _) = digest(&lake, &["--week", "2026-W13", "--config", config.to_str().unwrap()]);
    assert_eq!((found.week.hours, found.week.time_zone.as_str()), (167.0, "Europe/Berlin"));
    assert_eq!(found.figures.incidents(), 3);
    let days: Vec<String> = found.figures.days.iter().map(|day| format!("{} {}", day.day, day.incidents)).collect();
    assert_eq!(days, ["2026-03-22 1", "2026-03-23 1", "2026-03-29 2"]);
    // 01:30 UTC is half past three in the morning: the clocks have jumped from two to three.
    assert!(found.figures.hours.iter().any(|hour| (hour.weekday, hour.hour) == (7, 3)));
    let (utc, _) = digest(&lake, &["--week", "2026-W13"]);
    assert_eq!((utc.week.hours, utc.figures.incidents(), rows(&lake, "digests")), (168.0, 3, 2));
}

#[test]
fn a_week_without_incidents_has_a_digest() {
    let folder = tempdir().unwrap();
    let lake = folder.path().join("lake");
    ok(&lake, &["init"]);
    let (found, messages) = digest(&lake, &["--week", "2026-W08"]);
    assert!(messages.contains("recorded as revision 1"));
    assert!(found.changed[0].contains("no incidents"), "{:?}", found.changed);
    assert!(ok(&lake, &["digest", "--week", "2026-W08"]).contains("no incidents"));
    // The weeks before the first report are unknown, not zero.
    record(&lake, &[reported("a", "2026-03-03T10:00:00Z")]);
    let (next, _) = digest(&lake, &["--week", "2026-W10"]);
    let total = next.figures.counts.iter().find(|count| count.dimension == Dimension::Total).unwrap();
    assert_eq!((total.incidents, total.previous, total.median_before, total.weeks_before), (1, None, None, 0));
}

#[test]
fn a_digest_of_a_tampered_log_is_not_intact() {
    let folder = tempdir().unwrap();
    let lake = folder.path().join("lake");
    record(&lake, &[reported("a", "2026-02-17T10:00:00Z"), reported("b", "2026-02-18T10:00:00Z")]);
    tamper(&lake, 1);
    let output = run(&lake, &["digest", "--week", "2026-W08"]);
    assert_eq!(output.status.code(), Some(5));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("NOT INTACT") && text.contains("row 1"), "{text}");
}

#[test]
fn out_writes_a_file_per_format() {
    let folder = tempdir().unwrap();
    let lake = folder.path().join("lake");
    record(&lake, &[reported("a", "2026-02-17T10:00:00Z")]);
    let out = folder.path().join("digests");
    ok(&lake, &["digest", "--week", "2026-W08", "--tz", "Europe/Berlin", "--out", out.to_str().unwrap()]);
    let names: BTreeSet<String> =
        fs::read_dir(&out).unwrap().map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    let ends = ["html", "json", "md", "slack.json", "txt"];
    assert!(names.iter().cloned().eq(ends.map(|end| format!("digest-2026-W08-Europe-Berlin.{end}"))), "{names:?}");
    ok(&lake, &["digest", "--week", "2026-W08", "--format", "html,slack", "--out", out.to_str().unwrap()]);
    assert!(out.join("digest-2026-W08.html").exists() && !out.join("digest-2026-W08.md").exists());
}

#[test]
fn concurrent_processes_record_one_digest() {
    let folder = tempdir().unwrap();
    let lake = folder.path().join("lake");
    record(&lake, &[reported("a", "2026-02-17T10:00:00Z")]);
    let children: Vec<_> = (0..4)
        .map(|_| {
            let mut command = binary(&lake);
            command.args(["digest", "--week", "2026-W08", "--json"]).stdout(std::process::Stdio::piped());
            command.stderr(std::process::Stdio::piped()).spawn().unwrap()
        })
        .collect();
    let answers: BTreeSet<Vec<u8>> = children
        .into_iter()
        .map(|child| {
            let output = output_of("digest", child);
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            output.stdout
        })
        .collect();
    assert_eq!((answers.len(), rows(&lake, "digests")), (1, 1), "all processes print the same digest");
    assert_intact(&lake, 1);
}

#[test]
fn a_digest_of_thousands_of_incidents_has_a_bounded_size() {
    let count = repetitions(2_000, 10_000);
    let folder = tempdir().unwrap();
    let lake = folder.path().join("lake");
    let reports: Vec<Value> = (0..count)
        .map(|n: u32| {
            let at = format!("2026-02-{:02}T{:02}:{:02}:00Z", 16 + n % 7, n / 7 % 24, n % 60);
            let mut report = reported(&format!("r{n}"), &at);
            report["resources"] = json!([{ "kind": "job", "id": n.to_string(), "name": format!("job {n}") }]);
            report["rca"]["root_cause"] = format!("cause {}", ["a", "b", "c", "d", "e"][n as usize % 5]).into();
            report
        })
        .collect();
    record(&lake, &reports);
    let out = folder.path().join("out");
    ok(&lake, &["digest", "--week", "2026-W08", "--out", out.to_str().unwrap()]);
    let size = |end: &str| fs::metadata(out.join(format!("digest-2026-W08.{end}"))).unwrap().len();
    assert!(size("html") < 500_000 && size("md") < 200_000 && size("txt") < 200_000 && size("slack.json") < 20_000);
    let found: Digest = serde_json::from_slice(&fs::read(out.join("digest-2026-W08.json")).unwrap()).unwrap();
    assert_eq!((found.figures.incidents(), found.figures.open.len()), (count as u64, count as usize));
}

/// A lake with a clock that the test sets.
struct Staged {
    lake: Lake,
    clock: Arc<AtomicI64>,
}

impl Staged {
    fn at(folder: &Path) -> Self {
        let clock = Arc::new(AtomicI64::new(0));
        let reading = Arc::clone(&clock);
        let now = move || Timestamp::from_micros(reading.load(Ordering::Relaxed)).unwrap();
        let lake = Lake::at(folder.to_str().unwrap(), Context::new(Arc::new(now), 7)).unwrap();
        Self { lake, clock }
    }

    fn set(&self, at: Timestamp) {
        self.clock.store(at.micros(), Ordering::Relaxed);
    }
}

fn open_ids(open: &[AgeingIncident]) -> Vec<(IncidentId, String)> {
    open.iter().map(|open| (open.incident_id, format!("{:.3} {:?}", open.age_hours, open.acknowledged_at))).collect()
}

/// A digest reuses the open incidents of an earlier one instead of reading all history. The result must be the same.
#[tokio::test]
async fn a_digest_that_follows_another_finds_the_same_open_incidents() {
    let mut open_in_the_end = 0;
    for seed in 0..repetitions(1, 20) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let folder = tempdir().unwrap();
        let staged = Staged::at(folder.path());
        let week = Week::new("2026-W06".parse().unwrap(), Tz::Europe__Berlin);
        let start = week.start();
        let minutes = |minutes: i64| start.plus(TimeDelta::minutes(minutes));
        let redactor = Redactor::new(None);
        staged.set(start);
        let (ledger, committer) = ops::open_ledger(&staged.lake).await.unwrap();
        let mut count = 0;
        let mut follow_up = Vec::new();
        // Three weeks, a step every six hours, a digest on the Monday or Tuesday after each week.
        for step in 1..=(3 * 7 * 4) {
            let now = minutes(step * 360);
            staged.set(now);
            let incident = IncidentId::from_ordinal(rng.random_range(1..=count.max(1)));
            let actor = Id::new("user:dice").unwrap();
            let at = Some(now.plus(TimeDelta::minutes(rng.random_range(-20_000..1_000))));
            let (message, request_id) = ("as the dice fell".to_owned(), None);
            let kind = if count == 0 { 0 } else { rng.random_range(0..6) };
            let submission = match kind {
                0..=2 => {
                    let late = rng.random_range(0..4) == 0;
                    let at = now.plus(-TimeDelta::minutes(if late { 12_000 } else { 10 }));
                    let report = reported(&format!("{seed}-{step}"), &at.to_string());
                    count += 1;
                    ops::prepare(&serde_json::to_vec(&report).unwrap(), &redactor, now, Interface::Cli)
                }
                3 => {
                    let step = CloseIncident {
                        incident_id: incident,
                        message,
                        compliance_impact: None,
                        lessons_learned: vec![],
                        actor,
                        at,
                        request_id,
                    };
                    ops::prepare_step(step, &redactor, now, Interface::Cli)
                }
                4 => {
                    let step = ReopenIncident { incident_id: incident, message, actor, at, request_id };
                    ops::prepare_step(step, &redactor, now, Interface::Cli)
                }
                _ => {
                    let step = AcknowledgeIncident { incident_id: incident, message: None, actor, at, request_id };
                    ops::prepare_step(step, &redactor, now, Interface::Cli)
                }
            };
            if let Ok(submission) = submission {
                let _ = ledger.submit(submission).await;
            }
            let over = Week::last_complete(now, week.zone());
            if over.start() >= start && !follow_up.contains(&over.to_string()) && rng.random_range(0..4) == 0 {
                follow_up.push(over.to_string());
                make(&staged.lake, Engine::Local(&staged.lake), &ledger, over).await.unwrap();
            }
        }
        staged.set(minutes(30 * 24 * 60));
        let last = Week::new("2026-W08".parse().unwrap(), week.zone());
        let following = make(&staged.lake, Engine::Local(&staged.lake), &ledger, last).await.unwrap();
        assert!(follow_up.len() >= 2 && matches!(following.status, DigestStatus::Recorded(_) | DigestStatus::Known(_)));
        // Computed without an earlier digest.
        let alone = {
            let known_from = ops::digest::known_from(&staged.lake).await.unwrap().unwrap();
            let parameters = WeekParameters { week: last, known_from };
            figures(Engine::Local(&staged.lake), &parameters, None).await.unwrap()
        };
        assert_eq!(open_ids(&following.digest.figures.open), open_ids(&alone.open), "seed {seed}");
        assert_eq!(following.digest.figures, alone, "seed {seed}");
        open_in_the_end += alone.open.len();
        drop(ledger);
        committer.finished().await;
    }
    assert!(open_in_the_end > 5, "{open_in_the_end}: there is little to compare");
}
