//! The resources as the Databricks CLI resolves them: what a team may rely on.

use std::fs;

use ops_runbook::domain::policy::Policy;
use serde_json::{Map, Value, json};

use super::{
    ROOT,
    workspace::{TARGETS, resources},
};

fn jobs(resources: &Value) -> &Map<String, Value> {
    resources["jobs"].as_object().unwrap()
}

fn tasks(job: &Value) -> &Vec<Value> {
    job["tasks"].as_array().unwrap()
}

fn texts(values: &Value) -> Vec<&str> {
    values.as_array().unwrap().iter().map(|value| value.as_str().unwrap()).collect()
}

/// What a task hands to the binary.
fn command_line(task: &Value) -> Vec<&str> {
    let parameters = texts(&task["spark_python_task"]["parameters"]);
    let end = parameters.iter().position(|parameter| *parameter == "--").unwrap();
    parameters[end + 1..].to_vec()
}

#[test]
fn every_job_is_given_up_some_time_and_somebody_is_told() {
    for (name, job) in jobs(&resources("prod", &[])) {
        assert_eq!(job["max_concurrent_runs"], 1, "{name}");
        assert_eq!(job["queue"]["enabled"], true, "{name}");
        assert_eq!(texts(&job["email_notifications"]["on_failure"]), ["data-oncall@example.test"], "{name}");
        let seconds = job["timeout_seconds"].as_u64().unwrap();
        // Nothing piles up in the queue: a run ends before the next one begins.
        match name.as_str() {
            "deliver" => assert!(seconds < 5 * 60),
            "sweep" | "tables" => assert!(seconds < 15 * 60),
            "recurrence" => assert!(seconds < 60 * 60),
            _ => assert!(seconds <= 4 * 60 * 60, "{name}"),
        }
        for task in tasks(job) {
            let key = &task["task_key"];
            assert!(task["max_retries"].is_u64(), "{name}.{key}");
            // Serverless compute would retry on its own what must not be retried.
            assert_eq!(task["disable_auto_optimization"], true, "{name}.{key}");
            assert_eq!(task["environment_key"], job["environments"][0]["environment_key"], "{name}.{key}");
            // Of one that could not tell somebody, the next run is the retry: it has to be red.
            if name == "deliver" {
                assert_eq!(task["max_retries"], 0);
            } else if job.get("schedule").or(job.get("trigger")).is_some() {
                assert!(task["max_retries"].as_u64().unwrap() >= 1, "{name}.{key}");
                assert!(task["min_retry_interval_millis"].as_u64().unwrap() >= 60_000, "{name}.{key}");
            }
        }
    }
}

#[test]
fn jobs_run_when_they_should() {
    let prod = resources("prod", &[]);
    let mut schedules: Vec<(&str, &str)> = jobs(&prod)
        .iter()
        .filter_map(|(name, job)| Some((name.as_str(), job["schedule"]["quartz_cron_expression"].as_str()?)))
        .collect();
    schedules.sort_unstable();
    assert_eq!(
        schedules,
        [
            ("audit", "0 0 4 * * ?"),
            ("compliance", "0 30 5 * * ?"),
            ("deliver", "0 0/5 * * * ?"),
            ("digest", "0 0 7 ? * MON"),
            ("maintenance", "0 0 3 * * ?"),
            ("recurrence", "0 7 * * * ?"),
            ("sweep", "0 0/15 * * * ?"),
            ("tables", "0 5/15 * * * ?"),
        ]
    );
    let triggers: Vec<(&str, &Value)> = jobs(&prod)
        .iter()
        .filter_map(|(name, job)| Some((name.as_str(), &job.get("trigger")?["file_arrival"]["url"])))
        .collect();
    assert_eq!(triggers, [("ingest", &json!("/Volumes/main/ops/inbox/"))]);
    let berlin = resources("prod", &[("time_zone", "Europe/Berlin")]);
    let digest = &berlin["jobs"]["digest"];
    assert_eq!(digest["schedule"]["timezone_id"], "Europe/Berlin");
    let task = tasks(digest).iter().find(|task| task["task_key"] == "digest").unwrap();
    assert_eq!(command_line(task)[..3], ["digest", "--tz", "Europe/Berlin"]);
}

#[test]
fn only_prod_keeps_what_holds_data() {
    for target in TARGETS {
        let resources = resources(target, &[]);
        for (kind, key) in
            [("schemas", "ops"), ("volumes", "inbox"), ("volumes", "digests"), ("secret_scopes", "secrets")]
        {
            let is_kept = resources[kind][key]["lifecycle"]["prevent_destroy"] == true;
            assert_eq!(is_kept, target == "prod", "{target}: {kind}.{key}");
        }
    }
}

/// The patterns of the secrets that something is handed.
fn secrets<'a>(parameters: &[&'a str]) -> Vec<&'a str> {
    let at = parameters.iter().position(|parameter| *parameter == "--secrets").unwrap();
    parameters[at + 1].split(',').collect()
}

#[test]
fn only_the_job_that_notifies_gets_the_secrets_of_channels() {
    let prod = resources("prod", &[]);
    for (name, job) in jobs(&prod) {
        for task in tasks(job) {
            let patterns = secrets(&texts(&task["spark_python_task"]["parameters"]));
            let more: Vec<&str> = patterns.into_iter().skip_while(|pattern| *pattern != "CHANNEL_*").collect();
            let expected: &[&str] =
                if name == "deliver" { &["CHANNEL_*", "SMTP_PASSWORD", "OPS_RUNBOOK_HEARTBEAT"] } else { &[] };
            assert_eq!(more, expected, "{name}");
        }
    }
    let app = texts(&prod["apps"]["mcp"]["config"]["command"]);
    assert!(!app.contains(&"--scope"), "the app cannot read the scope of the jobs");
}

/// What stands commented out in the configuration that is deployed is a configuration that reaches somebody.
#[test]
fn the_deployed_configuration_shows_how_people_are_told() {
    let text = fs::read_to_string(format!("{ROOT}/bundle/ops-runbook.toml")).unwrap();
    let policy = Policy::parse(&text).unwrap();
    assert!(policy.channels.is_empty());
    let (_, shown) = text.split_once("\n# [channels.").unwrap();
    let shown: Vec<&str> = shown.lines().map(|line| line.strip_prefix('#').unwrap_or(line)).collect();
    let shown = Policy::parse(&format!("[channels.{}", shown.join("\n"))).unwrap();
    assert_eq!((shown.gaps(), shown.unreachable()), (vec![], vec![]));
    assert_eq!(shown.digest.channels.len(), 1);
    let secrets = texts_of_secrets(&shown);
    assert!(secrets.len() == 2 && secrets.iter().all(|secret| secret.starts_with("env:CHANNEL_")), "{secrets:?}");
}

fn texts_of_secrets(policy: &Policy) -> Vec<String> {
    policy.channels.values().filter_map(|channel| Some(channel.reach.secret.as_ref()?.to_string())).collect()
}

#[test]
fn copies_for_development_share_no_place_with_prod() {
    for (target, scope, lake) in
        [("dev", "ops-runbook-dev-tester", "uc://main.dev_tester_ops"), ("prod", "ops-runbook", "uc://main.ops")]
    {
        let resources = resources(target, &[]);
        assert_eq!(resources["secret_scopes"]["secrets"]["name"], scope);
        for (_, job) in jobs(&resources) {
            for task in tasks(job) {
                let arguments = command_line(task);
                let at = arguments.iter().position(|argument| *argument == "--lake").unwrap();
                assert_eq!(arguments[at + 1], lake);
            }
        }
    }
}
