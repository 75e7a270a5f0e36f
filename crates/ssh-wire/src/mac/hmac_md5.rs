//! `hmac-md5`, `hmac-md5-96` (RFC 4253 §6.4, RFC 2104) and their `-etm@openssh.com` forms. MD5 is broken as a hash;
//! HMAC over it is not, but nothing new should rest on it.

use hmac::{Hmac, KeyInit, Mac as _};
use md5::Md5;

use super::{Authenticate, Construction, Mac};
use crate::{KeysError, Tier};

/// `hmac-md5`.
pub static HMAC_MD5: Mac = descriptor("hmac-md5", 16);

/// `hmac-md5-etm@openssh.com`.
pub static HMAC_MD5_ETM: Mac = descriptor("hmac-md5-etm@openssh.com", 16).etm();

/// `hmac-md5-96`: the first 96 bits of `hmac-md5`.
pub static HMAC_MD5_96: Mac = descriptor("hmac-md5-96", 12);

/// `hmac-md5-96-etm@openssh.com`.
pub static HMAC_MD5_96_ETM: Mac = descriptor("hmac-md5-96-etm@openssh.com", 12).etm();

const fn descriptor(name: &'static str, mac_bytes: usize) -> Mac {
    Mac {
        name,
        key_bytes: 16,
        mac_bytes,
        etm: false,
        tier: Tier::Legacy,
        construction: &HmacMd5,
    }
}

/// HMAC-MD5, not keyed yet.
struct HmacMd5;

impl Construction for HmacMd5 {
    fn keyed(&self, key: &[u8]) -> Result<Box<dyn Authenticate>, KeysError> {
        let keyed = Hmac::new_from_slice(key).map_err(|_| KeysError::Length {
            algorithm: HMAC_MD5.name,
            what: "key",
            needed: HMAC_MD5.key_bytes,
            found: key.len(),
        })?;
        Ok(Box::new(Keyed(keyed)))
    }
}

/// A key whose inner and outer digest states are computed once; they wipe themselves.
struct Keyed(Hmac<Md5>);

impl Authenticate for Keyed {
    fn tag(&mut self, sequence: u32, packet: &[u8], tag: &mut [u8]) {
        let mut context = self.0.clone();
        context.update(&sequence.to_be_bytes());
        context.update(packet);
        let computed = context.finalize().into_bytes();
        for (to, from) in tag.iter_mut().zip(computed) {
            *to = from;
        }
    }
}
