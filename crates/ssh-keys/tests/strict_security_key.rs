//! Signatures of security keys: what the flags and the counter do, and what a lax verifier would let through
//! (`security.md` A8). The keys here are ordinary ones that play the device.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions,
    reason = "a test says what must be true by panicking"
)]

mod common;

use common::{Repeating, key_file, strings};
use ring::digest::{SHA256, digest};
use ssh_keys::wire::Reader;
use ssh_keys::{
    Demands, KeyError, KeyFileError, KeyKind, PrivateKey, PublicKey, SecurityKeyUse, SignatureAlgorithm,
    SignatureError, algorithm,
};

const KINDS: [(KeyKind, &SignatureAlgorithm); 2] = [
    (KeyKind::Ed25519, &algorithm::SK_ED25519),
    (KeyKind::EcdsaP256, &algorithm::SK_ECDSA_NISTP256),
];

/// A device with one key.
struct Device {
    key: PrivateKey,
    algorithm: &'static SignatureAlgorithm,
}

impl Device {
    fn new((kind, algorithm): (KeyKind, &'static SignatureAlgorithm)) -> Self {
        let key = PrivateKey::generate(kind, &mut Repeating::new((1..=97).collect::<Vec<u8>>()), "");
        Self { key, algorithm }
    }

    /// The fields of the key's blob behind its type.
    fn fields(&self) -> Vec<u8> {
        let mut reader = Reader::new(self.key.public().blob());
        let _ = reader.string().unwrap();
        reader.rest().to_vec()
    }

    fn public(&self, application: &[u8]) -> PublicKey {
        let blob = [
            strings(&[self.algorithm.name.as_bytes()]),
            self.fields(),
            strings(&[application]),
        ]
        .concat();
        PublicKey::from_blob(&blob).unwrap()
    }

    /// A signature blob of this name, with these bytes behind it.
    fn sign(&self, name: &str, application: &[u8], behind: &[u8], message: &[u8]) -> Vec<u8> {
        let hash = |bytes: &[u8]| digest(&SHA256, bytes).as_ref().to_vec();
        let signed = [hash(application), behind.to_vec(), hash(message)].concat();
        let blob = self.key.sign(self.key.algorithms()[0], &signed).unwrap();
        let mut reader = Reader::new(&blob);
        let _ = reader.string().unwrap();
        [&strings(&[name.as_bytes(), reader.string().unwrap()]), behind].concat()
    }
}

#[test]
fn the_flags_are_what_the_demands_ask_for() {
    let demands = |touch, verification| Demands { touch, verification };
    assert_eq!(Demands::default(), demands(true, false));
    for device in KINDS.map(Device::new) {
        let public = device.public(b"ssh:");
        for (flags, plain, untouched, verified) in [
            (
                0x00,
                Err(SignatureError::NotTouched),
                Ok(()),
                Err(SignatureError::NotTouched),
            ),
            (0x01, Ok(()), Ok(()), Err(SignatureError::NotVerified)),
            (
                0x04,
                Err(SignatureError::NotTouched),
                Ok(()),
                Err(SignatureError::NotTouched),
            ),
            (0x05, Ok(()), Ok(()), Ok(())),
            (
                0xfa,
                Err(SignatureError::NotTouched),
                Ok(()),
                Err(SignatureError::NotTouched),
            ),
            (0xff, Ok(()), Ok(()), Ok(())),
        ] {
            let blob = device.sign(device.algorithm.name, b"ssh:", &[flags, 0, 0, 1, 2], b"message");
            let verify = |demands: &Demands| {
                public
                    .verify_demanding(device.algorithm, b"message", &blob, demands)
                    .map(|_| ())
            };
            let usual = public.verify(device.algorithm, b"message", &blob).map(|_| ());
            assert_eq!(
                (usual, verify(&demands(true, false))),
                (plain.clone(), plain),
                "{flags:#x}"
            );
            assert_eq!(verify(&demands(false, false)), untouched, "{flags:#x}");
            assert_eq!(verify(&demands(true, true)), verified, "{flags:#x}");
            let proof = public.verify_demanding(device.algorithm, b"message", &blob, &demands(false, false));
            let expected = SecurityKeyUse {
                touched: flags & 1 != 0,
                verified: flags & 4 != 0,
                counter: 258,
            };
            assert_eq!(proof.unwrap().security_key(), Some(&expected));
        }
    }
}

#[test]
fn whatever_was_not_signed_is_refused() {
    for device in KINDS.map(Device::new) {
        let (algorithm, name) = (device.algorithm, device.algorithm.name);
        let public = device.public(b"ssh:");
        let good = device.sign(name, b"ssh:", &[1, 0, 0, 0, 7], b"message");
        let verify = |blob: &[u8]| public.verify(algorithm, b"message", blob).map(|_| ());
        assert_eq!(verify(&good), Ok(()));
        let end = good.len();
        let changed = |at: usize| {
            let mut blob = good.clone();
            blob[at] ^= 4;
            blob
        };
        let invalid = Err(SignatureError::Invalid);
        assert_eq!(verify(&changed(end - 5)), invalid, "flags");
        assert_eq!(verify(&changed(end - 1)), invalid, "counter");
        assert_eq!(
            verify(&device.sign(name, b"web:", &[1, 0, 0, 0, 7], b"message")),
            invalid,
            "application"
        );
        assert_eq!(
            verify(&device.sign(name, b"ssh:", &[1, 0, 0, 0, 7], b"massage")),
            invalid,
            "message"
        );
        assert!(
            device
                .public(b"web:")
                .verify(algorithm, b"message", &good)
                .is_err()
        );
        // Signed without the device's part, as a plain key would.
        let plain = device.key.sign(device.key.algorithms()[0], b"message").unwrap();
        let mut reader = Reader::new(&plain);
        let _ = reader.string().unwrap();
        let plain = [
            &strings(&[name.as_bytes(), reader.string().unwrap()])[..],
            &[1, 0, 0, 0, 7],
        ]
        .concat();
        assert_eq!(verify(&plain), invalid);
        for blob in [&good[..end - 1], &good[..end - 5], &[&good[..], &[0]].concat()] {
            assert!(matches!(verify(blob), Err(SignatureError::Malformed(_))));
        }
        for other in [
            device.key.public().key_type(),
            "webauthn-sk-ecdsa-sha2-nistp256@openssh.com",
            "",
        ] {
            let blob = device.sign(other, b"ssh:", &[1, 0, 0, 0, 7], b"message");
            assert!(matches!(
                verify(&blob),
                Err(SignatureError::WrongAlgorithm { .. })
            ));
        }
        // The same point as an ordinary key is another key.
        assert!(matches!(
            device.key.public().verify(algorithm, b"message", &good),
            Err(SignatureError::WrongKeyType { .. })
        ));
    }
}

#[test]
fn malformed_keys_are_refused() {
    for device in KINDS.map(Device::new) {
        let name = device.algorithm.name.as_bytes();
        let fields = device.fields();
        let read = |parts: &[&[u8]]| PublicKey::from_blob(&[&strings(&[name]), &parts.concat()[..]].concat());
        let application = strings(&[b"ssh:"]);
        assert!(read(&[&fields, &application]).is_ok());
        assert!(
            matches!(read(&[&fields]), Err(KeyError::Malformed(_))),
            "no application"
        );
        assert!(matches!(
            read(&[&fields, &application, &[0]]),
            Err(KeyError::Malformed(_))
        ));
        let mut off = fields.clone();
        let last = off.len() - 1;
        off[last] ^= 1;
        let off = read(&[&off, &application]);
        assert!(
            device.algorithm == &algorithm::SK_ED25519 || off == Err(KeyError::BadPoint("not on the curve"))
        );
        let short = if device.algorithm == &algorithm::SK_ED25519 {
            strings(&[&[9; 5]])
        } else {
            strings(&[b"nistp256", &[0]])
        };
        assert!(matches!(
            read(&[&short, &application]),
            Err(KeyError::WrongLength { .. } | KeyError::BadPoint("at infinity"))
        ));
    }
}

#[test]
fn a_key_file_of_a_security_key_says_what_it_is() {
    for device in KINDS.map(Device::new) {
        let public = device.public(b"ssh:");
        let file = key_file(&public, &device.fields());
        assert_eq!(PrivateKey::public_from_openssh(&file).unwrap(), public);
        assert_eq!(
            PrivateKey::from_openssh(&file, None).unwrap_err(),
            KeyFileError::UnsupportedKeyType(device.algorithm.name.to_owned())
        );
    }
}
