//! Runs of jobs as a workspace tells of them, in the words of the platform.
//!
//! A run is made of rounds: the original one and its repairs. A task has attempts, of which the last one counts.

mod words;

use super::{ids::Id, time::Timestamp, words::RunOutcome};

pub use words::{LifeCycle, ResultState, TerminationCode, TerminationType, Trigger};

/// Where a run, a task of it or a repair stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunState {
    pub life_cycle: LifeCycle,
    pub result: Option<ResultState>,
    pub code: Option<TerminationCode>,
    /// Whose fault the platform says it is.
    pub kind: Option<TerminationType>,
    /// In the words of the platform, and of whoever wrote the job: hostile.
    pub message: Option<String>,
}

impl RunState {
    pub fn is_over(&self) -> bool {
        match &self.life_cycle {
            LifeCycle::Terminated | LifeCycle::Skipped | LifeCycle::InternalError => true,
            LifeCycle::Other(_) => self.result.is_some() || self.code.is_some(),
            _ => false,
        }
    }

    /// How it ended, as the platform says it: the result, else why there is none. The newer spelling has no result; it is the
    /// one that the older had.
    pub fn word(&self) -> Option<&str> {
        match (&self.result, &self.life_cycle) {
            _ if !self.is_over() => None,
            (Some(result), _) => Some(result.as_str()),
            (None, LifeCycle::Skipped | LifeCycle::InternalError) => Some(self.life_cycle.as_str()),
            (None, _) => match (self.outcome(), &self.code) {
                (RunOutcome::Running | RunOutcome::Unknown, _) => None,
                (RunOutcome::Succeeded, _) => Some("SUCCESS"),
                (RunOutcome::PartlyFailed, _) => Some("SUCCESS_WITH_FAILURES"),
                (RunOutcome::Stopped, Some(TerminationCode::Disabled)) => Some("DISABLED"),
                (RunOutcome::Stopped, _) => Some("CANCELED"),
                (RunOutcome::NeverStarted, Some(TerminationCode::MaxConcurrentRunsExceeded)) => {
                    Some("MAXIMUM_CONCURRENT_RUNS_REACHED")
                }
                (RunOutcome::Failed | RunOutcome::TimedOut | RunOutcome::NeverStarted, _) => Some("FAILED"),
            },
        }
    }

    /// What that means.
    pub fn outcome(&self) -> RunOutcome {
        if !self.is_over() {
            return RunOutcome::Running;
        }
        let stopped = matches!(
            self.code,
            Some(TerminationCode::Canceled | TerminationCode::UserCanceled | TerminationCode::Disabled)
        );
        let prevented = self.code.as_ref().is_some_and(TerminationCode::prevents_start)
            || matches!(self.life_cycle, LifeCycle::Skipped | LifeCycle::InternalError);
        match &self.result {
            Some(ResultState::TimedOut) => RunOutcome::TimedOut,
            Some(ResultState::SuccessWithFailures) => RunOutcome::PartlyFailed,
            Some(ResultState::Success) if self.code == Some(TerminationCode::SuccessWithFailures) => {
                RunOutcome::PartlyFailed
            }
            Some(ResultState::Success) => RunOutcome::Succeeded,
            Some(ResultState::Canceled | ResultState::Disabled | ResultState::UpstreamCanceled) => RunOutcome::Stopped,
            Some(ResultState::MaximumConcurrentRunsReached | ResultState::Excluded) => RunOutcome::NeverStarted,
            Some(ResultState::Failed | ResultState::UpstreamFailed) if prevented => RunOutcome::NeverStarted,
            Some(ResultState::Failed | ResultState::UpstreamFailed) => RunOutcome::Failed,
            Some(ResultState::Other(_)) | None if stopped => RunOutcome::Stopped,
            Some(ResultState::Other(_)) | None if prevented => RunOutcome::NeverStarted,
            Some(ResultState::Other(_)) | None => match (&self.code, &self.kind) {
                (Some(TerminationCode::Success), _) => RunOutcome::Succeeded,
                (Some(TerminationCode::SuccessWithFailures), _) => RunOutcome::PartlyFailed,
                (Some(TerminationCode::Other(_)) | None, Some(TerminationType::Success)) => RunOutcome::Succeeded,
                (Some(TerminationCode::Other(_)) | None, Some(TerminationType::Other(_)) | None) => RunOutcome::Unknown,
                _ => RunOutcome::Failed,
            },
        }
    }
}

impl RunOutcome {
    /// Somebody has to look at it.
    pub fn is_failure(self) -> bool {
        matches!(self, Self::PartlyFailed | Self::Failed | Self::TimedOut | Self::NeverStarted)
    }
}

/// One attempt at a task of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// The run of this attempt: what `runs/get-output` takes.
    pub run_id: Id,
    pub key: String,
    /// 0 for the first.
    pub attempt: u32,
    pub state: RunState,
    pub started_at: Option<Timestamp>,
    pub ended_at: Option<Timestamp>,
    /// Keys of the tasks that come before it.
    pub depends_on: Vec<String>,
    /// It runs another job.
    pub runs_job: bool,
}

/// The original run or a repair of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Round {
    /// `None` for the original run.
    pub repair: Option<Id>,
    pub state: RunState,
    pub started_at: Option<Timestamp>,
    pub ended_at: Option<Timestamp>,
    /// The attempts that belong to it. Empty where the platform does not say.
    pub task_runs: Vec<Id>,
}

/// A run of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    pub id: Id,
    /// Unique in its workspace only.
    pub job_id: Id,
    /// The name of the job, unless whoever started the run gave it another. Hostile.
    pub name: Option<String>,
    pub state: RunState,
    pub trigger: Option<Trigger>,
    /// The task run that started it, of a run that another job started.
    pub started_by: Option<Id>,
    /// The first attempt, of a run that is the retry of another.
    pub original: Option<Id>,
    /// 0 for the first.
    pub attempt: u32,
    pub started_at: Timestamp,
    pub ended_at: Option<Timestamp>,
    pub page_url: Option<String>,
    /// Why it waits, or waited.
    pub queued_because: Option<String>,
    /// Attempts at its tasks: the last ones, or all when the history was asked for.
    pub tasks: Vec<Task>,
    /// The rounds, when the history was asked for.
    pub rounds: Vec<Round>,
}

impl Run {
    /// What its end means. A run that could not start though a task of it ran has failed.
    pub fn outcome(&self) -> RunOutcome {
        match self.state.outcome() {
            RunOutcome::NeverStarted if self.tasks.iter().any(Task::has_run) => RunOutcome::Failed,
            outcome => outcome,
        }
    }

    /// The run whose failure this one is about: retries are about the first attempt.
    pub fn case(&self) -> &Id {
        self.original.as_ref().unwrap_or(&self.id)
    }

    /// The last attempt at each task.
    pub fn last_attempts(&self) -> Vec<&Task> {
        last_attempts(self.tasks.iter())
    }

    /// Tasks that needed more than one attempt, by a retry or a repair.
    pub fn retried_tasks(&self) -> usize {
        self.last_attempts().iter().filter(|task| task.attempt > 0).count()
    }

    /// The attempts that count in a round.
    pub fn tasks_of(&self, round: &Round) -> Vec<&Task> {
        if !round.task_runs.is_empty() {
            return last_attempts(self.tasks.iter().filter(|task| round.task_runs.contains(&task.run_id)));
        }
        if self.rounds.len() < 2 {
            return self.last_attempts();
        }
        let ends = round.ended_at;
        let began = |task: &&Task| {
            task.started_at.is_some_and(|at| {
                round.started_at.is_none_or(|from| at >= from) && ends.is_none_or(|until| at <= until)
            })
        };
        last_attempts(self.tasks.iter().filter(began))
    }

    /// Every text of it that somebody else wrote.
    pub fn texts_mut(&mut self) -> impl Iterator<Item = &mut String> {
        let Self { name, state, page_url, queued_because, tasks, rounds, .. } = self;
        let own = [name, &mut state.message, page_url, queued_because].into_iter().flatten();
        let tasks = tasks.iter_mut().flat_map(|task| {
            std::iter::once(&mut task.key).chain(task.depends_on.iter_mut()).chain(task.state.message.as_mut())
        });
        own.chain(tasks).chain(rounds.iter_mut().filter_map(|round| round.state.message.as_mut()))
    }
}

impl Task {
    /// It got as far as running.
    pub fn has_run(&self) -> bool {
        let state = &self.state;
        let ran = matches!(state.result, Some(ResultState::Success | ResultState::Failed | ResultState::TimedOut));
        ran && !matches!(state.outcome(), RunOutcome::NeverStarted | RunOutcome::Stopped)
    }

    /// It failed itself. What could not run because another task failed is a consequence.
    pub fn is_cause(&self) -> bool {
        !self.is_consequence()
            && !matches!(self.state.result, Some(ResultState::Excluded))
            && self.state.outcome().is_failure()
    }

    pub fn is_consequence(&self) -> bool {
        matches!(self.state.result, Some(ResultState::UpstreamFailed))
    }
}

fn last_attempts<'a>(tasks: impl Iterator<Item = &'a Task>) -> Vec<&'a Task> {
    let mut last: Vec<&Task> = Vec::new();
    for task in tasks {
        match last.iter_mut().find(|other| other.key == task.key) {
            Some(other) if (task.attempt, task.started_at) >= (other.attempt, other.started_at) => *other = task,
            Some(_) => {}
            None => last.push(task),
        }
    }
    last
}

#[cfg(test)]
mod tests;
