//! The conditions that raise an alert.

use super::super::closed_enum::closed_enums;

closed_enums! {
    /// Condition of an incident that raises an alert.
    pub enum Trigger {
        /// The confidence is LOW: a person must investigate.
        MissingEvidence = "missing-evidence",
        /// More than half of the checks are PARTIAL: the assessment is incomplete.
        PartialChecks = "partial-checks",
        /// A security check of high severity failed.
        SecurityFinding = "security-finding",
        /// The same root cause occurred often enough within the window.
        Recurring = "recurring",
        /// Evidence could not be retrieved: permission, retention, API.
        AccessIssue = "access-issue",
    }
}
