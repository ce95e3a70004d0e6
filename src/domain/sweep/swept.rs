//! What a sweep saw and did.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::domain::{
    ids::{Id, IncidentId},
    time::Timestamp,
    words::RunOutcome,
};

/// An incident that a sweep found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Found {
    pub incident_id: IncidentId,
    pub run_id: Id,
    pub job_id: Id,
    pub title: String,
    pub outcome: RunOutcome,
    /// Another sweep had recorded it.
    pub known: bool,
}

/// What was added to an incident.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Added {
    pub incident_id: IncidentId,
    pub run_id: Id,
    pub message: String,
}

/// What could not be recorded, and why. The rest was.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Left {
    pub run_id: Id,
    pub reason: String,
}

/// What a sweep saw and did.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Swept {
    pub workspace_id: Id,
    /// From when on runs were listed.
    pub since: Timestamp,
    pub until: Timestamp,
    /// The workspace had not been swept before: nobody is told of what failed until now.
    pub first: bool,
    /// Runs that were looked at, by where they stand.
    pub runs: BTreeMap<&'static str, usize>,
    /// Runs that ended and were not recorded so.
    pub news: usize,
    /// Outputs that could not be had.
    pub missing_outputs: usize,
    /// With which incident people are told that outputs may not be read.
    pub told_with: Option<IncidentId>,
    /// Runs that may have been repaired and were not asked about, because there are too many.
    pub not_asked_about: usize,
    pub incidents: Vec<Found>,
    pub added: Vec<Added>,
    pub left: Vec<Left>,
}
