//! The queries about recurrence, read into the domain's values.

use datafusion::common::ScalarValue;
use serde::de::DeserializeOwned;

use super::{QueryError, query_with};
use crate::{
    domain::{
        prevention::Step,
        recurrence::{
            Alias, CauseCount, Episode, Occurrence, Rule,
            changes::RecordedEpisode,
            issue::{Impact, Member},
            pattern::OtherResource,
        },
        time::Timestamp,
    },
    lake::{Lake, LakeError},
};

/// The episodes that `sql/recurrence.sql` finds, of some causes or of all, by cause and time.
///
/// # Errors
/// [`QueryError`].
pub async fn episodes(
    lake: &Lake,
    as_of: Timestamp,
    rule: Rule,
    causes: Option<&[String]>,
) -> Result<Vec<Episode>, QueryError> {
    let mut found: Vec<Episode> = rows_of(lake, "recurrence", causes, with_rule(as_of, rule)).await?;
    found.sort_by(|a, b| (&a.cause, a.first_at).cmp(&(&b.cause, b.first_at)));
    Ok(found)
}

/// The incidents of the episodes of `causes`, by cause and seq.
///
/// # Errors
/// [`QueryError`].
pub async fn members(lake: &Lake, as_of: Timestamp, rule: Rule, causes: &[String]) -> Result<Vec<Member>, QueryError> {
    let mut found: Vec<Member> = rows_of(lake, "recurrence_members", Some(causes), with_rule(as_of, rule)).await?;
    found.sort_by(|a, b| (&a.cause, a.seq).cmp(&(&b.cause, b.seq)));
    Ok(found)
}

/// The occurrences of `causes`, by cause, time and key.
///
/// # Errors
/// [`QueryError`].
pub async fn occurrences(lake: &Lake, as_of: Timestamp, causes: &[String]) -> Result<Vec<Occurrence>, QueryError> {
    let parameters = vec![("as_of".into(), moment(as_of))];
    let mut found: Vec<Occurrence> = rows_of(lake, "cause_occurrences", Some(causes), parameters).await?;
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
    lake: &Lake,
    as_of: Timestamp,
    rule: Rule,
    causes: Option<&[String]>,
) -> Result<Vec<CauseCount>, QueryError> {
    let parameters = vec![("as_of".into(), moment(as_of)), ("window_hours".into(), rule.window_hours.into())];
    let mut found: Vec<CauseCount> = rows_of(lake, "cause_counts", causes, parameters).await?;
    found.sort_by(|a, b| (b.last_at, &a.cause).cmp(&(a.last_at, &b.cause)));
    Ok(found)
}

/// The resources to compare those with, that had the cause.
///
/// # Errors
/// [`QueryError`].
pub async fn others(lake: &Lake, as_of: Timestamp, cause: &str) -> Result<Vec<OtherResource>, QueryError> {
    let mut found: Vec<OtherResource> = rows(lake, "cause_others", &with_cause(as_of, cause)).await?;
    found.sort_by(|a, b| {
        (&a.workspace_id, &a.resource_kind, &a.resource_id).cmp(&(&b.workspace_id, &b.resource_kind, &b.resource_id))
    });
    Ok(found)
}

/// How long incidents with the cause took to resolve, against all others.
///
/// # Errors
/// [`QueryError`].
pub async fn impact(lake: &Lake, as_of: Timestamp, cause: &str) -> Result<Option<Impact>, QueryError> {
    Ok(rows(lake, "cause_impact", &with_cause(as_of, cause)).await?.pop())
}

/// What is recorded of every episode, closed ones included.
///
/// # Errors
/// [`QueryError`].
pub async fn recorded(lake: &Lake) -> Result<Vec<RecordedEpisode>, QueryError> {
    rows(lake, RECORDED, &[]).await
}

/// Every alias, by seq and ordinal.
///
/// # Errors
/// [`QueryError`].
pub async fn aliases(lake: &Lake) -> Result<Vec<Alias>, QueryError> {
    rows(lake, "SELECT seq, ordinal, cause_fingerprint, counts_as FROM cause_aliases ORDER BY seq, ordinal", &[]).await
}

/// Every step of a preventive action, by seq and ordinal.
///
/// # Errors
/// [`QueryError`].
pub async fn prevention_steps(lake: &Lake) -> Result<Vec<Step>, QueryError> {
    rows(lake, STEPS, &[]).await
}

const RECORDED: &str = "SELECT episode_id, incident_id, seq, first_seq, occurred_at, cause_fingerprint, event, \
                        incidents, first_at, last_at, threshold, window_hours FROM recurring_issues ORDER BY episode_id";
const STEPS: &str = "SELECT cause_fingerprint, seq, ordinal, action, state, occurred_at FROM preventive_actions \
                     ORDER BY seq, ordinal";

type Parameters = Vec<(String, ScalarValue)>;

fn with_rule(as_of: Timestamp, rule: Rule) -> Parameters {
    vec![
        ("as_of".into(), moment(as_of)),
        ("threshold".into(), rule.threshold.into()),
        ("window_hours".into(), rule.window_hours.into()),
    ]
}

fn with_cause(as_of: Timestamp, cause: &str) -> Parameters {
    vec![("as_of".into(), moment(as_of)), ("cause".into(), cause.into())]
}

/// A moment as the tables hold it.
fn moment(at: Timestamp) -> ScalarValue {
    ScalarValue::TimestampMicrosecond(Some(at.micros()), Some("UTC".into()))
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
    lake: &Lake,
    name: &str,
    causes: Option<&[String]>,
    parameters: Parameters,
) -> Result<Vec<T>, QueryError> {
    match causes {
        None => rows(lake, name, &parameters).await,
        Some([]) => Ok(Vec::new()),
        Some(causes) => {
            let (sql, parameters) = only(name, causes, parameters);
            rows(lake, &sql, &parameters).await
        }
    }
}

async fn rows<T: DeserializeOwned>(
    lake: &Lake,
    name_or_sql: &str,
    parameters: &[(String, ScalarValue)],
) -> Result<Vec<T>, QueryError> {
    let parameters: Vec<(&str, ScalarValue)> =
        parameters.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
    let (_, batches) = query_with(lake, name_or_sql, &parameters).await?;
    let mut rows = Vec::new();
    for batch in &batches {
        rows.extend(read::<T>(batch)?);
    }
    Ok(rows)
}

fn read<T: DeserializeOwned>(batch: &arrow::array::RecordBatch) -> Result<Vec<T>, QueryError> {
    serde_arrow::from_record_batch(batch)
        .map_err(|error| LakeError::Corrupt(format!("a row of the query has an unexpected shape: {error}")).into())
}

#[cfg(test)]
mod tests;
