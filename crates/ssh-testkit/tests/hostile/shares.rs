//! The key exchange itself: guesses (B4), public values (B5), groups (B6), how much work a stranger can ask for (B7), and
//! what a server shows to prove its host key (B15).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ssh_client::kex::method::Context;
use ssh_client::kex::{Config, MAX_EARLY_EXCHANGES, Method, Preferences, Role, method};
use ssh_client::keys::certificate::{CertificateBody, CertificateKind};
use ssh_client::keys::{Certificate, PrivateKey, PublicKey, SignatureAlgorithm, SignatureError, Signer};
use ssh_client::wire::{Reader, Writer, number};
use ssh_testkit::hostile::{Answers, Peer, Position, Target, Traits, Victim};
use ssh_testkit::rng::seeded;

use super::ROLES;

// ---- B4 --------------------------------------------------------------------------------------------------------------

/// A share of another family of methods than the one in use.
const WRONG_GUESS: [u8; 9] = [30, 0, 0, 0, 4, 1, 2, 3, 4];

fn guessing(wrong_kex: bool, wrong_host_key: bool) -> Traits {
    // The list's first name is the guess; the target does not prefer it.
    let kex_list = wrong_kex.then_some("diffie-hellman-group14-sha256,curve25519-sha256");
    let host_key_list = if wrong_host_key {
        "ssh-rsa,ssh-ed25519"
    } else {
        "ssh-ed25519"
    };
    Traits {
        follows: true,
        kex_list,
        host_key_list,
        ..Traits::default()
    }
}

/// A guess of that role: a client's share, or what a server would answer.
fn guess(role: Role) -> Vec<u8> {
    let mut guess = WRONG_GUESS.to_vec();
    guess[0] = if role == Role::Client { 30 } else { 31 };
    guess
}

#[test]
fn b04_a_wrong_guess_is_passed_over_and_nothing_else() {
    for role in ROLES {
        for (wrong_kex, wrong_host_key) in [(true, false), (false, true), (true, true)] {
            let traits = guessing(wrong_kex, wrong_host_key);
            let mut victim = Victim::plain(role);
            let mut peer = Peer::of(role, traits);
            let guess = guess(peer.role());
            peer.start(Position::Negotiated, &mut victim);
            peer.say(&guess, &mut victim);
            assert_eq!(victim.error(), None, "{role:?}");
            peer.advance(Position::Negotiated, Position::Keyed, &mut victim);
            assert!(victim.is_keyed(), "{role:?} {:?}", victim.error());

            // Two are one too many: the second is looked at.
            let mut victim = Victim::plain(role);
            let mut peer = Peer::of(role, traits);
            peer.start(Position::Negotiated, &mut victim);
            peer.say(&guess, &mut victim);
            peer.say(&guess, &mut victim);
            assert_eq!(peer.farewell(&mut victim), Some(3), "{role:?}");

            // Said but not sent: what comes is taken for it, and time decides.
            let mut victim = Victim::plain(role);
            let mut peer = Peer::of(role, traits);
            peer.start(Position::Negotiated, &mut victim);
            let said = match role {
                Role::Server => peer.share(),
                Role::Client => peer.reply(&mut victim),
            };
            peer.say(&said, &mut victim);
            assert!(peer.rest(&mut victim).is_empty(), "{role:?}");
            assert_eq!(victim.error(), None, "{role:?}");
            victim.wait(Config::default().limits.exchange_deadline);
            assert!(victim.error().unwrap().contains("too long over the key exchange"));
        }
    }
}

#[test]
fn b04_a_right_guess_is_the_share() {
    for role in ROLES {
        // The guess is right where both name the same host key algorithm first.
        let mut config = Victim::config();
        config.preferences.edit_host_keys("^ssh-ed25519").unwrap();
        let mut victim = Victim::new(role, config, Answers::default());
        let mut peer = Peer::of(role, guessing(false, false));
        peer.connect(&mut victim);
        assert_eq!((victim.error(), victim.told.logins), (None, 1));
    }
}

#[test]
fn b04_a_thousand_changes_of_keys_with_wrong_guesses() {
    for role in ROLES {
        let mut victim = Victim::plain(role);
        let mut peer = Peer::of(role, guessing(true, true));
        let guess = guess(peer.role());
        peer.start(Position::Negotiated, &mut victim);
        peer.say(&guess, &mut victim);
        peer.advance(Position::Negotiated, Position::Keyed, &mut victim);
        peer.log_in(&mut victim);
        for _ in 0..1000 {
            peer.negotiate(&mut victim);
            peer.say(&guess, &mut victim);
            peer.advance(Position::Negotiated, Position::Keyed, &mut victim);
        }
        assert_eq!((victim.error(), victim.told.rekeyed), (None, 1000), "{role:?}");
    }
}

// ---- B5 --------------------------------------------------------------------------------------------------------------

/// Where the share stands in a message of a method: behind the number, or behind the host key.
fn with_share(message: &[u8], role: Role, share: &[u8]) -> Vec<u8> {
    let mut reader = Reader::new(&message[1..]);
    let mut out = vec![message[0]];
    let mut writer = Writer::new(&mut out);
    if role == Role::Server {
        writer.string(reader.string().unwrap());
    }
    reader.string().unwrap();
    writer.string(share);
    if role == Role::Server {
        writer.string(reader.string().unwrap());
    }
    out
}

fn share_of(message: &[u8], role: Role) -> Vec<u8> {
    let mut reader = Reader::new(&message[1..]);
    if role == Role::Server {
        reader.string().unwrap();
    }
    reader.string().unwrap().to_vec()
}

/// Shares that no method may take, made of one that is right.
fn bad_shares(method: &Method, share: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let mut bad = vec![
        ("nothing", Vec::new()),
        ("nothing but zeros", vec![0; share.len()]),
    ];
    if ["nistp", "mlkem", "diffie"]
        .iter()
        .any(|part| method.name.contains(part))
    {
        // Over every field; on Curve25519 it is a point as good as others, and sntrup761 has no bad bytes.
        bad.push(("nothing but ones", vec![0xff; share.len()]));
    }
    if method.name.starts_with("diffie-hellman") {
        // mpints: 0 stands above; 1, a negative one, one with needless zeros, one longer than any group.
        bad.push(("one", vec![1]));
        bad.push(("minus one", vec![0xff]));
        bad.push(("needless zeros", [&[0, 0][..], share].concat()));
        bad.push(("more than p", [&[0x7f; 9][..], share].concat()));
        return bad;
    }
    bad.push(("a byte less", share[..share.len() - 1].to_vec()));
    bad.push(("a byte more", [share, &[0]].concat()));
    if method.name.contains("25519") {
        let kem = share.len() - 32;
        let mut one = share[..kem].to_vec();
        one.extend([1]);
        one.resize(share.len(), 0);
        bad.push(("a point of order one", one));
        bad.push(("the point zero", [&share[..kem], &[0; 32]].concat()));
    }
    if method.name.contains("nistp") {
        let mut off = share.to_vec();
        *off.last_mut().unwrap() ^= 1;
        bad.push(("a point off the curve", off));
    }
    bad
}

#[test]
fn b05_public_values_nobody_honest_sends_end_before_anything_is_signed() {
    for &method in method::ALL
        .iter()
        .filter(|method| !method.name.contains("group-exchange"))
    {
        for role in ROLES {
            let traits = Traits {
                method,
                ..Traits::default()
            };
            for index in 0.. {
                let mut config = Victim::config();
                config.preferences.kex = vec![method];
                let mut victim = Victim::new(role, config, Answers::default());
                let mut peer = Peer::of(role, traits);
                peer.start(Position::Negotiated, &mut victim);
                let message = match peer.role() {
                    Role::Client => peer.share(),
                    Role::Server => peer.reply(&mut victim),
                };
                let bad = bad_shares(method, &share_of(&message, peer.role()));
                let Some((what, share)) = bad.get(index) else {
                    break;
                };
                peer.say(&with_share(&message, peer.role(), share), &mut victim);
                let context = format!("{} {role:?}: {what}", method.name);
                assert!(victim.is_over(), "{context}: it goes on");
                let said = peer.rest(&mut victim);
                let numbers: Vec<u8> = said.iter().map(|packet| packet.number()).collect();
                assert_eq!(numbers, [number::DISCONNECT], "{context}: no reply, no NEWKEYS");
                assert_eq!(
                    victim.told.host_keys, 0,
                    "{context}: nobody was asked about a key"
                );
            }
        }
    }
}

// ---- B7 --------------------------------------------------------------------------------------------------------------

/// A host key that counts how often it signs.
#[derive(Debug)]
struct Counting {
    key: PrivateKey,
    signed: AtomicUsize,
}

impl Signer for Counting {
    fn public_key(&self) -> &PublicKey {
        self.key.public()
    }

    fn algorithms(&self) -> &[&'static SignatureAlgorithm] {
        self.key.algorithms()
    }

    fn sign(&self, algorithm: &SignatureAlgorithm, message: &[u8]) -> Result<Vec<u8>, SignatureError> {
        self.signed.fetch_add(1, Ordering::Relaxed);
        self.key.sign(algorithm, message)
    }
}

#[test]
fn b07_dheat_a_stranger_makes_a_server_sign_a_few_times_at_most() {
    let counting = Arc::new(Counting {
        key: Victim::host_key(),
        signed: AtomicUsize::new(0),
    });
    let victim = || {
        let key: Arc<dyn Signer> = Arc::clone(&counting) as _;
        Victim::with_host_keys(Role::Server, Victim::config(), Answers::default(), vec![key])
    };
    // A thousand connections that send what costs nothing: not one signature.
    for _ in 0..1000 {
        let mut victim = victim();
        let mut peer = Peer::of(Role::Server, Traits::default());
        peer.start(Position::Negotiated, &mut victim);
        peer.say(&[30, 0, 0, 0, 0], &mut victim);
        assert!(victim.is_over());
    }
    assert_eq!(counting.signed.load(Ordering::Relaxed), 0);
    // One that pays for every exchange gets the first and sixteen more.
    let mut victim = victim();
    let mut peer = Peer::of(Role::Server, Traits::default());
    peer.start(Position::Keyed, &mut victim);
    for _ in 0..MAX_EARLY_EXCHANGES {
        peer.rest(&mut victim);
        peer.rekey(Position::Keyed, &mut victim);
    }
    let kexinit = peer.kexinit();
    peer.say(&kexinit, &mut victim);
    assert!(victim.error().unwrap().contains("changes of keys before login"));
    assert_eq!(counting.signed.load(Ordering::Relaxed), MAX_EARLY_EXCHANGES + 1);
}

#[test]
fn b07_dheat_a_server_offers_no_exponentiation_unless_it_is_told_to() {
    let offered = Preferences::for_server().kex;
    assert!(!offered.is_empty());
    for method in offered {
        assert!(!method.name.starts_with("diffie-hellman"), "{}", method.name);
    }
}

/// What an exponent may cost: a half takes little randomness, so its exponent is short whatever the group.
#[test]
fn b07_dheat_exponents_are_short() {
    for method in method::ALL
        .iter()
        .filter(|method| method.name.starts_with("diffie-hellman-group1"))
    {
        let mut counted = CountingRng {
            inner: seeded(1),
            bytes: 0,
        };
        let _ = method.client_half(&Context::default(), &mut counted);
        assert!(counted.bytes <= 64, "{}: {} bytes", method.name, counted.bytes);
    }
}

/// A generator that counts what is taken from it.
struct CountingRng {
    inner: Box<dyn ssh_client::wire::rand_core::CryptoRng + Send>,
    bytes: usize,
}

impl ssh_client::wire::rand_core::TryRng for CountingRng {
    type Error = std::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        self.bytes += 4;
        self.inner.try_next_u32()
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        self.bytes += 8;
        self.inner.try_next_u64()
    }

    fn try_fill_bytes(&mut self, room: &mut [u8]) -> Result<(), Self::Error> {
        self.bytes += room.len();
        self.inner.try_fill_bytes(room)
    }
}

impl ssh_client::wire::rand_core::TryCryptoRng for CountingRng {}

// ---- B15 -------------------------------------------------------------------------------------------------------------

fn blob_of(parts: &[&[u8]]) -> Vec<u8> {
    let mut blob = Vec::new();
    let mut writer = Writer::new(&mut blob);
    for part in parts {
        writer.string(part);
    }
    blob
}

/// An RSA key of that many bytes of modulus; nobody has its private half.
fn rsa_blob(modulus_bytes: usize) -> Vec<u8> {
    let mut modulus = vec![0];
    modulus.extend(vec![0xc5; modulus_bytes]);
    blob_of(&[b"ssh-rsa", &[1, 0, 1], &modulus])
}

fn other_key() -> PrivateKey {
    PrivateKey::generate_ed25519(&mut *seeded(4711), "another")
}

/// What a lying server shows: what, the algorithms it names, blob and signature from its key and H.
type Lie = (
    &'static str,
    &'static str,
    fn(&PrivateKey, &[u8]) -> (Vec<u8>, Vec<u8>),
);

const ED25519_CERT: &str = "ssh-ed25519-cert-v01@openssh.com";

/// A certificate for the host's key, by an authority of the moment.
fn certificate(key: &PrivateKey) -> Certificate {
    let authority = other_key();
    let (certified, signer) = (key.public().clone(), authority.public().clone());
    let mut body = CertificateBody::new(CertificateKind::Host, certified, signer, vec![7; 32]).unwrap();
    body.principals = vec!["host".to_owned()];
    Certificate::sign(&body, &authority, authority.algorithms()[0]).unwrap()
}

const LIES: [Lie; 15] = [
    ("a signature over another H", "ssh-ed25519", |key, _| {
        (
            key.public().blob().to_vec(),
            key.sign(key.algorithms()[0], &[7; 32]).unwrap(),
        )
    }),
    ("a signature over a part of H", "ssh-ed25519", |key, hash| {
        let part = hash.get(1..).unwrap_or_default();
        (
            key.public().blob().to_vec(),
            key.sign(key.algorithms()[0], part).unwrap(),
        )
    }),
    ("a signature by another key", "ssh-ed25519", |key, hash| {
        let other = other_key();
        (
            key.public().blob().to_vec(),
            other.sign(other.algorithms()[0], hash).unwrap(),
        )
    }),
    ("no signature", "ssh-ed25519", |key, _| {
        (key.public().blob().to_vec(), Vec::new())
    }),
    ("a signature of zeros", "ssh-ed25519", |key, _| {
        (key.public().blob().to_vec(), blob_of(&[b"ssh-ed25519", &[0; 64]]))
    }),
    (
        "a signature that names another algorithm",
        "ssh-ed25519",
        |key, hash| {
            let signature = key.sign(key.algorithms()[0], hash).unwrap();
            (
                key.public().blob().to_vec(),
                [&b"\0\0\0\x0bssh-ed2551x"[..], &signature[15..]].concat(),
            )
        },
    ),
    ("bytes behind the signature", "ssh-ed25519", |key, hash| {
        let mut signature = key.sign(key.algorithms()[0], hash).unwrap();
        signature.push(0);
        (key.public().blob().to_vec(), signature)
    }),
    ("a key that is none", "ssh-ed25519", |_, _| {
        (b"not a key".to_vec(), Vec::new())
    }),
    (
        "an Ed25519 key where RSA was agreed on",
        "rsa-sha2-512",
        |key, hash| {
            (
                key.public().blob().to_vec(),
                key.sign(key.algorithms()[0], hash).unwrap(),
            )
        },
    ),
    (
        "a signature with SHA-1 where SHA-2 was agreed on",
        "rsa-sha2-256",
        |_, _| (rsa_blob(256), blob_of(&[b"ssh-rsa", &[1; 256]])),
    ),
    (
        "a bare key where a certificate was agreed on",
        ED25519_CERT,
        |key, hash| {
            (
                key.public().blob().to_vec(),
                key.sign(key.algorithms()[0], hash).unwrap(),
            )
        },
    ),
    (
        "a certificate where a key was agreed on",
        "ssh-ed25519",
        |key, hash| {
            (
                certificate(key).blob().to_vec(),
                key.sign(key.algorithms()[0], hash).unwrap(),
            )
        },
    ),
    (
        "a certificate of another type",
        "rsa-sha2-256-cert-v01@openssh.com",
        |key, hash| {
            (
                certificate(key).blob().to_vec(),
                key.sign(key.algorithms()[0], hash).unwrap(),
            )
        },
    ),
    (
        "a certificate whose key did not sign",
        ED25519_CERT,
        |key, hash| {
            let other = other_key();
            (
                certificate(key).blob().to_vec(),
                other.sign(other.algorithms()[0], hash).unwrap(),
            )
        },
    ),
    ("an RSA key of 1024 bits", "rsa-sha2-256", |_, _| {
        (rsa_blob(128), blob_of(&[b"rsa-sha2-256", &[1; 128]]))
    }),
];

#[test]
fn b15_a_server_that_cannot_prove_its_host_key_ends_before_anybody_is_asked() {
    for (what, host_key_list, forgery) in LIES {
        for rekey in [false, true] {
            let mut victim = Victim::plain(Role::Client);
            let mut peer = Peer::of(Role::Client, Traits::default());
            if rekey {
                peer.connect(&mut victim);
            } else {
                peer.greet(&mut victim);
            }
            let asked = victim.told.host_keys;
            peer.traits.host_key_list = host_key_list;
            peer.traits.forgery = Some(forgery);
            peer.negotiate(&mut victim);
            let reply = peer.reply(&mut victim);
            peer.say(&reply, &mut victim);
            assert!(victim.is_over(), "{what}, rekey {rekey}: it goes on");
            assert_eq!(peer.farewell(&mut victim), Some(3), "{what}, rekey {rekey}");
            assert_eq!(
                victim.told.host_keys, asked,
                "{what}, rekey {rekey}: nobody was asked"
            );
        }
    }
    let mut victim = Victim::plain(Role::Client);
    Peer::of(Role::Client, Traits::default()).connect(&mut victim);
    assert_eq!(
        (victim.told.host_keys, victim.told.logins),
        (1, 1),
        "an honest one is asked about and goes on"
    );
}
