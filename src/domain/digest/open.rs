//! Open incidents, carried on from an earlier digest: most of the history need not be read again. Pure.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::Deserialize;

use super::OpenIncident;
use crate::domain::{
    ids::IncidentId,
    time::Timestamp,
    words::{AgeBand, IncidentType},
};

/// What an earlier digest says of open incidents.
#[derive(Debug, Clone, PartialEq)]
pub struct OpenBase {
    /// The end of its week: the incidents were open then.
    pub until: Timestamp,
    /// What later rows of the ledger say is looked at anew. No row up to this one says that an incident of the list was
    /// resolved.
    pub seq: u64,
    pub open: Vec<OpenIncident>,
}

/// An incident that was looked at, as it stands, open or not. A row of `sql/open_incidents_ageing.sql`.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
pub struct Considered {
    pub incident_id: IncidentId,
    pub incident_type: IncidentType,
    pub title: String,
    pub workspace_id: String,
    pub resource_name: Option<String>,
    pub reported_at: Timestamp,
    pub acknowledged_at: Option<Timestamp>,
    pub age_hours: f64,
    pub age: AgeBand,
    /// At the end of the week.
    pub is_open: bool,
}

/// The incidents that were open at `week_end`: those of an earlier list that were not looked at anew, and those looked at
/// that are open. The one that was reported first comes first.
pub fn merge_open(base: &[OpenIncident], week_end: Timestamp, considered: Vec<Considered>) -> Vec<OpenIncident> {
    let anew: BTreeSet<IncidentId> = considered.iter().map(|one| one.incident_id).collect();
    let kept = base.iter().filter(|one| !anew.contains(&one.incident_id)).cloned();
    let looked_at = considered.into_iter().filter(|one| one.is_open).map(OpenIncident::from);
    let mut open: Vec<OpenIncident> = kept.chain(looked_at).map(|one| one.aged(week_end)).collect();
    open.sort_by_key(|one| (one.reported_at, one.incident_id));
    open
}

impl OpenIncident {
    /// With its age at `week_end`, hours to three places.
    fn aged(self, week_end: Timestamp) -> Self {
        let hours = week_end.seconds_since(self.reported_at) / 3600.0;
        Self { age_hours: (hours * 1e3).round() / 1e3, age: AgeBand::of(hours), ..self }
    }
}

impl From<Considered> for OpenIncident {
    fn from(one: Considered) -> Self {
        Self {
            incident_id: one.incident_id,
            incident_type: one.incident_type,
            title: one.title,
            workspace_id: one.workspace_id,
            resource_name: one.resource_name,
            reported_at: one.reported_at,
            acknowledged_at: one.acknowledged_at,
            age_hours: one.age_hours,
            age: one.age,
        }
    }
}

#[cfg(test)]
mod tests;
