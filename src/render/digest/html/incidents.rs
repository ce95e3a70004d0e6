//! Counts, durations and open incidents.

use maud::{Markup, html};

use super::{
    SHOWN,
    calendar::Calendar,
    nothing, section,
    table::{HtmlColumn, RowGroup, cell, more, number, rows, stacked, table, text, with_note, word},
    values::{age_name, count, decimal, duration, measure_definition, measure_name, median, outside_text, p95},
};
use crate::{
    domain::digest::{
        AgeingIncident, Digest, Duration, Figures, MIN_FOR_MEDIAN, MIN_FOR_P95, WeeklyCount,
        dimension::{AgeBand, Dimension, Measure},
    },
    render::plain::na,
};

/// Values shown of each dimension.
const VALUES_SHOWN: usize = 10;

fn dimension_name(dimension: Dimension) -> Option<&'static str> {
    match dimension {
        Dimension::Total => None,
        Dimension::Type => Some("By type"),
        Dimension::Severity => Some("By severity"),
        Dimension::Workspace => Some("By workspace"),
        Dimension::Category => Some("By category"),
    }
}

pub fn counts(figures: &Figures) -> Markup {
    let title = "Incidents counted";
    let groups: Vec<RowGroup> =
        Dimension::ALL.iter().filter_map(|dimension| count_group(figures, *dimension)).collect();
    if groups.is_empty() {
        return nothing("counts", title, "No incidents were reported.");
    }
    let definition = html! {
        "By the time of the report. Severity: the highest of the alerts that fired for an incident, or none. Category: of failed \
        checks; an incident counts in each of them. The median is of the known ones of the four weeks before."
    };
    let columns = [text("Incidents"), number("This week"), number("Week before"), number("Median before")];
    section("counts", title, Some(definition), table(title, &columns, groups))
}

fn count_group(figures: &Figures, dimension: Dimension) -> Option<RowGroup> {
    let all = || figures.counts.iter().filter(move |row| row.dimension == dimension);
    let mut rows: Vec<_> = all().take(VALUES_SHOWN).map(count_row).collect();
    if rows.is_empty() {
        return None;
    }
    let rest = all().skip(VALUES_SHOWN);
    let hidden = rest.clone().count();
    if hidden > 0 {
        let incidents = rest.fold(0, |sum: u64, row| sum.saturating_add(row.incidents));
        let name = format!("and {} more", count(hidden as u64));
        rows.push(vec![cell(name), cell(count(incidents)), cell(""), cell("")]);
    }
    Some(RowGroup { title: dimension_name(dimension).map(str::to_owned), rows })
}

fn count_row(row: &WeeklyCount) -> Vec<Markup> {
    let name = match row.dimension {
        Dimension::Total => "all".to_owned(),
        Dimension::Type => outside_text(&row.value).replace('-', " "),
        _ => outside_text(&row.value),
    };
    let before = na(row.median_before.map(decimal));
    let before = match row.weeks_before {
        0 | 4 => cell(before),
        1 => with_note(before, "of 1 week"),
        known => with_note(before, format_args!("of {known} weeks")),
    };
    vec![cell(name), cell(count(row.incidents)), cell(na(row.previous.map(count))), before]
}

pub fn durations(digest: &Digest) -> Markup {
    let title = "Time taken";
    let of = |measure| {
        let own = |row: &&Duration| row.measure == measure && row.week_start == digest.week.start;
        digest.figures.durations.iter().find(own)
    };
    let measured: Vec<_> = Measure::ALL.iter().filter_map(|measure| of(*measure)).map(duration_row).collect();
    if measured.is_empty() {
        return nothing("durations", title, "There is nothing to measure.");
    }
    let definition = html! {
        "Of the incidents reported in the week. n is how many durations are known by its end, open how many are not over. \
        Where the clocks disagree, so that an end comes before its start, the duration is set aside. The 95th percentile \
        (p95) is interpolated. No median (p50) of fewer than " (MIN_FOR_MEDIAN) ", no p95 of fewer than " (MIN_FOR_P95) "."
    };
    let columns = [text("Measure"), number("n"), number("p50"), number("p95"), number("Open"), number("Set aside")];
    section("durations", title, Some(definition), table(title, &columns, rows(measured)))
}

fn duration_row(row: &Duration) -> Vec<Markup> {
    vec![
        with_note(measure_name(row.measure), measure_definition(row.measure)),
        cell(count(row.n)),
        cell(duration(median(row.p50_s, row.n))),
        cell(duration(p95(row.p95_s, row.n))),
        cell(count(row.open)),
        cell(count(row.clock_skew)),
    ]
}

pub fn open(figures: &Figures, calendar: &Calendar) -> Markup {
    let title = "Open incidents by age";
    if figures.open.is_empty() {
        return nothing("open", title, "No incident was open at the end of the week.");
    }
    let bands = AgeBand::ALL.iter().map(|band| {
        let open = figures.open.iter().filter(|open| open.age == *band).count();
        vec![cell(age_name(*band)), cell(count(open as u64))]
    });
    let mut oldest: Vec<&AgeingIncident> = figures.open.iter().collect();
    oldest.sort_by_key(|open| (open.reported_at, open.incident_id));
    let columns: [HtmlColumn; 4] = [text("Incident"), number("Age"), word("Acknowledged"), text("Resource")];
    let shown = oldest.iter().take(SHOWN).map(|open| incident_row(open, calendar));
    let body = html! {
        (table("Open incidents by age band", &[text("Age"), number("Incidents")], rows(bands)))
        h3 { @if oldest.len() > SHOWN { "The oldest " (SHOWN) } @else { "The oldest first" } }
        (stacked("The oldest open incidents", &columns, rows(shown)))
        (more(oldest.len(), SHOWN))
    };
    let definition = html! {
        "Open at the end of the week. Age: from the report to the end of the week. Acknowledged: first explicit \
        acknowledgement by then."
    };
    section("open", title, Some(definition), body)
}

fn incident_row(open: &AgeingIncident, calendar: &Calendar) -> Vec<Markup> {
    vec![
        with_note(
            format_args!("{}: {}", open.incident_id, outside_text(&open.title)),
            format_args!("{}, reported {}", open.incident_type, calendar.minute(open.reported_at)),
        ),
        cell(duration(Some(open.age_hours * 3_600.0))),
        cell(open.acknowledged_at.map_or_else(|| "not yet".to_owned(), |at| calendar.minute(at))),
        with_note(
            na(open.resource_name.as_deref().map(outside_text)),
            format_args!("workspace {}", outside_text(&open.workspace_id)),
        ),
    ]
}
