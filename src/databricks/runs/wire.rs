//! Runs in responses. Both forms of a run's state are read: `state`, which is deprecated, and `status`.

use serde::Deserialize;

use super::{FetchedRun, RunOutput, UntimedRun};
use crate::{
    databricks::{error::ApiError, pages::Page},
    domain::{
        ids::Id,
        run::{Execution, LifeCycle, ResultState, Run, RunState, RunTrigger, Task, TerminationCode, TerminationType},
        time::Timestamp,
    },
};

#[derive(Deserialize)]
pub struct RunList {
    #[serde(default)]
    runs: Vec<RunResponse>,
    next_page_token: Option<String>,
}

impl Page for RunList {
    type Item = RunResponse;

    fn into_parts(self) -> (Vec<RunResponse>, Option<String>) {
        (self.runs, self.next_page_token)
    }
}

#[derive(Deserialize)]
pub struct RunResponse {
    pub run_id: i64,
    job_id: Option<i64>,
    run_name: Option<String>,
    state: Option<DeprecatedState>,
    status: Option<RunStatus>,
    trigger: Option<RunTrigger>,
    trigger_info: Option<RunReference>,
    original_attempt_run_id: Option<i64>,
    attempt_number: Option<u32>,
    /// Milliseconds, 0 for none, as in every response.
    start_time: Option<i64>,
    end_time: Option<i64>,
    run_page_url: Option<String>,
    #[serde(default)]
    pub tasks: Vec<TaskResponse>,
    #[serde(default)]
    repair_history: Vec<RepairResponse>,
    /// True if some tasks are missing.
    #[serde(default)]
    pub has_more: bool,
    pub next_page_token: Option<String>,
}

#[derive(Deserialize)]
pub struct TaskResponse {
    run_id: Option<i64>,
    #[serde(default)]
    task_key: String,
    attempt_number: Option<u32>,
    state: Option<DeprecatedState>,
    status: Option<RunStatus>,
    start_time: Option<i64>,
    end_time: Option<i64>,
    #[serde(default)]
    depends_on: Vec<Dependency>,
    run_job_task: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
struct Dependency {
    #[serde(default)]
    task_key: String,
}

#[derive(Deserialize)]
struct RepairResponse {
    #[serde(rename = "type")]
    kind: Option<String>,
    id: Option<i64>,
    state: Option<DeprecatedState>,
    status: Option<RunStatus>,
    start_time: Option<i64>,
    end_time: Option<i64>,
    #[serde(default)]
    task_run_ids: Vec<i64>,
}

#[derive(Deserialize)]
struct RunReference {
    run_id: Option<i64>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct DeprecatedState {
    life_cycle_state: Option<LifeCycle>,
    result_state: Option<ResultState>,
    state_message: Option<String>,
    queue_reason: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct RunStatus {
    state: Option<LifeCycle>,
    termination_details: Option<Termination>,
    queue_details: Option<Queue>,
}

#[derive(Deserialize)]
struct Termination {
    code: Option<TerminationCode>,
    #[serde(rename = "type")]
    kind: Option<TerminationType>,
    message: Option<String>,
}

#[derive(Deserialize)]
struct Queue {
    message: Option<String>,
}

#[derive(Deserialize)]
pub struct OutputResponse {
    error: Option<String>,
    error_trace: Option<String>,
    logs: Option<String>,
    run_job_output: Option<RunReference>,
}

impl OutputResponse {
    pub fn output(self) -> Result<RunOutput, ApiError> {
        let child = self.run_job_output.and_then(|output| output.run_id).map(id).transpose()?;
        Ok(RunOutput {
            error: non_empty(self.error),
            trace: non_empty(self.error_trace),
            logs: non_empty(self.logs),
            child,
        })
    }
}

impl RunResponse {
    pub fn is_of_a_job(&self) -> bool {
        self.job_id.is_some()
    }

    pub fn run(self) -> Result<FetchedRun, ApiError> {
        let run_id = self.run_id;
        let lacks = |what: &str| ApiError::Unexpected(format!("run {run_id} has no {what}"));
        let started_at = self.started_at();
        let old = self.state.unwrap_or_default();
        let queued = self.status.as_ref().and_then(|status| status.queue_details.as_ref()?.message.clone());
        let queued_because = non_empty(queued).or_else(|| non_empty(old.queue_reason.clone()));
        let state = state(Some(old), self.status);
        let Some(started_at) = started_at else {
            return Ok(FetchedRun::Untimed(UntimedRun { id: id(run_id)?, has_ended: state.is_over() }));
        };
        Ok(FetchedRun::Run(Box::new(Run {
            id: id(run_id)?,
            job_id: id(self.job_id.ok_or_else(|| lacks("job_id"))?)?,
            name: non_empty(self.run_name),
            state,
            trigger: self.trigger,
            started_by: self.trigger_info.and_then(|info| info.run_id).map(id).transpose()?,
            original: self
                .original_attempt_run_id
                .filter(|original| *original != run_id && *original != 0)
                .map(id)
                .transpose()?,
            attempt: self.attempt_number.unwrap_or(0),
            started_at,
            ended_at: moment(self.end_time),
            page_url: non_empty(self.run_page_url),
            queued_because,
            tasks: self.tasks.into_iter().filter_map(|task| task.task().transpose()).collect::<Result<_, _>>()?,
            executions: self.repair_history.into_iter().map(RepairResponse::round).collect::<Result<_, _>>()?,
        })))
    }

    /// Returns the run's start, else the first start of a task or a repair, else its end: the run never began.
    fn started_at(&self) -> Option<Timestamp> {
        let tasks = self.tasks.iter().map(|task| task.start_time);
        let executions = self.repair_history.iter().map(|round| round.start_time);
        let first = || tasks.chain(executions).filter_map(moment).min();
        moment(self.start_time).or_else(first).or_else(|| moment(self.end_time))
    }
}

impl TaskResponse {
    /// Returns the task. `None`: it has no run.
    fn task(self) -> Result<Option<Task>, ApiError> {
        let Some(run_id) = self.run_id else { return Ok(None) };
        Ok(Some(Task {
            run_id: id(run_id)?,
            key: self.task_key,
            attempt: self.attempt_number.unwrap_or(0),
            state: state(self.state, self.status),
            started_at: moment(self.start_time),
            ended_at: moment(self.end_time),
            depends_on: self.depends_on.into_iter().map(|dependency| dependency.task_key).collect(),
            runs_job: self.run_job_task.is_some(),
        }))
    }
}

impl RepairResponse {
    fn round(self) -> Result<Execution, ApiError> {
        Ok(Execution {
            repair: self.id.filter(|_| self.kind.as_deref() != Some("ORIGINAL")).map(id).transpose()?,
            state: state(self.state, self.status),
            started_at: moment(self.start_time),
            ended_at: moment(self.end_time),
            task_runs: self.task_run_ids.into_iter().map(id).collect::<Result<_, _>>()?,
        })
    }
}

/// Combines both forms of a state. The older form has the result, the newer one the reason.
fn state(old: Option<DeprecatedState>, new: Option<RunStatus>) -> RunState {
    let (old, new) = (old.unwrap_or_default(), new.unwrap_or_default());
    let (code, kind, why) = match new.termination_details {
        Some(details) => (details.code, details.kind, details.message),
        None => (None, None, None),
    };
    RunState {
        life_cycle: old.life_cycle_state.or(new.state).unwrap_or_else(|| LifeCycle::Other("UNKNOWN".into())),
        result: old.result_state,
        code,
        kind,
        message: non_empty(why).or_else(|| non_empty(old.state_message)),
    }
}

fn id(number: i64) -> Result<Id, ApiError> {
    Id::new(number.to_string()).map_err(ApiError::unexpected)
}

fn moment(millis: Option<i64>) -> Option<Timestamp> {
    millis.filter(|millis| *millis > 0).and_then(|millis| Timestamp::from_micros(millis.checked_mul(1_000)?))
}

fn non_empty(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.trim().is_empty())
}
