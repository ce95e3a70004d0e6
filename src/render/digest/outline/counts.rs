//! Sections with counts: incidents, time taken, causes, checks, on-call load.

use super::{ColumnKind, OutlineBlock, OutlineTable, capped, column, labels, name, own};
use crate::{
    domain::{
        check::CheckStatus,
        digest::{
            Digest, NEW_CAUSE_WEEKS, OnCallLoad,
            dimension::{Dimension, HourBand, Measure},
            share,
        },
        time::Timestamp,
        week::Week,
    },
    render::plain::{duration, na},
};

pub fn incidents(digest: &Digest) -> Option<Vec<OutlineBlock>> {
    let counts = &digest.figures.counts;
    if counts.is_empty() {
        return None;
    }
    let mut rows = Vec::new();
    let mut more = Vec::new();
    for dimension in Dimension::ALL {
        let of: Vec<_> = counts.iter().filter(|count| count.dimension == *dimension).collect();
        let (shown, rest) = capped(&of, &format!("rows by {dimension}"));
        more.extend(rest);
        rows.extend(shown.iter().map(|count| {
            vec![
                own(dimension),
                name(&count.value),
                own(count.incidents),
                own(na(count.previous)),
                own(labels::median_before(count)),
            ]
        }));
    }
    let columns = vec![
        column("By", ColumnKind::Word),
        column("Value", ColumnKind::Name(12)),
        column("Incidents", ColumnKind::Number),
        column("Week before", ColumnKind::Number),
        column("Median of 4 before", ColumnKind::Number),
    ];
    let mut blocks = vec![OutlineBlock::Table(OutlineTable { columns, rows })];
    blocks.extend(more);
    blocks.extend(by_day(digest));
    blocks.push(OutlineBlock::Note(
        "Incidents count in the week they were reported in; weeks before the ledger begins are n/a. Severity: the highest of \
         the alerts that fired for the incident, or none. Category: of failed checks; an incident counts in each of them."
            .into(),
    ));
    Some(blocks)
}

fn by_day(digest: &Digest) -> Option<OutlineBlock> {
    let days = &digest.figures.days;
    let mut counts = Vec::new();
    for day in digest.week.calendar().days() {
        let incidents: u64 = days.iter().filter(|count| count.day == day).map(|count| count.incidents).sum();
        counts.push(format!("{} {incidents}", day.format("%a %d")));
    }
    (!days.is_empty()).then(|| OutlineBlock::Note(format!("By day: {}.", counts.join(", "))))
}

pub fn durations(digest: &Digest) -> Option<Vec<OutlineBlock>> {
    let week = digest.week.calendar();
    let known: Vec<_> = Measure::ALL.iter().filter_map(|measure| digest.figures.duration(week, *measure)).collect();
    if known.is_empty() {
        return None;
    }
    let rows = known.iter().map(|known| {
        let before = digest.figures.duration(week.earlier(1), known.measure);
        vec![
            own(labels::measure(known.measure).0),
            own(known.n),
            own(duration(known.p50_known_s())),
            own(duration(known.p95_known_s())),
            own(known.open),
            own(known.clock_skew),
            own(labels::p50_with_n(before)),
        ]
    });
    let columns = vec![
        column("Duration", ColumnKind::Word),
        column("n", ColumnKind::Number),
        column("p50", ColumnKind::Number),
        column("p95", ColumnKind::Number),
        column("Open", ColumnKind::Number),
        column("Skew", ColumnKind::Number),
        column("p50 week before", ColumnKind::Number),
    ];
    let table = OutlineTable { columns, rows: rows.collect() };
    let definitions = known.iter().map(|known| {
        let (what, definition) = labels::measure(known.measure);
        format!("{what}: {definition}.")
    });
    let definitions = definitions.collect::<Vec<_>>().join(" ");
    Some(vec![
        OutlineBlock::Table(table),
        OutlineBlock::Note(definitions),
        OutlineBlock::Note(labels::about_durations()),
    ])
}

pub fn causes(digest: &Digest) -> Option<Vec<OutlineBlock>> {
    let causes = &digest.figures.causes;
    if causes.is_empty() {
        return None;
    }
    let (shown, more) = capped(causes, "causes");
    let rows = shown.iter().map(|cause| {
        let before = match cause.previous_rank {
            Some(rank) => format!("{rank} (with {})", cause.previous_incidents),
            None if cause.is_new => "new".into(),
            None => "none".into(),
        };
        vec![
            own(cause.rank),
            own(before),
            own(cause.incidents),
            own(cause.resources),
            own(cause.first_incident_id),
            name(&cause.root_cause),
        ]
    });
    let columns = vec![
        column("Rank", ColumnKind::Number),
        column("Week before", ColumnKind::Word),
        column("Incidents", ColumnKind::Number),
        column("Resources", ColumnKind::Number),
        column("First", ColumnKind::Word),
        column("Root cause", ColumnKind::Name(16)),
    ];
    let mut blocks = vec![OutlineBlock::Table(OutlineTable { columns, rows: rows.collect() })];
    blocks.extend(more);
    blocks.push(OutlineBlock::Note(format!(
        "Rank by incidents; ties share a rank. Week before: rank and incidents then; new: not seen in the {NEW_CAUSE_WEEKS} \
         weeks before. Resources: distinct first affected resources. First: the first incident of the week."
    )));
    Some(blocks)
}

pub fn checks(digest: &Digest) -> Option<Vec<OutlineBlock>> {
    let checks = &digest.figures.checks;
    let zone = digest.week.zone();
    let mut weeks: Vec<Timestamp> = checks.iter().map(|check| check.week_start).collect();
    weeks.sort_unstable();
    weeks.dedup();
    // the digest's week and the four before
    let weeks = weeks.split_off(weeks.len().saturating_sub(5));
    let mut categories: Vec<&str> = checks.iter().map(|check| check.category.as_str()).collect();
    categories.sort_unstable();
    categories.dedup();
    if categories.is_empty() {
        return None;
    }
    let (shown, more) = capped(&categories, "categories");
    let sum = |category: &str, week: Timestamp, status: CheckStatus| -> u64 {
        let of = checks.iter().filter(|check| check.category == category && check.week_start == week);
        of.filter(|check| check.status == status).map(|check| check.checks).sum()
    };
    let mut rows = Vec::new();
    for category in shown {
        for status in [CheckStatus::Fail, CheckStatus::Partial, CheckStatus::Pass] {
            if weeks.iter().all(|week| sum(category, *week, status) == 0) {
                continue;
            }
            let counts = weeks.iter().map(|week| {
                let made = CheckStatus::ALL.iter().any(|status| sum(category, *week, *status) > 0);
                own(na(made.then(|| sum(category, *week, status))))
            });
            rows.push([name(category), own(status)].into_iter().chain(counts).collect());
        }
    }
    let titles = weeks.iter().map(|week| column(Week::of(*week, zone).to_string(), ColumnKind::Number));
    let columns = [column("Category", ColumnKind::Name(12)), column("Status", ColumnKind::Word)]
        .into_iter()
        .chain(titles)
        .collect();
    let mut blocks = vec![OutlineBlock::Table(OutlineTable { columns, rows })];
    blocks.extend(more);
    blocks.push(OutlineBlock::Note(
        "Best-practice checks made in each week. PARTIAL means incomplete data; n/a: no check of the category was made."
            .into(),
    ));
    Some(blocks)
}

pub fn load(digest: &Digest) -> Option<Vec<OutlineBlock>> {
    let load = &digest.figures.load;
    let sum = |count: fn(&OnCallLoad) -> u64| load.iter().map(count).sum::<u64>();
    let (incidents, alerts, urgent) =
        (sum(|load| load.incidents), sum(|load| load.alerts), sum(|load| load.urgent_alerts));
    if incidents + alerts == 0 {
        return None;
    }
    let rows = load.iter().map(|load| {
        vec![
            own(labels::band(load.band).0),
            own(share(load.incidents, incidents)),
            own(share(load.alerts, alerts)),
            own(share(load.urgent_alerts, urgent)),
        ]
    });
    let columns = vec![
        column("Band", ColumnKind::Word),
        column("Incidents", ColumnKind::Number),
        column("Alerts", ColumnKind::Number),
        column("Urgent", ColumnKind::Number),
    ];
    let bands = HourBand::ALL.iter().map(|band| {
        let (band, hours) = labels::band(*band);
        format!("{band} {hours}")
    });
    let note = format!(
        "Incidents reported and alerts that fired; urgent ones are HIGH or CRITICAL. Bands in local time: {}. {}",
        bands.collect::<Vec<_>>().join("; "),
        labels::about_shares()
    );
    Some(vec![OutlineBlock::Table(OutlineTable { columns, rows: rows.collect() }), OutlineBlock::Note(note)])
}
