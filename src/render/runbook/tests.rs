//! Tests of the runbook's layout, and that no text makes a block run other commands.

use std::{
    fs,
    io::Write,
    os::unix::fs::PermissionsExt,
    process::{Command, Stdio},
};

use proptest::prelude::*;
use serde_json::json;
use tempfile::tempdir;

use super::{
    quote::{json_line, json_word, shown},
    *,
};
use crate::{
    domain::report::Report,
    render::example::{DAILY_ETL, HOSTILE, assert_safe, hostile_text, recorded, report, time},
};

const HOURLY_SYNC: &str = include_str!("../../../tests/examples/02-hourly-sync-no-retries.json");

fn made(report: Report, with: RunbookTool) -> Runbook {
    let recorded = recorded(report);
    let sources = RunbookRows {
        steps: &recorded.projections.runbooks,
        states: &recorded.projections.incident_states,
        causes: &recorded.projections.root_causes,
    };
    runbook(IncidentId::from_ordinal(42), sources, None, with).unwrap()
}

fn with_step(step: Value) -> Report {
    let mut document: Value = serde_json::from_str(DAILY_ETL).unwrap();
    document["remediation"] = json!([step]);
    serde_json::from_value(document).unwrap()
}

/// The text without the lines of its blocks.
fn outline(text: &str) -> String {
    let mut inside = false;
    let mut out = String::new();
    for line in text.lines() {
        inside |= line == "   (";
        if !inside {
            out.push_str(line);
            out.push('\n');
        }
        if line == "   )" {
            inside = false;
            out.push_str("   (…)\n");
        }
    }
    out
}

#[test]
fn a_captured_job_is_checked_changed_validated_and_restored() {
    insta::assert_snapshot!(outline(&text(&made(report(DAILY_ETL), RunbookTool::Cli))), @r#"
    RUNBOOK ENTRY
    =============
    Title: Fix Job Retry Policies - daily-etl
    Created: 2026-02-20T12:36:00Z
    Incident ID: INC-1042
    Version: 1
    Applied: yes, SUCCESS
    RCA Summary: 'Job "daily-etl" failed due to no retry policy; transient workload error -> no automatic recovery.'

    Remediation Steps (copy-paste ready):

    1. Check that nothing has drifted since the capture:
       (…)

    2. Update job configuration:
       (…)

    3. Validate fix:
       (…)
       # Expected: "max_retries" 3 (task "transform")
       # Expected: "min_retry_interval_millis" 120000 (task "transform")
       # Expected: "retry_on_timeout" true (task "transform")
       # Expected: "timeout_seconds" 3600 (task "transform")
       # Expected: true, and exit code 0

    4. Test (optional, run once):
       (…)

    5. Monitor next 3 runs for success.
       (…)

    Rollback (if needed):
    - Restore the captured settings:
       (…)

    Escalation: If still failing after 3 retries, escalate to Databricks support with run_id 236083407514246 and error message 'java.lang.NullPointerException: Cannot invoke "String.length()" because "payload" is null'.
    "#);
}

#[test]
fn a_job_without_a_capture_is_captured_first() {
    insta::assert_snapshot!(outline(&text(&made(report(HOURLY_SYNC), RunbookTool::Curl))), @r#"
    RUNBOOK ENTRY
    =============
    Title: Fix Job Retry Policies - hourly-sync
    Created: 2026-02-20T12:36:00Z
    Incident ID: INC-1042
    Version: 1
    Applied: no
    RCA Summary: 'job retry policies not configured  (max_retries = 0)'

    Remediation Steps (copy-paste ready):

    1. Capture the settings as they are, or check that nothing has drifted since:
       (…)

    2. Update job configuration:
       (…)

    3. Validate fix:
       (…)
       # Expected: "max_retries" 3 (task "sync")
       # Expected: true, and exit code 0

    4. Test (optional, run once):
       (…)

    5. Monitor next 3 runs for success.
       (…)

    Rollback (if needed):
    - Restore the captured settings:
       (…)

    Escalation: If still failing after 3 retries, escalate to Databricks support with run_id 771190023 and error message 'requests.exceptions.HTTPError: 503 Server Error for url: https://partner.example.test/export?run=771190023'.
    "#);
}

#[test]
fn hostile_names_are_shown_and_do_nothing() {
    let runbook = made(report(HOSTILE), RunbookTool::Cli);
    for output in [text(&runbook), markdown(&runbook), script(&runbook)] {
        assert_safe(&output);
    }
    insta::assert_snapshot!(text(&runbook));
}

#[test]
fn the_update_holds_every_task_whole() {
    let runbook = made(report(DAILY_ETL), RunbookTool::Curl);
    let block = runbook.entries[0].apply.block.as_deref().unwrap();
    let body = block.split("body='").nth(1).unwrap().split('\'').next().unwrap();
    insta::assert_snapshot!(body, @r#"
    {
        "job_id": 360515640572923,
        "new_settings": {
          "tasks": [
            {
              "environment_key": "default",
              "notebook_task": {"notebook_path":"/Workspace/etl/extract","source":"WORKSPACE"},
              "task_key": "extract"
            },
            {
              "depends_on": [{"task_key":"extract"}],
              "environment_key": "default",
              "max_retries": 3,
              "notebook_task": {"notebook_path":"/Workspace/etl/transform","source":"WORKSPACE"},
              "task_key": "transform",
              "timeout_seconds": 3600,
              "min_retry_interval_millis": 120000,
              "retry_on_timeout": true
            }
          ]
        }
      }
    "#);
}

#[test]
fn a_step_that_cannot_be_applied_has_its_reason() {
    fn check(step: Value, reason: &str) {
        let output = text(&made(with_step(step.clone()), RunbookTool::Cli));
        assert!(output.contains(reason), "{reason}: {output}");
        assert!(!output.contains("api post"), "{step}: nothing is written");
    }
    let job = |id: &str, changes: Value| json!({ "kind": "job_settings", "title": "t", "applied": false, "resource": { "kind": "job", "id": id }, "changes": changes });
    check(job("1; rm -rf ~", json!({ "max_retries": 3 })), "'1; rm -rf ~' is not the id of a job");
    check(job("007", json!({ "tags": {} })), "007 is not the id of a job");
    check(job("9223372036854775808", json!({ "tags": {} })), "is not the id of a job");
    check(job("9007199254740993", json!({ "tags": {} })), "use the runbook made with --with curl");
    check(job("7", json!({ "max_retries": 3 })), "max_retries exists on tasks only");
    check(job("7", json!({ "tasks": [] })), "tasks cannot be changed as a setting");
    check(job("7", json!({ "tags": { "token": "[REDACTED:dapi]" } })), "a new value holds a secret");
    let mut pipeline = job("7", json!({ "tags": {} }));
    pipeline["resource"]["kind"] = "pipeline".into();
    check(pipeline, "the resource is a pipeline");
    check(
        json!({ "kind": "cluster_settings", "title": "t", "applied": false, "resource": { "kind": "cluster", "id": "../x" }, "changes": { "num_workers": 1 } }),
        "../x is not the id of a cluster",
    );
    check(
        json!({ "kind": "sql", "title": "t", "applied": false, "statement": "SET x = '[REDACTED:dapi]'" }),
        "a secret in the statement was redacted",
    );
    let mut bundle = job("7", json!({ "max_retries": 3 }));
    bundle["task_keys"] = json!(["a"]);
    bundle["captured_settings"] = json!({ "deployment": { "kind": "BUNDLE" }, "tasks": [{ "task_key": "a" }] });
    check(bundle, "A bundle deployed this job");
}

#[test]
fn a_setting_is_changed_on_the_task_or_the_job_as_the_platform_has_it() {
    fn check(task_keys: &[&str], task: &[&str], fields: &[&str]) {
        let step = json!({
            "kind": "job_settings", "title": "t", "applied": false, "resource": { "kind": "job", "id": "7" }, "task_keys": task_keys,
            "changes": { "max_retries": 3, "timeout_seconds": 60, "tags": {}, "email_notifications": {} },
            "captured_settings": { "tasks": [{ "task_key": "a" }, { "task_key": "b" }] },
        });
        let recorded = recorded(with_step(step));
        let shell = Shell { tool: RunbookTool::Curl, workspace: None };
        let change = change::parse_change(&recorded.projections.runbooks[0], &shell).unwrap().change;
        let names = |settings: &Map<String, Value>| settings.keys().cloned().collect::<Vec<_>>();
        assert_eq!(
            (names(&change.task), names(&change.fields)),
            (task.iter().map(|&name| name.to_owned()).collect(), fields.iter().map(|&name| name.to_owned()).collect())
        );
        assert_eq!(change.task_keys, if task_keys.is_empty() { vec!["a", "b"] } else { task_keys.to_vec() });
    }
    check(&["b"], &["email_notifications", "max_retries", "timeout_seconds"], &["tags"]);
    check(&[], &["max_retries"], &["email_notifications", "tags", "timeout_seconds"]);
}

#[test]
fn a_capture_that_would_write_a_redacted_secret_is_not_used() {
    let step = json!({
        "kind": "job_settings", "title": "t", "applied": false, "resource": { "kind": "job", "id": "7" }, "task_keys": ["a"],
        "changes": { "max_retries": 3 },
        "captured_settings": { "tasks": [{ "task_key": "a", "new_cluster": { "spark_env_vars": { "K": "[REDACTED:dapi]" } } }] },
    });
    let output = text(&made(with_step(step), RunbookTool::Cli));
    assert!(!output.contains("REDACTED"));
    assert!(output.contains("1. Capture the settings as they are"));
}

#[test]
fn each_request_with_steps_is_a_version_and_a_repeated_step_keeps_its_position() {
    let step = |seq: u64, ordinal: i32, title: &str, task: &str, captured: Option<&str>| {
        let mut step = recorded(report(DAILY_ETL)).projections.runbooks.remove(0);
        step.seq = seq;
        step.ordinal = ordinal;
        step.recorded_at = time(&format!("2026-02-20T12:00:{seq:02}Z"));
        step.title = title.into();
        step.task_keys = Some(json!([task]).to_string());
        step.captured_settings = captured.map(str::to_owned);
        step
    };
    let captured = Some(r#"{"tasks":[]}"#);
    let steps = [
        step(9, 1, "a again", "a", None),
        step(4, 2, "b", "b", None),
        step(4, 1, "a", "a", captured),
        step(12, 1, "c", "c", None),
    ];
    let entries = |version: Option<u32>| {
        let sources = RunbookRows { steps: &steps, ..RunbookRows::default() };
        runbook(IncidentId::from_ordinal(1), sources, version, RunbookTool::Cli).map(|runbook| {
            runbook
                .entries
                .iter()
                .map(|entry| (entry.number, entry.title.clone(), entry.created.to_string()))
                .collect::<Vec<_>>()
        })
    };
    let row =
        |number: usize, title: &str, second: &str| (number, title.to_owned(), format!("2026-02-20T12:00:{second}Z"));
    assert_eq!(entries(Some(1)).unwrap(), [row(1, "a", "04"), row(2, "b", "04")]);
    assert_eq!(entries(Some(2)).unwrap(), [row(1, "a again", "04"), row(2, "b", "04")]);
    assert_eq!(entries(None).unwrap(), [row(1, "a again", "04"), row(2, "b", "04"), row(3, "c", "12")]);
    assert_eq!(steps_at(&steps, 9)[0].step.captured_settings.as_deref(), captured);
    assert_eq!(
        entries(Some(4)).unwrap_err().to_string(),
        "the runbook of INC-1001 has no version 4; it has versions 1 to 3"
    );
    assert_eq!(entries(Some(0)).unwrap_err().latest, 3);
}

#[test]
fn only_an_http_address_is_a_workspace_origin() {
    fn check(address: &str, origin: Option<&str>) {
        assert_eq!(shell::origin(address).as_deref(), origin, "{address}");
    }
    check("https://adb-1.8.azuredatabricks.net/?o=1", Some("https://adb-1.8.azuredatabricks.net"));
    check("https://ADB-1.8.azuredatabricks.net/", Some("https://adb-1.8.azuredatabricks.net"));
    check("adb-1.8.azuredatabricks.net", None);
    check("javascript:alert(1)", None);
    check("https://x'; touch pwned #", None);
    check("https://a$(b)c/", None);
}

#[test]
fn text_that_a_shell_would_act_on_is_quoted() {
    fn check(text: &str, out: &str) {
        assert_eq!(shown(text), out);
    }
    check("Fix Job Retry Policies - daily-etl", "Fix Job Retry Policies - daily-etl");
    check("größer", "größer");
    check("a; b", "'a; b'");
    check("job's", "\"job's\"");
    check("", "''");
}

/// Runs the text in a shell that finds only fakes. Returns the arguments and the input of each call.
fn calls(text: &str) -> Vec<(String, String)> {
    let folder = tempdir().unwrap();
    let bin = folder.path().join("bin");
    let log = folder.path().join("log");
    fs::create_dir(&bin).unwrap();
    fs::create_dir(&log).unwrap();
    let fake = "#!/bin/bash\nn=$(/bin/ls \"$LOG\" | /usr/bin/wc -l)\nprintf '%s\\n' \"$*\" >\"$LOG/$n\"\n\
        case \"$*\" in *post*) /bin/cat >>\"$LOG/$n\" ;; *) /bin/cat \"$LIVE\" ;; esac\n";
    fs::write(bin.join("databricks"), fake).unwrap();
    fs::set_permissions(bin.join("databricks"), fs::Permissions::from_mode(0o755)).unwrap();
    std::os::unix::fs::symlink("/usr/bin/jq", bin.join("jq")).unwrap();
    let live = folder.path().join("live");
    let captured = text.split("captured='").nth(1).unwrap().split('\'').next().unwrap();
    fs::write(&live, format!("{{\"settings\":{captured}}}")).unwrap();
    let mut shell = Command::new("/bin/bash")
        .current_dir(folder.path())
        .env_clear()
        .env("PATH", &bin)
        .env("LOG", &log)
        .env("LIVE", &live)
        .env("DATABRICKS_HOST", "https://adb-7405612783315468.8.azuredatabricks.net")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    shell.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = shell.wait_with_output().unwrap();
    assert!(output.status.success(), "{}\n{text}", String::from_utf8_lossy(&output.stderr));
    let mut files: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    files.sort();
    assert_eq!(files, ["bin", "live", "log"]);
    let count = fs::read_dir(&log).unwrap().count();
    (0..count)
        .map(|number| {
            let text = fs::read_to_string(log.join(number.to_string())).unwrap();
            let (arguments, body) = text.split_once('\n').unwrap();
            (arguments.to_owned(), body.to_owned())
        })
        .collect()
}

fn shell_text() -> impl Strategy<Value = String> {
    let pieces = prop_oneof![
        hostile_text(),
        "[ -~]{1,20}",
        Just("'; touch pwned; '".to_owned()),
        Just("$(touch pwned)`touch pwned`".to_owned()),
        Just("EOF\n)\ntouch pwned\n".to_owned()),
        Just("\\u0027\\x27\\".to_owned()),
    ];
    proptest::collection::vec(pieces, 1..4).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn only_our_commands_run_and_the_payload_is_exact(task in shell_text(), name in shell_text(), value in shell_text()) {
        prop_assume!(!["tasks", "task_key"].contains(&name.as_str()));
        let tasks = json!([{ "task_key": task, "notebook_task": { "path": value } }]);
        let step = json!({
            "kind": "job_settings", "title": format!("x{value}"), "applied": false,
            "resource": { "kind": "job", "id": "9007199254740992", "name": name }, "task_keys": [task],
            "changes": { &name: value, "max_retries": 3 }, "captured_settings": { "tasks": tasks },
        });
        let runbook = made(with_step(step), RunbookTool::Cli);
        for output in [text(&runbook), markdown(&runbook), script(&runbook)] {
            assert_safe(&output);
        }
        let calls = calls(runbook.entries[0].apply.block.as_deref().unwrap());
        let mut changed = tasks;
        changed[0][&name] = value.into();
        changed[0]["max_retries"] = 3.into();
        prop_assert_eq!(&calls[0].0, "api get /api/2.2/jobs/get?job_id=9007199254740992");
        prop_assert_eq!(&calls[1].0, "api post /api/2.2/jobs/update --json @/dev/stdin");
        prop_assert_eq!(calls.len(), 2);
        let body: Value = serde_json::from_str(&calls[1].1).unwrap();
        prop_assert_eq!(body, json!({ "job_id": 9_007_199_254_740_992_u64, "new_settings": { "tasks": changed } }));
    }

    #[test]
    fn json_in_a_shell_is_harmless_ascii_of_equal_value(name in shell_text(), value in shell_text()) {
        let value = json!({ &name: [value, { &name: 1.5 }, null] });
        for text in [json_word(&value), json_line(&value)] {
            let inside = text.trim_matches('\'');
            prop_assert!(inside.bytes().all(|byte| (b' '..=b'~').contains(&byte) || byte == b'\n'));
            prop_assert!(!inside.contains(['\'', '!', '$', '`']));
            prop_assert_eq!(&serde_json::from_str::<Value>(inside).unwrap(), &value);
        }
    }

    #[test]
    fn text_outside_a_block_is_plain_words_for_a_shell(text in shell_text()) {
        let words = shlex::split(&shown(&text)).unwrap();
        let line = crate::render::plain::line(&text).into_owned();
        let plain: Vec<&str> = line.split_whitespace().collect();
        prop_assert!(words == [line.as_str()] || words == plain, "{:?}", words);
        assert_safe(&shown(&text));
    }
}
