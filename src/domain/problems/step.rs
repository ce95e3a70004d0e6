//! Steps are checked as reports are: against their schema, then for what a schema cannot say.

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

/// Reads one step: redacts, then checks its shape and its meaning.
///
/// # Errors
/// Every problem there is.
pub fn parse_step<S: Step + JsonSchema>(
    mut value: Value,
    redactor: &Redactor,
    now: Timestamp,
) -> Result<(S, Redactions), Vec<Problem>> {
    let redactions = redactor.value(&mut value);
    let mut problems = shape::<S>(&value);
    problems.extend(meaning::step(&value, S::IS_REMEDIATION, now));
    match serde_path_to_error::deserialize::<_, S>(&value) {
        Ok(step) if problems.is_empty() => return Ok((step, redactions)),
        Err(error) if problems.is_empty() => problems.push(from_serde(&error)),
        _ => {}
    }
    Err(in_order(problems, &value))
}

/// Reads a question: checks its shape against its schema.
///
/// # Errors
/// Every problem there is.
pub fn parse_question<Q: DeserializeOwned + JsonSchema>(value: &Value) -> Result<Q, Vec<Problem>> {
    let mut problems = shape::<Q>(value);
    match serde_path_to_error::deserialize::<_, Q>(value) {
        Ok(question) if problems.is_empty() => return Ok(question),
        Err(error) if problems.is_empty() => problems.push(from_serde(&error)),
        _ => {}
    }
    Err(in_order(problems, value))
}

fn shape<S: JsonSchema>(value: &Value) -> Vec<Problem> {
    let schema = schemars::schema_for!(S).to_value();
    // Its own schema; were it wrong, serde still has its say.
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
