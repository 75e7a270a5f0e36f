//! Before anybody is logged in: nothing of the rooms above is heard (A2, promise 3), no message of the other side (A3),
//! every breach ends the connection (promise 4), the session identifier is the first H for ever (B20), and ten thousand
//! deadlines leave nothing behind (B21).

use std::time::Duration;

use ssh_client::auth::messages::{UserauthBanner, UserauthFailure, UserauthSuccess};
use ssh_client::kex::Role;
use ssh_client::wire::{Encode, NameList, Writer, number};
use ssh_testkit::hostile::{Answers, Peer, Position, Target, Traits, Victim, login, packet};

use super::ROLES;

/// The five states before a login.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Keys are in use.
    Keyed,
    /// The service was accepted.
    Accepted,
    /// An attempt has failed.
    Failed,
    /// A signature is awaited: the key would do.
    KeyWouldDo,
    /// An attempt was made, and nobody has answered it yet.
    Thinking,
}

const STATES: [State; 5] = [
    State::Keyed,
    State::Accepted,
    State::Failed,
    State::KeyWouldDo,
    State::Thinking,
];

fn failure() -> Vec<u8> {
    UserauthFailure {
        authentications_that_can_continue: NameList::new("publickey,password").unwrap(),
        partial_success: false,
    }
    .to_bytes()
}

fn in_state(state: State, role: Role) -> (Peer, Victim) {
    let answers = Answers {
        thinks_for_ever: state == State::Thinking,
        asks_before_signing: state == State::KeyWouldDo,
        // A client thinks: it has not decided what to try.
        attempts: usize::from(state != State::Thinking),
        ..Answers::default()
    };
    let mut victim = Victim::new(role, Victim::config(), answers);
    let mut peer = Peer::of(role, Traits::default());
    peer.start(Position::Keyed, &mut victim);
    match role {
        Role::Server => bring_server(state, &mut peer, &mut victim),
        Role::Client => bring_client(state, &mut peer, &mut victim),
    }
    peer.rest(&mut victim);
    assert_eq!(
        (victim.error(), victim.told.logins, victim.told.above),
        (None, 0, 0),
        "{state:?}"
    );
    (peer, victim)
}

fn bring_server(state: State, peer: &mut Peer, victim: &mut Victim) {
    if state == State::Keyed {
        return;
    }
    peer.say(&login::service_request(), victim);
    peer.until(number::SERVICE_ACCEPT, victim);
    match state {
        State::Keyed | State::Accepted => {}
        State::Failed => {
            peer.say(&login::password(b"wrong"), victim);
            victim.wait(Duration::from_secs(1));
            peer.until(number::USERAUTH_FAILURE, victim);
        }
        State::KeyWouldDo => {
            peer.say(&login::public_key(&Victim::user_key(), None), victim);
            peer.until(60, victim);
        }
        State::Thinking => {
            peer.say(&login::password(b"who knows"), victim);
            assert_eq!(victim.told.attempts, 1);
        }
    }
}

fn bring_client(state: State, peer: &mut Peer, victim: &mut Victim) {
    peer.until(number::SERVICE_REQUEST, victim);
    if state == State::Keyed {
        return;
    }
    peer.say(&login::service_accept(), victim);
    match state {
        State::Failed => {
            peer.until(number::USERAUTH_REQUEST, victim);
            peer.say(&failure(), victim);
            assert_eq!(victim.told.attempts, 2, "it is asked what to try next");
        }
        State::KeyWouldDo => {
            peer.until(number::USERAUTH_REQUEST, victim);
            let key = Victim::user_key();
            let mut ok = vec![60];
            let mut writer = Writer::new(&mut ok);
            writer.string(b"ssh-ed25519");
            writer.string(key.public().blob());
            peer.say(&ok, victim);
            peer.until(number::USERAUTH_REQUEST, victim);
        }
        State::Keyed | State::Accepted | State::Thinking => {}
    }
}

/// Every number with nothing behind it that makes sense, and the messages above 79 with fields that do.
fn payloads(number: u8) -> Vec<Vec<u8>> {
    let mut forms = vec![vec![number], [&[number][..], &[0; 64]].concat()];
    let mut fields = Vec::new();
    let mut writer = Writer::new(&mut fields);
    match number {
        80 => {
            writer.string(b"tcpip-forward");
            writer.boolean(true);
            writer.string(b"");
            writer.raw(&[0, 0, 0, 22]);
        }
        90 => {
            writer.string(b"session");
            writer.raw(&[0, 0, 0, 0, 0, 0x20, 0, 0, 0, 0, 0x80, 0]);
        }
        94 => {
            writer.raw(&[0; 4]);
            writer.string(b"id\n");
        }
        98 => {
            writer.raw(&[0; 4]);
            writer.string(b"exec");
            writer.boolean(true);
            writer.string(b"id");
        }
        _ => return forms,
    }
    forms.push([&[number][..], &fields].concat());
    forms
}

#[test]
fn a02_nothing_of_the_rooms_above_is_heard_before_login() {
    for role in ROLES {
        for state in STATES {
            for number in (80..=82).chain(90..=100) {
                for payload in payloads(number) {
                    let (mut peer, mut victim) = in_state(state, role);
                    peer.say(&payload, &mut victim);
                    assert!(victim.is_over(), "{number} at {state:?}, {role:?}: it goes on");
                    assert_eq!(
                        peer.farewell(&mut victim),
                        Some(2),
                        "{number} at {state:?}, {role:?}"
                    );
                    assert_eq!((victim.told.logins, victim.told.above), (0, 0));
                }
            }
        }
    }
}

/// Promise 3: 256 numbers, five states, both roles.
#[test]
fn a02_no_number_reaches_an_application_before_login() {
    let mut probes = 0;
    for role in ROLES {
        for state in STATES {
            for number in 0..=u8::MAX {
                let (mut peer, mut victim) = in_state(state, role);
                let before = victim.told;
                for payload in payloads(number) {
                    peer.say(&payload, &mut victim);
                }
                assert_eq!(victim.told.above, 0, "{number} at {state:?}, {role:?}");
                let lets_itself_in = role == Role::Client && number == number::USERAUTH_SUCCESS;
                let answers_something = state != State::Keyed && state != State::Thinking;
                if !(lets_itself_in && answers_something) {
                    assert_eq!(victim.told.logins, 0, "{number} at {state:?}, {role:?}");
                }
                if victim.told.attempts > before.attempts {
                    // Only what is a login attempt, or an answer to one, makes anybody ask the application.
                    assert!((50..=60).contains(&number), "{number} at {state:?}, {role:?}");
                }
                probes += 1;
            }
        }
    }
    assert_eq!(probes, 256 * 5 * 2);
}

#[test]
fn a03_messages_of_the_other_side_end_the_connection() {
    let success = UserauthSuccess {}.to_bytes();
    let banner = UserauthBanner {
        message: b"hello",
        language_tag: b"",
    }
    .to_bytes();
    let key_would_do = {
        let mut ok = vec![60];
        let mut writer = Writer::new(&mut ok);
        writer.string(b"ssh-ed25519");
        writer.string(Victim::user_key().public().blob());
        ok
    };
    let to_server = [
        login::service_accept(),
        failure(),
        success,
        banner,
        key_would_do,
        packet_of(31),
        packet_of(33),
    ];
    let to_client = [
        login::service_request(),
        login::password(b"x"),
        packet_of(30),
        packet_of(32),
        packet_of(34),
        packet_of(61),
    ];
    for (role, messages) in [(Role::Server, &to_server[..]), (Role::Client, &to_client[..])] {
        for message in messages {
            for state in STATES {
                let (mut peer, mut victim) = in_state(state, role);
                let before = victim.told;
                peer.say(message, &mut victim);
                let context = format!("{} at {state:?}, {role:?}", message[0]);
                assert!(victim.is_over(), "{context}: it goes on");
                assert_eq!(peer.farewell(&mut victim), Some(2), "{context}");
                assert_eq!(victim.told, before, "{context}: nothing changed");
            }
            for position in [Position::Identified, Position::Negotiated, Position::Agreed] {
                let mut victim = Victim::plain(role);
                let mut peer = Peer::of(
                    role,
                    Traits {
                        strict: false,
                        ..Traits::default()
                    },
                );
                peer.start(position, &mut victim);
                peer.say(message, &mut victim);
                assert!(victim.is_over(), "{} at {position:?}, {role:?}", message[0]);
            }
        }
    }
}

fn packet_of(number: u8) -> Vec<u8> {
    let mut payload = vec![number];
    Writer::new(&mut payload).string(&[9; 32]);
    payload
}

// ---- promise 4 -------------------------------------------------------------------------------------------------------

/// A breach of the protocol before anybody is logged in: where the conversation stands, and what is said there.
struct Probe {
    what: String,
    at: At,
    bytes: Vec<u8>,
}

enum At {
    Start,
    Clear(Position),
    Under(State),
}

fn probe(what: impl Into<String>, at: At, bytes: Vec<u8>) -> Probe {
    Probe {
        what: what.into(),
        at,
        bytes,
    }
}

fn probes_at_the_start() -> Vec<Probe> {
    let lines: [(&str, Vec<u8>); 9] = [
        ("SSH 1", b"SSH-1.5-old\r\n".to_vec()),
        ("no version", b"SSH-\r\n".to_vec()),
        ("a NUL in the line", b"SSH-2.0-a\0b\r\n".to_vec()),
        (
            "a line of 256 bytes",
            [b"SSH-2.0-".to_vec(), vec![b'x'; 248], b"\r\n".to_vec()].concat(),
        ),
        (
            "a line without end",
            [b"SSH-2.0-".to_vec(), vec![b'x'; 100_000]].concat(),
        ),
        ("8 MB of nothing", vec![0; 8 << 20]),
        ("8 MB of lines", b"not yet\r\n".repeat(1 << 20)),
        (
            "a long line before it",
            [vec![b'x'; 20_000], b"\r\nSSH-2.0-x\r\n".to_vec()].concat(),
        ),
        ("a control character", b"SSH-2.0-a\x1b[2Jb\r\n".to_vec()),
    ];
    lines
        .into_iter()
        .map(|(what, bytes)| probe(what, At::Start, bytes))
        .collect()
}

fn probes_in_the_clear() -> Vec<Probe> {
    let mut probes = Vec::new();
    for (what, length, padding) in [
        ("length ff ff ff ff", u32::MAX, 4),
        ("length 0", 0, 0),
        ("length 1", 1, 0),
        ("length 5", 5, 4),
        ("length 13", 13, 4),
        ("length 35001", 35_001, 4),
        ("length 262145", 262_145, 4),
        ("padding 0", 12, 0),
        ("padding 3", 12, 3),
        ("padding that leaves nothing", 12, 11),
        ("padding over the length", 12, 12),
        ("padding 255", 12, 255),
    ] {
        let bytes = packet::clear(length, padding, &[20; 64]);
        probes.push(probe(what, At::Clear(Position::Identified), bytes));
    }
    for position in [Position::Identified, Position::Negotiated, Position::Agreed] {
        for number in [
            0, 5, 6, 7, 8, 19, 22, 50, 52, 60, 80, 90, 94, 98, 100, 128, 192, 255,
        ] {
            let bytes = packet::honest(&[&[number][..], &[0; 16]].concat());
            probes.push(probe(format!("{number}"), At::Clear(position), bytes));
        }
    }
    probes
}

fn probes_under_keys() -> Vec<Probe> {
    let mut probes = Vec::new();
    for state in STATES {
        for number in [0, 8, 21, 30, 49, 80, 90, 94, 98, 100, 128, 255] {
            probes.push(probe(format!("{number}"), At::Under(state), vec![number; 12]));
        }
        for (what, payload) in [
            ("a truncated KEXINIT", vec![20, 1, 2]),
            ("a truncated EXT_INFO", vec![7, 0, 0, 0, 1]),
            ("a truncated farewell", vec![1, 0]),
        ] {
            probes.push(probe(what, At::Under(state), payload));
        }
    }
    probes
}

/// Promise 4: every one of these ends the connection, and at once: no time passes.
#[test]
fn a02_every_breach_before_login_ends_the_connection() {
    let probes: Vec<Probe> = [probes_at_the_start(), probes_in_the_clear(), probes_under_keys()]
        .into_iter()
        .flatten()
        .collect();
    assert!(probes.len() >= 65, "{}", probes.len());
    for probe in &probes {
        for role in ROLES {
            let (mut peer, mut victim) = match probe.at {
                At::Start => (Peer::of(role, Traits::default()), Victim::plain(role)),
                At::Clear(position) => {
                    let (mut peer, mut victim) = (Peer::of(role, Traits::default()), Victim::plain(role));
                    peer.start(position, &mut victim);
                    (peer, victim)
                }
                At::Under(state) => in_state(state, role),
            };
            match probe.at {
                At::Under(_) => peer.say(&probe.bytes, &mut victim),
                _ => {
                    for piece in probe.bytes.chunks(64 * 1024) {
                        peer.say_bytes(piece, &mut victim);
                    }
                }
            }
            assert!(victim.is_over(), "{}: the {role:?} goes on", probe.what);
            assert_eq!((victim.told.logins, victim.told.above), (0, 0), "{}", probe.what);
        }
    }
}

// ---- B20, B21 --------------------------------------------------------------------------------------------------------

#[test]
fn b20_the_session_identifier_is_the_first_exchange_hash_for_ever() {
    for role in ROLES {
        let mut victim = Victim::plain(role);
        let mut peer = Peer::of(role, Traits::default());
        peer.start(Position::Keyed, &mut victim);
        let first = peer.exchange_hash.clone();
        if role == Role::Client {
            // It has signed already, for the identifier that it holds.
            peer.until(number::SERVICE_REQUEST, &mut victim);
            peer.say(&login::service_accept(), &mut victim);
            peer.until(number::USERAUTH_REQUEST, &mut victim);
        }
        for _ in 0..3 {
            peer.rest(&mut victim);
            peer.rekey(Position::Keyed, &mut victim);
        }
        assert_ne!(
            peer.exchange_hash, first,
            "the later exchanges had hashes of their own"
        );
        assert_eq!(victim.session_id(), Some(first), "{role:?}");
    }
    // A server takes a signature over the first one, and none over the last.
    for over_the_last in [false, true] {
        let mut victim = Victim::plain(Role::Server);
        let mut peer = Peer::of(Role::Server, Traits::default());
        peer.start(Position::Keyed, &mut victim);
        for _ in 0..3 {
            peer.rest(&mut victim);
            peer.rekey(Position::Keyed, &mut victim);
        }
        peer.say(&login::service_request(), &mut victim);
        peer.until(number::SERVICE_ACCEPT, &mut victim);
        let first = peer.session_id.clone().unwrap();
        let session_id = if over_the_last {
            peer.exchange_hash.clone()
        } else {
            first
        };
        peer.say(
            &login::public_key(&Victim::user_key(), Some(&session_id)),
            &mut victim,
        );
        victim.wait(Duration::from_secs(1));
        assert_eq!(victim.told.logins, usize::from(!over_the_last));
    }
    // A client that logs in after three changes of keys signs over the first one.
    let answers = Answers {
        asks_before_signing: true,
        ..Answers::default()
    };
    let mut victim = Victim::new(Role::Client, Victim::config(), answers);
    let mut peer = Peer::of(Role::Client, Traits::default());
    peer.start(Position::Keyed, &mut victim);
    peer.until(number::USERAUTH_REQUEST, &mut victim);
    for _ in 0..3 {
        peer.rekey(Position::Keyed, &mut victim);
    }
    peer.say(&login::service_accept(), &mut victim);
    let mut ok = vec![60];
    let mut writer = Writer::new(&mut ok);
    writer.string(b"ssh-ed25519");
    writer.string(Victim::user_key().public().blob());
    peer.say(&ok, &mut victim);
    let signed = peer.until(number::USERAUTH_REQUEST, &mut victim);
    let expected = login::public_key(&Victim::user_key(), peer.session_id.as_deref());
    assert_eq!(
        signed.payload, expected,
        "Ed25519 signatures are the same each time"
    );
}

#[test]
fn b21_ten_thousand_connections_hit_the_grace_deadline_while_they_log_in() {
    let grace = Answers::default().policy.login_grace;
    let attempt = login::password(b"just in time");
    let mut expired = 0;
    for round in 0..10_000 {
        let answers = Answers {
            thinks_for_ever: round % 2 == 0,
            ..Answers::default()
        };
        let mut victim = Victim::new(Role::Server, Victim::config(), answers);
        let mut peer = Peer::of(Role::Server, Traits::default());
        peer.start(Position::Keyed, &mut victim);
        peer.say(&login::service_request(), &mut victim);
        peer.rest(&mut victim);
        // The attempt arrives in the very moment in which the time is up.
        peer.wire.sealer.seal_payload(&attempt);
        let bytes = std::mem::take(peer.wire.sealer.outbox());
        victim.receive(&bytes);
        victim.wait(grace);
        assert_eq!(
            victim.told.attempts, 0,
            "nobody works for a connection that is over"
        );
        let error = victim.error().expect("the time was up").to_owned();
        assert!(error.contains("did not log in"), "{error}");
        assert_eq!(victim.deadline(), None, "nothing is left to do");
        let told = victim.told;
        victim.wait(grace);
        assert_eq!((victim.told, victim.error()), (told, Some(&error[..])));
        expired += 1;
    }
    assert_eq!(expired, 10_000);
}
