use super::*;

fn state(life_cycle: &str, result: &str, code: &str, kind: &str) -> RunState {
    let given = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    RunState {
        life_cycle: life_cycle.to_owned().into(),
        result: given(result).map(Into::into),
        code: given(code).map(Into::into),
        kind: given(kind).map(Into::into),
        message: None,
    }
}

#[test]
fn outcomes_are_read_from_both_versions_of_the_api() {
    fn check(given: [&str; 4], expected: RunOutcome) {
        let [life_cycle, result, code, kind] = given;
        assert_eq!(state(life_cycle, result, code, kind).outcome(), expected, "{given:?}");
    }
    use RunOutcome::*;
    check(["TERMINATED", "SUCCESS", "", ""], Succeeded);
    check(["TERMINATED", "", "SUCCESS", "SUCCESS"], Succeeded);
    check(["TERMINATED", "SUCCESS_WITH_FAILURES", "", ""], PartlyFailed);
    check(["TERMINATED", "SUCCESS", "SUCCESS_WITH_FAILURES", "SUCCESS"], PartlyFailed);
    check(["TERMINATED", "FAILED", "RUN_EXECUTION_ERROR", "CLIENT_ERROR"], Failed);
    check(["TERMINATED", "", "RUN_EXECUTION_ERROR", "CLIENT_ERROR"], Failed);
    check(["TERMINATED", "TIMEDOUT", "CANCELED", "CLIENT_ERROR"], TimedOut);
    check(["TERMINATED", "FAILED", "CLUSTER_ERROR", "CLOUD_FAILURE"], NeverStarted);
    check(["INTERNAL_ERROR", "FAILED", "", ""], NeverStarted);
    check(["INTERNAL_ERROR", "", "", ""], NeverStarted);
    check(["SKIPPED", "", "", ""], NeverStarted);
    check(["SKIPPED", "MAXIMUM_CONCURRENT_RUNS_REACHED", "", ""], NeverStarted);
    check(["TERMINATED", "", "MAX_CONCURRENT_RUNS_EXCEEDED", "CLIENT_ERROR"], NeverStarted);
    check(["TERMINATED", "EXCLUDED", "", ""], NeverStarted);
    check(["TERMINATED", "CANCELED", "USER_CANCELED", "CLIENT_ERROR"], Stopped);
    check(["TERMINATED", "", "USER_CANCELED", "CLIENT_ERROR"], Stopped);
    check(["SKIPPED", "", "DISABLED", "SUCCESS"], Stopped);
    check(["SKIPPED", "DISABLED", "", ""], Stopped);
    check(["TERMINATED", "UPSTREAM_CANCELED", "", ""], Stopped);
    for under_way in ["QUEUED", "PENDING", "RUNNING", "TERMINATING", "BLOCKED", "WAITING_FOR_RETRY", "WAITING"] {
        check([under_way, "", "", ""], Running);
    }
    check(["TELEPORTED", "", "", ""], Running);
    check(["TERMINATED", "", "MELTED", "INTERNAL_ERROR"], Failed);
    check(["TERMINATED", "", "MELTED", "SUCCESS"], Succeeded);
    check(["TERMINATED", "MELTED", "", ""], Unknown);
    check(["TERMINATED", "", "", ""], Unknown);
}

#[test]
fn an_unknown_value_is_kept_as_text() {
    let melted = state("TERMINATED", "MELTED", "", "");
    assert_eq!((melted.result_text(), &melted.result), (Some("MELTED"), &Some(ResultState::Other("MELTED".into()))));
}

#[test]
fn the_newer_api_gives_the_result_of_the_older_one() {
    fn check(life_cycle: &str, code: &str, word: Option<&str>) {
        assert_eq!(state(life_cycle, "", code, "").result_text(), word, "{life_cycle} {code}");
    }
    check("INTERNAL_ERROR", "", Some("INTERNAL_ERROR"));
    check("TERMINATED", "SUCCESS", Some("SUCCESS"));
    check("TERMINATED", "RUN_EXECUTION_ERROR", Some("FAILED"));
    check("TERMINATED", "USER_CANCELED", Some("CANCELED"));
    check("TERMINATED", "MAX_CONCURRENT_RUNS_EXCEEDED", Some("MAXIMUM_CONCURRENT_RUNS_REACHED"));
    check("TERMINATED", "MELTED", None);
    check("RUNNING", "", None);
}

#[test]
fn a_run_with_an_executed_task_has_failed_even_if_it_could_not_start() {
    let run = |task: RunState| Run {
        id: Id::new("1").unwrap(),
        job_id: Id::new("7").unwrap(),
        name: None,
        state: state("INTERNAL_ERROR", "FAILED", "CLUSTER_ERROR", ""),
        trigger: None,
        started_by: None,
        original: None,
        attempt: 0,
        started_at: "2026-02-11T12:00:00Z".parse().unwrap(),
        ended_at: None,
        page_url: None,
        queued_because: None,
        tasks: vec![Task {
            run_id: Id::new("2").unwrap(),
            key: "a".into(),
            attempt: 0,
            state: task,
            started_at: None,
            ended_at: None,
            depends_on: Vec::new(),
            runs_job: false,
        }],
        executions: Vec::new(),
    };
    assert_eq!(run(state("TERMINATED", "SUCCESS", "", "")).outcome(), RunOutcome::Failed);
    assert_eq!(run(state("TERMINATED", "FAILED", "RUN_EXECUTION_ERROR", "")).outcome(), RunOutcome::Failed);
    assert_eq!(run(state("INTERNAL_ERROR", "FAILED", "CLUSTER_ERROR", "")).outcome(), RunOutcome::NeverStarted);
    assert_eq!(run(state("TERMINATED", "UPSTREAM_FAILED", "", "")).outcome(), RunOutcome::NeverStarted);
}
