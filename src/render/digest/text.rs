//! The digest as plain text for a terminal: aligned columns, wrapped sentences.

use super::outline::{
    ColumnKind, DigestOutline, OutlineBlock, OutlineItem, OutlineSection, OutlineTable, TextFragment, of,
};
use crate::{
    domain::digest::Digest,
    render::{
        listing::{fixed, flexible, lay_out, number},
        plain::{columns, cut},
    },
};

/// Below this width, tables are unreadable.
const LEAST_WIDTH: usize = 80;
/// Above this width, sentences are hard to read.
const WIDEST_PROSE: usize = 120;

/// The whole digest, in lines of at most `width` columns, at least 80. Commands and hashes are never cut or wrapped.
pub fn text(digest: &Digest, width: usize) -> String {
    let width = width.max(LEAST_WIDTH);
    let DigestOutline { title, sections } = of(digest);
    let title = joined(&title).to_uppercase();
    let mut out = format!("{}\n", headed(&cut(&title, width), '='));
    for (index, section) in sections.iter().enumerate() {
        if index > 0 {
            out.push('\n');
        }
        write_section(&mut out, section, width);
    }
    out
}

fn headed(title: &str, rule: char) -> String {
    format!("{title}\n{}", rule.to_string().repeat(columns(title)))
}

fn write_section(out: &mut String, section: &OutlineSection, width: usize) {
    if !section.title.is_empty() {
        out.push_str(&headed(section.title, '-'));
        out.push('\n');
    }
    let prose = width.min(WIDEST_PROSE);
    let mut after_table = false;
    for block in &section.blocks {
        let table = matches!(block, OutlineBlock::Table(_));
        if table && after_table {
            out.push('\n');
        }
        after_table = table;
        match block {
            OutlineBlock::Note(note) => wrap(out, "", "", note, prose),
            OutlineBlock::Items(items) if section.title.is_empty() => {
                items.iter().for_each(|item| wrap(out, "", "  ", &joined(&item.fragments), prose));
            }
            OutlineBlock::Items(items) => items.iter().for_each(|item| write_item(out, item, "- ", 0, prose)),
            OutlineBlock::Numbered(items) => {
                for (number, item) in (1..).zip(items) {
                    write_item(out, item, &format!("{number}. "), 0, prose);
                }
            }
            OutlineBlock::Table(table) => out.push_str(&tabulated(table, width)),
        }
    }
}

fn write_item(out: &mut String, item: &OutlineItem, mark: &str, indent: usize, width: usize) {
    let hanging = " ".repeat(indent + columns(mark));
    wrap(out, &format!("{}{mark}", " ".repeat(indent)), &hanging, &joined(&item.fragments), width);
    if let Some(command) = &item.command {
        out.push_str(&format!("{hanging}{command}\n"));
    }
    for below in &item.below {
        write_item(out, below, "- ", indent + columns(mark), width);
    }
}

fn joined(fragments: &[TextFragment]) -> String {
    fragments
        .iter()
        .map(|fragments| match fragments {
            TextFragment::Own(text) | TextFragment::Outside(text) | TextFragment::Code(text) => text.as_str(),
        })
        .collect()
}

fn tabulated(table: &OutlineTable, width: usize) -> String {
    let header: Vec<_> = table
        .columns
        .iter()
        .map(|column| {
            let title = column.title.to_uppercase();
            match column.kind {
                ColumnKind::Word => fixed(title),
                ColumnKind::Number => number(title),
                ColumnKind::Name(least) => flexible(title, least),
            }
        })
        .collect();
    let rows: Vec<Vec<String>> =
        table.rows.iter().map(|row| row.iter().map(|cell| joined(std::slice::from_ref(cell))).collect()).collect();
    lay_out(&header, &rows, width)
}

/// Appends `text`, wrapped at words to lines of at most `width` columns. A word longer than a line is broken.
pub(in crate::render) fn wrap(out: &mut String, first: &str, hanging: &str, text: &str, width: usize) {
    let mut line = first.to_owned();
    let mut is_empty = true;
    let end = |out: &mut String, line: &mut String| {
        out.push_str(line.trim_end());
        out.push('\n');
        *line = hanging.to_owned();
    };
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        let space = usize::from(!is_empty);
        if !is_empty && columns(&line) + space + columns(word) > width {
            end(out, &mut line);
            is_empty = true;
        }
        if !is_empty {
            line.push(' ');
        }
        if columns(&line) + columns(word) <= width {
            line.push_str(word);
        } else {
            for character in word.chars() {
                let mut bytes = [0; 4];
                let character: &str = character.encode_utf8(&mut bytes);
                // a character without width can widen the one before it
                if columns(&line) + columns(character).max(1) > width {
                    end(out, &mut line);
                }
                line.push_str(character);
            }
        }
        is_empty = false;
    }
    end(out, &mut line);
}
