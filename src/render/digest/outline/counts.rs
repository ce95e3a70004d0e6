//! Sections that count: incidents, time taken, causes, checks, on-call load.

use super::{Block, Kind, Table, capped, column, name, own, words};
use crate::{
    domain::{
        digest::{Digest, NEW_CAUSE_WEEKS, OnCallLoad, share},
        time::Timestamp,
        week::Week,
        words::{CheckStatus, Dimension, HourBand, Measure},
    },
    render::plain::{duration, na},
};

pub fn incidents(digest: &Digest) -> Option<Vec<Block>> {
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
                own(words::median_before(count)),
            ]
        }));
    }
    let columns = vec![
        column("By", Kind::Word),
        column("Value", Kind::Name(12)),
        column("Incidents", Kind::Number),
        column("Week before", Kind::Number),
        column("Median of 4 before", Kind::Number),
    ];
    let mut blocks = vec![Block::Table(Table { columns, rows })];
    blocks.extend(more);
    blocks.extend(by_day(digest));
    blocks.push(Block::Note(
        "Incidents count in the week they were reported in; weeks before the ledger begins are n/a. Severity: the highest of \
         the alerts that fired for it, none when none did. Category: of the checks that failed; an incident counts in each."
            .into(),
    ));
    Some(blocks)
}

fn by_day(digest: &Digest) -> Option<Block> {
    let days = &digest.figures.days;
    let mut told = Vec::new();
    for day in digest.week.calendar().days() {
        let incidents: u64 = days.iter().filter(|count| count.day == day).map(|count| count.incidents).sum();
        told.push(format!("{} {incidents}", day.format("%a %d")));
    }
    (!days.is_empty()).then(|| Block::Note(format!("By day: {}.", told.join(", "))))
}

pub fn durations(digest: &Digest) -> Option<Vec<Block>> {
    let week = digest.week.calendar();
    let known: Vec<_> = Measure::ALL.iter().filter_map(|measure| digest.figures.duration(week, *measure)).collect();
    if known.is_empty() {
        return None;
    }
    let rows = known.iter().map(|known| {
        let before = digest.figures.duration(week.earlier(1), known.measure);
        vec![
            own(words::measure(known.measure).0),
            own(known.n),
            own(duration(known.p50_known_s())),
            own(duration(known.p95_known_s())),
            own(known.open),
            own(known.clock_skew),
            own(words::p50_with_n(before)),
        ]
    });
    let columns = vec![
        column("Duration", Kind::Word),
        column("n", Kind::Number),
        column("p50", Kind::Number),
        column("p95", Kind::Number),
        column("Open", Kind::Number),
        column("Skew", Kind::Number),
        column("p50 week before", Kind::Number),
    ];
    let table = Table { columns, rows: rows.collect() };
    let definitions = known.iter().map(|known| {
        let (what, definition) = words::measure(known.measure);
        format!("{what}: {definition}.")
    });
    let definitions = definitions.collect::<Vec<_>>().join(" ");
    Some(vec![Block::Table(table), Block::Note(definitions), Block::Note(words::about_durations())])
}

pub fn causes(digest: &Digest) -> Option<Vec<Block>> {
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
        column("Rank", Kind::Number),
        column("Week before", Kind::Word),
        column("Incidents", Kind::Number),
        column("Resources", Kind::Number),
        column("First", Kind::Word),
        column("Root cause", Kind::Name(16)),
    ];
    let mut blocks = vec![Block::Table(Table { columns, rows: rows.collect() })];
    blocks.extend(more);
    blocks.push(Block::Note(format!(
        "Rank by incidents; causes with as many share one. Week before: its rank and incidents then; new: not seen in the \
         {NEW_CAUSE_WEEKS} weeks before. Resources: different first affected ones. First: its first incident of the week."
    )));
    Some(blocks)
}

pub fn checks(digest: &Digest) -> Option<Vec<Block>> {
    let checks = &digest.figures.checks;
    let zone = digest.week.zone();
    let mut weeks: Vec<Timestamp> = checks.iter().map(|check| check.week_start).collect();
    weeks.sort_unstable();
    weeks.dedup();
    // The digest's week and the four before; the latest, should there be more.
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
    let titles = weeks.iter().map(|week| column(Week::of(*week, zone).to_string(), Kind::Number));
    let columns =
        [column("Category", Kind::Name(12)), column("Status", Kind::Word)].into_iter().chain(titles).collect();
    let mut blocks = vec![Block::Table(Table { columns, rows })];
    blocks.extend(more);
    blocks.push(Block::Note(
        "Best-practice checks made in each week. PARTIAL means incomplete data; n/a: none of the category was made."
            .into(),
    ));
    Some(blocks)
}

pub fn load(digest: &Digest) -> Option<Vec<Block>> {
    let load = &digest.figures.load;
    let sum = |count: fn(&OnCallLoad) -> u64| load.iter().map(count).sum::<u64>();
    let (incidents, alerts, urgent) =
        (sum(|load| load.incidents), sum(|load| load.alerts), sum(|load| load.urgent_alerts));
    if incidents + alerts == 0 {
        return None;
    }
    let rows = load.iter().map(|load| {
        vec![
            own(words::band(load.band).0),
            own(share(load.incidents, incidents)),
            own(share(load.alerts, alerts)),
            own(share(load.urgent_alerts, urgent)),
        ]
    });
    let columns = vec![
        column("Band", Kind::Word),
        column("Incidents", Kind::Number),
        column("Alerts", Kind::Number),
        column("Urgent", Kind::Number),
    ];
    let bands = HourBand::ALL.iter().map(|band| {
        let (band, hours) = words::band(*band);
        format!("{band} {hours}")
    });
    let note = format!(
        "Incidents reported and alerts that fired; urgent ones are HIGH or CRITICAL. Bands in local time: {}. {}",
        bands.collect::<Vec<_>>().join("; "),
        words::about_shares()
    );
    Some(vec![Block::Table(Table { columns, rows: rows.collect() }), Block::Note(note)])
}
