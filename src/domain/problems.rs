//! Parses reports and reports all of their problems at once.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    redact::{Redactions, Redactor},
    report::{MAX_REPORT_BYTES, Report},
    time::Timestamp,
};

mod document;
mod meaning;
mod schema;
mod step;

pub(super) use document::child;
pub use meaning::is_exact_throughout as is_exact;
pub use schema::report_schema;
pub(super) use schema::{did_you_mean, with_article};
pub use step::{parse_question, parse_step};

/// Maximum number of listed problems; a hostile document could have millions.
const MAX_PROBLEMS: usize = 100;

/// A problem of a document. It never contains a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Problem {
    /// JSON pointer (RFC 6901) to the value; empty for the whole document.
    pub pointer: String,
    /// Description of the problem.
    pub message: String,
    /// Advice for a correction.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Problem {
    fn whole(message: impl Into<String>, hint: &str) -> Self {
        Self { pointer: String::new(), message: message.into(), hint: Some(hint.into()) }
    }
}

/// `/incident/reported_at: is missing (hint: …)`, on one line and escaped for a terminal.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.pointer.as_str() {
            "" => f.write_str("the document")?,
            pointer => f.write_str(&cut(&pointer.escape_debug().to_string(), 200))?,
        }
        write!(f, ": {}", self.message)?;
        match &self.hint {
            Some(hint) => write!(f, " (hint: {hint})"),
            None => Ok(()),
        }
    }
}

/// Quotes a value of a document, cut to 60 characters and escaped.
pub(super) fn quote(text: &str) -> String {
    format!("{:?}", cut(text, 60))
}

/// Cuts a text to `max_chars` characters and marks the cut with `…`.
pub fn cut(text: &str, max_chars: usize) -> String {
    match text.char_indices().nth(max_chars) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Parses one report: redacts it, then checks its schema and its values.
///
/// # Errors
/// All problems, in the order of the document.
pub fn parse_report(bytes: &[u8], redactor: &Redactor, now: Timestamp) -> Result<(Report, Redactions), Vec<Problem>> {
    let document::ParsedDocument { mut value, duplicates } = read(bytes).map_err(|problem| vec![problem])?;
    let redactions = redactor.value(&mut value);
    let mut problems: Vec<_> = duplicates.iter().map(|segments| duplicate(segments, redactor)).collect();
    if !value.is_object() {
        let message = format!("must be a JSON object, but is {}", schema::what_is(&value));
        return Err(vec![Problem::whole(message, "send one report, as an object, at a time")]);
    }
    let report = serde_path_to_error::deserialize::<_, Report>(&value);
    if !schema::is_valid(&value) {
        problems.extend(schema::problems(&value));
    } else if let Err(error) = &report {
        problems.push(from_serde(error));
    }
    problems.extend(meaning::problems(&value, now));
    match report {
        Ok(report) if problems.is_empty() => Ok((report, redactions)),
        _ => Err(in_order(problems, &value)),
    }
}

fn read(bytes: &[u8]) -> Result<document::ParsedDocument, Problem> {
    if bytes.len() > MAX_REPORT_BYTES {
        let message = format!("is larger than {} MiB ({MAX_REPORT_BYTES} bytes)", MAX_REPORT_BYTES >> 20);
        return Err(Problem::whole(message, "shorten excerpts, or send several reports"));
    }
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let before = String::from_utf8_lossy(&bytes[..error.valid_up_to()]);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        Problem::whole(format!("is not UTF-8 at line {line} column {column}"), "save it as UTF-8")
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    document::parse(text).map_err(|error| {
        let hint = match error.classify() {
            _ if text.trim().is_empty() => "the document is empty: send a report",
            serde_json::error::Category::Eof => "the document ends too early: check whether it was cut off",
            _ if error.to_string().starts_with("recursion limit") => "nest less than 128 levels",
            _ if error.to_string().starts_with("trailing characters") => "send one document at a time",
            _ => "check quotes, commas and brackets just before that place",
        };
        Problem::whole(format!("is not JSON: {error}"), hint)
    })
}

fn duplicate(segments: &[String], redactor: &Redactor) -> Problem {
    let pointer = segments.iter().fold(String::new(), |pointer, name| document::child(&pointer, redactor.text(name)));
    let hint = Some("keep one of them".into());
    Problem { pointer, message: "occurs more than once in its object".into(), hint }
}

/// Converts an error of serde that the schema does not cover.
fn from_serde(error: &serde_path_to_error::Error<serde_json::Error>) -> Problem {
    use serde_path_to_error::Segment;
    let pointer = error.path().iter().fold(String::new(), |pointer, segment| match segment {
        Segment::Seq { index } => document::child(&pointer, index),
        Segment::Map { key } => document::child(&pointer, key),
        Segment::Enum { .. } | Segment::Unknown => pointer,
    });
    let message = cut(&error.inner().to_string().escape_debug().to_string(), 200);
    Problem { pointer, message, hint: None }
}

/// Sorts the problems by their place, removes duplicates and limits their number.
fn in_order(mut problems: Vec<Problem>, value: &Value) -> Vec<Problem> {
    let total = problems.len();
    problems.truncate(MAX_PROBLEMS);
    problems.sort_by_cached_key(|problem| document::position(value, &problem.pointer));
    let mut unique: Vec<Problem> = Vec::with_capacity(problems.len());
    for problem in problems {
        // one problem is enough for a place that is missing or empty
        let covers = |earlier: &Problem| {
            let same_start = |word: &str| earlier.message.starts_with(word) && problem.message.starts_with(word);
            earlier.pointer == problem.pointer
                && (*earlier == problem || same_start("is missing") || same_start("is empty"))
        };
        if !unique.iter().any(covers) {
            unique.push(problem);
        }
    }
    if total > MAX_PROBLEMS {
        unique.push(Problem::whole("has more problems than these", "correct these first"));
    }
    unique
}

#[cfg(test)]
mod tests;
