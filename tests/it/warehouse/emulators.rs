//! Two servers with the API of a warehouse.
//!
//! BrickHouse is an independent emulator with limited SQL: one plain SELECT at a time, no CTE, no subquery, at most one join. That
//! suffices for the statements of `analytics::recurrence` that are not files of `sql/`. The files themselves, with their parameters,
//! run on Spark behind an API of our own.

use std::{fs, path::Path};

use arrow::{
    array::{Array, ArrayRef, AsArray, RecordBatch},
    datatypes::Float64Type,
    util::{
        display::{ArrayFormatter, FormatOptions},
        pretty::pretty_format_batches,
    },
};
use ops_runbook::{
    analytics::{
        self, QueryError,
        engine::{Engine, Parameters},
        queries,
        recurrence::{aliases, prevention_steps},
        warehouse::Warehouse,
    },
    databricks::{Client, Token, statements::StatementError},
    domain::time::Timestamp,
};
use serde_json::{Value, json};
use tempfile::tempdir;

use super::{TOKEN, copied, err, on, parameters};
use crate::{
    peer::Peer,
    spark,
    support::{batches, demo_lake, lake_at, ok},
};

/// An emulator of the API on a lake.
struct Emulator {
    address: Value,
    _peer: Option<Peer>,
}

impl Emulator {
    fn brickhouse(lake: &Path) -> Self {
        let peer = Peer::start("brickhouse", "brickhouse_serves.py", &[lake.to_str().unwrap()]);
        Self { address: peer.ready.clone(), _peer: Some(peer) }
    }

    fn on_spark(lake: &Path) -> Self {
        let question = json!({ "serve": { "lake": lake, "sql": concat!(env!("CARGO_MANIFEST_DIR"), "/sql") } });
        Self { address: spark::ask(&question).unwrap(), _peer: None }
    }

    fn text(&self, name: &str) -> &str {
        self.address[name].as_str().unwrap()
    }

    fn warehouse(&self) -> Warehouse {
        let text = |name: &str| self.text(name).to_owned();
        let client = Client::new(text("url").parse().unwrap(), TOKEN.parse::<Token>().unwrap()).unwrap();
        Warehouse::new(client, text("warehouse_id"), text("catalog"), text("schema"), Box::new(|_| {}))
    }
}

/// Returns cells as text, doubles with six decimal places, rows sorted: a result without ORDER BY has no order.
pub fn sorted(batches: &[RecordBatch]) -> Vec<String> {
    let mut rows = Vec::new();
    for batch in batches {
        let cells: Vec<ArrayFormatter<'_>> = batch
            .columns()
            .iter()
            .map(|column| ArrayFormatter::try_new(column, &FormatOptions::new().with_null("NULL")).unwrap())
            .collect();
        for row in 0..batch.num_rows() {
            let cell = |(column, cells): (&ArrayRef, &ArrayFormatter<'_>)| match column
                .as_primitive_opt::<Float64Type>()
                .filter(|column| !column.is_null(row))
            {
                Some(column) => format!("{:.6}", column.value(row)),
                None => cells.value(row).to_string(),
            };
            rows.push(batch.columns().iter().zip(&cells).map(cell).collect::<Vec<_>>().join(" | "));
        }
    }
    rows.sort_unstable();
    rows
}

fn shown(batches: &[RecordBatch]) -> String {
    pretty_format_batches(batches).unwrap().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn brickhouse_returns_the_same_results() {
    let folder = tempdir().unwrap();
    demo_lake(folder.path());
    let lake = lake_at(folder.path());
    let causes = recorded_causes(&lake).await;
    ok(folder.path(), &["cause", "merge", &causes[0], "--into", &causes[1], "--reason", "it's \\ the same; --"]);
    let emulator = Emulator::brickhouse(folder.path());
    let warehouse = emulator.warehouse();
    let (here, there) = (Engine::Local(&lake), Engine::Warehouse(&warehouse));

    let declared = aliases(there).await.unwrap();
    assert_eq!((declared.len(), &declared), (1, &aliases(here).await.unwrap()));
    let steps = prevention_steps(there).await.unwrap();
    assert_eq!(steps, prevention_steps(here).await.unwrap());
    assert!(!steps.is_empty());

    let as_of: Timestamp = "2026-02-20T12:00:00.000001Z".parse().unwrap();
    let given: Parameters = vec![("as_of".into(), as_of.into()), ("cause".into(), causes[2].as_str().into())];
    for (sql, names) in [
        ("SELECT seq, found_at, root_cause, cause_summary FROM root_causes WHERE found_at <= :as_of ORDER BY seq", 1),
        (
            "SELECT seq, found_at FROM root_causes WHERE found_at <= :as_of AND cause_fingerprint = :cause ORDER BY seq",
            2,
        ),
        ("SELECT seq, reason, actor, recorded_at FROM cause_aliases ORDER BY seq", 0),
        ("SELECT seq, incidents, first_at, detail FROM recurrence_events ORDER BY seq", 0),
    ] {
        let (_, found) = there.run(sql, &given[..names]).await.unwrap();
        let (_, expected) = here.run(sql, &given[..names]).await.unwrap();
        assert!(expected.iter().any(|batch| batch.num_rows() > 0), "{sql}");
        assert_eq!(shown(&found), shown(&expected), "{sql}");
    }
}

/// The emulator refuses unsupported SQL as the API does: with a failed statement in a successful response.
#[tokio::test(flavor = "multi_thread")]
async fn brickhouse_refuses_unsupported_sql_in_a_successful_response() {
    let folder = tempdir().unwrap();
    demo_lake(folder.path());
    let emulator = Emulator::brickhouse(folder.path());
    let warehouse = emulator.warehouse();
    let there = Engine::Warehouse(&warehouse);
    let as_of: Timestamp = "2026-02-20T12:00:00Z".parse().unwrap();
    let refused =
        |outcome: Result<_, QueryError>| matches!(outcome, Err(QueryError::Warehouse(StatementError::Failed { .. })));
    assert!(refused(there.run("SELECT x FROM nowhere", &[]).await));
    for (name, sql) in queries() {
        assert!(there.run(name, &parameters(sql, as_of, "a")).await.is_err(), "{name} is understood now: compare it");
    }
}

async fn recorded_causes(lake: &ops_runbook::lake::Lake) -> Vec<String> {
    use ops_runbook::tables::{Row, from_batch, rows::RootCause};
    let mut causes = std::collections::BTreeSet::new();
    for batch in batches(lake, RootCause::TABLE).await {
        causes.extend(from_batch::<RootCause>(&batch).unwrap().into_iter().filter_map(|row| row.cause_fingerprint));
    }
    causes.into_iter().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_file_of_sql_returns_the_same_on_spark_behind_the_api() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("lake");
    demo_lake(&path);
    let lake = lake_at(&path);
    let emulator = Emulator::on_spark(&path);
    let warehouse = emulator.warehouse();
    let (here, there) = (Engine::Local(&lake), Engine::Warehouse(&warehouse));
    let as_of: Timestamp = "2026-02-20T12:00:00Z".parse().unwrap();
    let mut rows = 0;
    for (name, sql) in queries() {
        let parameters = parameters(sql, as_of, "code:executor_oom");
        let expected = sorted(&here.run(name, &parameters).await.unwrap().1);
        assert_eq!(sorted(&there.run(name, &parameters).await.unwrap().1), expected, "{name}");
        rows += expected.len();
    }
    assert!(rows > 20, "{rows}");
    let recorded = analytics::recurrence::recorded(there).await.unwrap();
    assert!(recorded.len() > 2);
    assert_eq!(recorded, analytics::recurrence::recorded(here).await.unwrap());

    let copy = folder.path().join("copy");
    copied(&path, &copy);
    let config = folder.path().join("less.toml");
    fs::write(&config, "[recurring]\nthreshold = 2\nwindow_hours = 100\n").unwrap();
    let scan = ["recurrence", "scan", "--as-of", "2026-02-20T12:00:00Z", "--config", config.to_str().unwrap()];
    let before = super::recorded(&copy).len();
    ok(&copy, &scan);
    let place = ["warehouse_id", "catalog", "schema"].map(|name| emulator.text(name));
    let place = ["--warehouse-id", place[0], "--catalog", place[1], "--schema", place[2]];
    let output = on(emulator.text("url"), &path, &[&scan[..], &place[..]].concat()).output().unwrap();
    assert!(output.status.success(), "{}", err(&output));
    let found = super::recorded(&path);
    assert!(found.len() > before, "{} and {before}", found.len());
    assert_eq!(found, super::recorded(&copy));
}
