//! `ops-runbook`: from an investigation to an incident record that can be shown to an auditor.
//!
//! ```text
//!  a report, a step, a scan, a sweep, an inbox        [cli, mcp]  main.rs is the binary
//!        │
//!        ▼
//!  redact → parse → gather → decide                   [domain, lake::ledger]  deciding is pure: no I/O, clock, async
//!        │  request + facts
//!        ▼
//!  append ONE row to audit_log, one Delta commit      [lake::ledger]  this commit is the acknowledgement
//!        │
//!        ▼
//!  project into typed tables, exactly once            [lake::projector, tables::project]
//!        │
//!        ▼
//!  sql/*.sql on DataFusion, or on a SQL warehouse     [analytics, databricks]  what recurs comes back in as a request of its own
//!        │
//!        ▼
//!  text, Markdown, shell, JSON, CSV                   [render, cli, mcp]
//!        │
//!        ▼
//!  claim → send → record what came of it              [domain::delivery, ops::deliver, delivery]  the ledger is the outbox
//! ```
//!
//! In reading order, arrows pointing down only (a test checks them):
//!
//! - [`cli`] asks: arguments in, [`ops`] called, results printed, exit codes
//! - [`mcp`] asks for agents: tools, resources and prompts over standard input and output, or HTTP
//! - [`ops`] is the only async orchestration: what the binary can do, without a word about how it is shown
//! - [`analytics`] plans SQL over the lake's tables and views
//! - [`inbox`] is where anybody drops documents: lists, reads and moves files
//! - [`delivery`] reaches the receivers of notices: PagerDuty, Slack, Teams, webhooks, mail servers
//! - [`databricks`] speaks to a workspace: SQL on a warehouse, jobs and their runs, credentials for storage
//! - [`lake`] is the only code that writes tables: the Delta log, the ledger, projections, upkeep, proof
//! - [`render`] makes text for people from rows; pure
//! - [`tables`] describes every row once, and computes rows from ledger entries; pure
//! - [`domain`] holds the words and the decisions; pure
//!
//! Invariants:
//!
//! 1. Nothing is recorded anywhere but by one row of `audit_log`; every other table can be deleted and rebuilt from it.
//! 2. `seq` is 1, 2, 3 … without gaps; `entry_hash` = SHA-256 of `prev_hash || entry`.
//! 3. A request id is recorded once. Sent again, it is answered as the first time.
//! 4. An answer is given only after the commit stands, on a local disk after fsync.
//! 5. No secret reaches a hash, a file, a log or an output: redaction comes before everything else.
//! 6. Every table is append-only; state is a view. There is no MERGE, UPDATE or DELETE.
//! 7. What is decided about a request depends on the request, the configuration and its incident. What takes the whole history
//!    (recurrence) is a request of its own, named by what was found: whoever finds it first records it.
//!
//! Deliberately absent: a server that must run, a cache on disk, a second copy of a schema, a file list loaded to append.

pub mod analytics;
pub mod cli;
pub mod databricks;
pub mod delivery;
pub mod domain;
pub mod inbox;
pub mod lake;
pub mod mcp;
pub mod ops;
pub mod render;
pub mod tables;
