//! What a sweep makes of the runs that it found: which are news, which incidents they open, what they add to others.
//!
//! A *case* is a run with its repairs and retries: one incident at most. Its rounds are told in the order in which they
//! happened, each once, by the id of a request that follows from the workspace, the run and the round. So it does not matter
//! when, how often and by how many a workspace is swept.

mod case;
mod swept;
mod wording;

use std::collections::BTreeMap;

use chrono::TimeDelta;
use serde::{Deserialize, Serialize};

use super::{
    ids::{Id, IncidentId},
    report::{Evidence, Report, Workspace},
    run::Run,
    time::Timestamp,
    words::RunOutcome,
};

pub use case::{Cases, decide, wanted_outputs};
pub use swept::{Added, Found, Left, Swept};
pub use wording::with_settings;

/// Who sweeps.
pub const ACTOR: &str = "system:sweep";

/// A run that ended, as it is recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeenRun {
    pub run_id: Id,
    pub job_id: Id,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job_name: Option<String>,
    pub started_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// In the words of the platform.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result_state: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub termination_code: Option<String>,
    /// Tasks that needed more than one attempt.
    #[serde(default)]
    pub retried_tasks: u32,
}

impl SeenRun {
    /// `None`: it is not over.
    pub fn of(run: &Run) -> Option<Self> {
        run.state.is_over().then(|| Self {
            run_id: run.id.clone(),
            job_id: run.job_id.clone(),
            job_name: run.name.clone(),
            started_at: run.started_at,
            ended_at: run.ended_at,
            result_state: run.state.word().map(str::to_owned),
            termination_code: run.state.code.as_ref().map(ToString::to_string),
            retried_tasks: u32::try_from(run.retried_tasks()).unwrap_or(u32::MAX),
        })
    }
}

/// How a run is recorded to have ended.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct RecordedRun {
    pub run_id: Id,
    pub ended_at: Option<Timestamp>,
    pub result_state: Option<String>,
    pub termination_code: Option<String>,
    pub retried_tasks: Option<i32>,
}

impl RecordedRun {
    fn says(&self, seen: &SeenRun) -> bool {
        self.ended_at == seen.ended_at
            && self.result_state == seen.result_state
            && self.termination_code == seen.termination_code
            && self.retried_tasks.and_then(|tasks| u32::try_from(tasks).ok()) == Some(seen.retried_tasks)
    }

    /// It may be repaired yet.
    pub fn may_change(&self) -> bool {
        self.result_state.as_deref() != Some("SUCCESS")
    }
}

/// Runs that ended and are not recorded, or not as they are now; the first started first.
pub fn news<'a>(runs: impl Iterator<Item = &'a Run>, recorded: &BTreeMap<Id, RecordedRun>) -> Vec<SeenRun> {
    let mut news: Vec<SeenRun> = runs
        .filter_map(SeenRun::of)
        .filter(|seen| recorded.get(&seen.run_id).is_none_or(|recorded| !recorded.says(seen)))
        .collect();
    news.sort_by(|a, b| (a.started_at, &a.run_id).cmp(&(b.started_at, &b.run_id)));
    news
}

/// What became of asking for the output of a task run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TaskOutput {
    Had {
        /// The error in a line, redacted and cut.
        headline: Option<String>,
        /// The error and what led to it, redacted and cut.
        excerpt: Option<String>,
        /// The run that it started.
        child: Option<Id>,
    },
    Missing {
        reason: String,
        /// It is there, and may not be read.
        is_denied: bool,
    },
}

/// What became of asking for the settings of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobSettings {
    /// JSON, redacted. `None`: too long to keep.
    Had(Option<String>),
    Missing {
        reason: String,
    },
}

/// What is known besides the runs.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    pub workspace: &'a Workspace,
    /// The incident of every request that a sweep of any workspace recorded.
    pub recorded: &'a BTreeMap<String, IncidentId>,
    pub outputs: &'a BTreeMap<Id, TaskOutput>,
    /// When the workspace was swept for the first time: what failed before is history.
    pub first_swept_at: Timestamp,
    pub now: Timestamp,
}

/// Where something is added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// The incident that this case opens.
    Case(Id),
    Incident(IncidentId),
}

/// An incident to open.
#[derive(Debug, Clone, PartialEq)]
pub struct Opening {
    pub case: Id,
    pub job_id: Id,
    pub outcome: RunOutcome,
    /// Tasks that failed themselves.
    pub failed_tasks: Vec<String>,
    /// Of its outputs some may not be read, and that is all that is missing.
    pub is_denied: bool,
    pub report: Report,
}

impl Opening {
    /// People would be told of it only because outputs may not be read, which is the same for every run of a workspace.
    pub fn is_told_with_others(&self) -> bool {
        self.is_denied && !self.report.history
    }
}

/// When and with which incident people were told that outputs of a workspace's runs may not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Told {
    pub incident_id: IncidentId,
    pub at: Timestamp,
}

impl Told {
    /// Told at most so long ago, it is not told again.
    pub fn holds(&self, now: Timestamp, cool_down: TimeDelta) -> bool {
        self.at.plus(cool_down) > now
    }
}

/// Something to add to an incident.
#[derive(Debug, Clone, PartialEq)]
pub struct Note {
    pub case: Id,
    pub to: Place,
    pub request_id: Id,
    pub at: Timestamp,
    pub message: String,
    pub evidence: Vec<Evidence>,
    /// A repair or a retry succeeded.
    pub is_healing: bool,
}

/// What there is to record about failures.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Decided {
    pub openings: Vec<Opening>,
    /// In the order in which it happened.
    pub notes: Vec<Note>,
}

#[cfg(test)]
mod tests;
