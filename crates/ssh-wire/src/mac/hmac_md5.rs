//! `hmac-md5`, `hmac-md5-96` (RFC 4253 §6.4, RFC 2104) and their `-etm@openssh.com` forms. MD5 is broken as a hash;
//! HMAC over it is not, but nothing new should rest on it.

use md5::Md5;

use super::Mac;
use super::hmac::Over;
use crate::Tier;

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
        construction: &Over::<Md5>::NEW,
    }
}
