//! The kind and the result of a remediation step.

use super::closed_enum::closed_enums;

closed_enums! {
    /// Target of a remediation step.
    pub enum RemediationKind {
        JobSettings = "job_settings",
        ClusterSettings = "cluster_settings",
        WarehouseSettings = "warehouse_settings",
        Sql = "sql",
        Command = "command",
    }

    /// Result of a remediation step.
    pub enum RemediationResult {
        Success = "SUCCESS",
        Failed = "FAILED",
    }
}
