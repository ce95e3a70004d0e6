//! Recurring issues, preventive actions and their effect, new causes, repeat offenders.

use maud::{Markup, html};

use super::{
    SHOWN,
    calendar::Calendar,
    nothing, section,
    table::{cell, more, number, rows, stacked, text, with_note, word},
    values::{count, decimal, outside_text, share},
};
use crate::{
    domain::{
        digest::{CauseRank, Figures, MIN_OFFENCES, NEW_CAUSE_WEEKS, PreventionEffect, RecurringIssue, RepeatOffender},
        recurrence::event::EpisodeEvent,
    },
    render::plain::NA,
};

pub fn recurring(figures: &Figures, calendar: &Calendar) -> Markup {
    let title = "Recurring issues and what to do about them";
    if figures.recurring.is_empty() {
        return nothing("recurring", title, "There are no recurring issues.");
    }
    let columns = [text("Issue"), word("State"), number("Incidents"), text("Preventive actions")];
    let shown = figures.recurring.iter().take(SHOWN).map(|issue| issue_row(issue, calendar));
    let body = html! {
        (stacked(title, &columns, rows(shown)))
        (more(figures.recurring.len(), SHOWN))
    };
    let definition = html! {
        "Episodes of one root cause that were open at the end of the week, or closed in it. Incidents: of the whole episode."
    };
    section("recurring", title, Some(definition), body)
}

fn issue_row(issue: &RecurringIssue, calendar: &Calendar) -> Vec<Markup> {
    let state = match (issue.event, issue.is_new) {
        (EpisodeEvent::Closed, _) => "closed this week",
        (_, true) => "new this week",
        (_, false) => "open",
    };
    let actions = html! {
        @if issue.actions.is_empty() { (NA) ": the catalogue has no action" } @else {
            ul.actions {
                @for step in issue.actions.iter().take(SHOWN) {
                    li { (outside_text(&step.title)) " " span.under { "(" (outside_text(&step.action)) ": " strong { (step.state) } ")" } }
                }
            }
        }
    };
    vec![
        html! {
            (outside_text(&issue.root_cause))
            span.under {
                br; (outside_text(&issue.episode_id)) " since " (issue.incident_id) ", "
                (calendar.day(issue.first_at)) " to " (calendar.day(issue.last_at))
            }
        },
        cell(state),
        cell(count(issue.occurrences)),
        actions,
    ]
}

pub fn prevention(figures: &Figures, calendar: &Calendar) -> Markup {
    let title = "Preventive actions and their effect";
    if figures.prevention.is_empty() {
        return nothing("prevention", title, "No preventive action was adopted.");
    }
    let columns = [text("Action"), word("State"), word("Adopted"), number("28 days before"), number("28 days after")];
    let shown = figures.prevention.iter().take(SHOWN).map(|effect| effect_row(effect, figures, calendar));
    let body = html! {
        (stacked(title, &columns, rows(shown)))
        (more(figures.prevention.len(), SHOWN))
    };
    let definition = html! {
        "Incidents with the cause in the 28 days before the action was adopted, and in the 28 days after, up to the end of \
        the week. Effective: a whole window passed without the cause. Recurred: the cause occurred again."
    };
    section("prevention", title, Some(definition), body)
}

fn effect_row(effect: &PreventionEffect, figures: &Figures, calendar: &Calendar) -> Vec<Markup> {
    let root_cause = figures.recurring.iter().find(|issue| issue.cause == effect.cause).map(|issue| &issue.root_cause);
    let cause = match root_cause {
        Some(root_cause) => format!("against {} ({})", outside_text(root_cause), outside_text(&effect.cause)),
        None => format!("against {}", outside_text(&effect.cause)),
    };
    vec![
        with_note(outside_text(&effect.action), cause),
        cell(effect.state),
        cell(calendar.minute(effect.adopted_at)),
        cell(count(effect.before)),
        cell(format_args!("{} in {} days", count(effect.after), decimal(effect.days_after))),
    ]
}

pub fn offenders(figures: &Figures) -> Markup {
    let title = "Repeat offenders";
    if figures.offenders.is_empty() {
        return nothing("offenders", title, "There are no repeat offenders.");
    }
    let columns = [
        text("Resource"),
        number("This week"),
        number("Four weeks before"),
        number("Causes"),
        number("Failed runs"),
        word("Latest incident"),
    ];
    let shown = figures.offenders.iter().take(SHOWN).map(offender_row);
    let body = html! {
        (stacked(title, &columns, rows(shown)))
        (more(figures.offenders.len(), SHOWN))
    };
    let definition = html! {
        "Resources with an incident in the week, and at least " (MIN_OFFENCES) " in it and the four weeks before together. \
        Causes: distinct known causes of both. Failed runs: of the job's runs that began in the week, if known."
    };
    section("offenders", title, Some(definition), body)
}

fn offender_row(offender: &RepeatOffender) -> Vec<Markup> {
    let (kind, id) = (outside_text(&offender.resource_kind), outside_text(&offender.resource_id));
    let runs = match (offender.failed_runs, offender.runs) {
        (Some(failed), Some(runs)) => runs_failed(failed, runs),
        _ => NA.to_owned(),
    };
    let workspace = outside_text(&offender.workspace_id);
    let name = match &offender.resource_name {
        Some(name) => with_note(outside_text(name), format_args!("{kind} {id}, workspace {workspace}")),
        None => with_note(format_args!("{kind} {id}"), format_args!("workspace {workspace}")),
    };
    vec![
        name,
        cell(count(offender.incidents)),
        cell(count(offender.incidents_before)),
        cell(count(offender.causes)),
        cell(runs),
        cell(offender.last_incident_id),
    ]
}

/// `4 of 28 runs (14 %)`
fn runs_failed(failed: u64, runs: u64) -> String {
    let share = share(failed, runs);
    match share.split_once(" (") {
        Some((of, percent)) => format!("{of} runs ({percent}"),
        None => format!("{share} runs"),
    }
}

pub fn new(figures: &Figures) -> Markup {
    let title = "New causes";
    let all: Vec<&CauseRank> = figures.causes.iter().filter(|cause| cause.is_new).collect();
    if all.is_empty() {
        return nothing("new-causes", title, "There are no new causes.");
    }
    let columns = [text("Cause"), number("Incidents"), number("Resources"), word("First incident")];
    let shown = all.iter().take(SHOWN).map(|cause| {
        vec![
            with_note(outside_text(&cause.root_cause), outside_text(&cause.cause)),
            cell(count(cause.incidents)),
            cell(count(cause.resources)),
            cell(cause.first_incident_id),
        ]
    });
    let body = html! {
        (stacked(title, &columns, rows(shown)))
        (more(all.len(), SHOWN))
    };
    let definition = html! {
        "Causes of this week that did not occur in the " (NEW_CAUSE_WEEKS) " weeks before. Resources: distinct first \
        affected resources."
    };
    section("new-causes", title, Some(definition), body)
}
