//! Runs of jobs: lists of them, one with its history, and what a task left behind.

mod wire;

use futures::TryStreamExt;
use wire::{OutputAnswer, RunAnswer, RunList};

use super::{Client, error::ApiError};
use crate::domain::{ids::Id, run::Run, time::Timestamp};

const LIST: [&str; 4] = ["2.2", "jobs", "runs", "list"];
const GET: [&str; 4] = ["2.2", "jobs", "runs", "get"];
const OUTPUT: [&str; 4] = ["2.2", "jobs", "runs", "get-output"];
/// The most runs on a page.
const RUNS: &str = "24";

/// Which runs are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Runs {
    /// Those that started at this moment or later.
    Since(Timestamp),
    /// Those of one job that started at this moment or later.
    OfJob(u64, Timestamp),
    /// Those that are not over, whenever they started.
    Active,
}

/// What a workspace answers when it is asked about a run of a job.
#[derive(Debug, Clone, PartialEq)]
pub enum FoundRun {
    Run(Box<Run>),
    Untimed(Untimed),
}

impl FoundRun {
    /// # Errors
    /// [`ApiError::Unexpected`] for a run without any time.
    pub fn timed(self) -> Result<Run, ApiError> {
        match self {
            Self::Run(run) => Ok(*run),
            Self::Untimed(run) => Err(ApiError::Unexpected(format!("run {} without start_time", run.id))),
        }
    }
}

/// A run without any time: no start, no end, and none of a task or a repair. So it has no place among the others yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Untimed {
    pub id: Id,
    pub is_over: bool,
}

/// What a task run left behind. Texts are hostile and up to 5 MB long.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Output {
    pub error: Option<String>,
    /// The stack trace.
    pub trace: Option<String>,
    /// What it printed, where the platform keeps that.
    pub logs: Option<String>,
    /// The run that it started, of a task that runs a job.
    pub child: Option<Id>,
}

impl Client {
    /// Runs that the caller may see, the last started first, each once, with the last attempt at every task. `progress` gets the
    /// number of those found so far.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn runs(&self, wanted: Runs, progress: impl Fn(usize)) -> Result<Vec<FoundRun>, ApiError> {
        let mut query = vec![("limit", RUNS.to_owned()), ("expand_tasks", "true".to_owned())];
        if let Runs::OfJob(job, _) = wanted {
            query.push(("job_id", job.to_string()));
        }
        query.push(match wanted {
            Runs::Since(moment) | Runs::OfJob(_, moment) => {
                ("start_time_from", (moment.micros().div_euclid(1_000)).to_string())
            }
            Runs::Active => ("active_only", "true".to_owned()),
        });
        let mut pages = std::pin::pin!(self.pages::<RunList>(&LIST, query));
        let mut runs: Vec<FoundRun> = Vec::new();
        let mut seen = std::collections::HashSet::new();
        while let Some(page) = pages.try_next().await? {
            for answer in page {
                // Pages move on when a run starts meanwhile. What belongs to no job is no run of one.
                if !answer.is_of_a_job() || !seen.insert(answer.run_id) {
                    continue;
                }
                // The list tells the first 100 tasks of a run only.
                runs.push(if answer.has_more { self.paged_run(answer.run_id, false).await? } else { answer.run()? });
            }
            progress(runs.len());
        }
        Ok(runs)
    }

    /// One run, with all attempts and repairs.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] when there is no such run any more, or it may not be seen; and others.
    pub async fn run(&self, id: &Id) -> Result<FoundRun, ApiError> {
        self.paged_run(id.as_str(), true).await
    }

    async fn paged_run(&self, id: impl ToString, with_history: bool) -> Result<FoundRun, ApiError> {
        let mut query = vec![("run_id", id.to_string())];
        if with_history {
            query.push(("include_history", "true".to_owned()));
        }
        let fixed = query.len();
        let mut whole: RunAnswer = self.get(&GET, &query).await?;
        let mut next = whole.next_page_token.take().filter(|token| !token.is_empty());
        while let Some(token) = next {
            query.truncate(fixed);
            query.push(("page_token", token.clone()));
            let page: RunAnswer = self.get(&GET, &query).await?;
            whole.tasks.extend(page.tasks);
            next = page.next_page_token.filter(|token| !token.is_empty());
            if next.as_ref() == Some(&token) {
                let run = whole.run_id;
                return Err(ApiError::Unexpected(format!("run {run} whose next page is the same page again")));
            }
        }
        whole.run()
    }

    /// What a task run left behind; of a run without tasks, that run itself.
    ///
    /// # Errors
    /// [`ApiError`]: when it was never there, is not kept any more, or may not be seen.
    pub async fn run_output(&self, task_run: &Id) -> Result<Output, ApiError> {
        let answer: OutputAnswer = self.get(&OUTPUT, &[("run_id", task_run.to_string())]).await?;
        answer.output()
    }
}
