//! The YAML: what the official classes say, and what a team may rely on.

use std::{collections::BTreeSet, fs};

use ops_runbook::domain::policy::Policy;
use serde_json::{Map, Value, json};
use tempfile::tempdir;

use super::{ROOT, told, validated};

const PRINCIPAL: &str = "0b9a2f3c-service-principal";

fn targets() -> Value {
    let mut found = validated(&json!({ "var.service_principal": PRINCIPAL }));
    found["targets"].take()
}

fn jobs(target: &Value) -> &Map<String, Value> {
    target["resources"]["jobs"].as_object().unwrap()
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
fn the_official_classes_take_every_resource_and_every_reference_leads_somewhere() {
    let found = validated(&json!({}));
    assert_eq!(found["problems"], json!([]));
    for target in ["dev", "prod"] {
        let resources = found["targets"][target]["resources"].as_object().unwrap();
        let kinds: BTreeSet<&str> = resources.keys().map(String::as_str).collect();
        assert!(kinds.iter().copied().eq([
            "alerts",
            "apps",
            "dashboards",
            "jobs",
            "schemas",
            "secret_scopes",
            "volumes"
        ]));
        assert!(!found["targets"][target].to_string().contains("${"), "{target}");
    }
}

/// The bundle's files, one of them changed.
fn changed(file: &str, from: &str, to: &str) -> tempfile::TempDir {
    let folder = tempdir().unwrap();
    for part in ["resources", "bundle"] {
        fs::create_dir(folder.path().join(part)).unwrap();
        for entry in fs::read_dir(format!("{ROOT}/{part}")).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                fs::copy(&path, folder.path().join(part).join(path.file_name().unwrap())).unwrap();
            }
        }
    }
    fs::copy(format!("{ROOT}/databricks.yml"), folder.path().join("databricks.yml")).unwrap();
    let path = folder.path().join(file);
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{file} has no {from:?}");
    fs::write(path, text.replacen(from, to, 1)).unwrap();
    folder
}

#[test]
fn what_is_wrong_with_a_bundle_is_found() {
    let cases = [
        // On jobs there are no retries.
        ("resources/sweep.job.yml", "      max_concurrent_runs: 1", "      max_retries: 1", "'max_retries'"),
        ("resources/sweep.job.yml", "          max_retries: 1", "          max_retrys: 1", "'max_retrys'"),
        ("resources/sweep.job.yml", "STANDARD", "SLOW", "'SLOW'"),
        ("resources/ops.schema.yml", "- SELECT", "- SELEKT", "'SELEKT'"),
        ("resources/recurring_issues.alert.yml", "GREATER_THAN", "MORE_THAN", "'MORE_THAN'"),
        ("resources/operations.dashboard.yml", "embed_credentials", "embed_credential", "'embed_credential'"),
        ("resources/ops.secret_scope.yml", "name:", "names:", "'names'"),
        ("resources/inbox.job.yml", "file_arrival:", "file_arrivals:", "'file_arrivals'"),
        ("resources/mcp.app.yml", "CAN_USE", "CAN_READ", "'CAN_READ'"),
        ("resources/mcp.app.yml", "        command:", "        commands:", "'commands'"),
        ("resources/mcp.app.yml", "../bundle\n", "../app\n", "../app is not there"),
        ("resources/inbox.volume.yml", "MANAGED", "FOREIGN", "'FOREIGN'"),
        (
            "resources/inbox.volume.yml",
            "    inbox:",
            "    outbox:",
            "inbox.volume.yml must hold one resource of that name",
        ),
        ("resources/audit.job.yml", "bundle/launcher.py", "bundle/launch.py", "../bundle/launch.py is not there"),
        ("resources/audit.job.yml", "${var.lake}", "${var.lakes}", "${var.lakes} leads nowhere"),
        (
            "resources/audit.job.yml",
            "volumes.digests.",
            "volumes.digest.",
            "${resources.volumes.digest.volume_path} leads",
        ),
        (
            "databricks.yml",
            "  schema:\n    description",
            "  schema:\n    describe",
            "variable schema has no description",
        ),
        (
            "databricks.yml",
            "variables:\n",
            "variables:\n  more:\n    description: More.\n    default: 1\n",
            "more is used nowhere",
        ),
        ("databricks.yml", "    permissions:", "    permission:", "target prod: unknown key permission"),
        (
            "databricks.yml",
            "      root_path:",
            "      file_path:",
            "target prod is of mode production and has no workspace.root_path",
        ),
        ("databricks.yml", "      secret_scope: ops", "      secret_scop: ops", "secret_scop, which is not declared"),
        ("databricks.yml", "resources/*.yml", "resource/*.yml", "resource/*.yml matches no file"),
    ];
    let folders = cases.map(|(file, from, to, _)| changed(file, from, to));
    let roots = folders.each_ref().map(|folder| folder.path().to_str().unwrap());
    let found = told("validate.py", &roots, &json!({}));
    for ((file, _, to, expected), found) in cases.iter().zip(found.as_array().unwrap()) {
        let problems = texts(&found["problems"]);
        assert!(problems.iter().any(|problem| problem.contains(expected)), "{file}, {to:?}: {problems:#?}");
    }
}

#[test]
fn every_job_is_given_up_some_time_and_somebody_is_told() {
    for (name, job) in jobs(&targets()["prod"]) {
        assert_eq!(job["max_concurrent_runs"], 1, "{name}");
        assert_eq!(job["queue"]["enabled"], true, "{name}");
        assert_eq!(texts(&job["email_notifications"]["on_failure"]), ["someone@example.test"], "{name}");
        let seconds = job["timeout_seconds"].as_u64().unwrap();
        // Nothing piles up in the queue: a run ends before the next one begins.
        match name.as_str() {
            "deliver" => assert!(seconds < 5 * 60),
            "sweep" => assert!(seconds < 15 * 60),
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
    let targets = targets();
    let mut schedules: Vec<(&str, &str)> = jobs(&targets["prod"])
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
        ]
    );
    let triggers: Vec<(&str, &Value)> = jobs(&targets["prod"])
        .iter()
        .filter_map(|(name, job)| Some((name.as_str(), &job.get("trigger")?["file_arrival"]["url"])))
        .collect();
    assert_eq!(triggers, [("inbox", &json!("/Volumes/main/ops/inbox/"))]);
    let berlin = validated(&json!({ "var.time_zone": "Europe/Berlin" }));
    let digest = &berlin["targets"]["prod"]["resources"]["jobs"]["digest"];
    assert_eq!(digest["schedule"]["timezone_id"], "Europe/Berlin");
    assert_eq!(command_line(&digest["tasks"][0])[..3], ["digest", "--tz", "Europe/Berlin"]);
}

#[test]
fn prod_runs_as_a_service_principal_and_only_who_may_change_everything_reads_secrets_beside_it() {
    let targets = targets();
    let prod = &targets["prod"];
    assert_eq!(prod["run_as"], json!({ "service_principal_name": PRINCIPAL }));
    // On the secret scope CAN_VIEW is READ and CAN_MANAGE is MANAGE.
    assert_eq!(
        prod["permissions"],
        json!([
            { "level": "CAN_MANAGE", "group_name": "admins" },
            { "level": "CAN_VIEW", "service_principal_name": PRINCIPAL }
        ])
    );
    let app = "service-principal-of:mcp";
    assert_eq!(
        prod["resources"]["secret_scopes"]["ops"]["permissions"],
        json!([{ "level": "READ", "service_principal_name": app }])
    );
    assert_eq!(
        prod["resources"]["apps"]["mcp"]["permissions"],
        json!([{ "level": "CAN_USE", "group_name": "admins" }])
    );
    for (_, job) in jobs(prod) {
        assert_eq!(job["permissions"], json!([{ "level": "CAN_VIEW", "group_name": "users" }]));
    }
    for (kind, key) in [("schemas", "ops"), ("volumes", "inbox"), ("volumes", "digests"), ("secret_scopes", "ops")] {
        assert_eq!(prod["resources"][kind][key]["lifecycle"]["prevent_destroy"], true, "{kind}.{key}");
        assert_eq!(targets["dev"]["resources"][kind][key].get("lifecycle"), None, "{kind}.{key}");
    }
    assert!(!targets["dev"].to_string().contains(PRINCIPAL), "dev runs as whoever deploys it");
}

/// The patterns of the secrets that something is handed.
fn secrets<'a>(parameters: &[&'a str]) -> Vec<&'a str> {
    let at = parameters.iter().position(|parameter| *parameter == "--secrets").unwrap();
    parameters[at + 1].split(',').collect()
}

#[test]
fn only_the_job_that_tells_people_gets_what_lets_it_and_the_app_what_lets_pagerduty_tell_us() {
    let targets = targets();
    let prod = &targets["prod"];
    for (name, job) in jobs(prod) {
        for task in tasks(job) {
            let patterns = secrets(&texts(&task["spark_python_task"]["parameters"]));
            let more: Vec<&str> = patterns.into_iter().skip_while(|pattern| *pattern != "CHANNEL_*").collect();
            let expected: &[&str] =
                if name == "deliver" { &["CHANNEL_*", "SMTP_PASSWORD", "OPS_RUNBOOK_HEARTBEAT"] } else { &[] };
            assert_eq!(more, expected, "{name}");
        }
    }
    let app = texts(&prod["resources"]["apps"]["mcp"]["config"]["command"]);
    let channels: Vec<&str> = secrets(&app).into_iter().filter(|pattern| pattern.starts_with("CHANNEL_")).collect();
    assert_eq!(channels, ["CHANNEL_*_WEBHOOK"]);
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
    let targets = targets();
    let scope =
        |target: &str| targets[target]["resources"]["secret_scopes"]["ops"]["name"].as_str().unwrap().to_owned();
    assert_eq!((scope("dev").as_str(), scope("prod").as_str()), ("ops-runbook-dev-someone", "ops-runbook"));
    for (name, lake) in [("dev", "uc://main.dev_someone_ops"), ("prod", "uc://main.ops")] {
        for (_, job) in jobs(&targets[name]) {
            for task in tasks(job) {
                let arguments = command_line(task);
                let at = arguments.iter().position(|argument| *argument == "--lake").unwrap();
                assert_eq!(arguments[at + 1], lake);
            }
        }
    }
}
