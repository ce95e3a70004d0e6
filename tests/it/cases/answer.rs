//! Results of queries, and the difference between two results.

use arrow::{
    array::{Array, AsArray, RecordBatch},
    datatypes::{DataType, Date32Type, Float64Type, Int32Type, Int64Type, SchemaRef, TimestampMicrosecondType},
};
use ops_runbook::{
    analytics::{
        self,
        engine::{Engine, ParameterValue},
    },
    domain::time::Timestamp,
};
use serde_json::Value as Json;

/// The result of a query: names and kinds of the columns, and rows as objects.
#[derive(Debug, PartialEq)]
pub struct EngineOutput {
    pub columns: Vec<(String, String)>,
    pub rows: Vec<Json>,
}

/// Returns the statement for the name of a query or a view, or for a statement itself.
pub fn text_of(asked: &str) -> String {
    if asked.contains(char::is_whitespace) {
        return asked.to_owned();
    }
    let query = analytics::queries().find(|(name, _)| *name == asked).map(|(_, sql)| sql.to_owned());
    query.unwrap_or_else(|| {
        assert!(analytics::views().any(|(name, _)| name == asked), "{asked} is no query and no view");
        format!("SELECT * FROM {asked}")
    })
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

pub fn moment(micros: i64) -> Json {
    Timestamp::from_micros(micros).unwrap().to_string().into()
}

fn answer(schema: &SchemaRef, batches: &[RecordBatch]) -> EngineOutput {
    let columns = schema.fields().iter().map(|field| (field.name().clone(), kind(field.data_type()).to_owned()));
    let mut rows = Vec::new();
    for batch in batches {
        for row in 0..batch.num_rows() {
            let cells = schema.fields().iter().zip(batch.columns());
            let cells = cells.map(|(field, column)| (field.name().clone(), cell(column.as_ref(), row)));
            rows.push(Json::Object(cells.collect()));
        }
    }
    EngineOutput { columns: columns.collect(), rows }
}

pub async fn on_datafusion(engine: Engine<'_>, asked: &str, parameters: &[(String, ParameterValue)]) -> EngineOutput {
    let (schema, batches) = engine.run(&text_of(asked), parameters).await.unwrap_or_else(|error| {
        let cause = std::error::Error::source(&error).map(ToString::to_string);
        panic!("{asked}: {error}: {cause:?}")
    });
    answer(&schema, &batches)
}

/// Returns the rows as sorted lines, with floats rounded to six places.
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

/// Returns the missing and the additional rows, or `None` if the results are equal.
pub fn difference(expected: &[Json], found: &EngineOutput) -> Option<String> {
    for row in expected {
        for name in row.as_object().unwrap().keys() {
            if !found.columns.iter().any(|(column, _)| column == name) {
                return Some(format!("  missing column {name}: {:?}", found.columns));
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
