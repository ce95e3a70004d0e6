//! The kinds of timeline events.

use super::super::closed_enum::closed_enums;

closed_enums! {
    /// Kind of a timeline event.
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

    /// Kind of a timeline event that changes nothing but the timeline.
    pub enum LogKind {
        Discover = "DISCOVER",
        Fetch = "FETCH",
        Analyze = "ANALYZE",
        Note = "NOTE",
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
