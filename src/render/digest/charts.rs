//! Charts as inline SVG, drawn for the width of a phone, in colours that follow the theme of the page.
//!
//! The same data gives the same SVG. Numbers never depend on colour alone: labels, the order of the legend or sizes show them
//! too, and the page has the data of each chart as a table.
//!
//! - [`by_day`]: incidents by day, stacked by type
//! - [`time_to_resolve`]: median and 95th percentile by week
//! - [`causes`]: this week beside the one before
//! - [`heat`]: hour by weekday
//! - [`ink`]: colours, in a light and a dark theme
//! - [`scale`]: ticks, and how much text fits

use std::io;

use maud::{Markup, PreEscaped, html};
use plotters::{
    coord::Shift,
    prelude::{
        Cartesian2d, ChartContext, DrawingArea, DrawingAreaErrorKind, FontStyle, IntoDrawingArea, IntoFont, SVGBackend,
        TRANSPARENT, TextStyle,
    },
    style::{
        Color, ShapeStyle,
        text_anchor::{HPos, Pos, VPos},
    },
};

use ink::Ink;
use scale::Axis;

pub mod by_day;
pub mod causes;
pub mod heat;
pub mod ink;
pub mod scale;
pub mod time_to_resolve;

/// Width of every chart, in SVG units. On a phone of 380 px, its text has the size of the page's small print.
pub const WIDTH: i32 = 360;
/// Size of text, in the same units.
const TEXT_SIZE: f64 = 12.0;

type Canvas<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type DrawResult = Result<(), DrawingAreaErrorKind<io::Error>>;

/// The accessible description of a chart.
#[derive(Debug)]
struct ChartDescription<'a> {
    /// Unique in the page.
    id: &'static str,
    title: &'a str,
    description: &'a str,
}

/// `None` if it cannot be drawn; the page still has the data as a table.
fn draw(
    chart_description: &ChartDescription<'_>,
    height: i32,
    paint: impl FnOnce(&Canvas<'_>) -> DrawResult,
) -> Option<Markup> {
    let mut svg = String::new();
    {
        let size = (u32::try_from(WIDTH).ok()?, u32::try_from(height).ok()?);
        let canvas = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        paint(&canvas).ok()?;
        canvas.present().ok()?;
    }
    let (_, inside) = svg.split_once('>')?;
    let inside = ink::add_classes(inside.trim().strip_suffix("</svg>")?);
    let [title, description] = ["title", "desc"].map(|part| format!("{}-{part}", chart_description.id));
    Some(html! {
        svg viewBox={ "0 0 " (WIDTH) " " (height) } width=(WIDTH) height=(height) role="img"
            aria-labelledby={ (title) " " (description) } {
            title id=(title) { (chart_description.title) }
            desc id=(description) { (chart_description.description) }
            (PreEscaped(inside))
        }
    })
}

/// The position of text relative to its point.
#[derive(Debug, Clone, Copy)]
enum TextAlign {
    Left,
    Middle,
}

/// Text whose vertical middle is at the point.
fn write(canvas: &Canvas<'_>, text: &str, at: (i32, i32), align: TextAlign, ink: Ink) -> DrawResult {
    canvas.draw_text(text, &style(align, ink, FontStyle::Normal), at)
}

fn write_bold(canvas: &Canvas<'_>, text: &str, at: (i32, i32), align: TextAlign, ink: Ink) -> DrawResult {
    canvas.draw_text(text, &style(align, ink, FontStyle::Bold), at)
}

fn style(align: TextAlign, ink: Ink, weight: FontStyle) -> TextStyle<'static> {
    let across = match align {
        TextAlign::Left => HPos::Left,
        TextAlign::Middle => HPos::Center,
    };
    // The backend divides the size by 1.24.
    let font = ("sans-serif", TEXT_SIZE * 1.24).into_font().style(weight);
    TextStyle { font, color: ink.color().to_backend_color(), pos: Pos::new(across, VPos::Center) }
}

/// Horizontal lines at an axis' ticks, with their labels.
fn grid(chart: &mut ChartContext<'_, SVGBackend<'_>, Cartesian2d<Axis, Axis>>) -> DrawResult {
    chart
        .configure_mesh()
        .disable_x_mesh()
        .axis_style(TRANSPARENT)
        .set_all_tick_mark_size(2)
        .bold_line_style(Ink::Grid.color())
        .y_label_style(style(TextAlign::Left, Ink::Faint, FontStyle::Normal))
        .draw()
}

fn filled(ink: Ink) -> ShapeStyle {
    ShapeStyle::from(&ink.color()).filled()
}

#[cfg(test)]
mod tests;
