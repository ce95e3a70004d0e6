//! That something was recorded, and where it stands.

use super::plain::{line, na};
use crate::domain::{
    ids::{Id, IncidentId},
    time::Timestamp,
};

/// Where a request stands in the audit log.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    pub request_id: &'a Id,
    pub incident_id: Option<IncidentId>,
    pub seq: u64,
    pub recorded_at: Timestamp,
    pub entry_hash: &'a str,
}

/// One line.
pub fn recorded(place: Place<'_>, known: bool) -> String {
    let Place { request_id, incident_id, seq, recorded_at, entry_hash } = place;
    let (verb, id) = (if known { "known" } else { "recorded" }, line(request_id.as_str()));
    format!("{verb} {}  audit row {seq}  {recorded_at}  entry_hash {entry_hash}  ({id})", na(incident_id))
}

/// A request that was known with another content.
pub fn other_content(request_id: &Id) -> String {
    let id = line(request_id.as_str());
    format!("{id} was recorded before with another content; the first one stands, this one was left out")
}
