//! Incidents of the same kind, and what fixed them.

use std::fmt::Write;

use super::{
    listing::{fixed, flexible, number, table},
    plain::{line, na},
};
use crate::domain::similar::SimilarIncidents;

/// Similar incidents and their fixes, for a terminal of `width` columns.
pub fn text(similar: &SimilarIncidents, width: usize) -> String {
    let mut text = format!(
        "SimilarIncident: {}\nCause: {}\n\n",
        line(&similar.root_cause),
        na(similar.cause.as_deref().map(line))
    );
    if similar.incidents.is_empty() {
        text.push_str("No other incident has this cause or a similar one.\n");
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
        number("SIMILARITY"),
        flexible("ROOT CAUSE", 16),
        flexible("RESOURCE", 10),
    ];
    text.push_str(&table(columns, rows, width));
    let more = similar.found.saturating_sub(similar.incidents.len() as u64);
    if more > 0 {
        let _ = writeln!(text, "and {more} more; --limit N shows them");
    }
    text.push_str(
        "SIMILARITY: `same` is the same cause; else the shared words, twice, divided by all words of both causes.\n\n",
    );
    if similar.fixes.is_empty() {
        text.push_str("No applied fix was recorded for any of them.\n");
        return text;
    }
    text.push_str("Applied fixes and their results:\n\n");
    for fix in &similar.fixes {
        let _ = writeln!(text, "- {} ({})", line(&fix.title), fix.kind);
        if let Some(what) = &fix.what {
            let _ = writeln!(text, "  {}", line(what));
        }
        let ids: Vec<String> = fix.incidents.iter().take(5).map(ToString::to_string).collect();
        let more = if fix.incidents.len() > ids.len() { ", …" } else { "" };
        let _ = writeln!(
            text,
            "  applied in {}: held {}, recurred {}, failed {}, undecided {}  ({}{more})",
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
        "\nHeld: the incident was resolved, and its cause did not recur on its resource for {} hours. Undecided: the incident is \
         open, was resolved more recently than that, or names no resource.",
        similar.window_hours
    );
    text
}
