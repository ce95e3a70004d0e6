//! Runs the bundle's jobs on an emulator of a workspace, with the launcher and the binary.

use std::{collections::BTreeMap, fs, path::PathBuf};

use ops_runbook::{domain::time::Timestamp, tables::catalog};
use serde_json::{Map, Value, json};
use tempfile::{TempDir, tempdir};
use tokio::runtime::Runtime;

use super::{
    ROOT, run_script, stripped_binary,
    workspace::{replace, resources, text},
};
use crate::{
    storage::emulators::{Store, Stored},
    support::{self, json_lines, ok, report},
};

/// Placeholders in jobs of these tests: the folder of the deployed files, the lake, the secret scope, the warehouse.
const FILES: &str = "{files}";
const LAKE: &str = "{lake}";
const SCOPE: &str = "{scope}";
const WAREHOUSE: &str = "the-warehouse";

/// A lake, and folders in place of volumes.
struct JobFixture<L = PathBuf> {
    folder: TempDir,
    lake: L,
}

impl JobFixture {
    fn new() -> Self {
        let folder = folder();
        Self { lake: folder.path().join("lake"), folder }
    }
}

impl JobFixture<Stored> {
    async fn with_demo(store: &Store) -> Self {
        Self { lake: store.demo_lake("lake").await, folder: folder() }
    }
}

fn folder() -> TempDir {
    let folder = tempdir().unwrap();
    for volume in ["digests", "inbox"] {
        fs::create_dir(folder.path().join(volume)).unwrap();
    }
    folder
}

impl<L: support::LakeLocation> JobFixture<L> {
    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    /// Deploys the jobs of the bundle and of `plan`, with `binary`, to an emulator, and runs `tasks` of them. Returns the document
    /// that the script prints.
    fn emulate(&self, binary: &str, tasks: Value, mut plan: Value) -> Value {
        let workspace = tempdir().unwrap();
        let lake = self.lake.uri();
        // The emulator does not support a catalog named main.
        let mut variables = vec![("catalog", "team"), ("warehouse_id", WAREHOUSE)];
        // With a volume, the bundle's default location is used.
        if plan["volume"].is_null() {
            variables.push(("lake", &lake));
        }
        let mut resources = resources("dev", &variables);
        let schema = text(&resources["schemas"]["ops"]["name"]).to_owned();
        let scope = text(&resources["secret_scopes"]["secrets"]["name"]).to_owned();
        let mut jobs = resources["jobs"].take();
        let launcher = text(&jobs["setup"]["tasks"][0]["spark_python_task"]["python_file"]);
        let files = launcher.strip_suffix("/bundle/launcher.py").unwrap().to_owned();
        for (name, job) in plan["more"].as_object().into_iter().flatten() {
            jobs[name] = job.clone();
        }
        replace(&mut jobs, &|text| {
            text.replace(&format!("/Volumes/team/{schema}/digests"), &self.path("digests"))
                .replace(&format!("/Volumes/team/{schema}/inbox"), &self.path("inbox"))
                .replace(FILES, &files)
                .replace(LAKE, &lake)
                .replace(SCOPE, &scope)
        });
        plan["jobs"] = jobs;
        for (name, value) in [
            ("path", files.as_str()),
            ("catalog", "team"),
            ("schema", &schema),
            ("scope", &scope),
            ("warehouse", WAREHOUSE),
        ] {
            plan[name] = value.into();
        }
        for (name, value) in self.lake.variables() {
            plan["secrets"][name] = value.into();
        }
        plan["tasks"] = tasks;
        run_script("emulator.py", &[ROOT, binary, workspace.path().to_str().unwrap()], &plan)
    }

    /// Returns the runs in the order of the jobs.
    fn run(&self, binary: &str, tasks: Value, plan: Value) -> Vec<Run> {
        Run::all(&self.emulate(binary, tasks, plan))
    }
}

/// A finished run of a job.
#[derive(Debug)]
struct Run {
    job: String,
    start: Timestamp,
    state: String,
    /// State, output and error by task.
    tasks: BTreeMap<String, [String; 3]>,
}

impl Run {
    fn of(result: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let tasks = result["tasks"].as_array().unwrap().iter();
        let tasks = tasks.map(|task| (text(&task["key"]), ["state", "logs", "error"].map(|part| text(&task[part]))));
        let start = Timestamp::from_micros(result["start"].as_i64().unwrap() * 1_000).unwrap();
        Self { job: text(&result["job"]), start, state: text(&result["state"]), tasks: tasks.collect() }
    }

    fn all(result: &Value) -> Vec<Self> {
        result["runs"].as_array().unwrap().iter().map(Self::of).collect()
    }

    fn output(&self, task: &str) -> &str {
        &self.tasks[task][1]
    }
}

/// Returns the tasks to run by job, in the order of the jobs.
fn tasks_to_run() -> Value {
    let found = resources("dev", &[]);
    let mut tasks = Map::new();
    for (job, fields) in found["jobs"].as_object().unwrap() {
        let keys = fields["tasks"].as_array().unwrap().iter().map(|task| task["task_key"].as_str().unwrap());
        tasks.insert(job.clone(), json!(keys.collect::<Vec<_>>()));
    }
    Value::Object(tasks)
}

#[test]
fn every_job_succeeds_on_a_volume_in_s3_and_records_nothing_twice() {
    let store = Store::s3();
    let fixture = Runtime::new().unwrap().block_on(JobFixture::with_demo(&store));
    let key =
        json_lines(&fixture.lake, &["audit", "keygen", "--name", "example.test/ops", "--out", &fixture.path("key")]);
    let public_key = key[0]["public_key"].as_str().unwrap();
    let secret = fs::read_to_string(fixture.path("key")).unwrap();
    let mut dropped = report("dropped");
    dropped["incident"]["status"] = "resolved".into();
    let end = json!({ "at": "2026-02-11T12:30:00Z", "kind": "CLOSE", "message": "resolved" });
    dropped["timeline"].as_array_mut().unwrap().push(end);
    fs::create_dir(fixture.path("inbox/incoming")).unwrap();
    fs::write(fixture.path("inbox/incoming/dropped.json"), dropped.to_string()).unwrap();
    let mut tasks = tasks_to_run();
    let jobs: Vec<String> = tasks.as_object().unwrap().keys().cloned().collect();
    // A failed run for the sweep to find.
    tasks["broken"] = json!(["task"]);
    // Jobs that could record something a second time.
    let again = ["compliance", "digest", "ingest", "notifications", "recurrence", "sweep"].map(String::from);
    let order = [&["broken".to_owned()], &jobs[..], &again[..]].concat();
    let plan = json!({
        "secrets": { "OPS_RUNBOOK_CHECKPOINT_KEY": secret.trim() },
        "more": { "broken": job("broken", DEPLOYED, &[], &["audit", "show", "7", "--lake", "nowhere"]) },
        "order": order,
        "volume": fixture.lake.uri,
    });
    let emulated = fixture.emulate(&stripped_binary(fixture.folder.path()), tasks, plan);
    let runs = Run::all(&emulated);
    let ([broken], runs) = runs.split_first_chunk().unwrap();
    assert_eq!(broken.state, "FAILED", "{broken:#?}");
    assert_eq!(runs.len(), jobs.len() + again.len());
    assert!(runs.iter().all(|run| run.state == "SUCCESS"), "{runs:#?}");
    let (first, second) = runs.split_at(jobs.len());

    let output = |job: &str, task: &str| {
        let run = first.iter().find(|run| run.job == format!("[dev tester] ops-runbook {job}")).unwrap();
        run.output(task).to_owned()
    };
    assert!(output("setup", "init").contains("exists already"), "{}", output("setup", "init"));
    assert!(output("setup", "register").contains("table team.dev_tester_ops.audit_log"));
    let copied = output("setup", "copy");
    let entries = ".audit_log: ".len() + copied.find(".audit_log: ").unwrap_or_else(|| panic!("{copied}"));
    let entries = &copied[entries..].lines().next().unwrap().split_once(" new rows, up to entry ").unwrap();
    assert_eq!(entries.0, entries.1, "every entry from the first one on: {copied}");
    // Rows that the sweep after it recorded.
    assert!(output("tables", "copy").contains(".audit_log: "), "{}", output("tables", "copy"));
    assert!(output("recurrence", "scan").contains("is closed: a whole window passed"));
    assert!(output("digest", "digest").contains("recorded as revision 1 of"));
    assert!(output("audit", "verify").contains("intact:"));
    assert!(output("audit", "checkpoint").contains("signed the head of"));
    assert!(output("maintenance", "maintain").contains("audit_log: files"));
    assert!(output("sweep", "sweep").contains("broken failed"), "{}", output("sweep", "sweep"));
    let checked = output("compliance", "check");
    let opened: Vec<&str> = checked.lines().filter(|line| line.starts_with("opened ")).collect();
    assert!(opened.len() == 1 && opened[0].contains(" broken "), "only the job `broken` fails rules: {checked}");
    assert!(fixture.folder.path().join("inbox/_done/incoming/dropped.json").exists(), "{}", output("ingest", "ingest"));
    let digests = fs::read_dir(fixture.path("digests")).unwrap().count();
    assert_eq!(digests, 6, "five formats of a digest, and a checkpoint");

    assert!(emulated["vended"].as_u64().unwrap() >= runs.len() as u64, "{}", emulated["vended"]);
    // The catalog lists every table and every view.
    let tables = emulated["tables"].as_object().unwrap();
    for def in catalog::all() {
        assert!(tables.contains_key(def.name), "{tables:?}");
    }
    for view in ["incidents", "outbox", "job_gaps", "audit_trail"] {
        assert!(tables.contains_key(view), "{tables:?}");
    }

    let begun = second[0].start;
    let rows =
        json_lines(&fixture.lake, &["sql", "SELECT request_kind, interface, recorded_at FROM audit_log ORDER BY seq"]);
    let taken = rows.iter().filter(|row| row["request_kind"] == "record_report" && row["interface"] == "inbox");
    assert_eq!(taken.count(), 1, "one document was dropped");
    let swept = rows.iter().filter(|row| row["request_kind"] == "open_incident" && row["interface"] == "sweep");
    assert_eq!(swept.count(), 1, "one run failed");
    let later: Vec<&str> = rows
        .iter()
        .filter(|row| row["recorded_at"].as_str().unwrap().parse::<Timestamp>().unwrap() >= begun)
        .map(|row| row["request_kind"].as_str().unwrap())
        .collect();
    assert_eq!(later, ["record_job_runs"], "the runs of the jobs themselves");
    ok(
        &fixture.lake,
        &["audit", "verify", "--checkpoint", &fixture.path("digests/audit.checkpoint"), "--public-key", public_key],
    );
    for run in runs {
        for [_, logs, error] in run.tasks.values() {
            assert!(!logs.contains(secret.trim()) && !error.contains(secret.trim()));
        }
    }
}

/// Returns a job with one task that is not part of the bundle.
fn job(name: &str, binary: &str, options: &[&str], arguments: &[&str]) -> Value {
    let launcher = ["--binary", binary].into_iter().chain(options.iter().copied());
    let parameters: Vec<&str> = launcher.chain(["--"]).chain(arguments.iter().copied()).collect();
    json!({ "name": name, "tasks": [
        { "task_key": "task", "spark_python_task": { "python_file": "../bundle/launcher.py", "parameters": parameters } }
    ] })
}

const DEPLOYED: &str = "{files}/bundle/bin/ops-runbook";

#[test]
fn a_failed_job_reports_the_reason() {
    let fixture = JobFixture::new();
    ok(&fixture.lake, &["init"]);
    let wrong = ["missing", "refused", "undeployed", "unkeyed", "elsewhere", "unread"];
    let mut tasks: Map<String, Value> = wrong.iter().map(|job| ((*job).to_owned(), json!(["task"]))).collect();
    tasks.insert("audit".into(), json!(["verify"]));
    let lake = ["--lake", LAKE];
    let more = json!({
        "missing": job("missing", DEPLOYED, &[], &[&["audit", "show", "7"], &lake[..]].concat()),
        "refused": job("refused", DEPLOYED, &[], &["audit", "verify", "--what"]),
        "undeployed": job("undeployed", "{files}/bundle/bin/other", &[], &["init"]),
        "unkeyed": job(
            "unkeyed",
            DEPLOYED,
            &["--scope", SCOPE, "--secret", "OPS_RUNBOOK_CHECKPOINT_KEY"],
            &[&["audit", "checkpoint"], &lake[..]].concat(),
        ),
        "elsewhere": job("elsewhere", DEPLOYED, &[], &[&["sweep", "--workspace-id", "7"], &lake[..]].concat()),
        "unread": job("unread", DEPLOYED, &[], &[&["compliance", "check", "--job", "999"], &lake[..]].concat()),
    });
    let runs = fixture.run(&stripped_binary(fixture.folder.path()), Value::Object(tasks), json!({ "more": more }));
    for (run, expected) in runs.iter().zip([
        &["exited with code 4", "`ops-runbook audit list` lists the rows"][..],
        &["exited with code 2", "--what"],
        &["has no binary for it, and none for another processor; create it with `ops-runbook bundle init`"],
        &["the secret scope ops-runbook-dev-tester has no secret OPS_RUNBOOK_CHECKPOINT_KEY"],
        &["exited with code 3", "the workspace is 12345678901234567, not 7"],
        &["exited with code 1", "not read: job 999"],
    ]) {
        assert_eq!(run.state, "FAILED", "{run:#?}");
        for text in expected {
            assert!(run.output("task").contains(text), "{text:?} is not in {run:#?}");
        }
    }
    // Other jobs of the same workspace still succeed.
    assert_eq!(runs[wrong.len()].state, "SUCCESS", "{runs:#?}");
}

#[test]
fn parameters_of_a_job_reach_the_binary_unharmed() {
    const TITLES: [&str; 2] =
        ["it's \"quoted\" and `run` $HOME $(id) ${x} \\n \\ über 日本 🚨 | & ; < > * ? ~ # ! two  spaces", "-- --json"];
    let fixture = JobFixture::new();
    ok(&fixture.lake, &["init"]);
    let mut more = Map::new();
    let mut tasks = Map::new();
    for (number, title) in TITLES.iter().enumerate() {
        let name = format!("open-{number}");
        let arguments = ["incident", "open", "--workspace", "1", "--lake", LAKE, "--", title];
        more.insert(name.clone(), job(&name, DEPLOYED, &["--env", "OPS_RUNBOOK_ACTOR=agent:a b"], &arguments));
        tasks.insert(name, json!(["task"]));
    }
    let runs = fixture.run(&stripped_binary(fixture.folder.path()), Value::Object(tasks), json!({ "more": more }));
    assert!(runs.iter().all(|run| run.state == "SUCCESS"), "{runs:#?}");
    let rows = json_lines(&fixture.lake, &["sql", "SELECT title, actor FROM incidents ORDER BY incident_id"]);
    let expected: Vec<Value> = TITLES.iter().map(|title| json!({ "title": title, "actor": "agent:a b" })).collect();
    assert_eq!(rows, expected);
}

#[test]
fn the_binary_gets_the_credentials_of_the_job_and_they_are_masked() {
    /// A program in place of the binary. It prints its input, with the token as text and as bytes.
    const PROBE: &str = "#!/usr/bin/env python3\n\
        import os, sys\n\
        token = os.environ['DATABRICKS_TOKEN']\n\
        print('host', os.environ['DATABRICKS_HOST'])\n\
        print('token', token)\n\
        print('bytes', token.encode().hex())\n\
        print('arguments', sys.argv[1:])\n";
    const TOKEN: &str = "dapi00000000000000000000000000000000";
    let fixture = JobFixture::new();
    let probe = fixture.path("probe");
    fs::write(&probe, PROBE).unwrap();
    let more = json!({ "probe": job("probe", "{files}/probe", &[], &["", "-", "two\nlines"]) });
    let plan = json!({ "more": more, "files": { "probe": probe } });
    let runs = fixture.run(&probe, json!({ "probe": ["task"] }), plan);
    assert_eq!(runs[0].state, "SUCCESS", "{runs:#?}");
    let output = runs[0].output("task");
    assert!(output.contains("host http://127.0.0.1:"), "{output}");
    assert!(output.contains("token [REDACTED]\n"), "{output}");
    let bytes: String = TOKEN.bytes().map(|byte| format!("{byte:02x}")).collect();
    assert!(output.contains(&format!("bytes {bytes}\n")), "{output}");
    assert!(output.contains("arguments ['', '-', 'two\\nlines']"), "{output}");
    assert!(!format!("{runs:?}").contains(TOKEN));
}
