//! Logins by keys of security devices, and by keys a server does not take: what the owner did for the signature counts as
//! far as the application demands it, and never less than a touch unless it says so.

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

use common::{ServerTest, fields, key, key_fields, request};
use ring::digest::{SHA256, digest};
use ssh_auth::keys::{Demands, PrivateKey, PublicKey, algorithm};
use ssh_auth::server::{Attempt, Policy};
use ssh_auth::wire::Reader;

const NAME: &str = "sk-ssh-ed25519@openssh.com";
const APPLICATION: &[u8] = b"ssh:";
/// Flags of a signature: the owner touched the device, and it made sure who that is.
const TOUCHED: u8 = 1;
const VERIFIED: u8 = 4;

/// The public key of a device that the ordinary key `device` plays.
fn public(device: &PrivateKey) -> PublicKey {
    let mut reader = Reader::new(device.public().blob());
    let _type = reader.string().unwrap();
    let blob = fields(|writer| {
        writer.string(NAME.as_bytes());
        writer.raw(reader.rest());
        writer.string(APPLICATION);
    });
    PublicKey::from_blob(&blob).unwrap()
}

/// A signed request of alice's, as RFC 4252 §7 and PROTOCOL.u2f have it.
fn signed(session_id: &[u8], device: &PrivateKey, flags: u8) -> Vec<u8> {
    let request = request(
        b"alice",
        "publickey",
        &key_fields(true, NAME, public(device).blob()),
    );
    let data = fields(|writer| {
        writer.string(session_id);
        writer.raw(&request);
    });
    let hash = |bytes: &[u8]| digest(&SHA256, bytes).as_ref().to_vec();
    let behind = [flags, 0, 0, 0, 1];
    let made = [hash(APPLICATION), behind.to_vec(), hash(&data)].concat();
    let blob = device.sign(&algorithm::ED25519, &made).unwrap();
    let mut reader = Reader::new(&blob);
    let _name = reader.string().unwrap();
    let signature = fields(|writer| {
        writer.string(NAME.as_bytes());
        writer.string(reader.string().unwrap());
        writer.raw(&behind);
    });
    [request, fields(|writer| writer.string(&signature))].concat()
}

/// The number of the answer to a login with these flags, decided with these demands (`None`: by `accept`).
fn answer(flags: u8, demands: Option<Demands>) -> Vec<u8> {
    let mut test = ServerTest::open(Policy::default());
    let message = signed(&test.session_id.clone(), &key(1), flags);
    test.send(&message);
    assert_eq!(
        test.questions, 1,
        "the signature is right, so the application is asked"
    );
    test.answer(|attempt| match attempt {
        Attempt::PublicKey(attempt) => {
            let made = attempt.security_key().unwrap();
            assert_eq!(
                (made.touched, made.verified),
                (flags & TOUCHED != 0, flags & VERIFIED != 0)
            );
            match &demands {
                Some(demands) => attempt.accept_demanding(demands),
                None => attempt.accept(),
            }
        }
        other => panic!("{other:?}"),
    });
    test.client.numbers()
}

#[test]
fn a_security_key_logs_in_as_its_demands_are_met() {
    const FAILURE: [u8; 1] = [51];
    const SUCCESS: [u8; 1] = [52];
    let demands = |touch, verification| Some(Demands { touch, verification });
    for (flags, asked, expected) in [
        (TOUCHED, None, SUCCESS),
        (0, None, FAILURE),
        (VERIFIED, None, FAILURE),
        (0, demands(false, false), SUCCESS),
        (TOUCHED, demands(true, true), FAILURE),
        (TOUCHED | VERIFIED, demands(true, true), SUCCESS),
        (VERIFIED, demands(false, true), SUCCESS),
    ] {
        assert_eq!(answer(flags, asked), expected, "{flags} {asked:?}");
    }
}

#[test]
fn certificates_and_small_keys_log_nobody_in() {
    let small = include_str!("../../ssh-keys/tests/fixtures/rsa_1024.pub");
    let small = PublicKey::from_openssh(small).unwrap().0;
    let certificate = include_str!("../../ssh-keys/tests/fixtures/certificates/for_user-cert.pub");
    let certificate = ssh_auth::keys::Certificate::from_openssh(certificate).unwrap().0;
    for (name, blob) in [
        ("rsa-sha2-256", small.blob()),
        ("ssh-ed25519-cert-v01@openssh.com", certificate.blob()),
        ("ssh-ed25519", certificate.blob()),
    ] {
        let mut test = ServerTest::open(Policy::default());
        test.send(&request(b"alice", "publickey", &key_fields(false, name, blob)));
        assert_eq!((test.questions, test.client.numbers()), (0, vec![51]), "{name}");
    }
    let mut test = ServerTest::open(Policy {
        required_rsa_bits: 1024,
        ..Policy::default()
    });
    let query = request(
        b"alice",
        "publickey",
        &key_fields(false, "rsa-sha2-256", small.blob()),
    );
    test.send(&query);
    assert_eq!(test.questions, 1, "a smaller size may be configured");
}
