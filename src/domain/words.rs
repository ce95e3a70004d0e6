//! The product's own words, as closed enums. A platform's words stay open strings.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

macro_rules! words {
    ($($(#[$meta:meta])* pub enum $Enum:ident { $($(#[$vmeta:meta])* $Variant:ident = $text:literal),* $(,)? })*) => {$(
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        pub enum $Enum { $($(#[$vmeta])* #[serde(rename = $text)] $Variant),* }

        impl $Enum {
            pub const ALL: &[Self] = &[$(Self::$Variant),*];

            pub fn as_str(self) -> &'static str {
                match self { $(Self::$Variant => $text),* }
            }
        }

        impl std::str::FromStr for $Enum {
            type Err = serde_json::Error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                serde_json::from_value(text.into())
            }
        }

        /// On the command line: the words in lower or upper case, all of them in `--help`.
        impl clap::ValueEnum for $Enum {
            fn value_variants<'a>() -> &'a [Self] {
                Self::ALL
            }

            fn to_possible_value(&self) -> Option<clap::builder::PossibleValue> {
                Some(clap::builder::PossibleValue::new(self.as_str()))
            }
        }

        impl std::fmt::Display for $Enum {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }
    )*};
}

words! {
    /// Why an incident exists.
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

    /// Where an incident stands.
    pub enum Status {
        Investigating = "investigating",
        Escalated = "escalated",
        Resolved = "resolved",
    }

    /// What a timeline event was.
    pub enum EventKind {
        Discover = "DISCOVER",
        Fetch = "FETCH",
        Analyze = "ANALYZE",
        Rca = "RCA",
        Remediate = "REMEDIATE",
        Verify = "VERIFY",
        Close = "CLOSE",
        Note = "NOTE",
        Ack = "ACK",
        Escalate = "ESCALATE",
        Reopen = "REOPEN",
    }

    /// What an event that changes nothing but the timeline was.
    pub enum LogKind {
        Discover = "DISCOVER",
        Fetch = "FETCH",
        Analyze = "ANALYZE",
        Note = "NOTE",
    }

    /// How sure a root cause is.
    pub enum Confidence {
        High = "HIGH",
        Medium = "MEDIUM",
        Low = "LOW",
    }

    /// What a best-practice check said. PARTIAL means incomplete data, not a warning.
    pub enum CheckStatus {
        Pass = "PASS",
        Fail = "FAIL",
        Partial = "PARTIAL",
    }

    /// How bad a finding or an alert is.
    pub enum Severity {
        Low = "LOW",
        Medium = "MEDIUM",
        High = "HIGH",
        Critical = "CRITICAL",
    }

    /// What the settings of a job are checked for.
    pub enum JobRule {
        /// Every task of a job that runs by itself is tried again when it fails.
        Retries = "retries",
        /// No task is tried again without end.
        BoundedRetries = "bounded-retries",
        /// Every run ends some time.
        Timeout = "timeout",
        /// A run that cannot start at once waits for its turn.
        Queue = "queue",
        /// Somebody is told when a run fails.
        FailureNotification = "failure-notification",
        /// Somebody is told when a run takes too long.
        DurationWarning = "duration-warning",
        /// What runs is not in the folder of a person.
        SharedCode = "shared-code",
        /// It runs as a service principal.
        RunAs = "run-as",
        /// It runs on compute of its own.
        JobCompute = "job-compute",
        /// The runtime gets fixes.
        Runtime = "runtime",
        /// Its clusters are under a policy.
        ClusterPolicy = "cluster-policy",
    }

    /// What became of the incident about the settings of a job, when they were checked.
    pub enum GapEvent {
        /// Something fails, and there was no incident.
        Opened = "opened",
        /// Something fails that did not before.
        Grew = "grew",
        /// What failed is fixed in part, or fails in another way.
        Changed = "changed",
        /// Nothing fails any more.
        Closed = "closed",
        /// Something fails again.
        Reopened = "reopened",
        /// There is none, or it stands as it stood; the results of the checks are new.
        Checked = "checked",
    }

    /// What a remediation step changes.
    pub enum RemediationKind {
        JobSettings = "job_settings",
        ClusterSettings = "cluster_settings",
        WarehouseSettings = "warehouse_settings",
        Sql = "sql",
        Command = "command",
    }

    /// How a remediation step ended.
    pub enum RemediationResult {
        Success = "SUCCESS",
        Failed = "FAILED",
    }

    /// What an accepted request did, in the audit log's `action` column.
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
        /// A digest was made.
        Summarize = "SUMMARIZE",
        /// What could not become a record was put aside, with the reason.
        Reject = "REJECT",
        /// Somebody was told, or was to be told.
        Notify = "NOTIFY",
    }

    /// Why somebody is told.
    pub enum Trigger {
        /// The confidence is LOW: somebody must investigate by hand.
        MissingEvidence = "missing-evidence",
        /// More than half of the checks are PARTIAL: the assessment is incomplete.
        PartialChecks = "partial-checks",
        /// A security check of high severity failed.
        SecurityFinding = "security-finding",
        /// The same root cause came often enough within the window.
        Recurring = "recurring",
        /// Evidence could not be retrieved: permission, retention, API.
        AccessIssue = "access-issue",
    }

    /// What became of an alert when its trigger was evaluated, or when somebody dealt with it.
    pub enum AlertEvent {
        /// The trigger holds and people are to be told.
        Fired = "fired",
        /// The trigger still holds; the alert is open already and says so anew.
        Repeated = "repeated",
        /// The trigger holds, but the alert is suppressed or was sent too recently.
        Suppressed = "suppressed",
        /// The trigger does not hold, and no alert is open.
        NotFired = "not-fired",
        /// The trigger does not hold any more; the alert is over.
        Cleared = "cleared",
        Acknowledged = "acknowledged",
        Resolved = "resolved",
    }

    /// Where an alert stands.
    pub enum AlertStatus {
        Open = "open",
        Acknowledged = "acknowledged",
        Suppressed = "suppressed",
        Resolved = "resolved",
    }

    /// By what means a channel reaches people.
    pub enum ChannelKind {
        Pagerduty = "pagerduty",
        Slack = "slack",
        Email = "email",
        Teams = "teams",
        Webhook = "webhook",
    }

    /// What a channel is told.
    pub enum NoticeKind {
        /// An alert fired.
        Trigger = "trigger",
        /// An alert fired, and nobody acknowledged it in time.
        Again = "again",
        /// Somebody takes care of it.
        Acknowledge = "acknowledge",
        /// It is over.
        Resolve = "resolve",
        /// Something was changed to put an incident right.
        Change = "change",
        /// The digest of a week was made.
        Digest = "digest",
        /// Another channel could not be told of an alert.
        Undelivered = "undelivered",
    }

    /// What became of a notice.
    pub enum DeliveryEvent {
        /// A deliverer is about to send it, and nobody else may until its time is over.
        Claimed = "claimed",
        /// The receiver accepted it.
        Delivered = "delivered",
        /// Some of its recipients have it; those that could not take it yet are asked again later, and nobody else is.
        Partly = "partly",
        /// The receiver did not take it, and is asked again later.
        Retry = "retry",
        /// Nobody knows whether the receiver took it; it is asked again later.
        Unknown = "unknown",
        /// It was given up.
        Dead = "dead",
        /// Nobody needs to be told any more, or not by itself.
        Skipped = "skipped",
    }

    /// What became of a recurrence episode.
    pub enum EpisodeEvent {
        /// The threshold was reached.
        Opened = "opened",
        /// Another incident, or another cause that counts as the same, changed it.
        Updated = "updated",
        /// A whole window went by without another incident, or it turned out not to be one.
        Closed = "closed",
    }

    /// How far a preventive action has come.
    pub enum PreventionState {
        /// Recommended with a recurrence alert.
        Proposed = "proposed",
        /// Somebody put it in place.
        Adopted = "adopted",
        /// A whole window went by after it was adopted without the cause coming back.
        Effective = "effective",
        /// The cause came back after it was adopted.
        Recurred = "recurred",
    }

    /// By what the incidents of a week are counted.
    pub enum Dimension {
        Total = "total",
        Type = "type",
        /// The highest severity of the alerts that fired for the incident; `none` when none did.
        Severity = "severity",
        Workspace = "workspace",
        /// Categories of checks that failed; an incident counts in each of them.
        Category = "category",
    }

    /// How long something took.
    pub enum Measure {
        /// Impact start to detection.
        Detect = "detect",
        /// Report to the first explicit acknowledgement.
        Acknowledge = "acknowledge",
        /// Detection to the first successful REMEDIATE or VERIFY.
        Mitigate = "mitigate",
        /// Report to the first resolution.
        Resolve = "resolve",
    }

    /// When somebody on call was needed, in the digest's time zone.
    pub enum HourBand {
        /// Monday to Friday, 08:00 to 17:59.
        Business = "business",
        /// 06:00 to 21:59 outside business hours.
        Evening = "evening",
        /// 22:00 to 05:59.
        Night = "night",
    }

    /// How long an incident has been open.
    pub enum AgeBand {
        /// Less than 24 hours.
        Day = "under-1-day",
        /// 1 to less than 7 times 24 hours.
        Week = "1-to-7-days",
        /// 7 to less than 30 times 24 hours.
        Month = "7-to-30-days",
        Older = "over-30-days",
    }

    /// How a run of a job ended.
    pub enum RunOutcome {
        /// It is not over.
        Running = "running",
        Succeeded = "succeeded",
        /// Some of its tasks failed, and it succeeded all the same.
        PartlyFailed = "partly-failed",
        Failed = "failed",
        TimedOut = "timed-out",
        /// Nothing of it was executed, and nobody wanted that.
        NeverStarted = "never-started",
        /// Somebody cancelled it, or had disabled it.
        Stopped = "stopped",
        /// The platform says something that is not known here.
        Unknown = "unknown",
    }

    /// Where a request came from.
    pub enum Interface {
        Cli = "cli",
        Demo = "demo",
        /// What a scan of the history found.
        Scan = "scan",
        /// What a sweep of a workspace found.
        Sweep = "sweep",
        /// An agent, through the MCP server.
        Mcp = "mcp",
        /// What was dropped into an inbox.
        Inbox = "inbox",
        /// What tells people: what was sent, and alerts whose quiet time is over.
        Deliver = "deliver",
        /// Somebody dealt with an alert in PagerDuty.
        Pagerduty = "pagerduty",
    }
}

impl ChannelKind {
    /// Whether people read every message there, so that many at once are better told in one.
    pub fn is_read(self) -> bool {
        match self {
            Self::Slack | Self::Email | Self::Teams => true,
            Self::Pagerduty | Self::Webhook => false,
        }
    }
}

impl From<LogKind> for EventKind {
    fn from(kind: LogKind) -> Self {
        match kind {
            LogKind::Discover => Self::Discover,
            LogKind::Fetch => Self::Fetch,
            LogKind::Analyze => Self::Analyze,
            LogKind::Note => Self::Note,
        }
    }
}
