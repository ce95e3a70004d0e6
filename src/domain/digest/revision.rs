//! Describes the differences between two versions of a week's figures in sentences. Pure.

use std::collections::BTreeMap;

use super::{Figures, summary::cut};

mod cells;

use cells::FigureRow;

/// A list in the figures, with its names in sentences.
#[derive(Clone, Copy)]
struct FigureList {
    /// Subject of a sentence about one row: `Incidents`.
    row: &'static str,
    /// Name of the whole list: `the open incidents`.
    all: &'static str,
    /// Maximum number of described changes; further changes are counted.
    max: usize,
}

impl FigureList {
    /// Returns the name of a row for the beginning of a sentence. Names from outside keep their case.
    fn named(self, row: &FigureRow) -> String {
        let mut characters = row.key.chars();
        match (self.row, characters.next()) {
            ("", _) => row.key.clone(),
            (_, Some(first)) => first.to_uppercase().chain(characters).collect(),
            (_, None) => "The total".into(),
        }
    }
}

/// Returns the differences, one sentence each. Empty only without differences.
pub fn differences(before: &Figures, after: &Figures) -> Vec<String> {
    let list = |row, all, max| FigureList { row, all, max };
    let mut sentences = Vec::new();
    compare(&mut sentences, list("Incidents", "the incident counts", 5), &before.counts, &after.counts, cells::count);
    compare(&mut sentences, list("Incidents", "the incidents by day", 2), &before.days, &after.days, cells::day);
    compare(&mut sentences, list("Incidents", "the incidents by hour", 1), &before.hours, &after.hours, cells::hour);
    compare(&mut sentences, list("Time", "the durations", 4), &before.durations, &after.durations, cells::duration);
    compare(&mut sentences, list("On-call load", "the on-call load", 3), &before.load, &after.load, cells::load);
    compare(&mut sentences, list("", "the repeat offenders", 3), &before.offenders, &after.offenders, cells::offender);
    compare(&mut sentences, list("Cause", "the causes", 3), &before.causes, &after.causes, cells::cause);
    compare(&mut sentences, list("", "the recurring issues", 5), &before.recurring, &after.recurring, cells::recurring);
    compare(
        &mut sentences,
        list("", "the preventive actions", 3),
        &before.prevention,
        &after.prevention,
        cells::prevention,
    );
    compare(&mut sentences, list("", "the open incidents", 5), &before.open, &after.open, cells::open);
    compare(
        &mut sentences,
        list("Alerts", "the alerts", 4),
        &before.escalations,
        &after.escalations,
        cells::escalation,
    );
    compare(&mut sentences, list("Checks", "the check results", 3), &before.checks, &after.checks, cells::check);
    sentences
}

/// Appends the changed rows, then the added ones, then the removed ones.
fn compare<T: PartialEq>(
    sentences: &mut Vec<String>,
    list: FigureList,
    before: &[T],
    after: &[T],
    row: impl Fn(&T) -> FigureRow,
) {
    if before == after {
        return;
    }
    let (before, after) = (keyed(before, &row), keyed(after, &row));
    let old: BTreeMap<&str, &FigureRow> = before.iter().map(|(key, row)| (key.as_str(), row)).collect();
    let new: BTreeMap<&str, &FigureRow> = after.iter().map(|(key, row)| (key.as_str(), row)).collect();
    let changed = after.iter().filter_map(|(key, row)| changed(list, old.get(key.as_str())?, row));
    let added = after.iter().filter(|(key, _)| !old.contains_key(key.as_str()));
    let added = added.map(|(_, row)| format!("{} was added to {}.", list.named(row), list.all));
    let removed = before.iter().filter(|(key, _)| !new.contains_key(key.as_str()));
    let removed = removed.map(|(_, row)| format!("{} is no longer among {}.", list.named(row), list.all));
    let mut listed: Vec<String> = changed.chain(added).chain(removed).collect();
    if listed.is_empty() {
        listed.push(format!("The order of {} changed.", list.all));
    }
    let more = listed.len().saturating_sub(list.max);
    listed.truncate(list.max);
    sentences.append(&mut listed);
    if more > 0 {
        sentences.push(format!("{more} more {} in {}.", if more == 1 { "change" } else { "changes" }, list.all));
    }
}

/// Returns the rows with unique keys, even if a row occurs twice.
fn keyed<T>(rows: &[T], row: impl Fn(&T) -> FigureRow) -> Vec<(String, FigureRow)> {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    rows.iter()
        .map(|item| {
            let row = row(item);
            let times = seen.entry(row.id.clone()).or_default();
            *times += 1;
            (format!("{} {times}", row.id), row)
        })
        .collect()
}

/// Returns a sentence such as `Incidents, type job-failure: 15, was 14; the week before 9, was 8.`
fn changed(list: FigureList, before: &FigureRow, after: &FigureRow) -> Option<String> {
    let mut parts = Vec::new();
    for cell in &after.cells {
        let old = before.cells.iter().find(|old| old.label == cell.label);
        let space = if cell.label.is_empty() { "" } else { " " };
        match old {
            Some(old) if old.exact == cell.exact => {}
            Some(old) if old.shown() == cell.shown() => parts.push(format!("{}{space}changed in detail", cell.label)),
            Some(old) => parts.push(format!("{}{space}{}, was {}", cell.label, cell.shown(), old.shown())),
            None => parts.push(format!("{}{space}{} is new", cell.label, cell.shown())),
        }
    }
    let removed = before.cells.iter().filter(|old| after.cells.iter().all(|cell| cell.label != old.label));
    parts.extend(removed.map(|old| format!("{} is gone", old.label)));
    let subject = match (list.row, after.key.as_str()) {
        ("", key) => key.to_owned(),
        (row, "") => row.to_owned(),
        (row, key) => format!("{row}, {key}"),
    };
    (!parts.is_empty()).then(|| format!("{subject}: {}.", parts.join("; ")))
}

fn short(text: &str) -> String {
    cut(text.trim(), 60)
}

#[cfg(test)]
mod tests;
