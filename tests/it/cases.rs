//! Given rows and expected answers: `sql/cases/NAME/*.toml` for the query or view NAME, on DataFusion and on Spark.
//!
//! `what` says what the case shows. `[parameters]`: `week` stands for the parameters about a week that are not given, in
//! `time_zone` (UTC). `[given]`: rows of tables; a required column that is left out has a neutral value, every other one is
//! null, `seq` counts from 1. `expect`: the rows of the answer in any order; a column that is left out is null.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Write,
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
};

use arrow::{
    array::{Array, AsArray, RecordBatch},
    datatypes::{DataType, Date32Type, Float64Type, Int32Type, Int64Type, SchemaRef, TimestampMicrosecondType},
};
use ops_runbook::{
    analytics::{
        self,
        engine::{Engine, Value},
        header::{Header, ParameterKind},
        row,
        snapshot::Snapshot,
        weekly::WeekParameters,
    },
    domain::{time::Timestamp, week::Week},
    tables::{Kind, TableDef, catalog},
};
use serde_json::{Map, Value as Json, json};

/// A question and its answer.
pub struct Case {
    /// File or another name.
    pub name: String,
    /// A query or a view.
    pub asked: String,
    pub parameters: Vec<(String, Value)>,
    pub given: BTreeMap<String, Vec<Map<String, Json>>>,
    pub expect: Vec<Json>,
}

/// An answer: names and kinds of the columns, and rows as objects.
#[derive(Debug, PartialEq)]
pub struct Answer {
    pub columns: Vec<(String, String)>,
    pub rows: Vec<Json>,
}

fn text_of(asked: &str) -> String {
    let query = analytics::queries().find(|(name, _)| *name == asked).map(|(_, sql)| sql.to_owned());
    query.unwrap_or_else(|| {
        assert!(analytics::views().any(|(name, _)| name == asked), "{asked} is no query and no view");
        format!("SELECT * FROM {asked}")
    })
}

fn read(path: &Path) -> Case {
    let name = path.display().to_string();
    let asked = path.parent().unwrap().file_name().unwrap().to_string_lossy().into_owned();
    let text = fs::read_to_string(path).unwrap();
    let case: Json = toml::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
    let known = ["what", "parameters", "given", "expect"];
    assert!(case.as_object().unwrap().keys().all(|key| known.contains(&key.as_str())), "{name}: unknown key");
    assert!(case["what"].as_str().is_some_and(|what| !what.is_empty()), "{name} does not say what it shows");
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

fn parameters(name: &str, asked: &str, given: Option<&Map<String, Json>>) -> Vec<(String, Value)> {
    let text = |key: &str| {
        given.and_then(|given| given.get(key)).map(|value| value.as_str().unwrap_or_else(|| panic!("{name}: {key}")))
    };
    let zone = text("time_zone").unwrap_or("UTC").parse().unwrap();
    let week = text("week").map(|week| WeekParameters {
        week: Week::new(week.parse().unwrap(), zone),
        known_from: Timestamp::from_micros(0).unwrap(),
    });
    let Some((_, sql)) = analytics::queries().find(|(query, _)| *query == asked) else { return Vec::new() };
    let header = Header::of(sql);
    let known: BTreeSet<&str> =
        header.parameters.iter().map(|parameter| parameter.name.as_str()).chain(["week", "time_zone"]).collect();
    let unknown: Vec<&String> =
        given.into_iter().flat_map(Map::keys).filter(|key| !known.contains(key.as_str())).collect();
    assert!(unknown.is_empty(), "{name}: unknown parameters {unknown:?}");
    let value = |parameter: &analytics::header::Parameter| {
        let own = given.and_then(|given| given.get(&parameter.name)).map(|value| match value {
            Json::String(text) => parameter.kind.parse(text).unwrap_or_else(|error| panic!("{name}: {error}")),
            other => parameter.kind.parse(&other.to_string()).unwrap_or_else(|error| panic!("{name}: {error}")),
        });
        let value = own.or_else(|| week.and_then(|week| week.value(asked, &parameter.name)));
        (parameter.name.clone(), value.unwrap_or_else(|| panic!("{name}: no value for {}", parameter.name)))
    };
    header.parameters.iter().map(value).collect()
}

/// A row of a table with every column.
fn completed(name: &str, def: &TableDef, row: &Map<String, Json>, index: usize) -> Map<String, Json> {
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

fn kind(kind: &DataType) -> &'static str {
    match kind {
        DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8 => "text",
        DataType::Int64 => "long",
        DataType::Int32 => "int",
        DataType::Float64 => "double",
        DataType::Boolean => "boolean",
        DataType::Date32 => "date",
        DataType::Timestamp(..) => "timestamp",
        other => panic!("no peer knows {other}"),
    }
}

fn cell(column: &dyn Array, row: usize) -> Json {
    if column.is_null(row) {
        return Json::Null;
    }
    match column.data_type() {
        DataType::Utf8View => column.as_string_view().value(row).into(),
        DataType::Utf8 => column.as_string::<i32>().value(row).into(),
        DataType::LargeUtf8 => column.as_string::<i64>().value(row).into(),
        DataType::Int64 => column.as_primitive::<Int64Type>().value(row).into(),
        DataType::Int32 => column.as_primitive::<Int32Type>().value(row).into(),
        DataType::Float64 => column.as_primitive::<Float64Type>().value(row).into(),
        DataType::Boolean => column.as_boolean().value(row).into(),
        DataType::Date32 => column.as_primitive::<Date32Type>().value_as_date(row).unwrap().to_string().into(),
        DataType::Timestamp(..) => moment(column.as_primitive::<TimestampMicrosecondType>().value(row)),
        other => panic!("no cell of {other}"),
    }
}

fn moment(micros: i64) -> Json {
    Timestamp::from_micros(micros).unwrap().to_string().into()
}

fn answer(schema: &SchemaRef, batches: &[RecordBatch]) -> Answer {
    let columns = schema.fields().iter().map(|field| (field.name().clone(), kind(field.data_type()).to_owned()));
    let mut rows = Vec::new();
    for batch in batches {
        for row in 0..batch.num_rows() {
            let cells = schema.fields().iter().zip(batch.columns());
            let cells = cells.map(|(field, column)| (field.name().clone(), cell(column.as_ref(), row)));
            rows.push(Json::Object(cells.collect()));
        }
    }
    Answer { columns: columns.collect(), rows }
}

pub async fn on_datafusion(engine: Engine<'_>, asked: &str, parameters: &[(String, Value)]) -> Answer {
    let (schema, batches) = engine.run(&text_of(asked), parameters).await.unwrap_or_else(|error| {
        let cause = std::error::Error::source(&error).map(ToString::to_string);
        panic!("{asked}: {error}: {cause:?}")
    });
    answer(&schema, &batches)
}

/// Rows in an order of their own, floats to six places.
fn comparable(rows: &[Json], columns: &[(String, String)]) -> Vec<String> {
    let line = |row: &Json| {
        let cells = columns.iter().map(|(name, kind)| match (&row[name], kind.as_str()) {
            (Json::Null, _) => format!("{name}=null"),
            (value, "double") => {
                let number =
                    (value.as_f64().unwrap_or_else(|| panic!("{name}: {value} is no number")) * 1e6).round() / 1e6;
                format!("{name}={}", number + 0.0)
            }
            (value, "timestamp") => {
                let at: Timestamp = value.as_str().unwrap().parse().unwrap_or_else(|error| panic!("{name}: {error}"));
                format!("{name}={at}")
            }
            (value, _) => format!("{name}={value}"),
        });
        cells.collect::<Vec<_>>().join(", ")
    };
    let mut lines: Vec<String> = rows.iter().map(line).collect();
    lines.sort();
    lines
}

/// What is missing and what is too much; nothing when two answers are one.
pub fn difference(expected: &[Json], found: &Answer) -> Option<String> {
    for row in expected {
        for name in row.as_object().unwrap().keys() {
            if !found.columns.iter().any(|(column, _)| column == name) {
                return Some(format!("  there is no column {name}: {:?}", found.columns));
            }
        }
    }
    let (expected, found) = (comparable(expected, &found.columns), comparable(&found.rows, &found.columns));
    let mut text = String::new();
    let mut rest = found.clone();
    for line in &expected {
        match rest.iter().position(|other| other == line) {
            Some(at) => drop(rest.remove(at)),
            None => text.push_str(&format!("  - {line}\n")),
        }
    }
    rest.iter().for_each(|line| text.push_str(&format!("  + {line}\n")));
    (!text.is_empty()).then_some(text)
}

fn cases() -> Vec<Case> {
    let mut found = Vec::new();
    for folder in fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/sql/cases")).unwrap() {
        for file in fs::read_dir(folder.unwrap().path()).unwrap() {
            found.push(read(&file.unwrap().path()));
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}

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

fn snapshot_of(case: &Case) -> Snapshot<'static> {
    let rows = |table: &str| match (case.given.get(table), catalog::all().find(|def| def.name == table)) {
        (Some(rows), Some(def)) => vec![batch(def, rows)],
        _ => Vec::new(),
    };
    Snapshot::of_rows(rows).unwrap()
}

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
    for name in row::schemas().into_iter().map(|(name, _)| name).filter(|name| !name.starts_with("cause_o")) {
        assert!(counts[name] >= 2 || name.starts_with("recurrence"), "{name} has {} cases", counts[name]);
    }
}

/// The kind of column that a field of a row is read from.
fn expected_kind(field: &Json, root: &Json) -> &'static str {
    if let Some(reference) = field["$ref"].as_str() {
        return expected_kind(root.pointer(reference.trim_start_matches('#')).unwrap(), root);
    }
    for way in ["anyOf", "oneOf"] {
        if let Some(one) = field[way].as_array().and_then(|ways| ways.iter().find(|one| one["type"] != "null")) {
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

fn some_value(kind: ParameterKind) -> Value {
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
        let parameters: Vec<(String, Value)> =
            Header::of(sql).parameters.iter().map(|it| (it.name.clone(), some_value(it.kind))).collect();
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

/// Parameters in the text below the header.
fn used_parameters(sql: &str) -> BTreeSet<String> {
    let named = regex::Regex::new(r":([a-z_0-9]+)").unwrap();
    let body: Vec<&str> =
        analytics::header::body(sql).lines().filter(|line| !line.trim_start().starts_with("--")).collect();
    named.captures_iter(&body.join("\n")).map(|found| found[1].to_owned()).collect()
}

#[tokio::test]
async fn headers_name_the_parameters_and_columns_that_there_are() {
    let snapshot = Snapshot::of_rows(|_| Vec::new()).unwrap();
    for (name, sql) in analytics::queries().chain(analytics::views()) {
        let header = Header::of(sql);
        assert!(!header.what.is_empty() && !header.grain.is_empty(), "{name}");
        assert!(header.parameters.iter().all(|it| it.meaning.ends_with('.')), "{name}: {:?}", header.parameters);
        let told: BTreeSet<String> = header.parameters.iter().map(|it| it.name.clone()).collect();
        assert_eq!(told, used_parameters(sql), "{name}");
        assert_eq!(told.len(), header.parameters.len(), "{name}");
        let values: Vec<(String, Value)> =
            header.parameters.iter().map(|it| (it.name.clone(), some_value(it.kind))).collect();
        let found = on_datafusion(Engine::Snapshot(&snapshot), name, &values).await;
        let actual: BTreeSet<&str> = found.columns.iter().map(|(column, _)| column.as_str()).collect();
        let told: BTreeSet<&str> = header.columns.iter().flat_map(|it| &it.names).map(String::as_str).collect();
        let named: BTreeSet<&str> = told.iter().copied().filter(|column| *column != "…").collect();
        assert!(named.is_subset(&actual), "{name} lacks {:?}", named.difference(&actual));
        assert!(told.contains("…") || named == actual, "{name} does not explain {:?}", actual.difference(&named));
    }
}

/// Parameters of every query for the week of a real lake, those that are not about a week too.
pub fn for_lake(name: &str, at: &WeekParameters, others: &[(&str, Value)]) -> Vec<(String, Value)> {
    let (_, sql) = analytics::queries().find(|(query, _)| *query == name).unwrap();
    let value = |parameter: &str| {
        let other = || others.iter().find(|(other, _)| *other == parameter).map(|(_, value)| value.clone());
        at.value(name, parameter).or_else(other)
    };
    let parameters = Header::of(sql).parameters.into_iter();
    parameters.map(|it| (it.name.clone(), value(&it.name).unwrap_or_else(|| panic!("{name}: {}", it.name)))).collect()
}

#[test]
fn a_difference_is_seen() {
    let columns = vec![("a".to_owned(), "double".to_owned()), ("b".to_owned(), "timestamp".to_owned())];
    let found = |a: f64, b: &str| Answer { columns: columns.clone(), rows: vec![json!({ "a": a, "b": b })] };
    let expected = [json!({ "a": 1.0, "b": "2026-01-01T00:00:00Z" })];
    assert_eq!(difference(&expected, &found(1.000_000_1, "2026-01-01T00:00:00Z")), None);
    assert!(difference(&expected, &found(1.000_01, "2026-01-01T00:00:00Z")).is_some());
    assert!(difference(&expected, &found(1.0, "2026-01-01T00:00:00.000001Z")).is_some());
    assert!(difference(&[], &found(1.0, "2026-01-01T00:00:00Z")).is_some());
    assert!(difference(&[json!({ "c": 1 })], &found(1.0, "2026-01-01T00:00:00Z")).is_some());
}
