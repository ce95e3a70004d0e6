//! A token bucket: how much may be sent now so that no minute sees more than the channel takes.

use chrono::TimeDelta;

use crate::domain::time::Timestamp;

/// Tokens of one channel. In no minute more are taken than `per_minute`: what may be taken at once and what comes back within
/// a minute are no more than that together.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bucket {
    most: f64,
    per_second: f64,
    tokens: f64,
    at: Timestamp,
}

impl Bucket {
    /// Full, unless somebody may have taken all there was at `taken`.
    pub fn new(per_minute: u32, taken: Option<Timestamp>, now: Timestamp) -> Self {
        let rate = f64::from(per_minute.max(1));
        let most = (rate / 10.0).floor().max(1.0);
        // One a minute is one at a time, and the next a minute later.
        let per_second = (rate - most).max(1.0) / 60.0;
        let (tokens, at) = match taken {
            Some(taken) => (0.0, taken.min(now)),
            None => (most, now),
        };
        Self { most, per_second, tokens, at }
    }

    fn fill(&mut self, now: Timestamp) {
        let passed = now.seconds_since(self.at).max(0.0);
        self.tokens = (self.tokens + passed * self.per_second).min(self.most);
        self.at = self.at.max(now);
    }

    /// Takes one. What somebody else took meanwhile is owed.
    pub fn take(&mut self, now: Timestamp) {
        self.fill(now);
        self.tokens -= 1.0;
    }

    /// How many may be taken at `now`, and when there is one more.
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
        fn no_minute_sees_more_than_the_rate(
            per_minute in 2_u32..700,
            pauses in prop::collection::vec(0_i64..3_000, 1..400),
        ) {
            let mut now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
            let mut bucket = Bucket::new(per_minute, None, now);
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
            for (place, first) in taken.iter().enumerate() {
                let within = taken[place..].iter().filter(|at| at.seconds_since(*first) < 60.0).count();
                prop_assert!(within <= per_minute as usize, "{within} of {per_minute}");
            }
        }
    }

    #[test]
    fn a_bucket_refills_and_is_empty_where_others_may_have_taken_all() {
        let now: Timestamp = "2026-01-01T00:01:00Z".parse().unwrap();
        assert_eq!(Bucket::new(120, None, now).tokens(now).0, 12);
        let (tokens, next) = Bucket::new(120, Some(now), now).tokens(now);
        assert_eq!((tokens, next.seconds_since(now)), (0, 0.555_556));
        assert_eq!(Bucket::new(120, Some(now.plus(TimeDelta::minutes(-1))), now).tokens(now).0, 12);
        assert_eq!(Bucket::new(1, None, now).tokens(now), (1, now.plus(TimeDelta::minutes(1))));
    }
}
