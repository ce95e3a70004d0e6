//! What recurs and what is done about it, what is new, and who is affected again and again.

use maud::{Markup, html};

use super::{
    SHOWN,
    calendar::Calendar,
    nothing, section,
    table::{cell, more, number, rows, stacked, text, with_note, word},
    values::{count, decimal, said, share},
};
use crate::{
    domain::{
        digest::{
            CauseRank, Figures, LEAST_OFFENCES, NEW_CAUSE_WEEKS, PreventionEffect, RecurringIssue, RepeatOffender,
        },
        words::EpisodeEvent,
    },
    render::plain::NA,
};

pub fn recurring(figures: &Figures, calendar: &Calendar) -> Markup {
    let title = "Recurring issues and what to do about them";
    if figures.recurring.is_empty() {
        return nothing("recurring", title, "No issue is recurring.");
    }
    let columns = [text("Issue"), word("Stands"), number("Incidents"), text("Preventive actions")];
    let shown = figures.recurring.iter().take(SHOWN).map(|issue| issue_row(issue, calendar));
    let body = html! {
        (stacked(title, &columns, rows(shown)))
        (more(figures.recurring.len(), SHOWN))
    };
    let definition = html! {
        "Episodes of one root cause that were open at the end of the week, or that ended in it. Incidents are those of the \
        whole episode."
    };
    section("recurring", title, Some(definition), body)
}

fn issue_row(issue: &RecurringIssue, calendar: &Calendar) -> Vec<Markup> {
    let stands = match (issue.event, issue.is_new) {
        (EpisodeEvent::Closed, _) => "ended this week",
        (_, true) => "new this week",
        (_, false) => "goes on",
    };
    let actions = html! {
        @if issue.actions.is_empty() { (NA) ": the catalogue has none" } @else {
            ul.actions {
                @for step in issue.actions.iter().take(SHOWN) {
                    li { (said(&step.title)) " " span.under { "(" (said(&step.action)) ": " strong { (step.state) } ")" } }
                }
            }
        }
    };
    vec![
        html! {
            (said(&issue.root_cause))
            span.under {
                br; (said(&issue.episode_id)) " since " (issue.incident_id) ", "
                (calendar.day(issue.first_at)) " to " (calendar.day(issue.last_at))
            }
        },
        cell(stands),
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
        "Incidents with the cause in the 28 days before the action was adopted, and in the 28 days after as far as they are \
        over at the end of the week. Effective means that a whole window went by without the cause, recurred that it came \
        back."
    };
    section("prevention", title, Some(definition), body)
}

fn effect_row(effect: &PreventionEffect, figures: &Figures, calendar: &Calendar) -> Vec<Markup> {
    let words = figures.recurring.iter().find(|issue| issue.cause == effect.cause).map(|issue| &issue.root_cause);
    let cause = match words {
        Some(words) => format!("against {} ({})", said(words), said(&effect.cause)),
        None => format!("against {}", said(&effect.cause)),
    };
    vec![
        with_note(said(&effect.action), cause),
        cell(effect.state),
        cell(calendar.minute(effect.adopted_at)),
        cell(count(effect.before)),
        cell(format_args!("{} in {} days", count(effect.after), decimal(effect.days_after))),
    ]
}

pub fn offenders(figures: &Figures) -> Markup {
    let title = "Repeat offenders";
    if figures.offenders.is_empty() {
        return nothing("offenders", title, "Nothing was affected again and again.");
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
        "Resources with an incident in the week, and at least " (LEAST_OFFENCES) " in it and the four weeks before together. \
        Causes are different known ones of both. Failed runs are those of the job's runs that began in the week, where \
        runs are known."
    };
    section("offenders", title, Some(definition), body)
}

fn offender_row(offender: &RepeatOffender) -> Vec<Markup> {
    let (kind, id) = (said(&offender.resource_kind), said(&offender.resource_id));
    let runs = match (offender.failed_runs, offender.runs) {
        (Some(failed), Some(runs)) => runs_failed(failed, runs),
        _ => NA.to_owned(),
    };
    let workspace = said(&offender.workspace_id);
    let name = match &offender.resource_name {
        Some(name) => with_note(said(name), format_args!("{kind} {id}, workspace {workspace}")),
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
        return nothing("new-causes", title, "No cause is new.");
    }
    let columns = [text("Cause"), number("Incidents"), number("Resources"), word("First incident")];
    let shown = all.iter().take(SHOWN).map(|cause| {
        vec![
            with_note(said(&cause.root_cause), said(&cause.cause)),
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
        "Causes of this week that did not occur in the " (NEW_CAUSE_WEEKS) " weeks before. Resources are different first \
        affected ones."
    };
    section("new-causes", title, Some(definition), body)
}
