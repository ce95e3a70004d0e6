//! The values of the audit log's `action` column.

use super::closed_enum::closed_enums;

closed_enums! {
    /// Effect of an accepted request, in the audit log's `action` column.
    pub enum AuditAction {
        Investigate = "INVESTIGATE",
        Rca = "RCA",
        Remediate = "REMEDIATE",
        Validate = "VALIDATE",
        Acknowledge = "ACKNOWLEDGE",
        Escalate = "ESCALATE",
        Close = "CLOSE",
        Reopen = "REOPEN",
        Correct = "CORRECT",
        Suppress = "SUPPRESS",
        Detect = "DETECT",
        Classify = "CLASSIFY",
        Prevent = "PREVENT",
        /// A digest was created.
        Summarize = "SUMMARIZE",
        /// An input could not be recorded and was rejected, with the reason.
        Reject = "REJECT",
        /// A notification was sent, or was attempted.
        Notify = "NOTIFY",
    }
}
