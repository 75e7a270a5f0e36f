//! What holds for every registered method: its vectors, and what both halves refuse.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::Path;

use super::modp::Modp;
use super::*;
use crate::derive::{KeySource, Purpose};
use crate::exchange_hash::{SessionId, Transcript};
use crate::wire::Decode;
use crate::wire::rand_core::{TryCryptoRng, TryRng};

#[test]
fn names_are_unique_and_found() {
    for (index, method) in ALL.iter().enumerate() {
        assert!(!ALL[..index].contains(method));
        assert_eq!(find(method.name), Some(*method));
    }
    assert_eq!(find("rsa2048-sha256"), None);
}

#[test]
fn a_filled_reply_decodes() {
    let payload = ecdh_reply(b"share").fill(b"key", b"signature");
    let reply = KexEcdhReply::from_bytes(&payload).unwrap();
    let expected = KexEcdhReply {
        host_key: b"key",
        server_share: b"share",
        signature: b"signature",
    };
    assert_eq!(reply, expected);
}

/// Gives the bytes of a vector instead of random ones, and none twice.
struct Script(Vec<u8>);

impl TryRng for Script {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, target: &mut [u8]) -> Result<(), Infallible> {
        let rest = self.0.split_off(target.len());
        target.copy_from_slice(&std::mem::replace(&mut self.0, rest));
        Ok(())
    }
}

impl TryCryptoRng for Script {}

/// `tests/vectors/<method>.txt`: lines `name = hex`, and comments that name the source.
fn vectors_of(method: &Method) -> BTreeMap<String, Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors");
    let path = folder.join(format!("{}.txt", method.name));
    let text = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("a registered method needs vectors, {}: {error}", path.display()));
    let value = |hex: &str| {
        (0..hex.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
            .collect()
    };
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.split_once(" = ").unwrap())
        .map(|(name, hex)| (name.to_owned(), value(hex)))
        .collect()
}

/// Both halves of a method, at the point where the client's share is due.
struct Halves {
    client: Box<dyn ClientHalf>,
    client_rng: Script,
    server: Box<dyn ServerHalf>,
    server_rng: Script,
    /// The numbers of the message with the client's share and of the one with the server's.
    numbers: [u8; 2],
}

impl Halves {
    /// With the randomness of the vectors; what goes before the shares must be what the vectors say.
    fn new(method: &Method) -> Self {
        let vectors = vectors_of(method);
        let context = Context {
            strength_bits: 128,
            ..Context::default()
        };
        let mut client_rng = Script(vectors["client_random"].clone());
        let mut server_rng = Script(vectors["server_random"].clone());
        let client = method.client_half(&context, &mut client_rng);
        let server = method.server_half(&context, &mut server_rng);
        let mut halves = Self {
            client,
            client_rng,
            server,
            server_rng,
            numbers: [30, 31],
        };
        if let Some(request) = vectors.get("request") {
            assert_eq!(halves.client.first_message(), *request, "{method:?}");
            let Ok(ServerStep::Send(group, server)) = halves.server.receive(request, &mut halves.server_rng)
            else {
                panic!("{method:?}: the server half sent no group")
            };
            assert_eq!(group, vectors["group"], "{method:?}");
            let Ok(ClientStep::Next(client)) = halves.client.receive(&group, &mut halves.client_rng) else {
                panic!("{method:?}: the client half did not take the group")
            };
            (halves.client, halves.server, halves.numbers) = (client, server, [32, 33]);
        }
        halves
    }
}

/// A client's message with its share: a string or, which is the same on the wire, an mpint.
fn init(number: u8, share: &[u8]) -> Vec<u8> {
    [&[number][..], &share.to_bytes()].concat()
}

/// A server's message with its share.
fn reply(number: u8, host_key: &[u8], share: &[u8], signature: &[u8]) -> Vec<u8> {
    let form = ReplyForm {
        number,
        middle: share.to_bytes(),
    };
    form.fill(host_key, signature)
}

#[test]
fn every_method_agrees_with_its_vectors() {
    for method in ALL {
        let vectors = vectors_of(method);
        let text = |name| std::str::from_utf8(&vectors[name]).unwrap();
        let Halves {
            client,
            mut client_rng,
            server,
            mut server_rng,
            numbers,
        } = Halves::new(method);
        let said = client.first_message();
        assert_eq!(said, init(numbers[0], &vectors["client_share"]), "{method:?}");
        let Ok(ServerStep::Agreed(of_server, form)) = server.receive(&said, &mut server_rng) else {
            panic!("{method:?}: the server half did not agree")
        };
        let said = form.fill(&vectors["host_key"], b"signature");
        let expected = reply(
            numbers[1],
            &vectors["host_key"],
            &vectors["server_share"],
            b"signature",
        );
        assert_eq!(said, expected, "{method:?}");
        let Ok(ClientStep::Agreed(of_client, proof)) = client.receive(&said, &mut client_rng) else {
            panic!("{method:?}: the client half did not agree")
        };
        assert_eq!(
            (proof.host_key, proof.signature),
            (&vectors["host_key"][..], &b"signature"[..])
        );

        for agreement in [of_server, of_client] {
            assert_eq!(
                **agreement.secret.encoded(),
                vectors["encoded_secret"],
                "{method:?}"
            );
            let hash = Transcript {
                client_identification: text("client_identification"),
                server_identification: text("server_identification"),
                client_kexinit: &vectors["client_kexinit"],
                server_kexinit: &vectors["server_kexinit"],
                host_key: proof.host_key,
                exchanged: &agreement.exchanged,
            }
            .hash(method.hash, &agreement.secret);
            assert_eq!(hash.as_ref(), vectors["exchange_hash"], "{method:?}");
            check_keys(&vectors, &|session_id| {
                KeySource::new(method.hash, &agreement.secret, hash, session_id)
            });
        }
        assert!(
            client_rng.0.is_empty() && server_rng.0.is_empty(),
            "{method:?}: randomness is used up"
        );
    }
}

fn check_keys(vectors: &BTreeMap<String, Vec<u8>>, source: &dyn Fn(SessionId) -> KeySource) {
    // The vectors' session identifier: a digest, as every one is.
    let session_id = SessionId::of_first(Hash::SHA256.digest(&[b"an earlier exchange"]));
    assert_eq!(session_id.as_ref(), vectors["session_id"]);
    let source = source(session_id);
    for (name, purpose) in [
        ("key_a", Purpose::IvClientToServer),
        ("key_b", Purpose::IvServerToClient),
        ("key_c", Purpose::CipherClientToServer),
        ("key_d", Purpose::CipherServerToClient),
        ("key_e", Purpose::MacClientToServer),
        ("key_f", Purpose::MacServerToClient),
    ] {
        for length in [0, 12, 32, 33, 64, 80] {
            assert_eq!(
                source.derive(purpose, length)[..],
                vectors[name][..length],
                "{name}"
            );
        }
    }
}

/// What both halves of a method say to these shares.
fn refusals(method: &Method, of_client: &[u8], of_server: &[u8]) -> [Option<MethodError>; 2] {
    let mut halves = Halves::new(method);
    let [init_number, reply_number] = halves.numbers;
    let init = init(init_number, of_client);
    let by_server = halves.server.receive(&init, &mut halves.server_rng).err();
    let reply = reply(reply_number, b"", of_server, b"");
    let by_client = halves.client.receive(&reply, &mut halves.client_rng).err();
    [by_server, by_client]
}

fn is_diffie_hellman(method: &Method) -> bool {
    method.name.starts_with("diffie-hellman-")
}

#[test]
fn shares_of_the_wrong_length_are_refused() {
    for method in ALL.iter().filter(|method| !is_diffie_hellman(method)) {
        let vectors = vectors_of(method);
        let (client, server) = (&vectors["client_share"], &vectors["server_share"]);
        assert_eq!(refusals(method, client, server), [None, None]);
        for (client, server) in [
            (client[1..].to_vec(), server[1..].to_vec()),
            (
                client[..client.len() - 1].to_vec(),
                server[..server.len() - 1].to_vec(),
            ),
            (
                [client.as_slice(), &[0]].concat(),
                [server.as_slice(), &[0]].concat(),
            ),
            (Vec::new(), Vec::new()),
        ] {
            for refusal in refusals(method, &client, &server) {
                assert!(
                    matches!(refusal, Some(MethodError::ShareLength { .. })),
                    "{method:?}: {refusal:?}"
                );
            }
        }
    }
}

/// The points of small order on Curve25519 and its twist, in every encoding of 32 bytes (RFC 7748 §7: what gives the
/// all-zero secret; the values are 0, 1, p-1, the two of order 8, and those that are equal to them modulo p).
fn low_order_points() -> Vec<[u8; 32]> {
    let order_8 = [
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    ];
    let unhex = |hex: &str| {
        let mut point = [0; 32];
        for (index, byte) in point.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&hex[2 * index..2 * index + 2], 16).unwrap();
        }
        point
    };
    let near_p = |lowest: u8| {
        let mut point = [0xff; 32];
        point[0] = lowest;
        point[31] = 0x7f;
        point
    };
    let mut one = [0; 32];
    one[0] = 1;
    let mut points = vec![[0; 32], one, near_p(0xec), near_p(0xed), near_p(0xee)];
    points.extend(order_8.map(unhex));
    // The highest bit is passed over (RFC 7748 §5), so each has a second form.
    let second: Vec<_> = points
        .iter()
        .map(|point| {
            let mut point = *point;
            point[31] |= 0x80;
            point
        })
        .collect();
    points.extend(second);
    points
}

#[test]
fn points_of_low_order_are_refused_by_both_halves_of_every_method() {
    for method in ALL.iter().filter(|method| method.name.contains("25519")) {
        let vectors = vectors_of(method);
        for point in low_order_points() {
            // In every method that has one the X25519 point is the end of the share.
            let spoiled = |share: &Vec<u8>| [&share[..share.len() - 32], &point[..]].concat();
            let refusals = refusals(
                method,
                &spoiled(&vectors["client_share"]),
                &spoiled(&vectors["server_share"]),
            );
            for refusal in refusals {
                assert!(
                    matches!(refusal, Some(MethodError::ShareValue(_))),
                    "{method:?} {point:02x?}"
                );
            }
        }
    }
}

/// What stands at the end of a share of these methods: `04 ‖ x ‖ y`, with coordinates of so many bytes.
fn coordinate_bytes(method: &Method) -> Option<usize> {
    [("nistp256", 32), ("nistp384", 48), ("nistp521", 66)]
        .into_iter()
        .find_map(|(curve, bytes)| method.name.contains(curve).then_some(bytes))
}

/// Makes something else of a point.
type Spoil<'a> = &'a dyn Fn(&mut [u8]);

#[test]
fn what_is_no_point_of_its_curve_is_refused_by_both_halves_of_every_method() {
    for (method, bytes) in ALL
        .iter()
        .filter_map(|method| Some((*method, coordinate_bytes(method)?)))
    {
        let vectors = vectors_of(method);
        let spoiled = |share: &[u8], spoil: Spoil<'_>| {
            let mut share = share.to_vec();
            let at = share.len() - 1 - 2 * bytes;
            assert_eq!(share[at], 4);
            spoil(&mut share[at..]);
            share
        };
        let spoils: [Spoil<'_>; 11] = [
            &|point| point[1 + 2 * bytes - 1] ^= 1, // off the curve, by y
            &|point| point[bytes] ^= 1,             // off the curve, by x
            &|point| point[1..].fill(0),            // (0, 0), off these curves
            &|point| point[1..].fill(0xff),         // coordinates over the field
            &|point| point[1..=bytes].fill(0xff),   // one of them
            &|point| point.fill(0),                 // infinity, made as long as a point
            &|point| point[0] = 0,
            &|point| point[0] = 2, // forms that say themselves compressed, compact or hybrid
            &|point| point[0] = 3,
            &|point| point[0] = 5,
            &|point| point[0] = 6 | point[2 * bytes] & 1,
        ];
        for (index, spoil) in spoils.iter().enumerate() {
            let refusals = refusals(
                method,
                &spoiled(&vectors["client_share"], spoil),
                &spoiled(&vectors["server_share"], spoil),
            );
            for refusal in refusals {
                assert!(
                    matches!(refusal, Some(MethodError::ShareValue(_))),
                    "{method:?} {index}: {refusal:?}"
                );
            }
        }
        // Infinity and the compressed form have lengths of their own.
        for length in [1, 1 + bytes] {
            let cut = |share: &[u8]| {
                let (kem, point) = share.split_at(share.len() - 1 - 2 * bytes);
                let first = if length == 1 { 0 } else { 2 | point[2 * bytes] & 1 };
                [kem, &[first], &point[1..length]].concat()
            };
            for refusal in refusals(
                method,
                &cut(&vectors["client_share"]),
                &cut(&vectors["server_share"]),
            ) {
                assert!(
                    matches!(refusal, Some(MethodError::ShareLength { .. })),
                    "{method:?}"
                );
            }
        }
    }
}

#[test]
fn encapsulation_keys_with_unreduced_coefficients_are_refused() {
    for method in ALL.iter().filter(|method| method.name.starts_with("mlkem")) {
        let vectors = vectors_of(method);
        let honest = &vectors["client_share"];
        // 12 bits each, least significant first: the first coefficient stands in the first byte and half of the
        // next, the last one in the other half of its byte and the next. 0xfff is the largest that fits.
        let end = 384 * if method.name.contains("1024") { 4 } else { 3 };
        for coefficient in [3329_u16, 0xfff] {
            let [low, high] = coefficient.to_le_bytes();
            let mut first = honest.clone();
            first[0] = low;
            first[1] = first[1] & 0xf0 | high;
            let mut last = honest.clone();
            last[end - 2] = last[end - 2] & 0x0f | low << 4;
            last[end - 1] = high << 4 | low >> 4;
            for share in [first, last] {
                let [refusal, _] = refusals(method, &share, &vectors["server_share"]);
                assert!(matches!(refusal, Some(MethodError::ShareValue(_))), "{refusal:?}");
            }
        }
    }
}

/// The prime of a Diffie-Hellman method's vectors, as an unsigned number of whole bytes.
fn prime_of(method: &Method) -> Vec<u8> {
    let group = match method.name {
        "diffie-hellman-group1-sha1" => modp::Group1::group(),
        "diffie-hellman-group14-sha1" | "diffie-hellman-group14-sha256" => modp::Group14::group(),
        "diffie-hellman-group16-sha512" => modp::Group16::group(),
        "diffie-hellman-group17-sha512" => modp::Group17::group(),
        "diffie-hellman-group18-sha512" => modp::Group18::group(),
        _ => modp::Group15::group(),
    };
    group.modulus_bytes()
}

#[test]
fn numbers_that_would_fix_the_secret_are_refused_by_both_halves_of_every_method() {
    for method in ALL.iter().filter(|method| is_diffie_hellman(method)) {
        let vectors = vectors_of(method);
        let (client, server) = (&vectors["client_share"], &vectors["server_share"]);
        assert_eq!(refusals(method, client, server), [None, None], "{method:?}");
        let prime = prime_of(method);
        let near = |change: i16| {
            // The lowest bits of these primes are ones: a change by one carries into nothing below the third byte.
            let mut number = prime.clone();
            let mut carry = change;
            for byte in number.iter_mut().rev() {
                let value = i16::from(*byte) + carry;
                *byte = u8::try_from(value.rem_euclid(256)).unwrap();
                carry = value.div_euclid(256);
            }
            [&[0], &number[..]].concat()
        };
        let huge = vec![0x7f; 16 * 1024];
        // 0, 1, p - 1, p, p + 1; one bit longer than p; far longer.
        for number in [
            vec![],
            vec![1],
            near(-1),
            near(0),
            near(1),
            [&[1], &prime[..]].concat(),
            huge,
        ] {
            for refusal in refusals(method, &number, &number) {
                assert_eq!(
                    refusal,
                    Some(MethodError::ShareValue("not between 1 and p - 1")),
                    "{method:?} {number:02x?}"
                );
            }
        }
        // -1, a padded 2, the highest number as a negative one.
        for number in [&[0xff][..], &[0, 2], &prime] {
            for refusal in refusals(method, number, number) {
                assert!(
                    matches!(refusal, Some(MethodError::Malformed(DecodeError::BadMpint(_)))),
                    "{method:?} {number:02x?}: {refusal:?}"
                );
            }
        }
        // 2 and p - 2 are as good as any other.
        for number in [vec![2], near(-2)] {
            assert_eq!(refusals(method, &number, &number), [None, None], "{method:?}");
        }
    }
}

#[test]
fn other_messages_of_the_range_are_refused() {
    for method in ALL {
        let wrong = |due: u8| (30..=49).filter(move |number| *number != due);
        let is_refused = |refusal: Option<MethodError>| {
            matches!(
                refusal,
                Some(MethodError::Malformed(DecodeError::WrongMessage { .. }))
            )
        };
        for number in wrong(Halves::new(method).numbers[0]) {
            let mut halves = Halves::new(method);
            let payload = [number, 0, 0, 0, 0];
            let refusal = halves.server.receive(&payload, &mut halves.server_rng).err();
            assert!(is_refused(refusal), "{method:?} {number}");
        }
        for number in wrong(Halves::new(method).numbers[1]) {
            let mut halves = Halves::new(method);
            let payload = [number, 0, 0, 0, 0];
            let refusal = halves.client.receive(&payload, &mut halves.client_rng).err();
            assert!(is_refused(refusal), "{method:?} {number}");
        }
    }
}

/// Random enough for a primality test, and the same every time.
pub(crate) struct Counter(pub(crate) u64);

impl TryRng for Counter {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let [first, second, third, fourth, ..] = self.try_next_u64()?.to_le_bytes();
        Ok(u32::from_le_bytes([first, second, third, fourth]))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, target: &mut [u8]) -> Result<(), Infallible> {
        for chunk in target.chunks_mut(32) {
            self.0 += 1;
            let digest = Hash::SHA256.digest(&[&self.0.to_be_bytes()]);
            chunk.copy_from_slice(&digest.as_ref()[..chunk.len()]);
        }
        Ok(())
    }
}

impl TryCryptoRng for Counter {}
