//! Open incidents, continued from an earlier digest so that most of the history is not read again. Pure.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::Deserialize;

use super::AgeingIncident;
use crate::domain::{
    digest::dimension::AgeBand, ids::IncidentId, incident::classification::IncidentType, time::Timestamp,
};

/// Open incidents of an earlier digest.
#[derive(Debug, Clone, PartialEq)]
pub struct EarlierOpenIncidents {
    /// End of the earlier digest's week, when the incidents were open.
    pub until: Timestamp,
    /// Ledger row up to which the list is valid: no row up to it resolves an incident of the list. Incidents in later rows
    /// are read again.
    pub seq: u64,
    pub open: Vec<AgeingIncident>,
}

/// An incident at the end of the week, open or not. A row of `sql/open_incidents_ageing.sql`.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
pub struct IncidentAtWeekEnd {
    pub incident_id: IncidentId,
    pub incident_type: IncidentType,
    pub title: String,
    pub workspace_id: String,
    pub resource_name: Option<String>,
    pub reported_at: Timestamp,
    pub acknowledged_at: Option<Timestamp>,
    pub age_hours: f64,
    pub age: AgeBand,
    /// True if it was open at the end of the week.
    pub is_open: bool,
}

/// Returns the incidents that were open at `week_end`: those of the earlier list that were not read again, and the open ones
/// among those that were. Sorted by report time.
pub fn merge_open(base: &[AgeingIncident], week_end: Timestamp, reread: Vec<IncidentAtWeekEnd>) -> Vec<AgeingIncident> {
    let reread_ids: BTreeSet<IncidentId> = reread.iter().map(|one| one.incident_id).collect();
    let kept = base.iter().filter(|one| !reread_ids.contains(&one.incident_id)).cloned();
    let open_now = reread.into_iter().filter(|one| one.is_open).map(AgeingIncident::from);
    let mut open: Vec<AgeingIncident> = kept.chain(open_now).map(|one| one.aged(week_end)).collect();
    open.sort_by_key(|one| (one.reported_at, one.incident_id));
    open
}

impl AgeingIncident {
    /// Sets the age at `week_end`, in hours with three decimal places.
    fn aged(self, week_end: Timestamp) -> Self {
        let hours = week_end.seconds_since(self.reported_at) / 3600.0;
        Self { age_hours: (hours * 1e3).round() / 1e3, age: AgeBand::of(hours), ..self }
    }
}

impl From<IncidentAtWeekEnd> for AgeingIncident {
    fn from(one: IncidentAtWeekEnd) -> Self {
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
