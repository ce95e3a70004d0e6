//! A token bucket that limits the messages of one channel per minute.

use chrono::TimeDelta;

use crate::domain::time::Timestamp;

/// Token bucket of one channel. At most `per_minute` tokens are taken in any minute: burst size and refill per minute add up
/// to that number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TokenBucket {
    capacity: f64,
    per_second: f64,
    tokens: f64,
    at: Timestamp,
}

impl TokenBucket {
    /// Creates a full bucket. With `emptied_at`, the bucket was empty at that time, because another sender may have used it.
    pub fn new(per_minute: u32, emptied_at: Option<Timestamp>, now: Timestamp) -> Self {
        let rate = f64::from(per_minute.max(1));
        let capacity = (rate / 10.0).floor().max(1.0);
        // With a rate of 1 a minute, the next token comes a minute later.
        let per_second = (rate - capacity).max(1.0) / 60.0;
        let (tokens, at) = match emptied_at {
            Some(emptied_at) => (0.0, emptied_at.min(now)),
            None => (capacity, now),
        };
        Self { capacity, per_second, tokens, at }
    }

    fn fill(&mut self, now: Timestamp) {
        let passed = now.seconds_since(self.at).max(0.0);
        self.tokens = (self.tokens + passed * self.per_second).min(self.capacity);
        self.at = self.at.max(now);
    }

    /// Takes one token. The balance may become negative, because other senders take tokens too.
    pub fn take(&mut self, now: Timestamp) {
        self.fill(now);
        self.tokens -= 1.0;
    }

    /// Returns the number of available tokens and the time of the next one.
    pub fn tokens(&mut self, now: Timestamp) -> (usize, Timestamp) {
        self.fill(now);
        let whole = self.tokens.floor().max(0.0);
        let missing = if self.tokens < 0.0 { 1.0 - self.tokens } else { whole + 1.0 - self.tokens };
        let wait = TimeDelta::microseconds((missing / self.per_second * 1e6).ceil() as i64);
        (whole as usize, now.plus(wait))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_minute_exceeds_the_rate(
            per_minute in 2_u32..700,
            pauses in prop::collection::vec(0_i64..3_000, 1..400),
        ) {
            let mut now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
            let mut bucket = TokenBucket::new(per_minute, None, now);
            let mut taken = Vec::new();
            for pause in pauses {
                now = now.plus(TimeDelta::milliseconds(pause));
                let (tokens, next) = bucket.tokens(now);
                prop_assert!(next > now);
                for _ in 0..tokens {
                    bucket.take(now);
                    taken.push(now);
                }
            }
            for (index, first) in taken.iter().enumerate() {
                let within = taken[index..].iter().filter(|at| at.seconds_since(*first) < 60.0).count();
                prop_assert!(within <= per_minute as usize, "{within} of {per_minute}");
            }
        }
    }

    #[test]
    fn a_bucket_refills_and_starts_empty_after_another_sender() {
        let now: Timestamp = "2026-01-01T00:01:00Z".parse().unwrap();
        assert_eq!(TokenBucket::new(120, None, now).tokens(now).0, 12);
        let (tokens, next) = TokenBucket::new(120, Some(now), now).tokens(now);
        assert_eq!((tokens, next.seconds_since(now)), (0, 0.555_556));
        assert_eq!(TokenBucket::new(120, Some(now.plus(TimeDelta::minutes(-1))), now).tokens(now).0, 12);
        assert_eq!(TokenBucket::new(1, None, now).tokens(now), (1, now.plus(TimeDelta::minutes(1))));
    }
}
