//! Recurring issues of a week, with the states of their preventive actions.

use std::{cmp::Reverse, collections::BTreeMap};

use schemars::JsonSchema;
use serde::Deserialize;

use super::{WeekParameters, rows};
use crate::{
    analytics::{
        QueryError,
        engine::Engine,
        recurrence::{aliases, prevention_steps},
    },
    domain::{
        digest::{PreventiveStep, RecurringIssue},
        ids::IncidentId,
        prevention::PreventionStep,
        recurrence::{current_aliases, event::EpisodeEvent, issue::Issue},
        time::Timestamp,
    },
    lake::LakeError,
};

/// A row of `sql/recurring_in_week.sql`.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
pub struct RecurringRow {
    pub episode_id: String,
    pub incident_id: IncidentId,
    pub cause: String,
    pub event: EpisodeEvent,
    pub is_new: bool,
    pub occurrences: u64,
    pub first_at: Timestamp,
    pub last_at: Timestamp,
    /// An [`Issue`] as JSON.
    pub detail: String,
}

/// Returns recurring issues, open ones first, then by size, the largest first. Actions are in the order of their recommendation, with
/// their state at the end of the week.
///
/// # Errors
/// [`QueryError`], also if the recorded detail of an issue cannot be parsed.
pub async fn recurring_in_week(engine: Engine<'_>, at: &WeekParameters) -> Result<Vec<RecurringIssue>, QueryError> {
    let rows: Vec<RecurringRow> = rows(engine, at).await?;
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let aliases = aliases(engine).await?;
    let aliases = current_aliases(&aliases);
    let mut steps = prevention_steps(engine).await?;
    steps.retain(|step| step.occurred_at < at.week.end());
    let mut issues = Vec::new();
    for row in rows {
        issues.push(issue(row, &aliases, &steps)?);
    }
    issues.sort_by(|a, b| {
        let key = |issue: &RecurringIssue| {
            (issue.event == EpisodeEvent::Closed, Reverse(issue.occurrences), Reverse(issue.last_at))
        };
        key(a).cmp(&key(b)).then_with(|| a.episode_id.cmp(&b.episode_id))
    });
    Ok(issues)
}

/// Converts a row. `steps` are in the order in which they were recorded.
fn issue(
    row: RecurringRow,
    aliases: &BTreeMap<&str, &str>,
    steps: &[PreventionStep],
) -> Result<RecurringIssue, QueryError> {
    let detail: Issue = serde_json::from_str(&row.detail).map_err(LakeError::from)?;
    let counts_as = |cause: &str| aliases.get(cause).map_or_else(|| cause.to_owned(), |&cause| cause.to_owned());
    let cause = counts_as(&row.cause);
    let actions = detail.actions.into_iter().map(|action| {
        let latest = steps.iter().rev().find(|step| step.action == action.name && counts_as(&step.cause) == cause);
        PreventiveStep {
            state: latest.map_or(action.state, |step| step.state),
            action: action.name,
            title: action.title,
        }
    });
    Ok(RecurringIssue {
        actions: actions.collect(),
        episode_id: row.episode_id,
        incident_id: row.incident_id,
        cause: row.cause,
        event: row.event,
        is_new: row.is_new,
        occurrences: row.occurrences,
        first_at: row.first_at,
        last_at: row.last_at,
        root_cause: detail.root_cause,
    })
}

#[cfg(test)]
mod tests;
