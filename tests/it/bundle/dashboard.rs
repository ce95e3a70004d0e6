//! Tests of the dashboard and the alert: their SQL on the lake's own engine and on Spark, and the layout of the pages.

use std::{collections::BTreeSet, fs};

use ops_runbook::analytics::{self, engine::Engine};
use serde_json::{Value, json};
use tempfile::tempdir;

use super::{ROOT, workspace::resources};
use crate::{
    cases::{
        answer::{difference, on_datafusion},
        spark::{on_spark, question},
    },
    support::{demo_lake, lake_at, ok},
};

fn dashboard() -> Value {
    serde_json::from_str(&fs::read_to_string(format!("{ROOT}/bundle/operations.lvdash.json")).unwrap()).unwrap()
}

fn list(value: &Value) -> &Vec<Value> {
    value.as_array().unwrap_or_else(|| panic!("{value} is no list"))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text"))
}

/// Returns name and statement of every dataset.
fn datasets(dashboard: &Value) -> Vec<(String, String)> {
    let datasets = list(&dashboard["datasets"]).iter();
    datasets.map(|it| (text(&it["name"]).to_owned(), list(&it["queryLines"]).iter().map(text).collect())).collect()
}

fn widgets(dashboard: &Value) -> impl Iterator<Item = &Value> {
    list(&dashboard["pages"]).iter().flat_map(|page| list(&page["layout"])).map(|entry| &entry["widget"])
}

/// Returns the statement that Databricks builds from a widget's query.
fn statement(query: &Value, datasets: &[(String, String)]) -> String {
    let (_, dataset) = datasets.iter().find(|(name, _)| query["datasetName"] == **name).unwrap();
    let fields = list(&query["fields"]).iter();
    let fields: Vec<String> =
        fields.map(|field| format!("{} AS `{}`", text(&field["expression"]), text(&field["name"]))).collect();
    let grouped = if query["disaggregated"] == true { "" } else { "\nGROUP BY ALL" };
    format!("SELECT {}\nFROM (\n{dataset}) AS dataset{grouped}", fields.join(", "))
}

/// Returns the alert's query, with its view unqualified.
fn alert() -> String {
    let found = resources("prod", &[("catalog", "c"), ("schema", "s")]);
    let query = text(&found["alerts"]["recurring_issues"]["query_text"]);
    assert!(query.contains("`c`.`s`.recurring_issues"), "{query}");
    query.replace("`c`.`s`.", "")
}

#[tokio::test(flavor = "multi_thread")]
async fn every_statement_gives_the_same_here_and_on_spark() {
    let folder = tempdir().unwrap();
    demo_lake(folder.path());
    let dashboard = dashboard();
    let datasets = datasets(&dashboard);
    let mut asked = datasets.clone();
    for widget in widgets(&dashboard) {
        for query in list(&widget["queries"]) {
            let name = format!("{}.{}", text(&widget["name"]), text(&query["name"]));
            asked.push((name, statement(&query["query"], &datasets)));
        }
    }
    asked.push(("alert".into(), alert()));
    let lake = lake_at(folder.path());
    let tables = |def: &ops_runbook::tables::TableDef| json!({ "folder": folder.path().join(def.name) });
    let questions: Vec<Value> = asked.iter().map(|(name, sql)| question(name, sql, &[], tables)).collect();
    let answers = tokio::task::spawn_blocking(move || on_spark(&questions)).await.unwrap();
    let mut wrong = String::new();
    for ((name, sql), spark) in asked.iter().zip(answers) {
        let found = on_datafusion(Engine::Local(&lake), sql, &[]).await;
        match spark {
            Err(error) => wrong.push_str(&format!("{name}: {error}\n")),
            Ok(spark) => {
                if let Some(difference) = difference(&spark.rows, &found) {
                    wrong.push_str(&format!("{name}, - Spark, + here:\n{difference}"));
                }
            }
        }
        // The demo has data for every statement.
        assert!(!found.rows.is_empty(), "{name} shows nothing");
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn every_statement_runs_on_a_lake_without_incidents() {
    let folder = tempdir().unwrap();
    ok(folder.path(), &["init"]);
    for (_, sql) in datasets(&dashboard()) {
        ok(folder.path(), &["sql", &sql]);
    }
    // Nothing recurs: 0 issues are not above the threshold.
    assert_eq!(ok(folder.path(), &["sql", &alert(), "--format", "csv"]), "open_issues,incidents,last_at\n0,0,\n");
}

#[test]
fn every_view_for_people_has_a_dataset_and_every_dataset_is_shown() {
    let dashboard = dashboard();
    let datasets = datasets(&dashboard);
    let read: BTreeSet<String> = datasets.iter().flat_map(|(_, sql)| analytics::references(sql).unwrap()).collect();
    // `checks` has the check results of jobs. The compliance check itself reads these two views.
    let internal = ["job_checks", "job_gaps"];
    let views = analytics::views().map(|(name, _)| name.to_owned()).filter(|name| !internal.contains(&name.as_str()));
    assert_eq!(read, views.collect());
    let shown: BTreeSet<&str> = widgets(&dashboard)
        .flat_map(|widget| list(&widget["queries"]))
        .map(|query| text(&query["query"]["datasetName"]))
        .collect();
    assert_eq!(shown, datasets.iter().map(|(name, _)| name.as_str()).collect());
}

/// Collects the fields that a widget shows, from any part of its specification.
fn shown(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            found.extend(fields.get("fieldName").map(|name| text(name).to_owned()));
            fields.values().for_each(|value| shown(value, found));
        }
        Value::Array(items) => items.iter().for_each(|item| shown(item, found)),
        _ => {}
    }
}

#[test]
fn every_widget_shows_the_fields_of_its_queries_and_no_text_as_html() {
    const KINDS: [(&str, u64); 6] = [
        ("bar", 3),
        ("counter", 2),
        ("filter-date-range-picker", 2),
        ("filter-multi-select", 2),
        ("line", 3),
        ("table", 1),
    ];
    let dashboard = dashboard();
    let mut names = BTreeSet::new();
    for widget in widgets(&dashboard) {
        let name = text(&widget["name"]);
        assert!(names.insert(name), "{name} is repeated");
        let spec = &widget["spec"];
        assert!(KINDS.contains(&(text(&spec["widgetType"]), spec["version"].as_u64().unwrap())), "{name}");
        let mut fields = Vec::new();
        shown(&spec["encodings"], &mut fields);
        fields.sort();
        let asked = list(&widget["queries"]).iter().flat_map(|query| list(&query["query"]["fields"]));
        let mut asked: Vec<String> = asked.map(|field| text(&field["name"]).to_owned()).collect();
        asked.sort();
        assert_eq!(fields, asked, "{name}");
        for column in spec["encodings"]["columns"].as_array().into_iter().flatten() {
            assert_eq!(column["allowHTML"], false, "{name}: job names and messages come from outside");
        }
        let queries: Vec<&str> = list(&widget["queries"]).iter().map(|query| text(&query["name"])).collect();
        for field in spec["encodings"]["fields"].as_array().into_iter().flatten() {
            assert!(queries.contains(&text(&field["queryName"])), "{name}");
        }
    }
}

#[test]
fn widgets_do_not_overlap_in_six_columns() {
    for page in list(&dashboard()["pages"]) {
        let mut taken = BTreeSet::new();
        for entry in list(&page["layout"]) {
            let name = text(&entry["widget"]["name"]);
            let [x, y, width, height] =
                ["x", "y", "width", "height"].map(|side| entry["position"][side].as_u64().unwrap());
            assert!(width > 0 && height > 0 && x + width <= 6, "{name}");
            for cell in (x..x + width).flat_map(|x| (y..y + height).map(move |y| (x, y))) {
                assert!(taken.insert(cell), "{name} overlaps another widget at {cell:?}");
            }
        }
        let rows = taken.iter().map(|(_, y)| y).max().unwrap() + 1;
        assert!((0..rows).all(|y| taken.iter().any(|cell| cell.1 == y)), "{} has a gap", page["name"]);
    }
}
