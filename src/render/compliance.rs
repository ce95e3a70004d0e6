//! The result of one compliance check of the jobs of a workspace.

use std::{collections::BTreeSet, fmt::Write};

use super::{
    listing::{fixed, flexible, number, table},
    plain::{line, na},
};
use crate::domain::compliance::{
    result::{ComplianceResult, JobChange},
    rule::{GapEvent, JobRule},
};

/// Lines about single jobs, per list. The rest is counted.
const MAX_LISTED: usize = 50;

/// Results by rule, changes, exempt jobs and unread jobs, for a terminal of `width` columns.
pub fn text(look: &ComplianceResult, width: usize) -> String {
    let mut text = format!(
        "{} in workspace {}: {} failing, {} exempt, {} not read\n\n",
        jobs(look.jobs + look.exempt.iter().filter(|exempt| exempt.rules.is_empty()).count() + look.unread.len()),
        line(look.workspace_id.as_str()),
        look.failing,
        look.exempt.iter().map(|exempt| exempt.job_id).collect::<BTreeSet<_>>().len(),
        look.unread.len()
    );
    let rows = look.rules.iter().filter(|rule| rule.enabled).map(|rule| {
        [
            rule.rule.to_string(),
            rule.category.to_owned(),
            rule.severity.to_string(),
            rule.fail.to_string(),
            rule.partial.to_string(),
            rule.pass.to_string(),
        ]
    });
    let columns =
        [fixed("RULE"), fixed("CATEGORY"), fixed("SEVERITY"), number("FAIL"), number("PARTIAL"), number("PASS")];
    text.push_str(&table(columns, rows, width));
    changes(&mut text, look, width);
    for exempt in look.exempt.iter().take(MAX_LISTED) {
        let of = if exempt.rules.is_empty() { String::new() } else { format!(" from {}", names(&exempt.rules)) };
        let _ = write!(text, "\nexempt{of}: job {} {}: ", exempt.job_id, na(exempt.name.as_deref().map(line)));
        text.push_str(&line(&exempt.reason));
    }
    more(&mut text, "exempt", look.exempt.len());
    for unread in look.unread.iter().take(MAX_LISTED) {
        let _ = write!(text, "\nnot read: job {}: {}", unread.job_id, line(&unread.reason));
        if let Some(incident) = unread.incident_id {
            let _ = write!(text, "; {incident} stays open; close it by hand if the job was deleted");
        }
    }
    more(&mut text, "not read", look.unread.len());
    if !text.ends_with('\n') {
        text.push('\n');
    }
    text
}

fn changes(text: &mut String, look: &ComplianceResult, width: usize) {
    // Results of jobs without an open incident are counted only.
    let listed: Vec<&JobChange> = look.changes.iter().filter(|change| change.event != GapEvent::Checked).collect();
    let checked = look.changes.len() - listed.len();
    text.push('\n');
    if look.changes.is_empty() {
        text.push_str("no changes since the last check\n");
        return;
    }
    if look.dry_run {
        text.push_str("dry run, nothing was recorded; a run without --dry-run would record:\n");
    }
    if checked > 0 {
        let _ = writeln!(text, "check results of {} without an open incident", jobs(checked));
    }
    if listed.is_empty() {
        return;
    }
    let rows = listed.iter().take(MAX_LISTED).map(|change| {
        [
            change.event.to_string(),
            na(change.incident_id),
            change.job_id.to_string(),
            na(change.name.as_deref().map(line)),
            if change.failing.is_empty() { "nothing".to_owned() } else { names(&change.failing) },
        ]
    });
    let columns = [fixed("INCIDENT IS"), fixed("INCIDENT"), fixed("JOB"), flexible("NAME", 12), flexible("FAILS", 20)];
    text.push_str(&table(columns, rows, width));
    more(text, "changed", listed.len());
}

fn more(text: &mut String, what: &str, count: usize) {
    if count > MAX_LISTED {
        let _ = write!(text, "\n{what}: {} more", count - MAX_LISTED);
    }
}

fn names(rules: &[JobRule]) -> String {
    rules.iter().map(|rule| rule.as_str()).collect::<Vec<_>>().join(", ")
}

fn jobs(count: usize) -> String {
    if count == 1 { "1 job".into() } else { format!("{count} jobs") }
}
