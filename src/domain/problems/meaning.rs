//! Checks of a report that a JSON Schema cannot express.

use chrono::TimeDelta;
use serde_json::{Number, Value};

use super::{Problem, document::child, quote};
use crate::domain::time::Timestamp;

/// 2000-01-01T00:00:00Z. No incident of these platforms is older.
const EARLIEST_MICROS: i64 = 946_684_800_000_000;

/// Largest integer that all JSON parsers read exactly: 2^53.
const EXACT: u64 = 1 << 53;

/// Parts with foreign content, whose `…_at` fields are not checked.
const FOREIGN: &[&str] = &["changes", "captured_settings", "attributes", "missing_reasons"];

pub fn problems(report: &Value, now: Timestamp) -> Vec<Problem> {
    let mut problems = Vec::new();
    walk(report, "", true, now, &mut problems);
    let steps = report.get("remediation").and_then(Value::as_array);
    for (index, step) in steps.into_iter().flatten().enumerate() {
        remediation(step, &format!("/remediation/{index}"), &mut problems);
    }
    problems
}

/// Returns the problems of one step, including the required fields of a remediation.
pub fn step(step: &Value, is_remediation: bool, now: Timestamp) -> Vec<Problem> {
    let mut problems = Vec::new();
    walk(step, "", true, now, &mut problems);
    if is_remediation {
        remediation(step, "", &mut problems);
    }
    problems
}

fn walk(value: &Value, pointer: &str, ours: bool, now: Timestamp, problems: &mut Vec<Problem>) {
    match value {
        Value::Number(number) if !is_exact(number) => problems.push(Problem {
            pointer: pointer.to_owned(),
            message: format!("the number {number} is beyond ±2^53, which JSON parsers do not read exactly"),
            hint: Some("write it as a string".into()),
        }),
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                walk(item, &child(pointer, index), ours, now, problems);
            }
        }
        Value::Object(object) => {
            for (name, value) in object {
                let pointer = child(pointer, name);
                let ours = ours && !FOREIGN.contains(&name.as_str());
                if let (true, Value::String(text)) = (ours && (name == "at" || name.ends_with("_at")), value) {
                    problems.extend(impossible_time(text, &pointer, now));
                }
                walk(value, &pointer, ours, now, problems);
            }
        }
        _ => {}
    }
}

/// Returns true if all numbers in the value are exact in all JSON parsers.
pub fn is_exact_throughout(value: &Value) -> bool {
    match value {
        Value::Number(number) => is_exact(number),
        Value::Array(items) => items.iter().all(is_exact_throughout),
        Value::Object(object) => object.values().all(is_exact_throughout),
        _ => true,
    }
}

fn is_exact(number: &Number) -> bool {
    match (number.as_i64(), number.as_u64(), number.as_f64()) {
        (Some(integer), ..) => integer.unsigned_abs() <= EXACT,
        (None, Some(integer), _) => integer <= EXACT,
        (None, None, Some(float)) => float.abs() <= EXACT as f64,
        (None, None, None) => false,
    }
}

fn impossible_time(text: &str, pointer: &str, now: Timestamp) -> Option<Problem> {
    let time: Timestamp = text.parse().ok()?;
    let latest = now.plus(TimeDelta::hours(24));
    let message = if time.micros() < EARLIEST_MICROS {
        format!("{} is before 2000-01-01T00:00:00Z", quote(text))
    } else if time > latest {
        format!("{} is more than 24 hours after now, {now}", quote(text))
    } else {
        return None;
    };
    let hint = Some("check the year, the time zone and the clock of its source".into());
    Some(Problem { pointer: pointer.to_owned(), message, hint })
}

fn remediation(step: &Value, pointer: &str, problems: &mut Vec<Problem>) {
    let Some(kind) = step.get("kind").and_then(Value::as_str) else {
        return;
    };
    let mut need = |field: &str, hint: &str| {
        let message = match step.get(field) {
            None | Some(Value::Null) => "is missing",
            Some(Value::Object(object)) if object.is_empty() => "is empty",
            Some(Value::String(text)) if text.trim().is_empty() => "is empty",
            Some(_) => return,
        };
        problems.push(Problem {
            pointer: child(pointer, field),
            message: format!("{message}, but a remediation of kind {kind} needs it"),
            hint: Some(hint.into()),
        });
    };
    match kind {
        "job_settings" | "cluster_settings" | "warehouse_settings" => {
            need("resource", "give the changed resource, such as {\"kind\": \"job\", \"id\": \"360515640572923\"}");
            need("changes", "give each setting and its new value, such as {\"max_retries\": 3}");
        }
        "sql" => need("statement", "give the SQL statement"),
        "command" => need("command", "give the command"),
        _ => {}
    }
}
