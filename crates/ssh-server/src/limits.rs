//! How much strangers may ask for before they have logged in, and how much a user may ask for afterwards.
//!
//! The rule for connections that have not logged in yet is the one OpenSSH calls `MaxStartups`: below `start`
//! everyone comes in, from `start` on a growing share is turned away at random, from `full` on everyone is. The
//! random part matters: a flood that holds exactly `full` connections would otherwise lock every honest user out.
//! Beside it stands a limit per source address, because a single host has no reason to log in hundreds of times at
//! once.
//!
//! ```text
//!  accepted ──Doorkeeper::admit──▶ Admission ──(logged in, failed, or grace time over: dropped)──▶ place free again
//!                  └──▶ Refused::{TooMany, TooManyFromSource}   the socket is closed, nothing was allocated
//! ```

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::timeouts::ChannelTimeouts;

/// Everything a peer can make this server hold or wait for, with a number.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections that have not logged in yet, over all sources.
    pub max_startups: MaxStartups,
    /// Connections that have not logged in yet from one source (an IPv4 address or an IPv6 /64 network).
    pub max_startups_per_source: u32,
    /// How long the client may take until its identification line has arrived. With
    /// [`key_exchange_time`](Self::key_exchange_time), in place of the deadlines in
    /// [`Config::transport`](crate::Config::transport).
    pub identification_time: Duration,
    /// How long it may take from there until keys are in use.
    pub key_exchange_time: Duration,
    /// How long a connection may take from its first byte to its login, all steps together.
    pub login_grace_time: Duration,
    /// Refused login attempts after which the connection ends.
    pub max_auth_tries: u32,
    /// Session channels a connection may have open at once.
    pub max_sessions: usize,
    /// Forwarded connections a connection may have open at once: those of both directions, of agents and of X11. What
    /// comes to one place where the server listens may be half of them, what comes to several of them fewer at each: a
    /// place takes another one only while it holds fewer than twice as many as are free beyond a quarter of all, or fewer
    /// than its part of that quarter ([`may_take`](crate::tokio_driver::may_take)).
    pub max_forwards: usize,
    /// Displays that the sessions of a connection may have at once (`x11-req`). Each is a port of this machine, of which
    /// there are a thousand for all its users.
    pub max_displays: usize,
    /// Terminals that the sessions of a connection may have at once (`pty-req`). The system has a few thousand for all its
    /// users.
    pub max_terminals: usize,
    /// Tunnels a connection may have open at once (`tun@openssh.com`). Each is a network device, as a rule, which everybody on
    /// this machine sees.
    pub max_tunnels: usize,
    /// Places where the server listens for one connection at once (`tcpip-forward`,
    /// `streamlocal-forward@openssh.com`).
    pub max_listeners: usize,
    /// How long a connection to the target of a forward may take.
    pub forward_connect_time: Duration,
    /// How long a connection may have no channel open, from its login on; `None`: for ever. Listening is no channel.
    pub unused_connection_time: Option<Duration>,
    /// How long channels may be open while nothing moves on them.
    pub channel_timeouts: ChannelTimeouts,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_startups: MaxStartups::default(),
            max_startups_per_source: 10,
            identification_time: Duration::from_secs(20),
            key_exchange_time: Duration::from_secs(30),
            login_grace_time: Duration::from_secs(30),
            max_auth_tries: 6,
            max_sessions: 1024,
            max_forwards: 1024,
            max_displays: 32,
            max_terminals: 128,
            max_tunnels: 8,
            max_listeners: 128,
            forward_connect_time: Duration::from_secs(30),
            unused_connection_time: None,
            channel_timeouts: ChannelTimeouts::default(),
        }
    }
}

/// `start:rate:full`: from `start` unauthenticated connections on, `rate` percent are turned away, rising to all of
/// them at `full`.
///
/// The default, `1000:30:2000`, is far above OpenSSH's `10:30:100` because a waiting connection costs this server
/// tens of kilobytes instead of two processes; with ten connections a source, a hundred hostile sources do not reach
/// `start`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaxStartups {
    start: u32,
    rate_percent: u32,
    full: u32,
}

impl MaxStartups {
    /// Turns away `rate_percent` (at most 100) from `start` on and everyone from `full` (at least `start`) on.
    pub fn new(start: u32, rate_percent: u32, full: u32) -> Self {
        Self {
            start,
            rate_percent: rate_percent.min(100),
            full: full.max(start),
        }
    }

    /// Whether the next connection is turned away when `waiting` have not logged in yet; `dice` is any random
    /// number.
    pub fn refuses(&self, waiting: u32, dice: u32) -> bool {
        if waiting >= self.full {
            return true;
        }
        if waiting < self.start {
            return false;
        }
        let span = u64::from(self.full.saturating_sub(self.start)).max(1);
        let above = u64::from(waiting.saturating_sub(self.start));
        let rising = u64::from(100_u32.saturating_sub(self.rate_percent)).saturating_mul(above) / span;
        u64::from(dice % 100) < rising.saturating_add(u64::from(self.rate_percent))
    }
}

impl Default for MaxStartups {
    fn default() -> Self {
        Self {
            start: 1000,
            rate_percent: 30,
            full: 2000,
        }
    }
}

impl fmt::Display for MaxStartups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.start, self.rate_percent, self.full)
    }
}

/// The text is not `full` or `start:rate:full` with a rate of 1 to 100 and `start` not above `full`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a number, or start:rate:full with 1 ≤ rate ≤ 100 and start ≤ full")]
pub struct NotMaxStartups;

impl FromStr for MaxStartups {
    type Err = NotMaxStartups;

    /// Reads OpenSSH's form: `10:30:100`, or one number beyond which everyone is turned away.
    fn from_str(text: &str) -> Result<Self, NotMaxStartups> {
        let numbers: Vec<u32> = text
            .split(':')
            .map(str::parse)
            .collect::<Result<_, _>>()
            .map_err(|_| NotMaxStartups)?;
        match *numbers.as_slice() {
            [full] if full > 0 => Ok(Self::new(full, 100, full)),
            [start, rate, full] if (1..=100).contains(&rate) && start <= full && full > 0 => {
                Ok(Self::new(start, rate, full))
            }
            _ => Err(NotMaxStartups),
        }
    }
}

/// Counts who is inside without having logged in. Cheap to clone; all clones count together.
#[derive(Clone, Debug)]
pub(crate) struct Doorkeeper {
    waiting: Arc<Mutex<Waiting>>,
    max_startups: MaxStartups,
    per_source: u32,
}

#[derive(Debug, Default)]
struct Waiting {
    total: u32,
    sources: HashMap<IpAddr, u32>,
}

/// Why a connection was turned away before its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// [`Limits::max_startups`].
    TooMany,
    /// [`Limits::max_startups_per_source`].
    TooManyFromSource,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooMany => "too many connections that have not logged in",
            Self::TooManyFromSource => "too many connections from this source that have not logged in",
        })
    }
}

impl Doorkeeper {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            waiting: Arc::default(),
            max_startups: limits.max_startups,
            per_source: limits.max_startups_per_source,
        }
    }

    /// The same door with other limits: who waits already is counted on.
    pub(crate) fn with(&self, limits: &Limits) -> Self {
        Self {
            waiting: Arc::clone(&self.waiting),
            ..Self::new(limits)
        }
    }

    /// Counts one more connection in, or turns it away; `dice` is any random number.
    pub(crate) fn admit(&self, address: Option<IpAddr>, dice: u32) -> Result<Admission, Refused> {
        let source = address.map(source_of);
        let mut waiting = self.lock();
        if let Some(source) = source
            && waiting
                .sources
                .get(&source)
                .is_some_and(|count| *count >= self.per_source)
        {
            return Err(Refused::TooManyFromSource);
        }
        if self.max_startups.refuses(waiting.total, dice) {
            return Err(Refused::TooMany);
        }
        waiting.total = waiting.total.saturating_add(1);
        if let Some(source) = source {
            let count = waiting.sources.entry(source).or_insert(0);
            *count = count.saturating_add(1);
        }
        Ok(Admission {
            doorkeeper: self.clone(),
            source,
        })
    }

    fn leave(&self, source: Option<IpAddr>) {
        let mut waiting = self.lock();
        waiting.total = waiting.total.saturating_sub(1);
        let Some(source) = source else { return };
        if let Some(count) = waiting.sources.get_mut(&source) {
            *count = count.saturating_sub(1);
            // A source that left must leave nothing behind: the table is as large as the crowd at the door.
            if *count == 0 {
                waiting.sources.remove(&source);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The place of one connection among those that have not logged in; dropping it frees the place.
#[derive(Debug)]
pub(crate) struct Admission {
    doorkeeper: Doorkeeper,
    source: Option<IpAddr>,
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.doorkeeper.leave(self.source);
    }
}

/// What counts as one source: whoever holds one IPv6 address commonly holds its whole /64.
fn source_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(
            address.to_bits() & (u128::MAX << SOURCE_HOST_BITS),
        )),
    }
}

/// The low bits of an IPv6 address that do not tell sources apart.
const SOURCE_HOST_BITS: u32 = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn max_startups_reads_what_openssh_reads() {
        let check = |text: &str, expected: Option<&str>| {
            let read = text.parse::<MaxStartups>().ok().map(|read| read.to_string());
            assert_eq!(read.as_deref(), expected, "{text}");
        };
        check("10:30:100", Some("10:30:100"));
        check("10", Some("10:100:10"));
        check("0:100:1", Some("0:100:1"));
        check("100:30:10", None);
        check("10:0:100", None);
        check("10:101:100", None);
        check("10:30", None);
        check("10:30:100:1", None);
        check("0", None);
        check("", None);
        check("-1", None);
        check("99999999999", None);
    }

    #[test]
    fn the_share_turned_away_rises_from_start_to_full() {
        let rule = MaxStartups::new(10, 30, 100);
        let share = |waiting| (0..100).filter(|dice| rule.refuses(waiting, *dice)).count();
        assert_eq!(share(0), 0);
        assert_eq!(share(9), 0);
        assert_eq!(share(10), 30);
        assert_eq!(share(55), 65);
        assert_eq!(share(99), 99);
        assert_eq!(share(100), 100);
        assert_eq!(share(u32::MAX), 100);
        assert_eq!(
            (0..100)
                .filter(|dice| MaxStartups::new(5, 100, 5).refuses(4, *dice))
                .count(),
            0
        );
    }

    #[test]
    fn a_place_is_free_again_when_its_admission_is_dropped() {
        let limits = Limits {
            max_startups: MaxStartups::new(2, 100, 2),
            ..Limits::default()
        };
        let door = Doorkeeper::new(&limits);
        let first = door.admit(None, 0).unwrap();
        let _second = door.admit(None, 0).unwrap();
        assert_eq!(door.admit(None, 0).unwrap_err(), Refused::TooMany);
        drop(first);
        let _third = door.admit(None, 0).unwrap();
    }

    #[test]
    fn one_source_cannot_take_the_places_of_others() {
        let limits = Limits {
            max_startups_per_source: 2,
            ..Limits::default()
        };
        let door = Doorkeeper::new(&limits);
        let from = |text: &str| door.admit(Some(text.parse().unwrap()), 0);
        let held = [from("192.0.2.1").unwrap(), from("::ffff:192.0.2.1").unwrap()];
        assert_eq!(from("192.0.2.1").unwrap_err(), Refused::TooManyFromSource);
        let _other = from("192.0.2.2").unwrap();
        let _network = [from("2001:db8::1").unwrap(), from("2001:db8::ffff:1").unwrap()];
        assert_eq!(from("2001:db8::2").unwrap_err(), Refused::TooManyFromSource);
        let _next = from("2001:db8:0:1::2").unwrap();
        drop(held);
        let _again = from("192.0.2.1").unwrap();
    }

    #[test]
    fn sources_that_left_leave_nothing_behind() {
        let door = Doorkeeper::new(&Limits::default());
        for host in 0..100_000_u32 {
            drop(door.admit(Some(IpAddr::from(host.to_be_bytes())), 0).unwrap());
        }
        assert!(door.lock().sources.is_empty());
        assert_eq!(door.lock().total, 0);
    }
}
