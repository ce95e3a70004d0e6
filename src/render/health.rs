//! The health check of storage and lake, as text.

use super::plain::line;
use crate::domain::health::{HealthFinding, HealthState};

/// One line per finding with its advice below, and a summary at the end.
pub fn text(place: &str, findings: &[HealthFinding]) -> String {
    let width = findings.iter().map(|finding| finding.check.title().len()).max().unwrap_or(0);
    let mut text = format!("{}\n\n", line(place));
    for finding in findings {
        let (state, title) = (finding.state.as_str(), finding.check.title());
        text.push_str(&format!("{state:<11}  {title:<width$}  {}\n", line(&finding.seen)));
        if let Some(advice) = &finding.advice {
            text.push_str(&format!("{:<11}  {:<width$}  → {}\n", "", "", line(advice)));
        }
    }
    let count = |state: HealthState| findings.iter().filter(|finding| finding.state == state).count();
    let (failed, warnings) = (count(HealthState::Failed), count(HealthState::Warning));
    text.push_str(&match (failed, warnings) {
        (0, 0) => "\nNo problems found.\n".to_owned(),
        (0, _) => format!("\nThe lake can be used; warnings: {warnings}.\n"),
        _ => format!("\nDo not use this lake: {failed} failed.\n"),
    });
    text
}
