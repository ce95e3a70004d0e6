//! What people read, as text. Pure: rows in, `String` out; no I/O, clock, environment or colour.
//!
//! - [`plain`]: one value made safe for one terminal line, cut, or spelled out
//! - [`timeline`]: everything known of one incident
//! - [`alert`]: an alert, and what every trigger said
//! - [`audit`]: one row of the audit log
//! - [`export`]: rows of it for other programs, [`ocsf`] for those that want OCSF events
//! - [`ingest`]: what became of the documents in an inbox
//! - [`listing`]: many rows, one per line
//! - [`login`]: the check of a login to a workspace
//! - [`notice`]: what is sent to PagerDuty, Slack, Teams, a mailbox or a webhook; `slack` makes text safe for Slack
//! - [`postmortem`]: one incident as a Markdown document, [`markdown`] makes text safe for one
//! - `page`: what every HTML page begins with
//! - [`checkup`]: what was found about a place for a lake
//! - [`digest`]: one week, in every format
//! - [`deliveries`]: what people were told, and what came of it
//! - [`compliance`]: one look at the jobs of a workspace
//! - [`receipt`]: that something was recorded
//! - [`recurring`]: an issue that keeps coming back
//! - [`replay`]: what other rules would have told
//! - [`runbook`]: remediation steps as blocks of shell
//! - [`similar`]: incidents of the same kind, and what fixed them
//! - [`sweep`]: what a look for failed runs found
//! - [`told_if`]: who would be told if something happened
//!
//! Whatever came from outside passes [`plain::line`] on its way out: no output holds a control, bidirectional or invisible
//! character, and none has more lines than its layout gives it. Unknown is `n/a`, never 0 and never empty.

pub mod alert;
pub mod audit;
pub mod checkup;
pub mod compliance;
pub mod deliveries;
pub mod digest;
#[cfg(test)]
mod example;
pub mod export;
pub mod ingest;
pub mod listing;
pub mod login;
pub mod markdown;
pub mod notice;
pub mod ocsf;
mod page;
pub mod plain;
pub mod postmortem;
pub mod receipt;
pub mod recurring;
pub mod replay;
pub mod runbook;
pub mod similar;
mod slack;
pub mod sweep;
pub mod timeline;
pub mod told_if;
