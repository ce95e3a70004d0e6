//! The confirmation that a request was recorded.

use super::plain::{line, na};
use crate::domain::{entry::Receipt, ids::Id};

/// Incident, audit row, time, hash and request id, on one line.
pub fn recorded(receipt: &Receipt, known: bool) -> String {
    let Receipt { request_id, incident_id, seq, recorded_at, entry_hash, .. } = receipt;
    let (verb, id) = (if known { "known" } else { "recorded" }, line(request_id.as_str()));
    format!("{verb} {}  audit row {seq}  {recorded_at}  entry_hash {entry_hash}  ({id})", na(*incident_id))
}

/// The warning that a request id was recorded before with another content.
pub fn other_content(request_id: &Id) -> String {
    let id = line(request_id.as_str());
    format!("{id} was recorded before with another content; the first one is kept, this one was ignored")
}
