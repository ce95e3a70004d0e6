//! The domain: plain values and pure functions. No I/O, no clock, no environment, no async.

pub mod cause;
pub mod chain;
pub mod checkpoint;
pub mod checkup;
pub mod comply;
pub mod decide;
pub mod digest;
pub mod entry;
pub mod escalation;
pub mod ids;
pub mod incident;
pub mod note;
pub mod policy;
pub mod prevention;
pub mod problems;
pub mod recurrence;
pub mod redact;
pub mod report;
pub mod run;
pub mod settings;
pub mod steps;
pub mod sweep;
pub mod time;
pub mod verification;
pub mod week;
pub mod words;
