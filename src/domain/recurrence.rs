//! Recurrence: the same cause several times within a window.
//!
//! `sql/recurrence.sql` is what finds episodes in a lake. [`occurrences`] and [`episodes`] say the same in plain code; the
//! tests hold one against the other.
//!
//! - [`changes`]: what an evaluation changes in what is recorded
//! - [`issue`]: everything an alert shows
//! - [`pattern`]: what the affected resources have in common and the others don't
//! - [`stretch`]: how far back a look at findings goes

pub mod changes;
pub mod issue;
pub mod pattern;
pub mod stretch;

use std::collections::{BTreeMap, BTreeSet};

use chrono::TimeDelta;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ids::IncidentId, time::Timestamp};

/// How often within how long a cause must come to be recurring.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Occurrences, at least 1.
    pub threshold: i32,
    /// Hours, at least 1.
    pub window_hours: i32,
}

impl Rule {
    /// 3 within 7 days.
    pub const DEFAULT: Self = Self { threshold: 3, window_hours: 168 };

    pub fn window(self) -> TimeDelta {
        TimeDelta::hours(self.window_hours.into())
    }

    /// Whether two moments, the earlier one first, lie within one window, ends inclusive.
    pub fn spans(self, from: Timestamp, to: Timestamp) -> bool {
        to.micros() - from.micros() <= i64::from(self.window_hours) * 3_600_000_000
    }
}

/// What recurrence needs of a row of `root_causes`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub incident_id: IncidentId,
    pub seq: u64,
    pub found_at: Timestamp,
    pub occurrence_key: String,
    /// `None`: the cause is unknown.
    pub cause_fingerprint: Option<String>,
}

/// A row of `cause_aliases`: what a cause counts as from then on. `counts_as` is never an alias itself.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Alias {
    pub seq: u64,
    pub ordinal: i32,
    pub cause_fingerprint: String,
    pub counts_as: String,
}

/// One time that a cause came: all incidents about one job run, else one incident. A row of `sql/cause_occurrences.sql`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Occurrence {
    /// After merges and splits.
    pub cause: String,
    pub occurrence_key: String,
    /// The earliest of its incidents' `found_at`.
    pub occurred_at: Timestamp,
    /// The incident of its finding with the lowest seq.
    pub incident_id: IncidentId,
    pub incidents: u64,
}

/// A stretch of time in which a cause was recurring. A row of `sql/recurrence.sql`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Episode {
    /// After merges and splits.
    pub cause: String,
    pub first_at: Timestamp,
    pub last_at: Timestamp,
    pub occurrences: u64,
    pub incidents: u64,
    /// False when more than a window has passed since `last_at`.
    pub is_open: bool,
    /// Its session begins where the look began: what was found before may belong to it.
    pub may_begin_earlier: bool,
    pub first_incident_id: IncidentId,
    pub last_incident_id: IncidentId,
    /// The incident with which the threshold was reached first.
    pub reached_incident_id: IncidentId,
}

/// How often a cause came, and how close it was to recurring. A row of `sql/cause_counts.sql`.
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
    /// In the words of the latest finding.
    pub root_cause: String,
}

/// The most occurrences of one cause, ordered by time, that fall within some window.
pub fn fullest_window(occurrences: &[Occurrence], rule: Rule) -> u64 {
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

/// What each cause counts as: the latest alias of each fingerprint.
pub fn current_aliases(aliases: &[Alias]) -> BTreeMap<&str, &str> {
    let mut sorted: Vec<&Alias> = aliases.iter().collect();
    sorted.sort_by_key(|alias| (alias.seq, alias.ordinal));
    sorted.into_iter().map(|alias| (alias.cause_fingerprint.as_str(), alias.counts_as.as_str())).collect()
}

/// The occurrences up to `as_of`, ordered by cause, time and key. Of each incident the latest finding counts, if it names
/// a cause.
pub fn occurrences(findings: &[Finding], aliases: &[Alias], as_of: Timestamp) -> Vec<Occurrence> {
    let aliases = current_aliases(aliases);
    let mut latest: BTreeMap<IncidentId, &Finding> = BTreeMap::new();
    for finding in findings.iter().filter(|finding| finding.found_at <= as_of) {
        let known = latest.entry(finding.incident_id).or_insert(finding);
        if finding.seq > known.seq {
            *known = finding;
        }
    }
    let mut by_key: BTreeMap<(&str, &str), Vec<&Finding>> = BTreeMap::new();
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

/// The episodes of occurrences that are in the order of [`occurrences`], ordered by cause and time.
pub fn episodes(occurrences: &[Occurrence], as_of: Timestamp, rule: Rule) -> Vec<Episode> {
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

/// The causes that ever counted as `cause`, itself included.
fn relatives<'a>(aliases: &'a [Alias], cause: &'a str) -> BTreeSet<&'a str> {
    let merged = aliases.iter().filter(|alias| alias.counts_as == cause).map(|alias| alias.cause_fingerprint.as_str());
    merged.chain([cause]).collect()
}

#[cfg(test)]
pub(crate) mod tests;
