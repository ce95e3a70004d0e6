//! Parses steps and questions. They are checked like reports: against their schema, then by further rules.

use jsonschema::error::ValidationErrorKind;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{MAX_PROBLEMS, Problem, cut, document, from_serde, in_order, meaning};
use crate::domain::{
    redact::{Redactions, Redactor},
    steps::Step,
    time::Timestamp,
};

/// Parses one step: redacts it, then checks its schema and its values.
///
/// # Errors
/// All problems.
pub fn parse_step<S: Step + JsonSchema>(
    mut value: Value,
    redactor: &Redactor,
    now: Timestamp,
) -> Result<(S, Redactions), Vec<Problem>> {
    let redactions = redactor.value(&mut value);
    let mut problems = schema_problems::<S>(&value);
    problems.extend(meaning::step(&value, S::IS_REMEDIATION, now));
    match serde_path_to_error::deserialize::<_, S>(&value) {
        Ok(step) if problems.is_empty() => return Ok((step, redactions)),
        Err(error) if problems.is_empty() => problems.push(from_serde(&error)),
        _ => {}
    }
    Err(in_order(problems, &value))
}

/// Parses the parameters of a read operation and checks them against their schema.
///
/// # Errors
/// All problems.
pub fn parse_question<Q: DeserializeOwned + JsonSchema>(value: &Value) -> Result<Q, Vec<Problem>> {
    let mut problems = schema_problems::<Q>(value);
    match serde_path_to_error::deserialize::<_, Q>(value) {
        Ok(question) if problems.is_empty() => return Ok(question),
        Err(error) if problems.is_empty() => problems.push(from_serde(&error)),
        _ => {}
    }
    Err(in_order(problems, value))
}

fn schema_problems<S: JsonSchema>(value: &Value) -> Vec<Problem> {
    let schema = schemars::schema_for!(S).to_value();
    // The schema is generated and valid. Without a validator, serde still reports problems.
    let Ok(validator) = jsonschema::validator_for(&schema) else { return Vec::new() };
    let problem = |error: jsonschema::ValidationError| {
        let mut pointer = error.instance_path().as_str().to_owned();
        let message = match error.kind() {
            ValidationErrorKind::Required { property } => {
                pointer = document::child(&pointer, property.as_str().unwrap_or_default());
                "is missing".to_owned()
            }
            ValidationErrorKind::MinLength { .. } | ValidationErrorKind::Pattern { .. }
                if error.instance().as_str().is_some_and(|text| text.trim().is_empty()) =>
            {
                "is empty".to_owned()
            }
            _ => cut(&error.to_string().escape_debug().to_string(), 200),
        };
        Problem { pointer, message, hint: None }
    };
    validator.iter_errors(value).take(MAX_PROBLEMS).map(problem).collect()
}
