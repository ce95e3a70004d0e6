//! Sweep: decides which incidents the failed runs of a workspace open, and which notes they add to incidents.
//!
//! A *case* is a run with its repairs and retries; it has at most one incident. Its executions are recorded in order. The id of
//! each request follows from the workspace, the run and the execution, so repeated and concurrent sweeps record each once.

mod case;
mod result;
mod wording;

use std::collections::BTreeMap;

use chrono::TimeDelta;
use serde::{Deserialize, Serialize};

use super::{
    ids::{Id, IncidentId},
    report::{Evidence, Report, Workspace},
    run::{Run, outcome::RunOutcome},
    time::Timestamp,
};

pub use case::{Cases, decide, wanted_outputs};
pub use result::{AddedNote, SkippedRun, SweepResult, SweptIncident};
pub use wording::with_settings;

/// Actor of the requests of a sweep.
pub const ACTOR: &str = "system:sweep";

/// A run that ended, as it is recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EndedRun {
    pub run_id: Id,
    pub job_id: Id,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job_name: Option<String>,
    pub started_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// Result as the platform reports it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result_state: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub termination_code: Option<String>,
    /// Tasks that needed more than one attempt.
    #[serde(default)]
    pub retried_tasks: u32,
}

impl EndedRun {
    /// Returns `None` if the run has not ended.
    pub fn of(run: &Run) -> Option<Self> {
        run.state.is_over().then(|| Self {
            run_id: run.id.clone(),
            job_id: run.job_id.clone(),
            job_name: run.name.clone(),
            started_at: run.started_at,
            ended_at: run.ended_at,
            result_state: run.state.result_text().map(str::to_owned),
            termination_code: run.state.code.as_ref().map(ToString::to_string),
            retried_tasks: u32::try_from(run.retried_tasks()).unwrap_or(u32::MAX),
        })
    }
}

/// The recorded end of a run.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct RecordedRun {
    pub run_id: Id,
    pub ended_at: Option<Timestamp>,
    pub result_state: Option<String>,
    pub termination_code: Option<String>,
    pub retried_tasks: Option<i32>,
}

impl RecordedRun {
    fn matches(&self, ended: &EndedRun) -> bool {
        self.ended_at == ended.ended_at
            && self.result_state == ended.result_state
            && self.termination_code == ended.termination_code
            && self.retried_tasks.and_then(|tasks| u32::try_from(tasks).ok()) == Some(ended.retried_tasks)
    }

    /// Returns true if the run may still be repaired.
    pub fn may_change(&self) -> bool {
        self.result_state.as_deref() != Some("SUCCESS")
    }
}

/// Returns the ended runs that are not recorded, or whose recorded end differs, in the order of their start.
pub fn unrecorded_runs<'a>(runs: impl Iterator<Item = &'a Run>, recorded: &BTreeMap<Id, RecordedRun>) -> Vec<EndedRun> {
    let mut unrecorded: Vec<EndedRun> = runs
        .filter_map(EndedRun::of)
        .filter(|ended| recorded.get(&ended.run_id).is_none_or(|recorded| !recorded.matches(ended)))
        .collect();
    unrecorded.sort_by(|a, b| (a.started_at, &a.run_id).cmp(&(b.started_at, &b.run_id)));
    unrecorded
}

/// Result of the request for the output of a task run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TaskOutput {
    Retrieved {
        /// The error in one line, redacted and cut.
        headline: Option<String>,
        /// The error with its trace, redacted and cut.
        excerpt: Option<String>,
        /// The run that the task started.
        child: Option<Id>,
    },
    Missing {
        reason: String,
        /// The output exists, but access is denied.
        is_denied: bool,
    },
}

/// Result of the request for the settings of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobSettings {
    /// JSON, redacted. `None`: too long to store.
    Retrieved(Option<String>),
    Missing {
        reason: String,
    },
}

/// Everything besides the runs that a sweep decides from.
#[derive(Debug, Clone, Copy)]
pub struct SweepContext<'a> {
    pub workspace: &'a Workspace,
    /// The incident of each request that sweeps recorded, by request id.
    pub recorded: &'a BTreeMap<String, IncidentId>,
    pub outputs: &'a BTreeMap<Id, TaskOutput>,
    /// Time of the first sweep of the workspace. Earlier failures are history.
    pub first_swept_at: Timestamp,
    pub now: Timestamp,
}

/// The incident that a note is added to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoteTarget {
    /// The incident that this case opens in the same sweep.
    Case(Id),
    Incident(IncidentId),
}

/// An incident to open.
#[derive(Debug, Clone, PartialEq)]
pub struct NewIncident {
    pub case: Id,
    pub job_id: Id,
    pub outcome: RunOutcome,
    /// Tasks that failed themselves.
    pub failed_tasks: Vec<String>,
    /// Outputs are missing, and the reason of each is denied access.
    pub is_denied: bool,
    pub report: Report,
}

impl NewIncident {
    /// Returns true if only denied access to outputs would raise an alert. The reason is the same for all runs of a workspace, so
    /// one alert covers them.
    pub fn needs_only_output_access(&self) -> bool {
        self.is_denied && !self.report.history
    }
}

/// The last alert about denied access to the outputs of a workspace's runs: its incident and its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutputAccessAlert {
    pub incident_id: IncidentId,
    pub at: Timestamp,
}

impl OutputAccessAlert {
    /// Returns true while the cool-down since the alert lasts, in which it is not repeated.
    pub fn holds(&self, now: Timestamp, cool_down: TimeDelta) -> bool {
        self.at.plus(cool_down) > now
    }
}

/// A note to add to an incident.
#[derive(Debug, Clone, PartialEq)]
pub struct IncidentNote {
    pub case: Id,
    pub to: NoteTarget,
    pub request_id: Id,
    pub at: Timestamp,
    pub message: String,
    pub evidence: Vec<Evidence>,
    /// A repair or a retry succeeded.
    pub is_recovery: bool,
}

/// Plan of a sweep: the incidents to open and the notes to add.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SweepPlan {
    pub openings: Vec<NewIncident>,
    /// In the order of time.
    pub notes: Vec<IncidentNote>,
}

#[cfg(test)]
mod tests;
