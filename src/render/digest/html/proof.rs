//! Best-practice checks, the verification of the audit log, and the freshness of the data.

use std::collections::BTreeMap;

use maud::{Markup, html};

use super::{
    SHOWN,
    calendar::{Calendar, short},
    nothing, section,
    table::{RowGroup, cell, more, number, table, text},
    values::{count, duration, many, outside_text, sentence},
};
use crate::{
    domain::{
        check::CheckStatus,
        digest::{AuditProof, Digest},
        time::Timestamp,
    },
    render::plain::NA,
};

pub fn checks(digest: &Digest, calendar: &Calendar) -> Markup {
    let title = "Best-practice checks over time";
    let mut categories: BTreeMap<&str, BTreeMap<(Timestamp, CheckStatus), u64>> = BTreeMap::new();
    for row in &digest.figures.checks {
        let of = categories.entry(&row.category).or_default();
        *of.entry((row.week_start, row.status)).or_default() += row.checks;
    }
    if categories.is_empty() {
        return nothing("checks", title, "No checks were recorded in five weeks.");
    }
    let weeks = calendar.weeks();
    let columns: Vec<_> =
        std::iter::once(text("Result")).chain(weeks.iter().map(|week| number(short(*week)))).collect();
    let groups = categories.iter().take(SHOWN).map(|(category, counts)| RowGroup {
        title: Some(outside_text(category)),
        rows: CheckStatus::ALL
            .iter()
            .map(|status| {
                let one = |start: Timestamp| {
                    let any = CheckStatus::ALL.iter().any(|status| counts.contains_key(&(start, *status)));
                    any.then(|| counts.get(&(start, *status)).copied().unwrap_or(0))
                };
                let cells = weeks.iter().map(|week| cell(one(week.start()).map_or_else(|| NA.to_owned(), count)));
                std::iter::once(cell(status)).chain(cells).collect()
            })
            .collect(),
    });
    let body = html! {
        (table(title, &columns, groups.collect()))
        (more(categories.len(), SHOWN))
    };
    let definition = html! {
        "Results by category in each week. PARTIAL means that data was missing. n/a: no check of the category was recorded \
        in that week."
    };
    section("checks", title, Some(definition), body)
}

pub fn audit(digest: &Digest) -> Markup {
    let audit = &digest.audit;
    let definition = html! {
        "Each row's hash is the lower-case hex SHA-256 of the hash of the row before followed by its own entry, so the last \
        one covers all rows. With this page, you can verify later that no row before it was changed."
    };
    let body = html! {
        @if audit.intact && audit.problems.is_empty() { p { strong.good { (verified(audit)) } } } @else {
            div.alarm {
                p { strong.bad { "The audit log is not intact." } " Rows " (range(audit)) " were verified." }
                @if audit.problems.is_empty() { p { "Problems: " (NA) "." } }
                ul { @for problem in audit.problems.iter().take(SHOWN) { li { (sentence(problem)) } } }
                (more(audit.problems.len(), SHOWN))
            }
        }
        @if audit.verified_after > 0 {
            p { "Rows up to " (count(audit.verified_after)) " are covered by the trusted head of an earlier digest." }
        }
        @if audit.head_seq > 0 {
            p {
                "Head: row " (count(audit.head_seq)) ", hash" br;
                code { (outside_text(&audit.head_hash)) }
            }
            p {
                "To verify it:" br;
                code { "ops-runbook audit verify --head " (audit.head_seq) ":" (outside_text(&audit.head_hash)) }
            }
        }
    };
    section("audit", "Audit log", Some(definition), body)
}

fn verified(audit: &AuditProof) -> String {
    match audit.head_seq.saturating_sub(audit.verified_after) {
        0 if audit.head_seq == 0 => "The audit log is empty.".into(),
        0 => "Intact: no row was added since the trusted head.".into(),
        rows => format!("Intact: {}, {}, verified.", many(rows, "row"), range(audit)),
    }
}

fn range(audit: &AuditProof) -> String {
    format!("{} to {}", count(audit.verified_after.saturating_add(1)), count(audit.head_seq))
}

pub fn freshness(digest: &Digest, calendar: &Calendar) -> Markup {
    let ago = |at: Timestamp| duration(Some(digest.made_at.seconds_since(at)));
    let recorded = match digest.freshness.last_recorded_at {
        Some(at) => format!("{}, {} before this digest was made", calendar.minute(at), ago(at)),
        None => format!("{NA}: the ledger is empty"),
    };
    let reported = match digest.freshness.last_reported_at {
        Some(at) => calendar.minute(at),
        None => format!("{NA}: no incident in five weeks"),
    };
    let body = html! {
        dl {
            dt { "Last row of the ledger" } dd { (recorded) }
            dt { "Latest incident that began by the end of the week" } dd { (reported) }
        }
    };
    section("freshness", "Freshness of the data", None, body)
}
