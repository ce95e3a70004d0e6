//! The digest as one self-contained page: no scripts, no external resources, a light and a dark theme.
//!
//! It has the changes and decisions first, then key figures, charts, and tables. Every chart has its data as a table. Some
//! mail clients drop the style sheet; then the page is plain headings, lists and tables in the same order.
//!
//! - [`opening`]: the week, its changes and decisions
//! - [`key_figures`]: four key figures
//! - [`trends`]: the charts, and [`series`], their data
//! - [`incidents`]: counts, durations, open incidents
//! - [`causes`]: recurring issues, preventive actions, new causes, repeat offenders
//! - [`on_call`]: escalations and on-call load
//! - [`proof`]: best-practice checks, the audit log, freshness of the data
//! - [`calendar`], [`values`], [`table`]: formatting of times, numbers and rows

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::charts::ink;
use crate::{domain::digest::Digest, render::page};
use calendar::Calendar;

mod calendar;
mod causes;
mod incidents;
mod key_figures;
mod on_call;
mod opening;
mod proof;
mod series;
mod table;
mod trends;
mod values;

/// Items shown of every list; the rest is counted.
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
                (page::head(&format!("Incident digest, week {}", values::outside_text(&digest.week.week))))
                style { (PreEscaped(style)) }
            }
            body {
                div.page style="max-width: 62rem; margin: 0 auto; font-family: sans-serif" {
                    (opening::header(digest, &calendar))
                    main {
                        (opening::changed(digest))
                        (opening::decisions(digest))
                        (opening::revised(digest, &calendar))
                        (key_figures::key_figures(digest))
                        (trends::trends(digest, &calendar))
                        (incidents::counts(figures))
                        (incidents::durations(digest))
                        (causes::recurring(figures, &calendar))
                        (causes::prevention(figures, &calendar))
                        (incidents::open(figures, &calendar))
                        (on_call::escalations(figures))
                        (causes::offenders(figures))
                        (causes::new(figures))
                        (proof::checks(digest, &calendar))
                        (on_call::load(figures))
                        (proof::audit(digest))
                        (proof::freshness(digest, &calendar))
                    }
                    footer {
                        p {
                            "All times are in " (calendar.zone_name()) ". All figures are as of the end of the week: incidents \
                            acknowledged, resolved or closed later count as open. n/a: unknown, or too few values."
                        }
                    }
                }
            }
        }
    };
    page.into_string()
}

/// A section with a heading, which also labels it, and its definitions in small print.
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

/// A section without data: one sentence.
fn nothing(id: &str, title: &str, sentence: &str) -> Markup {
    section(id, title, None, html! { p { (sentence) } })
}

#[cfg(test)]
mod tests;
