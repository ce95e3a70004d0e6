//! The digest's opening: what changed and what needs a decision, in sentences made from the figures. Pure.

use super::{Decision, Figures, WeekSpan};

/// What changed, the most important first; never empty.
pub fn changed(_week: &WeekSpan, _figures: &Figures) -> Vec<String> {
    todo!("written in this issue")
}

/// What needs a decision, the most urgent first.
pub fn decisions(_week: &WeekSpan, _figures: &Figures) -> Vec<Decision> {
    todo!("written in this issue")
}
