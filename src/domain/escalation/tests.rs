use super::*;
use crate::domain::{check::CheckStatus, decide::finding, incident::classification::Confidence};

const DAILY_ETL: &str = include_str!("../../../tests/examples/01-daily-etl-no-retries.json");
const NO_RUN_OUTPUT: &str = include_str!("../../../tests/examples/04-run-output-unavailable.json");
const VALIDATION: &str = include_str!("../../../tests/examples/05-workspace-validation.json");

const ORDER: [Trigger; 4] =
    [Trigger::MissingEvidence, Trigger::PartialChecks, Trigger::SecurityFinding, Trigger::AccessIssue];

fn report(json: &str) -> Report {
    serde_json::from_str(json).unwrap()
}

fn verdicts(report: &Report, policy: &Policy) -> Vec<TriggerVerdict> {
    let incident_id = IncidentId::from_ordinal(4);
    let finding = report.rca.as_ref().map(finding);
    evaluate(&TriggerContext::from_report(incident_id, report, finding.as_ref()), policy)
}

fn verdict(report: &Report, policy: &Policy, trigger: Trigger) -> TriggerVerdict {
    verdicts(report, policy).into_iter().find(|verdict| verdict.trigger == trigger).unwrap()
}

fn shown(verdicts: &[TriggerVerdict]) -> String {
    let lines = verdicts.iter().map(|verdict| {
        let TriggerVerdict { trigger, holds, severity, reason, message } = verdict;
        let message = message.as_deref().unwrap_or("no message");
        format!("{trigger} {} {severity}: {reason}\n{message}", if *holds { "HOLDS" } else { "does not hold" })
    });
    lines.collect::<Vec<_>>().join("\n\n")
}

fn checks(statuses: impl IntoIterator<Item = (CheckStatus, usize)>) -> Report {
    let mut report = report(VALIDATION);
    let check = report.checks.remove(2);
    report.checks =
        statuses.into_iter().flat_map(|(status, count)| vec![Check { status, ..check.clone() }; count]).collect();
    for (number, check) in (1..).zip(&mut report.checks) {
        check.name = Id::new(format!("check {number}")).unwrap();
    }
    report
}

#[test]
fn every_trigger_but_recurring_gets_a_verdict_in_order() {
    for json in [DAILY_ETL, NO_RUN_OUTPUT, VALIDATION] {
        let verdicts = verdicts(&report(json), &Policy::default());
        assert_eq!(verdicts.iter().map(|verdict| verdict.trigger).collect::<Vec<_>>(), ORDER);
        assert!(verdicts.iter().all(|verdict| verdict.holds == verdict.message.is_some()));
    }
}

#[test]
fn a_report_with_all_its_evidence_escalates_nothing() {
    insta::assert_snapshot!(shown(&verdicts(&report(DAILY_ETL), &Policy::default())), @"
    missing-evidence does not hold MEDIUM: the confidence is HIGH
    no message

    partial-checks does not hold LOW: 0 of 4 checks are PARTIAL, not more than 50 %
    no message

    security-finding does not hold CRITICAL: 0 of 1 security checks failed
    no message

    access-issue does not hold MEDIUM: no evidence is reported missing
    no message
    ");
}

#[test]
fn missing_run_output_has_the_message_of_the_specification() {
    insta::assert_snapshot!(shown(&verdicts(&report(NO_RUN_OUTPUT), &Policy::default())), @"
    missing-evidence HOLDS MEDIUM: the confidence is LOW; missing: run output, notebook source
    Need manual investigation: the root cause for job run_id=236083407514246 has confidence LOW.
    Missing: run output, notebook source (2 of 2 kinds of evidence).
    Action: On-call to find the root cause by hand and to record it with the evidence it rests on.

    partial-checks does not hold LOW: no checks were made
    no message

    security-finding does not hold CRITICAL: no check of a security category (Security) was made
    no message

    access-issue HOLDS MEDIUM: cannot retrieve run output, notebook source for job run_id=236083407514246
    Investigation blocked: Cannot retrieve run output, notebook source for job run_id=236083407514246.
    Possible causes: run output: PERMISSION_DENIED: token lacks CAN_VIEW on the job.
    Action: On-call to verify MCP token and workspace connectivity; check run retention settings.
    ");
    let mut report = report(NO_RUN_OUTPUT);
    let rca = report.rca.as_mut().unwrap();
    rca.missing_reasons.clear();
    rca.missing_evidence.truncate(1);
    let message = verdict(&report, &Policy::default(), Trigger::AccessIssue).message.unwrap();
    assert_eq!(
        message,
        "Investigation blocked: Cannot retrieve run output for job run_id=236083407514246.\n\
         Possible causes: Run expired, API permission, workspace access.\n\
         Action: On-call to verify MCP token and workspace connectivity; check run retention settings."
    );
}

#[test]
fn an_incomplete_validation_with_failed_security_checks_is_two_alerts() {
    insta::assert_snapshot!(shown(&verdicts(&report(VALIDATION), &Policy::default())), @"
    missing-evidence does not hold MEDIUM: no root-cause analysis yet
    no message

    partial-checks HOLDS LOW: 5 of 8 checks are PARTIAL, more than 50 %
    Environment assessment incomplete: 5 of 8 checks are PARTIAL, more than 50 %.
    Incomplete: Reliability / Autoscaling (list_clusters failed: timeout); Reliability / Job retry policy (get_job is not available); Performance / Photon (No warehouse details); Operational Excellence / Monitoring (No access to system tables); Unity Catalog / Lineage (No access).
    Action: On-call to give the assessment of workspace 7405612783315468 the access and tools it lacked, and to run it again.

    security-finding HOLDS CRITICAL: 2 of 2 security checks failed with high severity
    Security checks failed with high severity: 2 of 2 in workspace 7405612783315468.
    Failed: Unity Catalog enabled (HIGH): No metastore attached; Encryption at rest with customer keys (HIGH): No encryption configured for the root bucket.
    Action: Security owner of the workspace to fix these now, then to run the checks again.

    access-issue does not hold MEDIUM: no root-cause analysis yet
    no message
    ");
}

#[test]
fn low_confidence_without_missing_evidence_escalates_too() {
    let mut report = report(DAILY_ETL);
    report.resources.clear();
    report.rca.as_mut().unwrap().confidence = Confidence::Low;
    let verdicts = verdicts(&report, &Policy::default());
    insta::assert_snapshot!(shown(&verdicts[..1]), @"
    missing-evidence HOLDS MEDIUM: the confidence is LOW; no evidence is reported missing
    Need manual investigation: the root cause for INC-1004 has confidence LOW.
    No evidence is reported missing; the evidence that was read does not carry a root cause.
    Action: On-call to find the root cause by hand and to record it with the evidence it rests on.
    ");
    assert!(!verdicts[3].holds);
}

#[test]
fn partial_checks_holds_above_the_configured_share() {
    fn check(partial: usize, others: usize, percent: u32, holds: bool, reason: &str) {
        let mut policy = Policy::default();
        policy.escalation.partial_checks_percent = percent;
        let report = checks([(CheckStatus::Partial, partial), (CheckStatus::Pass, others)]);
        let verdict = verdict(&report, &policy, Trigger::PartialChecks);
        assert_eq!((verdict.holds, verdict.reason.as_str()), (holds, reason), "{partial} and {others}");
    }
    check(0, 0, 50, false, "no checks were made");
    check(1, 1, 50, false, "1 of 2 checks are PARTIAL, not more than 50 %");
    check(2, 1, 50, true, "2 of 3 checks are PARTIAL, more than 50 %");
    check(500, 500, 50, false, "500 of 1000 checks are PARTIAL, not more than 50 %");
    check(501, 499, 50, true, "501 of 1000 checks are PARTIAL, more than 50 %");
    check(1, 0, 50, true, "1 of 1 checks are PARTIAL, more than 50 %");
    check(1, 999, 0, true, "1 of 1000 checks are PARTIAL, more than 0 %");
    check(0, 3, 0, false, "0 of 3 checks are PARTIAL, not more than 0 %");
    check(99, 1, 99, false, "99 of 100 checks are PARTIAL, not more than 99 %");
}

#[test]
fn security_checks_escalate_when_they_fail_with_high_severity() {
    fn check(category: &str, status: CheckStatus, severity: Option<Severity>, holds: bool, reason: &str) {
        let mut report = checks([(status, 1), (CheckStatus::Pass, 1)]);
        report.checks.iter_mut().for_each(|check| check.category = Id::new(category).unwrap());
        report.checks[0].severity = severity;
        let verdict = verdict(&report, &Policy::default(), Trigger::SecurityFinding);
        assert_eq!((verdict.holds, verdict.reason.as_str()), (holds, reason), "{category} {status} {severity:?}");
        assert_eq!(verdict.severity, Severity::Critical);
    }
    use CheckStatus::{Fail, Partial, Pass};
    check("Security", Fail, Some(Severity::Critical), true, "1 of 2 security checks failed with high severity");
    check(" SECURITY", Fail, Some(Severity::High), true, "1 of 2 security checks failed with high severity");
    let unrated = "1 of 2 security checks failed with high severity, 1 of them without a severity, taken as HIGH";
    check("security", Fail, None, true, unrated);
    let medium = "1 of 2 security checks failed, at most MEDIUM; HIGH and CRITICAL escalate";
    check("Security", Fail, Some(Severity::Medium), false, medium);
    check("Security", Partial, Some(Severity::Critical), false, "0 of 2 security checks failed");
    check("Security", Pass, Some(Severity::Critical), false, "0 of 2 security checks failed");
    let none = "no check of a security category (Security) was made";
    check("Unity Catalog", Fail, Some(Severity::Critical), false, none);
}

#[test]
fn retrievable_evidence_is_recognised_by_its_words() {
    fn check(kind: &str, reason: Option<&str>, holds: bool) {
        let mut report = report(NO_RUN_OUTPUT);
        let rca = report.rca.as_mut().unwrap();
        rca.missing_evidence = vec![Id::new(kind).unwrap()];
        rca.missing_reasons = reason.map(|reason| (kind.to_owned(), reason.to_owned())).into_iter().collect();
        let verdict = verdict(&report, &Policy::default(), Trigger::AccessIssue);
        assert_eq!(verdict.holds, holds, "{kind}: {}", verdict.reason);
    }
    for kind in [
        "run_output",
        "Run-Output",
        "task_run_output",
        "runOutput",
        "notebook source",
        "sql_text",
        "SQL",
        "queryProfile",
    ] {
        check(kind, None, true);
    }
    for kind in ["cluster_events", "mysqldump", "run", "output", "outputrun", "encoding", "___"] {
        check(kind, None, false);
        check(kind, Some("  "), false);
        check(kind, Some("403 from the API"), true);
    }
}

#[test]
fn a_reason_counts_as_missing_evidence_without_an_entry_in_the_list() {
    let mut report = report(NO_RUN_OUTPUT);
    report.rca.as_mut().unwrap().missing_evidence.clear();
    assert!(verdict(&report, &Policy::default(), Trigger::AccessIssue).holds);
}

#[test]
fn evidence_triggers_need_an_analysis() {
    let verdicts = verdicts(&report(VALIDATION), &Policy::default());
    for verdict in [&verdicts[0], &verdicts[3]] {
        assert_eq!((verdict.holds, verdict.reason.as_str()), (false, "no root-cause analysis yet"));
    }
}

#[test]
fn a_disabled_trigger_never_holds_and_gives_the_reason() {
    let toml = Trigger::ALL.iter().map(|trigger| format!("escalation.{trigger}.enabled = false\n")).collect::<String>();
    let policy = Policy::parse(&toml).unwrap();
    let recurring = recurring_verdict(Some(recurrence(true, 3)), &policy);
    for verdict in
        [verdicts(&report(NO_RUN_OUTPUT), &policy), verdicts(&report(VALIDATION), &policy), vec![recurring]].concat()
    {
        assert_eq!((verdict.holds, verdict.reason.as_str()), (false, "disabled in the configuration"));
    }
}

fn recurrence(holds: bool, occurrences: u32) -> Recurrence<'static> {
    let root_cause = "Job retry policies not configured (max_retries=0)";
    let incidents = "INC-1001 daily-etl, INC-1002 hourly-sync, INC-1003 nightly-backup";
    Recurrence { holds, occurrences, threshold: 3, window_hours: 168, root_cause, incidents }
}

#[test]
fn a_recurring_cause_is_a_pattern() {
    let policy = Policy::default();
    let verdicts = [
        recurring_verdict(Some(recurrence(true, 3)), &policy),
        recurring_verdict(Some(recurrence(false, 2)), &policy),
        recurring_verdict(None, &policy),
    ];
    insta::assert_snapshot!(shown(&verdicts), @"
    recurring HOLDS HIGH: 3 incidents within 168 h, threshold 3
    Pattern alert: the same root cause in 3 incidents within 7 days (3 or more escalate): Job retry policies not configured (max_retries=0).
    Incidents: INC-1001 daily-etl, INC-1002 hourly-sync, INC-1003 nightly-backup.
    Action: SRE to fix the cause for good, not only the next incident.

    recurring does not hold HIGH: 2 of 3 incidents within 168 h
    no message

    recurring does not hold HIGH: the cause is unknown; unknown is never a cause
    no message
    ");
}

#[test]
fn ten_thousand_hostile_checks_make_a_short_message_of_three_lines() {
    let mut report = checks([(CheckStatus::Partial, 6_000), (CheckStatus::Fail, 4_000)]);
    for (number, check) in report.checks.iter_mut().enumerate() {
        let name = format!("{number}\n{}\u{2028}{}", "x'; DROP\r\n".repeat(10), "日".repeat(100));
        check.name = Id::new(name).unwrap();
        check.category = Id::new("Security").unwrap();
        check.finding = Some("y\n".repeat(1_000));
    }
    for verdict in verdicts(&report, &Policy::default()).iter().filter(|verdict| verdict.holds) {
        let message = verdict.message.as_deref().unwrap();
        assert_eq!(message.lines().count(), 3);
        assert!(message.chars().count() < 3_000, "{}", message.chars().count());
        assert!(message.contains("; and 5995 more.") || message.contains("; and 3995 more."), "{message}");
        assert!(!message.contains('\u{2028}') && !verdict.reason.contains('\n'));
    }
}
