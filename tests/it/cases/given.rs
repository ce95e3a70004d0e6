//! Reads the cases from their files and fills in default values.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    sync::Arc,
};

use arrow::array::RecordBatch;
use ops_runbook::{
    analytics::{
        self,
        engine::ParameterValue,
        header::{QueryParameter, SqlHeader},
        snapshot::Snapshot,
        weekly::WeekParameters,
    },
    domain::{time::Timestamp, week::Week},
    tables::{Kind, TableDef, catalog},
};
use serde_json::{Map, Value as Json, json};

/// A query or view with given rows and the expected result.
pub struct Case {
    /// The path of the file.
    pub name: String,
    /// The name of the query or view.
    pub asked: String,
    pub parameters: Vec<(String, ParameterValue)>,
    pub given: BTreeMap<String, Vec<Map<String, Json>>>,
    pub expect: Vec<Json>,
}

pub fn cases() -> Vec<Case> {
    let mut found = Vec::new();
    for folder in fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/sql/cases")).unwrap() {
        for file in fs::read_dir(folder.unwrap().path()).unwrap() {
            found.push(read(&file.unwrap().path()));
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}

fn read(path: &Path) -> Case {
    let name = path.display().to_string();
    let asked = path.parent().unwrap().file_name().unwrap().to_string_lossy().into_owned();
    let text = fs::read_to_string(path).unwrap();
    let case: Json = toml::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
    let known = ["what", "parameters", "given", "expect"];
    assert!(case.as_object().unwrap().keys().all(|key| known.contains(&key.as_str())), "{name}: unknown key");
    assert!(case["what"].as_str().is_some_and(|what| !what.is_empty()), "{name} has no description in `what`");
    let parameters = parameters(&name, &asked, case["parameters"].as_object());
    let tables = case["given"].as_object().cloned().unwrap_or_default();
    let given = tables.into_iter().map(|(table, rows)| {
        let def = catalog::all().find(|def| def.name == table).unwrap_or_else(|| panic!("{name}: no table {table}"));
        let rows = rows.as_array().unwrap().iter().enumerate();
        (table, rows.map(|(index, row)| completed(&name, def, row.as_object().unwrap(), index)).collect())
    });
    let given = given.collect();
    let expect = case["expect"].as_array().unwrap_or_else(|| panic!("{name} expects nothing")).clone();
    Case { name, asked, parameters, given, expect }
}

fn parameters(name: &str, asked: &str, given: Option<&Map<String, Json>>) -> Vec<(String, ParameterValue)> {
    let text = |key: &str| {
        given.and_then(|given| given.get(key)).map(|value| value.as_str().unwrap_or_else(|| panic!("{name}: {key}")))
    };
    let zone = text("time_zone").unwrap_or("UTC").parse().unwrap();
    let week = text("week").map(|week| WeekParameters {
        week: Week::new(week.parse().unwrap(), zone),
        known_from: Timestamp::from_micros(0).unwrap(),
    });
    let Some((_, sql)) = analytics::queries().find(|(query, _)| *query == asked) else { return Vec::new() };
    let header = SqlHeader::of(sql);
    let known: BTreeSet<&str> =
        header.parameters.iter().map(|parameter| parameter.name.as_str()).chain(["week", "time_zone"]).collect();
    let unknown: Vec<&String> =
        given.into_iter().flat_map(Map::keys).filter(|key| !known.contains(key.as_str())).collect();
    assert!(unknown.is_empty(), "{name}: unknown parameters {unknown:?}");
    let value = |parameter: &QueryParameter| {
        let own = given.and_then(|given| given.get(&parameter.name)).map(|value| match value {
            Json::String(text) => parameter.kind.parse(text).unwrap_or_else(|error| panic!("{name}: {error}")),
            other => parameter.kind.parse(&other.to_string()).unwrap_or_else(|error| panic!("{name}: {error}")),
        });
        let value = own.or_else(|| week.and_then(|week| week.value(asked, &parameter.name)));
        (parameter.name.clone(), value.unwrap_or_else(|| panic!("{name}: no value for {}", parameter.name)))
    };
    header.parameters.iter().map(value).collect()
}

/// Returns a row of a table with all columns.
pub fn completed(name: &str, def: &TableDef, row: &Map<String, Json>, index: usize) -> Map<String, Json> {
    for column in row.keys() {
        assert!(def.columns.iter().any(|known| known.name == column), "{name}: {} has no column {column}", def.name);
    }
    let cells = def.columns.iter().map(|column| {
        let neutral = match (column.nullable, column.kind) {
            (true, _) => Json::Null,
            _ if column.name == "seq" => json!(index + 1),
            _ if column.name == "ordinal" => json!(1),
            (_, Kind::Text) => json!(column.name),
            (_, Kind::Long | Kind::Int) => json!(0),
            (_, Kind::Double) => json!(0.0),
            (_, Kind::Boolean) => json!(false),
            (_, Kind::Timestamp) => json!("2026-01-01T00:00:00Z"),
        };
        (column.name.to_owned(), row.get(column.name).cloned().unwrap_or(neutral))
    });
    cells.collect()
}

pub fn batch(def: &TableDef, rows: &[Map<String, Json>]) -> RecordBatch {
    let schema = def.arrow_schema();
    let mut decoder = arrow::json::ReaderBuilder::new(Arc::clone(&schema)).build_decoder().unwrap();
    decoder.serialize(rows).unwrap_or_else(|error| panic!("{}: {error}", def.name));
    decoder.flush().unwrap().unwrap_or_else(|| RecordBatch::new_empty(schema))
}

pub fn snapshot_of(case: &Case) -> Snapshot<'static> {
    let rows = |table: &str| match (case.given.get(table), catalog::all().find(|def| def.name == table)) {
        (Some(rows), Some(def)) => vec![batch(def, rows)],
        _ => Vec::new(),
    };
    Snapshot::of_rows(rows).unwrap()
}
