//! Causes as horizontal bars, this week above the one before.

use maud::Markup;
use plotters::prelude::Rectangle;

use super::{
    Canvas, ChartDescription, DrawResult, TEXT_SIZE, TextAlign, WIDTH, draw, filled,
    ink::Ink,
    scale::{count_ticks, fit, short},
    write,
};

/// One cause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CauseBar {
    /// Safe for one line.
    pub name: String,
    pub incidents: u64,
    /// In the week before.
    pub previous: u64,
    pub is_new: bool,
}

const TOP: i32 = 26;
const ROW: i32 = 50;
/// The longest bar; the rest of the width is for the number after it.
const LONGEST: i32 = WIDTH - 70;

/// Causes in the order given. `None` if there are none.
pub fn chart(title: &str, causes: &[CauseBar]) -> Option<Markup> {
    let first = causes.first()?;
    let most = causes.iter().map(|cause| cause.incidents.max(cause.previous)).max()?;
    let description = format!(
        "Two bars for each of {} causes, this week and the week before. The first is {} with {}, {} the week before.",
        causes.len(),
        first.name,
        first.incidents,
        first.previous
    );
    let chart_description = ChartDescription { id: "chart-causes", title, description: &description };
    draw(&chart_description, TOP + ROW * causes.len() as i32, |canvas| {
        legend(canvas)?;
        let highest = count_ticks(most).last().copied().unwrap_or(1);
        let length = |count: u64| (count as f64 / highest as f64 * f64::from(LONGEST)).round() as i32;
        for (cause, place) in causes.iter().zip(0..) {
            let top = TOP + place * ROW;
            write(
                canvas,
                &fit(&cause.name, f64::from(WIDTH - 1), TEXT_SIZE),
                (1, top + 8),
                TextAlign::Left,
                Ink::Text,
            )?;
            bar(canvas, (top + 17, 11), length(cause.incidents), Ink::Main)?;
            let new = if cause.is_new { ", new" } else { "" };
            let label = format!("{}{new}", short(cause.incidents));
            write(canvas, &label, (length(cause.incidents) + 6, top + 22), TextAlign::Left, Ink::Text)?;
            bar(canvas, (top + 33, 5), length(cause.previous), Ink::Before)?;
            write(canvas, &short(cause.previous), (length(cause.previous) + 6, top + 36), TextAlign::Left, Ink::Faint)?;
        }
        Ok(())
    })
}

/// A bar, at least a line wide, so that every number has a bar.
fn bar(canvas: &Canvas<'_>, (top, height): (i32, i32), length: i32, ink: Ink) -> DrawResult {
    canvas.draw(&Rectangle::new([(0, top), (length.max(2), top + height)], filled(ink)))
}

fn legend(canvas: &Canvas<'_>) -> DrawResult {
    canvas.draw(&Rectangle::new([(0, 4), (10, 15)], filled(Ink::Main)))?;
    write(canvas, "this week", (16, 9), TextAlign::Left, Ink::Text)?;
    canvas.draw(&Rectangle::new([(120, 7), (130, 12)], filled(Ink::Before)))?;
    write(canvas, "week before", (136, 9), TextAlign::Left, Ink::Text)
}
