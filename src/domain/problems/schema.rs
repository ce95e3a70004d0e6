//! The JSON Schema of a report, and its validation errors as problems.

use std::sync::LazyLock;

use jsonschema::{
    ValidationError, Validator,
    error::{TypeKind, ValidationErrorKind},
};
use serde_json::{Value, json};

use super::{MAX_PROBLEMS, Problem, document, quote};
use crate::domain::{
    report::{Report, SCHEMA_VERSION},
    time::Timestamp,
};

/// Aliases of incident types.
const ALIASES: &[(&str, &str)] =
    &[("job-failure", "failure"), ("validation-gap", "validation"), ("security-finding", "security")];

static SCHEMA: LazyLock<Value> = LazyLock::new(|| {
    let mut schema = schemars::schema_for!(Report).to_value();
    let about = [
        ("$id", "https://ops-runbook.invalid/schema/report/1"),
        ("title", "ops-runbook report"),
        (
            "description",
            "Report of one investigation: the incident, its timeline, findings and remediation. At most 4 MiB of JSON.",
        ),
    ];
    for (key, text) in about {
        schema[key] = text.into();
    }
    for incident_type in ["oneOf", "enum"].map(|words| format!("/$defs/IncidentType/{words}")) {
        if let Some(Value::Array(words)) = schema.pointer_mut(&incident_type) {
            add_aliases(words);
        }
    }
    schema
});

/// Adds serde's aliases, which schemars does not know.
fn add_aliases(words: &mut Vec<Value>) {
    let alias = |word: &str| ALIASES.iter().find(|(name, _)| *name == word).map(|(_, alias)| json!(alias));
    for branch in words.iter_mut().filter_map(Value::as_object_mut) {
        if let Some(alias) = branch.get("const").and_then(Value::as_str).and_then(alias) {
            let word = branch.remove("const");
            branch.insert("enum".into(), json!([word, alias]));
        } else if let Some(Value::Array(words)) = branch.get_mut("enum") {
            add_aliases(words);
        }
    }
    let more: Vec<_> = words.iter().filter_map(Value::as_str).filter_map(alias).collect();
    words.extend(more);
}

static VALIDATOR: LazyLock<Validator> = LazyLock::new(|| {
    jsonschema::options()
        .should_validate_formats(true)
        .with_format("date-time", |text: &str| text.parse::<Timestamp>().is_ok())
        .build(&SCHEMA)
        .expect("the schema of a report is valid")
});

/// Returns the JSON Schema of a report, draft 2020-12.
pub fn report_schema() -> &'static Value {
    &SCHEMA
}

pub fn is_valid(document: &Value) -> bool {
    VALIDATOR.is_valid(document)
}

pub fn problems(document: &Value) -> Vec<Problem> {
    let mut problems = Vec::new();
    for error in VALIDATOR.iter_errors(document).take(MAX_PROBLEMS + 1) {
        collect(&error, &mut problems);
    }
    problems
}

fn collect(error: &ValidationError, problems: &mut Vec<Problem>) {
    let pointer = error.instance_path().as_str().to_owned();
    let found = error.instance();
    let (message, hint) = match error.kind() {
        ValidationErrorKind::AdditionalProperties { unexpected } => {
            let known = fields_at(&pointer);
            problems.extend(unexpected.iter().take(MAX_PROBLEMS + 1).map(|field| Problem {
                pointer: document::child(&pointer, field),
                message: "is not a field of the report".into(),
                hint: Some(did_you_mean(field, &known).unwrap_or_else(|| format!("known here: {}", known.join(", ")))),
            }));
            return;
        }
        ValidationErrorKind::Required { property } => {
            let pointer = document::child(&pointer, property.as_str().unwrap_or_default());
            let hint = schema_at(&pointer).and_then(describe);
            problems.push(Problem { pointer, message: "is missing".into(), hint });
            return;
        }
        // an optional part: the error of the alternative that is not null is the useful one
        ValidationErrorKind::AnyOf { context } => {
            let here = |error: &ValidationError| {
                error.instance_path().as_str() == pointer && matches!(error.kind(), ValidationErrorKind::Type { .. })
            };
            let nearest = context.iter().find(|errors| !errors.iter().any(here)).or(context.first());
            nearest.into_iter().flatten().for_each(|error| collect(error, problems));
            return;
        }
        ValidationErrorKind::Enum { .. }
        | ValidationErrorKind::Constant { .. }
        | ValidationErrorKind::OneOfNotValid { .. }
        | ValidationErrorKind::OneOfMultipleValid { .. } => not_a_choice(found, &choices_at(&pointer)),
        ValidationErrorKind::Type { .. } if !choices_at(&pointer).is_empty() => {
            not_a_choice(found, &choices_at(&pointer))
        }
        ValidationErrorKind::Type { kind } => {
            let expected: Vec<_> = match kind {
                TypeKind::Single(expected) => vec![expected.as_str()],
                TypeKind::Multiple(set) => set.iter().map(|expected| expected.as_str()).collect(),
            };
            let expected: Vec<_> = expected.into_iter().filter(|name| *name != "null").map(with_article).collect();
            (format!("must be {}, but is {}", expected.join(" or "), what_is(found)), type_hint(&expected, found))
        }
        ValidationErrorKind::Format { .. } => {
            let problem = found.as_str().and_then(|text| quote_time(text).err());
            let hint = "write it like 2026-02-11T12:36:00Z or 2026-02-11T13:36:00+01:00".to_owned();
            (problem.unwrap_or_else(|| "is not an RFC 3339 time with a zone".into()), Some(hint))
        }
        ValidationErrorKind::Pattern { .. } | ValidationErrorKind::MinLength { .. } => {
            ("is empty".into(), schema_at(&pointer).and_then(describe))
        }
        ValidationErrorKind::MaxLength { limit } => {
            let length = found.as_str().map_or(0, |text| text.chars().count());
            (format!("is {length} characters long, at most {limit} are allowed"), None)
        }
        ValidationErrorKind::Minimum { .. } | ValidationErrorKind::Maximum { .. } if pointer == "/schema_version" => {
            let hint = format!("this program reads schema_version {SCHEMA_VERSION}");
            (format!("is {found}, which is not a supported version"), Some(hint))
        }
        _ => (quote(&error.masked_with("the value").to_string()), None),
    };
    problems.push(Problem { pointer, message, hint });
}

fn not_a_choice(found: &Value, words: &[String]) -> (String, Option<String>) {
    let list = words.join(", ");
    match found.as_str() {
        Some(text) => (format!("{} is not one of {list}", quote(text)), did_you_mean(text, words)),
        None => (format!("must be one of {list}, but is {}", what_is(found)), None),
    }
}

fn quote_time(text: &str) -> Result<Timestamp, String> {
    text.parse().map_err(|_| format!("{} is not an RFC 3339 time with a zone", quote(text)))
}

pub fn with_article(name: &str) -> String {
    let article = if name.starts_with(['a', 'i', 'o']) { "an" } else { "a" };
    format!("{article} {name}")
}

fn type_hint(expected: &[String], found: &Value) -> Option<String> {
    match found {
        Value::Number(number) if expected.iter().any(|name| name == "a string") => {
            Some(format!("put it in quotes: \"{number}\""))
        }
        Value::String(text) if !expected.is_empty() && text.parse::<f64>().is_ok() => {
            Some(format!("write it without quotes: {}", quote(text).trim_matches('"')))
        }
        Value::String(text) if matches!(text.as_str(), "true" | "false") => {
            Some(format!("write it without quotes: {text}"))
        }
        Value::Null => Some("leave the field out, or give it a value".into()),
        _ => None,
    }
}

/// Describes a value in a message: `the string "x"`, `an object`.
pub fn what_is(value: &Value) -> String {
    match value {
        Value::Null => "null".into(),
        Value::Bool(value) => format!("the boolean {value}"),
        Value::Number(number) => format!("the number {number}"),
        Value::String(text) => format!("the string {}", quote(text)),
        Value::Array(_) => "an array".into(),
        Value::Object(_) => "an object".into(),
    }
}

/// Returns a hint with the most similar known word, if any is similar enough.
pub fn did_you_mean(text: &str, known: &[String]) -> Option<String> {
    if text.chars().count() > 64 {
        return None;
    }
    let likeness = |word: &String| strsim::jaro_winkler(&text.to_lowercase(), &word.to_lowercase());
    let best = known.iter().map(|word| (likeness(word), word)).max_by(|one, other| one.0.total_cmp(&other.0));
    best.filter(|(likeness, _)| *likeness >= 0.85).map(|(_, word)| format!("did you mean `{word}`?"))
}

/// Returns the schema of the value at a pointer.
fn schema_at(pointer: &str) -> Option<&'static Value> {
    document::segments(pointer).try_fold(&*SCHEMA, |schema, segment| {
        let schema = resolve(schema);
        schema
            .get("properties")
            .and_then(|fields| fields.get(&segment))
            .or_else(|| schema.get("items").or_else(|| schema.get("additionalProperties")))
            .filter(|schema| schema.is_object())
    })
}

/// Resolves references, and the alternative of an optional schema that is not null.
fn resolve(schema: &'static Value) -> &'static Value {
    let target =
        schema.get("$ref").and_then(Value::as_str).and_then(|target| SCHEMA.pointer(target.strip_prefix('#')?));
    let part = || schema.get("anyOf")?.as_array()?.iter().find(|part| part.get("type") != Some(&json!("null")));
    match target.or_else(part) {
        Some(next) => resolve(next),
        None => schema,
    }
}

fn fields_at(pointer: &str) -> Vec<String> {
    let fields = schema_at(pointer).and_then(|schema| resolve(schema).get("properties")?.as_object());
    fields.into_iter().flat_map(|fields| fields.keys().cloned()).collect()
}

/// Returns the allowed values at a pointer, if they are listed.
fn choices_at(pointer: &str) -> Vec<String> {
    let Some(schema) = schema_at(pointer).map(resolve) else { return Vec::new() };
    let items = |part: &'static Value, key| part.get(key).and_then(Value::as_array).into_iter().flatten();
    [schema]
        .into_iter()
        .chain(items(schema, "oneOf"))
        .flat_map(|part| part.get("const").into_iter().chain(items(part, "enum")))
        .filter_map(|word| word.as_str().map(str::to_owned))
        .collect()
}

fn describe(schema: &'static Value) -> Option<String> {
    let text = schema.get("description").or_else(|| resolve(schema).get("description"))?.as_str()?;
    let line = text.replace('\n', " ");
    Some(line.strip_suffix('.').unwrap_or(&line).to_owned())
}
