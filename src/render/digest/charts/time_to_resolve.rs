//! Median and 95th percentile of the time to resolve, by week.

use maud::Markup;
use plotters::prelude::{ChartBuilder, Circle, PathElement, Polygon};

use super::{
    Canvas, ChartDescription, DrawResult, TEXT_SIZE, TextAlign, WIDTH, draw, filled, grid,
    ink::Ink,
    scale::{Axis, duration_ticks, fit, short, short_duration},
    write, write_bold,
};
use crate::render::plain::{NA, duration};

/// One week. A median or percentile of too few values is `None`.
#[derive(Debug, Clone, PartialEq)]
pub struct ResolveWeek {
    /// Such as `W08`.
    pub label: String,
    /// The number of values; `None` if the week is unknown.
    pub n: Option<u64>,
    /// Seconds.
    pub p50_s: Option<f64>,
    /// Seconds.
    pub p95_s: Option<f64>,
}

const LEFT: i32 = 56;
const TOP: i32 = 38;
const PLOT: i32 = 140;
const BOTTOM: i32 = 50;
/// Space between the lowest line and the names of the weeks, for labels of low points.
const ROOM: i32 = 16;

/// Weeks from the earliest to the digest's own. `None` if no median is known in any of them.
pub fn chart(title: &str, weeks: &[ResolveWeek]) -> Option<Markup> {
    let known = || weeks.iter().flat_map(|week| [week.p50_s, week.p95_s]).flatten().filter(|s| s.is_finite());
    known().next()?;
    let most = known().fold(0.0, f64::max);
    let of = |week: &ResolveWeek| format!("{} {}", week.label, duration(week.p50_s));
    let medians: Vec<String> = weeks.iter().map(of).collect();
    let description = format!("Points for each week. Medians: {}.", medians.join(", "));
    let chart_description = ChartDescription { id: "chart-resolve", title, description: &description };
    draw(&chart_description, TOP + PLOT + BOTTOM, |canvas| {
        legend(canvas)?;
        let mut chart = ChartBuilder::on(canvas)
            .margin_top(TOP)
            .x_label_area_size(BOTTOM)
            .y_label_area_size(LEFT)
            .build_cartesian_2d(Axis::bare(WIDTH - LEFT), Axis::ticked(duration_ticks(most), axis_label))?;
        grid(&mut chart)?;

        let column = (WIDTH - LEFT) / weeks.len().max(1) as i32;
        let middle = |number: usize| LEFT + number as i32 * column + column / 2;
        let height = |seconds: f64| chart.plotting_area().map_coordinate(&(0.0, seconds)).1;
        for (number, pair) in weeks.windows(2).enumerate() {
            if let [ResolveWeek { p50_s: Some(one), .. }, ResolveWeek { p50_s: Some(next), .. }] = pair {
                let ends = [(middle(number), height(*one)), (middle(number + 1), height(*next))];
                canvas.draw(&PathElement::new(ends, Ink::Main.color()))?;
            }
        }
        for (number, week) in weeks.iter().enumerate() {
            points(canvas, week, middle(number), column, height)?;
            name(canvas, week, number + 1 == weeks.len(), middle(number), column)?;
        }
        Ok(())
    })
}

/// The label of the median is below its point and that of the percentile above, so they never overlap.
fn points(canvas: &Canvas<'_>, week: &ResolveWeek, x: i32, column: i32, height: impl Fn(f64) -> i32) -> DrawResult {
    let label = |seconds: f64| {
        let full = duration(Some(seconds));
        if fit(&full, f64::from(column), TEXT_SIZE) == full { full } else { short_duration(seconds) }
    };
    match week.p50_s {
        Some(p50) => {
            canvas.draw(&Circle::new((x, height(p50)), 4, filled(Ink::Main)))?;
            write(canvas, &label(p50), (x, height(p50) + 13), TextAlign::Middle, Ink::Text)?;
        }
        None => write(canvas, NA, (x, TOP + PLOT - 10), TextAlign::Middle, Ink::Faint)?,
    }
    match week.p95_s {
        Some(p95) => {
            canvas.draw(&diamond((x, height(p95))))?;
            write(canvas, &label(p95), (x, height(p95) - 13), TextAlign::Middle, Ink::Text)
        }
        None => Ok(()),
    }
}

/// The label below the points of a week.
fn name(canvas: &Canvas<'_>, week: &ResolveWeek, own: bool, x: i32, column: i32) -> DrawResult {
    let y = TOP + PLOT + ROOM;
    let name = if own { write_bold } else { write };
    name(canvas, &week.label, (x, y + 10), TextAlign::Middle, Ink::Text)?;
    let n = week.n.map_or_else(|| NA.to_owned(), |n| format!("n={}", short(n)));
    write(canvas, &fit(&n, f64::from(column), TEXT_SIZE), (x, y + 24), TextAlign::Middle, Ink::Faint)
}

fn axis_label(seconds: f64) -> String {
    fit(&short_duration(seconds), f64::from(LEFT - 5), TEXT_SIZE)
}

fn legend(canvas: &Canvas<'_>) -> DrawResult {
    canvas.draw(&Circle::new((5, 9), 4, filled(Ink::Main)))?;
    write(canvas, "median", (16, 9), TextAlign::Left, Ink::Text)?;
    canvas.draw(&diamond((125, 9)))?;
    write(canvas, "95th percentile", (136, 9), TextAlign::Left, Ink::Text)
}

fn diamond((x, y): (i32, i32)) -> Polygon<(i32, i32)> {
    Polygon::new(vec![(x, y - 5), (x + 5, y), (x, y + 5), (x - 5, y)], filled(Ink::Second))
}
