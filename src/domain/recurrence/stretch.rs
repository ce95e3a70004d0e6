//! How far back a look at findings goes, and why that is far enough.
//!
//! An episode is known whole if its session does not begin within a window of where the look began. So a look at what was
//! found lately goes further back only for those causes whose session does ([`Reach`]), until it does not any more.

use std::collections::BTreeMap;

use chrono::TimeDelta;

use super::{Episode, Rule, changes::RecordedEpisode};
use crate::domain::{time::Timestamp, words::EpisodeEvent};

/// A look goes back at least so many windows.
pub const LEAST_WINDOWS: i32 = 4;
/// 1700-01-01, before anything that can have been found. Every engine can write it down.
const BEGINNING_MICROS: i64 = -8_520_336_000_000_000;

/// What was found from one moment to another, ends inclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stretch {
    pub since: Timestamp,
    pub as_of: Timestamp,
}

impl Stretch {
    /// Everything up to a moment.
    pub fn whole(as_of: Timestamp) -> Self {
        Self { since: beginning().min(as_of), as_of }
    }
}

/// Before anything was found.
pub fn beginning() -> Timestamp {
    Timestamp::from_micros(BEGINNING_MICROS).unwrap_or_else(|| Timestamp::new(chrono::DateTime::UNIX_EPOCH))
}

/// The shortest stretch of time that a look may be confined to.
pub fn least(rule: Rule) -> TimeDelta {
    rule.window() * LEAST_WINDOWS
}

/// From when on each cause is looked at. Episodes that were over before are left alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reach {
    /// Every cause that [`Self::of`] does not name. `None`: no others.
    pub others: Option<Timestamp>,
    pub of: BTreeMap<String, Timestamp>,
}

impl Reach {
    /// Every cause, or those of `causes`, from `since` on, and earlier where a recorded episode is to be compared with what
    /// is found: one that is open, or goes on after `since`. `recorded` tells the causes that the episodes count as today.
    pub fn back_to<'a>(
        since: Timestamp,
        causes: Option<&[String]>,
        recorded: impl IntoIterator<Item = (&'a str, &'a RecordedEpisode)>,
    ) -> Self {
        let named = |cause: &str| causes.is_none_or(|causes| causes.iter().any(|one| one == cause));
        let mut of: BTreeMap<String, Timestamp> =
            causes.unwrap_or_default().iter().map(|cause| (cause.clone(), since)).collect();
        for (cause, known) in recorded {
            let compared = known.event != EpisodeEvent::Closed || known.last_at >= since;
            if compared && known.first_at < since && named(cause) {
                let from = of.entry(cause.to_owned()).or_insert(known.first_at);
                *from = known.first_at.min(*from);
            }
        }
        Self { others: causes.is_none().then_some(since), of }
    }
}

/// From when on the sessions that go on at or after the moment `edge` are to be looked at, as far as `sessions` tell, those
/// of one cause in some look. `None`: one of them may begin before that look.
pub fn beginning_of<'a>(sessions: impl IntoIterator<Item = &'a Episode>, edge: Timestamp) -> Option<Timestamp> {
    let reaching =
        sessions.into_iter().filter(|session| session.last_at >= edge).min_by_key(|session| session.first_at);
    match reaching {
        Some(session) if session.may_begin_earlier => None,
        Some(session) => Some(session.first_at.min(edge)),
        None => Some(edge),
    }
}
