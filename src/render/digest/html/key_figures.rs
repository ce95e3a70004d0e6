//! The four key figures of the week.

use maud::{Markup, html};

use super::{
    section,
    values::{count, decimal, duration, many, measure_definition, median, share},
};
use crate::{
    domain::digest::{Digest, Figures, dimension::Measure},
    render::plain::na,
};

pub fn key_figures(digest: &Digest) -> Markup {
    let figures = &digest.figures;
    let body = html! {
        dl.tiles {
            (incidents(figures))
            (open(figures))
            (alerts(figures))
            (resolve(digest))
        }
    };
    section("glance", "This week at a glance", None, body)
}

fn tile(name: &str, value: impl std::fmt::Display, notes: Markup) -> Markup {
    html! { div { dt { (name) } dd.value { (value.to_string()) } dd.note { (notes) } } }
}

fn incidents(figures: &Figures) -> Markup {
    let total = figures.total();
    let previous = na(total.and_then(|total| total.previous).map(count));
    let before = na(total.and_then(|total| total.median_before).map(decimal));
    let weeks = match total.map_or(0, |total| total.weeks_before) {
        0 | 4 => "the four weeks before".to_owned(),
        known => format!("the four weeks before, {known} of them known"),
    };
    let notes = html! { "week before: " (previous) br; "median of " (weeks) ": " (before) };
    tile("Incidents reported", count(figures.incidents()), notes)
}

fn open(figures: &Figures) -> Markup {
    let oldest = figures.open.iter().map(|open| open.age_hours).filter(|hours| hours.is_finite()).reduce(f64::max);
    let notes = match oldest {
        Some(hours) => format!("; the oldest for {}, since its report", duration(Some(hours * 3_600.0))),
        None => String::new(),
    };
    tile("Still open", count(figures.open.len() as u64), html! { "at the end of the week" (notes) })
}

fn alerts(figures: &Figures) -> Markup {
    let sum = |of: fn(&crate::domain::digest::EscalationOutcome) -> u64| {
        figures.escalations.iter().map(of).fold(0, u64::saturating_add)
    };
    let (fired, acknowledged, unrouted) = (sum(|e| e.fired), sum(|e| e.acknowledged), sum(|e| e.unrouted));
    let notes = html! {
        @if fired == 0 { "no notifications" } @else { (share(acknowledged, fired)) " acknowledged" }
        @if unrouted > 0 { br; strong.bad { (many(unrouted, "alert")) " without a route" } }
    };
    tile("Alerts fired", count(fired), notes)
}

fn resolve(digest: &Digest) -> Markup {
    let row = digest
        .figures
        .durations
        .iter()
        .find(|row| row.measure == Measure::Resolve && row.week_start == digest.week.start);
    let value = duration(row.and_then(|row| median(row.p50_s, row.n)));
    let notes = html! {
        "median, n = " (count(row.map_or(0, |row| row.n))) br; (measure_definition(Measure::Resolve))
    };
    tile("Time to resolve", value, notes)
}
