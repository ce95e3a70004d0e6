//! Job runs, as a workspace reports them.
//!
//! A run has executions: the original one and its repairs. A task has attempts; the last one counts.

pub mod outcome;
mod state;

use super::{ids::Id, run::outcome::RunOutcome, time::Timestamp};

pub use state::{LifeCycle, ResultState, RunTrigger, TerminationCode, TerminationType};

/// State of a run, a task run or a repair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunState {
    pub life_cycle: LifeCycle,
    pub result: Option<ResultState>,
    pub code: Option<TerminationCode>,
    /// Cause category that the platform reports.
    pub kind: Option<TerminationType>,
    /// Message of the platform or the job. It comes from outside and must be escaped.
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

    /// Returns the result as the platform reports it, else the life cycle state. The newer API has no result state; the one of the
    /// older API is returned.
    pub fn result_text(&self) -> Option<&str> {
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

    /// Returns the outcome that the state means.
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

/// One attempt of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// Id of the task run, the parameter of `runs/get-output`.
    pub run_id: Id,
    pub key: String,
    /// 0 for the first.
    pub attempt: u32,
    pub state: RunState,
    pub started_at: Option<Timestamp>,
    pub ended_at: Option<Timestamp>,
    /// Keys of the tasks that it depends on.
    pub depends_on: Vec<String>,
    /// True if the task runs another job.
    pub runs_job: bool,
}

/// The original execution of a run, or a repair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Execution {
    /// Id of the repair. `None`: the original execution.
    pub repair: Option<Id>,
    pub state: RunState,
    pub started_at: Option<Timestamp>,
    pub ended_at: Option<Timestamp>,
    /// The task runs that belong to it. Empty if the platform does not list them.
    pub task_runs: Vec<Id>,
}

/// A run of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    pub id: Id,
    /// Unique in its workspace only.
    pub job_id: Id,
    /// Name of the run, by default that of the job. It comes from outside and must be escaped.
    pub name: Option<String>,
    pub state: RunState,
    pub trigger: Option<RunTrigger>,
    /// The task run that started it, if another job started it.
    pub started_by: Option<Id>,
    /// Id of the first attempt, if this run is a retry.
    pub original: Option<Id>,
    /// 0 for the first.
    pub attempt: u32,
    pub started_at: Timestamp,
    pub ended_at: Option<Timestamp>,
    pub page_url: Option<String>,
    /// Reason for queueing.
    pub queued_because: Option<String>,
    /// Task attempts: the last ones, or all if the history was requested.
    pub tasks: Vec<Task>,
    /// The executions, if the history was requested.
    pub executions: Vec<Execution>,
}

impl Run {
    /// Returns the outcome. A run that could not start although one of its tasks ran has failed.
    pub fn outcome(&self) -> RunOutcome {
        match self.state.outcome() {
            RunOutcome::NeverStarted if self.tasks.iter().any(Task::has_run) => RunOutcome::Failed,
            outcome => outcome,
        }
    }

    /// Returns the id of the case: the first attempt for a retry, else the run itself.
    pub fn case(&self) -> &Id {
        self.original.as_ref().unwrap_or(&self.id)
    }

    /// Returns the last attempt of each task.
    pub fn last_attempts(&self) -> Vec<&Task> {
        last_attempts(self.tasks.iter())
    }

    /// Returns the number of tasks that needed more than one attempt, by a retry or a repair.
    pub fn retried_tasks(&self) -> usize {
        self.last_attempts().iter().filter(|task| task.attempt > 0).count()
    }

    /// Returns the last attempt of each task in an execution.
    pub fn tasks_of(&self, execution: &Execution) -> Vec<&Task> {
        if !execution.task_runs.is_empty() {
            return last_attempts(self.tasks.iter().filter(|task| execution.task_runs.contains(&task.run_id)));
        }
        if self.executions.len() < 2 {
            return self.last_attempts();
        }
        let ends = execution.ended_at;
        let began = |task: &&Task| {
            task.started_at.is_some_and(|at| {
                execution.started_at.is_none_or(|from| at >= from) && ends.is_none_or(|until| at <= until)
            })
        };
        last_attempts(self.tasks.iter().filter(began))
    }

    /// Returns all texts of the run that come from outside.
    pub fn texts_mut(&mut self) -> impl Iterator<Item = &mut String> {
        let Self { name, state, page_url, queued_because, tasks, executions, .. } = self;
        let own = [name, &mut state.message, page_url, queued_because].into_iter().flatten();
        let tasks = tasks.iter_mut().flat_map(|task| {
            std::iter::once(&mut task.key).chain(task.depends_on.iter_mut()).chain(task.state.message.as_mut())
        });
        own.chain(tasks).chain(executions.iter_mut().filter_map(|execution| execution.state.message.as_mut()))
    }
}

impl Task {
    /// Returns true if the task surely ran. FAILED alone may also mean that its cluster did not start.
    pub fn has_run(&self) -> bool {
        match &self.state.result {
            Some(ResultState::Success | ResultState::SuccessWithFailures | ResultState::TimedOut) => true,
            _ => self.state.code == Some(TerminationCode::RunExecutionError),
        }
    }

    /// Returns true if the task itself failed. A task that could not run because another one failed is a consequence.
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
