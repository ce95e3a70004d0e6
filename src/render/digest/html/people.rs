//! Who was told, and when somebody was needed.

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
            p { strong.bad { (many(unrouted, "alert")) " reached nobody: no route matches." } }
        }
        (dense(title, &columns, rows(outcomes.iter().map(outcome_row))))
    };
    let definition = html! {
        "Alerts that fired in the week, and what had become of them by its end. Suppressed are evaluations that held and were \
        kept quiet. The time to acknowledge is from firing to acknowledgement, of those acknowledged. Unrouted alerts were \
        routed nowhere. Sent and failed are notices that were delivered over a channel, and that were given up; n/a where none \
        was tried."
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
        return nothing("load", title, "Nothing came in, at any hour.");
    }
    let columns = [text("Part of the day"), number("Incidents"), number("Alerts"), number("Urgent alerts")];
    let told = figures.load.iter().map(|load| {
        vec![
            with_note(hours_name(load.band), hours_definition(load.band)),
            cell(count(load.incidents)),
            cell(count(load.alerts)),
            cell(count(load.urgent_alerts)),
        ]
    });
    let definition = html! {
        "What came in by local time: incidents by their report, alerts by when they fired. Urgent alerts have the severity HIGH \
        or CRITICAL."
    };
    section("load", title, Some(definition), table(title, &columns, rows(told)))
}
