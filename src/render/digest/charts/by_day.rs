//! Incidents by day, stacked by type.

use chrono::NaiveDate;
use maud::Markup;
use plotters::prelude::{ChartBuilder, Rectangle};

use super::{
    Canvas, ChartDescription, DrawResult, TextAlign, WIDTH, draw, filled, grid,
    ink::Ink,
    scale::{Axis, count_ticks, short},
    write, write_bold,
};
use crate::{domain::incident::classification::IncidentType, render::plain::NA};

/// One local day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DayCounts {
    pub date: NaiveDate,
    /// Incidents of each type, in the order of [`IncidentType::ALL`].
    pub by_type: Vec<u64>,
}

impl DayCounts {
    pub fn incidents(&self) -> u64 {
        self.by_type.iter().fold(0, |sum, count| sum.saturating_add(*count))
    }
}

/// Seven days.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WeekCounts {
    /// Such as `W08`.
    pub label: String,
    /// Whether the ledger had begun by then.
    pub known: bool,
    pub days: Vec<DayCounts>,
}

const LEFT: i32 = 35;
const BOTTOM: i32 = 34;
const PLOT: i32 = 140;
/// A bar and the gap after it.
const DAY: i32 = 9;
const GAP: i32 = 2;
const WEEK: i32 = 7 * DAY + 2;

/// Weeks from the earliest to the digest's own, which is marked. `None` if no week has an incident.
pub fn chart(title: &str, weeks: &[WeekCounts]) -> Option<Markup> {
    let days = || weeks.iter().flat_map(|week| &week.days);
    let busiest = days().max_by_key(|day| (day.incidents(), std::cmp::Reverse(day.date)))?;
    if busiest.incidents() == 0 {
        return None;
    }
    let occurs =
        |(index, _): &(usize, &IncidentType)| days().any(|day| day.by_type.get(*index).is_some_and(|n| *n > 0));
    let types: Vec<_> =
        IncidentType::ALL.iter().enumerate().filter(occurs).map(|(index, kind)| (index, *kind)).collect();
    let description = format!(
        "Stacked bars, one for each day of {} weeks up to {}. The busiest day is {} with {}.",
        weeks.len(),
        weeks.last().map_or("", |week| &week.label),
        busiest.date,
        busiest.incidents()
    );
    let top = legend_height(types.len());
    let chart_description = ChartDescription { id: "chart-days", title, description: &description };
    draw(&chart_description, top + PLOT + BOTTOM, |canvas| {
        legend(canvas, &types)?;
        plot(canvas, top, weeks, &types, busiest.incidents())
    })
}

fn legend_height(types: usize) -> i32 {
    types.div_ceil(3) as i32 * 18 + 8
}

/// In the order of the stack, from below.
fn legend(canvas: &Canvas<'_>, types: &[(usize, IncidentType)]) -> DrawResult {
    for (place, (_, kind)) in types.iter().enumerate() {
        let (left, middle) = ((place % 3) as i32 * 120, (place / 3) as i32 * 18 + 9);
        canvas.draw(&Rectangle::new([(left, middle - 5), (left + 10, middle + 5)], filled(Ink::Type(*kind))))?;
        write(canvas, &kind.as_str().replace('-', " "), (left + 16, middle), TextAlign::Left, Ink::Text)?;
    }
    Ok(())
}

fn plot(canvas: &Canvas<'_>, top: i32, weeks: &[WeekCounts], types: &[(usize, IncidentType)], most: u64) -> DrawResult {
    let floor = top + PLOT;
    if let Some(own) = weeks.len().checked_sub(1) {
        let left = LEFT + own as i32 * WEEK - 2;
        canvas.draw(&Rectangle::new([(left, top - 4), (WIDTH, floor + BOTTOM)], filled(Ink::Band)))?;
    }
    let ticks = count_ticks(most).into_iter().map(|tick| tick as f64).collect();
    let mut chart = ChartBuilder::on(canvas)
        .margin_top(top)
        .x_label_area_size(BOTTOM)
        .y_label_area_size(LEFT)
        .build_cartesian_2d(Axis::bare(WIDTH - LEFT), Axis::ticked(ticks, |tick| short(tick as u64)))?;
    grid(&mut chart)?;
    let height = |count: f64| chart.plotting_area().map_coordinate(&(0.0, count)).1;
    for (number, week) in weeks.iter().enumerate() {
        let left = number as i32 * WEEK;
        for (day, place) in week.days.iter().zip(0..) {
            let from = LEFT + left + place * DAY;
            let mut below = 0.0;
            for (index, kind) in types {
                let count = day.by_type.get(*index).copied().unwrap_or(0) as f64;
                if count > 0.0 {
                    let (low, high) = (height(below), height(below + count));
                    // a gap separates neighbours without colour, if there is room for one
                    let high = if low - high > 3 { high + 1 } else { high };
                    let corners = [(from, high), (from + DAY - GAP, low)];
                    canvas.draw(&Rectangle::new(corners, filled(Ink::Type(*kind))))?;
                    below += count;
                }
            }
        }
        name(canvas, week, number + 1 == weeks.len(), (LEFT + left + (WEEK - 4) / 2, floor))?;
    }
    Ok(())
}

/// The label below the bars of a week.
fn name(canvas: &Canvas<'_>, week: &WeekCounts, own: bool, (middle, floor): (i32, i32)) -> DrawResult {
    if !week.known {
        write(canvas, NA, (middle, floor - 10), TextAlign::Middle, Ink::Faint)?;
    }
    let name = if own { write_bold } else { write };
    name(canvas, &week.label, (middle, floor + 10), TextAlign::Middle, Ink::Text)?;
    match week.days.first() {
        Some(day) => {
            write(canvas, &day.date.format("%-d %b").to_string(), (middle, floor + 24), TextAlign::Middle, Ink::Faint)
        }
        None => Ok(()),
    }
}
