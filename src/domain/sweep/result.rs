//! The result of a sweep.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::domain::{
    ids::{Id, IncidentId},
    run::outcome::RunOutcome,
    time::Timestamp,
};

/// An incident that a sweep opened or found recorded.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SweptIncident {
    pub incident_id: IncidentId,
    pub run_id: Id,
    pub job_id: Id,
    pub title: String,
    pub outcome: RunOutcome,
    /// True if another sweep had recorded it.
    pub known: bool,
}

/// A note that was added to an incident.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AddedNote {
    pub incident_id: IncidentId,
    pub run_id: Id,
    pub message: String,
}

/// A run that could not be recorded, with the reason.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SkippedRun {
    pub run_id: Id,
    pub reason: String,
}

/// Result of a sweep.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SweepResult {
    pub workspace_id: Id,
    /// Start of the time range of listed runs.
    pub since: Timestamp,
    pub until: Timestamp,
    /// True for the first sweep of the workspace: it raises no alerts about earlier failures.
    pub first: bool,
    /// Number of runs by outcome.
    pub runs: BTreeMap<&'static str, usize>,
    /// Number of ended runs that were not recorded, or not with this end.
    pub news: usize,
    /// Number of outputs that could not be retrieved.
    pub missing_outputs: usize,
    /// The incident whose alert reports denied access to outputs.
    pub told_with: Option<IncidentId>,
    /// Number of runs that may have been repaired, but were not read because there are too many.
    pub not_asked_about: usize,
    pub incidents: Vec<SweptIncident>,
    pub added: Vec<AddedNote>,
    pub left: Vec<SkippedRun>,
}
