//! What PagerDuty tells us: webhooks of version 3. Pure.

use hmac::{Hmac, KeyInit, Mac};
use serde::Deserialize;
use sha2::Sha256;

use super::Secret;
use crate::domain::time::Timestamp;

/// The header that holds the signatures.
pub const SIGNATURE: &str = "X-PagerDuty-Signature";

/// Something that happened in PagerDuty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incoming {
    /// The same when it is told again.
    pub event_id: String,
    /// Such as `incident.acknowledged`, `incident.resolved`, `pagey.ping`.
    pub event_type: String,
    pub occurred_at: Timestamp,
    /// Our deduplication key, where it is about an incident that we triggered.
    pub incident_key: Option<String>,
    /// Who did it, by name.
    pub agent: Option<String>,
}

/// A body that is not one of these webhooks. Does not quote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is no webhook of PagerDuty, version 3: line {line}, column {column}")]
pub struct NotAWebhook {
    pub line: usize,
    pub column: usize,
}

/// Whether any of the signatures in `header` (`v1=…,v1=…`: there are several while a secret is replaced) is of `body`.
pub fn verify(header: &str, body: &[u8], secret: &Secret) -> bool {
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

/// An incident, or something of one.
#[derive(Deserialize)]
struct Data {
    incident_key: Option<String>,
    incident: Option<Box<Data>>,
}

impl Incoming {
    /// Fields that are not known are let be.
    ///
    /// # Errors
    /// [`NotAWebhook`].
    pub fn parse(body: &[u8]) -> Result<Self, NotAWebhook> {
        let Body { event } =
            serde_json::from_slice(body).map_err(|error| NotAWebhook { line: error.line(), column: error.column() })?;
        let named = |text: Option<String>| text.filter(|text| !text.trim().is_empty());
        let key = event.data.and_then(|data| data.incident_key.or_else(|| data.incident?.incident_key));
        Ok(Self {
            event_id: event.id,
            event_type: event.event_type,
            occurred_at: event.occurred_at,
            incident_key: named(key),
            agent: event.agent.and_then(|agent| named(agent.summary).or(named(agent.id))),
        })
    }
}

#[cfg(test)]
mod tests;
