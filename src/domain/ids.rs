//! Ids, each with its own type, so that they cannot be confused.

use std::{borrow::Cow, fmt, str::FromStr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize};
use sha2::{Digest, Sha256};

use super::{as_text::as_text, escalation::trigger::Trigger};

/// Returns the SHA-256 hash as lower-case hex, 64 characters.
pub fn sha256_hex(bytes: impl AsRef<[u8]>) -> String {
    hex(&Sha256::digest(bytes.as_ref()))
}

/// Returns bytes as lower-case hex.
pub fn hex(bytes: &[u8]) -> String {
    use fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// An identifier from outside: 1 to 256 characters, not blank.
///
/// It may contain any characters; the code that prints it must quote it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Id(String);

impl Id {
    pub const MAX_CHARS: usize = 256;

    /// Checks and wraps a text.
    ///
    /// # Errors
    /// A blank or too long text.
    pub fn new(text: impl Into<String>) -> Result<Self, String> {
        let text = text.into();
        if text.trim().is_empty() {
            Err("is empty; it must identify something".into())
        } else if text.chars().count() > Self::MAX_CHARS {
            Err(format!("is longer than {} characters", Self::MAX_CHARS))
        } else {
            Ok(Self(text))
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Id {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::new(text)
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Id {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Id".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "minLength": 1, "maxLength": 256, "pattern": r"\S" })
    }
}

/// Incident id, such as `INC-1042`: sequential in the lake, assigned by the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IncidentId(u64);

impl IncidentId {
    /// Offset of the ordinals: the first incident of a lake is `INC-1001`.
    const BASE: u64 = 1000;

    /// Creates the id of an incident from its ordinal in the lake, from 1.
    pub fn from_ordinal(ordinal: u64) -> Self {
        Self(Self::BASE + ordinal)
    }

    pub fn ordinal(self) -> u64 {
        self.0.saturating_sub(Self::BASE)
    }
}

impl fmt::Display for IncidentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "INC-{}", self.0)
    }
}

/// Reference to an event, such as `17.3`: the third event of audit log row 17.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventRef {
    pub seq: u64,
    /// From 1.
    pub ordinal: i32,
}

impl fmt::Display for EventRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.seq, self.ordinal)
    }
}

impl FromStr for EventRef {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts =
            text.trim().split_once('.').and_then(|(seq, ordinal)| Some((seq.parse().ok()?, ordinal.parse().ok()?)));
        match parts {
            Some((seq, ordinal)) if seq > 0 && ordinal > 0 => Ok(Self { seq, ordinal }),
            _ => Err(format!("{text:?} is not an event, such as 17.3; `incident show --refs` prints them")),
        }
    }
}

impl FromStr for IncidentId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.strip_prefix("INC-").or_else(|| text.strip_prefix("inc-")).unwrap_or(text);
        let digits_only = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        match digits.parse() {
            Ok(number) if digits_only && number > Self::BASE => Ok(Self(number)),
            _ => Err(format!("{text:?} is not an incident id, such as INC-1042")),
        }
    }
}

as_text!(IncidentId = r"^INC-[0-9]+$", EventRef = r"^[0-9]+\.[0-9]+$", AlertRef = r"^INC-[0-9]+/[a-z-]+(/[0-9a-f]+)?$");

/// Reference to an alert, such as `INC-1042/missing-evidence`: incident and trigger. Parsing ignores the part after a second
/// `/`, so that a deduplication key is accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AlertRef {
    pub incident_id: IncidentId,
    pub trigger: Trigger,
}

impl fmt::Display for AlertRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.incident_id, self.trigger)
    }
}

impl FromStr for AlertRef {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.trim().splitn(3, '/');
        let incident_id = parts.next().and_then(|part| part.parse().ok());
        let trigger = parts.next().and_then(|part| Trigger::ALL.iter().find(|trigger| trigger.as_str() == part));
        match (incident_id, trigger) {
            (Some(incident_id), Some(trigger)) => Ok(Self { incident_id, trigger: *trigger }),
            _ => Err(format!(
                "{text:?} is not an alert, such as INC-1042/missing-evidence; `escalation list` prints them"
            )),
        }
    }
}

/// Look-up key of a request in the ledger: 16 hex digits of SHA-256 over its id.
///
/// The keys are short and evenly distributed, which keeps statistics and Bloom filters small and selective for any ids.
/// A hit is confirmed by comparing the id itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct RequestKey(String);

impl RequestKey {
    pub fn of(request_id: &Id) -> Self {
        let mut digest = sha256_hex(request_id.as_str());
        digest.truncate(16);
        Self(digest)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}
