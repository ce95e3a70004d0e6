//! Episodes of recent findings. Older files are read only for causes whose sessions extend into them.

use std::collections::{BTreeMap, BTreeSet};

use super::{MAX_NAMED, episodes};
use crate::{
    analytics::{QueryError, engine::Engine},
    domain::{
        recurrence::{
            Episode, RecurrenceRule,
            time_range::{CauseRanges, TimeRange, minimum_range, session_start},
        },
        time::Timestamp,
    },
};

/// Returns the episodes up to `as_of` that had not ended before `ranges`, each complete, sorted by cause and time. There are no
/// findings before `earliest`.
///
/// # Errors
/// [`QueryError`].
pub async fn episodes_within(
    engine: Engine<'_>,
    as_of: Timestamp,
    rule: RecurrenceRule,
    ranges: &CauseRanges,
    earliest: Timestamp,
) -> Result<Vec<Episode>, QueryError> {
    let mut edges = ranges.by_cause.clone();
    let mut found = Vec::new();
    if let Some(since) = ranges.others {
        found = episodes(engine, TimeRange { since, as_of }, rule, None).await?;
        if since > earliest {
            edges.extend(
                begun(engine, since, rule)
                    .await?
                    .into_iter()
                    .map(|cause| (cause, since))
                    .filter(|(cause, _)| !ranges.by_cause.contains_key(cause)),
            );
        }
        found.retain(|episode| !edges.contains_key(&episode.cause));
    }
    if let Some(since) = beginnings(engine, rule, &edges, earliest).await?.into_values().min() {
        // Incidents about one job run count once, so a session may begin earlier than its other incidents show.
        let time_range = TimeRange { since: since.plus(-rule.window()), as_of };
        let whole = episodes(engine, time_range, rule, named(&causes(&edges))).await?;
        found.extend(whole.into_iter().filter(|one| edges.get(&one.cause).is_some_and(|edge| one.last_at >= *edge)));
    }
    for episode in &mut found {
        episode.may_begin_earlier = false;
    }
    found.sort_by(|a, b| (&a.cause, a.first_at).cmp(&(&b.cause, b.first_at)));
    Ok(found)
}

/// Returns the rule that finds sessions: episodes with a threshold of one.
fn sessions(rule: RecurrenceRule) -> RecurrenceRule {
    RecurrenceRule { threshold: 1, ..rule }
}

/// Returns the causes with a session that may have begun before `since`, recurring or not.
async fn begun(engine: Engine<'_>, since: Timestamp, rule: RecurrenceRule) -> Result<BTreeSet<String>, QueryError> {
    let edge = TimeRange { since, as_of: since.plus(rule.window()) };
    let begun = episodes(engine, edge, sessions(rule), None).await?;
    Ok(begun.into_iter().filter(|session| session.may_begin_earlier).map(|session| session.cause).collect())
}

/// Returns, for each cause, the beginning of the session that continues at or after its time, or an earlier time. Searches further
/// and further back.
async fn beginnings(
    engine: Engine<'_>,
    rule: RecurrenceRule,
    edges: &BTreeMap<String, Timestamp>,
    earliest: Timestamp,
) -> Result<BTreeMap<String, Timestamp>, QueryError> {
    let mut known = BTreeMap::new();
    let mut open = edges.clone();
    let mut back = minimum_range(rule);
    while let Some((first, last)) = open.values().min().copied().zip(open.values().max()) {
        let since = first.plus(-back);
        if since <= earliest {
            known.extend(open.into_keys().map(|cause| (cause, since)));
            break;
        }
        let time_range = TimeRange { since, as_of: last.plus(rule.window()) };
        let found = episodes(engine, time_range, sessions(rule), named(&causes(&open))).await?;
        let mut of_cause: BTreeMap<&str, Vec<&Episode>> = BTreeMap::new();
        for session in &found {
            of_cause.entry(&session.cause).or_default().push(session);
        }
        open.retain(|cause, edge| {
            let beginning = session_start(of_cause.remove(cause.as_str()).unwrap_or_default(), *edge);
            known.extend(beginning.map(|beginning| (cause.clone(), beginning)));
            beginning.is_none()
        });
        back = back * 2;
    }
    Ok(known)
}

fn causes(edges: &BTreeMap<String, Timestamp>) -> Vec<String> {
    edges.keys().cloned().collect()
}

fn named(causes: &[String]) -> Option<&[String]> {
    (causes.len() <= MAX_NAMED).then_some(causes)
}
