//! The fields of all rows of the figures, with their names in sentences.

use std::fmt::Display;

use chrono::TimeDelta;
use chrono_tz::Tz;

use super::short;
use crate::domain::{
    digest::{
        AgeingIncident, CauseRank, CheckResult, DailyCount, Duration, EscalationOutcome, HourlyCount, OnCallLoad,
        PreventionEffect, RecurringIssue, RepeatOffender, WeeklyCount, dimension::Dimension,
    },
    time::{Timestamp, spelled},
    week::Week,
};

/// A row of the figures in comparable form.
pub struct FigureRow {
    /// Unique id of the row's subject.
    pub id: String,
    /// Name of the row's subject in a sentence.
    pub key: String,
    pub cells: Vec<FigureField>,
}

impl FigureRow {
    fn about(id: impl Display, key: String) -> Self {
        Self { id: id.to_string(), key, cells: Vec::new() }
    }

    fn cell(mut self, label: &str, value: impl Display) -> Self {
        self.cells.push(FigureField { label: label.into(), exact: value.to_string(), spelled: None });
        self
    }

    fn maybe(self, label: &str, value: Option<impl Display>) -> Self {
        self.cell(label, value.map_or_else(|| "n/a".into(), |value| value.to_string()))
    }

    fn seconds(mut self, label: &str, value: Option<f64>) -> Self {
        let exact = value.map_or_else(|| "n/a".into(), |value| value.to_string());
        self.cells.push(FigureField { label: label.into(), exact, spelled: value.and_then(spelled) });
        self
    }

    fn flag(self, label: &str, value: bool) -> Self {
        self.cell(label, if value { "yes" } else { "no" })
    }
}

/// One field of a row.
pub struct FigureField {
    pub label: String,
    pub exact: String,
    spelled: Option<String>,
}

impl FigureField {
    pub fn shown(&self) -> String {
        self.spelled.clone().unwrap_or_else(|| short(&self.exact))
    }
}

pub fn count(row: &WeeklyCount) -> FigureRow {
    let key = match row.dimension {
        Dimension::Total => String::new(),
        dimension => format!("{dimension} {}", short(&row.value)),
    };
    FigureRow::about(format_args!("{} {}", row.dimension, row.value), key)
        .cell("", row.incidents)
        .maybe("the week before", row.previous)
        .maybe("median of the four weeks before", row.median_before)
        .cell("known weeks before", row.weeks_before)
}

pub fn day(row: &DailyCount) -> FigureRow {
    let key = format!("{} {}", row.day, row.incident_type);
    FigureRow::about(&key, key.clone()).cell("", row.incidents)
}

pub fn hour(row: &HourlyCount) -> FigureRow {
    let days = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
    let day = (row.weekday as usize).checked_sub(1).and_then(|day| days.get(day)).unwrap_or(&"n/a");
    let id = format!("{} {}", row.weekday, row.hour);
    FigureRow::about(id, format!("{day} {:02}:00", row.hour)).cell("", row.incidents)
}

/// Returns the week that begins at `start`, such as `2026-W08`. Three days later it is the same week in all time zones.
fn week(start: Timestamp) -> String {
    Week::of(start.plus(TimeDelta::days(3)), Tz::UTC).to_string()
}

pub fn duration(row: &Duration) -> FigureRow {
    let key = format!("to {} in {}", row.measure, week(row.week_start));
    FigureRow::about(format_args!("{} {}", row.measure, row.week_start), key)
        .cell("n", row.n)
        .seconds("p50", row.p50_s)
        .seconds("p95", row.p95_s)
        .cell("open", row.open)
        .cell("set aside", row.clock_skew)
}

pub fn load(row: &OnCallLoad) -> FigureRow {
    let key = row.band.to_string();
    FigureRow::about(&key, key.clone())
        .cell("incidents", row.incidents)
        .cell("alerts", row.alerts)
        .cell("HIGH or CRITICAL", row.urgent_alerts)
}

pub fn offender(row: &RepeatOffender) -> FigureRow {
    let id = format!("{:?} {:?} {:?}", row.workspace_id, row.resource_kind, row.resource_id);
    let name = row.resource_name.as_deref().unwrap_or(&row.resource_id);
    FigureRow::about(id, format!("The {} “{}”", short(&row.resource_kind), short(name)))
        .maybe("name", row.resource_name.as_ref())
        .cell("incidents", row.incidents)
        .cell("in the four weeks before", row.incidents_before)
        .cell("causes", row.causes)
        .maybe("runs", row.runs)
        .maybe("failed runs", row.failed_runs)
        .cell("latest", row.last_incident_id)
}

pub fn cause(row: &CauseRank) -> FigureRow {
    FigureRow::about(&row.cause, format!("“{}”", short(&row.root_cause)))
        .cell("incidents", row.incidents)
        .cell("rank", row.rank)
        .cell("the week before", row.previous_incidents)
        .maybe("rank the week before", row.previous_rank)
        .flag("new", row.is_new)
        .cell("resources", row.resources)
        .cell("first", row.first_incident_id)
        .cell("words", &row.root_cause)
}

pub fn recurring(row: &RecurringIssue) -> FigureRow {
    let about = FigureRow::about(&row.episode_id, format!("{} “{}”", short(&row.episode_id), short(&row.root_cause)))
        .cell("state", row.event)
        .cell("incidents", row.occurrences)
        .flag("new", row.is_new)
        .cell("began with", row.incident_id)
        .cell("first", row.first_at)
        .cell("last", row.last_at)
        .cell("cause", &row.cause)
        .cell("words", &row.root_cause);
    let order = row.actions.iter().map(|action| action.action.as_str()).collect::<Vec<_>>();
    let about = about.cell("actions", format!("{} ({})", order.len(), order.join(", ")));
    row.actions.iter().fold(about, |about, action| {
        let name = short(&action.action);
        about.cell(&format!("“{name}”"), action.state).cell(&format!("title of “{name}”"), &action.title)
    })
}

pub fn prevention(row: &PreventionEffect) -> FigureRow {
    let id = format!("{:?} {:?} {}", row.cause, row.action, row.adopted_at);
    FigureRow::about(id, format!("“{}” against {}", short(&row.action), short(&row.cause)))
        .cell("state", row.state)
        .cell("incidents before", row.before)
        .cell("incidents after", row.after)
        .cell("days after", row.days_after)
}

pub fn open(row: &AgeingIncident) -> FigureRow {
    let id = row.incident_id.to_string();
    FigureRow::about(&id, id.clone())
        .cell("type", row.incident_type)
        .cell("title", &row.title)
        .cell("workspace", &row.workspace_id)
        .maybe("resource", row.resource_name.as_ref())
        .cell("reported", row.reported_at)
        .maybe("acknowledged", row.acknowledged_at)
        .seconds("age", Some(row.age_hours * 3600.0))
        .cell("age band", row.age)
}

pub fn escalation(row: &EscalationOutcome) -> FigureRow {
    let key = format!("{} {}", row.severity, row.trigger);
    FigureRow::about(&key, key.clone())
        .cell("fired", row.fired)
        .cell("unrouted", row.unrouted)
        .cell("suppressed", row.suppressed)
        .cell("acknowledged", row.acknowledged)
        .cell("resolved", row.resolved)
        .cell("open", row.open)
        .seconds("p50 to acknowledge", row.acknowledge_p50_s)
        .maybe("sent", row.sent)
        .maybe("failed", row.failed)
}

pub fn check(row: &CheckResult) -> FigureRow {
    let id = format!("{:?} {} {}", row.category, row.status, row.week_start);
    FigureRow::about(id, format!("{} {} in {}", short(&row.category), row.status, week(row.week_start)))
        .cell("", row.checks)
}
