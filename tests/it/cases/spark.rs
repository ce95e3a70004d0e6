//! Questions to Spark, and its answers.

use std::collections::BTreeSet;

use ops_runbook::{
    analytics::{self, engine::ParameterValue, header::ParameterKind},
    tables::{TableDef, catalog},
};
use serde_json::{Map, Value as Json, json};

use super::answer::{EngineOutput, moment, text_of};
use crate::spark;

/// Returns the views that a statement needs, in the order of their dependencies, and the tables below them.
fn below(sql: &str) -> (Vec<(&'static str, &'static str)>, BTreeSet<String>) {
    let mut waiting = analytics::references(sql).unwrap();
    let mut seen = BTreeSet::new();
    while let Some(name) = waiting.pop_first() {
        if let Some((_, body)) = analytics::views().find(|(view, _)| *view == name) {
            waiting.extend(analytics::references(body).unwrap());
        }
        seen.insert(name);
    }
    let views = analytics::views_in_order().unwrap().into_iter().filter(|(name, _)| seen.contains(*name)).collect();
    seen.retain(|name| catalog::all().any(|def| def.name == name));
    (views, seen)
}

/// Returns a question for tests/peers/spark_cases.py.
pub fn question(
    name: &str,
    asked: &str,
    parameters: &[(String, ParameterValue)],
    tables: impl Fn(&'static TableDef) -> Json,
) -> Json {
    let sql = text_of(asked);
    let (views, needed) = below(&sql);
    let tables: Map<String, Json> =
        catalog::all().filter(|def| needed.contains(def.name)).map(|def| (def.name.to_owned(), tables(def))).collect();
    json!({ "name": name, "sql": sql, "views": views, "tables": tables, "parameters": bound(parameters) })
}

/// Returns the values of parameters as a question contains them.
pub fn bound(parameters: &[(String, ParameterValue)]) -> Map<String, Json> {
    let typed = |(name, value): &(String, ParameterValue)| {
        let kind = match value {
            ParameterValue::Timestamp(_) => ParameterKind::Timestamp,
            ParameterValue::Int(_) => ParameterKind::Bigint,
            ParameterValue::Text(_) => ParameterKind::Text,
        };
        (name.clone(), json!({ "type": kind.to_string(), "value": value.to_string() }))
    };
    parameters.iter().map(typed).collect()
}

/// Returns the answers of Spark in the order of the questions, which share a session.
pub fn on_spark(questions: &[Json]) -> Vec<Result<EngineOutput, String>> {
    let answers = spark::ask(&json!({ "answer": questions })).unwrap_or_else(|error| panic!("{error}"));
    let answers = answers.as_array().unwrap();
    assert_eq!(answers.len(), questions.len());
    answers.iter().map(spark_answer).collect()
}

fn spark_answer(answer: &Json) -> Result<EngineOutput, String> {
    if let Some(error) = answer["error"].as_str() {
        return Err(error.to_owned());
    }
    let columns: Vec<(String, String)> = serde_json::from_value(answer["columns"].clone()).unwrap();
    let rows = answer["rows"].as_array().unwrap().iter().map(|row| {
        let cells = columns.iter().zip(row.as_array().unwrap());
        let cells = cells.map(|((name, kind), value)| match (kind.as_str(), value.as_i64()) {
            ("timestamp", Some(micros)) => (name.clone(), moment(micros)),
            _ => (name.clone(), value.clone()),
        });
        Json::Object(cells.collect())
    });
    Ok(EngineOutput { rows: rows.collect(), columns })
}
