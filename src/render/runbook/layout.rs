//! The runbook as text and as Markdown.
//!
//! Text outside a block is a heading, a comment, or quoted for a shell: pasting a whole runbook runs only its blocks.

use std::fmt::Write;

use super::{EntryPart, Runbook, RunbookEntry, quote::shown};
use crate::render::plain::na;

/// The text of an empty runbook.
pub const EMPTY: &str = "no remediation step was recorded for this incident, so there is no runbook; \
    record one with `ops-runbook incident remediate`, or in a report";

/// The format of the entries.
#[derive(Clone, Copy)]
enum RunbookStyle {
    Text,
    Markdown,
}

/// The runbook in the layout of SPEC.md.
pub fn text(runbook: &Runbook) -> String {
    entries(runbook, RunbookStyle::Text)
}

/// The runbook as Markdown, with fenced blocks.
pub fn markdown(runbook: &Runbook) -> String {
    entries(runbook, RunbookStyle::Markdown)
}

fn entries(runbook: &Runbook, style: RunbookStyle) -> String {
    if runbook.entries.is_empty() {
        return format!("{}: {EMPTY}\n", runbook.incident_id);
    }
    let entries: Vec<String> = runbook.entries.iter().map(|entry| one(runbook, entry, style)).collect();
    entries.join("\n")
}

fn one(runbook: &Runbook, entry: &RunbookEntry, style: RunbookStyle) -> String {
    let mut out = String::new();
    let latest = runbook.versions.last().map(|latest| latest.version);
    let version = match (runbook.version, latest) {
        (Some(version), Some(latest)) if version < latest => format!("{version} of {latest}"),
        (version, _) => na(version),
    };
    let applied = match (entry.applied, entry.result) {
        (true, Some(result)) => format!("yes, {result}"),
        (true, None) => "yes, result n/a".into(),
        (false, _) => "no".into(),
    };
    let heads = [
        ("Title", shown(&entry.title)),
        ("Created", entry.created.to_string()),
        ("Incident ID", runbook.incident_id.to_string()),
        ("Version", version),
        ("Applied", applied),
        ("RCA Summary", na(entry.cause_summary.as_deref().map(shown))),
    ];
    match style {
        RunbookStyle::Text => {
            out.push_str("RUNBOOK ENTRY\n=============\n");
            for (label, value) in heads {
                let _ = writeln!(out, "{label}: {value}");
            }
            for note in &entry.notes {
                let _ = writeln!(out, "# {note}");
            }
            out.push_str("\nRemediation Steps (copy-paste ready):\n");
        }
        RunbookStyle::Markdown => {
            out.push_str("# RUNBOOK ENTRY\n\n");
            for (label, value) in heads {
                let _ = writeln!(out, "- **{label}**: {}", code(&value));
            }
            for note in &entry.notes {
                let _ = writeln!(out, "\n{}", code(note));
            }
            out.push_str("\n## Remediation Steps (copy-paste ready)\n");
        }
    }
    for (number, step) in (1..).zip([&entry.check, &entry.apply, &entry.validate, &entry.test, &entry.monitor]) {
        part(&mut out, &format!("{number}."), step, style);
    }
    match style {
        RunbookStyle::Text => {
            out.push_str("\nRollback (if needed):");
            part(&mut out, "-", &entry.rollback, style);
            let _ = writeln!(out, "\nEscalation: {}", entry.escalation);
        }
        RunbookStyle::Markdown => {
            out.push_str("\n## Rollback (if needed)\n");
            part(&mut out, "", &entry.rollback, style);
            let _ = writeln!(out, "\n## Escalation\n\n{}", code(&entry.escalation));
        }
    }
    out
}

fn part(out: &mut String, number: &str, part: &EntryPart, style: RunbookStyle) {
    match style {
        RunbookStyle::Text => {
            let _ = writeln!(out, "\n{number} {}", part.heading);
            for note in &part.notes {
                let _ = writeln!(out, "   # {note}");
            }
            for line in part.block.iter().flat_map(|block| block.lines()) {
                let _ = writeln!(out, "   {line}");
            }
            for expected in &part.expected {
                let _ = writeln!(out, "   # {expected}");
            }
        }
        RunbookStyle::Markdown => {
            let heading = if number.is_empty() { part.heading.clone() } else { format!("{number} {}", part.heading) };
            let _ = writeln!(out, "\n### {heading}\n\n```bash");
            for note in &part.notes {
                let _ = writeln!(out, "# {note}");
            }
            out.push_str(part.block.as_deref().unwrap_or_default());
            for expected in &part.expected {
                let _ = writeln!(out, "# {expected}");
            }
            out.push_str("```\n");
        }
    }
}

/// A code span, in which Markdown and HTML have no effect. Its fence is longer than any run of back-quotes in the text.
fn code(text: &str) -> String {
    let longest = text.split(|character| character != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest + 1);
    if longest == 0 { format!("{fence}{text}{fence}") } else { format!("{fence} {text} {fence}") }
}
