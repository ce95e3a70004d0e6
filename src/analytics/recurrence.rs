//! The queries about recurrence, read into the domain's values.
//!
//! [`trailing`] asks them about what was found lately, and no more than that takes.

pub mod trailing;

use serde::de::DeserializeOwned;

use super::{
    QueryError,
    engine::{Engine, Parameters},
};
use crate::domain::{
    prevention::Step,
    recurrence::{
        Alias, CauseCount, Episode, Occurrence, Rule,
        changes::RecordedEpisode,
        issue::{Impact, Member},
        pattern::OtherResource,
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

/// The resources to compare those with, that had the cause in a stretch of time.
///
/// # Errors
/// [`QueryError`].
pub async fn others(engine: Engine<'_>, stretch: Stretch, cause: &str) -> Result<Vec<OtherResource>, QueryError> {
    let mut found: Vec<OtherResource> = engine.rows("cause_others", &with_cause(stretch, cause)).await?;
    found.sort_by(|a, b| {
        (&a.workspace_id, &a.resource_kind, &a.resource_id).cmp(&(&b.workspace_id, &b.resource_kind, &b.resource_id))
    });
    Ok(found)
}

/// How long incidents of a stretch of time with the cause took to resolve, against all others.
///
/// # Errors
/// [`QueryError`].
pub async fn impact(engine: Engine<'_>, stretch: Stretch, cause: &str) -> Result<Option<Impact>, QueryError> {
    Ok(engine.rows("cause_impact", &with_cause(stretch, cause)).await?.pop())
}

/// What is recorded of every episode, closed ones included.
///
/// # Errors
/// [`QueryError`].
pub async fn recorded(engine: Engine<'_>) -> Result<Vec<RecordedEpisode>, QueryError> {
    engine.rows(RECORDED, &[]).await
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

fn with_cause(stretch: Stretch, cause: &str) -> Parameters {
    let mut parameters = within(stretch);
    parameters.push(("cause".into(), cause.into()));
    parameters
}

/// One of the queries, about some causes only. The condition is on what its windows are partitioned by, so the planner
/// can apply it before it sorts.
fn only(name: &str, causes: &[String], mut parameters: Parameters) -> (String, Parameters) {
    let body = super::queries().find(|(known, _)| *known == name).map_or(name, |(_, sql)| sql);
    let mut names = Vec::new();
    for (index, cause) in causes.iter().enumerate() {
        names.push(format!(":cause_{index}"));
        parameters.push((format!("cause_{index}"), cause.as_str().into()));
    }
    (format!("SELECT * FROM (\n{body}\n) AS found WHERE cause IN ({})", names.join(", ")), parameters)
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
