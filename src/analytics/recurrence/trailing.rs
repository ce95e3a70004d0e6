//! Episodes of what was found lately: files from before are read only for causes whose sessions reach back there.

use std::collections::{BTreeMap, BTreeSet};

use super::{MAX_NAMED, episodes};
use crate::{
    analytics::{QueryError, engine::Engine},
    domain::{
        recurrence::{
            Episode, Rule,
            stretch::{Reach, Stretch, beginning_of, least},
        },
        time::Timestamp,
    },
};

/// The episodes up to `as_of` that were not over before `reach`, each whole, by cause and time. Nothing was found before
/// `earliest`.
///
/// # Errors
/// [`QueryError`].
pub async fn episodes_within(
    engine: Engine<'_>,
    as_of: Timestamp,
    rule: Rule,
    reach: &Reach,
    earliest: Timestamp,
) -> Result<Vec<Episode>, QueryError> {
    let mut edges = reach.of.clone();
    let mut found = Vec::new();
    if let Some(since) = reach.others {
        found = episodes(engine, Stretch { since, as_of }, rule, None).await?;
        if since > earliest {
            edges.extend(
                begun(engine, since, rule)
                    .await?
                    .into_iter()
                    .map(|cause| (cause, since))
                    .filter(|(cause, _)| !reach.of.contains_key(cause)),
            );
        }
        found.retain(|episode| !edges.contains_key(&episode.cause));
    }
    if let Some(since) = beginnings(engine, rule, &edges, earliest).await?.into_values().min() {
        // Incidents about one job run may be a little older than the session that they would be in without it.
        let stretch = Stretch { since: since.plus(-rule.window()), as_of };
        let whole = episodes(engine, stretch, rule, named(&causes(&edges))).await?;
        found.extend(whole.into_iter().filter(|one| edges.get(&one.cause).is_some_and(|edge| one.last_at >= *edge)));
    }
    for episode in &mut found {
        episode.may_begin_earlier = false;
    }
    found.sort_by(|a, b| (&a.cause, a.first_at).cmp(&(&b.cause, b.first_at)));
    Ok(found)
}

/// A session is an episode by a threshold of one.
fn sessions(rule: Rule) -> Rule {
    Rule { threshold: 1, ..rule }
}

/// Causes with a session that may have begun before `since`, recurring or not.
async fn begun(engine: Engine<'_>, since: Timestamp, rule: Rule) -> Result<BTreeSet<String>, QueryError> {
    let edge = Stretch { since, as_of: since.plus(rule.window()) };
    let begun = episodes(engine, edge, sessions(rule), None).await?;
    Ok(begun.into_iter().filter(|session| session.may_begin_earlier).map(|session| session.cause).collect())
}

/// When the sessions began that go on at or after each cause's moment, or some moment before: looked for from further and
/// further back.
async fn beginnings(
    engine: Engine<'_>,
    rule: Rule,
    edges: &BTreeMap<String, Timestamp>,
    earliest: Timestamp,
) -> Result<BTreeMap<String, Timestamp>, QueryError> {
    let mut known = BTreeMap::new();
    let mut open = edges.clone();
    let mut back = least(rule);
    while let Some((first, last)) = open.values().min().copied().zip(open.values().max()) {
        let since = first.plus(-back);
        if since <= earliest {
            known.extend(open.into_keys().map(|cause| (cause, since)));
            break;
        }
        let stretch = Stretch { since, as_of: last.plus(rule.window()) };
        let found = episodes(engine, stretch, sessions(rule), named(&causes(&open))).await?;
        let mut of_cause: BTreeMap<&str, Vec<&Episode>> = BTreeMap::new();
        for session in &found {
            of_cause.entry(&session.cause).or_default().push(session);
        }
        open.retain(|cause, edge| {
            let beginning = beginning_of(of_cause.remove(cause.as_str()).unwrap_or_default(), *edge);
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
