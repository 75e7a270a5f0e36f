//! The places of a login at which a server is put to the test.

use std::time::Duration;

use ssh_auth::method;
use ssh_auth::server::{Attempt, Policy};

use super::{ServerTest, key, password, query};

/// Where a login stands when something happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At {
    Service,
    Request,
    AfterFailure,
    Verdict,
    Delay,
    AfterQuery,
    AfterPasswordExpired,
    AfterPartialSuccess,
}

pub const PLACES: [At; 8] = [
    At::Service,
    At::Request,
    At::AfterFailure,
    At::Verdict,
    At::Delay,
    At::AfterQuery,
    At::AfterPasswordExpired,
    At::AfterPartialSuccess,
];

pub fn server_at(at: At) -> ServerTest {
    let mut test = match at {
        At::Service => return ServerTest::new(Policy::default()),
        At::Delay => ServerTest::open_with_delay(Duration::from_secs(1)),
        _ => ServerTest::open(Policy::default()),
    };
    match at {
        At::Service | At::Request => {}
        At::AfterFailure | At::Delay => {
            test.send(&password("alice", "wrong"));
            test.answer(Attempt::reject);
        }
        At::Verdict => test.send(&password("alice", "secret")),
        At::AfterQuery => {
            test.send(&query("alice", &key(1)));
            test.answer(|attempt| match attempt {
                Attempt::PublicKeyQuery(query) => query.accept(),
                other => panic!("{other:?}"),
            });
        }
        At::AfterPasswordExpired => {
            test.send(&password("alice", "old"));
            test.answer(|attempt| match attempt {
                Attempt::Password(attempt) => attempt.require_change("expired"),
                other => panic!("{other:?}"),
            });
        }
        At::AfterPartialSuccess => {
            test.send(&password("alice", "secret"));
            test.answer(|attempt| match attempt {
                Attempt::Password(attempt) => attempt.partial(&[method::PUBLICKEY]),
                other => panic!("{other:?}"),
            });
        }
    }
    assert_eq!(test.error, None);
    test.client.take_heard();
    test
}
