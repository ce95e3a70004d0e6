//! The opening of the page: the week, its changes and decisions.

use maud::{Markup, html};

use super::{
    SHOWN,
    calendar::Calendar,
    section,
    table::more,
    values::{decimal, outside_text, sentence},
};
use crate::domain::digest::Digest;

pub fn header(digest: &Digest, calendar: &Calendar) -> Markup {
    html! {
        header {
            p.kind { "Weekly incident digest" }
            h1 { "Week " (outside_text(&digest.week.week)) }
            p {
                (calendar.span()) br;
                span.note {
                    (calendar.zone_name()) ", " (decimal(digest.week.hours)) " hours. Revision " (digest.revision)
                    ", made " (calendar.minute(digest.made_at)) "."
                }
            }
        }
    }
}

/// A list of sentences. A long one is cut, with a count of the rest.
fn sentences(all: &[String]) -> Markup {
    html! {
        ul { @for one in all.iter().take(SHOWN) { li { (sentence(one)) } } }
        (more(all.len(), SHOWN))
    }
}

pub fn changed(digest: &Digest) -> Markup {
    section("changed", "What changed", None, html! { div.lead { (sentences(&digest.changed)) } })
}

pub fn decisions(digest: &Digest) -> Markup {
    let body = html! {
        @if digest.decisions.is_empty() {
            p.lead { "Nothing needs a decision." }
        } @else {
            ol.decisions {
                @for decision in digest.decisions.iter().take(SHOWN) {
                    li {
                        (sentence(&decision.text))
                        @if let Some(command) = &decision.command { br; code { (sentence(command)) } }
                    }
                }
            }
            (more(digest.decisions.len(), SHOWN))
        }
    };
    section("decisions", "What needs a decision", None, body)
}

pub fn revised(digest: &Digest, calendar: &Calendar) -> Markup {
    let Some(revised) = &digest.revised else { return html! {} };
    let definition = html! {
        "Late data changed revision " (revised.revision) " of " (calendar.minute(revised.made_at)) "."
    };
    section("revised", "What this revision corrects", Some(definition), sentences(&revised.differences))
}
