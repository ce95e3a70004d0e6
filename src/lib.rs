//! `ops-runbook`: from an investigation to an incident record that can be shown to an auditor.
//!
//! ```text
//!  a report, a step, a scan, a sweep, an inbox        [cli, mcp]  main.rs is the binary
//!        │
//!        ▼
//!  redact → parse → gather → decide                   [domain, lake::ledger]  the decision is pure: no I/O, clock, async
//!        │  request + facts
//!        ▼
//!  append ONE row to audit_log, one Delta commit      [lake::ledger]  this commit is the acknowledgement
//!        │
//!        ▼
//!  project into typed tables, exactly once            [lake::projector, tables::project]
//!        │
//!        ▼
//!  sql/*.sql on DataFusion, or on a SQL warehouse     [analytics, databricks]  a recurring issue is a new request
//!        │
//!        ▼
//!  text, Markdown, shell, JSON, CSV                   [render, cli, mcp]
//!        │
//!        ▼
//!  claim → send → record the result                   [domain::notification, ops::notify, channels]  the ledger is the outbox
//! ```
//!
//! From top to bottom; a module uses only modules below it (a test checks this):
//!
//! - [`cli`] is the command line: arguments, calls of [`ops`], printed results, exit codes
//! - [`mcp`] is the server for agents: tools, resources and prompts over standard input and output, or HTTP
//! - [`ops`] has the operations of the program, the only async orchestration
//! - [`analytics`] runs SQL over the lake's tables and views
//! - [`inbox`] lists, reads and moves dropped documents
//! - [`lake`] is the only code that writes tables: the Delta log, the ledger, projections, maintenance, verification
//! - [`channels`] sends notifications: PagerDuty, Slack, Teams, webhooks, mail servers
//! - [`databricks`] is the client of a workspace: SQL on a warehouse, jobs and their runs, credentials for storage
//! - [`render`] makes text for people from rows; pure
//! - [`tables`] defines every table once, and computes its rows from ledger entries; pure
//! - [`domain`] has the types and the decisions; pure
//!
//! Invariants:
//!
//! 1. Every record is one row of `audit_log`. Every other table can be deleted and rebuilt from it.
//! 2. `seq` is 1, 2, 3 … without gaps; `entry_hash` = SHA-256 of `prev_hash || entry`.
//! 3. A request id is recorded once. A repeated request gets the first answer.
//! 4. A request is acknowledged only after its commit exists, on a local disk after fsync.
//! 5. No secret reaches a hash, a file, a log or an output: redaction runs first.
//! 6. Every table is append-only; state is a view. There is no MERGE, UPDATE or DELETE.
//! 7. The decision about a request depends on the request, the configuration and its incident. A result that depends on the whole
//!    history (recurrence) is a request of its own with a deterministic id: the first process that finds it records it.
//!
//! Deliberately absent: a server that must run, a cache on disk, a second copy of a schema, a file list loaded to append.
//!
//! `src/README.md` has the way of one request with names, and how to extend the program.

pub mod analytics;
pub mod channels;
pub mod cli;
pub mod databricks;
pub mod domain;
pub mod inbox;
pub mod lake;
pub mod mcp;
pub mod ops;
pub mod render;
pub mod tables;
