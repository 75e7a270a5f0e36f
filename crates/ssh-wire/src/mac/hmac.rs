//! `hmac-sha2-256`, `hmac-sha2-512` (RFC 6668, RFC 2104) and their `-etm@openssh.com` forms (OpenSSH `PROTOCOL` §1.5).

use ring::hmac::{Algorithm, Context, HMAC_SHA256, HMAC_SHA512, Key};

use super::{Authenticate, Construction, Mac};
use crate::wipe::overwrite;
use crate::{KeysError, Tier};

/// `hmac-sha2-256`.
pub static HMAC_SHA2_256: Mac = descriptor("hmac-sha2-256", 32, false, &Hmac(HMAC_SHA256));

/// `hmac-sha2-256-etm@openssh.com`.
pub static HMAC_SHA2_256_ETM: Mac = descriptor("hmac-sha2-256-etm@openssh.com", 32, true, &Hmac(HMAC_SHA256));

/// `hmac-sha2-512`.
pub static HMAC_SHA2_512: Mac = descriptor("hmac-sha2-512", 64, false, &Hmac(HMAC_SHA512));

/// `hmac-sha2-512-etm@openssh.com`.
pub static HMAC_SHA2_512_ETM: Mac = descriptor("hmac-sha2-512-etm@openssh.com", 64, true, &Hmac(HMAC_SHA512));

/// RFC 6668 §2: the key is as long as the digest.
const fn descriptor(
    name: &'static str,
    bytes: usize,
    etm: bool,
    construction: &'static dyn Construction,
) -> Mac {
    Mac {
        name,
        key_bytes: bytes,
        mac_bytes: bytes,
        etm,
        tier: if etm { Tier::Recommended } else { Tier::Compatible },
        construction,
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
