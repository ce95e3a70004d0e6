use proptest::{collection::vec, prelude::*, sample::select};
use serde_json::json;

use super::{plan::*, *};
use crate::domain::{
    compliance::rule::GapEvent, ids::Id, problems::parse_report, redact::Redactor, remediation::RemediationKind,
    report::Workspace,
};

const PRINCIPAL: &str = "0f8fad5b-d9cb-469f-a165-70867728950e";

fn now() -> Timestamp {
    "2026-11-24T12:00:00Z".parse().unwrap()
}

fn object(value: Value) -> Map<String, Value> {
    serde_json::from_value(value).unwrap()
}

/// Returns the finding of a rule under the default configuration.
fn finding(rule: JobRule, settings: Value) -> RuleFinding {
    under(rule, settings, &switched_on())
}

fn switched_on() -> CompliancePolicy {
    let toml = "[comply.duration-warning]\nenabled = true";
    crate::domain::policy::Policy::parse(toml).unwrap().comply
}

fn under(rule: JobRule, settings: Value, comply: &CompliancePolicy) -> RuleFinding {
    let settings = object(settings);
    let clusters = [("known".to_owned(), object(json!({ "spark_version": "10.4.x-scala2.12" })))].into();
    let subject = CheckedJob {
        id: 7,
        settings: &settings,
        run_as: Some(PRINCIPAL),
        creator: Some("ada@example.test"),
        clusters: &clusters,
    };
    evaluate(&subject, comply, now()).into_iter().find(|finding| finding.rule == rule).unwrap()
}

#[track_caller]
fn check(rule: JobRule, settings: Value, status: CheckStatus, text: &str) {
    let finding = finding(rule, settings.clone());
    assert_eq!(finding.status, status, "{settings}: {}", finding.text);
    assert!(finding.text.contains(text), "{settings}: {}", finding.text);
}

const PASS: CheckStatus = CheckStatus::Pass;
const FAIL: CheckStatus = CheckStatus::Fail;
const PARTIAL: CheckStatus = CheckStatus::Partial;

#[test]
fn every_task_of_a_job_that_starts_automatically_needs_a_retry_policy() {
    let of = |start: Value, tasks: Value| {
        let mut settings = object(start);
        settings.insert("tasks".into(), tasks);
        Value::Object(settings)
    };
    let rule = JobRule::Retries;
    let schedule = || json!({ "schedule": { "pause_status": "UNPAUSED" } });
    check(rule, of(schedule(), json!([{ "task_key": "a" }])), FAIL, "1 of 1 task without retry policy: \"a\"");
    check(rule, of(schedule(), json!([{ "task_key": "a", "max_retries": 0 }])), FAIL, "\"a\"");
    check(rule, of(schedule(), json!([{ "task_key": "a", "max_retries": null }])), FAIL, "\"a\"");
    check(rule, of(schedule(), json!([{ "task_key": "a", "max_retries": 1 }])), PASS, "1 task");
    check(rule, of(schedule(), json!([{ "task_key": "a", "max_retries": -1 }])), PASS, "1 task");
    check(rule, of(json!({ "trigger": { "file_arrival": {} } }), json!([{ "task_key": "a" }])), FAIL, "\"a\"");
    check(
        rule,
        of(json!({ "triggers": [{ "pause_status": "PAUSED" }, {}] }), json!([{ "task_key": "a" }])),
        FAIL,
        "\"a\"",
    );
    check(rule, of(json!({ "schedule": { "pause_status": "PAUSED" } }), json!([{ "task_key": "a" }])), PASS, "paused");
    check(rule, of(json!({ "continuous": {} }), json!([{ "task_key": "a" }])), PASS, "continuous");
    check(rule, of(json!({}), json!([{ "task_key": "a" }])), PASS, "on demand");
    // A condition is not tried again, and neither is what is switched off; of a loop its task counts.
    check(rule, of(schedule(), json!([{ "task_key": "a", "condition_task": {} }])), PASS, "0 tasks");
    check(rule, of(schedule(), json!([{ "task_key": "a", "disabled": true }])), PASS, "0 tasks");
    let a_loop = |retries: i64| json!([{ "task_key": "a", "for_each_task": { "task": { "max_retries": retries } } }]);
    check(rule, of(schedule(), a_loop(0)), FAIL, "\"a\"");
    check(rule, of(schedule(), a_loop(2)), PASS, "1 task");
    // Settings with an unexpected format never pass.
    check(rule, of(schedule(), json!([{ "task_key": "a", "max_retries": "3" }])), PARTIAL, "max_retries of task \"a\"");
    check(rule, of(schedule(), json!([{ "max_retries": 3 }])), PARTIAL, "1 of 1 task with unexpected settings");
    check(rule, of(schedule(), json!([{ "task_key": "b" }, 7])), FAIL, "1 of 2 tasks with unexpected settings");
    check(rule, of(schedule(), json!({})), PARTIAL, "not a list");
    check(rule, schedule(), PARTIAL, "its tasks are unknown");
    check(rule, of(json!({ "schedule": "daily" }), json!([{ "task_key": "a" }])), PARTIAL, "schedule or trigger");
}

#[test]
fn unlimited_retries_fail() {
    let rule = JobRule::BoundedRetries;
    check(
        rule,
        json!({ "tasks": [{ "task_key": "a", "max_retries": -1 }] }),
        FAIL,
        "with unlimited retries (max_retries -1): \"a\"",
    );
    check(rule, json!({ "tasks": [{ "task_key": "a", "max_retries": 9 }, { "task_key": "b" }] }), PASS, "2 tasks");
}

#[test]
fn every_run_needs_a_timeout() {
    let rule = JobRule::Timeout;
    check(rule, json!({ "timeout_seconds": 60, "tasks": [{ "task_key": "a" }] }), PASS, "60 s");
    check(rule, json!({ "timeout_seconds": 0, "tasks": [{ "task_key": "a" }] }), FAIL, "\"a\"");
    let tasks = json!([{ "task_key": "a", "timeout_seconds": 5 }, { "task_key": "b" }]);
    check(rule, json!({ "tasks": tasks }), FAIL, "1 of 2 tasks have none: \"b\"");
    check(rule, json!({ "tasks": [{ "task_key": "a", "timeout_seconds": 5 }] }), PASS, "every task");
    check(rule, json!({ "continuous": {}, "tasks": [{ "task_key": "a" }] }), PASS, "continuous");
    check(rule, json!({ "timeout_seconds": "1h", "tasks": [{ "task_key": "a" }] }), PARTIAL, "not a number");
    check(rule, json!({}), PARTIAL, "its tasks are unknown");
}

#[test]
fn runs_need_a_queue() {
    let rule = JobRule::Queue;
    check(rule, json!({ "queue": { "enabled": true } }), PASS, "enabled");
    check(rule, json!({ "queue": { "enabled": false } }), FAIL, "not enabled");
    check(rule, json!({ "queue": {} }), FAIL, "not enabled");
    check(rule, json!({}), FAIL, "not enabled");
    check(rule, json!({ "queue": { "enabled": "yes" } }), PARTIAL, "neither true nor false");
    check(rule, json!({ "queue": [] }), PARTIAL, "not an object");
}

#[test]
fn failures_and_long_runs_need_a_notification() {
    let rule = JobRule::FailureNotification;
    check(rule, json!({ "email_notifications": { "on_failure": ["a@example.test"] } }), PASS, "1 recipient");
    check(
        rule,
        json!({ "webhook_notifications": { "on_failure": [{ "id": "1" }, { "id": "2" }] } }),
        PASS,
        "2 recipients",
    );
    check(rule, json!({ "email_notifications": { "on_success": ["a@example.test"] } }), FAIL, "sends no");
    check(rule, json!({ "email_notifications": null }), FAIL, "sends no");
    check(rule, json!({ "email_notifications": "a@example.test" }), PARTIAL, "e-mail");
    let rule = JobRule::DurationWarning;
    check(
        rule,
        json!({ "health": { "rules": [{ "metric": "RUN_DURATION_SECONDS" }] } }),
        PASS,
        "checks the run duration",
    );
    check(rule, json!({ "health": { "rules": [{ "metric": "STREAMING_BACKLOG_BYTES" }, 7] } }), FAIL, "no health rule");
    check(rule, json!({ "health": { "rules": {} } }), PARTIAL, "not a list");
}

#[test]
fn the_job_needs_a_service_principal_and_shared_code() {
    fn check_as(run_as: Option<&str>, settings: Value, status: CheckStatus) {
        let settings = object(settings);
        let subject = CheckedJob { id: 7, settings: &settings, run_as, creator: None, clusters: &BTreeMap::new() };
        let findings = evaluate(&subject, &CompliancePolicy::default(), now());
        let finding = findings.into_iter().find(|finding| finding.rule == JobRule::RunAs).unwrap();
        assert_eq!(finding.status, status, "{run_as:?} {settings:?}: {}", finding.text);
    }
    check_as(Some(PRINCIPAL), json!({}), PASS);
    check_as(Some("ada@example.test"), json!({}), FAIL);
    check_as(Some("ada@example.test"), json!({ "run_as": { "service_principal_name": PRINCIPAL } }), PASS);
    check_as(Some(PRINCIPAL), json!({ "run_as": { "user_name": "ada@example.test" } }), FAIL);
    check_as(None, json!({}), PARTIAL);
    check_as(Some(PRINCIPAL), json!({ "run_as": "me" }), PARTIAL);
    let rule = JobRule::SharedCode;
    let notebook = |path: &str| json!({ "tasks": [{ "task_key": "a", "notebook_task": { "notebook_path": path } }] });
    check(rule, notebook("/Users/ada@example.test/etl"), FAIL, "\"a\"");
    check(rule, notebook("/Workspace/Users/ada@example.test/etl"), FAIL, "\"a\"");
    check(rule, notebook(&format!("/Workspace/Users/{PRINCIPAL}/.bundle/etl")), PASS, "no task");
    check(rule, notebook("/Shared/etl"), PASS, "no task");
    let mut from_git = notebook("/Users/ada@example.test/etl");
    from_git["git_source"] = json!({});
    check(rule, from_git, PASS, "no task");
}

#[test]
fn the_job_needs_job_compute_a_policy_and_a_supported_runtime() {
    let on = |cluster: Value| json!({ "tasks": [{ "task_key": "a", "new_cluster": cluster }] });
    let shared = |id: &str| json!({ "tasks": [{ "task_key": "a", "existing_cluster_id": id }] });
    let serverless = json!({ "tasks": [{ "task_key": "a", "environment_key": "default" }] });
    check(JobRule::JobCompute, serverless.clone(), PASS, "no task");
    check(JobRule::JobCompute, shared("known"), FAIL, "1 of 1 task on an all-purpose cluster: \"a\"");
    check(JobRule::ClusterPolicy, serverless.clone(), PASS, "creates no clusters");
    check(JobRule::ClusterPolicy, on(json!({ "policy_id": "P" })), PASS, "1 cluster");
    check(JobRule::ClusterPolicy, on(json!({})), FAIL, "of task \"a\"");
    check(
        JobRule::ClusterPolicy,
        json!({ "job_clusters": [7], "tasks": [{ "task_key": "a" }] }),
        PARTIAL,
        "unexpected settings",
    );
    let rule = JobRule::Runtime;
    check(rule, serverless, PASS, "the platform chooses");
    for (version, status, text) in [
        ("16.4.x-scala2.12", PASS, "1 cluster"),
        ("14.3.x-photon-scala2.12", PASS, "1 cluster"),
        ("13.3.x-scala2.12", FAIL, "until 2026-08-22"),
        ("12.2.x-cpu-ml-scala2.12", FAIL, "until 2026-03-01"),
        ("15.1.x-scala2.12", FAIL, "until before 2026-07-01"),
        ("7.3.x-scala2.12", FAIL, "until before 2026-07-01"),
        ("18.x-scala2.13", PASS, "1 cluster"),
        ("18.2.x-scala2.13", PASS, "1 cluster"),
        ("19.x-scala2.13", PASS, "1 cluster"),
        ("20.1.x-scala2.13", PARTIAL, "is not known"),
        ("custom:my-image", PARTIAL, "is not known"),
        ("", PARTIAL, "is unknown"),
    ] {
        check(rule, on(json!({ "spark_version": version })), status, text);
    }
    check(rule, shared("known"), FAIL, "all-purpose \"known\" (\"10.4.x-scala2.12\" until 2025-03-18)");
    check(rule, shared("unknown"), PARTIAL, "could not be read");
    let ahead = crate::domain::policy::Policy::parse("[comply.runtime]\ndays_ahead = 90").unwrap().comply;
    assert_eq!(under(rule, on(json!({ "spark_version": "14.3.x-scala2.12" })), &ahead).status, FAIL);
}

fn planned(
    subject: &CheckedJob<'_>,
    comply: &CompliancePolicy,
    recorded: &RecordedJob,
) -> (Vec<RuleFinding>, Option<CompliancePlan>) {
    let findings = evaluate(subject, comply, now());
    let workspace = Workspace { id: Id::new("1").unwrap(), url: Some("https://example.test".into()) };
    let context = PlanContext { workspace: &workspace, based_on: 0, comply, now: now() };
    let plan = plan(subject, &findings, recorded, context).unwrap();
    (findings, plan)
}

fn report_of(plan: &CompliancePlan) -> &crate::domain::report::Report {
    match &plan.requests[0].1 {
        crate::domain::entry::Request::RecordReport(report) => report,
        other => panic!("{other:?}"),
    }
}

#[test]
fn steps_that_change_one_task_follow_each_other() {
    let settings = object(json!({
        "schedule": {}, "timeout_seconds": 5, "queue": { "enabled": true },
        "email_notifications": { "on_failure": ["a@example.test"] },
        "tasks": [
            { "task_key": "a", "existing_cluster_id": "known" },
            { "task_key": "b", "max_retries": -1 },
            { "task_key": "c", "existing_cluster_id": "known", "max_retries": 0 },
        ],
    }));
    let clusters = [(
        "known".to_owned(),
        object(json!({ "spark_version": "12.2.x-scala2.12", "policy_id": "P", "cluster_id": "known" })),
    )]
    .into();
    let subject =
        CheckedJob { id: 7, settings: &settings, run_as: Some(PRINCIPAL), creator: None, clusters: &clusters };
    let (_, plan) = planned(&subject, &CompliancePolicy::default(), &RecordedJob::default());
    let plan = plan.unwrap();
    let steps = &report_of(&plan).remediation;
    let mut job = settings.clone();
    for step in steps {
        assert_eq!(step.kind, RemediationKind::JobSettings, "{}", step.title);
        // A step captures the settings as the previous steps leave them.
        for (name, captured) in step.captured_settings.as_ref().unwrap() {
            assert_eq!(job.get(name), Some(captured), "{}", step.title);
        }
        let of_task = |name: &str| !crate::domain::settings::is_of_job(name) && !step.task_keys.is_empty();
        let (task, fields) = step.changes.clone().into_iter().partition(|(name, _)| of_task(name));
        job = SettingChange { task_keys: step.task_keys.clone(), task, fields }.applied_to(&job);
    }
    let subject = CheckedJob { settings: &job, ..subject };
    let after = evaluate(&subject, &CompliancePolicy::default(), now());
    assert!(after.iter().all(|finding| finding.status == PASS), "{after:#?}");
}

#[test]
fn unchanged_results_are_not_recorded() {
    let settings = object(json!({ "tasks": [{ "task_key": "a" }] }));
    let subject = CheckedJob { id: 7, settings: &settings, run_as: None, creator: None, clusters: &BTreeMap::new() };
    let (findings, plan) = planned(&subject, &CompliancePolicy::default(), &RecordedJob::default());
    assert_eq!(plan.unwrap().event, GapEvent::Opened);
    let checks = findings.iter().map(|finding| RecordedCheck {
        category: finding.rule.category().into(),
        name: finding.rule.as_str().into(),
        status: finding.status,
        severity: Some(finding.severity),
        finding: Some(finding.text.clone()),
        last_failed: None,
    });
    let id = "INC-1001".parse().unwrap();
    let gap = Some(GapIncident { id, status: crate::domain::incident::classification::Status::Escalated, closed: 0 });
    let recorded = RecordedJob { seq: 3, checks: checks.collect(), gap };
    assert_eq!(planned(&subject, &CompliancePolicy::default(), &recorded).1, None);
}

#[test]
fn an_unknown_result_of_a_failed_rule_does_not_close_the_incident() {
    let settings = object(json!({ "queue": "?" }));
    let subject = CheckedJob { id: 7, settings: &settings, run_as: None, creator: None, clusters: &BTreeMap::new() };
    let only_queue = crate::domain::policy::Policy::parse(
        &JobRule::ALL
            .iter()
            .filter(|rule| **rule != JobRule::Queue)
            .map(|rule| format!("[comply.{rule}]\nenabled = false\n"))
            .collect::<String>(),
    )
    .unwrap()
    .comply;
    let before = RecordedCheck {
        category: "Reliability".into(),
        name: "queue".into(),
        status: FAIL,
        severity: Some(Severity::Low),
        finding: Some("queueing is not enabled".into()),
        last_failed: Some(3),
    };
    let id = "INC-1001".parse().unwrap();
    let gap =
        Some(GapIncident { id, status: crate::domain::incident::classification::Status::Investigating, closed: 0 });
    let recorded = RecordedJob { seq: 3, checks: vec![before], gap };
    let (_, plan) = planned(&subject, &only_queue, &recorded);
    let plan = plan.unwrap();
    assert_eq!((plan.event, plan.requests.len()), (GapEvent::Changed, 1));
}

#[test]
fn ten_thousand_tasks_fit_into_a_report() {
    let tasks: Vec<Value> = (0..10_000)
        .map(|n| json!({ "task_key": format!("task number {n}"), "existing_cluster_id": "known", "new_cluster": { "spark_version": "9.1.x", "n": n, "custom_tags": { "a": "b".repeat(200) } } }))
        .collect();
    let settings = object(json!({ "schedule": {}, "tasks": tasks }));
    let clusters = [("known".to_owned(), object(json!({ "spark_version": "12.2.x" })))].into();
    let subject = CheckedJob { id: 7, settings: &settings, run_as: None, creator: None, clusters: &clusters };
    let (_, plan) = planned(&subject, &CompliancePolicy::default(), &RecordedJob::default());
    let bytes = serde_json::to_vec(report_of(&plan.unwrap())).unwrap();
    parse_report(&bytes, &Redactor::default(), now()).unwrap();
}

/// Settings with the names that the rules read and unexpected values.
fn any_settings() -> impl Strategy<Value = Value> {
    let names = select(vec![
        "tasks",
        "task_key",
        "max_retries",
        "timeout_seconds",
        "schedule",
        "trigger",
        "triggers",
        "continuous",
        "pause_status",
        "queue",
        "enabled",
        "email_notifications",
        "webhook_notifications",
        "on_failure",
        "health",
        "rules",
        "metric",
        "run_as",
        "service_principal_name",
        "user_name",
        "notebook_task",
        "notebook_path",
        "source",
        "git_source",
        "job_clusters",
        "job_cluster_key",
        "new_cluster",
        "existing_cluster_id",
        "spark_version",
        "policy_id",
        "for_each_task",
        "task",
        "name",
        "tags",
        "condition_task",
        "disabled",
        "deployment",
        "kind",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
        select(vec!["known", "PAUSED", "16.4.x", "12.2.x-scala", "/Users/a/b", "", "RUN_DURATION_SECONDS"])
            .prop_map(Value::from),
    ];
    let value = leaf.prop_recursive(5, 60, 6, move |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::Array),
            vec((names.clone(), inner), 0..6).prop_map(|entries| Value::Object(
                entries.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
            )),
        ]
    });
    value.prop_filter("settings are an object", Value::is_object)
}

proptest! {
    #[test]
    fn any_settings_are_evaluated_and_the_findings_can_be_recorded(settings in any_settings(), run_as in "\\PC{0,8}") {
        let settings = object(settings);
        let clusters = [("known".to_owned(), object(json!({ "spark_version": "12.2.x" })))].into();
        let subject = CheckedJob { id: 7, settings: &settings, run_as: Some(&run_as), creator: Some(&run_as), clusters: &clusters };
        let comply = switched_on();
        let (findings, plan) = planned(&subject, &comply, &RecordedJob::default());
        prop_assert_eq!(findings.len(), JobRule::ALL.len());
        let plan = plan.unwrap();
        if plan.event == GapEvent::Opened {
            let bytes = serde_json::to_vec(report_of(&plan)).unwrap();
            prop_assert!(parse_report(&bytes, &Redactor::default(), now()).is_ok());
        }
    }
}
