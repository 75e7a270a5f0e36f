//! Logins that name the server's host key (`publickey-hostbound-v00@openssh.com`, OpenSSH `PROTOCOL` §3.1), and EXT_INFO
//! during a login (§1.10), between a side under test and one that says anything.

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

use std::time::Duration;

use common::{
    ClientTest, HOSTBOUND, ServerTest, bound, bound_fields, failure, fields, host_key, is_malformed, key,
    pk_ok, request, transports_with,
};
use ssh_auth::Error;
use ssh_auth::keys::{PublicKey, SignatureAlgorithm, SignatureError, Signer, algorithm};
use ssh_auth::messages::ServiceRequest;
use ssh_auth::server::{Attempt, Policy};
use ssh_auth::wire::{Identification, Writer};

#[test]
fn a_server_takes_a_login_that_names_its_host_key() {
    let mut test = ServerTest::open(Policy::default());
    let query = request(b"alice", HOSTBOUND, &bound_fields(false, &key(7), &host_key()));
    test.send(&query);
    test.answer(|attempt| match attempt {
        Attempt::PublicKeyQuery(query) => query.accept(),
        other => panic!("{other:?}"),
    });
    assert_eq!(test.client.numbers(), [60]);
    test.send(&bound(&test.session_id.clone(), HOSTBOUND, &key(7), &host_key()));
    test.answer(|attempt| match attempt {
        Attempt::PublicKey(attempt) => attempt.accept(),
        other => panic!("{other:?}"),
    });
    assert_eq!(test.client.numbers(), [52]);
    let authenticated = test.success.unwrap();
    assert_eq!(authenticated.method().name, "publickey");
    assert_eq!(authenticated.key(), Some(key(7).public()));
}

#[test]
fn a_login_meant_for_another_server_is_refused_and_nobody_is_asked() {
    let mut test = ServerTest::open(Policy::default());
    let session_id = test.session_id.clone();
    let other_host = key(201).public().blob().to_vec();
    let good = bound(&session_id, HOSTBOUND, &key(7), &host_key());
    let cut = host_key().len() - 1;
    for (what, payload) in [
        (
            "another host key",
            bound(&session_id, HOSTBOUND, &key(7), &other_host),
        ),
        ("no host key", bound(&session_id, HOSTBOUND, &key(7), b"")),
        (
            "half a host key",
            bound(&session_id, HOSTBOUND, &key(7), &host_key()[..cut]),
        ),
        (
            "another session",
            bound(b"other", HOSTBOUND, &key(7), &host_key()),
        ),
        (
            "a query for another host",
            request(b"alice", HOSTBOUND, &bound_fields(false, &key(7), &other_host)),
        ),
        ("the wrong signature", {
            let mut bad = good.clone();
            *bad.last_mut().unwrap() ^= 1;
            bad
        }),
    ] {
        test.send(&payload);
        assert_eq!((test.questions, test.client.numbers()), (0, vec![51]), "{what}");
        assert_eq!(test.error, None, "{what}");
    }
    // Those that were no query, each told under the usual name.
    assert!(
        test.failed.len() > 3 && test.failed.iter().all(|(_, method)| method == "publickey"),
        "{:?}",
        test.failed
    );
    assert_eq!(
        test.failed_key.as_ref().map(PublicKey::fingerprint),
        Some(key(7).public().fingerprint())
    );
}

#[test]
fn a_signature_in_one_form_is_none_in_the_other() {
    let mut test = ServerTest::open(Policy::default());
    let session_id = test.session_id.clone();
    // Signed without the host key, sent with it.
    let plain = common::signed(&session_id, "alice", &key(7));
    let signature = &plain[plain.len() - 83 - 4..];
    let mixed = [
        request(b"alice", HOSTBOUND, &bound_fields(true, &key(7), &host_key())),
        signature.to_vec(),
    ]
    .concat();
    test.send(&mixed);
    assert_eq!((test.questions, test.client.numbers()), (0, vec![51]));
    // The fields of one form under the name of the other do not decode.
    test.send(&bound(&session_id, "publickey", &key(7), &host_key()));
    assert!(is_malformed(test.error.as_ref()), "{:?}", test.error);
}

#[test]
fn every_truncation_ends_the_connection() {
    let whole = bound_fields(true, &key(7), &host_key());
    for cut in [0, 1, 5, 20, whole.len() - 1, whole.len()] {
        let mut test = ServerTest::open(Policy::default());
        test.send(&request(b"alice", HOSTBOUND, &whole[..cut]));
        assert!(is_malformed(test.error.as_ref()), "{cut}: {:?}", test.error);
    }
}

#[test]
fn the_form_is_taken_where_login_by_key_is_and_never_listed() {
    let mut test = ServerTest::open(Policy {
        methods: vec![ssh_auth::method::PASSWORD],
        ..Policy::default()
    });
    test.send(&bound(&test.session_id.clone(), HOSTBOUND, &key(7), &host_key()));
    assert_eq!(test.questions, 0);
    assert_eq!(test.client.take_heard(), [failure("password", false)]);
    let mut test = ServerTest::open(Policy::default());
    test.send(&common::none("alice"));
    assert_eq!(test.client.take_heard(), [failure("publickey,password", false)]);
}

/// EXT_INFO with these extensions.
fn ext_info(extensions: &[(&str, &str)]) -> Vec<u8> {
    let mut payload = vec![7];
    let mut writer = Writer::new(&mut payload);
    writer.uint32(extensions.len() as u32);
    for (name, value) in extensions {
        writer.string(name.as_bytes());
        writer.string(value.as_bytes());
    }
    payload
}

#[test]
fn a_client_names_the_host_key_to_servers_that_announced_it() {
    // Our own server announces it.
    for (told, name) in [
        (None, HOSTBOUND),
        (Some("0"), HOSTBOUND),
        (Some("1"), "publickey"),
        (Some(""), "publickey"),
    ] {
        let mut test = ClientTest::open();
        if let Some(version) = told {
            test.send(&ext_info(&[("publickey-hostbound@openssh.com", version)]));
        }
        let session_id = test.client.transport().session_id().to_vec();
        let turn = test.turn();
        test.attempt(turn.publickey_query(key(7).public().clone(), &algorithm::ED25519));
        let is_bound = name == HOSTBOUND;
        let query = if is_bound {
            request(b"alice", HOSTBOUND, &bound_fields(false, &key(7), &host_key()))
        } else {
            common::query("alice", &key(7))
        };
        assert_eq!(test.server.take_heard(), [query], "{told:?}");
        test.send(&pk_ok(&key(7)));
        let signing = test.signing();
        let signed = signing.sign_with(&*key(7)).map_err(|(error, _)| error).unwrap();
        test.signed(signed);
        let expected = if is_bound {
            bound(&session_id, HOSTBOUND, &key(7), &host_key())
        } else {
            common::signed(&session_id, "alice", &key(7))
        };
        assert_eq!(test.server.take_heard(), [expected], "{told:?}");
        // Refused, the same key signs at once.
        test.send(&failure("publickey", false));
        let turn = test.turn();
        test.attempt(turn.publickey(key(7).public().clone(), &algorithm::ED25519));
        let names_host = test
            .signing()
            .data()
            .windows(host_key().len())
            .any(|window| window == host_key());
        assert_eq!(names_host, is_bound);
    }
}

#[test]
fn signatures_that_are_not_those_of_the_first_ext_info_are_told_at_the_first_request() {
    for (algorithms, told) in [
        (vec![&algorithm::ED25519], true),
        (Policy::default().key_algorithms, false),
    ] {
        let mut test = ServerTest::new(Policy {
            key_algorithms: algorithms,
            failure_delay: Duration::ZERO,
            ..Policy::default()
        });
        test.client.say(&ServiceRequest {
            service_name: "ssh-userauth",
        });
        test.go();
        let first = test.client.transport.extensions().server_sig_algs.clone();
        assert!(first.unwrap().len() > 1);
        test.send(&common::none("alice"));
        let again = test
            .client
            .transport
            .extensions()
            .server_sig_algs
            .clone()
            .unwrap();
        assert_eq!(again.len() == 1, told);
        test.send(&common::none("alice"));
        assert_eq!((test.error, test.client.end), (None, None), "no third one");
    }
}

#[test]
fn an_application_tells_which_signatures_it_takes_from_a_user() {
    let mut test = ServerTest::open(Policy::default());
    test.send(&common::query("alice", &key(7)));
    test.server.set_key_algorithms(vec![&algorithm::ED25519]);
    test.answer(Attempt::reject);
    let again = test.client.transport.extensions().server_sig_algs.clone();
    assert_eq!(again, Some(vec!["ssh-ed25519".to_owned()]));
    // What is not taken any more is refused without a question.
    test.server.set_key_algorithms(Vec::new());
    let questions = test.questions;
    test.send(&common::query("alice", &key(7)));
    assert_eq!(test.questions, questions);
    assert_eq!(test.error, None::<Error>);
}

/// An RSA key of which nothing but the public half is needed.
struct Rsa(PublicKey);

impl Rsa {
    fn new() -> Self {
        Self(
            PublicKey::from_blob(&fields(|writer| {
                writer.string(b"ssh-rsa");
                writer.mpint(&[1, 0, 1]);
                writer.mpint(&[0xff; 256]);
            }))
            .unwrap(),
        )
    }
}

impl Signer for Rsa {
    fn public_key(&self) -> &PublicKey {
        &self.0
    }

    fn algorithms(&self) -> &[&'static SignatureAlgorithm] {
        const ALGORITHMS: &[&SignatureAlgorithm] = &[&algorithm::RSA_SHA2_512, &algorithm::RSA_SHA2_256];
        ALGORITHMS
    }

    fn sign(&self, _: &SignatureAlgorithm, _: &[u8]) -> Result<Vec<u8>, SignatureError> {
        Err(SignatureError::SignerFailed(
            "there is no private half".to_owned(),
        ))
    }
}

#[test]
fn quirk_rsa_is_tried_with_a_server_that_does_not_list_what_it_takes() {
    for (software, algorithm) in [("OpenSSH_7.4", Some("rsa-sha2-512")), ("OpenSSH_7.5", None)] {
        let line = Identification::ours(software, None).unwrap();
        let mut test = ClientTest::over(transports_with(1, line));
        assert_eq!(test.server.numbers(), [5]);
        test.send(b"\x06\0\0\0\x0cssh-userauth");
        test.send(&ext_info(&[("server-sig-algs", "ssh-ed25519,ssh-rsa")]));
        let chosen = test.client.algorithm_for(&Rsa::new());
        assert_eq!(chosen.map(|each| each.name), algorithm, "{software}");
        let ed25519 = test.client.algorithm_for(&*key(7));
        assert_eq!(ed25519.map(|each| each.name), Some("ssh-ed25519"));
    }
}

#[test]
fn debug_messages_reach_the_application_on_both_sides_of_a_login() {
    let debug = [&[4, 1][..], &fields(|writer| writer.string(b"look\x07")), &[0; 4]].concat();
    let mut test = ClientTest::open();
    test.send(&debug);
    assert_eq!(test.debugs, ["look\\u{7}"]);
    let mut test = ServerTest::open(Policy::default());
    test.send(&debug);
    assert_eq!(test.debugs, ["look\\u{7}"]);
}
