//! Which query has which rows.

use schemars::{JsonSchema, Schema, schema_for};
use serde::de::DeserializeOwned;

use super::weekly::recurring::RecurringRow;
use crate::domain::{
    digest::{
        CauseRank, CheckResult, DailyCount, Duration, EscalationOutcome, HourlyCount, OnCallLoad, PreventionEffect,
        RepeatOffender, WeeklyCount, open::Considered,
    },
    recurrence::{
        CauseCount, Episode, Occurrence,
        issue::{CauseImpact, Member},
        pattern::FoundResource,
    },
};

/// A type that a query's rows are read into. Its fields are the columns, of the types that its schema says.
pub trait QueryRow: DeserializeOwned + JsonSchema {
    /// The name of the query.
    const QUERY: &'static str;
}

macro_rules! query_rows {
    ($($Row:ty = $query:literal),* $(,)?) => {
        $(impl QueryRow for $Row {
            const QUERY: &'static str = $query;
        })*

        /// The shape of the rows of every query, by name, as JSON Schema.
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
    Considered = "open_incidents_ageing",
    PreventionEffect = "prevention_effect",
    Episode = "recurrence",
    Member = "recurrence_members",
    RecurringRow = "recurring_in_week",
    RepeatOffender = "repeat_offenders",
    WeeklyCount = "weekly_counts",
}
