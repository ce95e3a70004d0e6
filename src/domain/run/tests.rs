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
fn how_a_run_ended_is_read_in_both_spellings() {
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
fn a_word_that_is_not_known_stays_as_it_is() {
    let melted = state("TERMINATED", "MELTED", "", "");
    assert_eq!((melted.word(), &melted.result), (Some("MELTED"), &Some(ResultState::Other("MELTED".into()))));
}

#[test]
fn the_newer_spelling_gives_the_older_word() {
    fn check(life_cycle: &str, code: &str, word: Option<&str>) {
        assert_eq!(state(life_cycle, "", code, "").word(), word, "{life_cycle} {code}");
    }
    check("INTERNAL_ERROR", "", Some("INTERNAL_ERROR"));
    check("TERMINATED", "SUCCESS", Some("SUCCESS"));
    check("TERMINATED", "RUN_EXECUTION_ERROR", Some("FAILED"));
    check("TERMINATED", "USER_CANCELED", Some("CANCELED"));
    check("TERMINATED", "MAX_CONCURRENT_RUNS_EXCEEDED", Some("MAXIMUM_CONCURRENT_RUNS_REACHED"));
    check("TERMINATED", "MELTED", None);
    check("RUNNING", "", None);
}
