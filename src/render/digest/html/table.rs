//! Tables with real headers. On a phone a wide table is stacked: each row becomes a block of labelled values. Its ARIA roles
//! are explicit, because the stacked layout drops the implicit ones.

use maud::{Markup, html};

use super::values::count;

/// A column.
#[derive(Debug, Clone)]
pub struct HtmlColumn {
    title: String,
    /// The CSS class of its cells.
    class: Option<&'static str>,
}

pub fn text(title: impl Into<String>) -> HtmlColumn {
    HtmlColumn { title: title.into(), class: None }
}

/// A column of our own short words, which are not broken.
pub fn word(title: impl Into<String>) -> HtmlColumn {
    HtmlColumn { title: title.into(), class: Some("word") }
}

pub fn number(title: impl Into<String>) -> HtmlColumn {
    HtmlColumn { title: title.into(), class: Some("number") }
}

/// One row: its header cell, then a cell for each further column.
pub type HtmlRow = Vec<Markup>;

/// A cell of text.
pub fn cell(text: impl std::fmt::Display) -> Markup {
    html! { (text.to_string()) }
}

/// A cell of text with small print below.
pub fn with_note(text: impl std::fmt::Display, note: impl std::fmt::Display) -> Markup {
    html! { (text.to_string()) span.under { br; (note.to_string()) } }
}

/// Rows that belong together.
#[derive(Debug)]
pub struct RowGroup {
    pub title: Option<String>,
    pub rows: Vec<HtmlRow>,
}

/// One group without a title.
pub fn rows(rows: impl IntoIterator<Item = HtmlRow>) -> Vec<RowGroup> {
    vec![RowGroup { title: None, rows: rows.into_iter().collect() }]
}

/// A table that is narrow enough for a phone.
pub fn table(label: &str, columns: &[HtmlColumn], groups: Vec<RowGroup>) -> Markup {
    draw("plain", label, columns, groups)
}

/// A table that is stacked on a phone.
pub fn stacked(label: &str, columns: &[HtmlColumn], groups: Vec<RowGroup>) -> Markup {
    draw("stacked", label, columns, groups)
}

/// A stacked table with many numbers: on a phone, two values share a line.
pub fn dense(label: &str, columns: &[HtmlColumn], groups: Vec<RowGroup>) -> Markup {
    draw("stacked dense", label, columns, groups)
}

fn draw(kind: &str, label: &str, columns: &[HtmlColumn], groups: Vec<RowGroup>) -> Markup {
    html! {
        table class=(kind) role="table" aria-label=(label) cellpadding="4" cellspacing="0" {
            thead role="rowgroup" {
                tr role="row" {
                    @for column in columns {
                        th scope="col" role="columnheader" class=[column.class] { (column.title) }
                    }
                }
            }
            @for group in groups {
                tbody role="rowgroup" {
                    @if let Some(title) = &group.title {
                        tr role="row" {
                            th.group scope="rowgroup" role="rowheader" colspan=(columns.len()) { (title) }
                        }
                    }
                    @for row in group.rows {
                        tr role="row" {
                            @for (place, (column, cell)) in columns.iter().zip(row).enumerate() {
                                @if place == 0 {
                                    th scope="row" role="rowheader" { (cell) }
                                } @else {
                                    td role="cell" class=[column.class] data-label=(column.title) {
                                        div { (cell) }
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The number of items of a list that are not shown.
pub fn more(all: usize, shown: usize) -> Markup {
    let rest = all.saturating_sub(shown);
    html! { @if rest > 0 { p.note { "and " (count(rest as u64)) " more" } } }
}
