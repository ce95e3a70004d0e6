use arrow::util::pretty::pretty_format_batches;
use serde_json::{Value, json};

use super::*;

fn answer(columns: &[(&str, &str)], rows: Value) -> StatementResult {
    let columns = columns.iter().enumerate().map(|(position, (type_name, type_text))| {
        serde_json::from_value(json!({
            "name": format!("c{position}"), "position": position, "type_name": type_name, "type_text": type_text,
            "type_precision": 10, "type_scale": 2,
        }))
        .unwrap()
    });
    StatementResult { columns: columns.collect(), rows: serde_json::from_value(rows).unwrap() }
}

fn one(type_name: &str, text: &str) -> Result<String, StatementError> {
    let batch = cells::batch(&answer(&[(type_name, type_name)], json!([[text]])))?;
    let shown = pretty_format_batches(&[batch]).unwrap().to_string();
    Ok(shown.lines().nth(3).unwrap().trim_matches(['|', ' ']).to_owned())
}

#[test]
fn every_type_of_our_queries_is_read() {
    for (type_name, text, expected) in [
        ("BOOLEAN", "true", "true"),
        ("BYTE", "-128", "-128"),
        ("SHORT", "32767", "32767"),
        ("INT", "-2147483648", "-2147483648"),
        ("LONG", "9223372036854775807", "9223372036854775807"),
        ("FLOAT", "1.5", "1.5"),
        ("DOUBLE", "1.0E10", "10000000000.0"),
        ("DOUBLE", "NaN", "NaN"),
        ("DOUBLE", "-Infinity", "-inf"),
        ("DECIMAL", "-12.34", "-12.34"),
        ("DECIMAL", "7", "7.00"),
        ("DATE", "2026-02-11", "2026-02-11"),
        ("STRING", "a\u{1b}'; --", "a\u{1b}'; --"),
        ("STRING", "null", "null"),
        ("TIMESTAMP", "2026-02-11T12:36:00.000Z", "2026-02-11T12:36:00Z"),
        ("TIMESTAMP", "2026-02-11T12:36:00.123456Z", "2026-02-11T12:36:00.123456Z"),
        ("TIMESTAMP", "2021-06-15T12:34:56.789-07:00", "2021-06-15T19:34:56.789Z"),
        ("TIMESTAMP", "2026-02-11 12:36:00.1234", "2026-02-11T12:36:00.123400Z"),
        ("TIMESTAMP", "2026-02-11 12:36:00", "2026-02-11T12:36:00Z"),
        ("TIMESTAMP", "2026-02-11T12:36:00", "2026-02-11T12:36:00Z"),
        ("TIMESTAMP", "1969-12-31 23:59:59.999999", "1969-12-31T23:59:59.999999Z"),
    ] {
        assert_eq!(one(type_name, text).unwrap(), expected, "{type_name} {text}");
    }
}

#[test]
fn a_value_that_does_not_parse_is_an_error_and_never_null() {
    for (type_name, text) in [
        ("BOOLEAN", "1"),
        ("INT", "2147483648"),
        ("LONG", "1.0"),
        ("LONG", ""),
        ("DOUBLE", "1,5"),
        ("DECIMAL", "1.2.3"),
        ("DECIMAL", "123456789.00"),
        ("DATE", "11.02.2026"),
        ("TIMESTAMP", "2026-02-30 00:00:00"),
        ("TIMESTAMP", "now"),
        ("NULL", "x"),
    ] {
        let error = one(type_name, text).unwrap_err();
        assert!(matches!(&error, StatementError::Cell { row: 1, .. }), "{type_name} {text}: {error}");
    }
}

#[test]
fn an_unsupported_type_is_named_with_its_column() {
    for type_name in ["ARRAY", "STRUCT", "VARIANT", "TIMESTAMP_NTZ", "BINARY", "INTERVAL"] {
        let error = one(type_name, "x").unwrap_err().to_string();
        assert_eq!(error, format!("column \"c0\" has the type {type_name}, which is not supported"));
    }
}

#[test]
fn null_is_null_in_every_type() {
    let types = ["BOOLEAN", "INT", "LONG", "DOUBLE", "DECIMAL", "DATE", "TIMESTAMP", "STRING", "NULL"];
    let columns: Vec<(&str, &str)> = types.iter().map(|name| (*name, "")).collect();
    let batch = cells::batch(&answer(&columns, json!([vec![Value::Null; types.len()]]))).unwrap();
    for column in batch.columns() {
        assert_eq!(column.logical_null_count(), 1, "{}", column.data_type());
    }
}

#[test]
fn no_rows_still_have_columns() {
    let batch = cells::batch(&answer(&[("LONG", "BIGINT"), ("STRING", "STRING")], json!([]))).unwrap();
    assert_eq!((batch.num_rows(), batch.num_columns()), (0, 2));
    assert_eq!(cells::batch(&answer(&[], json!([[], []]))).unwrap().num_rows(), 2);
}
