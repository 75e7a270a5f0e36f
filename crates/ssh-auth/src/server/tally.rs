//! What a peer has used up of the policy, and when a refusal may leave.

use std::time::{Duration, Instant};

use super::{MAX_REQUESTS, Policy};
use crate::error::Error;
use crate::method::Weight;

/// Counts of one connection. They outlive a change of the user name: another name buys no further attempts.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    requests: usize,
    queries: u32,
    failures: u32,
}

impl Tally {
    /// A request arrived: whether it is the first.
    pub(crate) fn request(&mut self) -> Result<bool, Error> {
        self.requests = self.requests.saturating_add(1);
        if self.requests > MAX_REQUESTS {
            Err(Error::TooManyAttempts)
        } else {
            Ok(self.requests == 1)
        }
    }

    /// Whether a request has arrived.
    pub(crate) const fn has_begun(&self) -> bool {
        self.requests > 0
    }

    /// A request turned out to be of this weight.
    pub(crate) fn weighed(&mut self, weight: Weight, policy: &Policy) -> Result<(), Error> {
        if weight == Weight::Query {
            self.queries = self.queries.saturating_add(1);
            if self.queries > policy.max_queries {
                return Err(Error::TooManyAttempts);
            }
        }
        Ok(())
    }

    /// A request of this weight was refused.
    pub(crate) fn refused(&mut self, weight: Weight) {
        if weight == Weight::Attempt {
            self.failures = self.failures.saturating_add(1);
        }
    }

    /// Whether the peer may go on after a refusal.
    pub(crate) fn check(&self, policy: &Policy) -> Result<(), Error> {
        if self.failures < policy.max_attempts.max(1) {
            Ok(())
        } else {
            Err(Error::TooManyAttempts)
        }
    }
}

/// When the refusal of a request that arrived at `arrived` may leave: `delay` after it, or, if that is over, the next
/// multiple.
pub(crate) fn reply_time(arrived: Instant, now: Instant, delay: Duration) -> Instant {
    let elapsed = now.saturating_duration_since(arrived).as_nanos();
    let Some(steps) = elapsed.checked_div(delay.as_nanos()) else {
        return now;
    };
    let nanos = delay.as_nanos().saturating_mul(steps.saturating_add(1));
    let wait = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
    arrived.checked_add(wait).unwrap_or(now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_leave_at_multiples_of_the_delay() {
        let arrived = Instant::now();
        let ms = |count| Duration::from_millis(count);
        for (elapsed, delay, expected) in [
            (0, 20, 20),
            (1, 20, 20),
            (19, 20, 20),
            (20, 20, 40),
            (95, 20, 100),
            (7, 0, 7),
        ] {
            assert_eq!(
                reply_time(arrived, arrived + ms(elapsed), ms(delay)),
                arrived + ms(expected)
            );
        }
        let far = reply_time(arrived, arrived, Duration::MAX);
        assert!(far >= arrived);
    }

    #[test]
    fn each_weight_counts_where_it_belongs() {
        let policy = Policy {
            max_attempts: 2,
            max_queries: 3,
            ..Policy::default()
        };
        let mut tally = Tally::default();
        assert!(tally.request().unwrap());
        tally.refused(Weight::Courtesy);
        tally.refused(Weight::Query);
        tally.refused(Weight::Attempt);
        tally.check(&policy).unwrap();
        tally.refused(Weight::Attempt);
        assert_eq!(tally.check(&policy), Err(Error::TooManyAttempts));
        for _ in 0..3 {
            tally.weighed(Weight::Query, &policy).unwrap();
        }
        tally.weighed(Weight::Attempt, &policy).unwrap();
        assert_eq!(tally.weighed(Weight::Query, &policy), Err(Error::TooManyAttempts));
        for _ in 1..MAX_REQUESTS {
            assert!(!tally.request().unwrap());
        }
        assert_eq!(tally.request(), Err(Error::TooManyAttempts));
    }
}
