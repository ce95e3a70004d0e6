//! Renders text for people. Pure: rows in, `String` out; no I/O, clock, environment or colour.
//!
//! - [`plain`]: one value, made safe for one terminal line, shortened or formatted
//! - [`timeline`]: the INCIDENT TIMELINE, all records of one incident
//! - [`alert`]: the ESCALATION ALERT, evaluations of triggers, and lists of alerts
//! - [`audit`]: one row of the audit log
//! - [`export`]: audit log rows for other programs, [`ocsf`] as OCSF events
//! - [`ingest`]: the result of reading an inbox
//! - [`listing`]: many rows, one per line
//! - [`login`]: the check of a login to a workspace
//! - [`notification`]: payloads for PagerDuty, Slack, Teams, e-mail and webhooks; `slack` makes text safe for Slack
//! - [`postmortem`]: one incident as a Markdown document, [`markdown`] makes text safe for one
//! - `page`: the head of every HTML page
//! - [`health`]: the health check of storage and lake
//! - [`digest`]: the weekly digest, in every format
//! - [`deliveries`]: attempts to deliver notifications
//! - [`compliance`]: one compliance check of the jobs of a workspace
//! - [`configuration`]: the reference of the configuration file
//! - [`receipt`]: the confirmation that a request was recorded
//! - [`recurring`]: the RECURRING ISSUE ALERT, lists of episodes and causes
//! - [`replay`]: past alerts, evaluated again under other rules
//! - [`routing`]: the channels that each trigger notifies
//! - [`runbook`]: remediation steps as blocks of shell
//! - [`similar`]: incidents of the same kind, and what fixed them
//! - [`sweep`]: one sweep for failed runs
//!
//! Text from outside passes [`plain::line`]: no output holds a control, bidirectional or invisible character, or more lines
//! than its layout has. An unknown value is `n/a`, never 0 and never empty.

pub mod alert;
pub mod audit;
pub mod compliance;
pub mod configuration;
pub mod deliveries;
pub mod digest;
#[cfg(test)]
mod example;
pub mod export;
pub mod health;
pub mod ingest;
pub mod listing;
pub mod login;
pub mod markdown;
pub mod notification;
pub mod ocsf;
mod page;
pub mod plain;
pub mod postmortem;
pub mod receipt;
pub mod recurring;
pub mod replay;
pub mod routing;
pub mod runbook;
pub mod similar;
mod slack;
pub mod sweep;
pub mod timeline;
