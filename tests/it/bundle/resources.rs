//! Tests of the resources as the Databricks CLI resolves them.

use std::fs;

use ops_runbook::domain::policy::Policy;
use serde_json::{Map, Value, json};
use tempfile::tempdir;

use super::{
    ROOT,
    workspace::{TARGETS, Workspace, resources},
};
use crate::support::{binary, finish};

fn jobs(resources: &Value) -> &Map<String, Value> {
    resources["jobs"].as_object().unwrap()
}

fn tasks(job: &Value) -> &Vec<Value> {
    job["tasks"].as_array().unwrap()
}

fn texts(values: &Value) -> Vec<&str> {
    values.as_array().unwrap().iter().map(|value| value.as_str().unwrap()).collect()
}

/// Returns the arguments of the binary in a task.
fn command_line(task: &Value) -> Vec<&str> {
    let parameters = texts(&task["spark_python_task"]["parameters"]);
    let end = parameters.iter().position(|parameter| *parameter == "--").unwrap();
    parameters[end + 1..].to_vec()
}

#[test]
fn every_job_has_a_timeout_and_an_email_address_for_failures() {
    for (name, job) in jobs(&resources("prod", &[])) {
        assert_eq!(job["max_concurrent_runs"], 1, "{name}");
        assert_eq!(job["queue"]["enabled"], true, "{name}");
        assert_eq!(texts(&job["email_notifications"]["on_failure"]), ["data-oncall@example.test"], "{name}");
        let seconds = job["timeout_seconds"].as_u64().unwrap();
        // A run ends before the next one begins, so the queue does not grow.
        match name.as_str() {
            "notifications" => assert!(seconds < 5 * 60),
            "sweep" | "tables" => assert!(seconds < 15 * 60),
            "recurrence" => assert!(seconds < 60 * 60),
            _ => assert!(seconds <= 4 * 60 * 60, "{name}"),
        }
        for task in tasks(job) {
            let key = &task["task_key"];
            assert!(task["max_retries"].is_u64(), "{name}.{key}");
            // Otherwise serverless compute would retry tasks that must not be retried.
            assert_eq!(task["disable_auto_optimization"], true, "{name}.{key}");
            assert_eq!(task["environment_key"], job["environments"][0]["environment_key"], "{name}.{key}");
            // A run with a failed notification must fail: the next run is its retry.
            if name == "notifications" {
                assert_eq!(task["max_retries"], 0);
            } else if job.get("schedule").or(job.get("trigger")).is_some() {
                assert!(task["max_retries"].as_u64().unwrap() >= 1, "{name}.{key}");
                assert!(task["min_retry_interval_millis"].as_u64().unwrap() >= 60_000, "{name}.{key}");
            }
        }
    }
}

#[test]
fn jobs_have_the_documented_schedules() {
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
            ("digest", "0 0 7 ? * MON"),
            ("maintenance", "0 0 3 * * ?"),
            ("notifications", "0 0/5 * * * ?"),
            ("recurrence", "0 7 * * * ?"),
            ("sweep", "0 0/15 * * * ?"),
            ("tables", "0 5/15 * * * ?"),
        ]
    );
    let triggers: Vec<(&str, &Value)> = jobs(&prod)
        .iter()
        .filter_map(|(name, job)| Some((name.as_str(), &job.get("trigger")?["file_arrival"]["url"])))
        .collect();
    assert_eq!(triggers, [("ingest", &json!("/Volumes/main/ops/inbox/incoming/"))]);
    let berlin = resources("prod", &[("time_zone", "Europe/Berlin")]);
    let digest = &berlin["jobs"]["digest"];
    let task = tasks(digest).iter().find(|task| task["task_key"] == "digest").unwrap();
    assert_eq!(digest["schedule"]["timezone_id"], "Europe/Berlin");
    assert_eq!(command_line(task)[..3], ["digest", "--tz", "Europe/Berlin"]);
}

#[test]
fn only_prod_prevents_the_deletion_of_data() {
    for target in TARGETS {
        let resources = resources(target, &[]);
        for (kind, key) in [
            ("schemas", "ops"),
            ("volumes", "inbox"),
            ("volumes", "digests"),
            ("volumes", "lake"),
            ("secret_scopes", "secrets"),
        ] {
            let is_kept = resources[kind][key]["lifecycle"]["prevent_destroy"] == true;
            assert_eq!(is_kept, target == "prod", "{target}: {kind}.{key}");
        }
    }
}

/// Returns the patterns after `--secrets`.
fn secrets<'a>(parameters: &[&'a str]) -> Vec<&'a str> {
    let at = parameters.iter().position(|parameter| *parameter == "--secrets").unwrap();
    parameters[at + 1].split(',').collect()
}

#[test]
fn only_the_job_notifications_gets_the_secrets_of_channels() {
    let prod = resources("prod", &[]);
    for (name, job) in jobs(&prod) {
        for task in tasks(job) {
            let patterns = secrets(&texts(&task["spark_python_task"]["parameters"]));
            let more: Vec<&str> = patterns.into_iter().skip_while(|pattern| *pattern != "CHANNEL_*").collect();
            let expected: &[&str] =
                if name == "notifications" { &["CHANNEL_*", "SMTP_PASSWORD", "OPS_RUNBOOK_HEARTBEAT"] } else { &[] };
            assert_eq!(more, expected, "{name}");
        }
    }
    let app = texts(&prod["apps"]["mcp"]["config"]["command"]);
    assert!(!app.contains(&"--scope"), "the app cannot read the scope of the jobs");
}

/// The commented-out part of the deployed configuration is a valid configuration with channels and routes.
#[test]
fn the_deployed_configuration_shows_channels_and_routes() {
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
    policy.channels.values().filter_map(|channel| Some(channel.connection.secret.as_ref()?.to_string())).collect()
}

/// Returns the result of `compliance check` on a new deployment, with the given options.
fn compliance_check(workspace: &Workspace, arguments: &[&str]) -> Value {
    let folder = tempdir().unwrap();
    let mut command = binary(&folder.path().join("lake"));
    command.current_dir(folder.path()).env("DATABRICKS_HOST", workspace.ready("url"));
    command.env("DATABRICKS_TOKEN", workspace.token).env("NO_PROXY", "127.0.0.1");
    let output = finish(command.args(["compliance", "check", "--json"]).args(arguments));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn a_new_deployment_passes_all_rules_without_an_exemption() {
    let configuration = format!("{ROOT}/bundle/ops-runbook.toml");
    for target in TARGETS {
        let workspace = Workspace::new();
        workspace.deploy(target).ok();
        let result = compliance_check(&workspace, &["--config", &configuration]);
        assert_eq!(
            (&result["jobs"], &result["failing"], &result["unread"]),
            (&json!(10), &json!(0), &json!([])),
            "{result:#}"
        );
        let events = result["changes"].as_array().unwrap().iter().map(|change| &change["event"]);
        assert!(events.clone().count() == 10 && events.clone().all(|event| event == "checked"), "{result:#}");
        for rule in result["rules"].as_array().unwrap() {
            assert_eq!(rule["partial"], 0, "{rule}");
        }

        // Without the exemptions, exactly the exempt rules fail.
        let mut exempt: Vec<(u64, &str)> = Vec::new();
        for one in result["exempt"].as_array().unwrap() {
            exempt.extend(texts(&one["rules"]).into_iter().map(|rule| (one["job_id"].as_u64().unwrap(), rule)));
        }
        let strict = compliance_check(&workspace, &[]);
        let mut failing: Vec<(u64, &str)> = Vec::new();
        for one in strict["changes"].as_array().unwrap() {
            failing.extend(texts(&one["failing"]).into_iter().map(|rule| (one["job_id"].as_u64().unwrap(), rule)));
        }
        let mut rules: Vec<&str> = failing.iter().map(|(_, rule)| *rule).collect();
        rules.sort_unstable();
        rules.dedup();
        let expected: &[&str] = if target == "prod" { &["retries", "shared-code"] } else { &["run-as", "shared-code"] };
        assert_eq!(rules, expected, "{strict:#}");
        exempt.sort_unstable();
        failing.sort_unstable();
        // Schedules of a development copy are paused, so it needs no retries.
        exempt.retain(|(_, rule)| target == "prod" || *rule != "retries");
        assert_eq!(exempt, failing, "{target}");
    }
}

#[test]
fn development_copies_share_no_location_with_prod() {
    for (target, scope, lake) in [
        ("dev", "ops-runbook-dev-tester", "uc://main.dev_tester_ops/lake"),
        ("prod", "ops-runbook", "uc://main.ops/lake"),
    ] {
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
