//! Variables that belong to one session.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions,
    reason = "a test says what must be true by panicking"
)]

mod common;

use common::memory::{Proof, connect, session};
use common::{Place, Site, USER, text};
use ssh_server::channel::{Env, Exec};
use ssh_server::keys::PublicKey;
use ssh_server::{Application, Candidate, Decision, Session};
use tokio::io::AsyncReadExt;

/// A site that gives every session a socket and a number.
struct WithSocket(Site);

impl Application for WithSocket {
    async fn public_key(&self, candidate: &Candidate, key: &PublicKey) -> Decision {
        self.0.public_key(candidate, key).await
    }

    async fn session(&self, mut session: Session) {
        session.set_variable("SSH_AUTH_SOCK", "/run/first");
        session.set_variable("NUMBER", "7");
        session.set_variable("SSH_AUTH_SOCK", "/run/socket");
        assert_eq!(session.environment().len(), 2);
        self.0.session(session).await;
    }
}

#[tokio::test]
async fn a_sessions_own_variables_reach_its_program_before_the_clients() {
    let place = Place::new();
    let server = place.builder().build(WithSocket(place.site())).unwrap();
    let handle = connect(&server, USER, Proof::Key(&place.user_key)).await.unwrap();
    let mut channel = session(&handle).await;
    let _refused = channel
        .request(&Env::new("SSH_AUTH_SOCK", b"/run/other").into())
        .await
        .unwrap();
    assert!(
        channel
            .request(&Exec::new("echo $SSH_AUTH_SOCK $NUMBER").into())
            .await
            .unwrap()
    );
    let mut out = Vec::new();
    channel.read_to_end(&mut out).await.unwrap();
    assert_eq!(text(&out), "/run/socket 7\n");
}
