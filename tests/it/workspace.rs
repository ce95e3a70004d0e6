//! The client of a workspace: authentication, lists, runs and errors.

use std::{
    fs,
    path::Path,
    process::Output,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use ops_runbook::{
    databricks::{Client, Token, auth::settings::LoginSettings, error::ApiError, runs::RunSelection},
    domain::{
        ids::Id,
        run::{ResultState, TerminationCode, outcome::RunOutcome},
    },
};
use serde_json::{Value, json};
use tempfile::tempdir;

use crate::{
    peer::Peer,
    support::{binary, finish, json_lines, ok},
    warehouse::{
        err,
        fake::{Fake, Reply, Request, TOKEN, error},
    },
};

fn id(text: &str) -> Id {
    Id::new(text).unwrap()
}

fn run(number: i64) -> Value {
    json!({ "run_id": number, "job_id": 7, "start_time": 1_770_000_000_000_i64 + number, "end_time": 0,
            "state": { "life_cycle_state": "RUNNING" } })
}

async fn runs(fake: &Fake) -> Result<Vec<String>, ApiError> {
    let since = RunSelection::Since("2026-02-02T02:40:00.0009Z".parse().unwrap());
    Ok(fake.client().runs(since, |_| {}).await?.into_iter().map(|run| run.timed().unwrap().id.to_string()).collect())
}

#[tokio::test]
async fn runs_are_listed_a_page_at_a_time() {
    let page = |numbers: &[i64], next: Value| json!({ "runs": numbers.iter().map(|number| run(*number)).collect::<Vec<_>>(), "next_page_token": next });
    let odd = json!({ "run_id": 9, "start_time": 1 });
    let mut last = page(&[3, 4], json!(""));
    last["runs"].as_array_mut().unwrap().push(odd);
    let fake = Fake::script([page(&[1, 2], json!("a")), page(&[2, 3], json!("b")), last]).await;
    assert_eq!(runs(&fake).await.unwrap(), ["1", "2", "3", "4"], "a run that moved to the next page counts once");
    let list = "GET /api/2.2/jobs/runs/list?limit=24&expand_tasks=true&start_time_from=1770000000000";
    assert_eq!(fake.lines(), [list.to_owned(), format!("{list}&page_token=a"), format!("{list}&page_token=b")]);

    let again = Fake::script([page(&[1], json!("a")), page(&[2], json!("a"))]).await;
    let refused = runs(&again).await.unwrap_err().to_string();
    assert!(refused.contains("the next page of a list is the same page"), "{refused}");
    assert_eq!(runs(&Fake::script([json!({})]).await).await.unwrap(), [""; 0], "no runs at all");
}

#[tokio::test]
async fn a_run_with_many_tasks_is_read_to_its_end() {
    let task = |number: i64| json!({ "run_id": 100 + number, "task_key": format!("t{number}"), "attempt_number": 1 });
    let page = |from: i64, to: i64, next: Option<&str>| {
        let mut page = run(1);
        page["tasks"] = (from..to).map(task).collect();
        page["next_page_token"] = json!(next);
        page
    };
    let mut listed = page(0, 100, None);
    listed["has_more"] = json!(true);
    let script =
        [json!({ "runs": [listed] }), page(0, 100, Some("a")), page(100, 130, Some("b")), page(130, 131, None)];
    let fake = Fake::script(script).await;
    let found = fake.client().runs(RunSelection::Active, |_| {}).await.unwrap().remove(0).timed().unwrap();
    assert_eq!((found.tasks.len(), found.retried_tasks()), (131, 131));
    let get = "GET /api/2.2/jobs/runs/get?run_id=1";
    assert_eq!(fake.lines()[1..], [get.to_owned(), format!("{get}&page_token=a"), format!("{get}&page_token=b")]);
    let endless = Fake::script([page(0, 1, Some("a"))]).await;
    assert!(matches!(endless.client().run(&id("1")).await, Err(ApiError::Unexpected(_))));
}

#[tokio::test]
async fn a_run_is_parsed_in_both_formats_with_its_repairs() {
    let answer = json!({
        "run_id": 9_007_199_254_740_993_i64, "job_id": 360_515_640_572_923_i64, "run_name": "daily-etl", "attempt_number": 0,
        "original_attempt_run_id": 9_007_199_254_740_993_i64, "start_time": 1_770_000_000_000_i64, "end_time": 1_770_000_600_000_i64,
        "trigger": "SOMETHING_NEW", "trigger_info": { "run_id": 4 }, "run_type": "JOB_RUN",
        "state": { "life_cycle_state": "TERMINATED", "result_state": "FAILED", "state_message": "old words" },
        "status": { "state": "TERMINATED", "queue_details": { "code": "ACTIVE_RUNS_LIMIT_REACHED", "message": "waited" },
                    "termination_details": { "code": "RUN_EXECUTION_ERROR", "type": "CLIENT_ERROR", "message": "new words" } },
        "tasks": [
            { "run_id": 51, "task_key": "a", "attempt_number": 0, "depends_on": [{ "task_key": "z" }], "run_job_task": { "job_id": 8 },
              "status": { "state": "TERMINATED", "termination_details": { "code": "MELTED", "type": "CLIENT_ERROR", "message": "" } } },
            { "task_key": "never" }
        ],
        "repair_history": [
            { "type": "ORIGINAL", "id": 77, "start_time": 1, "end_time": 2, "task_run_ids": [51],
              "state": { "life_cycle_state": "TERMINATED", "result_state": "FAILED" } },
            { "type": "REPAIR", "id": 78, "start_time": 3, "end_time": 0, "task_run_ids": [],
              "status": { "state": "RUNNING" } }
        ]
    });
    let fake = Fake::script([answer]).await;
    let run = fake.client().run(&id("9007199254740993")).await.unwrap().timed().unwrap();
    assert_eq!(fake.lines(), ["GET /api/2.2/jobs/runs/get?run_id=9007199254740993&include_history=true"]);
    assert_eq!(run.id.as_str(), "9007199254740993", "64 bits are kept");
    assert_eq!(
        (run.state.result, run.state.code),
        (Some(ResultState::Failed), Some(TerminationCode::RunExecutionError))
    );
    assert_eq!(run.state.message.as_deref(), Some("new words"));
    assert_eq!(run.queued_because.as_deref(), Some("waited"));
    assert_eq!(run.trigger.unwrap().as_str(), "SOMETHING_NEW");
    assert_eq!((run.original, run.started_by), (None, Some(id("4"))), "it is its own first attempt");
    assert_eq!(run.tasks.len(), 1, "a task that was never given a run is none yet");
    let task = &run.tasks[0];
    assert_eq!(task.state.code, Some(TerminationCode::Other("MELTED".into())));
    assert_eq!(
        (task.state.outcome(), task.runs_job, &task.depends_on[..]),
        (RunOutcome::Failed, true, &["z".to_owned()][..])
    );
    let repairs: Vec<_> = run.executions.iter().map(|execution| execution.repair.clone()).collect();
    assert_eq!(repairs, [None, Some(id("78"))]);
    assert!(!run.executions[1].state.is_over());
}

#[tokio::test]
async fn outputs_are_read_or_refused() {
    let output =
        json!({ "error": "boom", "error_trace": " ", "logs": "x", "run_job_output": { "run_id": 12 }, "metadata": {} });
    let fake = Fake::script([output]).await;
    let read = fake.client().run_output(&id("51")).await.unwrap();
    assert_eq!((read.error.as_deref(), read.trace, read.child), (Some("boom"), None, Some(id("12"))));
    for (status, expected) in [(403, "forbidden"), (404, "not found"), (400, "refused"), (500, "unexpected")] {
        let fake = Fake::script([error(status, "CODE", "no")]).await;
        let refused = fake.client().run_output(&id("51")).await.unwrap_err();
        let kind = match refused {
            ApiError::Forbidden(_) => "forbidden",
            ApiError::NotFound(_) => "not found",
            ApiError::Refused(_) => "refused",
            ApiError::Unexpected(_) => "unexpected",
            _ => "something else",
        };
        assert_eq!((kind, fake.lines().len()), (expected, 1), "{status}: asked once");
    }
}

#[tokio::test]
async fn transient_errors_are_retried() {
    let busy = || Reply { retry_after: Some("0"), ..error(429, "REQUEST_LIMIT_EXCEEDED", "slow down") };
    let down = || error(503, "TEMPORARILY_UNAVAILABLE", "later");
    let cut = || Reply { is_cut: true, ..json!({ "runs": [run(1)] }).into() };
    let page = || Reply::from(json!({ "runs": [run(1)] }));
    let fake = Fake::script([busy(), down(), cut(), page()]).await;
    assert_eq!(runs(&fake).await.unwrap(), ["1"]);
    assert_eq!(fake.lines().len(), 4);
    let asked = Fake::script([Reply { retry_after: Some("1"), ..busy() }, page()]).await;
    let begun = std::time::Instant::now();
    runs(&asked).await.unwrap();
    assert!(begun.elapsed() >= Duration::from_secs(1), "the workspace asked for a pause");
    let patient = Fake::script([Reply { retry_after: Some("86400"), ..busy() }]).await;
    assert!(matches!(runs(&patient).await, Err(ApiError::Throttled(_))), "a pause of a day is too long");
    assert_eq!(patient.lines().len(), 1);
    let unauthorised = Fake::script([error(401, "UNAUTHENTICATED", "who?")]).await;
    assert!(matches!(runs(&unauthorised).await, Err(ApiError::Unauthorised(_))));
    let page_to_log_in_at = Fake::script([Reply { body: "<html>".into(), ..json!({}).into() }]).await;
    assert!(matches!(runs(&page_to_log_in_at).await, Err(ApiError::Unexpected(_))));
}

const SECRET: &str = "dose-not-a-secret";

/// Returns the client of a service principal whose tokens are valid for `lasts` seconds.
async fn principal(lasts: u64) -> (Fake, Client, Arc<AtomicUsize>) {
    let given = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&given);
    let answer = move |request: &Request| -> Reply {
        if request.line.starts_with("GET /oidc/") {
            return error(404, "NOT_FOUND", "this workspace does not describe itself");
        }
        if request.line == "POST /oidc/v1/token" {
            use base64::Engine;
            let basic = base64::engine::general_purpose::STANDARD.encode(format!("sp-1:{SECRET}"));
            if request.authorization != format!("Basic {basic}") {
                let sent = base64::engine::general_purpose::STANDARD.decode(&request.authorization[6..]).unwrap();
                let sent = format!("not {}", String::from_utf8(sent).unwrap());
                return Reply { status: 401, ..json!({ "error": "invalid_client", "error_description": sent }).into() };
            }
            assert_eq!(request.body, "grant_type=client_credentials&scope=all-apis");
            let number = count.fetch_add(1, Ordering::SeqCst) + 1;
            let token = format!("lent-{number}");
            return json!({ "access_token": token, "token_type": "Bearer", "expires_in": lasts }).into();
        }
        match request.authorization.strip_prefix("Bearer lent-") {
            Some(_) => json!({ "runs": [run(1)] }).into(),
            None => error(401, "UNAUTHENTICATED", "who?"),
        }
    };
    let fake = Fake::answering(answer).await;
    let client = client(&fake, SECRET);
    (fake, client, given)
}

fn client(fake: &Fake, secret: &str) -> Client {
    let read = |name: &str| match name {
        "DATABRICKS_HOST" => Some(fake.url.clone()),
        "DATABRICKS_CLIENT_ID" => Some("sp-1".to_owned()),
        "DATABRICKS_CLIENT_SECRET" => Some(secret.to_owned()),
        _ => None,
    };
    Client::of(LoginSettings::from_variables(read).access().unwrap())
        .unwrap()
        .with_first_pause(Duration::from_millis(1))
}

#[tokio::test]
async fn a_service_principal_requests_one_token_for_many_requests() {
    let (_fake, client, given) = principal(3_600).await;
    let asked = (0..20).map(|_| client.runs(RunSelection::Active, |_| {}));
    assert!(futures::future::join_all(asked).await.iter().all(Result::is_ok));
    assert_eq!(given.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_token_is_replaced_before_it_expires() {
    // It expires after 60 s, which is within the renewal time, so it counts as expired.
    let (fake, client, given) = principal(60).await;
    client.runs(RunSelection::Active, |_| {}).await.unwrap();
    client.runs(RunSelection::Active, |_| {}).await.unwrap();
    assert_eq!(given.load(Ordering::SeqCst), 2);
    assert_eq!(fake.requests().last().unwrap().authorization, "Bearer lent-2");
    let (_, client, given) = principal(3_600).await;
    client.runs(RunSelection::Active, |_| {}).await.unwrap();
    client.runs(RunSelection::Active, |_| {}).await.unwrap();
    assert_eq!(given.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_refused_secret_is_not_printed() {
    let (fake, _, _) = principal(3_600).await;
    let refused = client(&fake, "wrong-secret").runs(RunSelection::Active, |_| {}).await.unwrap_err();
    assert!(matches!(refused, ApiError::NoToken(_)), "{refused}");
    let text = format!("{refused} {refused:?} {:?}", refused.hint());
    assert!(text.contains("invalid_client: not sp-1:[REDACTED]"), "{text}");
    assert!(!text.contains("wrong-secret") && !text.contains(SECRET), "{text}");
    let asked = ["GET /oidc/.well-known/oauth-authorization-server", "POST /oidc/v1/token"];
    assert_eq!(fake.lines(), asked, "one request for a token, and no other request");
}

fn sweep(lake: &Path, profiles: &Path, settings: &[(&str, &str)]) -> Output {
    let mut command = binary(lake);
    // No program with a login.
    command
        .env("PATH", "/nowhere")
        .env("DATABRICKS_CONFIG_FILE", profiles)
        .env("NO_PROXY", "127.0.0.1")
        .envs(settings.iter().copied());
    finish(command.args(["sweep", "--workspace-id", "1"]))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_profile_sets_workspace_and_identity() {
    let folder = tempdir().unwrap();
    let (lake, file) = (folder.path().join("lake"), folder.path().join("profiles"));
    let (fake, ..) = principal(3_600).await;
    let profiles = format!(
        "[DEFAULT]\nhost = http://127.0.0.1:1\ntoken = {TOKEN}\n\n; of a job\n[job]\nhost = {}\nclient_id = sp-1\nclient_secret = {SECRET}\n",
        fake.url
    );
    fs::write(&file, profiles).unwrap();
    let run = |settings: &[(&'static str, &'static str)]| {
        let (lake, file, settings) = (lake.clone(), file.clone(), settings.to_vec());
        tokio::task::spawn_blocking(move || sweep(&lake, &file, &settings))
    };
    let named = run(&[("DATABRICKS_CONFIG_PROFILE", "job")]).await.unwrap();
    assert!(named.status.success(), "{}", err(&named));
    assert!(fake.requests().iter().any(|request| request.authorization == "Bearer lent-1"));
    for (settings, code, expected) in [
        (&[("DATABRICKS_CONFIG_PROFILE", "absent")][..], 3, "there is no profile \"absent\""),
        (&[("DATABRICKS_HOST", "example.test")][..], 2, "a token in DATABRICKS_TOKEN"),
        (
            &[("DATABRICKS_CONFIG_PROFILE", "job"), ("DATABRICKS_TOKEN", TOKEN)][..],
            3,
            "two authentication methods are set: pat by DATABRICKS_TOKEN, and oauth-m2m by client_secret of the profile",
        ),
    ] {
        let output = run(settings).await.unwrap();
        assert_eq!(output.status.code(), Some(code), "{}", err(&output));
        assert!(err(&output).contains(expected), "{}", err(&output));
        assert!(!err(&output).contains(SECRET) && !err(&output).contains(TOKEN));
    }
}

#[test]
fn minilake_which_runs_jobs_is_swept() {
    let folder = tempdir().unwrap();
    let emulator = Peer::start("minilake", "workspace_serves.py", &["minilake", TOKEN]);
    let sweep = || {
        let mut command = binary(folder.path());
        command
            .env("DATABRICKS_HOST", emulator.ready("url"))
            .env("DATABRICKS_TOKEN", TOKEN)
            .env("NO_PROXY", "127.0.0.1");
        let output = finish(command.args(["sweep", "--json"]));
        assert!(output.status.success(), "{}", err(&output));
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    };
    let first = sweep();
    assert_eq!(first["runs"], json!({ "failed": 1, "succeeded": 1 }), "{first:#}");
    assert_eq!(first["incidents"][0]["run_id"], emulator.ready("broken"));
    assert_eq!(first["incidents"].as_array().unwrap().len(), 1);
    let shown = ok(folder.path(), &["incident", "show", "INC-1001"]);
    for part in ["Run 1 of job 1 \"broken\" failed", "no such column: amount", "Captured the settings of job 1"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let again = sweep();
    assert_eq!((&again["news"], &again["incidents"]), (&json!(0), &json!([])));
    let runs = json_lines(folder.path(), &["sql", "SELECT job_name, result_state FROM job_runs ORDER BY job_name"]);
    assert_eq!(
        runs,
        [
            json!({ "job_name": "broken", "result_state": "FAILED" }),
            json!({ "job_name": "whole", "result_state": "SUCCESS" })
        ]
    );
}

/// Runs `compliance check` on an emulator with a token.
fn checked(emulator: &Peer, lake: &Path, token: &str) -> Output {
    let mut command = binary(lake);
    command.env("DATABRICKS_HOST", emulator.ready("url")).env("DATABRICKS_TOKEN", token).env("NO_PROXY", "127.0.0.1");
    finish(command.args(["compliance", "check", "--json"]))
}

/// Asserts that every job is checked, that jobs with a failed check get an incident, and that a second run changes nothing.
fn assert_checked(emulator: &Peer, token: &str, names: [&str; 2]) {
    let folder = tempdir().unwrap();
    let check = || {
        let output = checked(emulator, folder.path(), token);
        assert!(output.status.success(), "{}", err(&output));
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    };
    let first = check();
    assert_eq!((&first["jobs"], &first["unread"]), (&json!(2), &json!([])), "{first:#}");
    let changes = first["changes"].as_array().unwrap();
    assert!(changes.iter().all(|change| change["event"] == "opened"), "{first:#}");
    let titles = json_lines(folder.path(), &["sql", "SELECT title FROM incidents ORDER BY title"]);
    for (title, name) in titles.iter().zip(names) {
        assert!(title["title"].as_str().unwrap().contains(name), "{titles:#?}");
    }
    assert_eq!(titles.len(), 2);
    let steps = ok(folder.path(), &["runbook", "show", "INC-1001"]);
    assert!(steps.contains("jobs"), "{steps}");
    assert_eq!(check()["changes"], json!([]));
}

#[test]
fn compliance_is_checked_on_minilake_which_runs_jobs() {
    let emulator = Peer::start("minilake", "workspace_serves.py", &["minilake", TOKEN]);
    assert_checked(&emulator, TOKEN, ["broken", "whole"]);
}

#[test]
fn compliance_is_checked_on_semblance_with_a_valid_token_only() {
    let emulator = Peer::start("semblance", "workspace_serves.py", &["semblance", TOKEN]);
    assert_checked(&emulator, TOKEN, ["nightly-etl", "weekly-report"]);
    let folder = tempdir().unwrap();
    let refused = checked(&emulator, folder.path(), "wrong-token");
    let error = err(&refused);
    assert!(!refused.status.success() && error.contains("does not accept the token"), "{error}");
    assert!(!error.contains("wrong-token"), "{error}");
    let recorded = json_lines(folder.path(), &["sql", "SELECT count(*) AS n FROM audit_log"]);
    assert_eq!(recorded, [json!({ "n": 0 })]);
}

#[tokio::test]
async fn semblance_accepts_a_valid_token_only() {
    let emulator =
        tokio::task::spawn_blocking(|| Peer::start("semblance", "workspace_serves.py", &["semblance", TOKEN]));
    let emulator = emulator.await.unwrap();
    let client =
        |token: &str| Client::new(emulator.ready("url").parse().unwrap(), token.parse::<Token>().unwrap()).unwrap();
    let jobs = client(TOKEN).jobs(|_| {}).await.unwrap();
    let names: Vec<_> = jobs.iter().map(|job| job.as_ref().unwrap().name().unwrap()).collect();
    assert_eq!(names, ["nightly-etl", "weekly-report"]);
    assert_eq!(client(TOKEN).job(1001).await.unwrap().name(), Some("nightly-etl"));
    assert!(matches!(client(TOKEN).job(1).await, Err(ApiError::NotFound(_))));
    assert!(matches!(client(TOKEN).run(&id("1")).await, Err(ApiError::NotFound(_))));
    assert!(client(TOKEN).run_output(&id("2001")).await.unwrap().error.is_none());
    let refused = client("wrong-token").jobs(|_| {}).await.unwrap_err();
    assert!(matches!(refused, ApiError::Unauthorised(_)), "{refused}");
    assert!(!refused.to_string().contains("wrong-token"));
}
