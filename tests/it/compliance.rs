//! `compliance check` through the binary, against a workspace at a socket.

use std::{fs, path::Path, process::Command, time::Instant};

use serde_json::{Value, json};
use tempfile::tempdir;

use crate::{
    runbook::{
        Desk,
        workspace::{TOKEN, WORKSPACE_ID, Workspace, World},
    },
    support::{assert_intact, binary, finish, json_lines},
    wait::output_of,
};

/// Returns settings that pass all rules.
fn good() -> Value {
    json!({
        "name": "good",
        "schedule": { "quartz_cron_expression": "0 0 12 * * ?", "timezone_id": "UTC", "pause_status": "UNPAUSED" },
        "timeout_seconds": 3600,
        "queue": { "enabled": true },
        "email_notifications": { "on_failure": ["oncall@example.test"], "no_alert_for_skipped_runs": true },
        "tasks": [
            { "task_key": "extract", "notebook_task": { "notebook_path": "/Shared/extract" }, "max_retries": 2 },
            { "task_key": "load", "depends_on": [{ "task_key": "extract" }], "job_cluster_key": "small", "max_retries": 2,
              "spark_python_task": { "python_file": "/Shared/load.py" } },
        ],
        "job_clusters": [{ "job_cluster_key": "small", "new_cluster": {
            "spark_version": "16.4.x-scala2.12", "node_type_id": "small", "num_workers": 1, "policy_id": "P1" } }],
    })
}

/// Returns settings without retry policy, timeout, queueing and failure notification.
fn bad(name: &str) -> Value {
    let mut job = good();
    let settings = job.as_object_mut().unwrap();
    settings.insert("name".into(), name.into());
    for missing in ["timeout_seconds", "queue", "email_notifications"] {
        settings.remove(missing);
    }
    for task in settings["tasks"].as_array_mut().unwrap() {
        task.as_object_mut().unwrap().remove("max_retries");
    }
    job
}

fn world(jobs: impl IntoIterator<Item = (u64, Value)>) -> World {
    World { jobs: jobs.into_iter().map(|(id, job)| (id.to_string(), job)).collect(), ..World::default() }
}

fn command(lake: &Path, workspace: &Workspace, arguments: &[&str]) -> Command {
    let mut command = binary(lake);
    command.env("DATABRICKS_HOST", &workspace.url).env("DATABRICKS_TOKEN", TOKEN).args(arguments);
    command
}

fn check(lake: &Path, workspace: &Workspace, arguments: &[&str]) -> Value {
    let output = finish(&mut command(lake, workspace, &[&["compliance", "check", "--json"], arguments].concat()));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn rows(lake: &Path, sql: &str) -> Vec<Value> {
    json_lines(lake, &["sql", sql, "--format", "json"])
}

fn count(lake: &Path, what: &str) -> u64 {
    rows(lake, &format!("SELECT count(*) AS n FROM {what}"))[0]["n"].as_u64().unwrap()
}

/// Returns the changes of the jobs' incidents, in order of the job ids.
fn events(check: &Value) -> Vec<(u64, String)> {
    let mut events: Vec<(u64, String)> = check["changes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|change| (change["job_id"].as_u64().unwrap(), change["event"].as_str().unwrap().to_owned()))
        .collect();
    events.sort();
    events
}

fn edit(workspace: &Workspace, job: &str, change: impl FnOnce(&mut Value)) {
    change(workspace.world.lock().unwrap().jobs.get_mut(job).unwrap());
}

fn fails(check: &Value, rule: &str) -> u64 {
    let rules = check["rules"].as_array().unwrap();
    rules.iter().find(|one| one["rule"] == rule).unwrap()["fail"].as_u64().unwrap()
}

/// 500 jobs: every fifth passes, the others fail different rules.
fn five_hundred() -> World {
    let mut world = world((1..=500_u64).map(|id| {
        let job = match id % 5 {
            0 => good(),
            1 => bad(&format!("job {id}")),
            2 => {
                let mut job = good();
                job["tasks"][0]["max_retries"] = json!(-1);
                job["tasks"][1]["max_retries"] = json!(0);
                job
            }
            3 => {
                let mut job = good();
                job["job_clusters"][0]["new_cluster"]["spark_version"] = "12.2.x-scala2.12".into();
                job["tasks"][0]["existing_cluster_id"] = "0211-shared".into();
                job
            }
            _ => {
                let mut job = bad(&format!("many tasks {id}"));
                let tasks = job["tasks"].as_array_mut().unwrap();
                if id < 50 {
                    tasks.extend((0..150).map(|n| json!({ "task_key": format!("t{n}") })));
                }
                job
            }
        };
        (id, job)
    }));
    world.run_as = (1..=500).step_by(7).map(|id| (id.to_string(), "ada@example.test".to_owned())).collect();
    world.clusters.insert(
        "0211-shared".into(),
        json!({ "spark_version": "16.4.x-scala2.12", "node_type_id": "small", "num_workers": 2, "policy_id": "P1" }),
    );
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_jobs_are_checked_once_and_the_second_check_changes_nothing() {
    let folder = tempdir().unwrap();
    let lake = folder.path().join("lake");
    let workspace = Workspace::start(five_hundred()).await;
    let begun = Instant::now();
    let first = check(&lake, &workspace, &[]);
    let (took, reads) = (begun.elapsed(), workspace.world().reads);
    println!("500 jobs, first check: {took:.1?}, requests {reads:?}");
    assert_eq!((&first["jobs"], &first["unread"]), (&json!(500), &json!([])));
    // A list of 5 pages. Each job is read once more, because the list lacks `run_as`; 10 jobs have 2 pages.
    let reads: Vec<(&str, usize)> = reads.iter().map(|(path, count)| (path.as_str(), *count)).collect();
    assert_eq!(
        reads,
        [
            ("/api/2.0/preview/scim/v2/Me", 1),
            ("/api/2.1/clusters/get", 1),
            ("/api/2.2/jobs/get", 490 + 20),
            ("/api/2.2/jobs/list", 5),
        ]
    );
    assert_eq!(fails(&first, "retries"), 300);
    assert_eq!(fails(&first, "bounded-retries"), 100);
    assert_eq!(fails(&first, "runtime"), 100);
    assert_eq!(fails(&first, "job-compute"), 100);
    assert_eq!(fails(&first, "run-as"), 72);
    assert_eq!(workspace.world().writes, Vec::<String>::new());
    let opened = events(&first).iter().filter(|(_, event)| event == "opened").count() as u64;
    assert_eq!(count(&lake, "job_gaps"), opened);
    assert_eq!(count(&lake, "incidents WHERE incident_type = 'validation-gap'"), opened);
    assert_eq!(count(&lake, "(SELECT DISTINCT job_id FROM job_checks)"), 500);
    assert_eq!(count(&lake, "escalation_events WHERE event = 'fired'"), 0, "no alert fires");
    let before = count(&lake, "audit_log");
    assert_eq!(before, 500);
    let begun = Instant::now();
    let second = check(&lake, &workspace, &[]);
    println!("500 jobs, second check: {:.1?}", begun.elapsed());
    assert_eq!(second["changes"], json!([]));
    assert_eq!((&second["rules"], count(&lake, "audit_log")), (&first["rules"], before));
    assert_intact(&lake, opened);
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_checks_record_the_same_as_one() {
    let folder = tempdir().unwrap();
    let lake = folder.path().join("lake");
    let workspace =
        Workspace::start(world((1..=40).map(|id| (id, if id % 2 == 0 { good() } else { bad("bad") })))).await;
    json_lines(&lake, &["init"]);
    let both = || {
        let both = [0, 1].map(|_| {
            let mut check = command(&lake, &workspace, &["compliance", "check", "--json"]);
            check.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::piped()).spawn().unwrap()
        });
        for check in both {
            let output = output_of("one of two checks", check);
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
    };
    both();
    let twice = "SELECT request_kind, resources, count(*) AS n, min(seq) AS first, max(seq) AS last FROM audit_log GROUP BY request_kind, resources HAVING count(*) > 1";
    assert_eq!(json_lines(&lake, &["sql", twice]), Vec::<Value>::new());
    assert_eq!(count(&lake, "audit_log"), 40);
    assert_eq!((count(&lake, "incidents"), count(&lake, "job_gaps")), (20, 20));
    for id in (1..=40_u64).step_by(2) {
        edit(&workspace, &id.to_string(), |job| *job = good());
    }
    both();
    assert_eq!(count(&lake, "audit_log"), 40 + 20 + 20, "results and a closing of each");
    assert_eq!(count(&lake, "incidents WHERE status = 'resolved'"), 20);
    assert_intact(&lake, 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gap_is_closed_when_everything_is_fixed_and_reopened_when_a_rule_fails_again() {
    let folder = tempdir().unwrap();
    let lake = folder.path().join("lake");
    let workspace = Workspace::start(world([(7, bad("daily-etl")), (8, good())])).await;
    let changed = |expected: &[(u64, &str)]| {
        let found = check(&lake, &workspace, &[]);
        let expected: Vec<(u64, String)> = expected.iter().map(|(id, event)| (*id, (*event).to_owned())).collect();
        assert_eq!(events(&found), expected, "{found:#}");
    };
    changed(&[(7, "opened"), (8, "checked")]);
    let show = || json_lines(&lake, &["incident", "show", "INC-1001"]).remove(0);
    let shown = show();
    let steps: Vec<&str> =
        shown["remediation"].as_array().unwrap().iter().map(|step| step["title"].as_str().unwrap()).collect();
    assert_eq!(
        steps,
        [
            "Retry failed tasks",
            "Set a timeout for runs",
            "Queue runs that cannot start at once",
            "Notify about failures"
        ]
    );
    let fixed = good();
    edit(&workspace, "7", |job| job["queue"] = fixed["queue"].clone());
    changed(&[(7, "changed")]);
    edit(&workspace, "7", |job| job["tasks"] = fixed["tasks"].clone());
    edit(&workspace, "7", |job| job["timeout_seconds"] = 60.into());
    changed(&[(7, "changed")]);
    changed(&[]);
    edit(&workspace, "7", |job| job["tasks"][0]["max_retries"] = json!(-1));
    changed(&[(7, "grew")]);
    edit(&workspace, "7", |job| *job = good());
    changed(&[(7, "closed")]);
    changed(&[]);
    let state = rows(&lake, "SELECT status, compliance_impact, reopened FROM incidents");
    assert_eq!(
        state[0],
        json!({
            "status": "resolved", "reopened": 0,
            "compliance_impact": "Cost Optimization category moved from FAIL to PASS; Operations category moved from FAIL to \
                                  PASS; Reliability category moved from FAIL to PASS",
        })
    );
    edit(&workspace, "7", |job| job["timeout_seconds"] = 0.into());
    changed(&[(7, "reopened")]);
    changed(&[]);
    // Closed by hand without a fix.
    json_lines(&lake, &["incident", "close", "INC-1001", "never mind"]);
    changed(&[(7, "reopened")]);
    edit(&workspace, "7", |job| job["timeout_seconds"] = 60.into());
    changed(&[(7, "closed")]);
    let state = rows(&lake, "SELECT status, compliance_impact, reopened FROM incidents");
    assert_eq!(
        state[0],
        json!({ "status": "resolved", "reopened": 2, "compliance_impact": "Reliability category moved from FAIL to PASS" })
    );
    let mitigated = rows(&lake, "SELECT mitigated_at IS NOT NULL AS yes FROM incidents");
    assert_eq!(mitigated[0]["yes"], true);
    assert_intact(&lake, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn applying_the_runbook_of_a_gap_lets_the_next_check_close_it() {
    for tool in ["cli", "curl"] {
        let mut job = bad("every thing'; touch pwned");
        job["tasks"][0]["max_retries"] = json!(-1);
        job["tasks"][0]["existing_cluster_id"] = "0211-shared".into();
        job["tasks"][1]["for_each_task"] = json!({ "inputs": "[1]", "task": { "task_key": "inner", "notebook_task": { "notebook_path": "/Shared/x" } } });
        job["job_clusters"][0]["new_cluster"]["spark_version"] = "12.2.x-photon-scala2.12".into();
        job["email_notifications"] = json!({ "on_start": ["ada@example.test"] });
        let mut world = world([(7, job)]);
        world.clusters.insert(
            "0211-shared".into(),
            json!({ "spark_version": "11.3.x-scala2.12", "num_workers": 2, "policy_id": "P1" }),
        );
        let desk = Desk::bare(world, tool).await;
        let found = check(&desk.lake(), &desk.workspace, &[]);
        let failing = found["changes"][0]["failing"].as_array().unwrap();
        assert_eq!(failing.len(), 7, "{failing:?}");
        let script = desk.folder.path().join("runbook.sh");
        fs::write(&script, desk.show(&["--format", "script"])).unwrap();
        let output = finish(desk.bash().arg(&script).arg("apply"));
        let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{tool}: {text}");
        let job = desk.workspace.settings().jobs["7"].clone();
        assert_eq!(
            job["email_notifications"],
            json!({ "on_start": ["ada@example.test"], "on_failure": ["ada@example.test"] })
        );
        assert_eq!(job["job_clusters"][0]["new_cluster"]["spark_version"], "16.4.x-photon-scala2.12");
        assert_eq!(events(&check(&desk.lake(), &desk.workspace, &[])), [(7, "closed".to_owned())]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreadable_job_is_reported_and_its_incident_stays() {
    let folder = tempdir().unwrap();
    let lake = folder.path().join("lake");
    let workspace = Workspace::start(world([(7, bad("etl")), (8, good()), (9, bad("gone"))])).await;
    check(&lake, &workspace, &[]);
    {
        let mut world = workspace.world.lock().unwrap();
        world.forbidden.insert("7".into());
        world.jobs.remove("9");
    }
    let found = check(&lake, &workspace, &[]);
    assert_eq!((&found["jobs"], &found["changes"]), (&json!(1), &json!([])));
    let unread = found["unread"].as_array().unwrap();
    let jobs: Vec<(u64, bool)> =
        unread.iter().map(|one| (one["job_id"].as_u64().unwrap(), one["incident_id"].is_string())).collect();
    assert_eq!(jobs, [(7, true), (9, true)]);
    assert!(unread[0]["reason"].as_str().unwrap().contains("CAN VIEW is missing"), "{unread:?}");
    assert_eq!(count(&lake, "incidents WHERE status = 'investigating'"), 2);
    let output = finish(&mut command(&lake, &workspace, &["compliance", "check", "--job", "7"]));
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stdout).contains("not read: job 7: "), "{output:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_configuration_disables_rules_and_exempts_jobs_with_a_reason() {
    let folder = tempdir().unwrap();
    let lake = folder.path().join("lake");
    let mut sandbox = bad("sandbox");
    sandbox["tags"] = json!({ "team": "research" });
    let workspace = Workspace::start(world([(7, bad("etl")), (8, sandbox), (9, bad("legacy"))])).await;
    assert_eq!(events(&check(&lake, &workspace, &[])).len(), 3);
    let config = folder.path().join("ops-runbook.toml");
    let with = |text: &str| {
        fs::write(&config, text).unwrap();
        check(&lake, &workspace, &["--config", config.to_str().unwrap()])
    };
    let off = "[comply.queue]\nenabled = false\n[comply.retries]\nenabled = false\n[comply.timeout]\nenabled = false\n\
               [comply.failure-notification]\nenabled = false\n";
    let exempt = "[[comply.exempt]]\ntags = ['team=research']\nreason = 'no consumers'\n\
                  [[comply.exempt]]\njobs = ['9']\nrules = ['queue', 'retries', 'timeout']\nreason = 'replaced in spring'\n";
    let found = with(exempt);
    assert_eq!(events(&found), [(8, "closed".to_owned()), (9, "changed".to_owned())]);
    let reasons: Vec<&str> =
        found["exempt"].as_array().unwrap().iter().map(|one| one["reason"].as_str().unwrap()).collect();
    assert_eq!(reasons, ["no consumers", "replaced in spring"]);
    assert_eq!(events(&with(exempt)), []);
    let found = with(off);
    assert_eq!(
        events(&found),
        [(7, "closed"), (8, "checked"), (9, "closed")].map(|(id, event)| (id, event.to_owned()))
    );
    let back = check(&lake, &workspace, &[]);
    assert_eq!(events(&back), [7, 8, 9].map(|id| (id, "reopened".to_owned())));
    assert_intact(&lake, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_security_rule_of_high_severity_fires_an_alert() {
    let folder = tempdir().unwrap();
    let lake = folder.path().join("lake");
    let mut jobs = world([(7, good()), (8, bad("etl"))]);
    jobs.run_as.insert("7".into(), "ada@example.test".into());
    let workspace = Workspace::start(jobs).await;
    let config = folder.path().join("ops-runbook.toml");
    fs::write(&config, "[comply.run-as]\nseverity = 'HIGH'\n[comply.retries]\nseverity = 'CRITICAL'\n").unwrap();
    check(&lake, &workspace, &["--config", config.to_str().unwrap()]);
    let fired = rows(&lake, "SELECT incident_id, trigger, severity FROM escalation_events WHERE event = 'fired'");
    assert_eq!(fired, [json!({ "incident_id": "INC-1001", "trigger": "security-finding", "severity": "CRITICAL" })]);
    // A rule that fails later in an open incident fires too; a fix resolves its alert.
    workspace.world.lock().unwrap().run_as.insert("8".into(), "ada@example.test".into());
    check(&lake, &workspace, &["--config", config.to_str().unwrap()]);
    let fired = rows(&lake, "SELECT incident_id FROM escalation_events WHERE event = 'fired' ORDER BY seq");
    assert_eq!(fired[1], json!({ "incident_id": "INC-1002" }));
    workspace.world.lock().unwrap().run_as.clear();
    check(&lake, &workspace, &["--config", config.to_str().unwrap()]);
    assert_eq!(count(&lake, "escalations WHERE status = 'resolved'"), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_shows_the_changes_and_records_nothing() {
    let folder = tempdir().unwrap();
    let lake = folder.path().join("lake");
    let workspace = Workspace::start(world([(7, bad("etl")), (8, good())])).await;
    let would = check(&lake, &workspace, &["--dry-run"]);
    assert_eq!(events(&would), [(7, "opened".to_owned()), (8, "checked".to_owned())]);
    assert!(!lake.exists());
    let text = finish(&mut command(&lake, &workspace, &["compliance", "check", "--dry-run"])).stdout;
    let text = String::from_utf8(text).unwrap();
    assert!(text.contains("dry run, nothing was recorded; a run without --dry-run would record:"), "{text}");
    let wrong = finish(&mut command(&lake, &workspace, &["compliance", "check", "--workspace-id", "12"]));
    assert_eq!(wrong.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&wrong.stderr).contains(WORKSPACE_ID));
    check(&lake, &workspace, &[]);
    assert_eq!(check(&lake, &workspace, &["--dry-run"])["changes"], json!([]));
}
