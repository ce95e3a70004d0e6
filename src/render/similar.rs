//! Incidents of the same kind, and what fixed them.

use std::fmt::Write;

use super::{
    listing::{fixed, flexible, number, table},
    plain::{line, na},
};
use crate::domain::similar::Similar;

/// For a terminal of so many columns.
pub fn text(similar: &Similar, width: usize) -> String {
    let mut text =
        format!("Like: {}\nCause: {}\n\n", line(&similar.root_cause), na(similar.cause.as_deref().map(line)));
    if similar.incidents.is_empty() {
        text.push_str("No other incident has this cause or a near one.\n");
        return text;
    }
    let rows = similar.incidents.iter().map(|it| {
        [
            it.case.incident_id.to_string(),
            it.case.reported_at.to_string(),
            it.case.status.to_string(),
            if it.is_same { "same".to_owned() } else { format!("{:.2}", it.likeness) },
            line(&it.case.root_cause).into_owned(),
            na(it.case.resource_name.as_deref().map(line)),
        ]
    });
    let columns = [
        fixed("INCIDENT"),
        fixed("REPORTED (UTC)"),
        fixed("STATUS"),
        number("LIKENESS"),
        flexible("ROOT CAUSE", 16),
        flexible("RESOURCE", 10),
    ];
    text.push_str(&table(columns, rows, width));
    let more = similar.found.saturating_sub(similar.incidents.len() as u64);
    if more > 0 {
        let _ = writeln!(text, "and {more} more; --limit shows them");
    }
    text.push_str(
        "LIKENESS: `same` counts as one cause; else twice the words that both causes share, over all words of each.\n\n",
    );
    if similar.fixes.is_empty() {
        text.push_str("No fix was recorded as done in any of them.\n");
        return text;
    }
    text.push_str("What was done, and how often it held:\n\n");
    for fix in &similar.fixes {
        let _ = writeln!(text, "- {} ({})", line(&fix.title), fix.kind);
        if let Some(what) = &fix.what {
            let _ = writeln!(text, "  {}", line(what));
        }
        let ids: Vec<String> = fix.incidents.iter().take(5).map(ToString::to_string).collect();
        let more = if fix.incidents.len() > ids.len() { ", …" } else { "" };
        let _ = writeln!(
            text,
            "  done in {}: held {}, came back {}, failed {}, undecided {}  ({}{more})",
            fix.applied,
            fix.held,
            fix.came_back,
            fix.failed,
            fix.undecided,
            ids.join(", ")
        );
    }
    let _ = writeln!(
        text,
        "\nHeld: the incident was resolved, and its cause stayed away from its resource for {} hours. Undecided: it is open, \
         was resolved less than so long ago, or names no resource.",
        similar.window_hours
    );
    text
}
