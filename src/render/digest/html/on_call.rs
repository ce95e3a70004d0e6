//! Escalations, and the on-call load by time of day.

use maud::{Markup, html};

use super::{
    nothing, section,
    table::{cell, dense, number, rows, table, text, with_note},
    values::{count, duration, hours_definition, hours_name, many, median},
};
use crate::{
    domain::digest::{EscalationOutcome, Figures},
    render::plain::na,
};

pub fn escalations(figures: &Figures) -> Markup {
    let title = "Escalations";
    let outcomes = &figures.escalations;
    if outcomes.is_empty() {
        return nothing("escalations", title, "No alert fired.");
    }
    let unrouted = outcomes.iter().fold(0_u64, |sum, outcome| sum.saturating_add(outcome.unrouted));
    let columns = [
        text("Trigger"),
        number("Fired"),
        number("Sent"),
        number("Failed"),
        number("Suppressed"),
        number("Acknowledged"),
        number("Median to acknowledge"),
        number("Resolved"),
        number("Open"),
        number("Unrouted"),
    ];
    let body = html! {
        @if unrouted > 0 {
            p { strong.bad { (many(unrouted, "alert")) " had no route, so no notification was sent." } }
        }
        (dense(title, &columns, rows(outcomes.iter().map(outcome_row))))
    };
    let definition = html! {
        "Alerts that fired in the week, and their state at its end. Sent, failed: notifications delivered, and given up; n/a if \
        none was tried. Suppressed: the trigger held, but the alert was suppressed. Time to acknowledge: from firing to \
        acknowledgement. Unrouted: no route matched."
    };
    section("escalations", title, Some(definition), body)
}

fn outcome_row(outcome: &EscalationOutcome) -> Vec<Markup> {
    vec![
        with_note(outcome.trigger, outcome.severity),
        cell(count(outcome.fired)),
        cell(na(outcome.sent.map(count))),
        cell(na(outcome.failed.map(count))),
        cell(count(outcome.suppressed)),
        cell(count(outcome.acknowledged)),
        cell(duration(median(outcome.acknowledge_p50_s, outcome.acknowledged))),
        cell(count(outcome.resolved)),
        cell(count(outcome.open)),
        html! {
            @if outcome.unrouted > 0 { strong.bad { (count(outcome.unrouted)) } } @else { (count(outcome.unrouted)) }
        },
    ]
}

pub fn load(figures: &Figures) -> Markup {
    let title = "On-call load";
    if figures.load.iter().all(|load| load.incidents == 0 && load.alerts == 0) {
        return nothing("load", title, "There were no incidents and no alerts.");
    }
    let columns = [text("Part of the day"), number("Incidents"), number("Alerts"), number("Urgent alerts")];
    let bands = figures.load.iter().map(|load| {
        vec![
            with_note(hours_name(load.band), hours_definition(load.band)),
            cell(count(load.incidents)),
            cell(count(load.alerts)),
            cell(count(load.urgent_alerts)),
        ]
    });
    let definition = html! {
        "By local time: incidents by their report, alerts by the time they fired. Urgent alerts have the severity HIGH or CRITICAL."
    };
    section("load", title, Some(definition), table(title, &columns, rows(bands)))
}
