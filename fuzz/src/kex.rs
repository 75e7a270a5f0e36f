//! The two halves of every key exchange method. The first byte chooses the method and, in its second round through them,
//! a whole machine after both KEXINITs instead of the half alone. What follows are messages: a length of two bytes each.

use ssh_client::kex::method::{self, ClientStep, Context, Method, ServerStep};
use ssh_client::kex::{Role, SharedSecret};
use ssh_client::wire::rand_core::CryptoRng;
use ssh_testkit::hostile::{Answers, Peer, Position, Target, Traits, Victim};
use ssh_testkit::rng::seeded;

use crate::memory::{Account, Counted, ROOM_BYTES};

/// The randomness of the half under test: always the same, so that a corpus can answer it.
pub fn rng() -> Box<dyn CryptoRng + Send> {
    seeded(7)
}

/// What was negotiated before the half began.
pub fn context() -> Context {
    Context {
        strength_bits: 128,
        ..Context::default()
    }
}

/// What the first byte chooses.
fn chosen(choice: u8) -> (&'static Method, bool) {
    let (round, index) = (
        usize::from(choice) / method::ALL.len(),
        usize::from(choice) % method::ALL.len(),
    );
    (method::ALL[index], round % 2 == 1)
}

/// Messages cut out of the fuzzer's bytes.
pub fn messages(mut data: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (length, rest) = data.split_first_chunk()?;
        let (message, rest) = rest.split_at(rest.len().min(u16::from_be_bytes(*length).into()));
        data = rest;
        Some(message)
    })
}

/// A client half, and a client.
pub fn kex_client(data: &[u8]) {
    let Some((&choice, rest)) = data.split_first() else {
        return;
    };
    let (method, is_whole) = chosen(choice);
    if is_whole {
        return whole(Role::Client, method, rest);
    }
    let mut rng = rng();
    let mut account = Account::default();
    let mut half = account.received(0, ROOM_BYTES, || method.client_half(&context(), &mut *rng));
    for message in messages(rest) {
        match account.received(message.len(), ROOM_BYTES, || half.receive(message, &mut *rng)) {
            Ok(ClientStep::Next(next)) => {
                assert!((30..50).contains(&next.first_message()[0]));
                half = next;
            }
            Ok(ClientStep::Agreed(agreement, proof)) => {
                check(method, &agreement.exchanged, &agreement.secret);
                assert!(proof.host_key.len() + proof.signature.len() < message.len());
                return;
            }
            Err(_) => return,
        }
    }
}

/// A server half, and a server.
pub fn kex_server(data: &[u8]) {
    let Some((&choice, rest)) = data.split_first() else {
        return;
    };
    let (method, is_whole) = chosen(choice);
    if is_whole {
        return whole(Role::Server, method, rest);
    }
    let mut rng = rng();
    let mut account = Account::default();
    let mut half = account.received(0, ROOM_BYTES, || method.server_half(&context(), &mut *rng));
    for message in messages(rest) {
        match account.received(message.len(), ROOM_BYTES, || half.receive(message, &mut *rng)) {
            Ok(ServerStep::Send(reply, next)) => {
                assert!((30..50).contains(&reply[0]));
                half = next;
            }
            Ok(ServerStep::Agreed(agreement, form)) => {
                check(method, &agreement.exchanged, &agreement.secret);
                assert!((30..50).contains(&form.number));
                return;
            }
            Err(_) => return,
        }
    }
}

/// What holds whatever was agreed: both shares are hashed, and the secret is none that a peer can force.
fn check(method: &Method, exchanged: &[u8], secret: &SharedSecret) {
    assert!(exchanged.len() > 2 * 32, "{method:?}: shares that are not hashed");
    let (SharedSecret::Mpint(content) | SharedSecret::String(content)) = secret;
    let rest = &content[..content.len().saturating_sub(1)];
    assert!(
        rest.iter().any(|byte| *byte != 0),
        "{method:?}: a secret of nothing"
    );
}

/// A whole machine, which has nothing but this method, in the middle of its first exchange.
fn whole(role: Role, method: &'static Method, data: &[u8]) {
    let mut config = Victim::config();
    config.preferences.kex = vec![method];
    let mut victim = Counted::new(|| Victim::new(role, config, Answers::default()));
    let mut peer = Peer::of(
        role,
        Traits {
            method,
            ..Traits::default()
        },
    );
    peer.start(Position::Negotiated, &mut victim);
    for message in messages(data).filter(|message| !message.is_empty()) {
        peer.say(message, &mut victim);
        if victim.is_over() {
            return;
        }
    }
    assert!(
        role == Role::Server || victim.victim.told.logins == 0,
        "{method:?}: logged in without keys"
    );
}
