//! The charts, each with its data as a table.

use maud::{Markup, html};

use super::{
    SHOWN,
    calendar::Calendar,
    nothing, section, series,
    table::{RowGroup, cell, dense, more, number, rows, table, text, with_note, word},
    values::{count, duration, measure_definition, outside_text},
};
use crate::{
    domain::{
        digest::{Digest, Figures, MIN_FOR_MEDIAN, MIN_FOR_P95, dimension::Measure},
        incident::classification::IncidentType,
    },
    render::{
        digest::charts::{
            self,
            by_day::{DayCounts, WeekCounts},
            heat::HourlyCounts,
        },
        plain::{NA, na},
    },
};

pub fn trends(digest: &Digest, calendar: &Calendar) -> Markup {
    let title = "Five weeks in charts";
    let figures = &digest.figures;
    if figures.days.is_empty() && figures.hours.is_empty() && figures.causes.is_empty() && figures.durations.is_empty()
    {
        return nothing("trends", title, "There is no data for charts.");
    }
    let body = html! {
        div.charts {
            (by_day(figures, calendar))
            (time_to_resolve(figures, calendar))
            (causes(figures))
            (hours(figures))
        }
    };
    section("trends", title, None, body)
}

/// A chart with its definition and its data; one sentence if there is nothing to draw.
fn figure(title: &str, definition: &str, chart: Option<Markup>, data: Option<Markup>) -> Markup {
    html! {
        figure {
            figcaption { h3 { (title) } p.note { (definition) } }
            @if chart.is_none() { p { "There is no data for this chart." } }
            @if let Some(chart) = chart { (chart) }
            @if let Some(data) = data {
                details { summary { "The data as a table" } (data) }
            }
        }
    }
}

fn by_day(figures: &Figures, calendar: &Calendar) -> Markup {
    let title = "Incidents by day and type";
    let weeks = series::days(figures, calendar);
    let chart = charts::by_day::chart(title, &weeks);
    let data = chart.is_some().then(|| days_table(title, &weeks));
    figure(title, "By the local day of the report; this week is marked.", chart, data)
}

fn days_table(title: &str, weeks: &[WeekCounts]) -> Markup {
    let of = |week: &WeekCounts, day: &DayCounts| match week.known {
        true => vec![cell(day.date.format("%a %-d %b")), cell(count(day.incidents())), cell(types(day))],
        false => vec![cell(day.date.format("%a %-d %b")), cell(NA), cell(NA)],
    };
    let group = |week: &WeekCounts| RowGroup {
        title: Some(week.label.clone()),
        rows: week.days.iter().map(|day| of(week, day)).collect(),
    };
    let columns = [word("Day"), number("Incidents"), text("Types")];
    table(title, &columns, weeks.iter().rev().map(group).collect())
}

/// `4 job failure, 1 validation gap`
fn types(day: &DayCounts) -> String {
    let named = IncidentType::ALL.iter().zip(&day.by_type).filter(|(_, incidents)| **incidents > 0);
    let named: Vec<String> =
        named.map(|(kind, incidents)| format!("{} {}", count(*incidents), kind.as_str().replace('-', " "))).collect();
    named.join(", ")
}

fn time_to_resolve(figures: &Figures, calendar: &Calendar) -> Markup {
    let title = "Time to resolve by week";
    let weeks = series::time_to_resolve(figures, calendar);
    let chart = charts::time_to_resolve::chart(title, &weeks);
    let columns = [text("Week"), number("n"), number("Median"), number("95th percentile")];
    let data = weeks.iter().rev().map(|week| {
        let cells = [week.label.clone(), na(week.n.map(count)), duration(week.p50_s), duration(week.p95_s)];
        cells.into_iter().map(cell).collect()
    });
    let data = chart.is_some().then(|| table(title, &columns, rows(data)));
    let definition = format!(
        "From {}, of incidents reported in each week. No median below n = {MIN_FOR_MEDIAN}, no 95th percentile below \
         n = {MIN_FOR_P95}.",
        measure_definition(Measure::Resolve)
    );
    figure(title, &definition, chart, data)
}

fn causes(figures: &Figures) -> Markup {
    let title = "Causes this week and the week before";
    let chart = charts::causes::chart(title, &series::causes(figures));
    let columns = [
        text("Cause"),
        number("Rank"),
        number("This week"),
        number("Rank before"),
        number("Week before"),
        number("Resources"),
    ];
    let data = figures.causes.iter().take(SHOWN).map(|cause| {
        vec![
            with_note(outside_text(&cause.root_cause), outside_text(&cause.cause)),
            cell(cause.rank),
            cell(count(cause.incidents)),
            cell(na(cause.previous_rank)),
            cell(count(cause.previous_incidents)),
            cell(count(cause.resources)),
        ]
    });
    let data = chart.is_some().then(|| {
        html! {
            (dense(title, &columns, rows(data)))
            (more(figures.causes.len(), SHOWN))
        }
    });
    let definition = if figures.causes.len() > series::BARS {
        format!(
            "Incidents by known cause, the {} most frequent of {}.",
            series::BARS,
            count(figures.causes.len() as u64)
        )
    } else {
        "Incidents by known cause, the most frequent first.".to_owned()
    };
    figure(title, &definition, chart, data)
}

fn hours(figures: &Figures) -> Markup {
    let title = "Incidents by weekday and hour";
    let hours = series::hours(figures);
    let chart = charts::heat::chart(title, &hours);
    let data = chart.is_some().then(|| hours_table(title, &hours));
    figure(title, "By the local hour of the report, this week and the four before together.", chart, data)
}

fn hours_table(title: &str, hours: &HourlyCounts) -> Markup {
    let columns: Vec<_> =
        std::iter::once(text("Hour")).chain(charts::heat::WEEKDAYS.iter().map(|day| number(*day))).collect();
    let data = (0..24_usize).map(|hour| {
        let counts = hours.iter().map(|day| cell(count(day[hour])));
        std::iter::once(cell(format_args!("{hour:02}:00"))).chain(counts).collect()
    });
    table(title, &columns, rows(data))
}
