//! The bundle's jobs on an emulator of a workspace, which runs them through the launcher, and the binary below that.

use std::{collections::BTreeMap, fs, path::Path};

use serde_json::{Map, Value, json};
use tempfile::{TempDir, tempdir};

use super::{NOT_RUN, ROOT, told, validated};
use crate::support::{json_lines, ok};

/// A workspace, a lake and a folder in the place of the volume digests.
struct Place {
    folder: TempDir,
}

impl Place {
    fn new() -> Self {
        let folder = tempdir().unwrap();
        fs::create_dir(folder.path().join("digests")).unwrap();
        Self { folder }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    fn lake(&self) -> std::path::PathBuf {
        self.folder.path().join("lake")
    }

    /// Deploys the bundle with `binary` to a new workspace and runs `tasks` of its jobs, and of those in `plan`. The runs, in
    /// the order of the jobs.
    fn run(&self, binary: &str, tasks: Value, mut plan: Value) -> Vec<Run> {
        let workspace = tempdir().unwrap();
        plan["given"] = json!({
            "var.lake": self.lake(),
            "resources.volumes.digests.volume_path": self.path("digests"),
        });
        plan["tasks"] = tasks;
        let runs = told("emulator.py", &[ROOT, binary, workspace.path().to_str().unwrap()], &plan);
        runs.as_array().unwrap().iter().map(Run::of).collect()
    }

    /// The audit log's head, and how many rows each table has.
    fn content(&self) -> (Value, Value) {
        let verification = &json_lines(&self.lake(), &["audit", "verify"])[0];
        assert_eq!(verification["intact"], true, "{verification:#}");
        let sql = "SELECT max(seq) AS seq, (SELECT count(*) FROM digests) AS digests, \
                   (SELECT count(*) FROM recurrence_events) AS recurrences FROM audit_log";
        (verification["head"].clone(), json_lines(&self.lake(), &["sql", sql])[0].clone())
    }
}

/// What became of a job.
#[derive(Debug)]
struct Run {
    job: String,
    state: String,
    /// State, output and error by task.
    tasks: BTreeMap<String, [String; 3]>,
}

impl Run {
    fn of(told: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let tasks = told["tasks"].as_array().unwrap().iter();
        let tasks = tasks.map(|task| (text(&task["key"]), ["state", "logs", "error"].map(|part| text(&task[part]))));
        Self { job: text(&told["job"]), state: text(&told["state"]), tasks: tasks.collect() }
    }

    fn output(&self, task: &str) -> &str {
        &self.tasks[task][1]
    }
}

/// The binary, small enough to be handed around: nothing in it is for a debugger.
fn binary(folder: &Path) -> String {
    let stripped = folder.join("ops-runbook-stripped");
    let strip =
        std::process::Command::new("strip").arg("-o").arg(&stripped).arg(env!("CARGO_BIN_EXE_ops-runbook")).status();
    match strip {
        Ok(status) if status.success() => stripped.to_str().unwrap().to_owned(),
        _ => env!("CARGO_BIN_EXE_ops-runbook").to_owned(),
    }
}

/// All tasks that are run, by job; the jobs in an order that makes sense.
fn tasks_to_run() -> Value {
    let found = validated(&json!({}));
    let jobs = found["targets"]["dev"]["resources"]["jobs"].as_object().unwrap();
    let mut tasks = Map::new();
    for (job, fields) in jobs {
        let keys = fields["tasks"].as_array().unwrap().iter().map(|task| task["task_key"].as_str().unwrap());
        let keys: Vec<&str> = keys.filter(|key| !NOT_RUN.contains(&(job, key))).collect();
        if !keys.is_empty() {
            tasks.insert(job.clone(), json!(keys));
        }
    }
    Value::Object(tasks)
}

#[test]
fn every_job_is_green_and_the_second_time_changes_nothing() {
    let place = Place::new();
    ok(&place.lake(), &["demo"]);
    let key =
        json_lines(&place.lake(), &["audit", "keygen", "--name", "example.test/ops", "--out", &place.path("key")]);
    let public_key = key[0]["public_key"].as_str().unwrap();
    let secret = fs::read_to_string(place.path("key")).unwrap();
    let binary = binary(place.folder.path());
    let tasks = tasks_to_run();
    let plan = json!({ "secrets": { "OPS_RUNBOOK_CHECKPOINT_KEY": secret.trim() } });

    let first = place.run(&binary, tasks.clone(), plan.clone());
    assert_eq!(first.len(), tasks.as_object().unwrap().len());
    assert!(first.iter().all(|run| run.state == "SUCCESS"), "{first:#?}");
    let output = |job: &str, task: &str| {
        let run = first.iter().find(|run| run.job == format!("ops-runbook {job}")).unwrap();
        run.output(task).to_owned()
    };
    assert!(output("setup", "init").contains("is there already"), "{}", output("setup", "init"));
    assert!(output("recurrence", "scan").contains("is closed: a whole window went by"));
    assert!(output("digest", "digest").contains("recorded as revision 1 of"));
    assert!(output("audit", "verify").contains("intact:"));
    assert!(output("audit", "checkpoint").contains("signed the head of"));
    assert!(output("maintenance", "maintain").contains("audit_log: files"));
    let digests = fs::read_dir(place.path("digests")).unwrap().count();
    assert_eq!(digests, 6, "five formats of a digest, and a checkpoint");
    let after_first = place.content();

    let second = place.run(&binary, tasks, plan);
    assert!(second.iter().all(|run| run.state == "SUCCESS"), "{second:#?}");
    assert_eq!(place.content(), after_first);
    assert_eq!(fs::read_dir(place.path("digests")).unwrap().count(), digests);
    ok(
        &place.lake(),
        &["audit", "verify", "--checkpoint", &place.path("digests/audit.checkpoint"), "--public-key", public_key],
    );
    for run in first.iter().chain(&second) {
        for [_, logs, error] in run.tasks.values() {
            assert!(!logs.contains(secret.trim()) && !error.contains(secret.trim()));
        }
    }
}

/// A job of one task that is not the bundle's.
fn job(name: &str, binary: &str, options: &[&str], arguments: &[&str]) -> Value {
    let launcher = ["--binary", binary].into_iter().chain(options.iter().copied());
    let parameters: Vec<&str> = launcher.chain(["--"]).chain(arguments.iter().copied()).collect();
    json!({ "name": name, "tasks": [
        { "task_key": "task", "spark_python_task": { "python_file": "../bundle/launcher.py", "parameters": parameters } }
    ] })
}

const DEPLOYED: &str = "${workspace.file_path}/bundle/bin/ops-runbook";

#[test]
fn a_job_that_fails_is_red_and_says_why() {
    let place = Place::new();
    ok(&place.lake(), &["init"]);
    let tasks = json!({ "missing": ["task"], "refused": ["task"], "undeployed": ["task"], "unkeyed": ["task"], "audit": ["verify"] });
    let lake = ["--lake", "${var.lake}"];
    let more = json!({
        "missing": job("missing", DEPLOYED, &[], &[&["audit", "show", "7"], &lake[..]].concat()),
        "refused": job("refused", DEPLOYED, &[], &["audit", "verify", "--what"]),
        "undeployed": job("undeployed", "${workspace.file_path}/bundle/bin/other", &[], &["init"]),
        "unkeyed": job(
            "unkeyed",
            DEPLOYED,
            &["--scope", "${resources.secret_scopes.ops.name}", "--secret", "OPS_RUNBOOK_CHECKPOINT_KEY"],
            &[&["audit", "checkpoint"], &lake[..]].concat(),
        ),
    });
    let runs = place.run(&binary(place.folder.path()), tasks, json!({ "more": more }));
    for (run, said) in runs.iter().zip([
        &["ended with exit code 4", "`ops-runbook audit list` shows which there are"][..],
        &["ended with exit code 2", "--what"],
        &["cannot be read: No such file or directory; make it with bundle/build"],
        &["the secret scope ops-runbook-dev-someone lacks OPS_RUNBOOK_CHECKPOINT_KEY"],
    ]) {
        assert_eq!(run.state, "FAILED", "{run:#?}");
        for text in said {
            assert!(run.output("task").contains(text), "{text:?} is not in {run:#?}");
        }
    }
    // The others of the same workspace go on.
    assert_eq!(runs[4].state, "SUCCESS", "{runs:#?}");
}

#[test]
fn parameters_of_a_job_reach_the_binary_unharmed() {
    const TITLES: [&str; 2] =
        ["it's \"quoted\" and `run` $HOME $(id) ${x} \\n \\ über 日本 🚨 | & ; < > * ? ~ # ! two  spaces", "-- --json"];
    let place = Place::new();
    ok(&place.lake(), &["init"]);
    let mut more = Map::new();
    let mut tasks = Map::new();
    for (number, title) in TITLES.iter().enumerate() {
        let name = format!("open-{number}");
        let arguments = ["incident", "open", "--workspace", "1", "--lake", "${var.lake}", "--", title];
        more.insert(name.clone(), job(&name, DEPLOYED, &["--env", "OPS_RUNBOOK_ACTOR=agent:a b"], &arguments));
        tasks.insert(name, json!(["task"]));
    }
    let runs = place.run(&binary(place.folder.path()), Value::Object(tasks), json!({ "more": more }));
    assert!(runs.iter().all(|run| run.state == "SUCCESS"), "{runs:#?}");
    let rows = json_lines(&place.lake(), &["sql", "SELECT title, actor FROM incidents ORDER BY incident_id"]);
    let expected: Vec<Value> = TITLES.iter().map(|title| json!({ "title": title, "actor": "agent:a b" })).collect();
    assert_eq!(rows, expected);
}

#[test]
fn the_binary_gets_the_credentials_of_whom_the_job_runs_as_and_they_are_not_shown() {
    /// In the place of the binary: what reached it, the token as it is and as its bytes.
    const PROBE: &str = "#!/usr/bin/env python3\n\
        import os, sys\n\
        token = os.environ['DATABRICKS_TOKEN']\n\
        print('host', os.environ['DATABRICKS_HOST'])\n\
        print('token', token)\n\
        print('bytes', token.encode().hex())\n\
        print('arguments', sys.argv[1:])\n";
    const TOKEN: &str = "dapi00000000000000000000000000000000";
    let place = Place::new();
    let probe = place.path("probe");
    fs::write(&probe, PROBE).unwrap();
    let more = json!({ "probe": job("probe", "${workspace.file_path}/probe", &[], &["", "-", "two\nlines"]) });
    let plan = json!({ "more": more, "files": { "probe": probe } });
    let runs = place.run(&probe, json!({ "probe": ["task"] }), plan);
    assert_eq!(runs[0].state, "SUCCESS", "{runs:#?}");
    let output = runs[0].output("task");
    assert!(output.contains("host http://127.0.0.1:"), "{output}");
    assert!(output.contains("token [REDACTED]\n"), "{output}");
    let bytes: String = TOKEN.bytes().map(|byte| format!("{byte:02x}")).collect();
    assert!(output.contains(&format!("bytes {bytes}\n")), "{output}");
    assert!(output.contains("arguments ['', '-', 'two\\nlines']"), "{output}");
    assert!(!format!("{runs:?}").contains(TOKEN));
}
