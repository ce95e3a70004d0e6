//! What stands in a digest, section by section, before it is laid out. Lists are cut here, and say how much is missing.

use std::borrow::Cow;

use super::words;
use crate::{
    domain::digest::{Decision, Digest},
    render::plain::{NA, cut, line},
};

mod counts;
mod work;

/// Longer lists are cut.
const MOST_ROWS: usize = 25;
/// Longer sentences are cut.
const MOST_COLUMNS: usize = 600;
/// Longer names are cut.
const MOST_NAME: usize = 160;

/// Text, by where it came from.
pub enum Words {
    /// Ours: means the same in every format.
    Own(String),
    /// From outside: safe for a terminal line already, cut, and still to be escaped.
    Outside(String),
    /// To be copied, from outside: not cut, safe for a terminal line.
    Code(String),
}

pub enum Block {
    /// Our own prose.
    Note(String),
    Items(Vec<Item>),
    /// Items in an order that matters.
    Numbered(Vec<Item>),
    Table(Table),
}

pub struct Item {
    pub words: Vec<Words>,
    /// Stands by itself, so that it can be copied.
    pub command: Option<String>,
    pub below: Vec<Item>,
}

pub struct Table {
    pub columns: Vec<Column>,
    pub rows: Vec<Vec<Words>>,
}

pub struct Column {
    pub title: String,
    pub kind: Kind,
}

pub enum Kind {
    Word,
    Number,
    /// May be cut to so many columns.
    Name(usize),
}

pub struct Section {
    pub title: &'static str,
    pub blocks: Vec<Block>,
}

pub struct Outline {
    pub title: Vec<Words>,
    pub sections: Vec<Section>,
}

fn own(text: impl ToString) -> Words {
    Words::Own(text.to_string())
}

fn name(text: &str) -> Words {
    Words::Outside(shortened(text, MOST_NAME))
}

fn sentence(text: &str) -> Words {
    Words::Outside(shortened(text, MOST_COLUMNS))
}

fn shortened(text: &str, most: usize) -> String {
    match line(text.trim()) {
        text if text.is_empty() => NA.into(),
        text => cut(&text, most).into_owned(),
    }
}

fn maybe(text: Option<&str>) -> Words {
    text.map_or_else(|| own(NA), name)
}

impl Item {
    fn of(words: Vec<Words>) -> Self {
        Self { words, command: None, below: Vec::new() }
    }
}

fn column(title: impl Into<String>, kind: Kind) -> Column {
    Column { title: title.into(), kind }
}

/// The first of a list, and a note that says how many are missing.
fn capped<'a, T>(items: &'a [T], what: &str) -> (&'a [T], Option<Block>) {
    let (shown, rest) = items.split_at(items.len().min(MOST_ROWS));
    (shown, (!rest.is_empty()).then(|| Block::Note(format!("{} more {what} are not shown.", rest.len()))))
}

/// Everything, in reading order.
pub fn of(digest: &Digest) -> Outline {
    let figures: [(&str, Option<Vec<Block>>); 10] = [
        ("Incidents", counts::incidents(digest)),
        ("Time taken", counts::durations(digest)),
        ("Recurring issues", work::recurring(digest)),
        ("Open incidents", work::open(digest)),
        ("Escalations", work::escalations(digest)),
        ("Repeat offenders", work::offenders(digest)),
        ("Causes", counts::causes(digest)),
        ("Checks", counts::checks(digest)),
        ("On-call load", counts::load(digest)),
        ("Preventive actions", work::prevention(digest)),
    ];
    let nothing: Vec<String> =
        figures.iter().filter(|(_, blocks)| blocks.is_none()).map(|(title, _)| title.to_lowercase()).collect();
    let mut sections = opening(digest);
    let told = figures.into_iter().filter_map(|(title, blocks)| Some(Section { title, blocks: blocks? }));
    sections.extend(told);
    if !nothing.is_empty() {
        let blocks = vec![Block::Note(format!("There is nothing to tell of: {}.", nothing.join(", ")))];
        sections.push(Section { title: "Not in this week", blocks });
    }
    sections.extend([audit(digest), freshness(digest)]);
    Outline { title: vec![own("Incident digest "), name(&digest.week.week)], sections }
}

fn opening(digest: &Digest) -> Vec<Section> {
    let week = &digest.week;
    let made = words::moment(digest.made_at, week.zone());
    let about = [
        vec![own(format!("Week: {}", words::span(week)))],
        vec![own("Time zone of all times: "), name(&week.time_zone)],
        vec![own(format!("Made: {made}, revision {}", digest.revision))],
    ];
    let decisions = words::decisions(digest);
    let needed = if decisions.is_empty() {
        vec![Block::Note("Nothing needs a decision.".into())]
    } else {
        let (shown, more) = capped(&decisions, "points");
        let shown = shown.iter().map(Cow::as_ref).map(decision).collect();
        [Block::Numbered(shown)].into_iter().chain(more).collect()
    };
    let mut sections = vec![
        Section { title: "", blocks: vec![Block::Items(about.into_iter().map(Item::of).collect())] },
        Section { title: "What changed", blocks: sentences(&digest.changed, "sentences") },
        Section { title: "What needs a decision", blocks: needed },
    ];
    if let Some(revised) = &digest.revised {
        let before = words::moment(revised.made_at, week.zone());
        let mut blocks = vec![Block::Note(format!("Revision {} was made {before}.", revised.revision))];
        blocks.extend(sentences(&revised.differences, "differences"));
        sections.push(Section { title: "What this revision changes", blocks });
    }
    sections
}

fn decision(needed: &Decision) -> Item {
    let command = needed.command.as_deref().map(|command| line(command).into_owned());
    Item { words: vec![sentence(&needed.text)], command, below: Vec::new() }
}

fn sentences(said: &[String], what: &str) -> Vec<Block> {
    let (shown, more) = capped(said, what);
    let items = shown.iter().map(|said| Item::of(vec![sentence(said)])).collect();
    [Block::Items(items)].into_iter().chain(more).collect()
}

fn audit(digest: &Digest) -> Section {
    let audit = &digest.audit;
    let mut blocks = vec![Block::Note(words::proof(audit))];
    if !audit.problems.is_empty() {
        blocks.extend(sentences(&audit.problems, "problems"));
    }
    let hash = Words::Code(line(&audit.head_hash).into_owned());
    let mut head = vec![Item::of(vec![own(format!("Head: row {}, entry_hash ", audit.head_seq)), hash])];
    head.extend(words::prove_head(audit).map(|command| Item {
        words: vec![own("It still stands if this says so:")],
        command: Some(line(&command).into_owned()),
        below: Vec::new(),
    }));
    blocks.extend([Block::Items(head), Block::Note(words::ABOUT_HEAD.into())]);
    Section { title: "Audit log", blocks }
}

fn freshness(digest: &Digest) -> Section {
    let zone = digest.week.zone();
    let at = |at| words::moment_or_na(at, zone);
    let fresh = &digest.freshness;
    let items = [
        format!("Last row of the ledger: {}", at(fresh.last_recorded_at)),
        format!("Latest report of an incident of these five weeks: {}", at(fresh.last_reported_at)),
    ];
    Section { title: "Freshness", blocks: vec![Block::Items(items.map(|item| Item::of(vec![own(item)])).into())] }
}
