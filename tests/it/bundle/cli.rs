//! Tests of the bundle with the official Databricks CLI.

use std::{fs, path::PathBuf, process::Stdio, thread};

use serde_json::{Value, json};

use super::{
    ROOT, python,
    workspace::{DEPLOYER, TARGETS, Workspace, list, text},
};
use crate::wait::output_of;

const JOBS: [&str; 10] = [
    "audit",
    "compliance",
    "digest",
    "ingest",
    "maintenance",
    "notifications",
    "recurrence",
    "setup",
    "sweep",
    "tables",
];

#[test]
fn both_targets_are_valid_without_a_warning() {
    let workspace = Workspace::new();
    for target in TARGETS {
        for arguments in [
            &["bundle", "validate", "--target", target][..],
            &["bundle", "validate", "--target", target, "--strict"],
            &["bundle", "validate", "--target", target, "--strict", "-o", "json"],
        ] {
            let call = workspace.cli(arguments).ok();
            for word in ["Warning", "Recommendation", "Error"] {
                assert!(!call.out.contains(word) && !call.err.contains(word), "{call:?}");
            }
        }
        let valid = workspace.cli(&["bundle", "validate", "--target", target, "-o", "json"]).ok().json();
        let jobs: Vec<&String> = valid["resources"]["jobs"].as_object().unwrap().keys().collect();
        assert_eq!(jobs, JOBS, "{target}");
    }
}

#[test]
fn strict_validation_finds_errors() {
    let cases = [
        ("resources/sweep.job.yml", "    sweep:\n", "    inbox:\n", "have been defined with the same key: inbox"),
        (
            "resources/sweep.job.yml",
            "      max_concurrent_runs: 1",
            "      max_retries: 1",
            "unknown field: max_retries",
        ),
        ("resources/sweep.job.yml", "STANDARD", "SLOW", "invalid value \"SLOW\""),
        ("resources/ops.schema.yml", "- SELECT", "- SELEKT", "invalid value \"SELEKT\""),
        ("resources/inbox.volume.yml", "MANAGED", "FOREIGN", "invalid value \"FOREIGN\""),
        ("resources/mcp.app.yml", "        command:", "        commands:", "unknown field: commands"),
        ("resources/audit.job.yml", "bundle/launcher.py", "bundle/launch.py", "launch.py not found"),
        ("resources/audit.job.yml", "${var.lake}", "${var.lakes}", "${var.lakes}"),
        (
            "databricks.yml",
            "    permissions:",
            "    run_as: { service_principal_name: a }\n    permissions:",
            "apps do not support",
        ),
        ("databricks.yml", "      secret_scope: ops", "      secret_scop: ops", "secret_scop"),
        ("databricks.yml", "resources/*.yml", "resource/*.yml", "resource"),
    ];
    let workspace = Workspace::new();
    let mut missed = Vec::new();
    for (file, from, to, expected) in cases {
        let path = workspace.bundle().join(file);
        let before = fs::read_to_string(&path).unwrap();
        assert!(before.contains(from), "{file} has no {from:?}");
        fs::write(&path, before.replacen(from, to, 1)).unwrap();
        let calls = TARGETS.map(|target| workspace.cli(&["bundle", "validate", "--target", target, "--strict"]));
        if !calls.iter().any(|call| !call.is_success && format!("{}{}", call.out, call.err).contains(expected)) {
            missed.push(format!("{file}, {to:?}: {expected:?} is not in {calls:#?}"));
        }
        fs::write(&path, before).unwrap();
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}

/// Returns the YAML files of the bundle, databricks.yml first.
fn files() -> Vec<PathBuf> {
    let resources = fs::read_dir(format!("{ROOT}/resources")).unwrap();
    let mut files = vec![PathBuf::from(ROOT).join("databricks.yml")];
    files.extend(resources.map(|entry| entry.unwrap().path()));
    files
}

/// Returns the content of YAML files as JSON.
fn parsed(files: &[PathBuf]) -> Vec<Value> {
    const SCRIPT: &str = "import json, sys, yaml\n\
        print(json.dumps([yaml.safe_load(open(file, encoding='utf-8')) for file in sys.argv[1:]]))";
    let child = python().args(["-c", SCRIPT]).args(files).stdout(Stdio::piped()).spawn().unwrap();
    let output = output_of("YAML as JSON", child);
    assert!(output.status.success());
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Adds the original fields to each resource that a target overrides: the schema requires them, the CLI does not.
fn complete_overrides(parsed: &mut [Value]) {
    let (bundle, resources) = parsed.split_first_mut().unwrap();
    let targets = bundle["targets"].as_object_mut().unwrap().values_mut();
    let overridden = targets.filter_map(|target| target.get_mut("resources")?.as_object_mut());
    for (kind, overrides) in overridden.flatten() {
        for (key, fields) in overrides.as_object_mut().unwrap() {
            let original = resources.iter().find_map(|file| file["resources"].get(kind)?.get(key)).unwrap();
            for (name, value) in original.as_object().unwrap() {
                fields.as_object_mut().unwrap().entry(name).or_insert_with(|| value.clone());
            }
        }
    }
}

#[test]
fn every_file_fits_the_schema_of_the_cli() {
    let workspace = Workspace::new();
    let schema = workspace.cli(&["bundle", "schema"]).ok().json();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let files = files();
    let mut wrong = String::new();
    let mut parsed = parsed(&files);
    complete_overrides(&mut parsed);
    for (file, content) in files.iter().zip(&parsed) {
        for error in validator.iter_errors(content) {
            wrong.push_str(&format!("{}: {}: {error}\n", file.display(), error.instance_path()));
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    let mut unknown = parsed[0].clone();
    unknown["targets"]["prod"]["permission"] = json!([]);
    assert!(!validator.is_valid(&unknown), "the schema refuses an unknown key");
}

#[test]
fn every_file_holds_one_resource_of_its_name_and_every_variable_is_described_and_used() {
    let files = files();
    let parsed = parsed(&files);
    for (file, content) in files.iter().zip(&parsed).skip(1) {
        let [(kind, resources)] = content["resources"].as_object().unwrap().iter().collect::<Vec<_>>()[..] else {
            panic!("{} holds more than one kind", file.display());
        };
        let keys: Vec<&String> = resources.as_object().unwrap().keys().collect();
        assert_eq!(keys.len(), 1, "{}", file.display());
        let expected = format!("{}.{}.yml", keys[0], kind.trim_end_matches('s'));
        assert_eq!(file.file_name().unwrap().to_str().unwrap(), expected);
    }
    let all = json!(parsed).to_string();
    for (name, variable) in parsed[0]["variables"].as_object().unwrap() {
        assert!(!text(&variable["description"]).is_empty(), "{name}");
        assert!(all.contains(&format!("${{var.{name}}}")), "the variable {name} is unused");
    }
}

#[test]
fn dev_is_deployed_once_runs_every_job_and_leaves_nothing() {
    let workspace = Workspace::new();
    deploys_once(&workspace, "dev");
    for (name, job) in workspace.jobs() {
        assert_eq!(job.get("run_as"), None, "{name}");
        let when = job.get("schedule").or(job.get("trigger"));
        assert_eq!(when.is_some(), name != "setup", "{name}");
        assert!(when.is_none_or(|when| when["pause_status"] == "PAUSED"), "{name}: {when:?}");
    }
    assert_eq!(workspace.bodies("POST", "/api/2.0/alerts")[0]["schedule"]["pause_status"], "PAUSED");
    assert_eq!(workspace.acl("ops-runbook-dev-tester"), [(workspace.ready("user").to_owned(), "MANAGE".to_owned())]);
    runs_everything(&workspace, "dev");
    let summary = workspace.cli(&["bundle", "summary", "--target", "dev", "-o", "json"]).ok().json();
    assert_eq!(summary["resources"]["jobs"].as_object().unwrap().len(), JOBS.len());

    workspace.cli(&["bundle", "destroy", "--target", "dev", "--auto-approve"]).ok();
    let removed =
        workspace.changes().into_iter().filter(|it| it["method"] == "DELETE" || text(&it["path"]).contains("/delete"));
    // The jobs, schema, three volumes, scope, app, dashboard, alert.
    assert_eq!(removed.count(), JOBS.len() + 8);
}

#[test]
fn prod_is_deployed_once_runs_every_job_and_cannot_be_destroyed() {
    let workspace = Workspace::new();
    deploys_once(&workspace, "prod");
    let principal = workspace.ready("service_principal").to_owned();
    for (name, job) in workspace.jobs() {
        assert_eq!(job["run_as"], json!({ "service_principal_name": principal }), "{name}");
        assert_eq!(job["email_notifications"]["on_failure"], json!(["data-oncall@example.test"]), "{name}");
        let when = job.get("schedule").or(job.get("trigger"));
        assert!(when.is_none_or(|when| when["pause_status"] != "PAUSED"), "{name}: {when:?}");
    }
    let alert = &workspace.bodies("POST", "/api/2.0/alerts")[0];
    assert_eq!(alert["run_as"], json!({ "service_principal_name": principal }));
    assert_eq!(
        alert["evaluation"]["notification"]["subscriptions"],
        json!([{ "user_email": "data-oncall@example.test" }])
    );
    runs_everything(&workspace, "prod");

    let before = workspace.changes().len();
    let error = workspace.cli(&["bundle", "destroy", "--target", "prod", "--auto-approve"]).refused();
    assert!(error.contains("prevent_destroy"), "{error}");
    assert_eq!(workspace.changes().len(), before);
}

/// Plans, deploys, and checks that a second deploy changes nothing.
fn deploys_once(workspace: &Workspace, target: &str) {
    let before = workspace.changes();
    let plan = workspace.cli(&["bundle", "plan", "--target", target]).ok();
    assert!(plan.out.contains("create jobs.sweep"), "{plan:?}");
    assert_eq!(workspace.changes(), before, "a plan changes nothing");
    workspace.deploy(target).ok();
    assert_eq!(workspace.jobs().len(), JOBS.len());
    for request in workspace.changes() {
        assert!(!request["body"].to_string().contains("${"), "an unresolved reference: {request:#}");
    }
    let first = workspace.changes().len();
    let plan = workspace.cli(&["bundle", "plan", "--target", target]).ok();
    assert!(plan.out.contains("Plan: 0 to add, 0 to change, 0 to delete"), "{plan:?}");
    workspace.deploy(target).ok();
    let more = workspace.changes().split_off(first);
    assert!(more.is_empty(), "the second deploy changed {more:#?}");
}

/// Runs each job and starts the app. The server checks that each task can start.
fn runs_everything(workspace: &Workspace, target: &str) {
    // Concurrently, because the CLI polls the state of a run at long intervals.
    thread::scope(|scope| {
        for job in JOBS {
            scope.spawn(move || workspace.cli(&["bundle", "run", "--target", target, job]).ok());
        }
    });
    assert_eq!(workspace.bodies("POST", "/api/2.2/jobs/run-now").len(), JOBS.len());
    workspace.cli(&["bundle", "run", "--target", target, "mcp"]).ok();
    let mut deployments = workspace.changes().into_iter().filter(|it| text(&it["path"]).ends_with("/deployments"));
    let deployment = deployments.next_back().unwrap();
    let folder = text(&deployment["body"]["source_code_path"]).to_owned();
    assert!(folder.ends_with(&format!("/.bundle/ops-runbook/{target}/files/bundle")), "{folder}");
}

#[test]
fn grants_and_permissions_are_those_of_the_readme() {
    let workspace = Workspace::new();
    let group = workspace.ready("account_group");
    workspace
        .vary("prod", json!({ "reporters": group, "app_permissions": [{ "level": "CAN_USE", "group_name": group }] }));
    workspace.deploy("prod").ok();
    assert_eq!(
        workspace.grants("account users"),
        ["schema/main.ops SELECT,USE_SCHEMA", "volume/main.ops.digests READ_VOLUME"]
    );
    assert_eq!(
        workspace.grants(group),
        ["schema/main.ops USE_SCHEMA", "volume/main.ops.inbox READ_VOLUME,WRITE_VOLUME"]
    );
    let principal = workspace.ready("service_principal");
    assert_eq!(
        workspace.grants(principal),
        [
            "schema/main.ops CREATE_TABLE,SELECT,USE_SCHEMA",
            "volume/main.ops.digests READ_VOLUME,WRITE_VOLUME",
            "volume/main.ops.inbox READ_VOLUME,WRITE_VOLUME",
            "volume/main.ops.lake READ_VOLUME,WRITE_VOLUME"
        ]
    );
    let app = workspace.cli(&["apps", "get", "mcp-ops-runbook", "-o", "json"]).ok().json();
    assert_eq!(
        workspace.grants(text(&app["service_principal_client_id"])),
        ["schema/main.ops USE_SCHEMA", "volume/main.ops.lake READ_VOLUME,WRITE_VOLUME"]
    );

    let user = workspace.ready("user");
    let job = ["CAN_MANAGE admins", &format!("CAN_VIEW {principal}"), "CAN_VIEW users", &format!("IS_OWNER {user}")];
    let jobs = workspace.permissions("jobs");
    assert!(jobs.len() == JOBS.len() && jobs.iter().all(|entries| *entries == job), "{jobs:#?}");
    let apps = workspace.permissions("apps");
    let expected = [
        "CAN_MANAGE admins",
        &format!("CAN_MANAGE {user}"),
        &format!("CAN_USE {principal}"),
        &format!("CAN_USE {group}"),
    ];
    let mut expected = expected.map(str::to_owned);
    expected.sort_unstable();
    assert_eq!(apps, [expected.to_vec()]);
    // Neither viewers nor the app can read the secrets of the jobs.
    let acl = [("admins", "MANAGE"), (principal, "READ"), (user, "MANAGE")];
    let mut acl = acl.map(|(name, permission)| (name.to_owned(), permission.to_owned()));
    acl.sort_unstable();
    assert_eq!(workspace.acl("ops-runbook"), acl);
}

#[test]
fn a_workspace_refuses_invalid_principals_and_secrets() {
    let cases = [
        // Groups of the workspace in Unity Catalog.
        ("readers", json!("users"), "Could not find principal with name users"),
        ("reporters", json!("admins"), "Could not find principal with name admins"),
        ("readers", json!("nowhere"), "Could not find principal with name nowhere"),
        // A group of the account that is not in the workspace.
        ("viewers", json!("account users"), "Principal \"account users\" does not exist"),
        ("managers", json!("nowhere"), "Principal \"nowhere\" does not exist"),
        ("notify", json!("0b9a2f3c-0000"), "0b9a2f3c-0000 is not an e-mail address"),
        ("service_principal", json!("nowhere"), "nowhere"),
        (
            "app_resources",
            json!([{ "name": "key", "secret": { "scope": "ops", "key": "KEY", "permission": "READ" } }]),
            "Secret KEY does not exist in scope ops",
        ),
    ];
    for (name, value, expected) in cases {
        let workspace = Workspace::new();
        workspace.vary("prod", json!({ name: value }));
        let error = workspace.deploy("prod").refused();
        assert!(error.contains(expected), "{name}: {error}");
    }
}

/// Databricks lets the app read the scope of its secrets. A deploy would remove that permission from the bundle's own scope.
#[test]
fn secrets_of_the_app_survive_a_deploy() {
    let workspace = Workspace::new();
    workspace.cli(&["secrets", "create-scope", "ops-runbook-app"]).ok();
    workspace
        .cli(&["secrets", "put-secret", "ops-runbook-app", "OPS_RUNBOOK_REDACTION_KEY", "--string-value", "key"])
        .ok();
    let secret = json!({ "scope": "ops-runbook-app", "key": "OPS_RUNBOOK_REDACTION_KEY", "permission": "READ" });
    workspace.vary(
        "prod",
        json!({
            "app_resources": [{ "name": "redaction-key", "secret": secret }],
            "app_env": [{ "name": "OPS_RUNBOOK_REDACTION_KEY", "value_from": "redaction-key" }]
        }),
    );
    deploys_once(&workspace, "prod");
    let app = workspace.cli(&["apps", "get", "mcp-ops-runbook", "-o", "json"]).ok().json();
    let client = text(&app["service_principal_client_id"]).to_owned();
    assert_eq!(app["resources"][0]["secret"], secret);
    assert!(workspace.acl("ops-runbook-app").contains(&(client.clone(), "READ".to_owned())));
    assert!(!workspace.acl("ops-runbook").iter().any(|(principal, _)| *principal == client));
    workspace.cli(&["bundle", "run", "--target", "prod", "mcp"]).ok();
    let mut deployments = workspace.changes().into_iter().filter(|it| text(&it["path"]).ends_with("/deployments"));
    let deployment = deployments.next_back().unwrap()["body"].take();
    assert_eq!(deployment["env_vars"], json!([{ "name": "OPS_RUNBOOK_REDACTION_KEY", "value_from": "redaction-key" }]));
}

#[test]
fn a_missing_variable_is_named_and_the_variables_file_is_read() {
    let workspace = Workspace::new();
    for name in ["notify", "service_principal", "warehouse_id"] {
        let mut variables = workspace.usual_variables("prod");
        variables.as_object_mut().unwrap().remove(name);
        workspace.set_variables("prod", &variables);
        let error = workspace.cli(&["bundle", "validate", "--target", "prod"]).refused();
        assert!(error.contains(&format!("no value assigned to required variable {name}")), "{error}");
        assert!(error.contains("variable-overrides.json"), "{error}");
    }
    workspace.vary("prod", json!({ "warehouse_id": "0123456789abcdef" }));
    let valid = workspace.cli(&["bundle", "validate", "--target", "prod", "-o", "json"]).ok().json();
    for (kind, key) in [("dashboards", "operations"), ("alerts", "recurring_issues")] {
        assert_eq!(valid["resources"][kind][key]["warehouse_id"], "0123456789abcdef", "{kind}");
    }
    let tasks = list(&valid["resources"]["jobs"]["setup"]["tasks"]).iter();
    for task in tasks.filter(|task| ["register", "copy"].contains(&text(&task["task_key"]))) {
        let parameters = list(&task["spark_python_task"]["parameters"]);
        assert!(parameters.contains(&json!("0123456789abcdef")), "{parameters:?}");
    }
}

/// The CLI reports the line that uses the empty value, not the variable. A comment on that line explains it.
#[test]
fn an_empty_service_principal_is_refused_at_lines_that_explain_it() {
    let workspace = Workspace::new();
    workspace.vary("prod", json!({ "service_principal": "" }));
    let place = regex::Regex::new(r"in databricks\.yml:(\d+):\d+").unwrap();
    let text = fs::read_to_string(workspace.bundle().join("databricks.yml")).unwrap();
    for call in [workspace.cli(&["bundle", "validate", "--target", "prod"]), workspace.deploy("prod")] {
        let error = call.refused();
        let lines: Vec<usize> = place.captures_iter(&error).map(|found| found[1].parse().unwrap()).collect();
        assert_eq!(error.matches("Error: grant principal is required").count(), lines.len(), "{error}");
        assert_eq!(lines.len(), 4, "{error}");
        for line in lines {
            let line = text.lines().nth(line - 1).unwrap();
            assert!(
                line.ends_with("# \"grant principal is required\": the variable service_principal is empty"),
                "{line}"
            );
        }
    }
    assert_eq!(workspace.changes(), Vec::<Value>::new());
}

#[test]
fn a_deploy_without_the_binary_fails_and_creates_nothing() {
    let workspace = Workspace::new();
    fs::remove_file(workspace.bundle().join("bundle/bin/ops-runbook-x86_64.gz.00")).unwrap();
    let error = workspace.deploy("prod").refused();
    let expected = "bundle/bin has no binary for x86_64; create it with `ops-runbook bundle init` or bundle/build, then deploy again";
    assert!(error.contains(expected), "{error}");
    assert_eq!(workspace.changes(), Vec::<Value>::new());
}

#[test]
fn a_service_principal_deploys_prod() {
    let mut workspace = Workspace::new();
    workspace.token = DEPLOYER;
    deploys_once(&workspace, "prod");
    runs_everything(&workspace, "prod");
    let deployer = workspace.ready("deployer").to_owned();
    for job in workspace.bodies("POST", "/api/2.2/jobs/create") {
        assert!(!job["email_notifications"].to_string().contains(&deployer), "{job:#}");
    }
}

/// The jobs can also run as the deployer.
#[test]
fn a_service_principal_deploys_jobs_that_run_as_itself() {
    let mut workspace = Workspace::new();
    workspace.token = DEPLOYER;
    workspace.vary("prod", json!({ "service_principal": workspace.ready("deployer") }));
    deploys_once(&workspace, "prod");
    runs_everything(&workspace, "prod");
}
