//! Compressed packets that are bombs or no stream at all (B10).

use flate2::{Compress, Compression, FlushCompress};
use ssh_client::kex::{Preferences, Role};
use ssh_client::wire::compression;
use ssh_testkit::hostile::{Answers, Peer, Position, Target, Traits, Victim};

use super::ROLES;

/// The peer's own stream: what it compresses is what it likes.
fn deflated(stream: &mut Compress, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(payload.len() / 500 + 1024);
    stream
        .compress_vec(payload, &mut out, FlushCompress::Sync)
        .unwrap();
    out
}

fn ignore(bytes: usize) -> Vec<u8> {
    let mut payload = vec![2];
    payload.extend((bytes as u32).to_be_bytes());
    payload.resize(5 + bytes, 0);
    payload
}

/// A session whose packets are compressed from here on.
fn compressing(role: Role) -> (Peer, Victim) {
    let mut config = Victim::config();
    config.preferences.compression = vec![compression::find("zlib@openssh.com").unwrap()];
    let mut victim = Victim::new(role, config, Answers::default());
    let mut peer = Peer::of(
        role,
        Traits {
            compression: "zlib@openssh.com",
            ..Traits::default()
        },
    );
    peer.connect(&mut victim);
    assert_eq!((victim.error(), victim.told.logins), (None, 1));
    (peer, victim)
}

#[test]
fn b10_a_bomb_ends_the_connection_where_the_limit_is() {
    for role in ROLES {
        // The first packet of 256 MiB of zeros, and the smallest thing over the limit.
        for bytes in [256 << 20, 256 * 1024 + 1] {
            let (mut peer, mut victim) = compressing(role);
            let bomb = deflated(&mut Compress::new(Compression::best(), true), &ignore(bytes));
            peer.say(bomb.chunks(200_000).next().unwrap(), &mut victim);
            assert!(
                victim.is_over(),
                "{role:?}: {bytes} bytes out of {} go on",
                bomb.len()
            );
            assert_eq!(victim.told.above, 0);
        }
        // What is under the limit goes on, again and again.
        let (mut peer, mut victim) = compressing(role);
        let mut stream = Compress::new(Compression::best(), true);
        for _ in 0..100 {
            peer.say(&deflated(&mut stream, &ignore(200_000)), &mut victim);
            assert_eq!(victim.error(), None, "{role:?}");
        }
    }
}

#[test]
fn b10_what_is_no_stream_ends_the_connection() {
    for role in ROLES {
        for garbage in [
            vec![0xff; 64],
            vec![2, 0, 0, 0, 0],          // not compressed at all
            b"\x78\x9c\x07".to_vec(),     // a block of a kind that does not exist
            b"\x78\xbb\0\0\0\0".to_vec(), // a preset dictionary
        ] {
            let (mut peer, mut victim) = compressing(role);
            peer.say(&garbage, &mut victim);
            assert!(victim.is_over(), "{role:?}: {garbage:x?} goes on");
        }
        // A stream that begins anew in the middle of a connection.
        let (mut peer, mut victim) = compressing(role);
        for first in [true, false] {
            let mut stream = Compress::new(Compression::best(), true);
            peer.say(&deflated(&mut stream, &ignore(10)), &mut victim);
            assert_eq!(victim.error().is_none(), first, "{role:?}");
        }
    }
}

#[test]
fn b10_nothing_is_inflated_before_login_unless_asked_for_by_name() {
    for preferences in [Preferences::for_client(), Preferences::for_server()] {
        assert!(preferences.compression.iter().all(|each| each.name != "zlib"));
    }
    for role in ROLES {
        let mut victim = Victim::plain(role);
        let traits = Traits {
            compression: "zlib",
            ..Traits::default()
        };
        let mut peer = Peer::of(role, traits);
        peer.greet(&mut victim);
        let kexinit = peer.kexinit();
        peer.say(&kexinit, &mut victim);
        assert!(
            victim
                .error()
                .is_some_and(|error| error.contains("no compression")),
            "{role:?}"
        );
        // Asked for by name it inflates to the same limit.
        let mut config = Victim::config();
        config.preferences.compression = vec![compression::find("zlib").unwrap()];
        let mut victim = Victim::new(role, config, Answers::default());
        let mut peer = Peer::of(role, traits);
        peer.start(Position::Keyed, &mut victim);
        let bomb = deflated(&mut Compress::new(Compression::best(), true), &ignore(16 << 20));
        peer.say(&bomb, &mut victim);
        assert!(victim.is_over(), "{role:?}");
    }
}
