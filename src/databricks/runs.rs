//! Runs of jobs: lists of runs, one run with its history, and the output of a task.

mod wire;

use futures::TryStreamExt;
use wire::{OutputResponse, RunList, RunResponse};

use super::{Client, error::ApiError};
use crate::domain::{ids::Id, run::Run, time::Timestamp};

const LIST: [&str; 4] = ["2.2", "jobs", "runs", "list"];
const GET: [&str; 4] = ["2.2", "jobs", "runs", "get"];
const OUTPUT: [&str; 4] = ["2.2", "jobs", "runs", "get-output"];
/// The most runs on a page.
const RUNS: &str = "24";

/// A selection of runs to list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunSelection {
    /// Runs that started at this time or later.
    Since(Timestamp),
    /// Runs of one job that started at this time or later.
    OfJob(u64, Timestamp),
    /// Runs that have not ended, whenever they started.
    Active,
}

/// A run of a job in a response.
#[derive(Debug, Clone, PartialEq)]
pub enum FetchedRun {
    Run(Box<Run>),
    Untimed(UntimedRun),
}

impl FetchedRun {
    /// Returns the run.
    ///
    /// # Errors
    /// [`ApiError::Unexpected`] for a run without any time.
    pub fn timed(self) -> Result<Run, ApiError> {
        match self {
            Self::Run(run) => Ok(*run),
            Self::Untimed(run) => Err(ApiError::Unexpected(format!("run {} has no start_time", run.id))),
        }
    }
}

/// A run without any time: no start, no end, and none of a task or a repair. So it cannot be ordered among other runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UntimedRun {
    pub id: Id,
    pub has_ended: bool,
}

/// The output of a task run. Its texts are untrusted and up to 5 MB long.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunOutput {
    pub error: Option<String>,
    /// The stack trace.
    pub trace: Option<String>,
    /// Its standard output, if the platform keeps it.
    pub logs: Option<String>,
    /// The run that it started, if the task runs a job.
    pub child: Option<Id>,
}

impl Client {
    /// Lists the runs that the identity may see, the last started first, each once, with the last attempt of every task.
    /// `progress` gets the number of runs so far.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn runs(&self, wanted: RunSelection, progress: impl Fn(usize)) -> Result<Vec<FetchedRun>, ApiError> {
        let mut query = vec![("limit", RUNS.to_owned()), ("expand_tasks", "true".to_owned())];
        if let RunSelection::OfJob(job, _) = wanted {
            query.push(("job_id", job.to_string()));
        }
        query.push(match wanted {
            RunSelection::Since(moment) | RunSelection::OfJob(_, moment) => {
                ("start_time_from", (moment.micros().div_euclid(1_000)).to_string())
            }
            RunSelection::Active => ("active_only", "true".to_owned()),
        });
        let mut pages = std::pin::pin!(self.pages::<RunList>(&LIST, query));
        let mut runs: Vec<FetchedRun> = Vec::new();
        let mut seen = std::collections::HashSet::new();
        while let Some(page) = pages.try_next().await? {
            for answer in page {
                // Pages shift when a run starts in the meantime. A run without a job is not a job run.
                if !answer.is_of_a_job() || !seen.insert(answer.run_id) {
                    continue;
                }
                // The list contains only the first 100 tasks of a run.
                runs.push(if answer.has_more { self.paged_run(answer.run_id, false).await? } else { answer.run()? });
            }
            progress(runs.len());
        }
        Ok(runs)
    }

    /// Returns one run with all attempts and repairs.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if the run does not exist any more or is not visible; and others.
    pub async fn run(&self, id: &Id) -> Result<FetchedRun, ApiError> {
        self.paged_run(id.as_str(), true).await
    }

    async fn paged_run(&self, id: impl ToString, with_history: bool) -> Result<FetchedRun, ApiError> {
        let mut query = vec![("run_id", id.to_string())];
        if with_history {
            query.push(("include_history", "true".to_owned()));
        }
        let fixed = query.len();
        let mut whole: RunResponse = self.get(&GET, &query).await?;
        let mut next = whole.next_page_token.take().filter(|token| !token.is_empty());
        while let Some(token) = next {
            query.truncate(fixed);
            query.push(("page_token", token.clone()));
            let page: RunResponse = self.get(&GET, &query).await?;
            whole.tasks.extend(page.tasks);
            next = page.next_page_token.filter(|token| !token.is_empty());
            if next.as_ref() == Some(&token) {
                let run = whole.run_id;
                return Err(ApiError::Unexpected(format!("the next page of run {run} is the same page")));
            }
        }
        whole.run()
    }

    /// Returns the output of a task run, or of a run without tasks.
    ///
    /// # Errors
    /// [`ApiError`] if the output never existed, is no longer kept, or is not visible.
    pub async fn run_output(&self, task_run: &Id) -> Result<RunOutput, ApiError> {
        let answer: OutputResponse = self.get(&OUTPUT, &[("run_id", task_run.to_string())]).await?;
        answer.output()
    }
}
