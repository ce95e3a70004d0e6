//! Questions for Spark, and its answers.

use std::{
    collections::BTreeSet,
    io::Write,
    process::{Command, Stdio},
};

use ops_runbook::{
    analytics::{self, engine::Value, header::ParameterKind},
    tables::{TableDef, catalog},
};
use serde_json::{Map, Value as Json, json};

use super::answer::{Answer, moment, text_of};

/// The views below a statement, those first that others need, and the tables below them.
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

/// A question for tests/peers/spark_cases.py.
pub fn question(
    name: &str,
    asked: &str,
    parameters: &[(String, Value)],
    tables: impl Fn(&'static TableDef) -> Json,
) -> Json {
    let sql = text_of(asked);
    let (views, needed) = below(&sql);
    let tables: Map<String, Json> =
        catalog::all().filter(|def| needed.contains(def.name)).map(|def| (def.name.to_owned(), tables(def))).collect();
    let parameters: Map<String, Json> = parameters
        .iter()
        .map(|(name, value)| {
            let kind = match value {
                Value::Timestamp(_) => ParameterKind::Timestamp,
                Value::Int(_) => ParameterKind::Bigint,
                Value::Text(_) => ParameterKind::Text,
            };
            (name.clone(), json!({ "type": kind.to_string(), "value": value.to_string() }))
        })
        .collect();
    json!({ "name": name, "sql": sql, "views": views, "tables": tables, "parameters": parameters })
}

/// The answers of Spark, in the order of the questions.
pub fn on_spark(questions: &[Json]) -> Vec<Result<Answer, String>> {
    let python = std::env::var("OPS_RUNBOOK_TEST_PYTHON")
        .expect("the peers need their Python environment: run the tests by tests/run, which makes it");
    let mut peer = Command::new(python)
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/spark_cases.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let document = serde_json::to_vec(questions).unwrap();
    peer.stdin.take().unwrap().write_all(&document).unwrap();
    let output = peer.wait_with_output().unwrap();
    assert!(output.status.success(), "spark_cases.py: {}", String::from_utf8_lossy(&output.stderr));
    let answers: Vec<Json> = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(answers.len(), questions.len());
    answers.iter().map(spark_answer).collect()
}

fn spark_answer(told: &Json) -> Result<Answer, String> {
    if let Some(error) = told["error"].as_str() {
        return Err(error.to_owned());
    }
    let columns: Vec<(String, String)> = serde_json::from_value(told["columns"].clone()).unwrap();
    let rows = told["rows"].as_array().unwrap().iter().map(|row| {
        let cells = columns.iter().zip(row.as_array().unwrap());
        let cells = cells.map(|((name, kind), value)| match (kind.as_str(), value.as_i64()) {
            ("timestamp", Some(micros)) => (name.clone(), moment(micros)),
            _ => (name.clone(), value.clone()),
        });
        Json::Object(cells.collect())
    });
    Ok(Answer { rows: rows.collect(), columns })
}
