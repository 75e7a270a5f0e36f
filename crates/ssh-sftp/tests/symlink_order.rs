//! The two paths of `SSH_FXP_SYMLINK`: OpenSSH's order (OpenSSH `PROTOCOL` §4.1) or the draft's (§6.10), by what is known of
//! the peer.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test says what must be true by panicking"
)]

use ssh_sftp::messages::Symlink;
use ssh_sftp::server::{Config, Event, Incoming, Question};
use ssh_sftp::wire::bytes::Bytes;
use ssh_sftp::{Client, Outbox, Server, client};

fn all(outbox: &mut Outbox) -> Bytes {
    let mut all = Vec::new();
    while let Some(front) = outbox.front() {
        all.extend_from_slice(front);
        let count = front.len();
        outbox.sent(count);
    }
    all.into()
}

/// What a server of this kind reads: target and link.
fn read(draft_symlink: bool, request: Symlink) -> (Vec<u8>, Vec<u8>) {
    let mut client = Client::new();
    let mut server = Server::new(Config {
        draft_symlink,
        ..Config::default()
    });
    let mut request = Some(request);
    for _ in 0..10 {
        server.receive(all(client.output()));
        while let Some(event) = server.poll().unwrap() {
            if let Event::Request(Incoming::Symlink(Question { request, .. })) = event {
                return (request.target, request.link);
            }
        }
        client.receive(all(server.output()));
        while let Some(event) = client.poll().unwrap() {
            if matches!(event, client::Event::Ready { .. })
                && let Some(request) = request.take()
            {
                client.request(&request).unwrap();
            }
        }
    }
    panic!("no request arrived")
}

#[test]
fn quirk_the_paths_are_exchanged_with_peers_that_follow_the_draft() {
    let request = || Symlink {
        target: b"there".to_vec(),
        link: b"link".to_vec(),
    };
    let right = (b"there".to_vec(), b"link".to_vec());
    let wrong = (b"link".to_vec(), b"there".to_vec());
    assert_eq!(read(false, request()), right);
    assert_eq!(read(true, request()), wrong);
    assert_eq!(read(false, request().in_draft_order()), wrong);
    assert_eq!(read(true, request().in_draft_order()), right);
}
