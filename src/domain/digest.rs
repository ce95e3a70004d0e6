//! The weekly digest: what a week was like, as far as the ledger knew when it was made.
//!
//! [`Figures`] is what the queries of `sql/` say, one row type per file, as things stood at the end of the week: what was
//! acknowledged, resolved or closed later counts as open. The same ledger gives the same figures, whenever they are asked
//! for. [`summary`] makes sentences of them; [`revision`] tells two versions apart.

use chrono::NaiveDate;
use chrono_tz::Tz;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    ids::IncidentId,
    time::Timestamp,
    week::Week,
    words::{
        AgeBand, CheckStatus, Dimension, EpisodeEvent, HourBand, IncidentType, Measure, PreventionState, Severity,
        Trigger,
    },
};

pub mod open;
pub mod revision;
pub mod schema;
pub mod summary;

/// Version of the digest's shape, in every digest.
pub const DIGEST_VERSION: u32 = 1;
/// Below this many a median says nothing.
pub const LEAST_FOR_MEDIAN: u64 = 3;
/// Below this many the 95th percentile is only the largest.
pub const LEAST_FOR_P95: u64 = 20;
/// Below this many of something a percentage says nothing.
pub const LEAST_FOR_PERCENT: u64 = 20;
/// A cause is new when it did not occur in so many weeks before.
pub const NEW_CAUSE_WEEKS: u64 = 13;
/// Repeat offenders had at least so many incidents in the week and the four before.
pub const LEAST_OFFENCES: u64 = 2;

/// What is said of one week.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Digest {
    pub version: u32,
    pub week: WeekSpan,
    /// 1 for the first, one more for each that says something else.
    pub revision: u32,
    /// When it was made.
    pub made_at: Timestamp,
    /// The most important of what changed, a few sentences; never empty.
    pub changed: Vec<String>,
    /// What needs a decision, the most urgent first; empty when nothing does.
    pub decisions: Vec<Decision>,
    /// How this revision differs from the one before. `None` for the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revised: Option<Revised>,
    pub figures: Figures,
    pub audit: AuditProof,
    pub freshness: Freshness,
}

/// Which week.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WeekSpan {
    /// ISO week, such as 2026-W08.
    pub week: String,
    /// IANA name of the time zone the week is in.
    pub time_zone: String,
    /// First moment of the week.
    pub start: Timestamp,
    /// First moment after the week.
    pub end: Timestamp,
    /// 168, or another number when the clocks change.
    pub hours: f64,
}

/// Something for people to decide.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Decision {
    pub text: String,
    /// Shows more about it; quoted for a shell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
}

/// How a revision differs from the one before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Revised {
    /// The revision before.
    pub revision: u32,
    pub made_at: Timestamp,
    /// What is different, one sentence each; never empty.
    pub differences: Vec<String>,
}

/// What is known about the audit log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AuditProof {
    /// Position of the last row when the digest was made.
    pub head_seq: u64,
    /// Its `entry_hash`.
    pub head_hash: String,
    /// Rows after this one were verified: 0 when all were, else the head of the digest that was trusted.
    pub verified_after: u64,
    /// Everything verified was as it should be.
    pub intact: bool,
    /// What was not, one sentence each.
    pub problems: Vec<String>,
}

/// How fresh the data is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Freshness {
    /// When the ledger took its last row. `None` when it is empty.
    pub last_recorded_at: Option<Timestamp>,
    /// When the latest incident that began by the end of the week was reported. `None` when there was none in five weeks.
    pub last_reported_at: Option<Timestamp>,
}

/// What the queries say. The order of every list is fixed.
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
    pub open: Vec<OpenIncident>,
    pub escalations: Vec<EscalationOutcome>,
    pub checks: Vec<CheckResult>,
}

/// A row of `sql/weekly_counts.sql`: incidents reported in the week, by one dimension. Weeks that end before the ledger
/// knows anything count as unknown, not as 0.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WeeklyCount {
    pub dimension: Dimension,
    /// `all` for the total.
    pub value: String,
    pub incidents: u64,
    /// In the week before.
    pub previous: Option<u64>,
    /// The median of the four weeks before, of those that are known.
    pub median_before: Option<f64>,
    /// How many of the four weeks before are known.
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

/// A row of `sql/durations.sql`: how long something took, of the incidents reported in one week.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Duration {
    /// The first moment of the week: the digest's, or one of the four before.
    pub week_start: Timestamp,
    pub measure: Measure,
    /// How many durations are known by the end of the digest's week.
    pub n: u64,
    /// Their median, seconds.
    pub p50_s: Option<f64>,
    /// Their 95th percentile, seconds, interpolated.
    pub p95_s: Option<f64>,
    /// How many began and are not over by the end of the digest's week, of incidents that are not resolved by then.
    pub open: u64,
    /// How many were set aside because the clocks disagree.
    pub clock_skew: u64,
}

/// A row of `sql/on_call_load.sql`: what came in one part of the day, in the week.
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

/// A row of `sql/repeat_offenders.sql`: something that keeps being affected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RepeatOffender {
    pub workspace_id: String,
    pub resource_kind: String,
    pub resource_id: String,
    pub resource_name: Option<String>,
    /// In the week, 1 or more.
    pub incidents: u64,
    /// In the four weeks before.
    pub incidents_before: u64,
    /// Different known causes, of both.
    pub causes: u64,
    /// Runs of the job that began in the week, where any are known.
    pub runs: Option<u64>,
    /// How many of them failed.
    pub failed_runs: Option<u64>,
    /// The latest incident.
    pub last_incident_id: IncidentId,
}

/// A row of `sql/cause_ranking.sql`: a known cause of incidents of the week, the most frequent first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CauseRank {
    /// After merges and splits.
    pub cause: String,
    /// In the words of its latest finding.
    pub root_cause: String,
    pub incidents: u64,
    /// 1 is the most frequent; causes with as many incidents share a rank.
    pub rank: u64,
    /// In the week before.
    pub previous_incidents: u64,
    /// `None`: it did not occur in the week before.
    pub previous_rank: Option<u64>,
    /// It did not occur in the [`NEW_CAUSE_WEEKS`] weeks before.
    pub is_new: bool,
    /// Different first affected resources.
    pub resources: u64,
    /// The first incident of the week with it.
    pub first_incident_id: IncidentId,
}

/// A recurring issue that was open at the end of the week, or that ended in it. From `sql/recurring_in_week.sql`, which has
/// `detail` instead of the last two.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RecurringIssue {
    pub episode_id: String,
    /// The incident at which it became one.
    pub incident_id: IncidentId,
    pub cause: String,
    /// The latest event by the end of the week.
    pub event: EpisodeEvent,
    /// Its first event came in the week.
    pub is_new: bool,
    pub occurrences: u64,
    pub first_at: Timestamp,
    pub last_at: Timestamp,
    /// In the words of the latest finding.
    pub root_cause: String,
    pub actions: Vec<PreventiveStep>,
}

/// A preventive action that was recommended, and how far it has come by the end of the week.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PreventiveStep {
    /// Its name in the catalogue.
    pub action: String,
    /// What to do, one line.
    pub title: String,
    pub state: PreventionState,
}

/// A row of `sql/prevention_effect.sql`: an adopted preventive action, and how often its cause came before and after.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PreventionEffect {
    pub cause: String,
    pub action: String,
    /// The latest by the end of the week: adopted, effective or recurred.
    pub state: PreventionState,
    pub adopted_at: Timestamp,
    /// Incidents with the cause in the 28 days before it was adopted.
    pub before: u64,
    /// Incidents with the cause in the 28 days after, up to the end of the week.
    pub after: u64,
    /// How many of the 28 days after are over.
    pub days_after: f64,
}

/// An incident that was open at the end of the week. From `sql/open_incidents_ageing.sql`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OpenIncident {
    pub incident_id: IncidentId,
    pub incident_type: IncidentType,
    pub title: String,
    pub workspace_id: String,
    pub resource_name: Option<String>,
    pub reported_at: Timestamp,
    /// The first explicit acknowledgement, if it came by the end of the week.
    pub acknowledged_at: Option<Timestamp>,
    /// Hours from the report to the end of the week.
    pub age_hours: f64,
    pub age: AgeBand,
}

/// A row of `sql/escalation_outcomes.sql`: alerts that fired in the week, and what had become of them by its end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EscalationOutcome {
    pub trigger: Trigger,
    pub severity: Severity,
    /// Alerts that fired: people were to be told.
    pub fired: u64,
    /// Of those, alerts that were routed nowhere.
    pub unrouted: u64,
    /// Evaluations that held and were kept quiet: suppressed, or told too recently.
    pub suppressed: u64,
    /// Of those that fired, acknowledged by somebody; some of them may be over since.
    pub acknowledged: u64,
    /// Of those that fired, over: cleared, or resolved by somebody.
    pub resolved: u64,
    /// Of those that fired, still open: neither over, nor acknowledged, nor suppressed.
    pub open: u64,
    /// Median time from firing to acknowledgement of those acknowledged, seconds.
    pub acknowledge_p50_s: Option<f64>,
    /// Notices of their firing, or that nobody acknowledged them, that were delivered in the week; `None` when none was tried.
    pub sent: Option<u64>,
    /// Such notices that were given up in the week; `None` when none was tried.
    pub failed: Option<u64>,
}

/// A row of `sql/check_results.sql`: best-practice checks of one category in one week.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CheckResult {
    /// The first moment of the week: the digest's, or one of the four before.
    pub week_start: Timestamp,
    pub category: String,
    pub status: CheckStatus,
    pub checks: u64,
}

impl WeekSpan {
    /// The zone the week is in; UTC where the name says nothing.
    pub fn zone(&self) -> Tz {
        self.time_zone.parse().unwrap_or(Tz::UTC)
    }

    /// The week as the calendar has it.
    pub fn calendar(&self) -> Week {
        Week::of(self.start, self.zone())
    }
}

impl Figures {
    /// Incidents reported in the week.
    pub fn incidents(&self) -> u64 {
        self.total().map_or(0, |total| total.incidents)
    }

    /// How long something took, of the incidents reported in one week.
    pub fn duration(&self, week: Week, measure: Measure) -> Option<&Duration> {
        let start = week.start();
        self.durations.iter().find(|duration| duration.week_start == start && duration.measure == measure)
    }

    /// What a cause is in the words of its latest finding, where the figures have them.
    pub fn root_cause(&self, cause: &str) -> Option<&str> {
        let ranked = self.causes.iter().find(|ranked| ranked.cause == cause).map(|ranked| ranked.root_cause.as_str());
        let recurring = || self.recurring.iter().find(|issue| issue.cause == cause);
        ranked.or_else(|| Some(recurring()?.root_cause.as_str()))
    }

    /// The row about all incidents.
    pub fn total(&self) -> Option<&WeeklyCount> {
        self.counts.iter().find(|count| count.dimension == Dimension::Total)
    }
}

impl Duration {
    /// The median, seconds, where there are enough to have one.
    pub fn p50_known_s(&self) -> Option<f64> {
        self.p50_s.filter(|_| self.n >= LEAST_FOR_MEDIAN)
    }

    /// The 95th percentile, seconds, where there are enough to have one.
    pub fn p95_known_s(&self) -> Option<f64> {
        self.p95_s.filter(|_| self.n >= LEAST_FOR_P95)
    }
}

impl AgeBand {
    /// The band of an incident that has been open for so many hours.
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

/// `part` of `whole` in percent, unless `whole` is too small for that to say anything.
pub fn percent(part: u64, whole: u64) -> Option<f64> {
    (whole >= LEAST_FOR_PERCENT).then(|| part as f64 * 100.0 / whole as f64)
}

/// ` (14 %)`, or nothing where a percentage would say nothing.
pub fn in_percent(part: u64, whole: u64) -> String {
    match percent(part, whole) {
        None => String::new(),
        Some(percent) if part > 0 && percent < 1.0 => " (under 1 %)".into(),
        Some(percent) if part < whole && percent > 99.0 => " (over 99 %)".into(),
        Some(percent) => format!(" ({percent:.0} %)"),
    }
}

/// `4 of 28 (14 %)`
pub fn share(part: u64, whole: u64) -> String {
    format!("{part} of {whole}{}", in_percent(part, whole))
}

#[cfg(test)]
pub(crate) mod sample;
