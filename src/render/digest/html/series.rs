//! The figures arranged for charts and for the tables of their data.

use std::collections::BTreeMap;

use super::{
    calendar::{Calendar, short},
    values::{median, outside_text, p95},
};
use crate::{
    domain::{
        digest::{CauseRank, Figures, dimension::Measure},
        incident::classification::IncidentType,
    },
    render::digest::charts::{
        by_day::{DayCounts, WeekCounts},
        causes::CauseBar,
        heat::HourlyCounts,
        time_to_resolve::ResolveWeek,
    },
};

/// Five weeks of days, the digest's own last. Weeks before the ledger begins are unknown.
pub fn days(figures: &Figures, calendar: &Calendar) -> Vec<WeekCounts> {
    let mut counts = BTreeMap::new();
    for row in &figures.days {
        *counts.entry((row.day, row.incident_type)).or_insert(0_u64) += row.incidents;
    }
    let known_before = figures.total().map_or(0, |total| total.weeks_before);
    let weeks_ago = (0..5).rev();
    calendar
        .weeks()
        .into_iter()
        .zip(weeks_ago)
        .map(|(week, ago)| WeekCounts {
            label: short(week),
            known: ago <= known_before,
            days: week
                .days()
                .map(|date| DayCounts {
                    date,
                    by_type: IncidentType::ALL
                        .iter()
                        .map(|kind| counts.get(&(date, *kind)).copied().unwrap_or(0))
                        .collect(),
                })
                .collect(),
        })
        .collect()
}

/// Five weeks. A median or percentile of too few values is `None`.
pub fn time_to_resolve(figures: &Figures, calendar: &Calendar) -> Vec<ResolveWeek> {
    let of = |start| figures.durations.iter().find(|row| row.measure == Measure::Resolve && row.week_start == start);
    calendar
        .weeks()
        .into_iter()
        .map(|week| {
            let row = of(week.start());
            ResolveWeek {
                label: short(week),
                n: row.map(|row| row.n),
                p50_s: row.and_then(|row| median(row.p50_s, row.n)),
                p95_s: row.and_then(|row| p95(row.p95_s, row.n)),
            }
        })
        .collect()
}

/// The number of causes in the chart.
pub const BARS: usize = 8;

/// The most frequent causes.
pub fn causes(figures: &Figures) -> Vec<CauseBar> {
    let bar = |cause: &CauseRank| CauseBar {
        name: outside_text(&cause.root_cause),
        incidents: cause.incidents,
        previous: cause.previous_incidents,
        is_new: cause.is_new,
    };
    figures.causes.iter().take(BARS).map(bar).collect()
}

/// Incidents by weekday and hour. Rows with an invalid weekday or hour are left out.
pub fn hours(figures: &Figures) -> HourlyCounts {
    let mut hours = [[0_u64; 24]; 7];
    for row in &figures.hours {
        let cell = (row.weekday as usize)
            .checked_sub(1)
            .and_then(|day| hours.get_mut(day))
            .and_then(|day| day.get_mut(row.hour as usize));
        if let Some(cell) = cell {
            *cell = cell.saturating_add(row.incidents);
        }
    }
    hours
}
