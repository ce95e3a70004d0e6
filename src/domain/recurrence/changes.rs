//! Compares the episodes that an evaluation found with the recorded ones, and returns the rows to record. Equal episodes lead to
//! no row.

use std::{collections::BTreeSet, fmt};

use serde::Deserialize;

use super::{CauseMapping, Episode, RecurrenceRule, current_aliases, merged_causes};
use crate::domain::{
    ids::{IncidentId, sha256_hex},
    recurrence::event::EpisodeEvent,
    time::Timestamp,
};

/// The latest row of `recurrence_events` about an episode, as in `sql/views/recurring_issues.sql`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct RecordedEpisode {
    pub episode_id: String,
    pub incident_id: IncidentId,
    pub seq: u64,
    /// `seq` of the first row about the episode. If episodes are merged, the oldest one keeps its id.
    pub first_seq: u64,
    /// Time up to which the evaluation read incidents.
    pub occurred_at: Timestamp,
    #[serde(rename = "cause_fingerprint")]
    pub cause: String,
    pub event: EpisodeEvent,
    #[serde(rename = "incidents")]
    pub occurrences: u64,
    pub first_at: Timestamp,
    pub last_at: Timestamp,
    pub threshold: i32,
    pub window_hours: i32,
}

impl RecordedEpisode {
    /// Returns the rule by which the episode was recorded.
    pub fn rule(&self) -> RecurrenceRule {
        RecurrenceRule { threshold: self.threshold, window_hours: self.window_hours }
    }
}

/// A row to write to `recurrence_events`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EpisodeTransition {
    pub event: EpisodeEvent,
    pub episode_id: String,
    /// The incident of the episode; the same in all rows about the episode.
    pub incident_id: IncidentId,
    pub cause: String,
    pub occurrences: u64,
    pub first_at: Timestamp,
    pub last_at: Timestamp,
    pub reason: TransitionReason,
    /// The episode as found. `None`: it was not found any more, and the values above are the recorded ones.
    pub found: Option<Episode>,
}

impl EpisodeTransition {
    /// Returns a row for an unchanged episode whose preventive action changed.
    pub fn prevention_changed(known: &RecordedEpisode, found: &Episode) -> Self {
        change(EpisodeEvent::Updated, TransitionReason::PreventionChanged, found, &known.episode_id, known.incident_id)
    }
}

/// A suppression of a recurrence alert that has expired.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpiredSuppression {
    /// The incident of the alert.
    pub incident_id: IncidentId,
    /// Time at which the suppression expired.
    pub until: Timestamp,
    /// The ledger row that suppressed the alert.
    pub seq: u64,
}

/// Returns the rows to record in addition to `changed` so that alerts with an expired suppression are evaluated again.
///
/// An alert needs a row if its episode is unchanged and was not evaluated since the suppression. `found_open` returns the found
/// episode that continues a recorded one.
pub fn reevaluations<'a>(
    expired: &[ExpiredSuppression],
    recorded: &[RecordedEpisode],
    changed: &[EpisodeTransition],
    found_open: impl Fn(&RecordedEpisode) -> Option<&'a Episode>,
) -> Vec<EpisodeTransition> {
    let evaluated = |expired: &ExpiredSuppression| {
        let mut own: Vec<&RecordedEpisode> =
            recorded.iter().filter(|known| known.incident_id == expired.incident_id).collect();
        own.sort_by_key(|known| known.seq);
        let last = own.last().filter(|last| last.seq <= expired.seq)?;
        let changes = |known: &RecordedEpisode| changed.iter().find(|change| change.episode_id == known.episode_id);
        let own_changes = || own.iter().filter_map(|known| changes(known));
        if own_changes().any(|change| change.event != EpisodeEvent::Closed) {
            return None;
        }
        let open = own.iter().rev().filter(|known| changes(known).is_none());
        let reason = TransitionReason::SuppressionExpired(expired.until);
        match open.filter_map(|known| Some((known, found_open(known)?))).next() {
            Some((known, found)) => {
                Some(change(EpisodeEvent::Updated, reason, found, &known.episode_id, known.incident_id))
            }
            None if own_changes().next().is_some() => None,
            None => Some(closed(last, TransitionReason::EndedWhileSuppressed(expired.until))),
        }
    };
    expired.iter().filter_map(evaluated).collect()
}

/// Reason of a row about an episode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TransitionReason {
    /// The threshold was reached.
    Reached,
    /// The number or the times of its occurrences differ from the recorded ones.
    Changed,
    /// The episode is unchanged; the state of a preventive action against its cause changed.
    PreventionChanged,
    /// The episode is unchanged; the suppression of its alert expired at this time.
    SuppressionExpired(Timestamp),
    /// The episode ended before the suppression of its alert expired at this time.
    EndedWhileSuppressed(Timestamp),
    /// The episode was closed and has new occurrences.
    Resumed,
    /// More than a window passed without an occurrence.
    WindowPassed,
    /// The episode had ended before it was found.
    FoundAfterEnd,
    /// A late or revised finding changed a closed episode.
    ChangedAfterEnd,
    /// Its occurrences belong to another episode.
    MergedInto(String),
    /// Findings were revised and too few occurrences are left.
    FindingsRevised,
    /// Causes were merged or split and too few occurrences are left.
    CausesChanged,
    /// It was recorded with another threshold or window.
    RuleChanged(RecurrenceRule),
}

impl fmt::Display for TransitionReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reached => f.write_str("the threshold was reached"),
            Self::Changed => f.write_str("its occurrences changed"),
            Self::PreventionChanged => f.write_str("a preventive action against its cause changed its state"),
            Self::SuppressionExpired(until) => write!(f, "the suppression of its alert expired at {until}"),
            Self::EndedWhileSuppressed(until) => {
                write!(f, "it ended before the suppression of its alert expired at {until}")
            }
            Self::Resumed => f.write_str("it was closed and has new occurrences"),
            Self::WindowPassed => f.write_str("a whole window passed without another occurrence"),
            Self::FoundAfterEnd => f.write_str("it had ended when it was found"),
            Self::ChangedAfterEnd => f.write_str("its occurrences changed after it was closed"),
            Self::MergedInto(episode) => write!(f, "merged into {episode}"),
            Self::FindingsRevised => f.write_str("no longer found: findings were revised"),
            Self::CausesChanged => f.write_str("no longer found: causes were merged or split"),
            Self::RuleChanged(rule) => {
                write!(
                    f,
                    "no longer found: it was recorded with a threshold of {} within {} h",
                    rule.threshold, rule.window_hours
                )
            }
        }
    }
}

/// Returns the rows to record for the found episodes: found episodes by cause and time, then closed ones by episode id.
///
/// A found episode matches a recorded one if their causes are the same by the current `aliases` and their times overlap, or if
/// their ids are equal. If several match, the one recorded first keeps its id and the others are closed. Episodes recorded by an
/// evaluation later than `as_of` do not change.
pub fn changes(
    found: &[Episode],
    recorded: &[RecordedEpisode],
    aliases: &[CauseMapping],
    as_of: Timestamp,
    rule: RecurrenceRule,
) -> Vec<EpisodeTransition> {
    let current = current_aliases(aliases);
    let cause_now = |known: &RecordedEpisode| -> String {
        current.get(known.cause.as_str()).map_or_else(|| known.cause.clone(), |cause| (*cause).to_owned())
    };
    let mut recorded: Vec<&RecordedEpisode> = recorded.iter().collect();
    recorded.sort_by_key(|known| (known.first_seq, &known.episode_id));
    let mut found: Vec<&Episode> = found.iter().collect();
    found.sort_by(|a, b| (&a.cause, a.first_at).cmp(&(&b.cause, b.first_at)));

    let mut used: BTreeSet<&str> = BTreeSet::new();
    let mut changes = Vec::new();
    let mut ended = Vec::new();
    // Ids of recorded episodes; a new episode must not get any of them.
    let mut taken: BTreeSet<String> = recorded.iter().map(|known| known.episode_id.clone()).collect();
    for episode in found {
        let first_choice = episode_id(&episode.cause, episode.first_incident_id);
        let matching = |known: &&&RecordedEpisode| {
            let overlaps = known.first_at <= episode.last_at && episode.first_at <= known.last_at;
            let same = overlaps && cause_now(known) == episode.cause || known.episode_id == first_choice;
            same && !used.contains(known.episode_id.as_str())
        };
        let matches: Vec<&RecordedEpisode> = recorded.iter().filter(matching).copied().collect();
        used.extend(matches.iter().map(|known| known.episode_id.as_str()));
        let Some((kept, absorbed)) = matches.split_first() else {
            let episode_id = unused(first_choice, &taken);
            taken.insert(episode_id.clone());
            changes.push(opened(episode, episode_id));
            continue;
        };
        if kept.occurred_at <= as_of {
            changes.extend(updated(episode, kept));
        }
        for known in absorbed.iter().filter(|known| known.event != EpisodeEvent::Closed && known.occurred_at <= as_of) {
            ended.push(closed(known, TransitionReason::MergedInto(kept.episode_id.clone())));
        }
    }
    for known in recorded {
        let settled = known.event == EpisodeEvent::Closed || known.occurred_at > as_of;
        if settled || used.contains(known.episode_id.as_str()) {
            continue;
        }
        let touched = merged_causes(aliases, &known.cause);
        let realigned =
            aliases.iter().any(|alias| alias.seq > known.seq && touched.contains(alias.cause_fingerprint.as_str()));
        let reason = match known.rule() {
            other if other != rule => TransitionReason::RuleChanged(other),
            _ if realigned => TransitionReason::CausesChanged,
            _ => TransitionReason::FindingsRevised,
        };
        ended.push(closed(known, reason));
    }
    ended.sort_by(|a, b| a.episode_id.cmp(&b.episode_id));
    changes.extend(ended);
    changes
}

/// Returns the episode id: `rec-` and 16 hex digits of SHA-256 over the cause, a line feed and the first incident.
pub fn episode_id(cause: &str, first_incident_id: IncidentId) -> String {
    let digest = sha256_hex(format!("{cause}\n{first_incident_id}"));
    format!("rec-{}", &digest[..16])
}

/// Returns the id, or the next unused one derived from it. The second part of a split episode needs another id.
fn unused(mut id: String, taken: &BTreeSet<String>) -> String {
    while taken.contains(&id) {
        id = format!("rec-{}", &sha256_hex(&id)[..16]);
    }
    id
}

fn change(
    event: EpisodeEvent,
    reason: TransitionReason,
    episode: &Episode,
    id: &str,
    incident_id: IncidentId,
) -> EpisodeTransition {
    EpisodeTransition {
        event,
        episode_id: id.into(),
        incident_id,
        cause: episode.cause.clone(),
        occurrences: episode.occurrences,
        first_at: episode.first_at,
        last_at: episode.last_at,
        reason,
        found: Some(episode.clone()),
    }
}

fn opened(episode: &Episode, id: String) -> EpisodeTransition {
    let (event, reason) = match episode.is_open {
        true => (EpisodeEvent::Opened, TransitionReason::Reached),
        false => (EpisodeEvent::Closed, TransitionReason::FoundAfterEnd),
    };
    change(event, reason, episode, &id, episode.reached_incident_id)
}

fn updated(episode: &Episode, known: &RecordedEpisode) -> Option<EpisodeTransition> {
    let same =
        (episode.occurrences, episode.first_at, episode.last_at) == (known.occurrences, known.first_at, known.last_at);
    let was_open = known.event != EpisodeEvent::Closed;
    let (event, reason) = match (was_open, episode.is_open) {
        (true, true) if same => return None,
        (true, true) => (EpisodeEvent::Updated, TransitionReason::Changed),
        (true, false) => (EpisodeEvent::Closed, TransitionReason::WindowPassed),
        (false, true) => (EpisodeEvent::Updated, TransitionReason::Resumed),
        (false, false) if same => return None,
        (false, false) => (EpisodeEvent::Closed, TransitionReason::ChangedAfterEnd),
    };
    Some(change(event, reason, episode, &known.episode_id, known.incident_id))
}

fn closed(known: &RecordedEpisode, reason: TransitionReason) -> EpisodeTransition {
    EpisodeTransition {
        event: EpisodeEvent::Closed,
        episode_id: known.episode_id.clone(),
        incident_id: known.incident_id,
        cause: known.cause.clone(),
        occurrences: known.occurrences,
        first_at: known.first_at,
        last_at: known.last_at,
        reason,
        found: None,
    }
}

#[cfg(test)]
mod tests;
