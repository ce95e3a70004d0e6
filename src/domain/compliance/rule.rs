//! The rules for job settings, and the changes of the incident that records violations.

use super::super::closed_enum::closed_enums;

closed_enums! {
    /// Rule for the settings of a job.
    pub enum JobRule {
        /// Every task of a job that starts automatically is retried when it fails.
        Retries = "retries",
        /// The number of retries of every task is limited.
        BoundedRetries = "bounded-retries",
        /// Every run has a timeout.
        Timeout = "timeout",
        /// A run that cannot start at once is queued.
        Queue = "queue",
        /// A failed run sends a notification.
        FailureNotification = "failure-notification",
        /// A run that takes too long sends a notification.
        DurationWarning = "duration-warning",
        /// The code is not in the folder of a person.
        SharedCode = "shared-code",
        /// The job runs as a service principal.
        RunAs = "run-as",
        /// The job runs on its own compute, not on an all-purpose cluster.
        JobCompute = "job-compute",
        /// The Databricks runtime is supported.
        Runtime = "runtime",
        /// The clusters of the job use a cluster policy.
        ClusterPolicy = "cluster-policy",
    }

    /// Effect of a compliance check on the incident about a job's settings.
    pub enum GapEvent {
        /// A rule fails and there was no incident.
        Opened = "opened",
        /// A rule fails that passed before.
        Grew = "grew",
        /// Some of the failed rules pass, or a rule fails in another way.
        Changed = "changed",
        /// No rule fails any more.
        Closed = "closed",
        /// A rule fails again after the incident was closed.
        Reopened = "reopened",
        /// There is no incident, or it is unchanged; the results of the checks are new.
        Checked = "checked",
    }
}
