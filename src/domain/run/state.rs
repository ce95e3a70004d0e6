//! The run states of the Jobs API. Unknown values are kept as text.

use std::fmt;

use serde::Deserialize;

macro_rules! open_enums {
    ($($(#[$meta:meta])* pub enum $Enum:ident { $($Variant:ident = $text:literal),* $(,)? })*) => {$(
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
        #[serde(from = "String")]
        pub enum $Enum {
            $($Variant,)*
            /// A value that this program does not know.
            Other(String),
        }

        impl $Enum {
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$Variant => $text,)*
                    Self::Other(text) => text,
                }
            }
        }

        impl From<String> for $Enum {
            fn from(text: String) -> Self {
                match text.as_str() {
                    $($text => Self::$Variant,)*
                    _ => Self::Other(text),
                }
            }
        }

        impl fmt::Display for $Enum {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    )*};
}

open_enums! {
    /// Life cycle state of a run, in the older and the newer API.
    pub enum LifeCycle {
        Blocked = "BLOCKED",
        Pending = "PENDING",
        Queued = "QUEUED",
        Running = "RUNNING",
        Terminating = "TERMINATING",
        Waiting = "WAITING",
        WaitingForRetry = "WAITING_FOR_RETRY",
        Terminated = "TERMINATED",
        Skipped = "SKIPPED",
        InternalError = "INTERNAL_ERROR",
    }

    /// Result state of a run.
    pub enum ResultState {
        Success = "SUCCESS",
        SuccessWithFailures = "SUCCESS_WITH_FAILURES",
        Failed = "FAILED",
        TimedOut = "TIMEDOUT",
        Canceled = "CANCELED",
        Disabled = "DISABLED",
        Excluded = "EXCLUDED",
        MaximumConcurrentRunsReached = "MAXIMUM_CONCURRENT_RUNS_REACHED",
        UpstreamFailed = "UPSTREAM_FAILED",
        UpstreamCanceled = "UPSTREAM_CANCELED",
    }

    /// Termination code: the reason for the end of a run.
    pub enum TerminationCode {
        BudgetPolicyLimitExceeded = "BUDGET_POLICY_LIMIT_EXCEEDED",
        Canceled = "CANCELED",
        CloudFailure = "CLOUD_FAILURE",
        ClusterError = "CLUSTER_ERROR",
        ClusterRequestLimitExceeded = "CLUSTER_REQUEST_LIMIT_EXCEEDED",
        Disabled = "DISABLED",
        DriverError = "DRIVER_ERROR",
        FeatureDisabled = "FEATURE_DISABLED",
        InternalError = "INTERNAL_ERROR",
        InvalidClusterRequest = "INVALID_CLUSTER_REQUEST",
        InvalidRunConfiguration = "INVALID_RUN_CONFIGURATION",
        LibraryInstallationError = "LIBRARY_INSTALLATION_ERROR",
        MaxConcurrentRunsExceeded = "MAX_CONCURRENT_RUNS_EXCEEDED",
        MaxJobQueueSizeExceeded = "MAX_JOB_QUEUE_SIZE_EXCEEDED",
        MaxSparkContextsExceeded = "MAX_SPARK_CONTEXTS_EXCEEDED",
        RepositoryCheckoutFailed = "REPOSITORY_CHECKOUT_FAILED",
        ResourceNotFound = "RESOURCE_NOT_FOUND",
        RunExecutionError = "RUN_EXECUTION_ERROR",
        Skipped = "SKIPPED",
        StorageAccessError = "STORAGE_ACCESS_ERROR",
        Success = "SUCCESS",
        SuccessWithFailures = "SUCCESS_WITH_FAILURES",
        UnauthorizedError = "UNAUTHORIZED_ERROR",
        UserCanceled = "USER_CANCELED",
        WorkspaceRunLimitExceeded = "WORKSPACE_RUN_LIMIT_EXCEEDED",
    }

    /// Termination type: the category of the reason.
    pub enum TerminationType {
        Success = "SUCCESS",
        InternalError = "INTERNAL_ERROR",
        ClientError = "CLIENT_ERROR",
        CloudFailure = "CLOUD_FAILURE",
    }

    /// Trigger of a run.
    pub enum RunTrigger {
        Continuous = "CONTINUOUS",
        FileArrival = "FILE_ARRIVAL",
        OneTime = "ONE_TIME",
        Periodic = "PERIODIC",
        Retry = "RETRY",
        RunJobTask = "RUN_JOB_TASK",
        Table = "TABLE",
    }
}

impl TerminationCode {
    /// Returns true if nothing of the job was executed.
    pub fn prevents_start(&self) -> bool {
        matches!(
            self,
            Self::BudgetPolicyLimitExceeded
                | Self::CloudFailure
                | Self::ClusterError
                | Self::ClusterRequestLimitExceeded
                | Self::FeatureDisabled
                | Self::InvalidClusterRequest
                | Self::InvalidRunConfiguration
                | Self::LibraryInstallationError
                | Self::MaxConcurrentRunsExceeded
                | Self::MaxJobQueueSizeExceeded
                | Self::MaxSparkContextsExceeded
                | Self::RepositoryCheckoutFailed
                | Self::Skipped
                | Self::WorkspaceRunLimitExceeded
        )
    }
}
