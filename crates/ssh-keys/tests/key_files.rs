//! Private key files: those that the real ssh-keygen wrote, our own, and broken ones (`security.md` B22).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions,
    reason = "a test says what must be true by panicking"
)]

mod common;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common::{KINDS, Repeating, fixture, fixture_text};
use ssh_keys::wire::{DecodeError, Reader, Writer};
use ssh_keys::{FileProblem, KeyError, KeyFileError, MAX_BCRYPT_ROUNDS, PrivateKey, PublicKey};

fn public_of(name: &str) -> (PublicKey, String) {
    PublicKey::from_openssh(&fixture_text(&format!("{name}.pub"))).unwrap()
}

/// The error a file is refused with.
fn refused(text: &[u8], passphrase: Option<&[u8]>) -> KeyFileError {
    PrivateKey::from_openssh(text, passphrase).unwrap_err()
}

/// The parts of a key file, to take it apart, change it and put it together.
#[derive(Clone)]
struct Parts {
    magic: Vec<u8>,
    cipher: Vec<u8>,
    kdf: Vec<u8>,
    kdf_options: Vec<u8>,
    keys: u32,
    public: Vec<u8>,
    section: Vec<u8>,
    tag: Vec<u8>,
}

impl Parts {
    fn of(name: &str) -> Self {
        let text = fixture_text(name);
        let body: String = text.lines().filter(|line| !line.starts_with('-')).collect();
        let bytes = STANDARD.decode(body).unwrap();
        let mut reader = Reader::new(&bytes);
        let parts = Self {
            magic: reader.take(15).unwrap().to_vec(),
            cipher: reader.string().unwrap().to_vec(),
            kdf: reader.string().unwrap().to_vec(),
            kdf_options: reader.string().unwrap().to_vec(),
            keys: reader.uint32().unwrap(),
            public: reader.string().unwrap().to_vec(),
            section: reader.string().unwrap().to_vec(),
            tag: reader.rest().to_vec(),
        };
        assert_eq!(parts.bytes(), bytes);
        parts
    }

    fn bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let mut writer = Writer::new(&mut out);
        writer.raw(&self.magic);
        writer.string(&self.cipher);
        writer.string(&self.kdf);
        writer.string(&self.kdf_options);
        writer.uint32(self.keys);
        writer.string(&self.public);
        writer.string(&self.section);
        writer.raw(&self.tag);
        out
    }

    fn text(&self) -> Vec<u8> {
        armour(&self.bytes())
    }

    fn with(mut self, change: impl FnOnce(&mut Self)) -> Vec<u8> {
        change(&mut self);
        self.text()
    }
}

fn armour(bytes: &[u8]) -> Vec<u8> {
    format!(
        "-----BEGIN OPENSSH PRIVATE KEY-----\n{}\n-----END OPENSSH PRIVATE KEY-----\n",
        STANDARD.encode(bytes)
    )
    .into_bytes()
}

fn bcrypt_options(rounds: u32) -> Vec<u8> {
    let mut out = Vec::new();
    let mut writer = Writer::new(&mut out);
    writer.string(&[1; 16]);
    writer.uint32(rounds);
    out
}

#[test]
fn files_of_ssh_keygen_are_read() {
    let passphrase = fixture("passphrase");
    for (name, passphrase) in [
        ("ed25519", None),
        ("ed25519_no_comment", None),
        ("ed25519_odd_comment", None),
        ("ecdsa_256", None),
        ("ecdsa_384", None),
        ("ecdsa_521", None),
        ("ecdsa_encrypted", Some(&passphrase[..])),
        ("rsa", None),
        ("rsa_3072", None),
        ("rsa_encrypted", Some(&passphrase[..])),
        ("ed25519_default", Some(&passphrase[..])),
        ("ed25519_aes128-ctr", Some(&passphrase)),
        ("ed25519_aes192-ctr", Some(&passphrase)),
        ("ed25519_aes256-ctr", Some(&passphrase)),
        ("ed25519_aes128-gcm", Some(&passphrase)),
        ("ed25519_aes256-gcm", Some(&passphrase)),
        ("ed25519_chacha20-poly1305", Some(&passphrase)),
        ("ed25519_aes128-cbc", Some(&passphrase)),
        ("ed25519_aes192-cbc", Some(&passphrase)),
        ("ed25519_aes256-cbc", Some(&passphrase)),
        ("ed25519_3des-cbc", Some(&passphrase)),
    ] {
        let key = PrivateKey::from_openssh(&fixture(name), passphrase)
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        let (public, comment) = public_of(name);
        assert_eq!(
            (key.public(), key.comment()),
            (&public, comment.as_str()),
            "{name}"
        );
        assert_eq!(
            PrivateKey::public_from_openssh(&fixture(name)).unwrap(),
            public,
            "{name}"
        );
        assert!(!key.algorithms().is_empty(), "{name}");
        for algorithm in key.algorithms() {
            let signature = key.sign(algorithm, b"message").unwrap();
            assert!(public.verify(algorithm, b"message", &signature).is_ok(), "{name}");
        }
        if passphrase.is_some() {
            assert_eq!(
                refused(&fixture(name), None),
                KeyFileError::PassphraseNeeded,
                "{name}"
            );
            assert_eq!(
                refused(&fixture(name), Some(b"wrong")),
                KeyFileError::WrongPassphrase,
                "{name}"
            );
            assert_eq!(
                refused(&fixture(name), Some(b"")),
                KeyFileError::WrongPassphrase,
                "{name}"
            );
        }
    }
}

#[test]
fn fingerprints_are_those_of_ssh_keygen() {
    for (name, line) in [
        "ed25519",
        "ed25519_no_comment",
        "ed25519_odd_comment",
        "ecdsa_256",
        "ecdsa_384",
        "ecdsa_521",
        "rsa",
        "rsa_3072",
    ]
    .into_iter()
    .zip(fixture_text("fingerprints").lines())
    {
        let (bits, rest) = line.split_once(' ').unwrap();
        let expected = rest.split(' ').next().unwrap();
        assert_eq!(public_of(name).0.bits(), bits.parse::<usize>().unwrap(), "{name}");
        assert_eq!(public_of(name).0.fingerprint().to_string(), expected);
        assert_eq!(public_of(name).0.fingerprint(), expected.parse().unwrap());
    }
}

#[test]
fn a_file_that_is_not_read_says_what_it_is() {
    let passphrase = fixture("passphrase");
    let format = |name: &str| KeyFileError::UnsupportedFormat(name.to_owned());
    for (name, expected) in [
        ("rsa_pem", format("RSA PRIVATE KEY")),
        ("rsa_pkcs8", format("PRIVATE KEY")),
        ("rsa_pkcs8_encrypted", format("ENCRYPTED PRIVATE KEY")),
        ("ed25519.pub", KeyFileError::NotAPrivateKey),
        ("known_hosts", KeyFileError::NotAPrivateKey),
    ] {
        assert_eq!(refused(&fixture(name), Some(&passphrase)), expected, "{name}");
        assert_eq!(refused(&fixture(name), None), expected, "{name}");
    }
    // The public half needs no cipher.
    let unknown =
        Parts::of("ed25519_aes256-cbc").with(|p| p.cipher = b"rijndael-cbc@lysator.liu.se".to_vec());
    assert_eq!(
        refused(&unknown, Some(&passphrase)),
        KeyFileError::UnsupportedCipher("rijndael-cbc@lysator.liu.se".to_owned())
    );
    assert_eq!(
        PrivateKey::public_from_openssh(&unknown).unwrap(),
        public_of("ed25519_aes256-cbc").0
    );
}

#[test]
fn every_broken_part_of_a_plain_file_has_its_own_error() {
    let plain = Parts::of("ed25519");
    let other = Parts::of("ed25519_no_comment");
    let malformed = KeyFileError::Malformed;
    for (what, text, expected) in [
        (
            "magic",
            plain.clone().with(|p| p.magic[14] = b'2'),
            malformed(FileProblem::Magic),
        ),
        ("empty", armour(b""), malformed(FileProblem::Magic)),
        (
            "no keys",
            plain.clone().with(|p| p.keys = 0),
            KeyFileError::KeyCount(0),
        ),
        (
            "two keys",
            plain.clone().with(|p| p.keys = 2),
            KeyFileError::KeyCount(2),
        ),
        (
            "2^32-1 keys",
            plain.clone().with(|p| p.keys = u32::MAX),
            KeyFileError::KeyCount(u32::MAX),
        ),
        (
            "kdf without cipher",
            plain.clone().with(|p| p.kdf = b"bcrypt".to_vec()),
            malformed(FileProblem::KdfMismatch),
        ),
        (
            "options without kdf",
            plain.clone().with(|p| p.kdf_options = vec![0]),
            malformed(FileProblem::KdfMismatch),
        ),
        (
            "cipher",
            plain.clone().with(|p| p.cipher = b"rot13".to_vec()),
            KeyFileError::UnsupportedCipher("rot13".to_owned()),
        ),
        (
            "cipher, not UTF-8",
            plain.clone().with(|p| p.cipher = vec![0xff]),
            KeyFileError::UnsupportedCipher("\\xff".to_owned()),
        ),
        (
            "cipher without kdf",
            plain.clone().with(|p| p.cipher = b"aes256-ctr".to_vec()),
            malformed(FileProblem::KdfMismatch),
        ),
        (
            "trailing",
            plain.clone().with(|p| p.tag.push(0)),
            malformed(FileProblem::TrailingBytes(1)),
        ),
        (
            "public half",
            plain.clone().with(|p| p.public = other.public),
            malformed(FileProblem::PublicMismatch),
        ),
        (
            "public half cut",
            plain.clone().with(|p| p.public.truncate(20)),
            malformed(FileProblem::Key(KeyError::Malformed(DecodeError::TooShort {
                needed: 32,
                left: 1,
            }))),
        ),
        (
            "check numbers",
            plain.clone().with(|p| p.section[0] ^= 1),
            malformed(FileProblem::CheckNumbers),
        ),
        (
            "section length",
            plain.clone().with(|p| p.section.push(1)),
            malformed(FileProblem::SectionLength {
                bytes: plain.section.len() + 1,
                block_bytes: 8,
            }),
        ),
        (
            "no section",
            plain.clone().with(|p| p.section.clear()),
            malformed(FileProblem::SectionLength {
                bytes: 0,
                block_bytes: 8,
            }),
        ),
        (
            "type inside",
            plain.clone().with(|p| p.section[12] = b'x'),
            KeyFileError::UnsupportedKeyType("xsh-ed25519".to_owned()),
        ),
        // 4 + 4 check, 4 + 11 type, 4 + 32 public, 4 + 64 pair.
        (
            "public inside",
            plain.clone().with(|p| p.section[30] ^= 1),
            malformed(FileProblem::PublicMismatch),
        ),
        (
            "seed",
            plain.clone().with(|p| p.section[70] ^= 1),
            malformed(FileProblem::PublicMismatch),
        ),
        (
            "repeated public",
            plain.clone().with(|p| p.section[110] ^= 1),
            malformed(FileProblem::PublicMismatch),
        ),
        (
            "length of the public half inside",
            plain.clone().with(|p| p.section[26] = 31),
            malformed(FileProblem::Key(KeyError::WrongLength {
                key_type: "ssh-ed25519",
                expected: 32,
                found: 31,
            })),
        ),
    ] {
        assert_eq!(refused(&text, None), expected, "{what}");
    }
}

#[test]
fn padding_counts_up_from_one() {
    // Without a comment the content has 4+4 + 4+11 + 4+32 + 4+64 + 4 = 131 bytes, so 5 bytes of padding stand there.
    let plain = Parts::of("ed25519");
    let key = PrivateKey::from_openssh(&fixture("ed25519"), None).unwrap();
    let content = 131 + key.comment().len();
    let padding = plain.section.len() - content;
    assert!(padding > 0 && plain.section[content..] == [1, 2, 3, 4, 5, 6, 7][..padding]);
    for at in content..plain.section.len() {
        let text = plain
            .clone()
            .with(|parts| parts.section[at] = parts.section[at].wrapping_add(1));
        assert_eq!(
            refused(&text, None),
            KeyFileError::Malformed(FileProblem::Padding)
        );
    }
    // More blocks than needed are let pass while they count on, as OpenSSH does; from 256 on it is no padding any more.
    let count = |blocks: usize| {
        plain.clone().with(|parts| {
            let first = u8::try_from(padding + 1).unwrap();
            parts
                .section
                .extend((0..8 * blocks).map(|more| first.wrapping_add(more as u8)));
        })
    };
    assert!(PrivateKey::from_openssh(&count(1), None).is_ok());
    assert_eq!(
        refused(&count(32), None),
        KeyFileError::Malformed(FileProblem::Padding)
    );
}

#[test]
fn bcrypt_options_that_are_too_much_or_nothing_are_refused_at_once() {
    let encrypted = Parts::of("ed25519_aes256-ctr");
    let passphrase = fixture("passphrase");
    let start = std::time::Instant::now();
    let too_many = |rounds| KeyFileError::TooManyRounds {
        rounds,
        limit: MAX_BCRYPT_ROUNDS,
    };
    for (rounds, expected) in [
        (1 << 31, too_many(1 << 31)),
        (u32::MAX, too_many(u32::MAX)),
        (MAX_BCRYPT_ROUNDS + 1, too_many(MAX_BCRYPT_ROUNDS + 1)),
        (0, KeyFileError::Malformed(FileProblem::ZeroRounds)),
    ] {
        let text = encrypted
            .clone()
            .with(|parts| parts.kdf_options = bcrypt_options(rounds));
        assert_eq!(refused(&text, Some(&passphrase)), expected);
    }
    // The smallest of these would take days; whatever else the machine does takes less than this.
    assert!(start.elapsed().as_secs() < 60, "{:?}", start.elapsed());
}

#[test]
fn broken_encrypted_files_are_not_called_a_wrong_passphrase_where_they_can_be_told_apart() {
    let passphrase = fixture("passphrase");
    let malformed = KeyFileError::Malformed;
    let ctr = Parts::of("ed25519_aes256-ctr");
    let gcm = Parts::of("ed25519_aes256-gcm");
    let salt_only = [0, 0, 0, 1, 1].to_vec();
    for (what, text, expected) in [
        (
            "kdf",
            ctr.clone().with(|p| p.kdf = b"scrypt".to_vec()),
            KeyFileError::UnsupportedKdf("scrypt".to_owned()),
        ),
        (
            "no kdf",
            ctr.clone().with(|p| p.kdf = b"none".to_vec()),
            malformed(FileProblem::KdfMismatch),
        ),
        (
            "options cut",
            ctr.clone().with(|p| p.kdf_options = salt_only),
            malformed(FileProblem::Decode(DecodeError::TooShort { needed: 4, left: 0 })),
        ),
        (
            "no options",
            ctr.clone().with(|p| p.kdf_options.clear()),
            malformed(FileProblem::Decode(DecodeError::TooShort { needed: 4, left: 0 })),
        ),
        (
            "section length",
            ctr.clone().with(|p| p.section.truncate(p.section.len() - 8)),
            malformed(FileProblem::SectionLength {
                bytes: ctr.section.len() - 8,
                block_bytes: 16,
            }),
        ),
        (
            "trailing",
            ctr.clone().with(|p| p.tag = vec![0; 3]),
            malformed(FileProblem::TrailingBytes(3)),
        ),
        (
            "behind the tag",
            gcm.clone().with(|p| p.tag.push(0)),
            malformed(FileProblem::TrailingBytes(1)),
        ),
        (
            "tag cut",
            gcm.clone().with(|p| p.tag.truncate(15)),
            malformed(FileProblem::Decode(DecodeError::TooShort {
                needed: 16,
                left: 15,
            })),
        ),
        // A cipher that checks cannot say whether the key or the content is wrong.
        (
            "tag",
            gcm.clone().with(|p| p.tag[0] ^= 1),
            KeyFileError::WrongPassphrase,
        ),
        (
            "content",
            gcm.clone().with(|p| p.section[40] ^= 1),
            KeyFileError::WrongPassphrase,
        ),
        // A cipher that does not check says so by the check numbers; behind them the file is broken.
        (
            "check numbers",
            ctr.clone().with(|p| p.section[0] ^= 1),
            KeyFileError::WrongPassphrase,
        ),
        (
            "seed",
            ctr.clone().with(|p| p.section[70] ^= 1),
            malformed(FileProblem::PublicMismatch),
        ),
        (
            "padding",
            ctr.clone().with(|p| *p.section.last_mut().unwrap() ^= 1),
            malformed(FileProblem::Padding),
        ),
    ] {
        assert_eq!(refused(&text, Some(&passphrase)), expected, "{what}");
    }
}

#[test]
fn our_own_files_are_read_back() {
    let mut rng = Repeating::new((0..=255).collect::<Vec<u8>>());
    for comment in [
        "",
        "a",
        "alice@example.org",
        "Ünïcode",
        "1234567",
        "12345678901234567890",
    ] {
        for kind in KINDS {
            let key = PrivateKey::generate(kind, &mut rng, comment);
            let plain = key.to_openssh(None, &mut rng).unwrap();
            let read = PrivateKey::from_openssh(plain.as_bytes(), None).unwrap();
            assert_eq!((read.public(), read.comment()), (key.public(), comment));
        }
    }
    let key = PrivateKey::generate_ed25519(&mut rng, "encrypted");
    let text = key.to_openssh(Some(b"secret"), &mut rng).unwrap();
    assert_eq!(
        PrivateKey::from_openssh(text.as_bytes(), Some(b"secret"))
            .unwrap()
            .public(),
        key.public()
    );
    assert_eq!(
        refused(text.as_bytes(), Some(b"Secret")),
        KeyFileError::WrongPassphrase
    );
    assert_eq!(refused(text.as_bytes(), None), KeyFileError::PassphraseNeeded);
    assert_eq!(
        key.to_openssh(Some(b""), &mut rng).unwrap_err(),
        KeyFileError::EmptyPassphrase
    );
}

#[test]
fn a_plain_file_is_byte_for_byte_the_one_ssh_keygen_wrote() {
    for name in [
        "ed25519",
        "ed25519_no_comment",
        "ed25519_odd_comment",
        "ecdsa_256",
        "ecdsa_384",
        "ecdsa_521",
        "rsa",
        "rsa_3072",
    ] {
        let key = PrivateKey::from_openssh(&fixture(name), None).unwrap();
        // The check number is the one random part.
        let check = Parts::of(name).section[..4].to_vec();
        assert_eq!(
            *key.to_openssh(None, &mut Repeating::new(check)).unwrap(),
            fixture_text(name),
            "{name}"
        );
    }
}

#[test]
fn truncated_and_changed_files_never_panic_and_never_yield_another_key() {
    let passphrase = fixture("passphrase");
    let every: &[u8] = &[0x01, 0x80, 0xff];
    // A changed byte of an encrypted file costs a round of bcrypt: one change each is enough there.
    for (name, passphrase, changes) in [
        ("ed25519", None, every),
        ("ed25519_aes256-ctr", Some(&passphrase[..]), &[0x80]),
        ("ecdsa_256", None, &[0x01]),
        ("rsa", None, &[0x80]),
    ] {
        let bytes = Parts::of(name).bytes();
        let original = PrivateKey::from_openssh(&fixture(name), passphrase).ok();
        for length in 0..bytes.len() {
            assert!(
                PrivateKey::from_openssh(&armour(&bytes[..length]), passphrase).is_err(),
                "{name} cut to {length}"
            );
        }
        for at in 0..bytes.len() {
            for change in changes {
                let mut changed = bytes.clone();
                changed[at] ^= change;
                // A changed comment or check number pair is still a file of the same key; nothing else is a file.
                if let Ok(key) = PrivateKey::from_openssh(&armour(&changed), passphrase) {
                    assert_eq!(
                        Some(key.public()),
                        original.as_ref().map(PrivateKey::public),
                        "{name} at {at}"
                    );
                }
                let _ = PrivateKey::public_from_openssh(&armour(&changed));
            }
        }
        let text = fixture(name);
        for at in 0..text.len() {
            let _ = PrivateKey::public_from_openssh(&text[..at]);
            let mut changed = text.clone();
            changed[at] ^= 0x15;
            let _ = PrivateKey::public_from_openssh(&changed);
        }
    }
}
