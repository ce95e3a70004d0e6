//! How the page opens: which week, what changed, what needs a decision.

use maud::{Markup, html};

use super::{
    SHOWN,
    calendar::Calendar,
    section,
    table::more,
    values::{decimal, said, sentence},
};
use crate::domain::digest::Digest;

pub fn header(digest: &Digest, calendar: &Calendar) -> Markup {
    html! {
        header {
            p.kind { "Weekly incident digest" }
            h1 { "Week " (said(&digest.week.week)) }
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

/// A long list of sentences is cut, and says by how much.
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
        "Late data changed what revision " (revised.revision) " of " (calendar.minute(revised.made_at)) " said."
    };
    section("revised", "What this revision corrects", Some(definition), sentences(&revised.differences))
}
