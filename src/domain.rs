//! The domain: plain values and pure functions. No I/O, no clock, no environment, no async.

pub mod cause;
pub mod chain;
pub mod decide;
pub mod entry;
pub mod ids;
pub mod problems;
pub mod redact;
pub mod report;
pub mod time;
pub mod words;
