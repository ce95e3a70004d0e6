//! The post-mortem: one incident as a Markdown document, made from its rows only.
//!
//! A lesson that begins with `went well:` or `went badly:` (in any case, also `what went well:` and `what went badly:`) goes
//! below that heading, any other below "What we learned". Sections without data say `n/a` and the reason.

use std::fmt::Write;

use serde::Deserialize;
use serde_json::Value;

use super::{
    markdown::{code, fenced, inline},
    plain::{NA, na},
    timeline::{IncidentRecord, durations, effective, lessons, newest_causes, not_shown, reopened},
};
use crate::{
    domain::{check::CheckStatus, remediation::RemediationResult},
    tables::rows::{IncidentState, PracticeCheck, RootCause, RunbookStep, TimelineEvent},
};

/// The document. `runbook` is the incident's RUNBOOK ENTRY as text, if there is one.
pub fn markdown(record: &IncidentRecord, runbook: Option<&str>) -> String {
    let state = record.states.iter().max_by_key(|state| state.seq);
    let lessons = Lessons::of(state);
    let mut text = String::new();
    head(&mut text, state);
    summary(&mut text, record, state);
    impact(&mut text, record, state);
    factors(&mut text, record);
    timeline(&mut text, record.events);
    lessons.write(&mut text);
    action_items(&mut text, record, &lessons);
    text.push_str("\n## Runbook\n\n");
    match runbook {
        Some(runbook) => text.push_str(&fenced(runbook, "")),
        None => text.push_str("n/a: no runbook was generated for this incident\n"),
    }
    proof(&mut text, record);
    text
}

fn head(text: &mut String, state: Option<&IncidentState>) {
    let title = na(state.map(|state| inline(&state.title)));
    let _ =
        writeln!(text, "# Post-mortem {}: {title}\n\n| | |\n| --- | --- |", na(state.map(|state| state.incident_id)));
    let resource = state.and_then(|state| {
        let (kind, id) = (state.resource_kind.as_ref()?, state.resource_id.as_ref()?);
        let name = state.resource_name.as_ref().map_or_else(String::new, |name| format!(": {name}"));
        Some(inline(&format!("{kind} {id}{name}")))
    });
    let rows = [
        ("Type", na(state.map(|state| state.incident_type))),
        ("Status", na(state.map(|state| state.status))),
        ("Confidence in the cause", na(state.and_then(|state| state.confidence))),
        ("Reported", na(state.map(|state| state.reported_at))),
        ("Reporter", na(state.map(|state| inline(state.reporter.as_str())))),
        ("Resolved", na(state.and_then(|state| state.resolved_at))),
        ("Resource", na(resource)),
        ("Workspace", na(state.map(|state| inline(state.workspace_id.as_str())))),
    ];
    for (name, value) in rows {
        let _ = writeln!(text, "| {name} | {value} |");
    }
}

fn summary(text: &mut String, record: &IncidentRecord, state: Option<&IncidentState>) {
    text.push_str("\n## Summary\n\n");
    let cause = newest_causes(record.causes).first().copied();
    let summary = cause.and_then(|cause| recorded_summary(record, cause));
    let summary = summary.or_else(|| Some(cause?.root_cause.clone())).or_else(|| Some(state?.title.clone()));
    let _ = writeln!(text, "{}", na(summary.as_deref().map(inline)));
}

/// The summary of the analysis. Only the ledger entry has it.
fn recorded_summary(record: &IncidentRecord, cause: &RootCause) -> Option<String> {
    let row = record.audit.iter().find(|row| row.seq == cause.seq)?;
    let entry: Value = serde_json::from_str(&row.entry).ok()?;
    let body = &entry["request"]["body"];
    [&body["rca"]["summary"], &body["summary"]].into_iter().find_map(Value::as_str).map(str::to_owned)
}

fn impact(text: &mut String, record: &IncidentRecord, state: Option<&IncidentState>) {
    text.push_str("\n## Impact\n\n");
    let mut affected: Vec<&str> = record.audit.iter().filter_map(|row| row.resources.as_deref()).collect();
    affected.dedup();
    let _ = writeln!(text, "- Began: {}", na(state.and_then(|state| state.impact_started_at)));
    let _ = writeln!(text, "- Affected: {}", na(affected.first().map(|resources| inline(resources))));
    let compliance = state.and_then(|state| state.compliance_impact.as_deref());
    let _ = writeln!(text, "- Compliance: {}", na(compliance.map(inline)));
    if let Some(times) = state.and_then(reopened) {
        let _ = writeln!(text, "- {times}");
    }
    if let Some(state) = state {
        text.push_str("\n| Duration | Definition | Measured |\n| --- | --- | --- |\n");
        for measure in durations(state) {
            let _ = writeln!(text, "| {} | {} | {} |", measure.what, measure.definition, measure.value);
        }
    }
}

/// The findings of the root cause, and the failed checks.
fn factors(text: &mut String, record: &IncidentRecord) {
    text.push_str("\n## Contributing factors\n\n");
    let mut known = false;
    for (index, cause) in newest_causes(record.causes).into_iter().enumerate() {
        known = true;
        let earlier = if index > 0 { "Earlier finding: " } else { "" };
        let _ = write!(text, "- {earlier}{}\n  - Confidence: {}", inline(&cause.root_cause), cause.confidence);
        if let Some(why) = &cause.confidence_forced_because {
            let _ = write!(text, " ({})", inline(why));
        }
        text.push('\n');
        let details = [
            ("Error class", &cause.error_class),
            ("Error", &cause.error_message),
            ("Termination code", &cause.termination_code),
            ("Evidence", &cause.evidence),
            ("Missing evidence", &cause.missing_evidence),
        ];
        for (name, value) in details {
            if let Some(value) = value {
                let _ = writeln!(text, "  - {name}: {}", inline(value));
            }
        }
    }
    for check in failed(record.checks) {
        known = true;
        let severity = check.severity.map_or_else(String::new, |severity| format!(" ({severity})"));
        let finding = na(check.finding.as_deref().map(inline));
        let _ = writeln!(text, "- Failed check{severity}: {}: {finding}", check_name(check));
    }
    if !known {
        text.push_str("n/a: no cause was found and no check failed\n");
    }
}

fn failed(checks: &[PracticeCheck]) -> Vec<&PracticeCheck> {
    let mut failed: Vec<&PracticeCheck> = checks.iter().filter(|check| check.status == CheckStatus::Fail).collect();
    failed.sort_by_key(|check| (check.seq, check.ordinal));
    failed
}

fn check_name(check: &PracticeCheck) -> String {
    inline(&format!("{} / {}", check.category, check.name))
}

/// A reference to evidence, as stored in a timeline event.
#[derive(Deserialize)]
struct Evidence {
    kind: String,
    #[serde(rename = "ref")]
    reference: String,
    excerpt: Option<String>,
}

fn timeline(text: &mut String, all: &[TimelineEvent]) {
    text.push_str("\n## Timeline\n");
    let events = effective(all);
    if events.is_empty() {
        text.push_str("\nn/a: no event was recorded\n");
    }
    let mut today = None;
    for event in events {
        let moment = event.occurred_at.utc();
        let day = moment.date_naive();
        if today != Some(day) {
            let _ = writeln!(text, "\n### {day} (UTC)\n");
            today = Some(day);
        }
        let _ = write!(text, "- {} **{}** {}", moment.format("%H:%M:%S"), event.kind, inline(&event.message));
        let tool = event.tool.as_deref().map_or_else(String::new, |tool| format!(", with {}", inline(tool)));
        let corrected = if event.supersedes.is_some() { " (corrected)" } else { "" };
        let _ = writeln!(text, " — {}{tool}{corrected}", inline(event.actor.as_str()));
        evidence(text, event);
    }
    if let Some(line) = not_shown(all) {
        let _ = writeln!(text, "\n{line}");
    }
}

fn evidence(text: &mut String, event: &TimelineEvent) {
    let Some(json) = event.evidence.as_deref() else { return };
    let Ok(pieces) = serde_json::from_str::<Vec<Evidence>>(json) else {
        text.push_str(&fenced(json, "  "));
        return;
    };
    for piece in pieces {
        let _ = writeln!(text, "  - Evidence: {} {}", inline(&piece.kind), code(&piece.reference));
        if let Some(excerpt) = piece.excerpt {
            let _ = write!(text, "\n{}\n", fenced(&excerpt, "    "));
        }
    }
}

/// Lessons by their prefix.
#[derive(Debug, Default, PartialEq)]
struct Lessons {
    well: Vec<String>,
    badly: Vec<String>,
    learned: Vec<String>,
}

impl Lessons {
    fn of(state: Option<&IncidentState>) -> Self {
        let mut sorted = Self::default();
        for lesson in lessons(state) {
            match marked(&lesson) {
                Some((true, rest)) => sorted.well.push(rest.to_owned()),
                Some((false, rest)) => sorted.badly.push(rest.to_owned()),
                None => sorted.learned.push(lesson),
            }
        }
        sorted
    }

    fn write(&self, text: &mut String) {
        let sections = [
            ("What went well", &self.well, "n/a: no lesson begins with `went well:`"),
            ("What went badly", &self.badly, "n/a: no lesson begins with `went badly:`"),
            ("What we learned", &self.learned, "n/a: no other lesson was recorded"),
        ];
        for (heading, lessons, none) in sections {
            let _ = writeln!(text, "\n## {heading}\n");
            if lessons.is_empty() {
                let _ = writeln!(text, "{none}");
            }
            for lesson in lessons {
                let _ = writeln!(text, "- {}", inline(lesson));
            }
        }
    }
}

/// Whether it went well, and the lesson without its prefix.
fn marked(lesson: &str) -> Option<(bool, &str)> {
    let (mark, rest) = lesson.split_once(':')?;
    match mark.trim().to_lowercase().as_str() {
        "went well" | "what went well" => Some((true, rest.trim())),
        "went badly" | "what went badly" => Some((false, rest.trim())),
        _ => None,
    }
}

/// Open and completed steps, failed checks without a step, and lessons.
fn action_items(text: &mut String, record: &IncidentRecord, lessons: &Lessons) {
    text.push_str("\n## Action items\n\n");
    let mut steps: Vec<&RunbookStep> = record.steps.iter().collect();
    steps.sort_by_key(|step| (step.seq, step.ordinal));
    let mut items = Vec::new();
    for step in &steps {
        let done = step.applied && step.result != Some(RemediationResult::Failed);
        let how = match (step.applied, step.result) {
            (true, result) => format!("applied, result {}", na(result)),
            (false, Some(result)) => format!("not applied, result {result}"),
            (false, None) => "not applied".into(),
        };
        items.push((done, format!("{} ({}): {how}", inline(&step.title), step.kind)));
    }
    for check in failed(record.checks).into_iter().filter(|check| !steps.iter().any(|step| is_for(step, check))) {
        items.push((false, format!("Failed check without a step: {}", check_name(check))));
    }
    for lesson in lessons.badly.iter().chain(&lessons.learned) {
        items.push((false, format!("Lesson: {}", inline(lesson))));
    }
    if items.is_empty() {
        let _ = writeln!(text, "{NA}: no step, failed check or lesson was recorded");
    }
    for (done, item) in items {
        let _ = writeln!(text, "- [{}] {item}", if done { 'x' } else { ' ' });
    }
}

/// Whether the step's title has every word of the check's name. A report does not link steps and checks; in doubt the check
/// remains an action item.
fn is_for(step: &RunbookStep, check: &PracticeCheck) -> bool {
    let title = words(&step.title);
    let name = words(check.name.as_str());
    !name.is_empty() && name.iter().all(|word| title.contains(word))
}

/// The words in lower case and singular.
fn words(text: &str) -> Vec<String> {
    let words = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_lowercase);
    words
        .map(|word| match word.strip_suffix("ies") {
            Some(stem) => format!("{stem}y"),
            None => word.strip_suffix('s').map_or(word.clone(), str::to_owned),
        })
        .collect()
}

fn proof(text: &mut String, record: &IncidentRecord) {
    text.push_str("\n## Proof\n\n");
    let mut rows: Vec<_> = record.audit.iter().collect();
    rows.sort_by_key(|row| row.seq);
    if rows.is_empty() {
        text.push_str("n/a: there is no row of the audit log\n");
        return;
    }
    text.push_str(
        "Rows of `audit_log`; `entry_hash` is the lower-case hex SHA-256 of `prev_hash` followed by `entry`.\n\n",
    );
    text.push_str("| seq | Recorded | Request | entry\\_hash |\n| --- | --- | --- | --- |\n");
    for row in rows {
        let request = inline(row.request_id.as_str());
        let _ = writeln!(text, "| {} | {} | {request} | {} |", row.seq, row.recorded_at, inline(&row.entry_hash));
    }
    text.push_str("\n`ops-runbook audit verify` proves that the log has these rows and was not changed.\n");
}

#[cfg(test)]
mod tests;
