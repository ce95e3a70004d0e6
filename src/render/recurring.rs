//! The RECURRING ISSUE ALERT, and lists of episodes and causes.

use std::{collections::BTreeMap, fmt::Write};

use serde::{Deserialize, Serialize};

use super::{
    listing::{fixed, flexible, minute, table},
    plain::{NA, duration, line, na},
};
use crate::{
    domain::{
        prevention::state::PreventionState,
        recurrence::{
            CauseCount, RecurrenceRule,
            event::EpisodeEvent,
            issue::{Impact, Issue, NamedMember},
            pattern::Pattern,
        },
        time::Timestamp,
    },
    tables::rows::RecurrenceEvent,
};

/// The alert in the layout of the specification.
pub fn alert(issue: &Issue) -> String {
    let mut text = format!(
        "RECURRING ISSUE ALERT\n=====================\nRoot Cause: {}\nOccurrences: {}\nPattern: {}\nConfidence: {}\n",
        line(&issue.root_cause),
        occurrences(issue),
        issue.pattern.as_ref().map_or_else(|| NA.to_owned(), pattern),
        match issue.confidence {
            Some(confidence) => format!("{confidence} (the lowest of the findings)"),
            None => NA.to_owned(),
        },
    );
    if !issue.recurred_after.is_empty() {
        text.push('\n');
    }
    for again in &issue.recurred_after {
        let _ = writeln!(
            text,
            "RECURRED AFTER THE FIX: {} was adopted at {}; {} since then, the first {} at {}",
            line(&again.action),
            again.adopted_at,
            many(again.occurrences, "incident"),
            again.first_incident_id,
            again.first_at
        );
    }
    actions(&mut text, issue);
    let template = &issue.policy_template;
    let _ = writeln!(
        text,
        "\nPolicy Template ({}, {}):\n{}",
        template.surface.as_str(),
        line(&template.part),
        safe_lines(&format!("{:#}", template.definition))
    );
    if let Some(impact) = &issue.impact {
        let _ = writeln!(text, "\nCost Impact: {}", cost(impact));
    }
    text
}

fn actions(text: &mut String, issue: &Issue) {
    text.push_str("\nPreventive Action Recommended:\n");
    if issue.actions.is_empty() {
        text.push_str("- n/a: the catalogue has no action for this cause\n");
    }
    for action in &issue.actions {
        let state = match action.state {
            PreventionState::Proposed => String::new(),
            known => format!(", {known}"),
        };
        let _ =
            writeln!(text, "- {} ({}: {}{state})", line(&action.title), action.surface.as_str(), line(&action.name));
        for snippet in safe_lines(&action.snippet).lines() {
            let _ = writeln!(text, "    {snippet}");
        }
    }
}

/// Text of several lines, each made safe.
fn safe_lines(text: &str) -> String {
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

/// `3 incidents in 7 days (daily-etl, hourly-sync, nightly-backup)`; with its duration if the episode exceeds one window.
fn occurrences(issue: &Issue) -> String {
    let window = hours(issue.window_hours);
    let rule = RecurrenceRule { threshold: issue.threshold, window_hours: issue.window_hours };
    let mut text = many(issue.occurrences, "incident");
    if rule.spans(issue.first_at, issue.last_at) {
        let _ = write!(text, " in {window}");
    } else {
        let length = duration(Some(issue.last_at.seconds_since(issue.first_at)));
        let _ = write!(text, " in {length}, at least {} of them within {window}", issue.threshold);
    }
    let _ = write!(text, " ({}", names(&issue.members));
    let unnamed = issue.occurrences.saturating_sub(issue.members.len() as u64);
    if unnamed > 0 {
        let _ = write!(text, ", and {unnamed} before");
    }
    text.push(')');
    if issue.incidents > issue.occurrences {
        let _ = write!(text, "; {} recorded, those about one run counted once", issue.incidents);
    }
    text
}

/// Each name once, in the order of its first occurrence, with its count: `daily-etl ×2, hourly-sync`.
fn names(members: &[NamedMember]) -> String {
    let mut order: Vec<String> = Vec::new();
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for member in members {
        let name = name(member);
        if !counts.contains_key(&name) {
            order.push(name.clone());
        }
        *counts.entry(name).or_default() += 1;
    }
    let one = |name: String| match counts.get(&name) {
        Some(count) if *count > 1 => format!("{name} ×{count}"),
        _ => name,
    };
    order.into_iter().map(one).collect::<Vec<_>>().join(", ")
}

fn name(member: &NamedMember) -> String {
    match (&member.resource_name, &member.resource_kind, &member.resource_id) {
        (Some(name), ..) if !name.trim().is_empty() => line(name).into_owned(),
        (_, Some(kind), Some(id)) => format!("{} {}", line(kind), line(id)),
        _ => member.incident_id.to_string(),
    }
}

fn pattern(pattern: &Pattern) -> String {
    let kind = pattern.kind.as_deref().map_or("resource".into(), line);
    let facts: Vec<String> =
        pattern.facts.iter().map(|fact| format!("{}={}", line(&fact.key), line(&fact.value))).collect();
    let mut text = match &pattern.only {
        Some(only) if facts.is_empty() => return format!("All are about one {kind}, {}", line(only)),
        Some(only) => format!("All are about one {kind}, {}, which has {}", line(only), facts.join(", ")),
        None => format!("All {} affected {kind}s have {}", pattern.affected, facts.join(", ")),
    };
    let _ = match (pattern.others, pattern.others_sharing) {
        (0, _) => write!(text, " (nothing to compare with)"),
        (others, 1) => write!(text, "; so has 1 of {}", many_others(others)),
        (others, sharing) => write!(text, "; so have {sharing} of {}", many_others(others)),
    };
    text
}

fn many_others(others: u64) -> String {
    if others == 1 { "1 other".into() } else { format!("{others} others") }
}

/// The measured times to resolve, each with n. Nothing is estimated.
fn cost(impact: &Impact) -> String {
    let others = match (impact.others_resolved, impact.others_median_s) {
        (0, _) | (_, None) => format!("{NA} (n=0)"),
        (n, median) => format!("{} (n={n})", duration(median)),
    };
    format!(
        "median time to resolve (first resolved − reported) {} (n={}); all other incidents {others}",
        duration(impact.median_s),
        impact.resolved
    )
}

fn hours(hours: i32) -> String {
    match hours {
        1 => "1 hour".into(),
        24 => "1 day".into(),
        days if days % 24 == 0 => format!("{} days", days / 24),
        hours => format!("{hours} hours"),
    }
}

/// `1 alert`, `2 alerts`
pub(super) fn many(count: u64, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

/// One line of a list of episodes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EpisodeLine {
    pub episode_id: String,
    /// The latest.
    pub event: EpisodeEvent,
    pub occurrences: u64,
    pub first_at: Timestamp,
    pub last_at: Timestamp,
    pub confidence: Option<crate::domain::incident::classification::Confidence>,
    pub root_cause: String,
}

impl EpisodeLine {
    /// If the stored alert cannot be read, the line has the columns of the row only.
    pub fn of(row: &RecurrenceEvent) -> Self {
        let issue: Option<Issue> = serde_json::from_str(&row.detail).ok();
        Self {
            episode_id: row.episode_id.to_string(),
            event: row.event,
            occurrences: u64::try_from(row.incidents).unwrap_or(0),
            first_at: row.first_at,
            last_at: row.last_at,
            confidence: issue.as_ref().and_then(|issue| issue.confidence),
            root_cause: issue.map_or_else(|| row.cause_fingerprint.clone(), |issue| issue.root_cause),
        }
    }
}

/// The alert as it was recorded, and the state of its episode.
pub fn event(row: &RecurrenceEvent) -> String {
    let shown = match serde_json::from_str::<Issue>(&row.detail) {
        Ok(issue) => alert(&issue),
        Err(error) => {
            format!("RECURRING ISSUE ALERT\n=====================\nunreadable: {}\n", line(&error.to_string()))
        }
    };
    format!(
        "{shown}\nEpisode: {} ({}: {})\nCause: {}\nFirst: {}\nLast: {}\n",
        line(row.episode_id.as_str()),
        row.event,
        line(&row.reason),
        line(&row.cause_fingerprint),
        row.first_at,
        row.last_at,
    )
}

/// Episodes in the order given.
pub fn episodes(lines: &[EpisodeLine], width: usize) -> String {
    if lines.is_empty() {
        return "There are no recurring issues to list.\n".into();
    }
    let rows = lines.iter().map(|episode| {
        [
            line(&episode.episode_id).into_owned(),
            if episode.event == EpisodeEvent::Closed { "closed" } else { "open" }.to_owned(),
            episode.occurrences.to_string(),
            minute(episode.first_at),
            minute(episode.last_at),
            na(episode.confidence),
            line(&episode.root_cause).into_owned(),
        ]
    });
    let columns = [
        fixed("EPISODE"),
        fixed("STATUS"),
        fixed("INCIDENTS"),
        fixed("FIRST (UTC)"),
        fixed("LAST (UTC)"),
        fixed("CONFIDENCE"),
        flexible("ROOT CAUSE", 12),
    ];
    table(columns, rows, width)
}

/// Causes in the order given. PEAK is the largest number of incidents within any window, compared with the threshold.
pub fn causes(counts: &[CauseCount], rule: RecurrenceRule, width: usize) -> String {
    if counts.is_empty() {
        return "There are no known causes to list.\n".into();
    }
    let rows = counts.iter().map(|count| {
        [
            line(&count.cause).into_owned(),
            count.occurrences.to_string(),
            format!("{} of {}", count.fullest_window, rule.threshold),
            format!("{} of {}", count.latest_window, rule.threshold),
            minute(count.last_at),
            line(&count.root_cause).into_owned(),
        ]
    });
    let columns = [
        flexible("CAUSE", 12),
        fixed("INCIDENTS"),
        fixed("PEAK"),
        fixed("LATEST"),
        fixed("LAST (UTC)"),
        flexible("ROOT CAUSE", 12),
    ];
    let window = hours(rule.window_hours);
    format!(
        "{}PEAK: the most incidents within any {window}. LATEST: incidents within the {window} up to the last one.\n",
        table(columns, rows, width)
    )
}

#[cfg(test)]
mod tests;
