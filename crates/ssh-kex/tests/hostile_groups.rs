//! A peer that abuses Diffie-Hellman: values that fix the secret (security B5), requests and groups nobody honest sends
//! (B6). Each ends the connection before a server has signed anything and before a client's user is asked anything.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions,
    reason = "a test says what must be true by panicking"
)]

mod common;

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use chacha20::ChaCha20Rng;
use common::raw::{Position, Raw, Traits};
use common::{Cuts, Seat, everything, host_key, pump, seeded};
use ssh_kex::keys::{PrivateKey, PublicKey, SignatureAlgorithm, SignatureError, Signer};
use ssh_kex::method::dh_group::KexDhReply;
use ssh_kex::method::dh_group_exchange::{KexDhGexGroup, KexDhGexReply, KexDhGexRequest};
use ssh_kex::method::{self, Method, MethodError, find};
use ssh_kex::wire::rand_core::{TryCryptoRng, TryRng};
use ssh_kex::wire::{Encode, Mpint, Reader, number};
use ssh_kex::{Error, Misbehaviour, Moduli, Role};

/// A host key that counts its signatures.
struct Counting {
    key: PrivateKey,
    signatures: Arc<AtomicUsize>,
}

impl Signer for Counting {
    fn public_key(&self) -> &PublicKey {
        self.key.public()
    }

    fn algorithms(&self) -> &[&'static SignatureAlgorithm] {
        Signer::algorithms(&self.key)
    }

    fn sign(&self, algorithm: &SignatureAlgorithm, data: &[u8]) -> Result<Vec<u8>, SignatureError> {
        self.signatures.fetch_add(1, Ordering::Relaxed);
        self.key.sign(algorithm, data)
    }
}

/// The finite-field methods.
fn methods() -> impl Iterator<Item = &'static str> {
    let names = method::ALL.iter().map(|method| method.name);
    names.filter(|name| name.starts_with("diffie-hellman-"))
}

/// The prime of group 1 (RFC 2409 section 6.2), which no server offers in group exchange.
const GROUP1: &str = "\
    ffffffffffffffffc90fdaa22168c234c4c6628b80dc1cd129024e088a67cc74020bbea63b139b22514a08798e3404dd\
    ef9519b3cd3a431b302b0a6df25f14374fe1356d6d51c245e485b576625e7ec6f44c42e9a637ed6b0bff5cb6f406b7ed\
    ee386bfb5a899fa5ae9f24117c4b1fe649286651ece65381ffffffffffffffff";

/// Counts the bytes that are drawn.
struct Drawn(ChaCha20Rng, Arc<AtomicUsize>);

impl TryRng for Drawn {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        self.1.fetch_add(4, Ordering::Relaxed);
        self.0.try_next_u32()
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        self.1.fetch_add(8, Ordering::Relaxed);
        self.0.try_next_u64()
    }

    fn try_fill_bytes(&mut self, into: &mut [u8]) -> Result<(), Infallible> {
        self.1.fetch_add(into.len(), Ordering::Relaxed);
        self.0.try_fill_bytes(into)
    }
}

impl TryCryptoRng for Drawn {}

/// A modulus nobody knows costs its test once, however often the server has the keys changed: each test draws bases of
/// eight bytes more than the modulus has.
#[test]
fn a_modulus_is_tested_once_on_each_connection() {
    const MODULUS_BYTES: usize = 3072 / 8;
    let moduli = Moduli::parse(include_bytes!("moduli")).unwrap();
    let config = |moduli: Moduli| {
        let mut config = everything();
        config.preferences.kex = vec![find("diffie-hellman-group-exchange-sha256").unwrap()];
        config.preferences.edit_ciphers("aes128-gcm@openssh.com").unwrap();
        config.moduli = Arc::new(moduli);
        config
    };
    let drawn = Arc::new(AtomicUsize::new(0));
    let rng = Drawn(seeded(7), Arc::clone(&drawn));
    let mut client = Seat::client_drawing(config(Moduli::default()), Box::new(rng));
    let mut server = Seat::server(config(moduli), 8);
    let mut costs = Vec::new();
    for round in 0..4 {
        if round > 0 {
            let now = server.now;
            server.transport().start_rekey(now);
        }
        drawn.store(0, Ordering::Relaxed);
        pump(&mut client, &mut server, &mut Cuts::Whole);
        assert!(
            client.error.is_none() && client.is_established(),
            "{:?}",
            client.error
        );
        assert_eq!(client.rekeyed, round);
        costs.push(drawn.load(Ordering::Relaxed));
        if round == 0 {
            client.transport().authenticated();
            server.transport().authenticated();
        }
    }
    let test = 5 * (MODULUS_BYTES + 8);
    assert!(costs[0] >= test, "{costs:?}");
    assert!(costs[1..].iter().all(|cost| *cost < MODULUS_BYTES), "{costs:?}");
}

fn is_group_exchange(method: &Method) -> bool {
    method.name.contains("group-exchange")
}

/// A machine under test and its peer, with nothing but this method and both KEXINITs exchanged.
fn negotiated(role: Role, name: &str, moduli: Moduli) -> (Raw, Seat, Arc<AtomicUsize>) {
    let method = find(name).unwrap();
    let mut config = everything();
    config.preferences.kex = vec![method];
    config.moduli = Arc::new(moduli);
    let signatures = Arc::new(AtomicUsize::new(0));
    let signer = Counting {
        key: host_key(1),
        signatures: Arc::clone(&signatures),
    };
    let (raw_role, mut seat) = match role {
        Role::Server => (Role::Client, Seat::server_with(config, vec![Arc::new(signer)], 4)),
        Role::Client => (Role::Server, Seat::client(config, 4)),
    };
    let traits = Traits {
        method,
        ..Traits::default()
    };
    let mut raw = Raw::new(raw_role, traits);
    raw.advance(None, Position::Negotiated, &mut seat);
    (raw, seat, signatures)
}

/// That the connection is over because of the method, and that nothing was signed or asked.
fn is_over(raw: &mut Raw, seat: &Seat, signatures: &AtomicUsize, context: &str) {
    assert!(
        matches!(seat.error, Some(Error::PeerMisbehaved(Misbehaviour::Method(_)))),
        "{context}: {:?}",
        seat.error
    );
    assert_eq!(
        signatures.load(Ordering::Relaxed),
        0,
        "{context}: nothing is signed"
    );
    assert!(seat.offered.is_empty(), "{context}: nobody is asked");
    let farewell = raw.next_packet().unwrap();
    assert_eq!(
        farewell.number(),
        number::DISCONNECT,
        "{context}: nothing else is sent"
    );
    assert_eq!(farewell.payload[1..5], [0, 0, 0, 3], "{context}");
}

/// What stands in an mpint for p + `change`, p being odd and its lowest byte 0xff.
fn near(p: &[u8], change: i16) -> Vec<u8> {
    let mut bytes = [&[0], p].concat();
    let mut carry = change;
    for byte in bytes.iter_mut().rev() {
        let value = i16::from(*byte) + carry;
        *byte = value.rem_euclid(256) as u8;
        carry = value.div_euclid(256);
    }
    bytes
}

/// The contents of mpints that no honest peer sends for this prime.
fn bad_numbers(p: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("0", vec![]),
        ("1", vec![1]),
        ("p - 1", near(p, -1)),
        ("p", near(p, 0)),
        ("p + 1", near(p, 1)),
        ("-1", vec![0xff]),
        ("-p", near(p, 0)[1..].to_vec()),
        ("16 KiB", vec![0x7f; 16 * 1024]),
        ("a padded 2", vec![0, 2]),
    ]
}

/// The prime of a numbered group, from the one that a server offers to whoever asks for its size.
fn prime(bits: u32) -> Vec<u8> {
    let (mut raw, mut seat, _) = negotiated(
        Role::Server,
        "diffie-hellman-group-exchange-sha256",
        Moduli::default(),
    );
    let request = KexDhGexRequest {
        min: bits,
        n: bits,
        max: bits,
    };
    raw.send(&request.to_bytes(), &mut seat);
    let group = raw.expect(31);
    group
        .decode::<KexDhGexGroup<'_>>()
        .unwrap()
        .p
        .magnitude()
        .to_vec()
}

fn prime_of(name: &str) -> Vec<u8> {
    let bits = match name {
        "diffie-hellman-group1-sha1" => {
            let digits = |at| u8::from_str_radix(&GROUP1[at..at + 2], 16).unwrap();
            return (0..GROUP1.len()).step_by(2).map(digits).collect();
        }
        "diffie-hellman-group15-sha512" => 3072,
        "diffie-hellman-group16-sha512" => 4096,
        "diffie-hellman-group17-sha512" => 6144,
        "diffie-hellman-group18-sha512" => 8192,
        _ => 2048,
    };
    prime(bits)
}

#[test]
fn a_server_refuses_bad_numbers_before_it_signs() {
    for name in methods() {
        for (what, content) in bad_numbers(&prime_of(name)) {
            let (mut raw, mut seat, signatures) = negotiated(Role::Server, name, Moduli::default());
            let mut number = 30;
            if is_group_exchange(raw.traits.method) {
                let request = KexDhGexRequest {
                    min: 2048,
                    n: 2048,
                    max: 8192,
                };
                raw.send(&request.to_bytes(), &mut seat);
                let _ = raw.expect(31);
                number = 32;
            }
            raw.send(
                &[&[number][..], &content.as_slice().to_bytes()].concat(),
                &mut seat,
            );
            is_over(&mut raw, &seat, &signatures, &format!("{name}, e = {what}"));
        }
    }
}

#[test]
fn a_client_refuses_bad_numbers_before_it_asks() {
    let key = host_key(1);
    for name in methods() {
        let prime = prime_of(name);
        for (what, content) in bad_numbers(&prime) {
            let (mut raw, mut seat, signatures) = negotiated(Role::Client, name, Moduli::default());
            let mut number = 31;
            if is_group_exchange(raw.traits.method) {
                let _ = raw.expect(34);
                let group = KexDhGexGroup {
                    p: Mpint::from_magnitude(&prime),
                    g: Mpint::from_magnitude(&[2]),
                };
                raw.send(&group.to_bytes(), &mut seat);
                let _ = raw.expect(32);
                number = 33;
            } else {
                let _ = raw.expect(30);
            }
            let reply = [
                &[number][..],
                &key.public().blob().to_bytes(),
                &content.as_slice().to_bytes(),
                &b"signature".as_slice().to_bytes(),
            ]
            .concat();
            raw.send(&reply, &mut seat);
            is_over(&mut raw, &seat, &signatures, &format!("{name}, f = {what}"));
        }
    }
}

#[test]
fn a_server_answers_no_request_that_contradicts_itself_or_is_too_small() {
    let file = || Moduli::parse(include_bytes!("moduli")).unwrap();
    for (min, n, max) in [
        (1, 1, 1),
        (512, 1024, 2047),
        (8192, 1024, 2048),
        (2048, 8192, 4096),
        (16_384, 16_384, 16_384),
    ] {
        for moduli in [Moduli::default(), file()] {
            let name = "diffie-hellman-group-exchange-sha256";
            let (mut raw, mut seat, signatures) = negotiated(Role::Server, name, moduli);
            raw.send(&KexDhGexRequest { min, n, max }.to_bytes(), &mut seat);
            is_over(&mut raw, &seat, &signatures, &format!("{min} {n} {max}"));
            let expected = MethodError::GroupRequest { min, n, max };
            assert_eq!(
                seat.error,
                Some(Error::PeerMisbehaved(Misbehaviour::Method(expected)))
            );
        }
    }
    // Bounds without bounds are no contradiction: the answer is from the list.
    for moduli in [Moduli::default(), file()] {
        let name = "diffie-hellman-group-exchange-sha256";
        let (mut raw, mut seat, _) = negotiated(Role::Server, name, moduli);
        let request = KexDhGexRequest {
            min: 0,
            n: 0,
            max: u32::MAX,
        };
        raw.send(&request.to_bytes(), &mut seat);
        let group = raw.expect(31);
        assert_eq!(group.decode::<KexDhGexGroup<'_>>().unwrap().p.bits(), 2048);
    }
}

#[test]
fn a_server_takes_one_request_and_one_share() {
    let request = KexDhGexRequest {
        min: 2048,
        n: 2048,
        max: 8192,
    }
    .to_bytes();
    let name = "diffie-hellman-group-exchange-sha256";
    for second in [request.as_slice(), &[30, 0, 0, 0, 1, 2], &[33, 0, 0, 0, 1, 2]] {
        let (mut raw, mut seat, signatures) = negotiated(Role::Server, name, Moduli::default());
        raw.send(&request, &mut seat);
        let _ = raw.expect(31);
        raw.send(second, &mut seat);
        is_over(&mut raw, &seat, &signatures, "a second request");
    }
    let (mut raw, mut seat, signatures) = negotiated(Role::Server, name, Moduli::default());
    raw.send(&[32, 0, 0, 0, 1, 2], &mut seat);
    is_over(&mut raw, &seat, &signatures, "a share without a group");
}

#[test]
fn a_client_takes_no_group_that_nobody_honest_offers() {
    let good = prime(2048);
    let wide = |bytes: usize| vec![0xff; bytes];
    let changed = |at: usize, bit: u8| {
        let mut number = good.clone();
        number[at] ^= bit;
        number
    };
    let mut over = wide(2049);
    over[0] = 1;
    let last = near(&good, -1)[1..].to_vec();
    for (what, p, g) in [
        ("1023 bits", [&[0x7f], &wide(127)[..]].concat(), vec![2]),
        ("1024 bits", wide(128), vec![2]),
        ("2047 bits", [&[0x7f], &wide(255)[..]].concat(), vec![2]),
        ("16385 bits", over, vec![2]),
        ("64 KiB", wide(64 * 1024), vec![2]),
        ("p = 0", vec![], vec![2]),
        ("even", changed(255, 1), vec![2]),
        ("composite", changed(128, 1), vec![2]),
        ("a power of two less one", wide(256), vec![2]),
        ("g = 0", good.clone(), vec![]),
        ("g = 1", good.clone(), vec![1]),
        ("g = p - 1", good.clone(), last),
        ("g = p", good.clone(), good.clone()),
        ("g = p + 1", good.clone(), near(&good, 1)),
    ] {
        let name = "diffie-hellman-group-exchange-sha256";
        let (mut raw, mut seat, signatures) = negotiated(Role::Client, name, Moduli::default());
        let _ = raw.expect(34);
        let group = KexDhGexGroup {
            p: Mpint::from_magnitude(&p),
            g: Mpint::from_magnitude(&g),
        };
        raw.send(&group.to_bytes(), &mut seat);
        is_over(&mut raw, &seat, &signatures, what);
    }
}

#[test]
fn replies_are_layouts_of_their_rfcs() {
    // RFC 4253 §8 and RFC 4419 §3: K_S, f, signature, under different numbers.
    let f = Mpint::from_magnitude(&[0x80]);
    let (host_key, signature) = (&b"key"[..], &b"sig"[..]);
    let fixed = KexDhReply {
        host_key,
        f,
        signature,
    }
    .to_bytes();
    let exchanged = KexDhGexReply {
        host_key,
        f,
        signature,
    }
    .to_bytes();
    assert_eq!(fixed, b"\x1f\0\0\0\x03key\0\0\0\x02\0\x80\0\0\0\x03sig");
    assert_eq!((exchanged[0], &exchanged[1..]), (33, &fixed[1..]));
    let mut reader = Reader::new(&fixed[8..]);
    assert_eq!(reader.mpint().unwrap(), f);
}
