//! Times, names and definitions that all formats of the digest share.

use std::borrow::Cow;

use chrono_tz::Tz;

use crate::{
    domain::{
        digest::{
            AgeingIncident, AuditProof, Decision, Digest, Duration, Figures, MIN_FOR_MEDIAN, MIN_FOR_P95,
            MIN_FOR_PERCENT, RecurringIssue, RepeatOffender, WeekSpan, WeeklyCount,
            dimension::{AgeBand, HourBand, Measure},
            share,
        },
        recurrence::event::EpisodeEvent,
        time::Timestamp,
    },
    render::plain::{NA, duration},
};

/// `2026-02-20 06:00 CET`: unambiguous, even in the hour that clocks repeat.
pub fn moment(at: Timestamp, zone: Tz) -> String {
    at.utc().with_timezone(&zone).format("%Y-%m-%d %H:%M %Z").to_string()
}

/// As [`moment`], or `n/a`.
pub fn moment_or_na(at: Option<Timestamp>, zone: Tz) -> String {
    at.map_or_else(|| NA.into(), |at| moment(at, zone))
}

/// `2026-02-20`
pub fn day(at: Timestamp, zone: Tz) -> String {
    at.utc().with_timezone(&zone).format("%Y-%m-%d").to_string()
}

/// `Monday 2026-02-16 00:00 CET to Monday 2026-02-23 00:00 CET (168 hours)`
pub fn span(week: &WeekSpan) -> String {
    let at = |at: Timestamp| at.utc().with_timezone(&week.zone()).format("%A %Y-%m-%d %H:%M %Z").to_string();
    let clocks = if week.hours == 168.0 { "" } else { ": clocks change" };
    format!("{} to {} ({} hours{clocks})", at(week.start), at(week.end), week.hours)
}

/// A median of counts, or `n/a`; with the number of weeks if it is less than four.
pub fn median_before(count: &WeeklyCount) -> String {
    match (count.median_before, count.weeks_before) {
        (None, _) => NA.into(),
        (Some(median), 4) => median.to_string(),
        (Some(median), 1) => format!("{median} (1 week)"),
        (Some(median), weeks) => format!("{median} ({weeks} weeks)"),
    }
}

/// The name of a duration and its definition.
pub fn measure(measure: Measure) -> (&'static str, &'static str) {
    match measure {
        Measure::Detect => ("Time to detect", "detected − impact start"),
        Measure::Acknowledge => ("Time to acknowledge", "first explicit ACK − reported"),
        Measure::Mitigate => ("Time to mitigate", "first successful REMEDIATE or VERIFY − detected"),
        Measure::Resolve => ("Time to resolve", "first resolved − reported"),
    }
}

/// The note below a table of durations.
pub fn about_durations() -> String {
    format!(
        "Of the incidents reported in the week. p50 is the median, n/a below n = {MIN_FOR_MEDIAN}; p95 the 95th percentile, \
         interpolated, n/a below n = {MIN_FOR_P95}. Open: not reached by the end of the week. Skew: excluded because clocks disagree."
    )
}

/// `1h 13m (n=14)`
pub fn p50_with_n(duration_of: Option<&Duration>) -> String {
    let Some(known) = duration_of else { return NA.into() };
    format!("{} (n={})", duration(known.p50_known_s()), known.n)
}

/// A part of the day, and its local hours.
pub fn band(band: HourBand) -> (&'static str, &'static str) {
    match band {
        HourBand::Business => ("Business", "Monday to Friday 08:00 to 17:59"),
        HourBand::Evening => ("Evening", "06:00 to 21:59 outside business hours"),
        HourBand::Night => ("Night", "22:00 to 05:59"),
    }
}

/// The name of an age band of open incidents.
pub fn age(band: AgeBand) -> &'static str {
    match band {
        AgeBand::Day => "under 1 day",
        AgeBand::Week => "1 to 7 days",
        AgeBand::Month => "7 to 30 days",
        AgeBand::Older => "over 30 days",
    }
}

/// The number of incidents in each band, the youngest first: `under 1 day 1, 1 to 7 days 1`.
pub fn ages(open: &[AgeingIncident]) -> String {
    let count = |band: AgeBand| open.iter().filter(|open| open.age == band).count();
    let bands = AgeBand::ALL.iter().map(|band| format!("{} {}", age(*band), count(*band)));
    bands.collect::<Vec<_>>().join(", ")
}

/// The oldest first.
pub fn oldest(open: &[AgeingIncident]) -> Vec<&AgeingIncident> {
    let mut sorted: Vec<&AgeingIncident> = open.iter().collect();
    sorted.sort_by_key(|open| (open.reported_at, open.incident_id));
    sorted
}

/// The state of a recurring issue in the week.
pub fn issue_state(issue: &RecurringIssue) -> &'static str {
    match (issue.event, issue.is_new) {
        (EpisodeEvent::Closed, true) => "new, closed",
        (EpisodeEvent::Closed, false) => "closed",
        (_, true) => "new",
        (_, false) => "open",
    }
}

/// `job daily-etl, 360515640572923`, not escaped.
pub fn resource(one: &RepeatOffender) -> String {
    match one.resource_name.as_deref().filter(|name| !name.trim().is_empty()) {
        Some(name) => format!("{} {name}, {}", one.resource_kind, one.resource_id),
        None => format!("{} {}", one.resource_kind, one.resource_id),
    }
}

/// `4 of 28 (14 %)`, or `n/a` if no runs are known.
pub fn failed_runs(one: &RepeatOffender) -> String {
    match (one.failed_runs, one.runs) {
        (Some(failed), Some(runs)) if runs > 0 => share(failed, runs),
        _ => NA.into(),
    }
}

/// The note on percentages.
pub fn about_shares() -> String {
    format!("Percentages are left out below {MIN_FOR_PERCENT}.")
}

/// The result of the verification of the audit log.
pub fn proof(audit: &AuditProof) -> String {
    match (audit.intact, audit.head_seq, audit.verified_after) {
        (false, ..) => "NOT INTACT: the audit log was changed after it was written.".into(),
        (true, 0, _) => "Intact: the audit log is empty.".into(),
        (true, rows, 0) => format!("Intact: all rows were verified, 1 to {rows}."),
        (true, rows, after) if after >= rows => {
            format!("Intact: no row was added since row {after}, which was verified before.")
        }
        (true, rows, after) => {
            format!("Intact: rows {} to {rows} were verified, those before in an earlier digest.", after + 1)
        }
    }
}

/// The definition of the head.
pub const ABOUT_HEAD: &str = "The head is the last row. Its entry_hash is the lower-case hex SHA-256 of prev_hash followed by entry, \
     so it covers every row before it.";

/// The command that verifies that the head is still in the log.
pub fn verify_head_command(audit: &AuditProof) -> Option<String> {
    let head = format!("{}:{}", audit.head_seq, audit.head_hash);
    let head = shlex::try_quote(&head).ok().filter(|_| audit.head_seq > 0)?;
    Some(format!("ops-runbook audit verify --head {head}"))
}

/// Points that need a decision. An audit log that is not intact comes first.
pub fn decisions(digest: &Digest) -> Vec<Cow<'_, Decision>> {
    let broken = (!digest.audit.intact).then(|| {
        let problems = match digest.audit.problems.len() {
            1 => "1 problem was".into(),
            problems => format!("{problems} problems were"),
        };
        let text = format!("The audit log is NOT INTACT: {problems} found.");
        Cow::Owned(Decision { text, command: Some("ops-runbook audit verify".into()) })
    });
    broken.into_iter().chain(digest.decisions.iter().map(Cow::Borrowed)).collect()
}

/// `23 incidents, 2 points need a decision`
pub fn short_summary(digest: &Digest) -> String {
    let incidents = match digest.figures.incidents() {
        0 => "no incidents".into(),
        1 => "1 incident".into(),
        incidents => format!("{incidents} incidents"),
    };
    let decisions = match decisions(digest).len() {
        0 => "nothing needs a decision".into(),
        1 => "1 point needs a decision".into(),
        points => format!("{points} points need a decision"),
    };
    format!("{incidents}, {decisions}")
}

/// The command that prints the whole digest.
pub fn full_digest_command(week: &WeekSpan) -> Option<String> {
    let (name, zone) = (shlex::try_quote(&week.week).ok()?, shlex::try_quote(&week.time_zone).ok()?);
    Some(format!("ops-runbook digest --week {name} --tz {zone}"))
}

/// Sums over all alerts of the week: fired, unrouted, suppressed, acknowledged, resolved, open.
pub fn alert_sums(figures: &Figures) -> [u64; 6] {
    let rows = &figures.escalations;
    [
        rows.iter().map(|row| row.fired).sum(),
        rows.iter().map(|row| row.unrouted).sum(),
        rows.iter().map(|row| row.suppressed).sum(),
        rows.iter().map(|row| row.acknowledged).sum(),
        rows.iter().map(|row| row.resolved).sum(),
        rows.iter().map(|row| row.open).sum(),
    ]
}
