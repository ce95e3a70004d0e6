//! Points that need a decision, with the commands that show details.

use super::{age, cause_name, cut, many, oldest, quoted};
use crate::domain::{
    check::Severity,
    digest::{
        AgeingIncident, Decision, EscalationOutcome, Figures, RepeatOffender, WeekSpan, dimension::AgeBand, in_percent,
    },
    prevention::state::PreventionState,
    recurrence::event::EpisodeEvent,
};

/// Maximum number of points; further ones are counted.
const MAX_POINTS: usize = 7;
/// Smallest number of incidents of a resource, in the week and the four before, that needs a decision.
const OFTEN: u64 = 3;
/// Maximum number of points of one kind.
const MAX_PER_KIND: usize = 3;

/// Returns the points that need a decision, the most urgent first.
pub fn decisions(week: &WeekSpan, figures: &Figures) -> Vec<Decision> {
    let mut needed: Vec<Decision> = [waiting_alerts(figures), unrouted(figures)].into_iter().flatten().collect();
    needed.extend(without_action(figures));
    needed.extend(recurred(figures));
    let open = oldest(figures);
    needed.extend(
        [old(&open), unacknowledged(&open), offender(figures), clock_skew(week, figures)].into_iter().flatten(),
    );
    if let Some(more) = needed.len().checked_sub(MAX_POINTS).filter(|more| *more > 0) {
        needed.truncate(MAX_POINTS);
        let (points, need) = if more == 1 { ("point", "needs") } else { ("points", "need") };
        needed.push(Decision {
            text: format!("{more} more {points} {need} a decision; see the figures."),
            command: None,
        });
    }
    needed
}

fn decision(text: String, command: &[&str]) -> Decision {
    let words: Option<Vec<_>> = command.iter().map(|word| shlex::try_quote(word).ok()).collect();
    Decision { text, command: words.map(|words| format!("ops-runbook {}", words.join(" "))) }
}

/// Returns a text such as `2 CRITICAL (security-finding), 1 HIGH (recurring)`.
fn kinds(counted: &[(&EscalationOutcome, u64)]) -> String {
    let kinds = counted.iter().map(|(row, count)| format!("{count} {} ({})", row.severity, row.trigger));
    kinds.collect::<Vec<_>>().join(", ")
}

/// Returns the sum of the counts, and the rows with a count above 0, the most severe first.
fn counted(
    figures: &Figures,
    count: impl Fn(&EscalationOutcome) -> u64,
) -> Option<(u64, Vec<(&EscalationOutcome, u64)>)> {
    let mut rows: Vec<_> = figures.escalations.iter().map(|row| (row, count(row))).filter(|(_, n)| *n > 0).collect();
    rows.sort_by_key(|(row, _)| std::cmp::Reverse(row.severity));
    let sum = rows.iter().map(|(_, count)| count).sum();
    (sum > 0).then_some((sum, rows))
}

fn waiting_alerts(figures: &Figures) -> Option<Decision> {
    let (sum, rows) = counted(figures, |row| match row.severity {
        Severity::High | Severity::Critical => row.open.min(row.fired.saturating_sub(row.acknowledged)),
        Severity::Low | Severity::Medium => 0,
    })?;
    let are = if sum == 1 { "is" } else { "are" };
    let text = format!("{} {are} open and not acknowledged: {}.", many(sum, "urgent alert"), kinds(&rows));
    Some(decision(text, &["escalation", "list", "--status", "open"]))
}

fn unrouted(figures: &Figures) -> Option<Decision> {
    let (sum, rows) = counted(figures, |row| row.unrouted)?;
    let text = format!("{} had no route and were not sent: {}.", many(sum, "alert"), kinds(&rows));
    Some(decision(text, &["escalation", "list", "--all"]))
}

fn without_action(figures: &Figures) -> Vec<Decision> {
    let proposed_only: Vec<_> = figures
        .recurring
        .iter()
        .filter(|issue| issue.event != EpisodeEvent::Closed)
        .filter(|issue| issue.actions.iter().all(|action| action.state == PreventionState::Proposed))
        .collect();
    let (named, rest) = proposed_only.split_at(proposed_only.len().min(MAX_PER_KIND));
    let mut needed: Vec<Decision> = named
        .iter()
        .map(|issue| {
            let (name, incidents) = (quoted(&issue.root_cause), many(issue.occurrences, "incident"));
            let action = match issue.actions.first() {
                Some(action) => format!("none of the proposed actions is adopted, such as {}", quoted(&action.title)),
                None => "no preventive action is known".into(),
            };
            decision(
                format!("{name} keeps coming back ({incidents}): {action}."),
                &["recurrence", "show", &issue.episode_id],
            )
        })
        .collect();
    if !rest.is_empty() {
        let has = if rest.len() == 1 { "has" } else { "have" };
        let text = format!("{} {has} no adopted preventive action.", many(rest.len() as u64, "more recurring issue"));
        needed.push(decision(text, &["recurrence", "list"]));
    }
    needed
}

fn recurred(figures: &Figures) -> Vec<Decision> {
    let recurred: Vec<_> =
        figures.prevention.iter().filter(|effect| effect.state == PreventionState::Recurred).collect();
    let (named, rest) = recurred.split_at(recurred.len().min(MAX_PER_KIND));
    let mut needed: Vec<Decision> = named
        .iter()
        .map(|effect| {
            let (action, cause) = (quoted(&effect.action), cause_name(figures, &effect.cause));
            let text = format!(
                "{action} did not prevent {cause}: {} since it was adopted, {} in the 28 days before.",
                many(effect.after, "incident"),
                effect.before
            );
            match figures.recurring.iter().find(|issue| issue.cause == effect.cause) {
                Some(issue) => decision(text, &["recurrence", "show", &issue.episode_id]),
                None => decision(text, &["cause", "list"]),
            }
        })
        .collect();
    if !rest.is_empty() {
        let text = format!("{} did not prevent the cause either.", many(rest.len() as u64, "more preventive action"));
        needed.push(decision(text, &["recurrence", "list", "--all"]));
    }
    needed
}

fn is_old(open: &AgeingIncident) -> bool {
    matches!(open.age, AgeBand::Month | AgeBand::Older)
}

fn old(open: &[&AgeingIncident]) -> Option<Decision> {
    let old: Vec<_> = open.iter().filter(|open| is_old(open)).collect();
    let oldest = old.first()?;
    let (id, age, title) = (oldest.incident_id, age(oldest), quoted(&oldest.title));
    let waiting = if oldest.acknowledged_at.is_none() { " and is not acknowledged" } else { "" };
    let text = match old.len() {
        1 => format!("{id} has been open for {age}{waiting}: {title}."),
        count => format!("{count} incidents have been open for 7 days or more; the oldest, {id}, for {age}: {title}."),
    };
    Some(decision(text, &["incident", "show", &id.to_string()]))
}

fn unacknowledged(open: &[&AgeingIncident]) -> Option<Decision> {
    let waiting: Vec<_> = open.iter().filter(|open| open.acknowledged_at.is_none()).collect();
    let oldest = waiting.first()?;
    if waiting.len() == 1 && is_old(oldest) && open.iter().filter(|open| is_old(open)).count() == 1 {
        // The old incidents are listed with their age.
        return None;
    }
    let (named, rest) = waiting.split_at(waiting.len().min(MAX_PER_KIND));
    let ids = named.iter().map(|open| open.incident_id.to_string()).collect::<Vec<_>>().join(", ");
    let more = if rest.is_empty() { String::new() } else { format!(" and {} more", rest.len()) };
    let are = if waiting.len() == 1 { "is" } else { "are" };
    let text = format!("{} {are} not acknowledged: {ids}{more}.", many(waiting.len() as u64, "open incident"));
    Some(decision(text, &["incident", "show", &oldest.incident_id.to_string()]))
}

fn offender(figures: &Figures) -> Option<Decision> {
    let total = |one: &RepeatOffender| one.incidents + one.incidents_before;
    let often = || figures.offenders.iter().filter(|one| total(one) >= OFTEN);
    // The first of the resources with the highest total.
    let worst = often().rev().max_by_key(|one| total(one))?;
    let name = quoted(worst.resource_name.as_deref().unwrap_or(&worst.resource_id));
    let kind = cut(&worst.resource_kind, 30);
    let failed = match (worst.failed_runs, worst.runs) {
        (Some(failed), Some(runs)) if runs > 0 => {
            format!("; {failed} of {runs} runs of the week{} failed", in_percent(failed, runs))
        }
        _ => String::new(),
    };
    let others = match often().count() as u64 {
        0 | 1 => String::new(),
        count => format!(
            "; {} affected {OFTEN} times or more in these five weeks",
            match count - 1 {
                1 => "1 other resource was".into(),
                others => format!("{others} other resources were"),
            }
        ),
    };
    let text = format!(
        "The {kind} {name} was affected most often: {} in the week, {} in the four weeks before{failed}{others}.",
        many(worst.incidents, "incident"),
        worst.incidents_before,
    );
    Some(decision(text, &["incident", "show", &worst.last_incident_id.to_string()]))
}

fn clock_skew(week: &WeekSpan, figures: &Figures) -> Option<Decision> {
    let rows = figures.durations.iter().filter(|duration| duration.week_start == week.start);
    let skewed: Vec<_> = rows.filter(|duration| duration.clock_skew > 0).collect();
    let sum = skewed.iter().map(|duration| duration.clock_skew).sum();
    let measures = skewed.iter().map(|duration| format!("to {}", duration.measure)).collect::<Vec<_>>().join(", ");
    (sum > 0).then(|| Decision {
        text: format!(
            "{} excluded because of clock skew: time {measures}.",
            match sum {
                1 => "1 duration was".into(),
                sum => format!("{sum} durations were"),
            }
        ),
        command: None,
    })
}
