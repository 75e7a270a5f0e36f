//! `ecdh-sha2-nistp256`, `-nistp384` and `-nistp521` (RFC 5656 §4, §10.1): Diffie-Hellman over the NIST prime curves.
//!
//! A share is a point in SEC 1's uncompressed form (`04 ‖ x ‖ y`). RFC 5656 §4 allows the compressed form too; nobody
//! sends it, so only the one length is taken.

use p256::NistP256;
use p256::elliptic_curve::sec1::{FromSec1Point, ModulusSize, ToSec1Point};
use p256::elliptic_curve::{Curve, CurveArithmetic, FieldBytes, PublicKey, SecretKey};
use p384::NistP384;
use p521::NistP521;
use zeroize::{Zeroize, Zeroizing};

use super::ecdh::{self, KeyPair};
use super::{Method, MethodError, NewClient};
use crate::exchange_hash::Hash;
use crate::wire::Tier;
use crate::wire::rand_core::CryptoRng;

/// RFC 5656 §10.1, over P-256.
pub static ECDH_NISTP256: Method = Method {
    name: "ecdh-sha2-nistp256",
    tier: Tier::Compatible,
    is_post_quantum: false,
    hash: Hash::SHA256,
    client: NewClient::Ahead(ecdh::client::<Nist<NistP256>>),
    server: ecdh::server::<Nist<NistP256>>,
};

/// RFC 5656 §10.1, over P-384.
pub static ECDH_NISTP384: Method = Method {
    name: "ecdh-sha2-nistp384",
    tier: Tier::Compatible,
    is_post_quantum: false,
    hash: Hash::SHA384,
    client: NewClient::Ahead(ecdh::client::<Nist<NistP384>>),
    server: ecdh::server::<Nist<NistP384>>,
};

/// RFC 5656 §10.1, over P-521.
pub static ECDH_NISTP521: Method = Method {
    name: "ecdh-sha2-nistp521",
    tier: Tier::Compatible,
    is_post_quantum: false,
    hash: Hash::SHA512,
    client: NewClient::Ahead(ecdh::client::<Nist<NistP521>>),
    server: ecdh::server::<Nist<NistP521>>,
};

/// What is to be known of a curve beyond its arithmetic.
pub(super) trait NistCurve:
    Curve<FieldBytesSize: ModulusSize> + CurveArithmetic<AffinePoint: FromSec1Point<Self> + ToSec1Point<Self>>
{
    /// The length of an uncompressed point: one byte and two coordinates.
    const POINT_BYTES: usize;
    /// The bits of a scalar's first byte that the order of the curve has, too.
    const FIRST_BYTE: u8;
}

impl NistCurve for NistP256 {
    const POINT_BYTES: usize = 65;
    const FIRST_BYTE: u8 = 0xff;
}

impl NistCurve for NistP384 {
    const POINT_BYTES: usize = 97;
    const FIRST_BYTE: u8 = 0xff;
}

impl NistCurve for NistP521 {
    const POINT_BYTES: usize = 133;
    const FIRST_BYTE: u8 = 0x01;
}

/// What an uncompressed point begins with (SEC 1 §2.3.3).
const UNCOMPRESSED: u8 = 4;

/// A key pair on a NIST curve for one exchange.
pub(super) struct Nist<C: NistCurve> {
    secret: SecretKey<C>,
    share: Vec<u8>,
}

impl<C: NistCurve> KeyPair for Nist<C> {
    const SHARE_BYTES: usize = C::POINT_BYTES;

    fn generate(rng: &mut dyn CryptoRng) -> Self {
        let secret = scalar(rng);
        let share = secret.public_key().to_sec1_point(false).as_bytes().to_vec();
        Self { secret, share }
    }

    fn share(&self) -> &[u8] {
        &self.share
    }

    /// RFC 5656 §4: a peer's point is validated. Off the curve it would tell the secret in pieces, and infinity fixes the
    /// result; the order of these curves is prime, so every other point is good.
    fn agree(self, theirs: &[u8]) -> Result<Zeroizing<Vec<u8>>, MethodError> {
        if theirs.len() != C::POINT_BYTES {
            return Err(MethodError::ShareLength {
                what: "point of a NIST curve",
                expected: C::POINT_BYTES,
                found: theirs.len(),
            });
        }
        if theirs.first() != Some(&UNCOMPRESSED) {
            return Err(MethodError::ShareValue(
                "a point in another form than uncompressed",
            ));
        }
        let theirs = PublicKey::<C>::from_sec1_bytes(theirs)
            .map_err(|_| MethodError::ShareValue("no point of the NIST curve"))?;
        let shared = self.secret.diffie_hellman(&theirs);
        Ok(Zeroizing::new(shared.raw_secret_bytes().to_vec()))
    }
}

/// A secret scalar: bytes are drawn until they are one below the order (FIPS 186-5, A.2.2), which is at once but for one
/// time in 2^32.
fn scalar<C: NistCurve>(rng: &mut dyn CryptoRng) -> SecretKey<C> {
    let mut bytes = FieldBytes::<C>::default();
    loop {
        rng.fill_bytes(&mut bytes);
        if let Some(first) = bytes.first_mut() {
            *first &= C::FIRST_BYTE;
        }
        let secret = SecretKey::from_bytes(&bytes);
        bytes.zeroize();
        if let Ok(secret) = secret {
            return secret;
        }
    }
}
