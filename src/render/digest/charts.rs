//! Charts as inline SVG, drawn for the width of a phone, in colours that follow the theme of the page.
//!
//! A chart is data in, SVG out, the same for the same data. Its numbers never depend on colour alone: labels, the order of
//! the legend or sizes say them too, and the page puts the data behind each chart as a table.
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

/// Width of every chart, in its own units: the text is as large as the page's small print on a phone of 380 px.
pub const WIDTH: i32 = 360;
/// Size of text, in the same units.
const TEXT_SIZE: f64 = 12.0;

type Canvas<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn = Result<(), DrawingAreaErrorKind<io::Error>>;

/// What a chart says to those who do not see it.
#[derive(Debug)]
struct Telling<'a> {
    /// Unique in the page.
    id: &'static str,
    title: &'a str,
    description: &'a str,
}

/// `None` if it cannot be drawn; the page has the data as a table anyway.
fn draw(telling: &Telling<'_>, height: i32, paint: impl FnOnce(&Canvas<'_>) -> Drawn) -> Option<Markup> {
    let mut svg = String::new();
    {
        let size = (u32::try_from(WIDTH).ok()?, u32::try_from(height).ok()?);
        let canvas = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        paint(&canvas).ok()?;
        canvas.present().ok()?;
    }
    let (_, inside) = svg.split_once('>')?;
    let inside = ink::dress(inside.trim().strip_suffix("</svg>")?);
    let [title, description] = ["title", "desc"].map(|part| format!("{}-{part}", telling.id));
    Some(html! {
        svg viewBox={ "0 0 " (WIDTH) " " (height) } width=(WIDTH) height=(height) role="img"
            aria-labelledby={ (title) " " (description) } {
            title id=(title) { (telling.title) }
            desc id=(description) { (telling.description) }
            (PreEscaped(inside))
        }
    })
}

/// Where text stands relative to its point.
#[derive(Debug, Clone, Copy)]
enum Align {
    Left,
    Middle,
}

/// Text whose vertical middle is at the point.
fn write(canvas: &Canvas<'_>, text: &str, at: (i32, i32), align: Align, ink: Ink) -> Drawn {
    canvas.draw_text(text, &style(align, ink, FontStyle::Normal), at)
}

fn write_bold(canvas: &Canvas<'_>, text: &str, at: (i32, i32), align: Align, ink: Ink) -> Drawn {
    canvas.draw_text(text, &style(align, ink, FontStyle::Bold), at)
}

fn style(align: Align, ink: Ink, weight: FontStyle) -> TextStyle<'static> {
    let across = match align {
        Align::Left => HPos::Left,
        Align::Middle => HPos::Center,
    };
    // The backend divides the size by 1.24.
    let font = ("sans-serif", TEXT_SIZE * 1.24).into_font().style(weight);
    TextStyle { font, color: ink.color().to_backend_color(), pos: Pos::new(across, VPos::Center) }
}

/// Horizontal lines at an axis' ticks, with their labels.
fn grid(chart: &mut ChartContext<'_, SVGBackend<'_>, Cartesian2d<Axis, Axis>>) -> Drawn {
    chart
        .configure_mesh()
        .disable_x_mesh()
        .axis_style(TRANSPARENT)
        .set_all_tick_mark_size(2)
        .bold_line_style(Ink::Grid.color())
        .y_label_style(style(Align::Left, Ink::Faint, FontStyle::Normal))
        .draw()
}

fn filled(ink: Ink) -> ShapeStyle {
    ShapeStyle::from(&ink.color()).filled()
}

#[cfg(test)]
mod tests;
