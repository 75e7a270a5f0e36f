//! Reading a directory: READDIR until EOF, two at once, and not for ever.

use thiserror::Error;

/// The most names of one directory, unless the caller says otherwise.
const DEFAULT_MAX_NAMES: u64 = 10_000_000;

/// READDIRs at once: the second waits at the server while the first one's names travel.
const AT_ONCE: usize = 2;

/// The plan for reading one directory. The names themselves go to the caller, reply by reply; none is kept here.
#[derive(Debug)]
pub struct Listing {
    under_way: usize,
    ended: bool,
    names: u64,
    max_names: u64,
}

/// A directory has more names than the caller takes; a server could go on for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the directory has more than {max_names} names")]
pub struct TooManyNames {
    /// The limit.
    pub max_names: u64,
}

impl Default for Listing {
    fn default() -> Self {
        Self::new(DEFAULT_MAX_NAMES)
    }
}

impl Listing {
    /// A plan that takes at most `max_names` names.
    pub const fn new(max_names: u64) -> Self {
        Self {
            under_way: 0,
            ended: false,
            names: 0,
            max_names,
        }
    }

    /// Whether to send a READDIR now; the plan counts it as sent.
    pub const fn next_ask(&mut self) -> bool {
        let send = !self.ended && self.under_way < AT_ONCE;
        if send {
            self.under_way = self.under_way.saturating_add(1);
        }
        send
    }

    /// A reply brought `count` names. No names at all are the end of the list, whatever the server meant by it.
    pub fn received(&mut self, count: usize) -> Result<(), TooManyNames> {
        self.under_way = self.under_way.saturating_sub(1);
        self.ended |= count == 0;
        self.names = self
            .names
            .saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
        if self.names > self.max_names {
            self.ended = true;
            return Err(TooManyNames {
                max_names: self.max_names,
            });
        }
        Ok(())
    }

    /// A reply was EOF, or another status: no further names are asked for.
    pub const fn ended(&mut self) {
        self.under_way = self.under_way.saturating_sub(1);
        self.ended = true;
    }

    /// Whether the list has ended and every READDIR was answered.
    pub const fn is_finished(&self) -> bool {
        self.ended && self.under_way == 0
    }

    /// Names that came.
    pub const fn names(&self) -> u64 {
        self.names
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_requests_are_kept_out_until_the_end() {
        let mut listing = Listing::default();
        assert!(listing.next_ask() && listing.next_ask() && !listing.next_ask());
        listing.received(100).unwrap();
        assert!(listing.next_ask() && !listing.next_ask());
        listing.ended();
        assert!(!listing.next_ask() && !listing.is_finished());
        listing.ended();
        assert!(listing.is_finished());
        assert_eq!(listing.names(), 100);
    }

    #[test]
    fn a_list_without_end_is_ended() {
        let mut listing = Listing::new(1000);
        let mut replies = 0;
        let error = loop {
            while listing.next_ask() {}
            replies += 1;
            if let Err(error) = listing.received(300) {
                break error;
            }
        };
        assert_eq!((replies, error.max_names), (4, 1000));
        assert!(!listing.next_ask());
        let mut listing = Listing::default();
        assert!(listing.next_ask());
        listing.received(0).unwrap();
        assert!(listing.is_finished());
    }
}
