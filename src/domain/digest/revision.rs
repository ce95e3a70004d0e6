//! How two versions of one week's figures differ, in sentences. Pure.

use std::collections::BTreeMap;

use super::{Figures, summary::cut};

mod cells;

use cells::Row;

/// A list of the figures, and how it is spoken of.
#[derive(Clone, Copy)]
struct List {
    /// What one row is about, at the beginning of a sentence: `Incidents`.
    row: &'static str,
    /// What all of them are: `the open incidents`.
    all: &'static str,
    /// More changes than this are counted.
    most: usize,
}

impl List {
    /// A row at the beginning of a sentence. Names stay as they are.
    fn named(self, row: &Row) -> String {
        let mut characters = row.key.chars();
        match (self.row, characters.next()) {
            ("", _) => row.key.clone(),
            (_, Some(first)) => first.to_uppercase().chain(characters).collect(),
            (_, None) => "The total".into(),
        }
    }
}

/// What is different, one sentence each. Empty only if nothing is.
pub fn differences(before: &Figures, after: &Figures) -> Vec<String> {
    let list = |row, all, most| List { row, all, most };
    let mut said = Vec::new();
    compare(&mut said, list("Incidents", "the incident counts", 5), &before.counts, &after.counts, cells::count);
    compare(&mut said, list("Incidents", "the incidents by day", 2), &before.days, &after.days, cells::day);
    compare(&mut said, list("Incidents", "the incidents by hour", 1), &before.hours, &after.hours, cells::hour);
    compare(&mut said, list("Time", "the durations", 4), &before.durations, &after.durations, cells::duration);
    compare(&mut said, list("On-call load", "the on-call load", 3), &before.load, &after.load, cells::load);
    compare(&mut said, list("", "the repeat offenders", 3), &before.offenders, &after.offenders, cells::offender);
    compare(&mut said, list("Cause", "the causes", 3), &before.causes, &after.causes, cells::cause);
    compare(&mut said, list("", "the recurring issues", 5), &before.recurring, &after.recurring, cells::recurring);
    compare(&mut said, list("", "the preventive actions", 3), &before.prevention, &after.prevention, cells::prevention);
    compare(&mut said, list("", "the open incidents", 5), &before.open, &after.open, cells::open);
    compare(&mut said, list("Alerts", "the alerts", 4), &before.escalations, &after.escalations, cells::escalation);
    compare(&mut said, list("Checks", "the check results", 3), &before.checks, &after.checks, cells::check);
    said
}

/// Changes first, then what was added, then what is gone.
fn compare<T: PartialEq>(said: &mut Vec<String>, list: List, before: &[T], after: &[T], row: impl Fn(&T) -> Row) {
    if before == after {
        return;
    }
    let (before, after) = (keyed(before, &row), keyed(after, &row));
    let old: BTreeMap<&str, &Row> = before.iter().map(|(key, row)| (key.as_str(), row)).collect();
    let new: BTreeMap<&str, &Row> = after.iter().map(|(key, row)| (key.as_str(), row)).collect();
    let changed = after.iter().filter_map(|(key, row)| changed(list, old.get(key.as_str())?, row));
    let added = after.iter().filter(|(key, _)| !old.contains_key(key.as_str()));
    let added = added.map(|(_, row)| format!("{} was added to {}.", list.named(row), list.all));
    let gone = before.iter().filter(|(key, _)| !new.contains_key(key.as_str()));
    let gone = gone.map(|(_, row)| format!("{} is no longer among {}.", list.named(row), list.all));
    let mut told: Vec<String> = changed.chain(added).chain(gone).collect();
    if told.is_empty() {
        told.push(format!("The order of {} changed.", list.all));
    }
    let more = told.len().saturating_sub(list.most);
    told.truncate(list.most);
    said.append(&mut told);
    if more > 0 {
        said.push(format!("{more} more {} in {}.", if more == 1 { "change" } else { "changes" }, list.all));
    }
}

/// Every row under a key of its own, even where two rows should not be there twice and are.
fn keyed<T>(rows: &[T], row: impl Fn(&T) -> Row) -> Vec<(String, Row)> {
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

/// `Incidents, type job-failure: 15, was 14; the week before 9, was 8.`
fn changed(list: List, before: &Row, after: &Row) -> Option<String> {
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
    let gone = before.cells.iter().filter(|old| after.cells.iter().all(|cell| cell.label != old.label));
    parts.extend(gone.map(|old| format!("{} is gone", old.label)));
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
