//! `diffie-hellman-group-exchange-sha256`: Diffie-Hellman in a group that the server chooses within the client's bounds
//! (RFC 4419, RFC 8270).
//!
//! ```text
//!   client                                            server
//!   ExpectGroup  ────── 34 min, n, max ─────────────▶ ExpectRequest
//!       ◀────────────── 31 p, g ───────────────────── ExpectInit
//!   ExpectReply  ────── 32 e ───────────────────────▶
//!       ◀────────────── 33 K_S, f, signature ────────
//!
//!   H = HASH( V_C ‖ V_S ‖ I_C ‖ I_S ‖ K_S ‖ min ‖ n ‖ max ‖ p ‖ g ‖ e ‖ f ‖ K )
//! ```
//!
//! A client takes no group but one of the size it asked for whose modulus is a safe prime: those of RFC 3526 at once, any
//! other after `safe_prime` has tested it, once for each connection. A server chooses from its [`Moduli`] as OpenSSH does,
//! and from the groups of RFC 3526 where that has nothing that fits. The request of a single number (34's forerunner, 30) has
//! been out of use since 2006 and is refused.

use std::sync::Arc;

use super::dh::{Group, KeyPair, encoded};
use super::modp::fallbacks;
use super::safe_prime::is_safe_prime;
use super::{
    Agreement, ClientHalf, ClientStep, Context, HostKeyProof, Method, MethodError, NewClient, ReplyForm,
    ServerHalf, ServerStep, TestedPrimes,
};
use crate::exchange_hash::{Hash, SharedSecret};
use crate::moduli::{Moduli, Wanted};
use crate::wire::rand_core::CryptoRng;
use crate::wire::{Decode, Encode, Message, Mpint, Tier, message};

/// The smallest modulus used, in bits (RFC 8270).
pub const MIN_GROUP_BITS: u32 = 2048;
/// The largest modulus used, in bits (RFC 4419 §3).
pub const MAX_GROUP_BITS: u32 = 8192;

/// RFC 4419 §4.2.
pub static GROUP_EXCHANGE_SHA256: Method = method(
    "diffie-hellman-group-exchange-sha256",
    Tier::Compatible,
    Hash::SHA256,
);
/// RFC 4419 §4.1, with SHA-1.
pub static GROUP_EXCHANGE_SHA1: Method =
    method("diffie-hellman-group-exchange-sha1", Tier::Legacy, Hash::SHA1);

const fn method(name: &'static str, tier: Tier, hash: Hash) -> Method {
    Method {
        name,
        tier,
        hash,
        is_post_quantum: false,
        client: NewClient::Negotiated(|context, _rng| Box::new(ExpectGroup::new(context))),
        server: |context, _rng| {
            Box::new(ExpectRequest {
                moduli: Arc::clone(&context.moduli),
            })
        },
    }
}

message! {
    /// RFC 4419 §3, client to server.
    #[derive(Copy)]
    pub struct KexDhGexRequest = 34, "SSH_MSG_KEX_DH_GEX_REQUEST" {
        /// The smallest modulus the client takes, in bits.
        pub min: u32,
        /// The size it would like best, in bits.
        pub n: u32,
        /// The largest modulus it takes, in bits.
        pub max: u32,
    }
    /// RFC 4419 §3, server to client.
    pub struct KexDhGexGroup<'a> = 31, "SSH_MSG_KEX_DH_GEX_GROUP" {
        /// The modulus, a safe prime.
        pub p: Mpint<'a>,
        /// The generator.
        pub g: Mpint<'a>,
    }
    /// RFC 4419 §3, client to server.
    pub struct KexDhGexInit<'a> = 32, "SSH_MSG_KEX_DH_GEX_INIT" {
        /// e = g^x mod p.
        pub e: Mpint<'a>,
    }
    /// RFC 4419 §3, server to client.
    pub struct KexDhGexReply<'a> = 33, "SSH_MSG_KEX_DH_GEX_REPLY" {
        /// K_S.
        pub host_key: &'a [u8],
        /// f = g^y mod p.
        pub f: Mpint<'a>,
        /// Over H.
        pub signature: &'a [u8],
    }
}

/// The modulus whose strength is about that of a symmetric key, in bits (the steps of OpenSSH, from NIST SP 800-57).
const fn group_bits(strength_bits: u32) -> u32 {
    match strength_bits {
        0..=112 => 2048,
        113..=128 => 3072,
        129..=192 => 7680,
        _ => 8192,
    }
}

/// A client that has asked for a group.
struct ExpectGroup {
    request: KexDhGexRequest,
    tested: TestedPrimes,
}

impl ExpectGroup {
    fn new(context: &Context) -> Self {
        Self {
            request: KexDhGexRequest {
                min: MIN_GROUP_BITS,
                n: group_bits(context.strength_bits),
                max: MAX_GROUP_BITS,
            },
            tested: context.tested.clone(),
        }
    }
}

impl ClientHalf for ExpectGroup {
    fn first_message(&self) -> Vec<u8> {
        self.request.to_bytes()
    }

    fn receive<'a>(
        self: Box<Self>,
        payload: &'a [u8],
        rng: &mut dyn CryptoRng,
    ) -> Result<ClientStep<'a>, MethodError> {
        let offered = KexDhGexGroup::from_bytes(payload)?;
        let KexDhGexRequest { min, max, .. } = self.request;
        let bits = offered.p.bits();
        if !(min..=max).contains(&bits) {
            return Err(MethodError::GroupSize { bits, min, max });
        }
        let group = Group::new(offered.p, offered.g)?;
        let is_known = fallbacks()
            .iter()
            .any(|known| known.params().modulus() == group.params().modulus());
        let modulus = offered.p.magnitude();
        if !is_known && !self.tested.knows(modulus, || is_safe_prime(group.params(), rng)) {
            return Err(MethodError::Group("whose modulus is not a safe prime"));
        }
        Ok(ClientStep::Next(Box::new(ExpectReply {
            request: self.request,
            keys: KeyPair::generate(group, rng),
        })))
    }
}

/// A client whose group is settled.
struct ExpectReply {
    request: KexDhGexRequest,
    keys: KeyPair,
}

impl ClientHalf for ExpectReply {
    fn first_message(&self) -> Vec<u8> {
        KexDhGexInit { e: self.keys.share() }.to_bytes()
    }

    fn receive<'a>(
        self: Box<Self>,
        payload: &'a [u8],
        _rng: &mut dyn CryptoRng,
    ) -> Result<ClientStep<'a>, MethodError> {
        let reply = KexDhGexReply::from_bytes(payload)?;
        let secret = SharedSecret::Mpint(self.keys.agree(reply.f)?);
        let exchanged = exchanged(self.request, &self.keys, self.keys.share(), reply.f);
        Ok(ClientStep::Agreed(
            Agreement { exchanged, secret },
            HostKeyProof {
                host_key: reply.host_key,
                signature: reply.signature,
            },
        ))
    }
}

/// A server that waits for the client's bounds.
struct ExpectRequest {
    moduli: Arc<Moduli>,
}

impl ServerHalf for ExpectRequest {
    fn receive(self: Box<Self>, payload: &[u8], rng: &mut dyn CryptoRng) -> Result<ServerStep, MethodError> {
        let request = KexDhGexRequest::from_bytes(payload)?;
        let group = choose(&self.moduli, request, rng)?;
        let (modulus, generator) = (group.modulus_bytes(), group.generator_bytes());
        let offered = KexDhGexGroup {
            p: Mpint::from_magnitude(&modulus),
            g: Mpint::from_magnitude(&generator),
        };
        let next = ExpectInit {
            request,
            keys: KeyPair::generate(group, rng),
        };
        Ok(ServerStep::Send(offered.to_bytes(), Box::new(next)))
    }
}

/// A group for a request: the smallest that is not smaller than n, or else the largest, at random among those of its size.
/// Sizes that we never use are not refused as bounds, as in OpenSSH: some clients ask for up to 16384 bits.
fn choose(moduli: &Moduli, request: KexDhGexRequest, rng: &mut dyn CryptoRng) -> Result<Group, MethodError> {
    let KexDhGexRequest { min, n, max } = request;
    let refused = MethodError::GroupRequest { min, n, max };
    if !(min..=max).contains(&n) {
        return Err(refused);
    }
    let wanted = Wanted {
        min: min.max(MIN_GROUP_BITS),
        n: n.clamp(MIN_GROUP_BITS, MAX_GROUP_BITS),
        max: max.min(MAX_GROUP_BITS),
    };
    if let Some((modulus, generator)) = moduli.choose(wanted, rng) {
        return Group::new(Mpint::from_magnitude(&modulus), Mpint::from_magnitude(&generator));
    }
    let known = fallbacks();
    let size = wanted.best_of(known.iter().map(|group| group.modulus_bits()));
    let group = known.into_iter().find(|group| Some(group.modulus_bits()) == size);
    group.cloned().ok_or(refused)
}

/// A server whose group is on its way.
struct ExpectInit {
    request: KexDhGexRequest,
    keys: KeyPair,
}

impl ServerHalf for ExpectInit {
    fn receive(self: Box<Self>, payload: &[u8], _rng: &mut dyn CryptoRng) -> Result<ServerStep, MethodError> {
        let init = KexDhGexInit::from_bytes(payload)?;
        let secret = SharedSecret::Mpint(self.keys.agree(init.e)?);
        let exchanged = exchanged(self.request, &self.keys, init.e, self.keys.share());
        let reply = ReplyForm {
            number: KexDhGexReply::NUMBER,
            middle: encoded([self.keys.share()]),
        };
        Ok(ServerStep::Agreed(Agreement { exchanged, secret }, reply))
    }
}

/// What stands between K_S and K in the hash (RFC 4419 §3).
fn exchanged(request: KexDhGexRequest, keys: &KeyPair, e: Mpint<'_>, f: Mpint<'_>) -> Vec<u8> {
    let (modulus, generator) = (keys.group().modulus_bytes(), keys.group().generator_bytes());
    let mut out = Vec::new();
    for number in [request.min, request.n, request.max] {
        out.extend_from_slice(&number.to_be_bytes());
    }
    let (p, g) = (Mpint::from_magnitude(&modulus), Mpint::from_magnitude(&generator));
    out.extend(encoded([p, g, e, f]));
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::method::modp::{Group14, Group15, Group18, Modp};
    use crate::method::tests::Counter;

    /// A product of two primes, and a prime p with a composite (p - 1) / 2; neither has a factor below 2000. Drawn from
    /// SHA-512 and tested by Python.
    const PRODUCT: &str = "\
        d79ce8ae57df8695b4380302eea613d4ae15466703998db2c3e04c0fcd2187f3bb4fc308feeba538b83da201d5e6f4398f8b\
        cf87eeaa42c5506500a4066f52a46d7c515f73287a0bb756960a8725b531867f12f6774d015e5d4175abfd652702596284eb\
        a3b32e79381796497da22a67e32aece1b0e30edac468abedc0660f6cde16c6b56f76fb79a90e9fe6afc1f7150b5408b1234b\
        2cae30919915afd090065c4c81a0938bc4a3d36867d8fb254415699087e50edbbf3e60ebcc0dd91eb2f75c30b1bf3012f44b\
        7cd8511c31671cba832a6e8d20c17aa9d150909e92a592e11ee49b4b55ec021c294a67f176ca1fc1c5f8860bbc9d1de0dbb2\
        73d82e7c37e7";
    const HALF_SAFE: &str = "\
        fd0df1ae9649e0ce93709e37e3a3d30497feed617a054ec14807c243bad23c7bfd020b5369f038be620529780955dc57616f\
        98a4d5dda187c0ebaad460d2212b558bf627fa6fd246da81167b3edfb737134785faa7ae830fdb881e6bd13fd5a315098a67\
        619ac7c8028eb54a343b6f10cc587d54e8c0c76ac0afb2c0cb6cd2e6359e6c517d64f8365907a35c1e82c22339d0bade8a58\
        f917f6cbfe1fe2045cc6799303e53b79285081233daa2d553709d7889b271efe6d71410e59a82b6759fb9e95a1b557986dbf\
        a4125bd94fb68b9a4c75c39c0d47db5e14caaa77cb2413a66db4bc9c9a57f52d38478d1aaf8431f33b51a7f1171076847a51\
        a1794a62247f";

    fn file() -> Arc<Moduli> {
        Arc::new(Moduli::parse(include_bytes!("../../tests/moduli")).unwrap())
    }

    fn context(strength_bits: u32, moduli: Arc<Moduli>) -> Context {
        Context {
            strength_bits,
            moduli,
            tested: TestedPrimes::default(),
        }
    }

    fn unhex(hex: &str) -> Vec<u8> {
        (0..hex.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
            .collect()
    }

    /// What a server says to a request: the group's modulus and generator, or the refusal.
    fn answer(moduli: Arc<Moduli>, [min, n, max]: [u32; 3]) -> Result<(Vec<u8>, Vec<u8>), MethodError> {
        let mut rng = Counter(4);
        let server = GROUP_EXCHANGE_SHA256.server_half(&context(0, moduli), &mut rng);
        let request = KexDhGexRequest { min, n, max };
        match server.receive(&request.to_bytes(), &mut rng)? {
            ServerStep::Send(payload, _) => {
                let group = KexDhGexGroup::from_bytes(&payload).unwrap();
                Ok((group.p.magnitude().to_vec(), group.g.magnitude().to_vec()))
            }
            ServerStep::Agreed(..) => panic!("agreed on nothing"),
        }
    }

    /// What a client says to a group.
    fn judge(p: &[u8], g: &[u8]) -> Option<MethodError> {
        let mut rng = Counter(5);
        let client = GROUP_EXCHANGE_SHA256.client_half(&context(128, Arc::default()), &mut rng);
        let group = KexDhGexGroup {
            p: Mpint::from_magnitude(p),
            g: Mpint::from_magnitude(g),
        };
        client.receive(&group.to_bytes(), &mut rng).err()
    }

    #[test]
    fn a_client_asks_for_the_strength_of_its_ciphers() {
        for (strength_bits, n) in [
            (0, 2048),
            (112, 2048),
            (113, 3072),
            (128, 3072),
            (160, 7680),
            (192, 7680),
            (193, 8192),
            (256, 8192),
        ] {
            let context = context(strength_bits, Arc::default());
            let client = GROUP_EXCHANGE_SHA256.client_half(&context, &mut Counter(1));
            let expected = KexDhGexRequest {
                min: 2048,
                n,
                max: 8192,
            };
            assert_eq!(client.first_message(), expected.to_bytes());
        }
    }

    #[test]
    fn a_server_without_a_file_has_the_groups_of_the_rfc() {
        for (request, bits) in [
            ([2048, 2048, 8192], 2048),
            ([1024, 1024, 8192], 2048), // an older client's bounds
            ([2048, 3072, 8192], 3072),
            ([2048, 7680, 8192], 8192),
            ([1024, 2048, 16384], 2048),
            ([2048, 16384, 16384], 8192),
            ([2048, 4096, 5000], 4096),
            ([2048, 5000, 5000], 4096),
            ([0, 0, u32::MAX], 2048),
        ] {
            let (p, g) = answer(Arc::default(), request).unwrap();
            assert_eq!(
                (Mpint::from_magnitude(&p).bits(), g),
                (bits, vec![2]),
                "{request:?}"
            );
            assert!(fallbacks().iter().any(|known| known.modulus_bytes() == p));
        }
    }

    #[test]
    fn a_server_chooses_from_its_file_and_falls_back_where_nothing_fits() {
        for (request, bits, from_file) in [
            ([2048, 2048, 8192], 2048, true),
            ([2048, 3072, 8192], 3072, true),
            ([2048, 7680, 8192], 4096, true),
            ([6000, 7680, 8192], 8192, false),
            ([0, 0, u32::MAX], 2048, true),
        ] {
            let (p, _) = answer(file(), request).unwrap();
            assert_eq!(Mpint::from_magnitude(&p).bits(), bits, "{request:?}");
            let is_known = fallbacks().iter().any(|known| known.modulus_bytes() == p);
            assert_eq!(is_known, !from_file, "{request:?}");
        }
    }

    #[test]
    fn requests_that_contradict_themselves_or_cannot_be_met_are_refused() {
        for request in [
            [1, 1, 1],
            [1024, 1024, 2047],
            [8192, 1024, 2048],
            [2048, 1024, 8192],
            [2048, 8192, 4096],
            [8193, 8193, 16384],
            [2049, 2049, 3071],
            [u32::MAX, 0, 0],
        ] {
            for moduli in [Arc::default(), file()] {
                let [min, n, max] = request;
                assert_eq!(
                    answer(moduli, request),
                    Err(MethodError::GroupRequest { min, n, max }),
                    "{request:?}"
                );
            }
        }
        // The request of RFC 4419 §5's forerunner, a single number.
        let mut rng = Counter(1);
        let server = GROUP_EXCHANGE_SHA256.server_half(&Context::default(), &mut rng);
        assert!(matches!(
            server.receive(&[30, 0, 0, 8, 0], &mut rng).err(),
            Some(MethodError::Malformed(_))
        ));
    }

    #[test]
    fn a_client_takes_safe_primes_only() {
        let known = Group14::group().modulus_bytes();
        assert_eq!(judge(&known, &[2]), None);
        let mut rng = Counter(6);
        for n in [2048, 3072] {
            let wanted = Wanted { min: n, n, max: n };
            let (p, g) = file().choose(wanted, &mut rng).unwrap();
            assert_eq!(judge(&p, &g), None, "a safe prime nobody knows");
        }
        let mut spoiled = known.clone();
        spoiled[100] ^= 4;
        for p in [unhex(PRODUCT), unhex(HALF_SAFE), spoiled] {
            let expected = MethodError::Group("whose modulus is not a safe prime");
            assert_eq!(judge(&p, &[2]), Some(expected));
        }
        let mut even = known;
        even[255] ^= 1;
        assert_eq!(
            judge(&even, &[2]),
            Some(MethodError::Group("whose modulus is even"))
        );
    }

    #[test]
    fn a_client_takes_no_group_of_another_size() {
        let wide = |bits: usize| {
            let mut number = vec![0xff; bits.div_ceil(8)];
            if !bits.is_multiple_of(8) {
                number[0] = (1 << (bits % 8)) - 1;
            }
            number
        };
        for bits in [0, 1, 1023, 1024, 2047, 8193, 16_385, 100_000] {
            let expected = MethodError::GroupSize {
                bits: u32::try_from(bits).unwrap(),
                min: 2048,
                max: 8192,
            };
            assert_eq!(judge(&wide(bits), &[2]), Some(expected));
        }
        assert_eq!(
            judge(&Group18::group().modulus_bytes(), &[2]),
            None,
            "the largest"
        );
    }

    #[test]
    fn a_client_takes_no_generator_that_generates_nothing() {
        let p = Group15::group().modulus_bytes();
        let mut last = p.clone();
        last[383] ^= 1;
        for g in [vec![], vec![1], last, p.clone(), [&[1], &p[..]].concat()] {
            let expected = MethodError::Group("whose generator is not between 1 and p - 1");
            assert_eq!(judge(&p, &g), Some(expected));
        }
        let mut negative = KexDhGexGroup {
            p: Mpint::from_magnitude(&p),
            g: Mpint::from_magnitude(&[0xff]),
        }
        .to_bytes();
        let at = negative.len() - 2;
        negative.remove(at);
        negative[at - 1] = 1;
        let mut rng = Counter(5);
        let client = GROUP_EXCHANGE_SHA256.client_half(&Context::default(), &mut rng);
        assert!(matches!(
            client.receive(&negative, &mut rng).err(),
            Some(MethodError::Malformed(_))
        ));
    }

    #[test]
    fn both_halves_agree_in_a_group_of_the_file() {
        let mut rng = Counter(8);
        let context = context(128, file());
        let client = GROUP_EXCHANGE_SHA1.client_half(&context, &mut rng);
        let server = GROUP_EXCHANGE_SHA1.server_half(&context, &mut rng);
        let Ok(ServerStep::Send(group, server)) = server.receive(&client.first_message(), &mut rng) else {
            panic!("no group")
        };
        let Ok(ClientStep::Next(client)) = client.receive(&group, &mut rng) else {
            panic!("the group is refused")
        };
        let Ok(ServerStep::Agreed(of_server, form)) = server.receive(&client.first_message(), &mut rng)
        else {
            panic!("the share is refused")
        };
        let reply = form.fill(b"key", b"signature");
        let Ok(ClientStep::Agreed(of_client, _)) = client.receive(&reply, &mut rng) else {
            panic!("the reply is refused")
        };
        assert_eq!(of_server.exchanged, of_client.exchanged);
        assert_eq!(of_server.secret.encoded(), of_client.secret.encoded());
        let bounds: Vec<u8> = [2048_u32, 3072, 8192]
            .iter()
            .flat_map(|bound| bound.to_be_bytes())
            .collect();
        assert!(
            of_client.exchanged.starts_with(&bounds),
            "min, n and max are hashed"
        );
        assert!(of_client.exchanged[12..].starts_with(&group[1..]), "then p and g");
    }
}
