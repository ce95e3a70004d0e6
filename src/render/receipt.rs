//! That something was recorded, and where it stands.

use super::plain::{line, na};
use crate::domain::{entry::Receipt, ids::Id};

/// One line.
pub fn recorded(receipt: &Receipt, known: bool) -> String {
    let Receipt { request_id, incident_id, seq, recorded_at, entry_hash, .. } = receipt;
    let (verb, id) = (if known { "known" } else { "recorded" }, line(request_id.as_str()));
    format!("{verb} {}  audit row {seq}  {recorded_at}  entry_hash {entry_hash}  ({id})", na(*incident_id))
}

/// A request that was known with another content.
pub fn other_content(request_id: &Id) -> String {
    let id = line(request_id.as_str());
    format!("{id} was recorded before with another content; the first one stands, this one was left out")
}
