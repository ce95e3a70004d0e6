//! The ledger entry: a whole redacted request and the facts decided from it.
//!
//! Everything else in the lake, the typed columns of `audit_log` included, is computed from entries.

use serde::{Deserialize, Serialize};

use super::{
    cause::Cause,
    ids::{Id, IncidentId},
    redact::Redactions,
    report::Report,
    time::Timestamp,
    words::{Confidence, Interface},
};

/// Version of the entry's shape, in every entry.
pub const ENTRY_VERSION: u32 = 1;

/// What one row of `audit_log` says, as canonical JSON (RFC 8785) in its `entry` column.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    pub version: u32,
    /// 1, 2, 3 … without gaps.
    pub seq: u64,
    /// When the ledger took it.
    pub recorded_at: Timestamp,
    /// Where it came in.
    pub interface: Interface,
    /// The id under which it is recorded once.
    pub request_id: Id,
    pub request: Request,
    pub facts: Facts,
}

impl Entry {
    /// Canonical JSON: sorted keys, no white space, one spelling of every number.
    ///
    /// # Errors
    /// Only if a value cannot be JSON at all, which parsing has excluded.
    pub fn canonical(&self) -> Result<String, serde_json::Error> {
        canonical(self)
    }

    /// # Errors
    /// When the text is not an entry of a version this binary knows.
    pub fn parse(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }
}

/// RFC 8785.
///
/// # Errors
/// Only if a value cannot be JSON at all.
pub fn canonical(value: &impl Serialize) -> Result<String, serde_json::Error> {
    serde_json_canonicalizer::to_string(value)
}

/// A request as it is stored: redacted, aliases resolved, times in UTC.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "body", rename_all = "snake_case")]
pub enum Request {
    /// An investigation handed in whole.
    RecordReport(Box<Report>),
}

impl Request {
    /// The request's name in `audit_log.request_kind`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::RecordReport(_) => "record_report",
        }
    }
}

/// What was decided when the request was taken.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Facts {
    /// The incident it opened.
    pub incident_id: IncidentId,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finding: Option<Finding>,
    /// How many secrets of which kind were taken out before anything was kept.
    #[serde(default, skip_serializing_if = "Redactions::is_empty")]
    pub redactions: Redactions,
}

/// What the root-cause analysis amounts to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Finding {
    /// `None`: the cause is unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
    /// The confidence that counts.
    pub confidence: Confidence,
    /// Why it is not the one reported.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confidence_forced_because: Option<String>,
}
