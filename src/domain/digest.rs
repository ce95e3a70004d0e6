//! The weekly digest: a report about one week, computed from the ledger.
//!
//! [`Figures`] contains the results of the queries in `sql/`, one row type per file. They show the state at the end of the
//! week: an incident that was resolved later counts as open. The same ledger always gives the same figures. [`summary`]
//! describes them in sentences; [`revision`] describes the differences between two versions.

use chrono::NaiveDate;
use chrono_tz::Tz;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    check::{CheckStatus, Severity},
    digest::dimension::{AgeBand, Dimension, HourBand, Measure},
    escalation::trigger::Trigger,
    ids::IncidentId,
    incident::classification::IncidentType,
    prevention::state::PreventionState,
    recurrence::event::EpisodeEvent,
    time::Timestamp,
    week::Week,
};

pub mod dimension;
pub mod open;
pub mod revision;
pub mod schema;
pub mod summary;

/// Version of the digest format, contained in every digest.
pub const DIGEST_VERSION: u32 = 1;
/// Smallest number of values for which a median is shown.
pub const MIN_FOR_MEDIAN: u64 = 3;
/// Smallest number of values for which a 95th percentile is shown. Below it, the percentile is the maximum.
pub const MIN_FOR_P95: u64 = 20;
/// Smallest whole for which a percentage is shown.
pub const MIN_FOR_PERCENT: u64 = 20;
/// A cause is new if it did not occur in this number of weeks before.
pub const NEW_CAUSE_WEEKS: u64 = 13;
/// Smallest number of incidents of a repeat offender, in the week and the four weeks before.
pub const MIN_OFFENCES: u64 = 2;

/// Digest of one week.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Digest {
    pub version: u32,
    pub week: WeekSpan,
    /// Revision, from 1. It increases when the content differs.
    pub revision: u32,
    /// Creation time.
    pub made_at: Timestamp,
    /// The most important changes, a few sentences; never empty.
    pub changed: Vec<String>,
    /// Points that need a decision, the most urgent first.
    pub decisions: Vec<Decision>,
    /// Differences from the previous revision. `None` for the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revised: Option<Revised>,
    pub figures: Figures,
    pub audit: AuditProof,
    pub freshness: Freshness,
}

/// Week of a digest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WeekSpan {
    /// ISO week, such as 2026-W08.
    pub week: String,
    /// IANA name of the time zone in which the week begins and ends.
    pub time_zone: String,
    /// First moment of the week.
    pub start: Timestamp,
    /// First moment after the week.
    pub end: Timestamp,
    /// Length in hours: 168, or another number when the clocks change.
    pub hours: f64,
}

/// A point that needs a decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Decision {
    pub text: String,
    /// Command that shows details; quoted for a shell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
}

/// Differences from the previous revision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Revised {
    /// Number of the previous revision.
    pub revision: u32,
    pub made_at: Timestamp,
    /// Differences, one sentence each; never empty.
    pub differences: Vec<String>,
}

/// Result of the verification of the audit log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AuditProof {
    /// `seq` of the last row when the digest was created.
    pub head_seq: u64,
    /// Its `entry_hash`.
    pub head_hash: String,
    /// Rows after this one were verified: 0 for all rows, else the head of an earlier, trusted digest.
    pub verified_after: u64,
    /// True if all verified rows are intact.
    pub intact: bool,
    /// Problems found, one sentence each.
    pub problems: Vec<String>,
}

/// Freshness of the data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Freshness {
    /// Time of the ledger's last row. `None` for an empty ledger.
    pub last_recorded_at: Option<Timestamp>,
    /// Report time of the latest incident up to the end of the week. `None` if there was none in five weeks.
    pub last_reported_at: Option<Timestamp>,
}

/// Results of the digest's queries. The order of every list is fixed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Figures {
    pub counts: Vec<WeeklyCount>,
    pub days: Vec<DailyCount>,
    pub hours: Vec<HourlyCount>,
    pub durations: Vec<Duration>,
    pub load: Vec<OnCallLoad>,
    pub offenders: Vec<RepeatOffender>,
    pub causes: Vec<CauseRank>,
    pub recurring: Vec<RecurringIssue>,
    pub prevention: Vec<PreventionEffect>,
    pub open: Vec<AgeingIncident>,
    pub escalations: Vec<EscalationOutcome>,
    pub checks: Vec<CheckResult>,
}

/// A row of `sql/weekly_counts.sql`: incidents reported in the week, by one dimension. Weeks before the first entry of
/// the ledger are unknown, not 0.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WeeklyCount {
    pub dimension: Dimension,
    /// `all` for the total.
    pub value: String,
    pub incidents: u64,
    /// Incidents in the week before.
    pub previous: Option<u64>,
    /// Median of the known weeks among the four before.
    pub median_before: Option<f64>,
    /// Number of known weeks among the four before.
    pub weeks_before: u32,
}

/// A row of `sql/daily_counts.sql`: incidents reported on one local day, of the week and the four before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DailyCount {
    pub day: NaiveDate,
    pub incident_type: IncidentType,
    pub incidents: u64,
}

/// A row of `sql/hourly_counts.sql`: incidents reported in one local hour of one weekday, of the week and the four before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HourlyCount {
    /// 1 is Monday.
    pub weekday: u32,
    /// 0 to 23.
    pub hour: u32,
    pub incidents: u64,
}

/// A row of `sql/durations.sql`: statistics of one duration of the incidents reported in one week.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Duration {
    /// Start of the digest's week or one of the four before.
    pub week_start: Timestamp,
    pub measure: Measure,
    /// Number of durations known by the end of the digest's week.
    pub n: u64,
    /// Median, seconds.
    pub p50_s: Option<f64>,
    /// 95th percentile, seconds, interpolated.
    pub p95_s: Option<f64>,
    /// Number of durations of unresolved incidents that began and did not end by the end of the digest's week.
    pub open: u64,
    /// Number of negative durations, which are excluded because of clock skew.
    pub clock_skew: u64,
}

/// A row of `sql/on_call_load.sql`: incidents and alerts of the week in one part of the day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OnCallLoad {
    pub band: HourBand,
    /// Incidents reported.
    pub incidents: u64,
    /// Alerts that fired.
    pub alerts: u64,
    /// Alerts of severity HIGH or CRITICAL that fired.
    pub urgent_alerts: u64,
}

/// A row of `sql/repeat_offenders.sql`: a resource that is affected repeatedly.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RepeatOffender {
    pub workspace_id: String,
    pub resource_kind: String,
    pub resource_id: String,
    pub resource_name: Option<String>,
    /// Incidents in the week, 1 or more.
    pub incidents: u64,
    /// Incidents in the four weeks before.
    pub incidents_before: u64,
    /// Number of different known causes of these incidents.
    pub causes: u64,
    /// Runs of the job that began in the week. `None` if no runs are known.
    pub runs: Option<u64>,
    /// Number of these runs that failed.
    pub failed_runs: Option<u64>,
    /// The latest incident.
    pub last_incident_id: IncidentId,
}

/// A row of `sql/cause_ranking.sql`: a known cause of incidents of the week, the most frequent first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CauseRank {
    /// Fingerprint of the cause, after merges and splits.
    pub cause: String,
    /// Root cause as text, from the latest finding.
    pub root_cause: String,
    pub incidents: u64,
    /// Rank by number of incidents, from 1. Causes with equal numbers share a rank.
    pub rank: u64,
    /// Incidents in the week before.
    pub previous_incidents: u64,
    /// Rank in the week before. `None` if the cause did not occur then.
    pub previous_rank: Option<u64>,
    /// True if the cause did not occur in the [`NEW_CAUSE_WEEKS`] weeks before.
    pub is_new: bool,
    /// Number of different most important resources.
    pub resources: u64,
    /// First incident of the week with the cause.
    pub first_incident_id: IncidentId,
}

/// A recurring issue that was open at the end of the week or was closed in it. From `sql/recurring_in_week.sql`, which has a
/// column `detail` instead of the last two fields.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RecurringIssue {
    pub episode_id: String,
    /// Incident that reached the threshold.
    pub incident_id: IncidentId,
    pub cause: String,
    /// Latest event by the end of the week.
    pub event: EpisodeEvent,
    /// True if its first event was in the week.
    pub is_new: bool,
    pub occurrences: u64,
    pub first_at: Timestamp,
    pub last_at: Timestamp,
    /// Root cause as text, from the latest finding.
    pub root_cause: String,
    pub actions: Vec<PreventiveStep>,
}

/// A recommended preventive action and its state at the end of the week.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PreventiveStep {
    /// Name in the catalogue.
    pub action: String,
    /// Description of the action, one line.
    pub title: String,
    pub state: PreventionState,
}

/// A row of `sql/prevention_effect.sql`: an adopted preventive action, with the incidents before and after.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PreventionEffect {
    pub cause: String,
    pub action: String,
    /// State at the end of the week: adopted, effective or recurred.
    pub state: PreventionState,
    pub adopted_at: Timestamp,
    /// Incidents with the cause in the 28 days before it was adopted.
    pub before: u64,
    /// Incidents with the cause in the 28 days after, up to the end of the week.
    pub after: u64,
    /// Number of the 28 days after that have passed.
    pub days_after: f64,
}

/// An incident that was open at the end of the week. From `sql/open_incidents_ageing.sql`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "OpenIncident")]
pub struct AgeingIncident {
    pub incident_id: IncidentId,
    pub incident_type: IncidentType,
    pub title: String,
    pub workspace_id: String,
    pub resource_name: Option<String>,
    pub reported_at: Timestamp,
    /// First explicit acknowledgement by the end of the week.
    pub acknowledged_at: Option<Timestamp>,
    /// Hours from the report to the end of the week.
    pub age_hours: f64,
    pub age: AgeBand,
}

/// A row of `sql/escalation_outcomes.sql`: alerts that fired in the week, by their state at its end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EscalationOutcome {
    pub trigger: Trigger,
    pub severity: Severity,
    /// Alerts that fired.
    pub fired: u64,
    /// Fired alerts without a route.
    pub unrouted: u64,
    /// Evaluations that held but were suppressed, because the alert was snoozed or was sent too recently.
    pub suppressed: u64,
    /// Fired alerts that were acknowledged; they may have been resolved since.
    pub acknowledged: u64,
    /// Fired alerts that were cleared or resolved.
    pub resolved: u64,
    /// Fired alerts that are neither resolved, acknowledged nor suppressed.
    pub open: u64,
    /// Median time from firing to acknowledgement, seconds.
    pub acknowledge_p50_s: Option<f64>,
    /// Notifications of fired or unacknowledged alerts that were delivered in the week. `None` if none was attempted.
    pub sent: Option<u64>,
    /// Such notifications whose delivery was abandoned in the week. `None` if none was attempted.
    pub failed: Option<u64>,
}

/// A row of `sql/check_results.sql`: best-practice checks of one category in one week.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CheckResult {
    /// Start of the digest's week or one of the four before.
    pub week_start: Timestamp,
    pub category: String,
    pub status: CheckStatus,
    pub checks: u64,
}

impl WeekSpan {
    /// Returns the time zone; UTC if the name is unknown.
    pub fn zone(&self) -> Tz {
        self.time_zone.parse().unwrap_or(Tz::UTC)
    }

    /// Returns the calendar week.
    pub fn calendar(&self) -> Week {
        Week::of(self.start, self.zone())
    }
}

impl Figures {
    /// Returns the number of incidents reported in the week.
    pub fn incidents(&self) -> u64 {
        self.total().map_or(0, |total| total.incidents)
    }

    /// Returns the statistics of a duration for the incidents reported in one week.
    pub fn duration(&self, week: Week, measure: Measure) -> Option<&Duration> {
        let start = week.start();
        self.durations.iter().find(|duration| duration.week_start == start && duration.measure == measure)
    }

    /// Returns the text of a cause, from its latest finding, if the figures contain it.
    pub fn root_cause(&self, cause: &str) -> Option<&str> {
        let ranked = self.causes.iter().find(|ranked| ranked.cause == cause).map(|ranked| ranked.root_cause.as_str());
        let recurring = || self.recurring.iter().find(|issue| issue.cause == cause);
        ranked.or_else(|| Some(recurring()?.root_cause.as_str()))
    }

    /// Returns the row with the total.
    pub fn total(&self) -> Option<&WeeklyCount> {
        self.counts.iter().find(|count| count.dimension == Dimension::Total)
    }
}

impl Duration {
    /// Returns the median in seconds if there are at least [`MIN_FOR_MEDIAN`] values.
    pub fn p50_known_s(&self) -> Option<f64> {
        self.p50_s.filter(|_| self.n >= MIN_FOR_MEDIAN)
    }

    /// Returns the 95th percentile in seconds if there are at least [`MIN_FOR_P95`] values.
    pub fn p95_known_s(&self) -> Option<f64> {
        self.p95_s.filter(|_| self.n >= MIN_FOR_P95)
    }
}

impl AgeBand {
    /// Returns the band for an age in hours.
    pub fn of(hours: f64) -> Self {
        if hours < 24.0 {
            Self::Day
        } else if hours < 7.0 * 24.0 {
            Self::Week
        } else if hours < 30.0 * 24.0 {
            Self::Month
        } else {
            Self::Older
        }
    }
}

/// Returns `part` of `whole` in percent. `None` if `whole` is below [`MIN_FOR_PERCENT`].
pub fn percent(part: u64, whole: u64) -> Option<f64> {
    (whole >= MIN_FOR_PERCENT).then(|| part as f64 * 100.0 / whole as f64)
}

/// Returns a text such as ` (14 %)`, or an empty text if `whole` is below [`MIN_FOR_PERCENT`].
pub fn in_percent(part: u64, whole: u64) -> String {
    match percent(part, whole) {
        None => String::new(),
        Some(percent) if part > 0 && percent < 1.0 => " (under 1 %)".into(),
        Some(percent) if part < whole && percent > 99.0 => " (over 99 %)".into(),
        Some(percent) => format!(" ({percent:.0} %)"),
    }
}

/// Returns a text such as `4 of 28 (14 %)`.
pub fn share(part: u64, whole: u64) -> String {
    format!("{part} of {whole}{}", in_percent(part, whole))
}

#[cfg(test)]
pub(crate) mod sample;
