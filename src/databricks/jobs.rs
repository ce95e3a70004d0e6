//! Jobs and their settings.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Client, error::ApiError, pages::Page};

const LIST: [&str; 3] = ["2.2", "jobs", "list"];
const GET: [&str; 3] = ["2.2", "jobs", "get"];
/// The most jobs on a page.
const JOBS: &str = "100";
/// Lists in the settings that are paged if they are long.
const PAGED: [&str; 4] = ["tasks", "job_clusters", "environments", "parameters"];

/// A job with all of its tasks.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    /// Unique in its workspace only.
    pub id: u64,
    pub creator: Option<String>,
    /// The identity that it runs as.
    pub run_as: Option<String>,
    /// With the API's names. Its texts are untrusted.
    pub settings: Map<String, Value>,
}

/// A job that exists and could not be read.
#[derive(Debug)]
pub struct UnreadableJob {
    pub id: u64,
    pub error: ApiError,
}

impl Job {
    pub fn name(&self) -> Option<&str> {
        self.settings.get("name")?.as_str()
    }
}

#[derive(Deserialize)]
struct JobResponse {
    job_id: u64,
    creator_user_name: Option<String>,
    run_as_user_name: Option<String>,
    #[serde(default)]
    settings: Map<String, Value>,
    /// True if some tasks, job clusters … are missing.
    #[serde(default)]
    has_more: bool,
    next_page_token: Option<String>,
}

impl From<JobResponse> for Job {
    fn from(answer: JobResponse) -> Self {
        Self {
            id: answer.job_id,
            creator: answer.creator_user_name,
            run_as: answer.run_as_user_name,
            settings: answer.settings,
        }
    }
}

#[derive(Deserialize)]
struct JobList {
    #[serde(default)]
    jobs: Vec<JobResponse>,
    next_page_token: Option<String>,
}

impl Page for JobList {
    type Item = JobResponse;

    fn into_parts(self) -> (Vec<JobResponse>, Option<String>) {
        (self.jobs, self.next_page_token)
    }
}

impl Client {
    /// Lists all jobs that the identity may see. `progress` gets the number of jobs so far. A listed job that cannot be read does
    /// not affect the others.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn jobs(&self, progress: impl Fn(usize)) -> Result<Vec<Result<Job, UnreadableJob>>, ApiError> {
        let query = vec![("limit", JOBS.to_owned()), ("expand_tasks", "true".to_owned())];
        let mut pages = std::pin::pin!(self.pages::<JobList>(&LIST, query));
        let mut jobs = Vec::new();
        while let Some(page) = futures::TryStreamExt::try_next(&mut pages).await? {
            for answer in page {
                // The list contains only the first 100 tasks of a job.
                jobs.push(if answer.has_more { self.readable_job(answer.job_id).await? } else { Ok(answer.into()) });
            }
            progress(jobs.len());
        }
        Ok(jobs)
    }

    /// As [`Self::job`], but returns an error of this job alone as a value.
    ///
    /// # Errors
    /// [`ApiError`] of kinds that would affect other jobs too.
    pub async fn readable_job(&self, id: u64) -> Result<Result<Job, UnreadableJob>, ApiError> {
        match self.job(id).await {
            Ok(job) => Ok(Ok(job)),
            Err(error @ (ApiError::Unauthorised(_) | ApiError::Throttled(_) | ApiError::Unreachable(_))) => Err(error),
            Err(error) => Ok(Err(UnreadableJob { id, error })),
        }
    }

    /// Returns a job.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if the job does not exist or is not visible; and others.
    pub async fn job(&self, id: u64) -> Result<Job, ApiError> {
        let mut query = vec![("job_id", id.to_string())];
        let first: JobResponse = self.get(&GET, &query).await?;
        let mut next = first.next_page_token.clone().filter(|token| !token.is_empty());
        let mut job = Job::from(first);
        while let Some(token) = next {
            query.truncate(1);
            query.push(("page_token", token.clone()));
            let mut page: JobResponse = self.get(&GET, &query).await?;
            for name in PAGED {
                let Some(Value::Array(more)) = page.settings.remove(name) else { continue };
                match job.settings.entry(name).or_insert_with(|| Value::Array(Vec::new())) {
                    Value::Array(all) => all.extend(more),
                    other => return Err(ApiError::Unexpected(format!("{name} of job {id} is {other}"))),
                }
            }
            next = page.next_page_token.filter(|token| !token.is_empty());
            if next.as_ref() == Some(&token) {
                return Err(ApiError::Unexpected(format!("the next page of job {id} is the same page")));
            }
        }
        Ok(job)
    }
}
