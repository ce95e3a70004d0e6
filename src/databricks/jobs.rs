//! Jobs as they are deployed.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Client, error::ApiError, pages::Page};

const LIST: [&str; 3] = ["2.2", "jobs", "list"];
const GET: [&str; 3] = ["2.2", "jobs", "get"];
/// The most jobs on a page.
const JOBS: &str = "100";
/// Lists in the settings that come a page at a time when they are long.
const PAGED: [&str; 4] = ["tasks", "job_clusters", "environments", "parameters"];

/// A job, all of its tasks included.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    /// Unique in its workspace only.
    pub id: u64,
    pub creator: Option<String>,
    /// As whom it runs.
    pub run_as: Option<String>,
    /// As the API spells them. Texts in it are hostile.
    pub settings: Map<String, Value>,
}

/// A job that there is, and that could not be read.
#[derive(Debug)]
pub struct Unread {
    pub id: u64,
    pub error: ApiError,
}

impl Job {
    pub fn name(&self) -> Option<&str> {
        self.settings.get("name")?.as_str()
    }
}

#[derive(Deserialize)]
struct JobAnswer {
    job_id: u64,
    creator_user_name: Option<String>,
    run_as_user_name: Option<String>,
    #[serde(default)]
    settings: Map<String, Value>,
    /// Not all tasks, job clusters … are here.
    #[serde(default)]
    has_more: bool,
    next_page_token: Option<String>,
}

impl From<JobAnswer> for Job {
    fn from(answer: JobAnswer) -> Self {
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
    jobs: Vec<JobAnswer>,
    next_page_token: Option<String>,
}

impl Page for JobList {
    type Item = JobAnswer;

    fn turn(self) -> (Vec<JobAnswer>, Option<String>) {
        (self.jobs, self.next_page_token)
    }
}

impl Client {
    /// All jobs that whoever asks may see. `told` hears how many there are so far. A job that is only listed, and cannot be
    /// read, spoils no other.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn jobs(&self, told: impl Fn(usize)) -> Result<Vec<Result<Job, Unread>>, ApiError> {
        let query = vec![("limit", JOBS.to_owned()), ("expand_tasks", "true".to_owned())];
        let mut pages = std::pin::pin!(self.pages::<JobList>(&LIST, query));
        let mut jobs = Vec::new();
        while let Some(page) = futures::TryStreamExt::try_next(&mut pages).await? {
            for answer in page {
                // The list tells the first 100 tasks of a job only.
                jobs.push(if answer.has_more { self.readable_job(answer.job_id).await? } else { Ok(answer.into()) });
            }
            told(jobs.len());
        }
        Ok(jobs)
    }

    /// [`Self::job`], where an error that is about this job alone is an answer.
    ///
    /// # Errors
    /// [`ApiError`], of the kinds that would meet the next job, too.
    pub async fn readable_job(&self, id: u64) -> Result<Result<Job, Unread>, ApiError> {
        match self.job(id).await {
            Ok(job) => Ok(Ok(job)),
            Err(error @ (ApiError::Unauthorised(_) | ApiError::Throttled(_) | ApiError::Unreachable(_))) => Err(error),
            Err(error) => Ok(Err(Unread { id, error })),
        }
    }

    /// # Errors
    /// [`ApiError::NotFound`] when there is no such job, or it may not be seen; and others.
    pub async fn job(&self, id: u64) -> Result<Job, ApiError> {
        let mut query = vec![("job_id", id.to_string())];
        let first: JobAnswer = self.get(&GET, &query).await?;
        let mut next = first.next_page_token.clone().filter(|token| !token.is_empty());
        let mut job = Job::from(first);
        while let Some(token) = next {
            query.truncate(1);
            query.push(("page_token", token.clone()));
            let mut page: JobAnswer = self.get(&GET, &query).await?;
            for name in PAGED {
                let Some(Value::Array(more)) = page.settings.remove(name) else { continue };
                match job.settings.entry(name).or_insert_with(|| Value::Array(Vec::new())) {
                    Value::Array(all) => all.extend(more),
                    other => return Err(ApiError::Unexpected(format!("{name} of job {id} is {other}"))),
                }
            }
            next = page.next_page_token.filter(|token| !token.is_empty());
            if next.as_ref() == Some(&token) {
                return Err(ApiError::Unexpected(format!("job {id} whose next page is the same page again")));
            }
        }
        Ok(job)
    }
}
