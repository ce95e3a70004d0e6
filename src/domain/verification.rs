//! Whether a fix holds: what the first runs after it ended as.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{
    ids::Id,
    run::{LifeCycle, ResultState, Run, TerminationCode},
    time::Timestamp,
    words::RunOutcome,
};

/// A run that counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Counted {
    pub run_id: Id,
    pub started_at: Timestamp,
    pub ended_at: Option<Timestamp>,
    /// How it ended, in the words of the platform; repairs included.
    pub result: Option<String>,
    /// In the words of the platform, and of whoever wrote the job: hostile.
    pub message: Option<String>,
}

/// How far a verification is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "verification")]
pub enum Verification {
    /// All of the first runs succeeded.
    Succeeded { runs: Vec<Counted> },
    /// One failed, after these had succeeded.
    Failed { run: Counted, after: Vec<Counted> },
    /// It is not decided.
    Waiting { succeeded: Vec<Counted>, running: usize, wanted: usize },
}

/// Judges the first `wanted` runs that started at `since` or later, in the order in which they started. Attempts at one run
/// count as the last one ended. What somebody stopped, and what was skipped because another run was under way, says nothing about
/// the fix.
pub fn judge(runs: &[Run], since: Timestamp, wanted: usize) -> Verification {
    let mut cases: BTreeMap<(Timestamp, &Id), &Run> = BTreeMap::new();
    for run in runs {
        let first = runs.iter().find(|other| other.id == *run.case());
        let case = (first.map_or(run.started_at, |first| first.started_at), run.case());
        let latest = cases.entry(case).or_insert(run);
        if run.attempt >= latest.attempt {
            *latest = run;
        }
    }
    let (mut succeeded, mut running, mut decided) = (Vec::new(), 0, true);
    let counting = cases.into_iter().filter(|((started, _), run)| *started >= since && says_something(run));
    for (_, run) in counting.take(wanted) {
        match run.outcome() {
            RunOutcome::Succeeded => succeeded.push(counted(run)),
            outcome if outcome.is_failure() => {
                return Verification::Failed { run: counted(run), after: succeeded };
            }
            _ => {
                running += 1;
                decided = false;
            }
        }
    }
    if decided && succeeded.len() >= wanted {
        Verification::Succeeded { runs: succeeded }
    } else {
        Verification::Waiting { succeeded, running, wanted }
    }
}

fn says_something(run: &Run) -> bool {
    let skipped = matches!(run.state.life_cycle, LifeCycle::Skipped)
        || matches!(run.state.result, Some(ResultState::MaximumConcurrentRunsReached | ResultState::Excluded))
        || matches!(
            run.state.code,
            Some(
                TerminationCode::Skipped
                    | TerminationCode::MaxConcurrentRunsExceeded
                    | TerminationCode::MaxJobQueueSizeExceeded
                    | TerminationCode::WorkspaceRunLimitExceeded
            )
        );
    !skipped && run.outcome() != RunOutcome::Stopped
}

fn counted(run: &Run) -> Counted {
    Counted {
        run_id: run.id.clone(),
        started_at: run.started_at,
        ended_at: run.ended_at,
        result: run.state.word().map(str::to_owned),
        message: run.state.message.clone(),
    }
}
