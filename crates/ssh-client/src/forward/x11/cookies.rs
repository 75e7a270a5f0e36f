//! The cookies that were made up for sessions of one connection, each good for as long as its session.
//!
//! ```text
//!  made up ──bind──▶ a session's ──its channel is closed──▶ gone      a single one: gone with its first connection
//!     └── its request dropped without being used ──▶ gone
//! ```

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::tokio_driver::ChannelWatch;

/// The one way of authentication there is for forwarded displays.
pub(super) const PROTOCOL: &str = "MIT-MAGIC-COOKIE-1";

/// How long a cookie is, in bytes.
pub(super) const COOKIE_BYTES: usize = 16;

/// All that are good now. Clones are the same.
#[derive(Clone, Default)]
pub(super) struct Cookies(Arc<Mutex<Table>>);

#[derive(Default)]
struct Table {
    next: u64,
    made: Vec<Cookie>,
}

struct Cookie {
    id: u64,
    bytes: Zeroizing<Vec<u8>>,
    /// It is good for one connection.
    single: bool,
    /// The session it was made for, once that has asked for a display.
    session: Option<ChannelWatch>,
}

/// A cookie that belongs to no session yet; dropped like that, it is good for nothing.
pub(super) struct Unbound {
    id: u64,
    cookies: Cookies,
}

impl Cookies {
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a new one in.
    pub(super) fn add(&self, bytes: Zeroizing<Vec<u8>>, single: bool) -> Unbound {
        let mut table = self.lock();
        let id = table.next;
        table.next = id.saturating_add(1);
        table.forget_the_gone();
        table.made.push(Cookie {
            id,
            bytes,
            single,
            session: None,
        });
        Unbound {
            id,
            cookies: self.clone(),
        }
    }

    /// Whether `cookie` is one that is good now, with which a single one is used up. All are compared, each in constant
    /// time.
    pub(super) fn admit(&self, cookie: &[u8]) -> bool {
        let mut table = self.lock();
        table.forget_the_gone();
        let mut found = None;
        for (place, made) in table.made.iter().enumerate() {
            if bool::from(made.bytes.as_slice().ct_eq(cookie)) {
                found = Some((place, made.single));
            }
        }
        if let Some((place, true)) = found {
            table.made.remove(place);
        }
        found.is_some()
    }
}

impl Table {
    /// A session that is over takes its cookie along.
    fn forget_the_gone(&mut self) {
        let is_good = |cookie: &Cookie| cookie.session.as_ref().is_none_or(ChannelWatch::is_open);
        self.made.retain(is_good);
    }
}

impl Unbound {
    /// From here on it is good as long as this session's channel is open.
    pub(super) fn bind(self, session: ChannelWatch) {
        let mut table = self.cookies.lock();
        if let Some(cookie) = table.made.iter_mut().find(|cookie| cookie.id == self.id) {
            cookie.session = Some(session);
        }
    }
}

impl Drop for Unbound {
    fn drop(&mut self) {
        let mut table = self.cookies.lock();
        table
            .made
            .retain(|cookie| cookie.id != self.id || cookie.session.is_some());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_that_no_session_uses_is_forgotten_and_a_single_one_is_good_once() {
        let cookies = Cookies::default();
        let add = |byte, single| cookies.add(Zeroizing::new(vec![byte; COOKIE_BYTES]), single);
        let (lasting, single) = (add(1, false), add(2, true));
        assert!(cookies.admit(&[1; COOKIE_BYTES]) && cookies.admit(&[1; COOKIE_BYTES]));
        assert!(cookies.admit(&[2; COOKIE_BYTES]));
        assert!(!cookies.admit(&[2; COOKIE_BYTES]));
        for wrong in [
            &[1; COOKIE_BYTES - 1][..],
            &[1; COOKIE_BYTES + 1],
            b"",
            &[3; COOKIE_BYTES],
        ] {
            assert!(!cookies.admit(wrong), "{wrong:?}");
        }
        drop((lasting, single));
        assert!(!cookies.admit(&[1; COOKIE_BYTES]));
        assert!(cookies.lock().made.is_empty());
    }
}
