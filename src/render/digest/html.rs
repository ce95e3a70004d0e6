//! The digest as one self-contained page: no script, nothing fetched, light and dark.
//!
//! It opens with what changed and what needs a decision, then the week at a glance, charts, and the figures as tables. Every
//! chart has its data as a table behind it. Without its style sheet, which some mail clients drop, the page is plain
//! headings, lists and tables in the same order.
//!
//! - [`opening`]: which week, what changed, what needs a decision
//! - [`glance`]: the week in a few numbers
//! - [`trends`]: charts, and [`series`] that are drawn in them
//! - [`incidents`]: counts, durations, what is open
//! - [`causes`]: what recurs, what is done about it, what is new, who is affected again and again
//! - [`people`]: escalations and on-call load
//! - [`proof`]: checks, the audit log, how fresh the data is
//! - [`calendar`], [`values`], [`table`]: moments, numbers and rows as people read them

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::charts::ink;
use crate::{domain::digest::Digest, render::page};
use calendar::Calendar;

mod calendar;
mod causes;
mod glance;
mod incidents;
mod opening;
mod people;
mod proof;
mod series;
mod table;
mod trends;
mod values;

/// Of every list, so many are shown; the rest is counted.
const SHOWN: usize = 20;

/// The whole page.
pub fn html(digest: &Digest) -> String {
    let calendar = Calendar::of(&digest.week);
    let figures = &digest.figures;
    let style = include_str!("html/style.css").replace("/* inks of the charts */", &ink::dark_rules());
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                (page::head(&format!("Incident digest, week {}", values::said(&digest.week.week))))
                style { (PreEscaped(style)) }
            }
            body {
                div.page style="max-width: 62rem; margin: 0 auto; font-family: sans-serif" {
                    (opening::header(digest, &calendar))
                    main {
                        (opening::changed(digest))
                        (opening::decisions(digest))
                        (opening::revised(digest, &calendar))
                        (glance::glance(digest))
                        (trends::trends(digest, &calendar))
                        (incidents::counts(figures))
                        (incidents::durations(digest))
                        (causes::recurring(figures, &calendar))
                        (causes::prevention(figures, &calendar))
                        (incidents::open(figures, &calendar))
                        (people::escalations(figures))
                        (causes::offenders(figures))
                        (causes::new(figures))
                        (proof::checks(digest, &calendar))
                        (people::load(figures))
                        (proof::audit(digest))
                        (proof::freshness(digest, &calendar))
                    }
                    footer {
                        p {
                            "All times are in " (calendar.zone_name()) ". Everything is told as it stood at the end of the \
                            week: what was acknowledged, resolved or closed later counts as open. n/a is unknown, or too few \
                            to say."
                        }
                    }
                }
            }
        }
    };
    page.into_string()
}

/// A part of the page under its own heading, which also names it. The definitions stand in small print below.
fn section(id: &str, title: &str, definition: Option<Markup>, body: Markup) -> Markup {
    let heading = format!("{id}-heading");
    html! {
        section id=(id) aria-labelledby=(heading) {
            h2 id=(heading) { (title) }
            @if let Some(definition) = definition { p.note { (definition) } }
            (body)
        }
    }
}

/// A section in which there is nothing to show.
fn nothing(id: &str, title: &str, sentence: &str) -> Markup {
    section(id, title, None, html! { p { (sentence) } })
}

#[cfg(test)]
mod tests;
