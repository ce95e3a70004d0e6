//! The fixed values of an incident: its type, its status and the confidence of its root cause.

use super::super::closed_enum::closed_enums;

closed_enums! {
    /// Reason for an incident.
    pub enum IncidentType {
        /// A job run failed. Also accepted: `failure`.
        #[serde(alias = "failure")]
        JobFailure = "job-failure",
        /// A best-practice check found a gap. Also accepted: `validation`.
        #[serde(alias = "validation")]
        ValidationGap = "validation-gap",
        /// A security check failed. Also accepted: `security`.
        #[serde(alias = "security")]
        SecurityFinding = "security-finding",
        Deprecation = "deprecation",
        Compliance = "compliance",
    }

    /// Status of an incident.
    pub enum Status {
        Investigating = "investigating",
        Escalated = "escalated",
        Resolved = "resolved",
    }

    /// Confidence in a root cause.
    pub enum Confidence {
        High = "HIGH",
        Medium = "MEDIUM",
        Low = "LOW",
    }
}
