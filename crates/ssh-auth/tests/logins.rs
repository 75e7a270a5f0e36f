//! Logins that two well-behaved sides make, as stories: client and server on a real handshake in memory.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions,
    unreachable_pub,
    reason = "a test says what must be true by panicking"
)]

mod common;

use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{Raw, carry, key, transports, user};
use ssh_auth::kex::{Extensions, Quirks};
use ssh_auth::keys::certificate::{CertificateBody, CertificateKind};
use ssh_auth::keys::{Certificate, CertifiedSigner, PrivateKey, PublicKey, algorithm};
use ssh_auth::server::{Attempt, Policy, Verdict};
use ssh_auth::wire::Layer;
use ssh_auth::wire::rand_core::Rng;
use ssh_auth::{Authenticated, Error, Session, SessionEvent, client, method, server};

/// What a client tries on its turns, in order; then it gives up.
enum Move {
    None,
    Password(&'static str),
    Key(Arc<PrivateKey>),
    Query(Arc<PrivateKey>),
    /// A key whose signer fails.
    Broken(Arc<PrivateKey>),
}

/// How bytes travel.
#[derive(Clone, Copy, Debug)]
enum Feed {
    Whole,
    Bytewise,
    RandomCuts,
}

/// What came of it.
struct Story {
    client: Result<Session, Error>,
    server: Result<Session, Error>,
    /// What each turn said: methods, partial success, what failed.
    turns: Vec<(String, bool, Option<&'static str>)>,
    banners: Vec<String>,
    asked: Vec<String>,
    /// How often each side wrote.
    flights: (usize, usize),
    took: Duration,
}

struct Teller<'a> {
    moves: std::vec::IntoIter<Move>,
    app: &'a mut dyn FnMut(Attempt) -> Verdict,
    change: Option<(&'static str, &'static str)>,
    story: Story,
    keys: Vec<Arc<PrivateKey>>,
}

fn tell(policy: Policy, moves: Vec<Move>, app: &mut dyn FnMut(Attempt) -> Verdict) -> Story {
    tell_fed(Feed::Whole, policy, moves, app, None)
}

fn tell_fed(
    feed: Feed,
    policy: Policy,
    moves: Vec<Move>,
    app: &mut dyn FnMut(Attempt) -> Verdict,
    change: Option<(&'static str, &'static str)>,
) -> Story {
    let keys = moves
        .iter()
        .filter_map(|each| match each {
            Move::Key(key) | Move::Query(key) => Some(Arc::clone(key)),
            _ => None,
        })
        .collect();
    let story = Story {
        client: Err(Error::TooManyAttempts),
        server: Err(Error::TooManyAttempts),
        turns: Vec::new(),
        banners: Vec::new(),
        asked: Vec::new(),
        flights: (0, 0),
        took: Duration::ZERO,
    };
    let mut teller = Teller {
        moves: moves.into_iter(),
        app,
        change,
        story,
        keys,
    };
    teller.run(feed, policy);
    teller.story
}

impl Teller<'_> {
    fn run(&mut self, feed: Feed, policy: Policy) {
        let (client, server) = transports(7);
        let start = Instant::now();
        let mut now = start;
        let mut client = client::Authenticator::new(client, user("alice"));
        let mut server = server::Authenticator::new(server, policy, now);
        let mut random = common::rng(3);
        let (mut client_end, mut server_end) = (None, None);
        for step in 0.. {
            assert!(step < 100_000, "the story does not end");
            client_end = client_end.or_else(|| self.client(&mut client, now));
            server_end = server_end.or_else(|| self.server(&mut server, now));
            let sent = transfer(&mut client, &mut server, feed, &mut random);
            if sent > 0 {
                self.story.flights.0 += 1;
                server_end = server_end.or_else(|| self.server(&mut server, now));
            }
            let answered = transfer(&mut server, &mut client, feed, &mut random);
            self.story.flights.1 += usize::from(answered > 0);
            if sent + answered == 0 {
                if client_end.is_some() && server_end.is_some() {
                    break;
                }
                now = [client.deadline(), server.deadline()]
                    .into_iter()
                    .flatten()
                    .min()
                    .expect("a stand-still");
            }
        }
        self.story.took = now - start;
        self.story.client = client_end.unwrap().map(|()| client.into_session().unwrap());
        self.story.server = server_end.unwrap().map(|()| server.into_session().unwrap());
    }

    fn client(&mut self, client: &mut client::Authenticator, now: Instant) -> Option<Result<(), Error>> {
        loop {
            match client.poll(now) {
                Ok(Some(client::Event::Turn(turn))) => {
                    let facts = (turn.methods().join(","), turn.partial_success(), turn.failed());
                    self.story.turns.push(facts);
                    let attempt = self.choose(client, turn);
                    client.attempt(attempt);
                }
                Ok(Some(client::Event::SignatureWanted(request))) => {
                    let key = self.keys.iter().find(|key| key.public() == request.key());
                    let signed = match key {
                        Some(key) => request.sign_with(&**key).unwrap(),
                        None => request.failed(),
                    };
                    client.signed(signed);
                }
                Ok(Some(client::Event::PasswordChange(change))) => {
                    assert_eq!(change.prompt(), "expired");
                    let attempt = match self.change {
                        Some((old, new)) => change.change(old.as_bytes(), new.as_bytes()),
                        None => change.skip(),
                    };
                    client.attempt(attempt);
                }
                Ok(Some(client::Event::Banner(text))) => self.story.banners.push(text),
                Ok(Some(client::Event::Success)) => return Some(Ok(())),
                Ok(Some(other)) => panic!("{other:?}"),
                Ok(None) => return None,
                Err(error) => return Some(Err(error)),
            }
        }
    }

    fn choose(&mut self, client: &client::Authenticator, turn: client::Turn) -> client::Attempt {
        let algorithm = |key: &PrivateKey| client.algorithm_for(key).unwrap();
        match self.moves.next() {
            Some(Move::None) => turn.none(),
            Some(Move::Password(password)) => turn.password(password.as_bytes()),
            Some(Move::Key(key) | Move::Broken(key)) => turn.publickey(key.public().clone(), algorithm(&key)),
            Some(Move::Query(key)) => turn.publickey_query(key.public().clone(), algorithm(&key)),
            None => turn.give_up(),
        }
    }

    fn server(&mut self, server: &mut server::Authenticator, now: Instant) -> Option<Result<(), Error>> {
        loop {
            match server.poll(now) {
                Ok(Some(server::Event::Attempt(attempt))) => {
                    let name = format!("{attempt:?}");
                    let name = name.split('(').next().unwrap();
                    self.story.asked.push(format!("{name} {}", attempt.user()));
                    server.answer((self.app)(attempt));
                }
                Ok(Some(server::Event::Success(_))) => return Some(Ok(())),
                Ok(Some(_)) => {}
                Ok(None) => return None,
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

/// Carries what waits, polling the receiver never: its buffer sees the cuts through `read_buffer`.
fn transfer(from: &mut impl Layer, to: &mut impl Layer, feed: Feed, random: &mut impl Rng) -> usize {
    let limit = match feed {
        Feed::Whole => return carry(from, to),
        Feed::Bytewise => 1,
        Feed::RandomCuts => 1 + (random.next_u32() % 90) as usize,
    };
    let count = from.transmit().len().min(limit);
    let bytes: Vec<u8> = from.transmit().drain(..count).collect();
    from.transmitted(count);
    to.read_buffer().extend_from_slice(&bytes);
    count
}

/// Accepts the password `right` and this key.
fn accepts(right: &'static str, trusted: PublicKey) -> impl FnMut(Attempt) -> Verdict {
    move |attempt| match attempt {
        Attempt::Password(attempt) if attempt.password() == right.as_bytes() => attempt.accept(),
        Attempt::PublicKeyQuery(query) if *query.key_asked_about() == trusted => query.accept(),
        Attempt::PublicKey(attempt) if *attempt.key() == trusted => attempt.accept(),
        other => other.reject(),
    }
}

fn proved(session: &Result<Session, Error>) -> &Authenticated {
    session.as_ref().unwrap().authenticated()
}

#[test]
fn a_login_by_key_takes_one_round_trip() {
    let key = key(1);
    let mut app = accepts("", key.public().clone());
    let story = tell(Policy::default(), vec![Move::Key(key.clone())], &mut app);
    assert_eq!(
        story.flights,
        (1, 1),
        "SERVICE_REQUEST and the signed request leave together"
    );
    assert_eq!(story.asked, ["PublicKey alice"]);
    assert_eq!(story.turns, [(String::new(), false, None)]);
    for session in [&story.client, &story.server] {
        let authenticated = proved(session);
        assert_eq!(authenticated.user(), "alice");
        assert_eq!(authenticated.method(), method::PUBLICKEY);
        assert_eq!(authenticated.key(), Some(key.public()));
        assert_eq!(authenticated.factors().count(), 1);
    }
    assert_eq!(story.took, Duration::ZERO, "success is never delayed");
}

#[test]
fn a_login_by_password() {
    let mut app = accepts("secret", key(1).public().clone());
    let story = tell(Policy::default(), vec![Move::Password("secret")], &mut app);
    assert_eq!(story.flights, (1, 1));
    let authenticated = proved(&story.server);
    assert_eq!(
        (authenticated.user(), authenticated.method()),
        ("alice", method::PASSWORD)
    );
    assert_eq!(authenticated.key(), None);
    assert_eq!(story.client.unwrap().user(), "alice");
}

#[test]
fn the_second_of_several_credentials_succeeds() {
    let (wrong, right) = (key(1), key(2));
    for moves in [
        vec![Move::Key(wrong.clone()), Move::Key(right.clone())],
        vec![Move::Query(wrong.clone()), Move::Query(right.clone())],
        vec![Move::None, Move::Password("wrong"), Move::Key(right.clone())],
        vec![Move::Broken(wrong.clone()), Move::Key(right.clone())],
    ] {
        let mut app = accepts("secret", right.public().clone());
        let story = tell(Policy::default(), moves, &mut app);
        assert_eq!(proved(&story.server).key(), Some(right.public()));
        assert!(story.client.is_ok());
        let last = story.turns.last().unwrap();
        assert!(last.2.is_some(), "the turn says what failed");
        assert!(!last.1);
    }
}

#[test]
fn a_signer_that_fails_is_a_local_matter() {
    let story = tell(
        Policy::default(),
        vec![Move::Broken(key(1)), Move::Password("secret")],
        &mut accepts("secret", key(9).public().clone()),
    );
    assert_eq!(
        story.turns,
        [
            (String::new(), false, None),
            (String::new(), false, Some("publickey"))
        ]
    );
    assert_eq!(story.asked, ["Password alice"]);
    assert!(story.client.is_ok());
}

#[test]
fn key_then_password_where_one_is_not_enough() {
    let key = key(1);
    let trusted = key.public().clone();
    let mut app = move |attempt: Attempt| match attempt {
        Attempt::PublicKey(attempt) if *attempt.key() == trusted => attempt.partial(&[method::PASSWORD]),
        Attempt::Password(attempt) if attempt.password() == b"secret" => attempt.accept(),
        other => other.reject(),
    };
    let story = tell(
        Policy::default(),
        vec![Move::Key(key.clone()), Move::Password("secret")],
        &mut app,
    );
    assert_eq!(story.turns[1], ("password".to_owned(), true, None));
    for session in [&story.client, &story.server] {
        let authenticated = proved(session);
        let factors: Vec<_> = authenticated
            .factors()
            .map(|factor| factor.method().name)
            .collect();
        assert_eq!(factors, ["publickey", "password"]);
        assert_eq!(authenticated.method(), method::PASSWORD);
        assert_eq!(
            authenticated.key(),
            Some(key.public()),
            "the key's restrictions stay in force"
        );
    }
}

#[test]
fn two_factors_by_key_need_two_keys() {
    let (first, second) = (key(1), key(2));
    let mut app = |attempt: Attempt| match attempt {
        Attempt::PublicKey(attempt) if attempt.key() == key(2).public() => attempt.accept(),
        Attempt::PublicKey(attempt) => attempt.partial(&[method::PUBLICKEY]),
        other => other.reject(),
    };
    let moves = vec![
        Move::Key(first.clone()),
        Move::Key(first.clone()),
        Move::Key(second.clone()),
    ];
    let story = tell(Policy::default(), moves, &mut app);
    assert_eq!(story.asked.len(), 2, "nobody is asked about the same key again");
    assert_eq!(story.turns[2], ("publickey".to_owned(), false, Some("publickey")));
    let keys: Vec<_> = proved(&story.server)
        .factors()
        .map(|factor| factor.key().unwrap().clone())
        .collect();
    assert_eq!(keys, [first.public().clone(), second.public().clone()]);
}

#[test]
fn a_refusal_tells_the_methods() {
    let mut app = |attempt: Attempt| attempt.reject();
    let story = tell(Policy::default(), vec![Move::None, Move::Password("x")], &mut app);
    assert_eq!(
        story.turns[1],
        ("publickey,password".to_owned(), false, Some("none"))
    );
    assert_eq!(
        story.turns[2],
        ("publickey,password".to_owned(), false, Some("password"))
    );
    assert_eq!(
        story.asked,
        ["Password alice"],
        "`none` is not asked about where the policy does not list it"
    );
    let methods = vec!["publickey".to_owned(), "password".to_owned()];
    assert_eq!(story.client.unwrap_err(), Error::GaveUp { methods });
    let farewell = story.server.unwrap_err().to_string();
    assert!(
        farewell.contains("NO_MORE_AUTH_METHODS_AVAILABLE (14)"),
        "{farewell}"
    );
}

#[test]
fn none_succeeds_only_where_the_policy_lists_it() {
    let mut app = |attempt: Attempt| match attempt {
        Attempt::None(attempt) => attempt.accept(),
        other => other.reject(),
    };
    let story = tell(Policy::default(), vec![Move::None], &mut app);
    assert!(story.client.is_err() && story.asked.is_empty());
    let policy = Policy {
        methods: vec![method::NONE],
        ..Policy::default()
    };
    let story = tell(policy, vec![Move::None], &mut app);
    assert_eq!(proved(&story.server).method(), method::NONE);
    assert_eq!(
        proved(&story.client).method(),
        method::NONE,
        "a client can tell that nothing was proved"
    );
}

#[test]
fn an_expired_password_is_changed() {
    let mut app = |attempt: Attempt| match attempt {
        Attempt::Password(attempt) if attempt.password() == b"old" => attempt.require_change("expired"),
        Attempt::PasswordChange(attempt)
            if attempt.password() == b"old" && attempt.new_password() == b"new" =>
        {
            attempt.accept()
        }
        other => other.reject(),
    };
    let change = Some(("old", "new"));
    let story = tell_fed(
        Feed::Whole,
        Policy::default(),
        vec![Move::Password("old")],
        &mut app,
        change,
    );
    assert_eq!(story.asked, ["Password alice", "PasswordChange alice"]);
    assert_eq!(proved(&story.server).method(), method::PASSWORD);
    assert!(story.client.is_ok());

    let story = tell_fed(
        Feed::Whole,
        Policy::default(),
        vec![Move::Password("old")],
        &mut app,
        None,
    );
    assert_eq!(
        story.turns.last().unwrap().2,
        Some("password"),
        "skipping it leads to the next turn"
    );
    assert!(story.client.is_err());
}

#[test]
fn the_banner_comes_first_and_is_fit_to_be_shown() {
    let policy = Policy {
        banner: Some("hello\n\x1b[2Jworld\n".to_owned()),
        ..Policy::default()
    };
    let mut app = accepts("secret", key(1).public().clone());
    let story = tell(
        policy,
        vec![Move::Password("wrong"), Move::Password("secret")],
        &mut app,
    );
    assert_eq!(story.banners, ["hello\n\\u{1b}[2Jworld\n"], "once");
    assert!(story.client.is_ok());
}

#[test]
fn refusals_wait_and_nobody_sleeps() {
    let policy = Policy {
        failure_delay: Duration::from_millis(300),
        ..Policy::default()
    };
    let mut app = accepts("secret", key(1).public().clone());
    let moves = vec![
        Move::None,
        Move::Password("wrong"),
        Move::Query(key(2)),
        Move::Password("secret"),
    ];
    let story = tell(policy, moves, &mut app);
    assert!(story.client.is_ok());
    assert_eq!(
        story.took,
        Duration::from_millis(600),
        "all but `none` and success"
    );
}

#[test]
fn every_way_of_cutting_the_stream_gives_the_same_story() {
    for feed in [Feed::Whole, Feed::Bytewise, Feed::RandomCuts] {
        let key = key(1);
        let trusted = key.public().clone();
        let mut app = move |attempt: Attempt| match attempt {
            Attempt::PublicKeyQuery(query) => query.accept(),
            Attempt::PublicKey(attempt) if *attempt.key() == trusted => attempt.partial(&[method::PASSWORD]),
            Attempt::Password(attempt) if attempt.password() == b"secret" => attempt.accept(),
            other => other.reject(),
        };
        let policy = Policy {
            banner: Some("hi".to_owned()),
            ..Policy::default()
        };
        let moves = vec![
            Move::None,
            Move::Query(key.clone()),
            Move::Password("wrong"),
            Move::Password("secret"),
        ];
        let story = tell_fed(feed, policy, moves, &mut app, None);
        assert_eq!(
            story.asked,
            [
                "PublicKeyQuery alice",
                "PublicKey alice",
                "Password alice",
                "Password alice"
            ],
            "{feed:?}"
        );
        assert_eq!(story.banners, ["hi"]);
        assert_eq!(proved(&story.server).factors().count(), 2);
        assert!(story.client.is_ok());
    }
}

#[test]
fn what_follows_success_in_the_same_read_reaches_the_session() {
    let mut app = accepts("secret", key(1).public().clone());
    let story = tell(Policy::default(), vec![Move::Password("secret")], &mut app);
    let (mut client, mut server) = (story.client.unwrap(), story.server.unwrap());
    assert_eq!(client.session_id(), server.session_id());
    let global = b"\x50\0\0\0\x01x\x01".to_vec();
    server.send(&Raw(global.clone())).unwrap();
    carry(&mut server, &mut client);
    match client.poll(Instant::now()).unwrap() {
        Some(SessionEvent::Packet(packet)) => assert_eq!(packet.payload, global),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_password_of_any_usual_length_makes_packets_of_one_size() {
    let mut sizes = Vec::new();
    for length in [0, 1, 7, 8, 15, 16, 31, 64, 100] {
        let (client, _server) = transports(5);
        let mut client = client::Authenticator::new(client, user("alice"));
        let now = Instant::now();
        let Ok(Some(client::Event::Turn(turn))) = client.poll(now) else {
            panic!("no turn")
        };
        client.attempt(turn.password(&vec![b'x'; length]));
        assert!(client.poll(now).unwrap().is_none());
        sizes.push(client.transmit().len());
    }
    sizes.dedup();
    assert_eq!(sizes.len(), 1, "{sizes:?}");
}

#[test]
fn a_certificate_is_no_key_to_log_in_with() {
    let (signer, authority) = (key(1), key(2));
    let body = CertificateBody::new(
        CertificateKind::Host,
        signer.public().clone(),
        authority.public().clone(),
        vec![7; 32],
    )
    .unwrap();
    let certificate = Certificate::sign(&body, &*authority, &algorithm::ED25519).unwrap();
    let certified = CertifiedSigner::new(Arc::clone(&signer), certificate).unwrap();
    let (server, quirks) = (Extensions::default(), Quirks::default());
    assert_eq!(method::choose_algorithm(&certified, &server, quirks), None);
    let plain = method::choose_algorithm(&*signer, &server, quirks);
    assert_eq!(plain, Some(&algorithm::ED25519));
}
