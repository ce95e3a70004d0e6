//! All integration tests, linked once: real Delta tables, the real binary, other engines.
#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used, clippy::disallowed_methods, clippy::print_stdout)]

mod audit;
mod browser;
mod bundle;
mod capabilities;
mod cases;
mod comply;
mod concurrency;
mod deliver;
mod demo;
mod digest;
mod faults;
mod histories;
mod ingest;
mod known;
mod layouts;
mod mcp;
mod peer;
mod peers;
mod pruning;
mod query;
mod record;
mod recurrence;
mod runbook;
mod sequences;
mod shape;
mod spark;
mod steps;
mod storage;
mod support;
mod sweep;
mod tampering;
mod verify;
mod wait;
mod warehouse;
mod workspace;
