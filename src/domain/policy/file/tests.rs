use std::collections::BTreeSet;

use serde_json::json;

use super::*;
use crate::domain::{policy::Policy, problems::Problem};

const EXAMPLE: &str = include_str!("../../../../bundle/ops-runbook.example.toml");

/// A table of the configuration file that the schema describes.
struct DescribedTable {
    /// Such as `[escalation.recurring]` or `[[routes]]`.
    header: String,
    /// JSON Pointer of the table in a file that has one of it.
    pointer: String,
    schema: Value,
    /// Defaults that the parent of the table states.
    defaults: Value,
}

fn collect(path: &str, pointer: &str, schema: &Value, tables: &mut Vec<DescribedTable>) {
    let (header, pointer, schema, defaults) = match (&schema["items"], &schema["additionalProperties"]) {
        (items @ Value::Object(_), _) => (format!("[[{path}]]"), format!("{pointer}/0"), items, Value::Null),
        (_, any @ Value::Object(_)) => (format!("[{path}.x]"), format!("{pointer}/x"), any, Value::Null),
        _ => (format!("[{path}]"), pointer.to_owned(), schema, schema["default"].clone()),
    };
    for (name, below) in schema["properties"].as_object().unwrap().iter().filter(|(_, key)| is_table(key)) {
        collect(&format!("{path}.{name}"), &format!("{pointer}/{name}"), below, tables);
    }
    tables.push(DescribedTable { header, pointer, schema: schema.clone(), defaults });
}

fn is_table(schema: &Value) -> bool {
    schema["type"] == "object" || schema["items"]["type"] == "object"
}

fn tables() -> Vec<DescribedTable> {
    let (schema, mut tables) = (schema(), Vec::new());
    for (name, table) in schema["properties"].as_object().unwrap() {
        collect(name, &format!("/{name}"), table, &mut tables);
    }
    assert_eq!(tables.len(), 26);
    tables
}

/// Returns the problems of a file with this key alone that are about the key.
fn problems(table: &DescribedTable, key: &str, value: &str) -> Vec<Problem> {
    let pointer = format!("{}/{key}", table.pointer);
    let problems = Policy::parse(&format!("{}\n{key} = {value}\n", table.header)).err().unwrap_or_default();
    problems.into_iter().filter(|problem| problem.pointer == pointer).collect()
}

#[test]
fn the_schema_has_the_keys_that_the_reader_knows() {
    for table in tables() {
        let problems = problems(&table, "zzzzzzzzzzzzzzzz", "1");
        let hint = problems[0].hint.as_deref().unwrap();
        let known: BTreeSet<&str> = hint.strip_prefix("known here: ").expect(hint).split(", ").collect();
        let described = table.schema["properties"].as_object().unwrap();
        assert_eq!(described.keys().map(String::as_str).collect::<BTreeSet<_>>(), known, "{}", table.header);
    }
}

#[test]
fn the_schema_has_the_ranges_that_the_reader_checks() {
    let mut integers = 0;
    for table in tables() {
        for (name, key) in table.schema["properties"].as_object().unwrap() {
            let (Some(minimum), Some(maximum)) = (key["minimum"].as_i64(), key["maximum"].as_i64()) else { continue };
            integers += 1;
            for outside in [minimum - 1, maximum + 1] {
                let found = problems(&table, name, &outside.to_string());
                let expected = format!("must be {minimum} to {maximum}, but is {outside}");
                assert!(found.iter().any(|problem| problem.message.starts_with(&expected)), "{name}: {found:?}");
            }
        }
    }
    assert_eq!(integers, 22);
}

#[test]
fn the_schema_has_the_defaults_that_hold_without_a_file() {
    for table in tables().iter().filter(|table| !table.header.starts_with("[[")) {
        let mut file = format!("{}\n", table.header);
        for (name, key) in table.schema["properties"].as_object().unwrap().iter().filter(|(_, key)| !is_table(key)) {
            let default = key.get("default").or_else(|| table.defaults.get(name));
            if let Some(default) = default.filter(|_| table.header != "[smtp]") {
                file.push_str(&format!("{name} = {default}\n"));
            }
        }
        if file.lines().count() > 1 {
            assert_eq!(Policy::parse(&file), Ok(Policy::default()), "{file}");
        }
    }
}

#[test]
fn the_example_file_fits_the_schema_and_shows_every_key() {
    let example: Value = toml::from_str(EXAMPLE).unwrap();
    let validator = jsonschema::validator_for(&schema()).unwrap();
    let problems: Vec<String> =
        validator.iter_errors(&example).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert_eq!(problems, [""; 0]);
    for table in tables() {
        let mut found: Vec<&Value> = vec![&example];
        for name in table.pointer.split('/').skip(1) {
            found = found.iter().flat_map(|value| below(value, name)).collect();
        }
        for key in table.schema["properties"].as_object().unwrap().keys() {
            assert!(found.iter().any(|value| value.get(key).is_some()), "{} {key}", table.header);
        }
    }
}

/// Returns what is at `name`; `0` means any item and `x` any name.
fn below<'v>(value: &'v Value, name: &str) -> Vec<&'v Value> {
    match (value, name) {
        (Value::Array(items), _) => items.iter().collect(),
        (Value::Object(fields), "x") => fields.values().collect(),
        (other, _) => other.get(name).into_iter().collect(),
    }
}

#[test]
fn every_example_is_accepted_by_the_schema() {
    for table in tables() {
        for (name, key) in table.schema["properties"].as_object().unwrap() {
            let validator = jsonschema::validator_for(key).unwrap();
            for example in key["examples"].as_array().into_iter().flatten() {
                assert!(validator.is_valid(example), "{} {name} = {example}", table.header);
            }
        }
    }
}

#[test]
fn the_schema_refuses_what_the_reader_refuses() {
    let validator = jsonschema::validator_for(&schema()).unwrap();
    for file in [
        json!({ "recurring": { "treshold": 3 } }),
        json!({ "recurring": { "threshold": 1 } }),
        json!({ "channels": { "x": { "to": "somewhere" } } }),
        json!({ "routes": [{ "severities": ["HIGH"] }] }),
        json!({ "comply": { "exempt": [{ "jobs": ["1"] }] } }),
        json!({ "smtp": { "host": "smtp.example.test", "from": "a@example.test", "encryption": "ssl" } }),
    ] {
        assert!(!validator.is_valid(&file), "{file}");
    }
    assert!(validator.is_valid(&json!({})));
}
