//! The queries about recurrence, read into the domain's values.

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
    },
    time::Timestamp,
};

/// The episodes that `sql/recurrence.sql` finds, of some causes or of all, by cause and time.
///
/// # Errors
/// [`QueryError`].
pub async fn episodes(
    engine: Engine<'_>,
    as_of: Timestamp,
    rule: Rule,
    causes: Option<&[String]>,
) -> Result<Vec<Episode>, QueryError> {
    let mut found: Vec<Episode> = rows_of(engine, "recurrence", causes, with_rule(as_of, rule)).await?;
    found.sort_by(|a, b| (&a.cause, a.first_at).cmp(&(&b.cause, b.first_at)));
    Ok(found)
}

/// The incidents of the episodes of `causes`, by cause and seq.
///
/// # Errors
/// [`QueryError`].
pub async fn members(
    engine: Engine<'_>,
    as_of: Timestamp,
    rule: Rule,
    causes: &[String],
) -> Result<Vec<Member>, QueryError> {
    let mut found: Vec<Member> = rows_of(engine, "recurrence_members", Some(causes), with_rule(as_of, rule)).await?;
    found.sort_by(|a, b| (&a.cause, a.seq).cmp(&(&b.cause, b.seq)));
    Ok(found)
}

/// The occurrences of `causes`, by cause, time and key.
///
/// # Errors
/// [`QueryError`].
pub async fn occurrences(
    engine: Engine<'_>,
    as_of: Timestamp,
    causes: &[String],
) -> Result<Vec<Occurrence>, QueryError> {
    let parameters = vec![("as_of".into(), as_of.into())];
    let mut found: Vec<Occurrence> = rows_of(engine, "cause_occurrences", Some(causes), parameters).await?;
    found.sort_by(|a, b| {
        (&a.cause, a.occurred_at, &a.occurrence_key).cmp(&(&b.cause, b.occurred_at, &b.occurrence_key))
    });
    Ok(found)
}

/// Causes that occurred, some or all, the one that occurred last first.
///
/// # Errors
/// [`QueryError`].
pub async fn cause_counts(
    engine: Engine<'_>,
    as_of: Timestamp,
    rule: Rule,
    causes: Option<&[String]>,
) -> Result<Vec<CauseCount>, QueryError> {
    let parameters = vec![("as_of".into(), as_of.into()), ("window_hours".into(), rule.window_hours.into())];
    let mut found: Vec<CauseCount> = rows_of(engine, "cause_counts", causes, parameters).await?;
    found.sort_by(|a, b| (b.last_at, &a.cause).cmp(&(a.last_at, &b.cause)));
    Ok(found)
}

/// The resources to compare those with, that had the cause.
///
/// # Errors
/// [`QueryError`].
pub async fn others(engine: Engine<'_>, as_of: Timestamp, cause: &str) -> Result<Vec<OtherResource>, QueryError> {
    let mut found: Vec<OtherResource> = engine.rows("cause_others", &with_cause(as_of, cause)).await?;
    found.sort_by(|a, b| {
        (&a.workspace_id, &a.resource_kind, &a.resource_id).cmp(&(&b.workspace_id, &b.resource_kind, &b.resource_id))
    });
    Ok(found)
}

/// How long incidents with the cause took to resolve, against all others.
///
/// # Errors
/// [`QueryError`].
pub async fn impact(engine: Engine<'_>, as_of: Timestamp, cause: &str) -> Result<Option<Impact>, QueryError> {
    Ok(engine.rows("cause_impact", &with_cause(as_of, cause)).await?.pop())
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

fn with_rule(as_of: Timestamp, rule: Rule) -> Parameters {
    vec![
        ("as_of".into(), as_of.into()),
        ("threshold".into(), rule.threshold.into()),
        ("window_hours".into(), rule.window_hours.into()),
    ]
}

fn with_cause(as_of: Timestamp, cause: &str) -> Parameters {
    vec![("as_of".into(), as_of.into()), ("cause".into(), cause.into())]
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
