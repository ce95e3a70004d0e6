//! The row type of each query.

use schemars::{JsonSchema, Schema, schema_for};
use serde::de::DeserializeOwned;

use super::weekly::recurring::RecurringRow;
use crate::domain::{
    digest::{
        CauseRank, CheckResult, DailyCount, Duration, EscalationOutcome, HourlyCount, OnCallLoad, PreventionEffect,
        RepeatOffender, WeeklyCount, open::IncidentAtWeekEnd,
    },
    recurrence::{
        CauseCount, Episode, Occurrence,
        issue::{CauseImpact, Member},
        pattern::FoundResource,
    },
};

/// A type of a query's rows. Its fields are the columns, with the types in its schema.
pub trait QueryRow: DeserializeOwned + JsonSchema {
    /// The name of the query.
    const QUERY: &'static str;
}

macro_rules! query_rows {
    ($($Row:ty = $query:literal),* $(,)?) => {
        $(impl QueryRow for $Row {
            const QUERY: &'static str = $query;
        })*

        /// Returns the JSON Schema of the rows of every query, by name.
        pub fn schemas() -> Vec<(&'static str, Schema)> {
            vec![$(($query, schema_for!($Row))),*]
        }
    };
}

query_rows! {
    CauseCount = "cause_counts",
    CauseImpact = "cause_impact",
    Occurrence = "cause_occurrences",
    CauseRank = "cause_ranking",
    FoundResource = "cause_resources",
    CheckResult = "check_results",
    DailyCount = "daily_counts",
    Duration = "durations",
    EscalationOutcome = "escalation_outcomes",
    HourlyCount = "hourly_counts",
    OnCallLoad = "on_call_load",
    IncidentAtWeekEnd = "open_incidents_ageing",
    PreventionEffect = "prevention_effect",
    Episode = "recurrence",
    Member = "recurrence_members",
    RecurringRow = "recurring_in_week",
    RepeatOffender = "repeat_offenders",
    WeeklyCount = "weekly_counts",
}
