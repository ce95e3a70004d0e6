//! The queries about recurrence, read into the domain's values.
//!
//! [`trailing`] asks them about what was found lately, and no more than that takes.

pub mod trailing;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, de::DeserializeOwned};

use super::{
    QueryError,
    engine::{Engine, Parameters},
};
use crate::domain::{
    prevention::Step,
    recurrence::{
        Alias, CauseCount, Episode, Occurrence, Rule,
        changes::RecordedEpisode,
        issue::{CauseImpact, Impact, Member},
        pattern::FoundResource,
        stretch::Stretch,
    },
    time::Timestamp,
};

/// The episodes that `sql/recurrence.sql` finds in a stretch of time, of some causes or of all, by cause and time.
///
/// # Errors
/// [`QueryError`].
pub async fn episodes(
    engine: Engine<'_>,
    stretch: Stretch,
    rule: Rule,
    causes: Option<&[String]>,
) -> Result<Vec<Episode>, QueryError> {
    let mut found: Vec<Episode> = rows_of(engine, "recurrence", causes, with_rule(stretch, rule)).await?;
    found.sort_by(|a, b| (&a.cause, a.first_at).cmp(&(&b.cause, b.first_at)));
    Ok(found)
}

/// The incidents of the episodes of `causes` in a stretch of time, those found from `found_since` on, by cause and seq.
///
/// # Errors
/// [`QueryError`].
pub async fn members(
    engine: Engine<'_>,
    stretch: Stretch,
    rule: Rule,
    causes: &[String],
    found_since: Timestamp,
) -> Result<Vec<Member>, QueryError> {
    if causes.is_empty() {
        return Ok(Vec::new());
    }
    let (sql, mut parameters) = only("recurrence_members", causes, with_rule(stretch, rule));
    parameters.push(("found_since".into(), found_since.into()));
    let mut found: Vec<Member> = engine.rows(&format!("{sql} AND found_at >= :found_since"), &parameters).await?;
    found.sort_by(|a, b| (&a.cause, a.seq).cmp(&(&b.cause, b.seq)));
    Ok(found)
}

/// The occurrences of `causes` in a stretch of time, by cause, time and key.
///
/// # Errors
/// [`QueryError`].
pub async fn occurrences(
    engine: Engine<'_>,
    stretch: Stretch,
    causes: &[String],
) -> Result<Vec<Occurrence>, QueryError> {
    let mut found: Vec<Occurrence> = rows_of(engine, "cause_occurrences", Some(causes), within(stretch)).await?;
    found.sort_by(|a, b| {
        (&a.cause, a.occurred_at, &a.occurrence_key).cmp(&(&b.cause, b.occurred_at, &b.occurrence_key))
    });
    Ok(found)
}

/// Causes that occurred in a stretch of time, some or all, the one that occurred last first.
///
/// # Errors
/// [`QueryError`].
pub async fn cause_counts(
    engine: Engine<'_>,
    stretch: Stretch,
    rule: Rule,
    causes: Option<&[String]>,
) -> Result<Vec<CauseCount>, QueryError> {
    let mut parameters = within(stretch);
    parameters.push(("window_hours".into(), rule.window_hours.into()));
    let mut found: Vec<CauseCount> = rows_of(engine, "cause_counts", causes, parameters).await?;
    found.sort_by(|a, b| (b.last_at, &a.cause).cmp(&(a.last_at, &b.cause)));
    Ok(found)
}

/// The resources about which causes were found in a stretch of time, each with its latest finding, and its latest with each
/// of `causes`: by workspace, kind and id.
///
/// # Errors
/// [`QueryError`].
pub async fn resources(
    engine: Engine<'_>,
    stretch: Stretch,
    causes: &[String],
) -> Result<Vec<FoundResource>, QueryError> {
    let mut parameters = within(stretch);
    let sql = match causes {
        [] => return Ok(Vec::new()),
        causes if causes.len() > MAX_NAMED => text("cause_resources").to_owned(),
        causes => {
            let names = names("cause", causes, &mut parameters);
            format!("SELECT * FROM (\n{}\n) AS found WHERE is_latest OR cause IN ({names})", text("cause_resources"))
        }
    };
    let mut found: Vec<FoundResource> = engine.rows(&sql, &parameters).await?;
    found.sort_by(|a, b| {
        (&a.workspace_id, &a.resource_kind, &a.resource_id).cmp(&(&b.workspace_id, &b.resource_kind, &b.resource_id))
    });
    Ok(found)
}

/// How long incidents with a cause, found from a moment on, took to resolve against all others of that time: for every cause
/// and moment in one query.
///
/// # Errors
/// [`QueryError`].
pub async fn impacts(
    engine: Engine<'_>,
    looks: &BTreeSet<(String, Timestamp)>,
    as_of: Timestamp,
) -> Result<BTreeMap<(String, Timestamp), Impact>, QueryError> {
    let Some(since) = looks.iter().map(|(_, since)| *since).min() else { return Ok(BTreeMap::new()) };
    let mut parameters = within(Stretch { since, as_of });
    let mut each = Vec::new();
    for (n, (cause, since)) in looks.iter().enumerate() {
        parameters.push((format!("cause_{n}"), cause.as_str().into()));
        parameters.push((format!("since_{n}"), (*since).into()));
        each.push(LOOK.replace(":cause", &format!(":cause_{n}")).replace(":since", &format!(":since_{n}")));
    }
    let sql = text("cause_impact").replacen(LOOK, &each.join("  UNION ALL\n"), 1);
    let found: Vec<CauseImpact> = engine.rows(&sql, &parameters).await?;
    // A warehouse cuts timestamps to milliseconds.
    let millis = |at: Timestamp| at.micros().div_euclid(1_000);
    let found: BTreeMap<(String, i64), CauseImpact> =
        found.into_iter().map(|found| ((found.cause.clone(), millis(found.since)), found)).collect();
    let of = |look: &(String, Timestamp)| {
        let found = found.get(&(look.0.clone(), millis(look.1)))?;
        Some((look.clone(), found.impact()))
    };
    Ok(looks.iter().filter_map(of).collect())
}

/// What is recorded of every episode, closed ones included.
///
/// # Errors
/// [`QueryError`].
pub async fn recorded(engine: Engine<'_>) -> Result<Vec<RecordedEpisode>, QueryError> {
    engine.rows(RECORDED, &[]).await
}

/// What was told last of episodes, by their ids: `recurrence_events.detail`.
///
/// # Errors
/// [`QueryError`].
pub async fn details(engine: Engine<'_>, episode_ids: &[String]) -> Result<BTreeMap<String, String>, QueryError> {
    #[derive(Deserialize)]
    struct Told {
        episode_id: String,
        detail: String,
    }
    if episode_ids.is_empty() {
        return Ok(BTreeMap::new());
    }
    let mut parameters = Vec::new();
    let names = names("episode", episode_ids, &mut parameters);
    let sql = format!("SELECT episode_id, detail FROM recurring_issues WHERE episode_id IN ({names})");
    let told: Vec<Told> = engine.rows(&sql, &parameters).await?;
    Ok(told.into_iter().map(|told| (told.episode_id, told.detail)).collect())
}

/// Every alias, by seq and ordinal.
///
/// # Errors
/// [`QueryError`].
pub async fn aliases(engine: Engine<'_>) -> Result<Vec<Alias>, QueryError> {
    engine.rows("SELECT seq, ordinal, cause_fingerprint, counts_as FROM cause_aliases ORDER BY seq, ordinal", &[]).await
}

/// Every step of a preventive action, by seq and ordinal.
///
/// # Errors
/// [`QueryError`].
pub async fn prevention_steps(engine: Engine<'_>) -> Result<Vec<Step>, QueryError> {
    engine.rows(STEPS, &[]).await
}

/// With more causes than that it is quicker to ask about all of them.
const MAX_NAMED: usize = 200;
/// What `sql/cause_impact.sql` looks at: another one like it for each cause and moment.
const LOOK: &str = "  SELECT\n    :cause AS cause,\n    :since AS since\n";

const RECORDED: &str = "SELECT episode_id, incident_id, seq, first_seq, occurred_at, cause_fingerprint, event, \
                        incidents, first_at, last_at, threshold, window_hours FROM recurring_issues ORDER BY episode_id";
const STEPS: &str = "SELECT cause_fingerprint, seq, ordinal, action, state, occurred_at FROM preventive_actions \
                     ORDER BY seq, ordinal";

fn within(stretch: Stretch) -> Parameters {
    vec![("since".into(), stretch.since.into()), ("as_of".into(), stretch.as_of.into())]
}

fn with_rule(stretch: Stretch, rule: Rule) -> Parameters {
    let mut parameters = within(stretch);
    parameters.push(("threshold".into(), rule.threshold.into()));
    parameters.push(("window_hours".into(), rule.window_hours.into()));
    parameters
}

/// The text of one of the queries.
fn text(name: &str) -> &str {
    super::queries().find(|(known, _)| *known == name).map_or(name, |(_, sql)| sql)
}

/// Values as parameters `:NAME_0`, `:NAME_1` … of a list.
fn names(name: &str, values: &[String], parameters: &mut Parameters) -> String {
    let mut names = Vec::new();
    for (n, value) in values.iter().enumerate() {
        names.push(format!(":{name}_{n}"));
        parameters.push((format!("{name}_{n}"), value.as_str().into()));
    }
    names.join(", ")
}

/// One of the queries, about some causes only. The condition is on what its windows are partitioned by, so the planner
/// can apply it before it sorts.
fn only(name: &str, causes: &[String], mut parameters: Parameters) -> (String, Parameters) {
    let names = names("cause", causes, &mut parameters);
    (format!("SELECT * FROM (\n{}\n) AS found WHERE cause IN ({names})", text(name)), parameters)
}

async fn rows_of<T: DeserializeOwned>(
    engine: Engine<'_>,
    name: &str,
    causes: Option<&[String]>,
    parameters: Parameters,
) -> Result<Vec<T>, QueryError> {
    match causes {
        None => engine.rows(name, &parameters).await,
        Some([]) => Ok(Vec::new()),
        Some(causes) => {
            let (sql, parameters) = only(name, causes, parameters);
            engine.rows(&sql, &parameters).await
        }
    }
}

#[cfg(test)]
mod tests;
