//! Webhooks of version 3 that PagerDuty sends to us. Pure.

use hmac::{Hmac, KeyInit, Mac};
use serde::Deserialize;
use sha2::Sha256;

use super::Secret;
use crate::domain::time::Timestamp;

/// The header that holds the signatures.
pub const SIGNATURE: &str = "X-PagerDuty-Signature";

/// An event in PagerDuty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PagerDutyWebhook {
    /// Stays the same when PagerDuty sends the event again.
    pub event_id: String,
    /// Such as `incident.acknowledged`, `incident.resolved`, `pagey.ping`.
    pub event_type: String,
    pub occurred_at: Timestamp,
    /// Our deduplication key, if the event is about an incident that we triggered.
    pub incident_key: Option<String>,
    /// The name of the person or service that caused the event.
    pub agent: Option<String>,
}

/// A body that is not a webhook of this kind. The message does not quote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a webhook of PagerDuty, version 3: line {line}, column {column}")]
pub struct InvalidWebhook {
    pub line: usize,
    pub column: usize,
}

/// Returns whether one of the signatures in `header` (`v1=…,v1=…`, several during the rotation of a secret) matches `body`.
pub fn verify_signature(header: &str, body: &[u8], secret: &Secret) -> bool {
    let Ok(mac) = Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes()) else { return false };
    let mac = mac.chain_update(body);
    let signatures = header.split(',').filter_map(|one| unhex(one.trim().strip_prefix("v1=")?));
    // Each is compared in constant time.
    signatures.fold(false, |found, signature| mac.clone().verify_slice(&signature).is_ok() | found)
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    rest.is_empty().then(|| pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect())?
}

#[derive(Deserialize)]
struct Body {
    event: Event,
}

#[derive(Deserialize)]
struct Event {
    id: String,
    event_type: String,
    occurred_at: Timestamp,
    agent: Option<Agent>,
    data: Option<Data>,
}

#[derive(Deserialize)]
struct Agent {
    id: Option<String>,
    summary: Option<String>,
}

/// An incident, or a part of one.
#[derive(Deserialize)]
struct Data {
    incident_key: Option<String>,
    incident: Option<Box<Data>>,
}

impl PagerDutyWebhook {
    /// Parses a webhook. Unknown fields are ignored.
    ///
    /// # Errors
    /// [`InvalidWebhook`].
    pub fn parse(body: &[u8]) -> Result<Self, InvalidWebhook> {
        let Body { event } = serde_json::from_slice(body)
            .map_err(|error| InvalidWebhook { line: error.line(), column: error.column() })?;
        let not_blank = |text: Option<String>| text.filter(|text| !text.trim().is_empty());
        let key = event.data.and_then(|data| data.incident_key.or_else(|| data.incident?.incident_key));
        Ok(Self {
            event_id: event.id,
            event_type: event.event_type,
            occurred_at: event.occurred_at,
            incident_key: not_blank(key),
            agent: event.agent.and_then(|agent| not_blank(agent.summary).or(not_blank(agent.id))),
        })
    }
}

#[cfg(test)]
mod tests;
