//! The result of a best-practice check, and the severity of a failed check or an alert.

use super::closed_enum::closed_enums;

closed_enums! {
    /// Result of a best-practice check. PARTIAL means incomplete data, not a warning.
    pub enum CheckStatus {
        Pass = "PASS",
        Fail = "FAIL",
        Partial = "PARTIAL",
    }

    /// Severity of a finding or an alert.
    pub enum Severity {
        Low = "LOW",
        Medium = "MEDIUM",
        High = "HIGH",
        Critical = "CRITICAL",
    }
}
