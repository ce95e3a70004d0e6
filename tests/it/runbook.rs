//! Tests that paste runbooks into bash against a fake workspace.

pub mod workspace;

use std::{
    fs,
    io::Write,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
};

use serde_json::{Value, json};
use tempfile::{TempDir, tempdir};

use crate::{
    peer,
    support::{example, finish, json_lines, ok, report, run},
    wait::output_of,
};
use workspace::{TOKEN, WORKSPACE_ID, Workspace, World};

const HOSTILE: &str = "x'; touch pwned #\n$(touch pwned)`touch pwned`\"; touch pwned; \"\u{202e}\u{1b}[2J!!\\";

/// A fake `databricks` that accepts exactly the command lines of runbooks.
const DATABRICKS: &str = r#"#!/usr/bin/env bash
set -euo pipefail
case "$1 $2 $#" in
  "api get 3") curl -sS --fail-with-body -H "Authorization: Bearer $DATABRICKS_TOKEN" "$DATABRICKS_HOST$3" ;;
  "api post 5")
    [ "$4 $5" = "--json @/dev/stdin" ]
    curl -sS --fail-with-body -H "Authorization: Bearer $DATABRICKS_TOKEN" --data-binary @- "$DATABRICKS_HOST$3"
    ;;
  "jobs run-now 6")
    [ "$4 $6" = "--idempotency-token --no-wait" ]
    curl -sS --fail-with-body -H "Authorization: Bearer $DATABRICKS_TOKEN" \
      --data-binary "{\"job_id\":$3,\"idempotency_token\":\"$5\"}" "$DATABRICKS_HOST/api/2.2/jobs/run-now"
    ;;
  *) exit 64 ;;
esac
"#;

/// A `curl` that logs its arguments and then runs the real one.
const CURL: &str = "#!/usr/bin/env bash\nprintf '%s\\n' \"$*\" >>\"$CALLS\"\nexec /usr/bin/curl \"$@\"\n";

/// A workspace, a lake with one incident, and an empty folder to paste in.
pub struct Desk {
    pub workspace: Workspace,
    pub folder: TempDir,
    tool: &'static str,
    /// The output of `runbook show`: the same before and after its blocks ran.
    text: OnceLock<String>,
}

/// The result of a paste.
pub struct Pasted {
    pub success: bool,
    pub out: String,
    pub err: String,
}

impl Desk {
    /// Without a lake.
    pub async fn bare(world: World, tool: &'static str) -> Self {
        ["jq", "curl"].into_iter().for_each(peer::program);
        let workspace = Workspace::start(world).await;
        let folder = tempdir().unwrap();
        for name in ["bin", "paste"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        for (name, text) in [("databricks", DATABRICKS), ("curl", CURL)] {
            let path = folder.path().join("bin").join(name);
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        Self { workspace, folder, tool, text: OnceLock::new() }
    }

    async fn new(world: World, tool: &'static str, steps: &[Value]) -> Self {
        let desk = Self::bare(world, tool).await;
        let mut document = report("steps");
        document["workspace"]["id"] = WORKSPACE_ID.into();
        document["workspace"]["url"] = desk.workspace.url.clone().into();
        document["incident"]["title"] = HOSTILE.into();
        document["rca"]["root_cause"] = HOSTILE.into();
        document["remediation"] = steps.iter().cloned().collect();
        let file = desk.folder.path().join("report.json");
        fs::write(&file, document.to_string()).unwrap();
        ok(&desk.lake(), &["record", file.to_str().unwrap()]);
        desk
    }

    pub fn lake(&self) -> PathBuf {
        self.folder.path().join("lake")
    }

    pub fn show(&self, arguments: &[&str]) -> String {
        ok(&self.lake(), &[&["runbook", "show", "INC-1001", "--with", self.tool], arguments].concat())
    }

    pub fn bash(&self) -> Command {
        let bin = self.folder.path().join("bin");
        let mut command = Command::new("bash");
        command
            .current_dir(self.folder.path().join("paste"))
            .env("PATH", format!("{}:/usr/local/bin:/usr/bin:/bin", bin.display()))
            .env("HOME", self.folder.path().join("paste"))
            .env("CALLS", self.folder.path().join("calls"))
            .env("DATABRICKS_HOST", &self.workspace.url)
            .env("DATABRICKS_TOKEN", TOKEN)
            .env("DATABRICKS_WAREHOUSE_ID", "wh1");
        command
    }

    /// Pastes the unmodified text into the standard input of a shell.
    fn paste_with(&self, text: &str, environment: &[(&str, &str)]) -> Pasted {
        let mut command = self.bash();
        command.envs(environment.iter().copied());
        let mut shell = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        shell.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        let output = output_of("a pasted block", shell);
        let left: Vec<String> = fs::read_dir(self.folder.path().join("paste"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| !name.ends_with(".captured.json"))
            .collect();
        assert!(left.is_empty(), "something else ran and left {left:?}");
        Pasted {
            success: output.status.success(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// The block under a heading of the runbook.
    fn block(&self, heading: &str) -> String {
        block(self.text.get_or_init(|| self.show(&[])), heading)
    }

    fn paste(&self, step: &str) -> Pasted {
        self.paste_with(&self.block(step), &[])
    }

    /// Pastes a block. Asserts that it succeeds and prints `expected`.
    fn works(&self, step: &str, expected: &str) {
        let Pasted { success, out, err } = self.paste(step);
        assert!(success && out.contains(expected), "{step}: {out}{err}");
    }

    /// Pastes a block. Asserts that it fails with `reason` and changes nothing.
    fn refuses(&self, step: &str, reason: &str) {
        let before = self.workspace.settings();
        let Pasted { success, out, err } = self.paste(step);
        assert!(!success && err.contains(reason), "{step}: {out}{err}");
        assert_eq!(self.workspace.settings(), before);
    }
}

/// The lines of the block under the heading that starts with `heading`.
fn block(text: &str, heading: &str) -> String {
    let mut lines = text.lines().skip_while(|line| !line.starts_with(heading));
    assert!(lines.next().is_some(), "no {heading} in {text}");
    let lines = lines.take_while(|line| !line.is_empty()).filter(|line| !line.starts_with("   #"));
    lines.map(|line| format!("{line}\n")).collect()
}

const CHECK: &str = "1. ";
const APPLY: &str = "2. ";
const VALIDATE: &str = "3. ";
const TEST: &str = "4. ";
const MONITOR: &str = "5. ";
const ROLLBACK: &str = "- ";

fn settings(task: &str) -> Value {
    json!({
        "name": HOSTILE,
        "max_concurrent_runs": 1,
        "tags": { "team": HOSTILE },
        "job_clusters": [{ "job_cluster_key": "small", "new_cluster": { "num_workers": 1 } }],
        "tasks": [
            { "task_key": "extract", "notebook_task": { "notebook_path": HOSTILE }, "timeout_seconds": 60 },
            { "task_key": task, "depends_on": [{ "task_key": "extract" }], "max_retries": 0, "environment_key": "default" },
        ],
    })
}

fn one_job(settings: Value) -> World {
    let mut other = settings.clone();
    other["name"] = "other".into();
    World { jobs: [("7".to_owned(), settings), ("8".to_owned(), other)].into(), ..World::default() }
}

fn job_step(task: &str, captured: Option<&Value>) -> Value {
    let mut step = json!({
        "kind": "job_settings", "title": HOSTILE, "resource": { "kind": "job", "id": "7", "name": HOSTILE },
        "task_keys": [task],
        "changes": {
            "max_retries": 3, "retry_on_timeout": true, "environment_key": null, "description": HOSTILE,
            "schedule": { "quartz_cron_expression": "0 0 12 * * ?", "timezone_id": "UTC" },
            "job_clusters": [{ "job_cluster_key": "big", "new_cluster": { "num_workers": 9 } }],
        },
        "applied": false,
    });
    if let Some(captured) = captured {
        step["captured_settings"] = captured.clone();
    }
    step
}

fn changed(task: &str) -> Value {
    let mut after = settings(task);
    let changed = after["tasks"][1].as_object_mut().unwrap();
    changed.remove("environment_key");
    changed.insert("max_retries".into(), 3.into());
    changed.insert("retry_on_timeout".into(), true.into());
    changed.insert("description".into(), HOSTILE.into());
    after["schedule"] = json!({ "quartz_cron_expression": "0 0 12 * * ?", "timezone_id": "UTC" });
    after["job_clusters"] = json!([{ "job_cluster_key": "big", "new_cluster": { "num_workers": 9 } }]);
    after
}

/// Runs all blocks from the check to the rollback; `after` is the expected workspace in between.
fn there_and_back(desk: &Desk, after: &World) {
    let before = desk.workspace.settings();
    desk.works(CHECK, "ok: nothing has drifted");
    let unlike = desk.paste(VALIDATE);
    assert!(!unlike.success && unlike.out.ends_with("false\n"), "{}{}", unlike.out, unlike.err);
    assert_eq!(desk.workspace.world().writes, Vec::<String>::new());
    desk.works(APPLY, "applied\n");
    assert_eq!(desk.workspace.settings(), *after);
    desk.works(VALIDATE, "true\n");
    desk.works(CHECK, "ok: the change is in place");
    desk.works(APPLY, "nothing to do");
    desk.works(TEST, "");
    desk.works(TEST, "");
    assert_eq!(desk.workspace.world().runs.len(), 1, "one run, however often it is pasted");
    desk.works(MONITOR, "\"result\":\"SUCCESS\",\"message\":\"\\u001b]0;x\\u0007\"");
    desk.works(ROLLBACK, "rolled back: the live settings are the captured ones\n");
    assert_eq!(desk.workspace.settings(), before);
    desk.works(ROLLBACK, "nothing to do");
    let calls = fs::read_to_string(desk.folder.path().join("calls")).unwrap();
    assert_eq!(calls.contains(TOKEN), desk.tool == "cli", "only the test's own databricks shows the token");
}

#[tokio::test(flavor = "multi_thread")]
async fn job_settings_are_changed_and_restored_from_the_recorded_capture() {
    for tool in ["cli", "curl"] {
        for task in ["transform", HOSTILE] {
            let desk = Desk::new(one_job(settings(task)), tool, &[job_step(task, Some(&settings(task)))]).await;
            let mut after = desk.workspace.settings();
            after.jobs.insert("7".into(), changed(task));
            there_and_back(&desk, &after);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn job_settings_without_a_capture_are_captured_first() {
    for tool in ["cli", "curl"] {
        let task = HOSTILE;
        let many = |mut settings: Value| {
            let tasks = settings["tasks"].as_array_mut().unwrap();
            tasks.extend((0..250).map(|number| json!({ "task_key": format!("t{number}") })));
            settings
        };
        let desk = Desk::new(one_job(many(settings(task))), tool, &[job_step(task, None)]).await;
        desk.refuses(APPLY, "No such file");
        let mut after = desk.workspace.settings();
        // The tasks are sent with the defaults they were read with.
        let mut job = many(changed(task));
        for task in job["tasks"].as_array_mut().unwrap() {
            task["run_if"] = "ALL_SUCCESS".into();
            task["email_notifications"] = json!({});
        }
        after.jobs.insert("7".into(), job);
        desk.works(CHECK, "captured into ./INC-1001-step-1-job-7.captured.json");
        let file = desk.folder.path().join("paste/INC-1001-step-1-job-7.captured.json");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        let captured = fs::read(&file).unwrap();
        desk.works(APPLY, "applied\n");
        assert_eq!(desk.workspace.settings(), after);
        desk.works(VALIDATE, "true\n");
        desk.works(CHECK, "ok: the change is in place");
        assert_eq!(fs::read(&file).unwrap(), captured, "a capture is never overwritten");
        desk.works(ROLLBACK, "rolled back: the live settings are the captured ones\n");
        let mut restored = many(settings(task));
        for task in restored["tasks"].as_array_mut().unwrap() {
            task["run_if"] = "ALL_SUCCESS".into();
            task["email_notifications"] = json!({});
        }
        assert_eq!(desk.workspace.settings().jobs["7"], restored);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cluster_settings_are_changed_and_restored() {
    let before = json!({ "cluster_name": HOSTILE, "autoscale": { "min_workers": 1, "max_workers": 4 }, "spark_conf": { "a": HOSTILE } });
    for tool in ["cli", "curl"] {
        for captured in [Some(&before), None] {
            let mut step = json!({
                "kind": "cluster_settings", "title": "Resize", "resource": { "kind": "cluster", "id": "0211-abc" },
                "changes": { "num_workers": 3, "autotermination_minutes": 30, "custom_tags": { "why": HOSTILE } }, "applied": false,
            });
            if let Some(captured) = captured {
                step["captured_settings"] = captured.clone();
            }
            let world = World { clusters: [("0211-abc".into(), before.clone())].into(), ..World::default() };
            let desk = Desk::new(world, tool, &[step]).await;
            let mut after = desk.workspace.settings();
            after.clusters.insert(
                "0211-abc".into(),
                json!({ "cluster_name": HOSTILE, "num_workers": 3, "autotermination_minutes": 30, "custom_tags": { "why": HOSTILE },
                        "spark_conf": { "a": HOSTILE } }),
            );
            there_and_back(&desk, &after);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn warehouse_settings_are_changed_and_restored() {
    let before = json!({ "name": HOSTILE, "cluster_size": "Small", "auto_stop_mins": 10, "enable_photon": true });
    for tool in ["cli", "curl"] {
        for captured in [Some(&before), None] {
            let mut step = json!({
                "kind": "warehouse_settings", "title": "Bigger", "resource": { "kind": "warehouse", "id": "ab12" },
                "changes": { "cluster_size": "Large", "tags": { "custom_tags": [{ "key": "why", "value": HOSTILE }] } }, "applied": false,
            });
            if let Some(captured) = captured {
                step["captured_settings"] = captured.clone();
            }
            let world = World { warehouses: [("ab12".into(), before.clone())].into(), ..World::default() };
            let desk = Desk::new(world, tool, &[step]).await;
            let mut after = desk.workspace.settings();
            let warehouse = after.warehouses.get_mut("ab12").unwrap();
            warehouse["cluster_size"] = "Large".into();
            warehouse["tags"] = json!({ "custom_tags": [{ "key": "why", "value": HOSTILE }] });
            there_and_back(&desk, &after);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_runs_as_it_was_recorded_and_a_failed_one_fails() {
    for tool in ["cli", "curl"] {
        let statement = format!("DELETE FROM t WHERE name = '{HOSTILE}'");
        for (statement, success, state) in [(statement.as_str(), true, "SUCCEEDED"), ("SELECT fail", false, "FAILED")] {
            let step = json!({ "kind": "sql", "title": HOSTILE, "statement": statement, "applied": false });
            let desk = Desk::new(World::default(), tool, &[step]).await;
            let pasted = desk.paste(APPLY);
            assert_eq!(pasted.success, success, "{}{}", pasted.out, pasted.err);
            assert!(pasted.out.contains(state));
            assert_eq!(desk.workspace.world().statements, [statement]);
            assert_eq!(desk.block(ROLLBACK), "");
            assert_eq!(desk.block(CHECK), "");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recorded_command_is_shown_and_never_run() {
    let step = json!({ "kind": "command", "title": "Clean up", "command": format!("touch pwned\n{HOSTILE}"), "applied": false });
    let desk = Desk::new(World::default(), "cli", &[step]).await;
    let text = desk.show(&[]);
    assert!(text.contains("   #   touch pwned\n"), "{text}");
    assert_eq!(block(&text, APPLY), "");
    let script = desk.folder.path().join("runbook.sh");
    fs::write(&script, desk.show(&["--format", "script"])).unwrap();
    let output = finish(desk.bash().arg(&script).arg("apply"));
    assert_eq!(output.status.code(), Some(3));
    desk.paste_with(&text, &[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_written_when_something_drifted() {
    type Drift = fn(&mut Value);
    let drifts: [(Drift, &str); 5] = [
        (
            |job| job["tasks"][1]["max_retries"] = 9.into(),
            r#"{"setting":["tasks","transform","max_retries"],"captured":0,"now":9}"#,
        ),
        (
            |job| job["tasks"][0]["libraries"] = json!([{ "jar": "x" }]),
            r#"["tasks","extract","libraries",0,"jar"],"captured":null"#,
        ),
        (
            |job| job["tasks"].as_array_mut().unwrap().push(json!({ "task_key": "new" })),
            r#"["tasks","new","task_key"]"#,
        ),
        (|job| job["schedule"] = json!({ "timezone_id": "CET" }), r#"["schedule","timezone_id"]"#),
        (|job| job["deployment"] = json!({ "kind": "BUNDLE" }), "a bundle deployed this job"),
    ];
    for (drift, reason) in drifts {
        let captured = settings("transform");
        let desk = Desk::new(one_job(captured.clone()), "curl", &[job_step("transform", Some(&captured))]).await;
        drift(desk.workspace.world.lock().unwrap().jobs.get_mut("7").unwrap());
        desk.refuses(CHECK, reason);
        desk.refuses(APPLY, reason);
        desk.refuses(ROLLBACK, reason);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_over_a_drift_needs_a_flag() {
    let captured = settings("transform");
    let desk = Desk::new(one_job(captured.clone()), "cli", &[job_step("transform", Some(&captured))]).await;
    desk.works(APPLY, "applied");
    desk.workspace.world.lock().unwrap().jobs.get_mut("7").unwrap()["tasks"][1]["max_retries"] = 5.into();
    desk.refuses(ROLLBACK, "neither as captured nor as changed");
    let pasted = desk.paste_with(&desk.block(ROLLBACK), &[("ROLLBACK_ANYWAY", "1")]);
    assert!(pasted.success, "{}", pasted.err);
    assert_eq!(desk.workspace.settings().jobs["7"], captured);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_stops_in_another_workspace_and_without_credentials() {
    let captured = settings("transform");
    for tool in ["cli", "curl"] {
        let desk = Desk::new(one_job(captured.clone()), tool, &[job_step("transform", Some(&captured))]).await;
        for (name, value) in [("DATABRICKS_HOST", "http://127.0.0.1:1"), ("DATABRICKS_TOKEN", "wrong")] {
            for step in [CHECK, APPLY, VALIDATE, TEST, ROLLBACK] {
                let pasted = desk.paste_with(&desk.block(step), &[(name, value)]);
                assert!(!pasted.success && !pasted.err.is_empty(), "{step} with {name}: {}", pasted.out);
            }
        }
        assert_eq!(desk.workspace.world().writes, Vec::<String>::new());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_block_leaves_the_shell_it_was_pasted_into() {
    let desk = Desk::new(World::default(), "curl", &[job_step("transform", None)]).await;
    let pasted = desk.paste_with(&format!("{}echo still here\n", desk.block(CHECK)), &[]);
    assert_eq!(pasted.out, "still here\n");
    assert!(pasted.err.contains("there is no such thing"), "{}", pasted.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_captures_are_taken_live_and_drift_is_reported() {
    let retries = |task: &str, captured: Option<Value>| {
        let mut step = json!({
            "kind": "job_settings", "title": format!("Retry {task}"), "resource": { "kind": "job", "id": "7" },
            "task_keys": [task], "changes": { "max_retries": 3 }, "applied": false,
        });
        if let Some(captured) = captured {
            step["captured_settings"] = captured;
        }
        step
    };
    let mut drifted = settings("transform");
    drifted["tasks"][1]["max_retries"] = 1.into();
    let cluster = json!({
        "kind": "cluster_settings", "title": "Resize", "resource": { "kind": "cluster", "id": "0211-abc" },
        "changes": { "num_workers": 3 }, "applied": false,
    });
    let gone = json!({
        "kind": "warehouse_settings", "title": "Bigger", "resource": { "kind": "warehouse", "id": "gone" },
        "changes": { "cluster_size": "Large" }, "applied": false,
    });
    let mut world = one_job(settings("transform"));
    world
        .clusters
        .insert("0211-abc".into(), json!({ "num_workers": 1, "spark_conf": { "a.password": "hunter2-not-real" } }));
    let steps = [retries("extract", None), retries("transform", Some(drifted)), cluster, gone];
    let desk = Desk::new(world, "curl", &steps).await;
    let capture = |arguments: &[&str]| {
        let mut command = crate::support::binary(&desk.lake());
        command.env("DATABRICKS_HOST", &desk.workspace.url).env("DATABRICKS_TOKEN", TOKEN);
        let output = finish(command.args(["runbook", "capture", "INC-1001", "--json"]).args(arguments));
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let found: Value = serde_json::from_slice(&output.stdout).unwrap();
        let word = |step: &Value| {
            let state = step["drift"].as_str();
            state.unwrap_or_else(|| step["outcome"].as_str().unwrap()).to_owned()
        };
        (found["steps"].as_array().unwrap().iter().map(word).collect::<Vec<_>>(), found)
    };
    let (words, found) = capture(&[]);
    assert_eq!(words, ["captured", "drifted", "captured", "unread"], "{found:#}");
    assert_eq!(
        found["steps"][1]["differences"],
        json!([{ "setting": ["tasks", "transform", "max_retries"], "captured": 1, "now": null }])
    );
    assert_eq!(found["runbook"]["entries"].as_array().unwrap().len(), 4);
    let recorded = fs::read_dir(desk.lake()).is_ok() && !found.to_string().contains("hunter2");
    assert!(recorded, "no secret is captured");
    let rows = || {
        json_lines(&desk.lake(), &["sql", "SELECT count(*) AS n FROM audit_log", "--format", "json"])[0]["n"].clone()
    };
    let before = rows();
    let (words, found) = capture(&[]);
    assert_eq!(words, ["as_captured", "drifted", "as_captured", "unread"], "{found:#}");
    assert_eq!(rows(), before, "nothing is recorded twice");
    let (words, _) = capture(&["--recapture"]);
    assert_eq!(words, ["as_captured", "captured", "as_captured", "unread"]);
    let (words, _) = capture(&["--recapture"]);
    assert_eq!(words, ["as_captured", "as_captured", "as_captured", "unread"]);
    assert_eq!(desk.workspace.world().writes, Vec::<String>::new());
    // The captures work, one after the other.
    let script = desk.folder.path().join("runbook.sh");
    fs::write(&script, desk.show(&["--format", "script"])).unwrap();
    for step in ["1", "2", "3"] {
        let output = finish(desk.bash().arg(&script).args(["apply", step]));
        assert!(output.status.success(), "{step}: {}", String::from_utf8_lossy(&output.stderr));
    }
    assert_eq!(desk.workspace.settings().jobs["7"]["tasks"][1]["max_retries"], 3);
}

fn shellcheck(script: &Path) {
    let Ok(output) = Command::new("shellcheck").arg(script).output() else { return };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_script_does_what_the_blocks_do() {
    let captured = settings(HOSTILE);
    for tool in ["cli", "curl"] {
        let sql = json!({ "kind": "sql", "title": "Clean", "statement": "DELETE FROM t", "applied": false });
        let steps = [job_step(HOSTILE, Some(&captured)), sql];
        let desk = Desk::new(one_job(captured.clone()), tool, &steps).await;
        let script = desk.folder.path().join("runbook.sh");
        fs::write(&script, desk.show(&["--format", "script"])).unwrap();
        shellcheck(&script);
        let run = |arguments: &[&str]| {
            let output = finish(desk.bash().arg(&script).args(arguments));
            (output.status.code(), String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
        };
        assert_eq!(run(&[]).0, Some(2));
        assert_eq!(run(&["apply", "3"]).0, Some(2));
        assert_eq!(run(&["apply", "-1"]).0, Some(2));
        let check = run(&["check"]);
        assert_eq!(check.0, Some(0), "{check:?}");
        let apply = run(&["apply"]);
        assert_eq!(apply.0, Some(0), "{apply:?}");
        assert_eq!(desk.workspace.settings().jobs["7"], changed(HOSTILE));
        assert_eq!(desk.workspace.world().statements, ["DELETE FROM t"]);
        assert_eq!(run(&["validate", "1"]).0, Some(0));
        assert_eq!(run(&["rollback", "2"]).0, Some(3), "the statement cannot be put back");
        assert_eq!(desk.workspace.settings().jobs["7"], changed(HOSTILE));
        assert_eq!(run(&["rollback", "1"]).0, Some(0));
        assert_eq!(desk.workspace.settings(), one_job(captured.clone()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_entry_is_validated_and_rolled_back_and_each_outcome_is_printed() {
    let captured = settings("transform");
    let for_job = |id: &str| {
        let mut step = job_step("transform", Some(&captured));
        step["resource"]["id"] = id.into();
        step
    };
    let by_hand = json!({ "kind": "command", "title": "Clean up", "command": "touch pwned", "applied": false });
    for tool in ["cli", "curl"] {
        let steps = [for_job("7"), by_hand.clone(), for_job("8")];
        let desk = Desk::new(one_job(captured.clone()), tool, &steps).await;
        let script = desk.folder.path().join("runbook.sh");
        fs::write(&script, desk.show(&["--format", "script"])).unwrap();
        shellcheck(&script);
        let run = |arguments: &[&str], code: i32, printed: &[&str]| {
            let output = finish(desk.bash().arg(&script).args(arguments));
            let text = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap()).concat();
            assert_eq!(output.status.code(), Some(code), "{arguments:?}: {text}");
            for line in printed {
                assert!(text.lines().any(|there| there == *line), "{line} is not in {text}");
            }
        };
        run(
            &["apply"],
            3,
            &[
                "entry 1: done",
                "entry 2: nothing to run; the comments in this file say why",
                "stop: no entry after 2 was applied",
                "apply: done: 1; nothing to run: 2; failed: none",
            ],
        );
        run(&["check"], 0, &["check: done: 1 3; nothing to run: 2; failed: none"]);
        run(&["validate"], 1, &["entry 3: FAILED with exit code 1", "validate: done: 1; nothing to run: 2; failed: 3"]);
        run(&["apply", "3"], 0, &["apply: done: 3; nothing to run: none; failed: none"]);
        run(&["validate"], 3, &["entry 3: done", "validate: done: 1 3; nothing to run: 2; failed: none"]);
        let with_retries = |retries: u64| {
            let mut world = desk.workspace.world.lock().unwrap();
            world.jobs.get_mut("8").unwrap()["tasks"][1]["max_retries"] = retries.into();
        };
        with_retries(9);
        let rolled_back = "rolled back: the live settings are the captured ones";
        run(
            &["rollback"],
            1,
            &[
                r#"{"setting":["tasks","transform","max_retries"],"captured":0,"now":9}"#,
                "entry 3: FAILED with exit code 1",
                rolled_back,
                "rollback: done: 1; nothing to run: 2; failed: 3",
            ],
        );
        assert_eq!(desk.workspace.settings().jobs["7"], captured);
        with_retries(3);
        run(
            &["rollback"],
            3,
            &[
                rolled_back,
                "nothing to do: the settings are as captured",
                "rollback: done: 3 1; nothing to run: 2; failed: none",
            ],
        );
        assert_eq!(desk.workspace.settings().jobs["8"]["tasks"], captured["tasks"]);
        // A failure in the middle of a block is a failure of the block.
        let output = finish(desk.bash().env_remove("DATABRICKS_HOST").arg(&script).arg("validate"));
        assert_eq!(output.status.code(), Some(1));
        assert!(
            String::from_utf8_lossy(&output.stdout).ends_with("validate: done: none; nothing to run: 2; failed: 1 3\n")
        );
    }
}

/// A workspace may accept a change and ignore a part of it.
#[tokio::test(flavor = "multi_thread")]
async fn an_incomplete_rollback_fails_and_prints_the_differences() {
    let job = settings("transform");
    let cluster = json!({ "cluster_name": "small", "num_workers": 1 });
    let warehouse = json!({ "name": "main", "cluster_size": "Small", "auto_stop_mins": 10 });
    let step = |kind: &str, id: &str, changes: Value, captured: &Value| {
        json!({ "kind": format!("{kind}_settings"), "title": kind, "resource": { "kind": kind, "id": id },
                "changes": changes, "captured_settings": captured, "applied": false })
    };
    let cases = [
        (
            job_step("transform", Some(&job)),
            "schedule",
            r#"{"setting":["schedule","timezone_id"],"captured":null,"now":"UTC"}"#,
        ),
        (
            step("cluster", "0211-abc", json!({ "num_workers": 3 }), &cluster),
            "num_workers",
            r#"{"setting":["num_workers"],"captured":1,"now":3}"#,
        ),
        (
            step("warehouse", "ab12", json!({ "cluster_size": "Large" }), &warehouse),
            "cluster_size",
            r#"{"setting":["cluster_size"],"captured":"Small","now":"Large"}"#,
        ),
    ];
    for (step, ignored, differs) in cases {
        for tool in ["cli", "curl"] {
            let mut world = one_job(job.clone());
            world.clusters.insert("0211-abc".into(), cluster.clone());
            world.warehouses.insert("ab12".into(), warehouse.clone());
            let before = world.clone();
            let desk = Desk::new(world, tool, std::slice::from_ref(&step)).await;
            desk.works(APPLY, "applied\n");
            desk.workspace.world.lock().unwrap().ignored.insert(ignored.into());
            let Pasted { success, out, err } = desk.paste(ROLLBACK);
            assert!(!success && !out.contains("rolled back"), "{out}{err}");
            assert!(err.lines().any(|line| line == differs), "{differs} is not in {err}");
            assert!(err.contains("the live ones still differ from the captured ones"), "{err}");
            desk.workspace.world.lock().unwrap().ignored.clear();
            let pasted = desk.paste_with(&desk.block(ROLLBACK), &[("ROLLBACK_ANYWAY", "1")]);
            assert!(pasted.success && pasted.out.contains("rolled back"), "{}{}", pasted.out, pasted.err);
            assert_eq!(desk.workspace.settings(), before);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_runbook_pasted_by_mistake_runs_nothing_but_its_blocks() {
    let step = json!({
        "kind": "job_settings", "title": HOSTILE, "resource": { "kind": "job", "id": HOSTILE }, "changes": { HOSTILE: 1 }, "applied": false,
    });
    let desk = Desk::new(World::default(), "cli", &[step]).await;
    for format in ["text", "markdown"] {
        let text = desk.show(&["--format", format]);
        // One line at a time, as an interactive shell goes on after a syntax error.
        for line in text.lines() {
            desk.paste_with(&format!("{line}\n"), &[]);
        }
    }
    assert_eq!(desk.workspace.world(), World::default());
}

#[test]
fn the_examples_have_runbooks_and_versions_are_counted() {
    let folder = tempdir().unwrap();
    let lake = folder.path().join("lake");
    for name in ["01-daily-etl-no-retries", "04-run-output-unavailable", "06-hostile-names-and-secrets"] {
        ok(&lake, &["record", &example(name)]);
    }
    let list = json_lines(&lake, &["runbook", "list"]).remove(0);
    let ids: Vec<&Value> = list.as_array().unwrap().iter().map(|row| &row["incident_id"]).collect();
    assert_eq!(ids, ["INC-1003", "INC-1001"]);
    assert_eq!(list[0]["versions"], 1);
    let shown = json_lines(&lake, &["runbook", "show", "INC-1001"]).remove(0);
    assert_eq!((&shown["version"], &shown["entries"][0]["applied"]), (&json!(1), &json!(true)));
    assert_eq!(shown["entries"][0]["cause_summary"].as_str().unwrap().get(..15), Some("Job \"daily-etl\""));
    assert!(ok(&lake, &["runbook", "show", "INC-1002"]).contains("no remediation step was recorded"));
    for (arguments, reason) in [
        (["INC-1001", "--version", "2"], "it has version 1 only"),
        (["INC-1002", "--version", "1"], "it has no version, because"),
        (["INC-1009", "--version", "1"], "there is no incident INC-1009"),
    ] {
        let output = run(&lake, &[&["runbook", "show"], &arguments[..]].concat());
        assert_eq!(output.status.code(), Some(4));
        assert!(String::from_utf8_lossy(&output.stderr).contains(reason));
    }
}
