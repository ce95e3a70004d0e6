//! The digest's opening: what changed and what needs a decision, in sentences made from the figures. Pure.
//!
//! Names from outside stand in quotation marks, cut to a sane length and otherwise as they came: whoever shows a sentence
//! makes it safe for its language.

use super::{Figures, OpenIncident};
use crate::domain::time::spelled;

mod changes;
mod pending;

pub use changes::changed;
pub use pending::decisions;

/// More characters of a name are not told.
const MOST_CHARS: usize = 80;

/// A name in quotation marks.
fn quoted(name: &str) -> String {
    format!("“{}”", cut(name.trim(), MOST_CHARS))
}

/// At most so many characters, with `…` where something is missing.
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

/// What a cause is called: by the words of its latest finding where the figures have them.
fn cause_name(figures: &Figures, cause: &str) -> String {
    quoted(figures.root_cause(cause).unwrap_or(cause))
}

/// The incidents open at the end of the week, the oldest first.
fn oldest(figures: &Figures) -> Vec<&OpenIncident> {
    let mut open: Vec<&OpenIncident> = figures.open.iter().collect();
    open.sort_by(|a, b| a.reported_at.cmp(&b.reported_at).then(a.incident_id.cmp(&b.incident_id)));
    open
}

/// How old an incident was at the end of the week.
fn age(open: &OpenIncident) -> String {
    spelled(open.age_hours * 3600.0).unwrap_or_else(|| "n/a".into())
}

#[cfg(test)]
mod tests;
