//! The digest for a terminal: plain columns, sentences wrapped at words.

use super::outline::{Block, Item, Kind, Outline, Section, Table, Words, of};
use crate::{
    domain::digest::Digest,
    render::{
        listing::{fixed, flexible, lay_out, number},
        plain::{columns, cut},
    },
};

/// Narrower than this and tables would say nothing.
const LEAST_WIDTH: usize = 80;
/// Wider than this and sentences are hard to read.
const WIDEST_PROSE: usize = 120;

/// The whole digest, in lines of at most `width` columns, or 80. What is to be copied is never cut or wrapped.
pub fn text(digest: &Digest, width: usize) -> String {
    let width = width.max(LEAST_WIDTH);
    let Outline { title, sections } = of(digest);
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

fn write_section(out: &mut String, section: &Section, width: usize) {
    if !section.title.is_empty() {
        out.push_str(&headed(section.title, '-'));
        out.push('\n');
    }
    let prose = width.min(WIDEST_PROSE);
    let mut after_table = false;
    for block in &section.blocks {
        let table = matches!(block, Block::Table(_));
        if table && after_table {
            out.push('\n');
        }
        after_table = table;
        match block {
            Block::Note(note) => wrap(out, "", "", note, prose),
            Block::Items(items) if section.title.is_empty() => {
                items.iter().for_each(|item| wrap(out, "", "  ", &joined(&item.words), prose));
            }
            Block::Items(items) => items.iter().for_each(|item| write_item(out, item, "- ", 0, prose)),
            Block::Numbered(items) => {
                for (number, item) in (1..).zip(items) {
                    write_item(out, item, &format!("{number}. "), 0, prose);
                }
            }
            Block::Table(table) => out.push_str(&tabulated(table, width)),
        }
    }
}

fn write_item(out: &mut String, item: &Item, mark: &str, indent: usize, width: usize) {
    let hanging = " ".repeat(indent + columns(mark));
    wrap(out, &format!("{}{mark}", " ".repeat(indent)), &hanging, &joined(&item.words), width);
    if let Some(command) = &item.command {
        out.push_str(&format!("{hanging}{command}\n"));
    }
    for below in &item.below {
        write_item(out, below, "- ", indent + columns(mark), width);
    }
}

fn joined(words: &[Words]) -> String {
    words
        .iter()
        .map(|words| match words {
            Words::Own(text) | Words::Outside(text) | Words::Code(text) => text.as_str(),
        })
        .collect()
}

fn tabulated(table: &Table, width: usize) -> String {
    let header: Vec<_> = table
        .columns
        .iter()
        .map(|column| {
            let title = column.title.to_uppercase();
            match column.kind {
                Kind::Word => fixed(title),
                Kind::Number => number(title),
                Kind::Name(least) => flexible(title, least),
            }
        })
        .collect();
    let rows: Vec<Vec<String>> =
        table.rows.iter().map(|row| row.iter().map(|cell| joined(std::slice::from_ref(cell))).collect()).collect();
    lay_out(&header, &rows, width)
}

/// Words in lines of at most `width` columns. A word that fits in no line is broken, but for one that stands alone.
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
                // What has no width by itself can widen what it follows.
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
