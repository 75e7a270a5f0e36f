//! `hmac-sha2-256`, `hmac-sha2-512` (RFC 6668), `hmac-sha1`, `hmac-sha1-96` (RFC 4253 §6.4), all RFC 2104, and their
//! `-etm@openssh.com` forms (OpenSSH `PROTOCOL` §1.5).

use ring::hmac::{Algorithm, Context, HMAC_SHA1_FOR_LEGACY_USE_ONLY, HMAC_SHA256, HMAC_SHA512, Key};

use super::{Authenticate, Construction, Mac};
use crate::wipe::overwrite;
use crate::{KeysError, Tier};

/// `hmac-sha2-256`.
pub static HMAC_SHA2_256: Mac = sha2("hmac-sha2-256", 32, Tier::Compatible, &SHA2_256);

/// `hmac-sha2-256-etm@openssh.com`.
pub static HMAC_SHA2_256_ETM: Mac =
    sha2("hmac-sha2-256-etm@openssh.com", 32, Tier::Recommended, &SHA2_256).etm();

/// `hmac-sha2-512`.
pub static HMAC_SHA2_512: Mac = sha2("hmac-sha2-512", 64, Tier::Compatible, &SHA2_512);

/// `hmac-sha2-512-etm@openssh.com`.
pub static HMAC_SHA2_512_ETM: Mac =
    sha2("hmac-sha2-512-etm@openssh.com", 64, Tier::Recommended, &SHA2_512).etm();

/// `hmac-sha1`: collisions of SHA-1 are no attack on it, and many servers in use know nothing newer.
pub static HMAC_SHA1: Mac = sha1("hmac-sha1", 20, Tier::Compatible);

/// `hmac-sha1-etm@openssh.com`.
pub static HMAC_SHA1_ETM: Mac = sha1("hmac-sha1-etm@openssh.com", 20, Tier::Compatible).etm();

/// `hmac-sha1-96`: the first 96 bits of `hmac-sha1`.
pub static HMAC_SHA1_96: Mac = sha1("hmac-sha1-96", 12, Tier::Legacy);

/// `hmac-sha1-96-etm@openssh.com`.
pub static HMAC_SHA1_96_ETM: Mac = sha1("hmac-sha1-96-etm@openssh.com", 12, Tier::Legacy).etm();

static SHA2_256: Hmac = Hmac(HMAC_SHA256);
static SHA2_512: Hmac = Hmac(HMAC_SHA512);
static SHA1: Hmac = Hmac(HMAC_SHA1_FOR_LEGACY_USE_ONLY);

/// RFC 6668 §2: the key is as long as the digest.
const fn sha2(name: &'static str, bytes: usize, tier: Tier, construction: &'static Hmac) -> Mac {
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
        construction: &SHA1,
    }
}

/// HMAC over one digest, not keyed yet.
struct Hmac(Algorithm);

impl Construction for Hmac {
    fn keyed(&self, key: &[u8]) -> Result<Box<dyn Authenticate>, KeysError> {
        Ok(Box::new(Keyed(Key::new(self.0, key))))
    }
}

/// A key whose inner and outer digest states are computed once.
struct Keyed(Key);

impl Authenticate for Keyed {
    fn tag(&mut self, sequence: u32, packet: &[u8], tag: &mut [u8]) {
        let mut context = Context::with_key(&self.0);
        context.update(&sequence.to_be_bytes());
        context.update(packet);
        let computed = context.sign();
        // A tag with `-96` in its name is shorter than the digest.
        for (to, from) in tag.iter_mut().zip(computed.as_ref()) {
            *to = *from;
        }
    }
}

impl Drop for Keyed {
    fn drop(&mut self) {
        let harmless = Key::new(self.0.algorithm(), &[]);
        overwrite(&mut self.0, harmless);
    }
}
