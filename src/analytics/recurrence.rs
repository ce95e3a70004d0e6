//! Runs the queries about recurrence, and reads their rows into domain values.
//!
//! - [`trailing`]: runs them for recent findings, and reads no more files than necessary

pub mod trailing;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, de::DeserializeOwned};

use super::{
    QueryError,
    engine::{Engine, Parameters},
};
use crate::domain::{
    prevention::PreventionStep,
    recurrence::{
        CauseCount, CauseMapping, Episode, Occurrence, RecurrenceRule,
        changes::RecordedEpisode,
        issue::{CauseImpact, Impact, Member},
        pattern::FoundResource,
        time_range::TimeRange,
    },
    time::Timestamp,
};

/// Returns the episodes that `sql/recurrence.sql` finds in a time range, for some causes or all, sorted by cause and time.
///
/// # Errors
/// [`QueryError`].
pub async fn episodes(
    engine: Engine<'_>,
    time_range: TimeRange,
    rule: RecurrenceRule,
    causes: Option<&[String]>,
) -> Result<Vec<Episode>, QueryError> {
    let mut found: Vec<Episode> = rows_of(engine, "recurrence", causes, with_rule(time_range, rule)).await?;
    found.sort_by(|a, b| (&a.cause, a.first_at).cmp(&(&b.cause, b.first_at)));
    Ok(found)
}

/// Returns the incidents of the episodes of `causes` in a time range that were found since `found_since`, sorted by cause and seq.
///
/// # Errors
/// [`QueryError`].
pub async fn members(
    engine: Engine<'_>,
    time_range: TimeRange,
    rule: RecurrenceRule,
    causes: &[String],
    found_since: Timestamp,
) -> Result<Vec<Member>, QueryError> {
    if causes.is_empty() {
        return Ok(Vec::new());
    }
    let (sql, mut parameters) = only("recurrence_members", causes, with_rule(time_range, rule));
    parameters.push(("found_since".into(), found_since.into()));
    let mut found: Vec<Member> = engine.rows(&format!("{sql} AND found_at >= :found_since"), &parameters).await?;
    found.sort_by(|a, b| (&a.cause, a.seq).cmp(&(&b.cause, b.seq)));
    Ok(found)
}

/// Returns the occurrences of `causes` in a time range, sorted by cause, time and key.
///
/// # Errors
/// [`QueryError`].
pub async fn occurrences(
    engine: Engine<'_>,
    time_range: TimeRange,
    causes: &[String],
) -> Result<Vec<Occurrence>, QueryError> {
    let mut found: Vec<Occurrence> = rows_of(engine, "cause_occurrences", Some(causes), within(time_range)).await?;
    found.sort_by(|a, b| {
        (&a.cause, a.occurred_at, &a.occurrence_key).cmp(&(&b.cause, b.occurred_at, &b.occurrence_key))
    });
    Ok(found)
}

/// Returns the causes that occurred in a time range, some or all, the last one first.
///
/// # Errors
/// [`QueryError`].
pub async fn cause_counts(
    engine: Engine<'_>,
    time_range: TimeRange,
    rule: RecurrenceRule,
    causes: Option<&[String]>,
) -> Result<Vec<CauseCount>, QueryError> {
    let mut parameters = within(time_range);
    parameters.push(("window_hours".into(), rule.window_hours.into()));
    let mut found: Vec<CauseCount> = rows_of(engine, "cause_counts", causes, parameters).await?;
    found.sort_by(|a, b| (b.last_at, &a.cause).cmp(&(a.last_at, &b.cause)));
    Ok(found)
}

/// Returns the resources with causes in a time range, sorted by workspace, kind and id. Each has its latest finding, and its latest
/// finding of each of `causes`.
///
/// # Errors
/// [`QueryError`].
pub async fn resources(
    engine: Engine<'_>,
    time_range: TimeRange,
    causes: &[String],
) -> Result<Vec<FoundResource>, QueryError> {
    let mut parameters = within(time_range);
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

/// Compares the resolution times of incidents with a cause, found since some time, with those of all other incidents of that time.
/// Runs one query for all pairs of cause and time.
///
/// # Errors
/// [`QueryError`].
pub async fn impacts(
    engine: Engine<'_>,
    targets: &BTreeSet<(String, Timestamp)>,
    as_of: Timestamp,
) -> Result<BTreeMap<(String, Timestamp), Impact>, QueryError> {
    let Some(since) = targets.iter().map(|(_, since)| *since).min() else { return Ok(BTreeMap::new()) };
    let mut parameters = within(TimeRange { since, as_of });
    let mut each = Vec::new();
    for (n, (cause, since)) in targets.iter().enumerate() {
        parameters.push((format!("cause_{n}"), cause.as_str().into()));
        parameters.push((format!("since_{n}"), (*since).into()));
        each.push(TARGET_SQL.replace(":cause", &format!(":cause_{n}")).replace(":since", &format!(":since_{n}")));
    }
    let sql = text("cause_impact").replacen(TARGET_SQL, &each.join("  UNION ALL\n"), 1);
    let found: Vec<CauseImpact> = engine.rows(&sql, &parameters).await?;
    // A warehouse truncates timestamps to milliseconds.
    let millis = |at: Timestamp| at.micros().div_euclid(1_000);
    let found: BTreeMap<(String, i64), CauseImpact> =
        found.into_iter().map(|found| ((found.cause.clone(), millis(found.since)), found)).collect();
    let of = |target: &(String, Timestamp)| {
        let found = found.get(&(target.0.clone(), millis(target.1)))?;
        Some((target.clone(), found.impact()))
    };
    Ok(targets.iter().filter_map(of).collect())
}

/// Returns every recorded episode, including closed ones.
///
/// # Errors
/// [`QueryError`].
pub async fn recorded(engine: Engine<'_>) -> Result<Vec<RecordedEpisode>, QueryError> {
    engine.rows(RECORDED, &[]).await
}

/// Returns the last recorded detail of episodes, by id: `recurrence_events.detail`.
///
/// # Errors
/// [`QueryError`].
pub async fn details(engine: Engine<'_>, episode_ids: &[String]) -> Result<BTreeMap<String, String>, QueryError> {
    #[derive(Deserialize)]
    struct RecordedDetail {
        episode_id: String,
        detail: String,
    }
    if episode_ids.is_empty() {
        return Ok(BTreeMap::new());
    }
    let mut parameters = Vec::new();
    let names = names("episode", episode_ids, &mut parameters);
    let sql = format!("SELECT episode_id, detail FROM recurring_issues WHERE episode_id IN ({names})");
    let details: Vec<RecordedDetail> = engine.rows(&sql, &parameters).await?;
    Ok(details.into_iter().map(|details| (details.episode_id, details.detail)).collect())
}

/// Returns every alias, sorted by seq and ordinal.
///
/// # Errors
/// [`QueryError`].
pub async fn aliases(engine: Engine<'_>) -> Result<Vec<CauseMapping>, QueryError> {
    engine.rows("SELECT seq, ordinal, cause_fingerprint, counts_as FROM cause_aliases ORDER BY seq, ordinal", &[]).await
}

/// Returns every step of a preventive action, sorted by seq and ordinal.
///
/// # Errors
/// [`QueryError`].
pub async fn prevention_steps(engine: Engine<'_>) -> Result<Vec<PreventionStep>, QueryError> {
    engine.rows(STEPS, &[]).await
}

/// The number of causes above which a query for all causes is faster.
const MAX_NAMED: usize = 200;
/// The pair of cause and time in `sql/cause_impact.sql`, which is repeated for each pair.
const TARGET_SQL: &str = "  SELECT\n    :cause AS cause,\n    :since AS since\n";

const RECORDED: &str = "SELECT episode_id, incident_id, seq, first_seq, occurred_at, cause_fingerprint, event, \
                        incidents, first_at, last_at, threshold, window_hours FROM recurring_issues ORDER BY episode_id";
const STEPS: &str = "SELECT cause_fingerprint, seq, ordinal, action, state, occurred_at FROM preventive_actions \
                     ORDER BY seq, ordinal";

fn within(time_range: TimeRange) -> Parameters {
    vec![("since".into(), time_range.since.into()), ("as_of".into(), time_range.as_of.into())]
}

fn with_rule(time_range: TimeRange, rule: RecurrenceRule) -> Parameters {
    let mut parameters = within(time_range);
    parameters.push(("threshold".into(), rule.threshold.into()));
    parameters.push(("window_hours".into(), rule.window_hours.into()));
    parameters
}

/// Returns the text of a query.
fn text(name: &str) -> &str {
    super::queries().find(|(known, _)| *known == name).map_or(name, |(_, sql)| sql)
}

/// Adds values as parameters `:NAME_0`, `:NAME_1` …, and returns the list of their names.
fn names(name: &str, values: &[String], parameters: &mut Parameters) -> String {
    let mut names = Vec::new();
    for (n, value) in values.iter().enumerate() {
        names.push(format!(":{name}_{n}"));
        parameters.push((format!("{name}_{n}"), value.as_str().into()));
    }
    names.join(", ")
}

/// Returns a query for some causes only. Its window functions are partitioned by cause, so the planner can filter before it sorts.
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
