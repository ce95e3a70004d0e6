//! Runs the queries about a week, and reads their rows into the digest's figures. Sorts every list.

pub mod recurring;

use std::cmp::Reverse;

use super::{
    QueryError,
    engine::{Engine, ParameterValue, Parameters},
    header::SqlHeader,
    queries,
    row::QueryRow,
    snapshot::Snapshot,
};
use crate::domain::{
    check::Severity,
    digest::{
        AgeingIncident, CauseRank, CheckResult, DailyCount, Duration, EscalationOutcome, Figures, HourlyCount,
        NEW_CAUSE_WEEKS, OnCallLoad, PreventionEffect, RepeatOffender, WeeklyCount,
        dimension::Dimension,
        open::{EarlierOpenIncidents, IncidentAtWeekEnd, merge_open},
    },
    time::Timestamp,
    week::Week,
};
use recurring::recurring_in_week;

/// The number of weeks, including the digest's, in which an adopted action is reported.
const ADOPTED_WEEKS: u64 = 8;

/// The parameters of all queries about a week.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WeekParameters {
    pub week: Week,
    /// The ledger has no entries before this time.
    pub known_from: Timestamp,
}

impl WeekParameters {
    /// Returns the value of a query's parameter; `None` if it is not about the week.
    pub fn value(&self, query: &str, parameter: &str) -> Option<ParameterValue> {
        let start = |weeks_before: u64| Some(ParameterValue::Timestamp(self.week.earlier(weeks_before).start()));
        match parameter {
            "week_start" => start(0),
            "week_end" => Some(self.week.end().into()),
            "week_1_start" => start(1),
            "week_2_start" => start(2),
            "week_3_start" => start(3),
            "week_4_start" => start(4),
            "time_zone" => Some(self.week.zone().name().into()),
            "known_from" => Some(self.known_from.into()),
            "since" if query == PreventionEffect::QUERY => start(ADOPTED_WEEKS - 1),
            "since" if [CauseRank::QUERY, recurring::RecurringRow::QUERY].contains(&query) => start(NEW_CAUSE_WEEKS),
            _ => None,
        }
    }

    /// Returns the parameters that a query has.
    fn of(&self, query: &str) -> Parameters {
        let header = queries().find(|(name, _)| *name == query).map(|(_, sql)| SqlHeader::of(sql)).unwrap_or_default();
        let value = |parameter: &str| Some((parameter.to_owned(), self.value(query, parameter)?));
        header.parameters.iter().filter_map(|parameter| value(&parameter.name)).collect()
    }
}

/// Runs all queries about a week. On this machine they all read one snapshot of the lake. With the open incidents of an earlier
/// digest, older incident states need not be read; a digest of a later week is ignored.
///
/// # Errors
/// [`QueryError`].
pub async fn figures(
    engine: Engine<'_>,
    at: &WeekParameters,
    base: Option<&EarlierOpenIncidents>,
) -> Result<Figures, QueryError> {
    let snapshot;
    let engine = match engine {
        Engine::Local(lake) => {
            snapshot = Snapshot::of(lake).await?;
            Engine::Snapshot(&snapshot)
        }
        other => other,
    };
    Ok(Figures {
        counts: weekly_counts(engine, at).await?,
        days: daily_counts(engine, at).await?,
        hours: hourly_counts(engine, at).await?,
        durations: durations(engine, at).await?,
        load: on_call_load(engine, at).await?,
        offenders: repeat_offenders(engine, at).await?,
        causes: cause_ranking(engine, at).await?,
        recurring: recurring_in_week(engine, at).await?,
        prevention: prevention_effect(engine, at).await?,
        open: open_incidents(engine, at, base).await?,
        escalations: escalation_outcomes(engine, at).await?,
        checks: check_results(engine, at).await?,
    })
}

/// Returns counts, sorted by dimension; severities by urgency, other values by incidents, the most first.
///
/// # Errors
/// [`QueryError`].
pub async fn weekly_counts(engine: Engine<'_>, at: &WeekParameters) -> Result<Vec<WeeklyCount>, QueryError> {
    let mut rows: Vec<WeeklyCount> = rows(engine, at).await?;
    for row in &mut rows {
        row.median_before = row.median_before.map(rounded);
    }
    rows.sort_by(|a, b| {
        let urgency = |row: &WeeklyCount| match row.dimension {
            Dimension::Severity => Reverse(row.value.parse::<Severity>().ok()),
            _ => Reverse(None),
        };
        let key = |row: &WeeklyCount| (row.dimension, urgency(row), Reverse(row.incidents), Reverse(row.previous));
        key(a).cmp(&key(b)).then_with(|| a.value.cmp(&b.value))
    });
    Ok(rows)
}

/// Returns counts, sorted by day and type.
///
/// # Errors
/// [`QueryError`].
pub async fn daily_counts(engine: Engine<'_>, at: &WeekParameters) -> Result<Vec<DailyCount>, QueryError> {
    let mut rows: Vec<DailyCount> = rows(engine, at).await?;
    rows.sort_by_key(|row| (row.day, row.incident_type));
    Ok(rows)
}

/// Returns counts, sorted by weekday and hour.
///
/// # Errors
/// [`QueryError`].
pub async fn hourly_counts(engine: Engine<'_>, at: &WeekParameters) -> Result<Vec<HourlyCount>, QueryError> {
    let mut rows: Vec<HourlyCount> = rows(engine, at).await?;
    rows.sort_by_key(|row| (row.weekday, row.hour));
    Ok(rows)
}

/// Returns durations, sorted by week, the oldest first, and measure. Seconds have three decimal places.
///
/// # Errors
/// [`QueryError`].
pub async fn durations(engine: Engine<'_>, at: &WeekParameters) -> Result<Vec<Duration>, QueryError> {
    let mut rows: Vec<Duration> = rows(engine, at).await?;
    for row in &mut rows {
        (row.p50_s, row.p95_s) = (row.p50_s.map(rounded), row.p95_s.map(rounded));
    }
    rows.sort_by_key(|row| (row.week_start, row.measure));
    Ok(rows)
}

/// Returns the on-call load, sorted by band: business hours, evening, night.
///
/// # Errors
/// [`QueryError`].
pub async fn on_call_load(engine: Engine<'_>, at: &WeekParameters) -> Result<Vec<OnCallLoad>, QueryError> {
    let mut rows: Vec<OnCallLoad> = rows(engine, at).await?;
    rows.sort_by_key(|row| row.band);
    Ok(rows)
}

/// Returns repeat offenders, sorted by incidents in the week, then by incidents before, the most first.
///
/// # Errors
/// [`QueryError`].
pub async fn repeat_offenders(engine: Engine<'_>, at: &WeekParameters) -> Result<Vec<RepeatOffender>, QueryError> {
    let mut rows: Vec<RepeatOffender> = rows(engine, at).await?;
    rows.sort_by(|a, b| {
        let most = |row: &RepeatOffender| (Reverse(row.incidents), Reverse(row.incidents_before));
        let name =
            |row: &RepeatOffender| (row.workspace_id.clone(), row.resource_kind.clone(), row.resource_id.clone());
        most(a).cmp(&most(b)).then_with(|| name(a).cmp(&name(b)))
    });
    Ok(rows)
}

/// Returns causes, sorted by rank, then by incidents in the previous week, the most first.
///
/// # Errors
/// [`QueryError`].
pub async fn cause_ranking(engine: Engine<'_>, at: &WeekParameters) -> Result<Vec<CauseRank>, QueryError> {
    let mut rows: Vec<CauseRank> = rows(engine, at).await?;
    rows.sort_by(|a, b| {
        (a.rank, Reverse(a.previous_incidents), &a.cause).cmp(&(b.rank, Reverse(b.previous_incidents), &b.cause))
    });
    Ok(rows)
}

/// Returns adopted actions, the last adopted first.
///
/// # Errors
/// [`QueryError`].
pub async fn prevention_effect(engine: Engine<'_>, at: &WeekParameters) -> Result<Vec<PreventionEffect>, QueryError> {
    let mut rows: Vec<PreventionEffect> = rows(engine, at).await?;
    for row in &mut rows {
        row.days_after = rounded(row.days_after);
    }
    rows.sort_by(|a, b| {
        (Reverse(a.adopted_at), &a.cause, &a.action).cmp(&(Reverse(b.adopted_at), &b.cause, &b.action))
    });
    Ok(rows)
}

/// Returns open incidents, the first reported first.
///
/// # Errors
/// [`QueryError`].
pub async fn open_incidents(
    engine: Engine<'_>,
    at: &WeekParameters,
    base: Option<&EarlierOpenIncidents>,
) -> Result<Vec<AgeingIncident>, QueryError> {
    let end = at.week.end();
    let base = base.filter(|base| base.until <= end && base.seq > 0);
    let known_until = base.map(|base| base.until).or_else(|| Timestamp::from_micros(0));
    let known_seq = base.and_then(|base| i64::try_from(base.seq).ok()).unwrap_or(0);
    let mut parameters = at.of(IncidentAtWeekEnd::QUERY);
    parameters.extend(known_until.map(|until| ("known_until".into(), until.into())));
    parameters.push(("known_seq".into(), ParameterValue::Int(known_seq)));
    let considered: Vec<IncidentAtWeekEnd> = engine.rows(IncidentAtWeekEnd::QUERY, &parameters).await?;
    Ok(merge_open(base.map_or(&[], |base| &base.open), end, considered))
}

/// Returns outcomes, sorted by severity, the most severe first, then by trigger.
///
/// # Errors
/// [`QueryError`].
pub async fn escalation_outcomes(
    engine: Engine<'_>,
    at: &WeekParameters,
) -> Result<Vec<EscalationOutcome>, QueryError> {
    let mut rows: Vec<EscalationOutcome> = rows(engine, at).await?;
    for row in &mut rows {
        row.acknowledge_p50_s = row.acknowledge_p50_s.map(rounded);
    }
    rows.sort_by_key(|row| (Reverse(row.severity), row.trigger));
    Ok(rows)
}

/// Returns check results, sorted by week, the oldest first, category and status.
///
/// # Errors
/// [`QueryError`].
pub async fn check_results(engine: Engine<'_>, at: &WeekParameters) -> Result<Vec<CheckResult>, QueryError> {
    let mut rows: Vec<CheckResult> = rows(engine, at).await?;
    rows.sort_by(|a, b| (a.week_start, &a.category, a.status).cmp(&(b.week_start, &b.category, b.status)));
    Ok(rows)
}

async fn rows<T: QueryRow>(engine: Engine<'_>, at: &WeekParameters) -> Result<Vec<T>, QueryError> {
    engine.rows(T::QUERY, &at.of(T::QUERY)).await
}

/// Rounds to three decimal places: engines differ in the last digits.
fn rounded(number: f64) -> f64 {
    (number * 1e3).round() / 1e3
}

#[cfg(test)]
mod tests;
