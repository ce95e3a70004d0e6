use proptest::{collection::vec, prelude::*};

use super::*;
use crate::domain::{
    decide::finding,
    time::Timestamp,
    words::{AlertEvent, AlertStatus, CheckStatus, Confidence},
};

const DAILY_ETL: &str = include_str!("../../../tests/examples/01-daily-etl-no-retries.json");
const NO_RUN_OUTPUT: &str = include_str!("../../../tests/examples/04-run-output-unavailable.json");
const VALIDATION: &str = include_str!("../../../tests/examples/05-workspace-validation.json");

const ORDER: [Trigger; 4] =
    [Trigger::MissingEvidence, Trigger::PartialChecks, Trigger::SecurityFinding, Trigger::AccessIssue];

fn report(json: &str) -> Report {
    serde_json::from_str(json).unwrap()
}

fn verdicts(report: &Report, policy: &Policy) -> Vec<Verdict> {
    let incident_id = IncidentId::from_ordinal(4);
    let finding = report.rca.as_ref().map(finding);
    evaluate(&Subject::of_report(incident_id, report, finding.as_ref()), policy)
}

fn verdict(report: &Report, policy: &Policy, trigger: Trigger) -> Verdict {
    verdicts(report, policy).into_iter().find(|verdict| verdict.trigger == trigger).unwrap()
}

fn told(verdicts: &[Verdict]) -> String {
    let shown = verdicts.iter().map(|verdict| {
        let Verdict { trigger, holds, severity, reason, message } = verdict;
        let message = message.as_deref().unwrap_or("nothing to tell");
        format!("{trigger} {} {severity}: {reason}\n{message}", if *holds { "HOLDS" } else { "does not hold" })
    });
    shown.collect::<Vec<_>>().join("\n\n")
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
    insta::assert_snapshot!(told(&verdicts(&report(DAILY_ETL), &Policy::default())), @"
    missing-evidence does not hold MEDIUM: the confidence is HIGH
    nothing to tell

    partial-checks does not hold LOW: 0 of 4 checks are PARTIAL, not more than 50 %
    nothing to tell

    security-finding does not hold CRITICAL: 0 of 1 security checks failed
    nothing to tell

    access-issue does not hold MEDIUM: no evidence is reported missing
    nothing to tell
    ");
}

#[test]
fn missing_run_output_is_told_as_the_specification_tells_it() {
    insta::assert_snapshot!(told(&verdicts(&report(NO_RUN_OUTPUT), &Policy::default())), @"
    missing-evidence HOLDS MEDIUM: the confidence is LOW; missing: run output, notebook source
    Need manual investigation: the root cause for job run_id=236083407514246 has confidence LOW.
    Missing: run output, notebook source (2 of 2 kinds of evidence).
    Action: On-call to find the root cause by hand and to record it with the evidence it rests on.

    partial-checks does not hold LOW: no checks were made
    nothing to tell

    security-finding does not hold CRITICAL: no check of a security category (Security) was made
    nothing to tell

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
    insta::assert_snapshot!(told(&verdicts(&report(VALIDATION), &Policy::default())), @"
    missing-evidence does not hold MEDIUM: no root-cause analysis yet
    nothing to tell

    partial-checks HOLDS LOW: 5 of 8 checks are PARTIAL, more than 50 %
    Environment assessment incomplete: 5 of 8 checks are PARTIAL, more than 50 %.
    Incomplete: Reliability / Autoscaling (list_clusters failed: timeout); Reliability / Job retry policy (get_job is not available); Performance / Photon (No warehouse details); Operational Excellence / Monitoring (No access to system tables); Unity Catalog / Lineage (No access).
    Action: On-call to give the assessment of workspace 7405612783315468 the access and tools it lacked, and to run it again.

    security-finding HOLDS CRITICAL: 2 of 2 security checks failed with high severity
    Security checks failed with high severity: 2 of 2 in workspace 7405612783315468.
    Failed: Unity Catalog enabled (HIGH): No metastore attached; Encryption at rest with customer keys (HIGH): No encryption configured for the root bucket.
    Action: Security owner of the workspace to fix these now, then to run the checks again.

    access-issue does not hold MEDIUM: no root-cause analysis yet
    nothing to tell
    ");
}

#[test]
fn low_confidence_without_missing_evidence_needs_somebody_too() {
    let mut report = report(DAILY_ETL);
    report.resources.clear();
    report.rca.as_mut().unwrap().confidence = Confidence::Low;
    let verdicts = verdicts(&report, &Policy::default());
    insta::assert_snapshot!(told(&verdicts[..1]), @"
    missing-evidence HOLDS MEDIUM: the confidence is LOW; no evidence is reported missing
    Need manual investigation: the root cause for INC-1004 has confidence LOW.
    No evidence is reported missing; the evidence that was read does not carry a root cause.
    Action: On-call to find the root cause by hand and to record it with the evidence it rests on.
    ");
    assert!(!verdicts[3].holds);
}

#[test]
fn more_than_half_of_the_checks_is_more_than_half() {
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
fn a_check_that_was_made_again_counts_as_it_was_last_made() {
    let mut report = checks([(CheckStatus::Partial, 3)]);
    let mut again = report.checks.clone();
    again.iter_mut().for_each(|check| check.status = CheckStatus::Pass);
    report.checks.extend(again);
    assert_eq!(
        verdict(&report, &Policy::default(), Trigger::PartialChecks).reason,
        "0 of 3 checks are PARTIAL, not more than 50 %"
    );
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
fn what_a_tool_retrieves_is_recognised_by_its_words() {
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
fn a_reason_is_enough_where_the_list_of_missing_evidence_forgot_the_kind() {
    let mut report = report(NO_RUN_OUTPUT);
    report.rca.as_mut().unwrap().missing_evidence.clear();
    assert!(verdict(&report, &Policy::default(), Trigger::AccessIssue).holds);
}

#[test]
fn without_an_analysis_nothing_is_known_to_be_missing() {
    let verdicts = verdicts(&report(VALIDATION), &Policy::default());
    for verdict in [&verdicts[0], &verdicts[3]] {
        assert_eq!((verdict.holds, verdict.reason.as_str()), (false, "no root-cause analysis yet"));
    }
}

#[test]
fn a_disabled_trigger_never_holds_and_says_so() {
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
    insta::assert_snapshot!(told(&verdicts), @"
    recurring HOLDS HIGH: 3 incidents within 168 h, threshold 3
    Pattern alert: the same root cause in 3 incidents within 7 days (3 or more escalate): Job retry policies not configured (max_retries=0).
    Incidents: INC-1001 daily-etl, INC-1002 hourly-sync, INC-1003 nightly-backup.
    Action: SRE to fix the cause for good, not only the next incident.

    recurring does not hold HIGH: 2 of 3 incidents within 168 h
    nothing to tell

    recurring does not hold HIGH: the cause is unknown; unknown is never a cause
    nothing to tell
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

// the life of an alert

const KEY: &str = "INC-1001/missing-evidence/3fa9c1d2";

fn minute(minute: i64) -> Timestamp {
    Timestamp::from_micros(1_770_000_000_000_000 + minute * 60_000_000).unwrap()
}

fn actor() -> Id {
    Id::new("user:sre@example.test").unwrap()
}

fn missing_evidence(holds: bool, severity: Severity) -> Verdict {
    let message = holds.then(|| "Need manual investigation".to_owned());
    Verdict { trigger: Trigger::MissingEvidence, holds, severity, reason: "a reason".into(), message }
}

fn routed() -> Policy {
    Policy::parse("channels.chat = { kind = 'slack', to = '#oncall' }\nroutes = [{ channels = ['chat'] }]").unwrap()
}

#[derive(Debug, Clone, Copy)]
enum Act {
    Holds,
    HoldsAs(Severity),
    Over,
    Acknowledge,
    Resolve,
    /// Until so many minutes from the start.
    Suppress(i64),
}

/// What becomes of an act; a refusal changes nothing.
fn act(alert: Option<&Alert>, act: Act, policy: &Policy, at: Timestamp) -> Result<AlertChange, String> {
    let severity = policy.severity(Trigger::MissingEvidence);
    let none = || "there is no alert".to_owned();
    match act {
        Act::Holds => Ok(step(alert, &missing_evidence(true, severity), KEY, policy, at)),
        Act::HoldsAs(severity) => Ok(step(alert, &missing_evidence(true, severity), KEY, policy, at)),
        Act::Over => Ok(step(alert, &missing_evidence(false, severity), KEY, policy, at)),
        Act::Acknowledge => acknowledge(alert.ok_or_else(none)?, &actor()),
        Act::Resolve => resolve(alert.ok_or_else(none)?, &actor(), at),
        Act::Suppress(until) => suppress(alert, KEY, &actor(), minute(until), at),
    }
}

#[test]
fn an_alert_lives_as_the_book_says() {
    fn check(acts: &[(i64, Act)], expected: &str) {
        let (policy, mut alert, mut story) = (routed(), None, Vec::new());
        for (at, one) in acts {
            match act(alert.as_ref(), *one, &policy, minute(*at)) {
                Ok(change) => {
                    let status = change.status.map_or("-", AlertStatus::as_str);
                    story.push(format!("{}/{status}", change.event));
                    alert = Alert::after(alert, &change, minute(*at));
                }
                Err(_) => story.push("refused".into()),
            }
        }
        assert_eq!(story.join(" "), expected, "{acts:?}");
    }
    use Act::{Acknowledge, Holds, HoldsAs, Over, Resolve, Suppress};
    check(&[(0, Over), (1, Over)], "not-fired/- not-fired/-");
    check(&[(0, Holds), (1, Holds), (9999, Holds)], "fired/open repeated/open repeated/open");
    check(&[(0, Holds), (1, Acknowledge), (2, Holds)], "fired/open acknowledged/acknowledged repeated/acknowledged");
    check(&[(0, Holds), (1, Over), (2, Over)], "fired/open cleared/resolved not-fired/resolved");
    check(&[(0, Holds), (1, Acknowledge), (2, Over)], "fired/open acknowledged/acknowledged cleared/resolved");
    // cool-down: 240 minutes after people were told
    check(
        &[(0, Holds), (1, Over), (239, Holds), (240, Holds)],
        "fired/open cleared/resolved suppressed/suppressed fired/open",
    );
    check(&[(0, Holds), (1, Over), (240, Holds)], "fired/open cleared/resolved fired/open");
    check(
        &[(0, Holds), (1, Over), (2, Holds), (3, Over), (4, Over), (240, Holds)],
        "fired/open cleared/resolved suppressed/suppressed cleared/resolved not-fired/resolved fired/open",
    );
    check(
        &[(0, Holds), (1, Resolve), (2, Holds), (240, Holds)],
        "fired/open resolved/resolved suppressed/suppressed fired/open",
    );
    // severity
    check(
        &[(0, Holds), (1, HoldsAs(Severity::High)), (2, HoldsAs(Severity::High))],
        "fired/open fired/open repeated/open",
    );
    check(
        &[(0, Holds), (1, Acknowledge), (2, HoldsAs(Severity::High))],
        "fired/open acknowledged/acknowledged fired/open",
    );
    check(&[(0, Holds), (1, HoldsAs(Severity::Low))], "fired/open repeated/open");
    check(&[(0, Holds), (1, Over), (2, HoldsAs(Severity::Critical))], "fired/open cleared/resolved fired/open");
    // suppression by hand
    check(
        &[(0, Suppress(500)), (1, Holds), (499, Holds), (500, Holds)],
        "suppressed/suppressed suppressed/suppressed suppressed/suppressed fired/open",
    );
    check(
        &[(0, Suppress(500)), (1, Over), (2, Holds), (500, Holds)],
        "suppressed/suppressed cleared/resolved suppressed/suppressed fired/open",
    );
    check(
        &[(0, Holds), (1, Suppress(500)), (2, HoldsAs(Severity::Critical)), (500, Holds)],
        "fired/open suppressed/suppressed suppressed/suppressed fired/open",
    );
    check(
        &[(0, Holds), (1, Suppress(9)), (10, Holds), (240, Holds)],
        "fired/open suppressed/suppressed suppressed/suppressed fired/open",
    );
    check(
        &[(0, Holds), (1, Resolve), (2, Suppress(300)), (250, Holds), (300, Holds)],
        "fired/open resolved/resolved suppressed/suppressed suppressed/suppressed fired/open",
    );
    // what is refused
    check(&[(0, Acknowledge), (0, Resolve)], "refused refused");
    check(&[(0, Holds), (1, Acknowledge), (2, Acknowledge)], "fired/open acknowledged/acknowledged refused");
    check(&[(0, Holds), (1, Resolve), (2, Resolve), (3, Acknowledge)], "fired/open resolved/resolved refused refused");
    check(&[(0, Suppress(5)), (1, Acknowledge), (2, Suppress(2))], "suppressed/suppressed refused refused");
    check(&[(0, Suppress(5)), (1, Resolve)], "suppressed/suppressed resolved/resolved");
}

#[test]
fn a_refusal_says_how_it_stands_and_what_can_be_done() {
    fn refusal(before: &[Act], refused: Act) -> String {
        let mut alert = None;
        for (at, one) in (0..).zip(before) {
            let change = act(alert.as_ref(), *one, &routed(), minute(at)).unwrap();
            alert = Alert::after(alert, &change, minute(at));
        }
        act(alert.as_ref(), refused, &routed(), minute(9)).unwrap_err()
    }
    use Act::{Acknowledge, Holds, Over, Resolve, Suppress};
    let refusals = [
        refusal(&[Holds, Acknowledge], Acknowledge),
        refusal(&[Holds, Suppress(60)], Acknowledge),
        refusal(&[Holds, Over], Acknowledge),
        refusal(&[Holds, Resolve], Resolve),
        refusal(&[Holds], Suppress(9)),
        suppress(None, "INC-1/x", &actor(), minute(1), minute(0)).unwrap_err(),
    ];
    insta::assert_snapshot!(refusals.join("\n"), @r#"
    INC-1001/missing-evidence/3fa9c1d2 is acknowledged already since 2026-02-02T02:41:00Z; resolve it or suppress it
    INC-1001/missing-evidence/3fa9c1d2 is suppressed until 2026-02-02T03:40:00Z; resolve it, or suppress it until another moment
    INC-1001/missing-evidence/3fa9c1d2 is resolved since 2026-02-02T02:41:00Z; only an open alert is acknowledged
    INC-1001/missing-evidence/3fa9c1d2 is resolved already since 2026-02-02T02:41:00Z; it can be suppressed
    cannot suppress until 2026-02-02T02:49:00Z, which is not after now, 2026-02-02T02:49:00Z; give a later moment
    "INC-1/x" is not the key of an alert, such as INC-1001/missing-evidence/3fa9c1d2; the triggers are missing-evidence, partial-checks, security-finding, recurring, access-issue
    "#);
}

#[test]
fn what_nobody_heard_is_told_as_soon_as_somebody_can_be() {
    let deaf = Policy::parse("channels.chat.kind = 'slack'\nroutes = [{ channels = ['chat'] }]").unwrap();
    for unheard in [Policy::default(), deaf] {
        for between in [&[][..], &[Act::Over]] {
            let mut alert = None;
            for one in [&[Act::Holds], between].concat() {
                let change = act(alert.as_ref(), one, &unheard, minute(0)).unwrap();
                alert = Alert::after(alert, &change, minute(0));
            }
            let change = act(alert.as_ref(), Act::Holds, &routed(), minute(1)).unwrap();
            assert_eq!(change.event, AlertEvent::Fired, "{between:?}");
            alert = Alert::after(alert, &change, minute(1));
            assert_eq!(act(alert.as_ref(), Act::Holds, &routed(), minute(2)).unwrap().event, AlertEvent::Repeated);
        }
    }
}

#[test]
fn a_change_keeps_what_was_told_and_to_whom() {
    let policy = routed();
    let fired = act(None, Act::Holds, &policy, minute(0)).unwrap();
    let alert = Alert::after(None, &fired, minute(0));
    assert_eq!(
        serde_json::to_value(&fired).unwrap(),
        serde_json::json!({
            "trigger": "missing-evidence", "event": "fired", "status": "open", "severity": "MEDIUM", "dedup_key": KEY,
            "reason": "a reason", "message": "Need manual investigation",
            "routes": [{ "channel": "chat", "kind": "slack", "to": "#oncall" }],
        })
    );
    // the configuration has lost its routes meanwhile
    for one in [Act::Holds, Act::Acknowledge, Act::Resolve, Act::Over, Act::Suppress(9)] {
        let change = act(alert.as_ref(), one, &Policy::default(), minute(1)).unwrap();
        assert_eq!(
            (&change.message, &change.routes, change.severity),
            (&fired.message, &fired.routes, fired.severity),
            "{one:?}"
        );
    }
    assert!(
        serde_json::from_str::<AlertChange>(&serde_json::to_string(&fired).unwrap().replace("event", "evnt")).is_err()
    );
}

#[test]
fn the_key_of_an_alert_is_stable_and_can_be_read_back() {
    let hash = "3fa9c1d2".to_owned() + &"0".repeat(56);
    for (ordinal, trigger) in (1..).zip(Trigger::ALL) {
        let incident_id = IncidentId::from_ordinal(ordinal);
        assert_eq!(parse_dedup_key(&dedup_key(incident_id, *trigger, &hash)), Ok((incident_id, *trigger)));
    }
    assert_eq!(dedup_key(IncidentId::from_ordinal(1), Trigger::MissingEvidence, &hash), KEY);
    for text in [
        "",
        "INC-1001",
        "INC-1001/missing-evidence",
        "inc-1001/missing-evidence/3fa9c1d2",
        "INC-1001/other/3fa9c1d2",
        "INC-1001/missing-evidence/3FA9C1D2",
        "INC-1001/missing-evidence/3fa9c1d",
        "INC-1001/missing-evidence/3fa9c1d2/x",
        "1001/missing-evidence/3fa9c1d2",
        "INC-01001/missing-evidence/3fa9c1d2",
        "INC-1001/missing-evidence/3fa9c1d2\u{1b}[2J",
    ] {
        let error = parse_dedup_key(text).unwrap_err();
        assert!(error.contains("INC-1001/missing-evidence/3fa9c1d2") && !error.contains('\u{1b}'), "{error}");
    }
}

fn any_act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => Just(Act::Holds),
        1 => proptest::sample::select(Severity::ALL).prop_map(Act::HoldsAs),
        2 => Just(Act::Over),
        1 => Just(Act::Acknowledge),
        1 => Just(Act::Resolve),
        1 => (0i64..2000).prop_map(Act::Suppress),
    ]
}

proptest! {
    #[test]
    fn any_life_is_consistent_and_can_be_replayed(acts in vec((0i64..200, any_act()), 0..40), cool_down in 0u32..400) {
        let mut policy = routed();
        policy.escalation.missing_evidence.cool_down_minutes = cool_down;
        let (mut now, mut alert, mut log) = (0, None::<Alert>, Vec::new());
        let mut told: Option<(i64, Severity)> = None;
        for (pause, one) in acts {
            now += pause;
            let Ok(change) = act(alert.as_ref(), one, &policy, minute(now)) else { continue };
            prop_assert_eq!(&change.dedup_key, KEY);
            let quiet = alert.as_ref().and_then(|alert| alert.quiet_until).filter(|until| *until > minute(now));
            if change.event == AlertEvent::Fired {
                let severity = change.severity.unwrap();
                prop_assert!(quiet.is_none(), "told although suppressed until {quiet:?}");
                if let Some((last, before)) = told {
                    prop_assert!(now - last >= i64::from(cool_down) || severity > before, "told twice: {last} and {now}");
                }
                told = Some((now, severity));
            }
            alert = Alert::after(alert, &change, minute(now));
            log.push((serde_json::to_string(&change).unwrap(), now));
            let Some(alert) = &alert else {
                prop_assert_eq!(change.event, AlertEvent::NotFired);
                continue;
            };
            prop_assert_eq!(change.status, Some(alert.status));
            prop_assert_eq!(alert.last_told, told.map(|(at, _)| minute(at)));
            prop_assert_eq!(alert.severity, told.map(|(_, severity)| severity));
            prop_assert_eq!(alert.acknowledged_at.is_some(), alert.status == AlertStatus::Acknowledged);
            prop_assert_eq!(alert.resolved_at.is_some(), alert.status == AlertStatus::Resolved);
            match alert.status {
                AlertStatus::Open | AlertStatus::Acknowledged => prop_assert!(alert.last_told.is_some()),
                AlertStatus::Suppressed => prop_assert!(alert.quiet_until.is_some_and(|until| until > minute(now))),
                AlertStatus::Resolved => {}
            }
        }
        let replayed = log.iter().fold(None, |alert, (json, at)| {
            Alert::after(alert, &serde_json::from_str(json).unwrap(), minute(*at))
        });
        prop_assert_eq!(replayed, alert);
    }

    #[test]
    fn what_holds_for_ever_is_told_in_the_end(acts in vec((0i64..200, any_act()), 0..20)) {
        let policy = routed();
        let (mut now, mut alert) = (0, None::<Alert>);
        for (pause, one) in acts {
            now += pause;
            if let Ok(change) = act(alert.as_ref(), one, &policy, minute(now)) {
                alert = Alert::after(alert, &change, minute(now));
            }
        }
        // past every suppression and cool-down
        let change = act(alert.as_ref(), Act::Holds, &policy, minute(now + 10_000)).unwrap();
        let alert = Alert::after(alert, &change, minute(now + 10_000)).unwrap();
        prop_assert!(alert.last_told.is_some());
        prop_assert!(matches!(alert.status, AlertStatus::Open | AlertStatus::Acknowledged));
    }
}
