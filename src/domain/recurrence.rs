//! Recurrence: the same cause occurs several times within a window.
//!
//! `sql/recurrence.sql` finds episodes in a lake. [`occurrences`] and [`episodes`] are the same definition in Rust; tests
//! compare both.
//!
//! - [`changes`]: the changes of recorded episodes that an evaluation leads to
//! - [`issue`]: the content of a recurrence alert
//! - [`pattern`]: attributes that the affected resources share and the others do not
//! - [`time_range`]: the time range of findings that an evaluation reads

pub mod changes;
pub mod event;
pub mod issue;
pub mod pattern;
pub mod time_range;

use std::collections::{BTreeMap, BTreeSet};

use chrono::TimeDelta;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ids::IncidentId, time::Timestamp};

/// Threshold of recurrence: the number of occurrences within a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecurrenceRule {
    /// Occurrences, at least 1.
    pub threshold: i32,
    /// Hours, at least 1.
    pub window_hours: i32,
}

impl RecurrenceRule {
    /// 3 within 7 days.
    pub const DEFAULT: Self = Self { threshold: 3, window_hours: 168 };

    pub fn window(self) -> TimeDelta {
        TimeDelta::hours(self.window_hours.into())
    }

    /// Returns true if two times, the earlier one first, are within one window, ends inclusive.
    pub fn spans(self, from: Timestamp, to: Timestamp) -> bool {
        to.micros() - from.micros() <= i64::from(self.window_hours) * 3_600_000_000
    }
}

/// The columns of a `root_causes` row that recurrence needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CauseFinding {
    pub incident_id: IncidentId,
    pub seq: u64,
    pub found_at: Timestamp,
    pub occurrence_key: String,
    /// `None`: the cause is unknown.
    pub cause_fingerprint: Option<String>,
}

/// A row of `cause_aliases`: the cause that a fingerprint counts as from this row on. `counts_as` is never an alias itself.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct CauseMapping {
    pub seq: u64,
    pub ordinal: i32,
    pub cause_fingerprint: String,
    pub counts_as: String,
}

/// One occurrence of a cause: all incidents about one job run, else one incident. A row of `sql/cause_occurrences.sql`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Occurrence {
    /// After merges and splits.
    pub cause: String,
    pub occurrence_key: String,
    /// The earliest of its incidents' `found_at`.
    pub occurred_at: Timestamp,
    /// The incident whose finding has the lowest seq.
    pub incident_id: IncidentId,
    pub incidents: u64,
}

/// An episode: a time range in which a cause was recurring. A row of `sql/recurrence.sql`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Episode {
    /// After merges and splits.
    pub cause: String,
    pub first_at: Timestamp,
    pub last_at: Timestamp,
    pub occurrences: u64,
    pub incidents: u64,
    /// False if more than a window has passed since `last_at`.
    pub is_open: bool,
    /// Its session begins at the start of the time range, so earlier findings may belong to it.
    pub may_begin_earlier: bool,
    pub first_incident_id: IncidentId,
    pub last_incident_id: IncidentId,
    /// The incident with which the threshold was reached first.
    pub reached_incident_id: IncidentId,
}

/// Counts of a cause, and how close it is to recurring. A row of `sql/cause_counts.sql`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CauseCount {
    /// After merges and splits.
    pub cause: String,
    pub occurrences: u64,
    pub incidents: u64,
    /// The largest number of occurrences within some window.
    pub fullest_window: u64,
    /// The number within the window that ends with the last occurrence.
    pub latest_window: u64,
    pub first_at: Timestamp,
    pub last_at: Timestamp,
    /// Text of the latest finding.
    pub root_cause: String,
}

/// Returns the largest number of occurrences of one cause within any window. `occurrences` are ordered by time.
pub fn fullest_window(occurrences: &[Occurrence], rule: RecurrenceRule) -> u64 {
    let mut first = 0;
    let mut fullest = 0;
    for (last, occurrence) in occurrences.iter().enumerate() {
        while occurrences.get(first).is_some_and(|early| !rule.spans(early.occurred_at, occurrence.occurred_at)) {
            first += 1;
        }
        fullest = fullest.max(last + 1 - first);
    }
    fullest as u64
}

/// Returns the cause that each fingerprint counts as, by its latest alias.
pub fn current_aliases(aliases: &[CauseMapping]) -> BTreeMap<&str, &str> {
    let mut sorted: Vec<&CauseMapping> = aliases.iter().collect();
    sorted.sort_by_key(|alias| (alias.seq, alias.ordinal));
    sorted.into_iter().map(|alias| (alias.cause_fingerprint.as_str(), alias.counts_as.as_str())).collect()
}

/// Returns the occurrences up to `as_of`, ordered by cause, time and key. Only the latest finding of each incident counts, and
/// only if its cause is known.
pub fn occurrences(findings: &[CauseFinding], aliases: &[CauseMapping], as_of: Timestamp) -> Vec<Occurrence> {
    let aliases = current_aliases(aliases);
    let mut latest: BTreeMap<IncidentId, &CauseFinding> = BTreeMap::new();
    for finding in findings.iter().filter(|finding| finding.found_at <= as_of) {
        let known = latest.entry(finding.incident_id).or_insert(finding);
        if finding.seq > known.seq {
            *known = finding;
        }
    }
    let mut by_key: BTreeMap<(&str, &str), Vec<&CauseFinding>> = BTreeMap::new();
    for finding in latest.into_values() {
        let Some(fingerprint) = finding.cause_fingerprint.as_deref() else { continue };
        let cause = aliases.get(fingerprint).copied().unwrap_or(fingerprint);
        by_key.entry((cause, &finding.occurrence_key)).or_default().push(finding);
    }
    let mut found: Vec<Occurrence> = by_key
        .into_iter()
        .filter_map(|((cause, key), findings)| {
            Some(Occurrence {
                cause: cause.into(),
                occurrence_key: key.into(),
                occurred_at: findings.iter().map(|finding| finding.found_at).min()?,
                incident_id: findings.iter().min_by_key(|finding| finding.seq)?.incident_id,
                incidents: findings.len() as u64,
            })
        })
        .collect();
    found.sort_by(|a, b| {
        (&a.cause, a.occurred_at, &a.occurrence_key).cmp(&(&b.cause, b.occurred_at, &b.occurrence_key))
    });
    found
}

/// Returns the episodes, ordered by cause and time. The input is in the order of [`occurrences`].
pub fn episodes(occurrences: &[Occurrence], as_of: Timestamp, rule: RecurrenceRule) -> Vec<Episode> {
    let together = |a: &Occurrence, b: &Occurrence| a.cause == b.cause && rule.spans(a.occurred_at, b.occurred_at);
    let runs = usize::try_from(rule.threshold).unwrap_or(1).max(1);
    let mut found = Vec::new();
    for session in occurrences.chunk_by(together) {
        let first_run = session.windows(runs).position(|run| match run {
            [first, .., last] => rule.spans(first.occurred_at, last.occurred_at),
            _ => true,
        });
        let Some(start) = first_run else { continue };
        let ([first, ..], [.., last], Some(reached)) = (&session[start..], session, session.get(start + runs - 1))
        else {
            continue;
        };
        found.push(Episode {
            cause: first.cause.clone(),
            first_at: first.occurred_at,
            last_at: last.occurred_at,
            occurrences: (session.len() - start) as u64,
            incidents: session[start..].iter().map(|occurrence| occurrence.incidents).sum(),
            is_open: rule.spans(last.occurred_at, as_of),
            may_begin_earlier: false,
            first_incident_id: first.incident_id,
            last_incident_id: last.incident_id,
            reached_incident_id: reached.incident_id,
        });
    }
    found
}

/// Returns the causes that ever counted as `cause`, and `cause`.
fn merged_causes<'a>(aliases: &'a [CauseMapping], cause: &'a str) -> BTreeSet<&'a str> {
    let merged = aliases.iter().filter(|alias| alias.counts_as == cause).map(|alias| alias.cause_fingerprint.as_str());
    merged.chain([cause]).collect()
}

#[cfg(test)]
pub(crate) mod tests;
