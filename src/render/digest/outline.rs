//! The content of a digest, section by section, before it is laid out. Long lists are cut here, with a count of the rest.

use std::borrow::Cow;

use super::labels;
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

/// A piece of text, by its origin.
pub enum TextFragment {
    /// Our own text, without markup of any format.
    Own(String),
    /// From outside: cut and safe for a terminal line, not yet escaped for the format.
    Outside(String),
    /// From outside, for copying: safe for a terminal line, not cut.
    Code(String),
}

pub enum OutlineBlock {
    /// Our own prose.
    Note(String),
    Items(Vec<OutlineItem>),
    /// Items in an order that matters.
    Numbered(Vec<OutlineItem>),
    Table(OutlineTable),
}

pub struct OutlineItem {
    pub fragments: Vec<TextFragment>,
    /// On its own line, for copying.
    pub command: Option<String>,
    pub below: Vec<OutlineItem>,
}

pub struct OutlineTable {
    pub columns: Vec<OutlineColumn>,
    pub rows: Vec<Vec<TextFragment>>,
}

pub struct OutlineColumn {
    pub title: String,
    pub kind: ColumnKind,
}

pub enum ColumnKind {
    Word,
    Number,
    /// Flexible; may be cut to this number of columns.
    Name(usize),
}

pub struct OutlineSection {
    pub title: &'static str,
    pub blocks: Vec<OutlineBlock>,
}

pub struct DigestOutline {
    pub title: Vec<TextFragment>,
    pub sections: Vec<OutlineSection>,
}

fn own(text: impl ToString) -> TextFragment {
    TextFragment::Own(text.to_string())
}

fn name(text: &str) -> TextFragment {
    TextFragment::Outside(shortened(text, MOST_NAME))
}

fn sentence(text: &str) -> TextFragment {
    TextFragment::Outside(shortened(text, MOST_COLUMNS))
}

fn shortened(text: &str, most: usize) -> String {
    match line(text.trim()) {
        text if text.is_empty() => NA.into(),
        text => cut(&text, most).into_owned(),
    }
}

fn maybe(text: Option<&str>) -> TextFragment {
    text.map_or_else(|| own(NA), name)
}

impl OutlineItem {
    fn of(fragments: Vec<TextFragment>) -> Self {
        Self { fragments, command: None, below: Vec::new() }
    }
}

fn column(title: impl Into<String>, kind: ColumnKind) -> OutlineColumn {
    OutlineColumn { title: title.into(), kind }
}

/// The first items of a list, and a note with the number of the rest.
fn capped<'a, T>(items: &'a [T], what: &str) -> (&'a [T], Option<OutlineBlock>) {
    let (shown, rest) = items.split_at(items.len().min(MOST_ROWS));
    (shown, (!rest.is_empty()).then(|| OutlineBlock::Note(format!("{} more {what} are not shown.", rest.len()))))
}

/// All sections, in reading order.
pub fn of(digest: &Digest) -> DigestOutline {
    let figures: [(&str, Option<Vec<OutlineBlock>>); 10] = [
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
    let figures = figures.into_iter().filter_map(|(title, blocks)| Some(OutlineSection { title, blocks: blocks? }));
    sections.extend(figures);
    if !nothing.is_empty() {
        let blocks = vec![OutlineBlock::Note(format!("Nothing to report for: {}.", nothing.join(", ")))];
        sections.push(OutlineSection { title: "Nothing to report", blocks });
    }
    sections.extend([audit(digest), freshness(digest)]);
    DigestOutline { title: vec![own("Incident digest "), name(&digest.week.week)], sections }
}

fn opening(digest: &Digest) -> Vec<OutlineSection> {
    let week = &digest.week;
    let made = labels::moment(digest.made_at, week.zone());
    let about = [
        vec![own(format!("Week: {}", labels::span(week)))],
        vec![own("Time zone of all times: "), name(&week.time_zone)],
        vec![own(format!("Made: {made}, revision {}", digest.revision))],
    ];
    let decisions = labels::decisions(digest);
    let needed = if decisions.is_empty() {
        vec![OutlineBlock::Note("Nothing needs a decision.".into())]
    } else {
        let (shown, more) = capped(&decisions, "points");
        let shown = shown.iter().map(Cow::as_ref).map(decision).collect();
        [OutlineBlock::Numbered(shown)].into_iter().chain(more).collect()
    };
    let mut sections = vec![
        OutlineSection {
            title: "",
            blocks: vec![OutlineBlock::Items(about.into_iter().map(OutlineItem::of).collect())],
        },
        OutlineSection { title: "What changed", blocks: sentences(&digest.changed, "sentences") },
        OutlineSection { title: "What needs a decision", blocks: needed },
    ];
    if let Some(revised) = &digest.revised {
        let before = labels::moment(revised.made_at, week.zone());
        let mut blocks = vec![OutlineBlock::Note(format!("Revision {} was made {before}.", revised.revision))];
        blocks.extend(sentences(&revised.differences, "differences"));
        sections.push(OutlineSection { title: "What this revision changes", blocks });
    }
    sections
}

fn decision(needed: &Decision) -> OutlineItem {
    let command = needed.command.as_deref().map(|command| line(command).into_owned());
    OutlineItem { fragments: vec![sentence(&needed.text)], command, below: Vec::new() }
}

fn sentences(sentences: &[String], what: &str) -> Vec<OutlineBlock> {
    let (shown, more) = capped(sentences, what);
    let items = shown.iter().map(|text| OutlineItem::of(vec![sentence(text)])).collect();
    [OutlineBlock::Items(items)].into_iter().chain(more).collect()
}

fn audit(digest: &Digest) -> OutlineSection {
    let audit = &digest.audit;
    let mut blocks = vec![OutlineBlock::Note(labels::proof(audit))];
    if !audit.problems.is_empty() {
        blocks.extend(sentences(&audit.problems, "problems"));
    }
    let hash = TextFragment::Code(line(&audit.head_hash).into_owned());
    let mut head = vec![OutlineItem::of(vec![own(format!("Head: row {}, entry_hash ", audit.head_seq)), hash])];
    head.extend(labels::verify_head_command(audit).map(|command| OutlineItem {
        fragments: vec![own("To verify it:")],
        command: Some(line(&command).into_owned()),
        below: Vec::new(),
    }));
    blocks.extend([OutlineBlock::Items(head), OutlineBlock::Note(labels::ABOUT_HEAD.into())]);
    OutlineSection { title: "Audit log", blocks }
}

fn freshness(digest: &Digest) -> OutlineSection {
    let zone = digest.week.zone();
    let at = |at| labels::moment_or_na(at, zone);
    let fresh = &digest.freshness;
    let items = [
        format!("Last row of the ledger: {}", at(fresh.last_recorded_at)),
        format!("Latest incident report of these five weeks: {}", at(fresh.last_reported_at)),
    ];
    OutlineSection {
        title: "Freshness",
        blocks: vec![OutlineBlock::Items(items.map(|item| OutlineItem::of(vec![own(item)])).into())],
    }
}
