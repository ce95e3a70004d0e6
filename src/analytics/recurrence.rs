//! The queries about recurrence, read into the domain's values.

use datafusion::common::ScalarValue;
use serde::de::DeserializeOwned;

use super::{QueryError, query_with};
use crate::{
    domain::{
        recurrence::{
            CauseCount, Episode, Occurrence, Rule,
            issue::{Impact, Member},
            pattern::OtherResource,
        },
        time::Timestamp,
    },
    lake::{Lake, LakeError},
};

/// The episodes that `sql/recurrence.sql` finds, by cause and time.
///
/// # Errors
/// [`QueryError`].
pub async fn episodes(lake: &Lake, as_of: Timestamp, rule: Rule) -> Result<Vec<Episode>, QueryError> {
    let mut found: Vec<Episode> = rows(lake, "recurrence", &with_rule(as_of, rule)).await?;
    found.sort_by(|a, b| (&a.cause, a.first_at).cmp(&(&b.cause, b.first_at)));
    Ok(found)
}

/// The incidents of the episodes of `causes`, by cause and seq.
///
/// # Errors
/// [`QueryError`].
pub async fn members(lake: &Lake, as_of: Timestamp, rule: Rule, causes: &[String]) -> Result<Vec<Member>, QueryError> {
    if causes.is_empty() {
        return Ok(Vec::new());
    }
    let (sql, parameters) = only("recurrence_members", causes, with_rule(as_of, rule));
    let mut found: Vec<Member> = rows(lake, &sql, &parameters).await?;
    found.sort_by(|a, b| (&a.cause, a.seq).cmp(&(&b.cause, b.seq)));
    Ok(found)
}

/// The occurrences of `causes`, by cause, time and key.
///
/// # Errors
/// [`QueryError`].
pub async fn occurrences(lake: &Lake, as_of: Timestamp, causes: &[String]) -> Result<Vec<Occurrence>, QueryError> {
    if causes.is_empty() {
        return Ok(Vec::new());
    }
    let (sql, parameters) = only("cause_occurrences", causes, vec![("as_of".into(), moment(as_of))]);
    let mut found: Vec<Occurrence> = rows(lake, &sql, &parameters).await?;
    found.sort_by(|a, b| {
        (&a.cause, a.occurred_at, &a.occurrence_key).cmp(&(&b.cause, b.occurred_at, &b.occurrence_key))
    });
    Ok(found)
}

/// Every cause that occurred, the one that occurred last first.
///
/// # Errors
/// [`QueryError`].
pub async fn cause_counts(lake: &Lake, as_of: Timestamp, rule: Rule) -> Result<Vec<CauseCount>, QueryError> {
    let parameters = [("as_of".into(), moment(as_of)), ("window_hours".into(), rule.window_hours.into())];
    let mut found: Vec<CauseCount> = rows(lake, "cause_counts", &parameters).await?;
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
