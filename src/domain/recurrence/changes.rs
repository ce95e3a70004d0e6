//! What an evaluation changes in what is recorded of episodes. An evaluation that finds what is recorded changes nothing.

use std::{collections::BTreeSet, fmt};

use serde::Deserialize;

use super::{Alias, Episode, Rule, current_aliases, relatives};
use crate::domain::{
    ids::{IncidentId, sha256_hex},
    time::Timestamp,
    words::EpisodeEvent,
};

/// The latest row of `recurrence_events` about an episode, as `sql/views/recurring_issues.sql` has it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct RecordedEpisode {
    pub episode_id: String,
    pub incident_id: IncidentId,
    pub seq: u64,
    /// Of the first row about it: the oldest of several keeps its id.
    pub first_seq: u64,
    /// The moment up to which incidents were looked at.
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
    /// By which it was one.
    pub fn rule(&self) -> Rule {
        Rule { threshold: self.threshold, window_hours: self.window_hours }
    }
}

/// A row to be written to `recurrence_events`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    pub event: EpisodeEvent,
    pub episode_id: String,
    /// The incident that the rows about the episode carry, from its first to its last.
    pub incident_id: IncidentId,
    pub cause: String,
    pub occurrences: u64,
    pub first_at: Timestamp,
    pub last_at: Timestamp,
    pub reason: Reason,
    /// The episode as it was found; `None` when it was not found any more and the values above are the recorded ones.
    pub found: Option<Episode>,
}

impl Change {
    /// A recorded episode that is as it was, told anew because something else about its cause changed.
    pub fn again(known: &RecordedEpisode, found: &Episode) -> Self {
        change(EpisodeEvent::Updated, Reason::Again, found, &known.episode_id, known.incident_id)
    }
}

/// An alert on a recurring issue that is not quiet any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuietOver {
    /// The incident whose alert it is.
    pub incident_id: IncidentId,
    /// When it was over.
    pub until: Timestamp,
    /// The ledger's row since which the alert was quiet.
    pub seq: u64,
}

/// What is to be recorded besides `changed` so that alerts whose quiet time is over are evaluated: those whose episode is as
/// it was, and was not looked at since they were silenced. `found_open` gives what a recorded episode was found as, if it
/// goes on.
pub fn quiet_over<'a>(
    over: &[QuietOver],
    recorded: &[RecordedEpisode],
    changed: &[Change],
    found_open: impl Fn(&RecordedEpisode) -> Option<&'a Episode>,
) -> Vec<Change> {
    let evaluated = |over: &QuietOver| {
        let mut own: Vec<&RecordedEpisode> =
            recorded.iter().filter(|known| known.incident_id == over.incident_id).collect();
        own.sort_by_key(|known| known.seq);
        let last = own.last().filter(|last| last.seq <= over.seq)?;
        let changes = |known: &RecordedEpisode| changed.iter().find(|change| change.episode_id == known.episode_id);
        let own_changes = || own.iter().filter_map(|known| changes(known));
        if own_changes().any(|change| change.event != EpisodeEvent::Closed) {
            return None;
        }
        let open = own.iter().rev().filter(|known| changes(known).is_none());
        let reason = Reason::QuietOver(over.until);
        match open.filter_map(|known| Some((known, found_open(known)?))).next() {
            Some((known, found)) => {
                Some(change(EpisodeEvent::Updated, reason, found, &known.episode_id, known.incident_id))
            }
            None if own_changes().next().is_some() => None,
            None => Some(closed(last, Reason::OverWhenQuietOver(over.until))),
        }
    };
    over.iter().filter_map(evaluated).collect()
}

/// Why an episode changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// The threshold was reached.
    Reached,
    /// There are more occurrences than were recorded, or fewer, or at other times.
    Changed,
    /// It is as it was; a preventive action against its cause is not.
    Again,
    /// It is as it was; its alert was quiet until that moment.
    QuietOver(Timestamp),
    /// It was over before that moment.
    OverWhenQuietOver(Timestamp),
    /// It was closed, and goes on.
    OpenAgain,
    /// More than a window went by without an occurrence.
    Quiet,
    /// It was over before anybody looked: recorded, but no news.
    FoundWhenOver,
    /// A late or revised finding changed an episode that stays closed.
    ChangedWhenOver,
    /// Another episode took in its occurrences.
    MergedInto(String),
    /// Too few occurrences are left since findings were revised.
    FindingsRevised,
    /// Too few occurrences are left since causes were merged or split.
    CausesChanged,
    /// It was one by another threshold or window.
    RuleChanged(Rule),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reached => f.write_str("the threshold was reached"),
            Self::Changed => f.write_str("its occurrences changed"),
            Self::Again => f.write_str("a preventive action against its cause changed its state"),
            Self::QuietOver(until) => write!(f, "its alert was quiet until {until}"),
            Self::OverWhenQuietOver(until) => write!(f, "it was over before its alert's quiet time was, at {until}"),
            Self::OpenAgain => f.write_str("it was closed and goes on"),
            Self::Quiet => f.write_str("a whole window went by without another occurrence"),
            Self::FoundWhenOver => f.write_str("it was over when it was found"),
            Self::ChangedWhenOver => f.write_str("its occurrences changed after it was closed"),
            Self::MergedInto(episode) => write!(f, "merged into {episode}"),
            Self::FindingsRevised => f.write_str("no longer found: findings were revised"),
            Self::CausesChanged => f.write_str("no longer found: causes were merged or split"),
            Self::RuleChanged(rule) => {
                write!(f, "no longer found: it was one by {} within {} h", rule.threshold, rule.window_hours)
            }
        }
    }
}

/// What has to be recorded so that what is found stands there, in a fixed order: by cause and time as found, then what is
/// over by episode id.
///
/// A found episode is a recorded one if the cause is the same by today's `aliases` and the times overlap, or if it would
/// get the same id. Of several the one that was recorded first keeps its id, the others are closed. What was recorded by an
/// evaluation of a later moment than `as_of` stays as it is.
pub fn changes(
    found: &[Episode],
    recorded: &[RecordedEpisode],
    aliases: &[Alias],
    as_of: Timestamp,
    rule: Rule,
) -> Vec<Change> {
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
    let mut over = Vec::new();
    // Ids that were given out before anybody matched; a new one must not be any of them.
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
            over.push(closed(known, Reason::MergedInto(kept.episode_id.clone())));
        }
    }
    for known in recorded {
        let settled = known.event == EpisodeEvent::Closed || known.occurred_at > as_of;
        if settled || used.contains(known.episode_id.as_str()) {
            continue;
        }
        let touched = relatives(aliases, &known.cause);
        let realigned =
            aliases.iter().any(|alias| alias.seq > known.seq && touched.contains(alias.cause_fingerprint.as_str()));
        let reason = match known.rule() {
            other if other != rule => Reason::RuleChanged(other),
            _ if realigned => Reason::CausesChanged,
            _ => Reason::FindingsRevised,
        };
        over.push(closed(known, reason));
    }
    over.sort_by(|a, b| a.episode_id.cmp(&b.episode_id));
    changes.extend(over);
    changes
}

/// `rec-` and 16 hex digits of SHA-256 over the cause, a line feed, and the incident the episode began with.
pub fn episode_id(cause: &str, first_incident_id: IncidentId) -> String {
    let digest = sha256_hex(format!("{cause}\n{first_incident_id}"));
    format!("rec-{}", &digest[..16])
}

/// The id, or the next one made from it that nobody has: an episode that broke in two needs another.
fn unused(mut id: String, taken: &BTreeSet<String>) -> String {
    while taken.contains(&id) {
        id = format!("rec-{}", &sha256_hex(&id)[..16]);
    }
    id
}

fn change(event: EpisodeEvent, reason: Reason, episode: &Episode, id: &str, incident_id: IncidentId) -> Change {
    Change {
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

fn opened(episode: &Episode, id: String) -> Change {
    let (event, reason) = match episode.is_open {
        true => (EpisodeEvent::Opened, Reason::Reached),
        false => (EpisodeEvent::Closed, Reason::FoundWhenOver),
    };
    change(event, reason, episode, &id, episode.reached_incident_id)
}

fn updated(episode: &Episode, known: &RecordedEpisode) -> Option<Change> {
    let same =
        (episode.occurrences, episode.first_at, episode.last_at) == (known.occurrences, known.first_at, known.last_at);
    let was_open = known.event != EpisodeEvent::Closed;
    let (event, reason) = match (was_open, episode.is_open) {
        (true, true) if same => return None,
        (true, true) => (EpisodeEvent::Updated, Reason::Changed),
        (true, false) => (EpisodeEvent::Closed, Reason::Quiet),
        (false, true) => (EpisodeEvent::Updated, Reason::OpenAgain),
        (false, false) if same => return None,
        (false, false) => (EpisodeEvent::Closed, Reason::ChangedWhenOver),
    };
    Some(change(event, reason, episode, &known.episode_id, known.incident_id))
}

fn closed(known: &RecordedEpisode, reason: Reason) -> Change {
    Change {
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
