//! The outcome of a job run.

use super::super::closed_enum::closed_enums;

closed_enums! {
    /// Outcome of a job run.
    pub enum RunOutcome {
        /// The run has not ended.
        Running = "running",
        Succeeded = "succeeded",
        /// The run succeeded although some of its tasks failed.
        PartlyFailed = "partly-failed",
        Failed = "failed",
        TimedOut = "timed-out",
        /// The run could not start, and nothing of it was executed.
        NeverStarted = "never-started",
        /// A person cancelled or disabled it.
        Stopped = "stopped",
        /// The platform reports a state that this program does not know.
        Unknown = "unknown",
    }
}

impl RunOutcome {
    /// Returns true if the outcome needs an incident.
    pub fn is_failure(self) -> bool {
        matches!(self, Self::PartlyFailed | Self::Failed | Self::TimedOut | Self::NeverStarted)
    }
}
