//! Fix verification: decides from the first runs after a fix whether the fix works.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{
    ids::Id,
    run::{LifeCycle, ResultState, Run, TerminationCode, outcome::RunOutcome},
    time::Timestamp,
};

/// A run that counts for the verification.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CountedRun {
    pub run_id: Id,
    pub started_at: Timestamp,
    pub ended_at: Option<Timestamp>,
    /// Result as the platform reports it, repairs included.
    pub result: Option<String>,
    /// Message of the platform or the job. It comes from outside and must be escaped.
    pub message: Option<String>,
}

/// State of a fix verification.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "verification")]
pub enum FixVerification {
    /// All of the first runs succeeded.
    Succeeded { runs: Vec<CountedRun> },
    /// One run failed, after the runs in `after` had succeeded.
    Failed { run: CountedRun, after: Vec<CountedRun> },
    /// More runs are needed.
    Waiting { succeeded: Vec<CountedRun>, running: usize, wanted: usize },
}

/// Verifies a fix by the first `wanted` runs that started at `since` or later, in the order of their start.
///
/// The last one of several attempts at a run counts. Cancelled runs, and runs that were skipped because another run was
/// active, do not count.
pub fn verify_fix(runs: &[Run], since: Timestamp, wanted: usize) -> FixVerification {
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
    let counting = cases.into_iter().filter(|((started, _), run)| *started >= since && counts(run));
    for (_, run) in counting.take(wanted) {
        match run.outcome() {
            RunOutcome::Succeeded => succeeded.push(counted(run)),
            outcome if outcome.is_failure() => {
                return FixVerification::Failed { run: counted(run), after: succeeded };
            }
            _ => {
                running += 1;
                decided = false;
            }
        }
    }
    if decided && succeeded.len() >= wanted {
        FixVerification::Succeeded { runs: succeeded }
    } else {
        FixVerification::Waiting { succeeded, running, wanted }
    }
}

fn counts(run: &Run) -> bool {
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

fn counted(run: &Run) -> CountedRun {
    CountedRun {
        run_id: run.id.clone(),
        started_at: run.started_at,
        ended_at: run.ended_at,
        result: run.state.result_text().map(str::to_owned),
        message: run.state.message.clone(),
    }
}
