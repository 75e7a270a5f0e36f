//! `hmac-sha2-256`, `hmac-sha2-512` (RFC 6668), `hmac-sha1`, `hmac-sha1-96` (RFC 4253 §6.4), all RFC 2104, and their
//! `-etm@openssh.com` forms (OpenSSH `PROTOCOL` §1.5).

use std::marker::PhantomData;

use hmac::digest::OutputSizeUser;
use hmac::{EagerHash, Hmac, KeyInit, Mac as _};
use sha1::Sha1;
use sha2::{Sha256, Sha512};

use super::{Authenticate, Construction, Mac};
use crate::{KeysError, Tier};

/// `hmac-sha2-256`.
pub static HMAC_SHA2_256: Mac = sha2("hmac-sha2-256", 32, Tier::Compatible, &Over::<Sha256>::NEW);

/// `hmac-sha2-256-etm@openssh.com`.
pub static HMAC_SHA2_256_ETM: Mac = sha2(
    "hmac-sha2-256-etm@openssh.com",
    32,
    Tier::Recommended,
    &Over::<Sha256>::NEW,
)
.etm();

/// `hmac-sha2-512`.
pub static HMAC_SHA2_512: Mac = sha2("hmac-sha2-512", 64, Tier::Compatible, &Over::<Sha512>::NEW);

/// `hmac-sha2-512-etm@openssh.com`.
pub static HMAC_SHA2_512_ETM: Mac = sha2(
    "hmac-sha2-512-etm@openssh.com",
    64,
    Tier::Recommended,
    &Over::<Sha512>::NEW,
)
.etm();

/// `hmac-sha1`: collisions of SHA-1 are no attack on it, and many servers in use know nothing newer.
pub static HMAC_SHA1: Mac = sha1("hmac-sha1", 20, Tier::Compatible);

/// `hmac-sha1-etm@openssh.com`.
pub static HMAC_SHA1_ETM: Mac = sha1("hmac-sha1-etm@openssh.com", 20, Tier::Compatible).etm();

/// `hmac-sha1-96`: the first 96 bits of `hmac-sha1`.
pub static HMAC_SHA1_96: Mac = sha1("hmac-sha1-96", 12, Tier::Legacy);

/// `hmac-sha1-96-etm@openssh.com`.
pub static HMAC_SHA1_96_ETM: Mac = sha1("hmac-sha1-96-etm@openssh.com", 12, Tier::Legacy).etm();

/// RFC 6668 §2: the key is as long as the digest.
const fn sha2(name: &'static str, bytes: usize, tier: Tier, construction: &'static dyn Construction) -> Mac {
    Mac {
        name,
        key_bytes: bytes,
        mac_bytes: bytes,
        etm: false,
        tier,
        construction,
    }
}

/// RFC 4253 §6.4: the key is as long as the digest, however much of it is sent.
const fn sha1(name: &'static str, mac_bytes: usize, tier: Tier) -> Mac {
    Mac {
        name,
        key_bytes: 20,
        mac_bytes,
        etm: false,
        tier,
        construction: &Over::<Sha1>::NEW,
    }
}

/// HMAC over one digest, not keyed yet.
pub(super) struct Over<D>(PhantomData<fn() -> D>);

impl<D> Over<D> {
    pub(super) const NEW: Self = Self(PhantomData);
}

impl<D> Construction for Over<D>
where
    D: EagerHash + 'static,
    Hmac<D>: hmac::Mac + KeyInit + Clone + Send,
{
    fn keyed(&self, key: &[u8]) -> Result<Box<dyn Authenticate>, KeysError> {
        // HMAC takes a key of any length, so this refuses nothing; how long it has to be is `Mac::check_length`'s.
        let keyed = <Hmac<D> as KeyInit>::new_from_slice(key).map_err(|_| KeysError::Length {
            algorithm: "HMAC",
            what: "key",
            needed: <D as OutputSizeUser>::output_size(),
            found: key.len(),
        })?;
        Ok(Box::new(Keyed(keyed)))
    }
}

/// A key whose inner and outer digest states are computed once; they wipe themselves.
struct Keyed<D: EagerHash>(Hmac<D>);

impl<D> Authenticate for Keyed<D>
where
    D: EagerHash,
    Hmac<D>: hmac::Mac + Clone + Send,
{
    fn tag(&mut self, sequence: u32, packet: &[u8], tag: &mut [u8]) {
        let mut context = self.0.clone();
        context.update(&sequence.to_be_bytes());
        context.update(packet);
        // A tag with `-96` in its name is shorter than the digest.
        for (to, from) in tag.iter_mut().zip(context.finalize().into_bytes()) {
            *to = from;
        }
    }
}
