//! Random histories as real tables: what the weekly queries say on DataFusion, Spark says too.

mod generator;

use ops_runbook::{
    analytics::{
        self,
        engine::{Engine, ParameterValue},
        header::SqlHeader,
        weekly::{WeekParameters, figures},
    },
    domain::{
        digest::{Figures, open::EarlierOpenIncidents},
        time::Timestamp,
        week::Week,
    },
    lake::{
        Lake,
        log::CommitNote,
        table::{CommitDraft, CommitResponse},
    },
    tables::catalog,
};
use serde_json::{Map, Value as Json, json};
use tempfile::tempdir;

use crate::{
    cases::{
        answer::{difference, on_datafusion},
        given::batch,
        spark::{on_spark, question},
    },
    support::lake_at,
};
use generator::{Rows, history};

/// Tables with the rows in two files each.
async fn write(lake: &Lake, rows: &Rows) {
    lake.init().await.unwrap();
    for (name, rows) in rows {
        let def = catalog::all().find(|def| def.name == *name).unwrap();
        let table = lake.table(def);
        let (first, second) = rows.split_at(rows.len() / 2);
        let mut adds = Vec::new();
        for part in [first, second].into_iter().filter(|part| !part.is_empty()) {
            adds.push(table.write_file(&batch(def, part), true).await.unwrap());
        }
        let note = CommitNote::new(lake.context.uuid(), 0);
        let draft = CommitDraft { operation: "WRITE", adds, removes: Vec::new(), projected_to: None, note };
        assert_eq!(table.commit(&table.log().await.unwrap(), &draft).await.unwrap(), CommitResponse::Committed);
    }
}

fn week(number: &str, zone: &str) -> WeekParameters {
    WeekParameters {
        week: Week::new(number.parse().unwrap(), zone.parse().unwrap()),
        known_from: "2026-02-10T00:00:00Z".parse().unwrap(),
    }
}

/// The queries about a week, with values for their parameters.
fn asked(at: &WeekParameters) -> Vec<(&'static str, Vec<(String, ParameterValue)>)> {
    let value = |query: &str, parameter: &str| match parameter {
        "known_until" => Some(ParameterValue::Timestamp("2026-02-01T00:00:00Z".parse().unwrap())),
        "known_seq" => Some(ParameterValue::Int(700)),
        _ => at.value(query, parameter),
    };
    let parameters = |name: &str, sql: &str| -> Option<Vec<(String, ParameterValue)>> {
        SqlHeader::of(sql).parameters.iter().map(|it| Some((it.name.clone(), value(name, &it.name)?))).collect()
    };
    analytics::queries().filter_map(|(name, sql)| Some((name, parameters(name, sql)?))).collect()
}

#[test]
fn on_random_histories_datafusion_and_spark_say_the_same_of_a_week() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    // each with a change of the clocks
    let weeks = [week("2026-W13", "Europe/Berlin"), week("2026-W10", "America/New_York")];
    let folders = [tempdir().unwrap(), tempdir().unwrap()];
    let (mut questions, mut answers) = (Vec::new(), Vec::new());
    for (seed, (folder, at)) in (1..).zip(folders.iter().zip(&weeks)) {
        let lake = lake_at(folder.path());
        runtime.block_on(write(&lake, &history(seed)));
        let asked = asked(at);
        assert_eq!(asked.len(), 12);
        for (name, parameters) in asked {
            let found = runtime.block_on(on_datafusion(Engine::Local(&lake), name, &parameters));
            assert!(!found.rows.is_empty(), "{name} finds nothing to compare");
            let place = |name: &str| json!({ "folder": folder.path().join(name) });
            questions.push(question(name, name, &parameters, |def| place(def.name)));
            answers.push(found);
        }
    }
    for ((question, here), there) in questions.iter().zip(answers).zip(on_spark(&questions)) {
        let there = there.unwrap_or_else(|error| panic!("{}: {error}", question["name"]));
        assert_eq!(here.columns, there.columns, "{}", question["name"]);
        if let Some(difference) = difference(&here.rows, &there) {
            panic!("{}: - DataFusion, + Spark:\n{difference}", question["name"]);
        }
    }
}

fn assert_ordered(figures: &Figures) {
    assert!(figures.counts.is_sorted_by_key(|row| row.dimension) && figures.counts.len() > 5);
    assert!(figures.days.is_sorted_by_key(|row| (row.day, row.incident_type)));
    assert!(figures.hours.is_sorted_by_key(|row| (row.weekday, row.hour)));
    assert!(figures.durations.is_sorted_by_key(|row| (row.week_start, row.measure)));
    assert!(figures.open.is_sorted_by_key(|row| row.reported_at) && figures.open.len() > 20);
    assert!(figures.causes.is_sorted_by_key(|row| row.rank));
    assert!(figures.recurring.iter().all(|issue| issue.actions.len() == 1 && issue.root_cause.starts_with("words")));
    assert!(figures.offenders.iter().all(|row| row.incidents >= 1 && row.incidents + row.incidents_before >= 2));
    let bands: Vec<&str> = figures.load.iter().map(|row| row.band.as_str()).collect();
    assert_eq!(bands, ["business", "evening", "night"]);
}

#[test]
fn figures_are_the_same_every_time_and_with_an_older_list_of_open_incidents() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let folder = tempdir().unwrap();
    let lake = lake_at(folder.path());
    let rows = history(7);
    runtime.block_on(write(&lake, &rows));
    let at = week("2026-W12", "Europe/Berlin");
    let all = runtime.block_on(figures(Engine::Local(&lake), &at, None)).unwrap();
    assert_ordered(&all);
    assert_eq!(all, runtime.block_on(figures(Engine::Local(&lake), &at, None)).unwrap());
    let total = all.total().unwrap();
    assert_eq!(total.incidents, all.load.iter().map(|row| row.incidents).sum::<u64>());
    assert_eq!(total.weeks_before, 4);

    // what an earlier digest knew: the first rows of the ledger
    let mut earlier = rows;
    let known = 900;
    for rows in earlier.values_mut() {
        rows.retain(|row| row["seq"].as_u64().unwrap() <= known);
    }
    let old_folder = tempdir().unwrap();
    let old = lake_at(old_folder.path());
    runtime.block_on(write(&old, &earlier));
    let then = week("2026-W09", "Europe/Berlin");
    let open = runtime.block_on(figures(Engine::Local(&old), &then, None)).unwrap().open;
    // … and of these rows those before the first that says of an incident of that list that it was resolved
    let until = then.week.end();
    let says_more = |row: &&Map<String, Json>| {
        row["resolved_at"].as_str().is_some_and(|at| at.parse::<Timestamp>().unwrap() >= until)
    };
    let more = earlier["incident_states"].iter().filter(says_more).filter_map(|row| row["seq"].as_u64()).min();
    let base = EarlierOpenIncidents { until, seq: more.map_or(known, |seq| seq - 1), open };
    assert!(base.open.len() > 10 && base.seq > 0, "{} {}", base.open.len(), base.seq);
    assert_eq!(all, runtime.block_on(figures(Engine::Local(&lake), &at, Some(&base))).unwrap());
    // one from a later week is no help
    let later = EarlierOpenIncidents { until: at.week.end().plus(chrono::TimeDelta::hours(1)), ..base };
    assert_eq!(all, runtime.block_on(figures(Engine::Local(&lake), &at, Some(&later))).unwrap());
}
