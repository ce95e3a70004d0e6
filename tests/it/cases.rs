//! Tests queries and views with given rows and expected results, on DataFusion and on Spark. `sql/cases/NAME/*.toml` has the cases
//! of the query or view NAME.
//!
//! `what` describes the case. `[parameters]`: `week` sets all parameters about a week that are not given, in `time_zone` (default
//! UTC). `[given]`: rows of tables; a missing required column gets a neutral value, any other one null, and `seq` counts from 1.
//! `expect`: the rows of the result in any order; a missing column is null.

pub mod answer;
pub mod given;
pub mod spark;

use std::collections::{BTreeMap, BTreeSet};

use ops_runbook::analytics::{
    self,
    engine::{Engine, ParameterValue},
    header::{ParameterKind, SqlHeader},
    row,
    snapshot::Snapshot,
};
use serde_json::{Value as Json, json};

use answer::{EngineOutput, difference, on_datafusion};
use given::{cases, snapshot_of};
use spark::{on_spark, question};

#[tokio::test]
async fn every_case_holds_on_datafusion() {
    let mut wrong = String::new();
    for case in cases() {
        let snapshot = snapshot_of(&case);
        let found = on_datafusion(Engine::Snapshot(&snapshot), &case.asked, &case.parameters).await;
        if let Some(difference) = difference(&case.expect, &found) {
            wrong.push_str(&format!("{}\n{difference}", case.name));
        }
    }
    assert!(wrong.is_empty(), "- expected, + found:\n{wrong}");
}

#[test]
fn every_case_holds_on_spark() {
    let cases = cases();
    let questions: Vec<Json> = cases
        .iter()
        .map(|case| {
            question(&case.name, &case.asked, &case.parameters, |def| {
                let columns: Vec<Json> = def
                    .columns
                    .iter()
                    .map(|column| json!([column.name, column.kind.delta(), column.nullable]))
                    .collect();
                json!({ "columns": columns, "rows": case.given.get(def.name).cloned().unwrap_or_default() })
            })
        })
        .collect();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut wrong = String::new();
    for (case, found) in cases.iter().zip(on_spark(&questions)) {
        match found {
            Err(error) => wrong.push_str(&format!("{}\n  {error}\n", case.name)),
            Ok(found) => {
                let snapshot = snapshot_of(case);
                let here = on_datafusion(Engine::Snapshot(&snapshot), &case.asked, &case.parameters);
                assert_eq!(runtime.block_on(here).columns, found.columns, "{}", case.name);
                if let Some(difference) = difference(&case.expect, &found) {
                    wrong.push_str(&format!("{}\n{difference}", case.name));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "- expected, + found:\n{wrong}");
}

#[test]
fn every_query_and_every_view_with_logic_has_cases() {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for case in cases() {
        *counts.entry(case.asked).or_default() += 1;
    }
    let views = analytics::views().map(|(name, _)| name).filter(|name| *name != "audit_trail");
    let missing: Vec<&str> =
        analytics::queries().map(|(name, _)| name).chain(views).filter(|name| !counts.contains_key(*name)).collect();
    assert!(missing.is_empty(), "no cases for {missing:?}");
    for name in row::schemas()
        .into_iter()
        .map(|(name, _)| name)
        .filter(|name| !["cause_occurrences", "cause_resources"].contains(name))
    {
        assert!(counts[name] >= 2 || name.starts_with("recurrence"), "{name} has {} cases", counts[name]);
    }
}

/// Returns the kind of column that a field of a row is read from.
fn expected_kind(field: &Json, root: &Json) -> &'static str {
    if let Some(reference) = field["$ref"].as_str() {
        return expected_kind(root.pointer(reference.trim_start_matches('#')).unwrap(), root);
    }
    for keyword in ["anyOf", "oneOf"] {
        if let Some(one) =
            field[keyword].as_array().and_then(|options| options.iter().find(|one| one["type"] != "null"))
        {
            return expected_kind(one, root);
        }
    }
    let kind = field["type"].as_str().or_else(|| field["type"][0].as_str()).unwrap_or("string");
    match (kind, field["format"].as_str()) {
        ("string", Some("date-time")) => "timestamp",
        ("string", Some("date")) => "date",
        ("string", _) => "text",
        ("integer", Some("uint32" | "int32")) => "int",
        ("integer", _) => "long",
        ("number", _) => "double",
        ("boolean", _) => "boolean",
        other => panic!("no column holds {other:?}"),
    }
}

fn some_value(kind: ParameterKind) -> ParameterValue {
    match kind {
        ParameterKind::Timestamp => kind.parse("2026-02-16T00:00:00Z").unwrap(),
        ParameterKind::Int | ParameterKind::Bigint => kind.parse("3").unwrap(),
        ParameterKind::Text => kind.parse("UTC").unwrap(),
    }
}

#[tokio::test]
async fn every_file_plans_against_the_declared_schemas_and_has_the_columns_that_its_reader_reads() {
    let snapshot = Snapshot::of_rows(|_| Vec::new()).unwrap();
    let schemas: BTreeMap<&str, Json> =
        row::schemas().into_iter().map(|(name, schema)| (name, serde_json::to_value(schema).unwrap())).collect();
    assert!(analytics::queries().map(|(name, _)| name).eq(schemas.keys().copied()), "every query has a row type");
    for (name, sql) in analytics::queries() {
        let parameters: Vec<(String, ParameterValue)> =
            SqlHeader::of(sql).parameters.iter().map(|it| (it.name.clone(), some_value(it.kind))).collect();
        let found = on_datafusion(Engine::Snapshot(&snapshot), name, &parameters).await;
        let actual: BTreeMap<String, String> = found.columns.into_iter().collect();
        let schema = &schemas[name];
        let expected: BTreeMap<String, String> = schema["properties"]
            .as_object()
            .unwrap()
            .iter()
            .map(|(field, shape)| (field.clone(), expected_kind(shape, schema).to_owned()))
            .collect();
        assert_eq!(actual, expected, "{name}");
    }
}

/// Returns the parameters in the text below the header.
fn used_parameters(sql: &str) -> BTreeSet<String> {
    let named = regex::Regex::new(r":([a-z_0-9]+)").unwrap();
    let body: Vec<&str> =
        analytics::header::body(sql).lines().filter(|line| !line.trim_start().starts_with("--")).collect();
    named.captures_iter(&body.join("\n")).map(|found| found[1].to_owned()).collect()
}

#[tokio::test]
async fn headers_name_exactly_the_parameters_and_columns() {
    let snapshot = Snapshot::of_rows(|_| Vec::new()).unwrap();
    for (name, sql) in analytics::queries().chain(analytics::views()) {
        let header = SqlHeader::of(sql);
        assert!(!header.what.is_empty() && !header.grain.is_empty(), "{name}");
        assert!(header.parameters.iter().all(|it| it.meaning.ends_with('.')), "{name}: {:?}", header.parameters);
        let documented: BTreeSet<String> = header.parameters.iter().map(|it| it.name.clone()).collect();
        assert_eq!(documented, used_parameters(sql), "{name}");
        assert_eq!(documented.len(), header.parameters.len(), "{name}");
        let values: Vec<(String, ParameterValue)> =
            header.parameters.iter().map(|it| (it.name.clone(), some_value(it.kind))).collect();
        let found = on_datafusion(Engine::Snapshot(&snapshot), name, &values).await;
        let actual: BTreeSet<&str> = found.columns.iter().map(|(column, _)| column.as_str()).collect();
        let documented: BTreeSet<&str> = header.columns.iter().flat_map(|it| &it.names).map(String::as_str).collect();
        let named: BTreeSet<&str> = documented.iter().copied().filter(|column| *column != "…").collect();
        assert!(named.is_subset(&actual), "{name} lacks {:?}", named.difference(&actual));
        assert!(documented.contains("…") || named == actual, "{name} does not explain {:?}", actual.difference(&named));
    }
}

#[test]
fn a_difference_is_found() {
    let columns = vec![("a".to_owned(), "double".to_owned()), ("b".to_owned(), "timestamp".to_owned())];
    let found = |a: f64, b: &str| EngineOutput { columns: columns.clone(), rows: vec![json!({ "a": a, "b": b })] };
    let expected = [json!({ "a": 1.0, "b": "2026-01-01T00:00:00Z" })];
    assert_eq!(difference(&expected, &found(1.000_000_1, "2026-01-01T00:00:00Z")), None);
    assert!(difference(&expected, &found(1.000_01, "2026-01-01T00:00:00Z")).is_some());
    assert!(difference(&expected, &found(1.0, "2026-01-01T00:00:00.000001Z")).is_some());
    assert!(difference(&[], &found(1.0, "2026-01-01T00:00:00Z")).is_some());
    assert!(difference(&[json!({ "c": 1 })], &found(1.0, "2026-01-01T00:00:00Z")).is_some());
}
