//! How two versions of one week's figures differ, in sentences. Pure.

use super::Figures;

/// What is different, one sentence each. Empty only if nothing is.
pub fn differences(_before: &Figures, _after: &Figures) -> Vec<String> {
    todo!("written in this issue")
}
