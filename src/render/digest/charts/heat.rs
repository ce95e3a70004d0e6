//! A heat map of hour by weekday. The more incidents, the larger and the stronger the square.

use maud::Markup;
use plotters::prelude::Rectangle;

use super::{Canvas, ChartDescription, DrawResult, TextAlign, WIDTH, draw, filled, ink::Ink, scale::short, write};

/// Incidents by weekday, Monday first, and hour.
pub type HourlyCounts = [[u64; 24]; 7];

pub const WEEKDAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

const LEFT: i32 = 34;
const TOP: i32 = 4;
const ACROSS: i32 = 13;
const DOWN: i32 = 17;
/// Sides of the squares, by level.
const SIDES: [i32; Ink::LEVELS] = [5, 7, 9, 12];

/// `None` if there are no incidents.
pub fn chart(title: &str, hours: &HourlyCounts) -> Option<Markup> {
    let cells = || (0..7_usize).flat_map(|day| (0..24_usize).map(move |hour| (day, hour)));
    let most = cells().map(|(day, hour)| hours[day][hour]).max().filter(|most| *most > 0)?;
    let (day, hour) = cells().find(|(day, hour)| hours[*day][*hour] == most)?;
    let description = format!(
        "A square for every hour of every weekday, larger and stronger for more incidents. The most, {most}, came on {} \
         between {hour:02}:00 and {hour:02}:59.",
        WEEKDAYS[day]
    );
    let bottom = TOP + 7 * DOWN;
    let chart_description = ChartDescription { id: "chart-hours", title, description: &description };
    let height = bottom + 30 + (levels(most) as i32 / legend_columns(most) + 1) * 18;
    draw(&chart_description, height, |canvas| {
        for (day, name) in WEEKDAYS.iter().enumerate() {
            write(canvas, name, (1, middle(day, DOWN, TOP)), TextAlign::Left, Ink::Faint)?;
        }
        for hour in [0, 6, 12, 18, 23] {
            write(
                canvas,
                &format!("{hour:02}"),
                (middle(hour, ACROSS, LEFT), bottom + 10),
                TextAlign::Middle,
                Ink::Faint,
            )?;
        }
        for (day, hour) in cells() {
            square(canvas, (middle(hour, ACROSS, LEFT), middle(day, DOWN, TOP)), level(hours[day][hour], most))?;
        }
        legend(canvas, most, bottom + 36)
    })
}

fn middle(place: usize, step: i32, from: i32) -> i32 {
    from + place as i32 * step + step / 2
}

/// The number of levels: at most the largest count.
fn levels(most: u64) -> u64 {
    most.min(Ink::LEVELS as u64)
}

/// The level of a count; `None` for 0. Levels have equal width, the last ends at `most`, and few levels use the strongest.
fn level(count: u64, most: u64) -> Option<usize> {
    let above = (u128::from(count) * u128::from(levels(most))).div_ceil(u128::from(most.max(1)));
    let above = usize::try_from(above).ok()?;
    above.checked_sub(1).map(|level| (Ink::LEVELS - levels(most) as usize + level).min(Ink::LEVELS - 1))
}

fn square(canvas: &Canvas<'_>, (x, y): (i32, i32), level: Option<usize>) -> DrawResult {
    let (side, ink) = level.map_or((2, Ink::Grid), |level| (SIDES[level], Ink::Level(level)));
    let (left, top) = (x - side / 2, y - side / 2);
    canvas.draw(&Rectangle::new([(left, top), (left + side, top + side)], filled(ink)))
}

/// The columns of the legend: one row if the ranges are short.
fn legend_columns(most: u64) -> i32 {
    if most < 1_000 { Ink::LEVELS as i32 + 1 } else { 3 }
}

fn legend(canvas: &Canvas<'_>, most: u64, y: i32) -> DrawResult {
    let (count, columns) = (levels(most), legend_columns(most));
    let edge = |level: u64| (u128::from(most) * u128::from(level) / u128::from(count)) as u64;
    for place in 0..=count {
        let (column, row) = (place as i32 % columns, place as i32 / columns);
        let (left, y) = (column * (WIDTH / columns), y + row * 18);
        let (from, to) = match place {
            0 => (0, 0),
            place => (edge(place - 1) + 1, edge(place)),
        };
        square(canvas, (left + 7, y), level(to, most))?;
        let range = if from == to { short(to) } else { format!("{}–{}", short(from), short(to)) };
        write(canvas, &range, (left + 18, y), TextAlign::Left, Ink::Text)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_of_equal_width_and_end_at_the_most() {
        fn check(most: u64, expected: &[(u64, Option<usize>)]) {
            for (count, found) in expected {
                assert_eq!(level(*count, most), *found, "{count} of {most}");
            }
        }
        check(1, &[(0, None), (1, Some(3))]);
        check(3, &[(0, None), (1, Some(1)), (2, Some(2)), (3, Some(3))]);
        check(8, &[(1, Some(0)), (2, Some(0)), (3, Some(1)), (6, Some(2)), (7, Some(3)), (8, Some(3))]);
        check(u64::MAX, &[(0, None), (1, Some(0)), (u64::MAX, Some(3))]);
    }
}
