//! The digest's opening sentences: the changes and the points that need a decision, computed from the figures. Pure.
//!
//! Names from outside are put in quotation marks and truncated, but not escaped: the renderer escapes them for its output
//! language.

use super::{AgeingIncident, Figures};
use crate::domain::time::spelled;

mod changes;
mod pending;

pub use changes::changed;
pub use pending::decisions;

/// Maximum number of characters of a name.
const MAX_CHARS: usize = 80;

/// Returns a truncated name in quotation marks.
fn quoted(name: &str) -> String {
    format!("“{}”", cut(name.trim(), MAX_CHARS))
}

/// Truncates a text to `most` characters, with `…` at the end. An empty text becomes `n/a`.
pub(super) fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        None if text.is_empty() => "n/a".into(),
        None => text.into(),
        Some(_) => text.chars().take(most.saturating_sub(1)).chain(['…']).collect(),
    }
}

fn many(count: u64, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

/// Returns the quoted text of a cause, or its fingerprint if the figures do not contain the text.
fn cause_name(figures: &Figures, cause: &str) -> String {
    quoted(figures.root_cause(cause).unwrap_or(cause))
}

/// Returns the incidents open at the end of the week, the oldest first.
fn oldest(figures: &Figures) -> Vec<&AgeingIncident> {
    let mut open: Vec<&AgeingIncident> = figures.open.iter().collect();
    open.sort_by(|a, b| a.reported_at.cmp(&b.reported_at).then(a.incident_id.cmp(&b.incident_id)));
    open
}

/// Returns the age of an incident at the end of the week.
fn age(open: &AgeingIncident) -> String {
    spelled(open.age_hours * 3600.0).unwrap_or_else(|| "n/a".into())
}

#[cfg(test)]
mod tests;
