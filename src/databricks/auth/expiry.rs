//! Converts the expiry of a token to this process's monotonic clock.

use std::time::Instant;

use chrono::{DateTime, Utc};

/// Returns the instant of an expiry. `None`: it has passed.
#[expect(
    clippy::disallowed_methods,
    reason = "the clock is this machine's, as is that of the program that gave the time"
)]
pub(super) fn instant(end: DateTime<Utc>) -> Option<Instant> {
    let left = (end - Utc::now()).to_std().ok().filter(|left| !left.is_zero())?;
    Instant::now().checked_add(left)
}
