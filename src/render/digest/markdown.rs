//! The digest as Markdown (CommonMark with GitHub's tables), readable as source too.

use std::fmt::Write;

use super::outline::{ColumnKind, DigestOutline, OutlineBlock, OutlineItem, OutlineTable, TextFragment, of};
use crate::{
    domain::digest::Digest,
    render::{
        markdown::{code, inline},
        plain::columns,
    },
};

/// The width to which cells are padded at most.
const WIDEST_PADDING: usize = 60;

/// The whole digest.
pub fn markdown(digest: &Digest) -> String {
    let DigestOutline { title, sections } = of(digest);
    let mut out = format!("# {}\n", joined(&title));
    for section in &sections {
        if !section.title.is_empty() {
            let _ = writeln!(out, "\n## {}", section.title);
        }
        for block in &section.blocks {
            out.push('\n');
            match block {
                OutlineBlock::Note(note) => {
                    let _ = writeln!(out, "{note}");
                }
                OutlineBlock::Items(items) => items.iter().for_each(|item| write_item(&mut out, item, "- ", 0)),
                OutlineBlock::Numbered(items) => {
                    for (number, item) in (1..).zip(items) {
                        write_item(&mut out, item, &format!("{number}. "), 0);
                    }
                }
                OutlineBlock::Table(table) => write_table(&mut out, table),
            }
        }
    }
    out
}

fn joined(fragments: &[TextFragment]) -> String {
    fragments
        .iter()
        .map(|fragments| match fragments {
            TextFragment::Own(text) => text.clone(),
            TextFragment::Outside(text) => inline(text),
            TextFragment::Code(text) => code(text),
        })
        .collect()
}

fn write_item(out: &mut String, item: &OutlineItem, mark: &str, indent: usize) {
    let command = item.command.as_deref().map_or_else(String::new, |command| format!(" {}", code(command)));
    let _ = writeln!(out, "{}{mark}{}{command}", " ".repeat(indent), joined(&item.fragments));
    for below in &item.below {
        write_item(out, below, "- ", indent + mark.len());
    }
}

fn write_table(out: &mut String, table: &OutlineTable) {
    let titles: Vec<String> = table.columns.iter().map(|column| column.title.clone()).collect();
    let rows: Vec<Vec<String>> =
        table.rows.iter().map(|row| row.iter().map(|cell| joined(std::slice::from_ref(cell))).collect()).collect();
    let widths: Vec<usize> = (0..titles.len())
        .map(|index| {
            let cells = [&titles].into_iter().chain(&rows).filter_map(|row| row.get(index)).map(|cell| columns(cell));
            cells.max().unwrap_or(0).clamp(3, WIDEST_PADDING)
        })
        .collect();
    let numeric: Vec<bool> = table.columns.iter().map(|column| matches!(column.kind, ColumnKind::Number)).collect();
    let write_row = |out: &mut String, cells: &[String]| {
        out.push('|');
        for ((cell, width), right) in cells.iter().zip(&widths).zip(&numeric) {
            let room = " ".repeat(width.saturating_sub(columns(cell)));
            let _ = if *right { write!(out, " {room}{cell} |") } else { write!(out, " {cell}{room} |") };
        }
        out.push('\n');
    };
    write_row(out, &titles);
    let rules: Vec<String> = widths
        .iter()
        .zip(&numeric)
        .map(|(width, right)| if *right { format!("{}:", "-".repeat(width - 1)) } else { "-".repeat(*width) })
        .collect();
    write_row(out, &rules);
    rows.iter().for_each(|row| write_row(out, row));
}
