//! The interfaces through which requests arrive.

use super::closed_enum::closed_enums;

closed_enums! {
    /// Interface through which a request arrived.
    pub enum Interface {
        Cli = "cli",
        Demo = "demo",
        /// A recurrence scan.
        Scan = "scan",
        /// A sweep of a workspace's job runs.
        Sweep = "sweep",
        /// An agent, through the MCP server.
        Mcp = "mcp",
        /// A document in an inbox.
        Inbox = "inbox",
        /// The notification sender: deliveries, and alerts whose suppression expired.
        Deliver = "deliver",
        /// A person acted on an alert in PagerDuty.
        Pagerduty = "pagerduty",
    }
}
