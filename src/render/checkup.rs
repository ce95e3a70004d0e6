//! A lake's examination as text.

use super::plain::line;
use crate::domain::checkup::{Finding, State};

/// One line per finding, what to do below it, and the sum at the end.
pub fn text(place: &str, findings: &[Finding]) -> String {
    let width = findings.iter().map(|finding| finding.check.title().len()).max().unwrap_or(0);
    let mut text = format!("{}\n\n", line(place));
    for finding in findings {
        let (state, title) = (finding.state.as_str(), finding.check.title());
        text.push_str(&format!("{state:<11}  {title:<width$}  {}\n", line(&finding.seen)));
        if let Some(advice) = &finding.advice {
            text.push_str(&format!("{:<11}  {:<width$}  → {}\n", "", "", line(advice)));
        }
    }
    let count = |state: State| findings.iter().filter(|finding| finding.state == state).count();
    let (failed, warnings) = (count(State::Failed), count(State::Warning));
    text.push_str(&match (failed, warnings) {
        (0, 0) => "\nNothing is wrong with this place.\n".to_owned(),
        (0, _) => format!("\nThis place can be used; {warnings} to look at.\n"),
        _ => format!("\nDo not record anything here: {failed} failed.\n"),
    });
    text
}
