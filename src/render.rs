//! What people read, as text. Pure: rows in, `String` out; no I/O, clock, environment or colour.
//!
//! - [`plain`]: one value made safe for one terminal line, cut, or spelled out
//! - [`timeline`]: everything known of one incident
//! - [`audit`]: one row of the audit log
//! - [`listing`]: many rows, one per line
//!
//! Whatever came from outside passes [`plain::line`] on its way out: no output holds a control, bidirectional or invisible
//! character, and none has more lines than its layout gives it. Unknown is `n/a`, never 0 and never empty.

pub mod audit;
#[cfg(test)]
mod example;
pub mod listing;
pub mod plain;
pub mod timeline;
