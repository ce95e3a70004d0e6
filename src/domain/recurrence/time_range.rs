//! The time range of findings that an evaluation reads.
//!
//! An episode is complete if its session does not begin within the first window of the time range. An evaluation of recent
//! findings therefore reads further back only for causes whose session begins earlier ([`CauseRanges`]).

use std::collections::BTreeMap;

use chrono::TimeDelta;

use super::{Episode, RecurrenceRule, changes::RecordedEpisode};
use crate::domain::{recurrence::event::EpisodeEvent, time::Timestamp};

/// Minimum length of a time range in windows.
pub const MIN_WINDOWS: i32 = 4;
/// 1700-01-01, before all findings. Every SQL engine can represent it.
const BEGINNING_MICROS: i64 = -8_520_336_000_000_000;

/// A time range of findings, ends inclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeRange {
    pub since: Timestamp,
    pub as_of: Timestamp,
}

impl TimeRange {
    /// Returns the time range of all findings up to `as_of`.
    pub fn whole(as_of: Timestamp) -> Self {
        Self { since: beginning().min(as_of), as_of }
    }
}

/// Returns a time before all findings.
pub fn beginning() -> Timestamp {
    Timestamp::from_micros(BEGINNING_MICROS).unwrap_or_else(|| Timestamp::new(chrono::DateTime::UNIX_EPOCH))
}

/// Returns the minimum length of a time range.
pub fn minimum_range(rule: RecurrenceRule) -> TimeDelta {
    rule.window() * MIN_WINDOWS
}

/// Start of the time range of each cause. Episodes that ended before do not change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CauseRanges {
    /// Start for causes that are not in `by_cause`. `None`: other causes are not evaluated.
    pub others: Option<Timestamp>,
    /// Start by cause.
    pub by_cause: BTreeMap<String, Timestamp>,
}

impl CauseRanges {
    /// Returns the ranges of all causes, or of `causes`, from `since` on. A range starts earlier if a recorded episode must be
    /// compared with the findings: an open one, or one that continues after `since`. `recorded` contains each episode with its
    /// current cause.
    pub fn starting_at<'a>(
        since: Timestamp,
        causes: Option<&[String]>,
        recorded: impl IntoIterator<Item = (&'a str, &'a RecordedEpisode)>,
    ) -> Self {
        let named = |cause: &str| causes.is_none_or(|causes| causes.iter().any(|one| one == cause));
        let mut by_cause: BTreeMap<String, Timestamp> =
            causes.unwrap_or_default().iter().map(|cause| (cause.clone(), since)).collect();
        for (cause, known) in recorded {
            let compared = known.event != EpisodeEvent::Closed || known.last_at >= since;
            if compared && known.first_at < since && named(cause) {
                let from = by_cause.entry(cause.to_owned()).or_insert(known.first_at);
                *from = known.first_at.min(*from);
            }
        }
        Self { others: causes.is_none().then_some(since), by_cause }
    }
}

/// Returns the start of the sessions that continue at or after `edge`. `sessions` are those of one cause in a time range. `None`:
/// one of them may begin before that time range.
pub fn session_start<'a>(sessions: impl IntoIterator<Item = &'a Episode>, edge: Timestamp) -> Option<Timestamp> {
    let reaching =
        sessions.into_iter().filter(|session| session.last_at >= edge).min_by_key(|session| session.first_at);
    match reaching {
        Some(session) if session.may_begin_earlier => None,
        Some(session) => Some(session.first_at.min(edge)),
        None => Some(edge),
    }
}
