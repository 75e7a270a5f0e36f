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
        finish(context, tag);
    }

    // The instructions for a block wait for each other most of the time: a processor that has two packets' blocks before it
    // works on both. Not so with SHA-512, which has blocks of 128 bytes and keeps a processor busy alone.
    fn gains_by_pairs(&self) -> bool {
        D::block_size() == 64
    }

    fn tag_two(&mut self, packets: [(u32, &[u8]); 2], tags: [&mut [u8]; 2]) {
        let block = D::block_size();
        let [(number, packet), (other_number, other_packet)] = packets;
        let (mut context, mut other) = (self.0.clone(), self.0.clone());
        // What follows the first block begins with a block, in both.
        let rest = first_block(&mut context, block, number, packet);
        let other_rest = first_block(&mut other, block, other_number, other_packet);
        let both = rest.len().min(other_rest.len());
        let ((ours, rest), (others, other_rest)) = (rest.split_at(both), other_rest.split_at(both));
        for (one, two) in ours.chunks(block).zip(others.chunks(block)) {
            context.update(one);
            other.update(two);
        }
        context.update(rest);
        other.update(other_rest);
        let [tag, other_tag] = tags;
        finish(context, tag);
        finish(other, other_tag);
    }
}

/// Takes in the number and as much of the packet as makes a block with it; the rest of the packet.
fn first_block<'p>(context: &mut impl hmac::Mac, block: usize, sequence: u32, packet: &'p [u8]) -> &'p [u8] {
    let number = sequence.to_be_bytes();
    let (head, rest) = packet.split_at(block.saturating_sub(number.len()).min(packet.len()));
    context.update(&number);
    context.update(head);
    rest
}

/// Fills the tag; one with `-96` in its name is shorter than the digest.
fn finish(context: impl hmac::Mac, tag: &mut [u8]) {
    for (to, from) in tag.iter_mut().zip(context.finalize().into_bytes()) {
        *to = from;
    }
}

#[cfg(test)]
mod tests {
    use crate::mac::ALL;

    #[test]
    fn two_tags_at_once_are_the_two_tags() {
        let bytes: Vec<u8> = (0..=255).cycle().take(1_000).collect();
        for mac in ALL {
            let mut keyed = mac.construction.keyed(&bytes[..mac.key_bytes]).unwrap();
            let lengths = [0, 1, 16, 59, 60, 61, 64, 123, 124, 125, 128, 188, 252, 500, 999];
            for one in lengths {
                for other in lengths {
                    let packets = [(7, &bytes[..one]), (u32::MAX, &bytes[1..=other])];
                    let [mut first, mut second, mut expected] = [[0; 64]; 3];
                    let tags = [&mut first[..mac.mac_bytes], &mut second[..mac.mac_bytes]];
                    keyed.tag_two(packets, tags);
                    for ((number, packet), tag) in packets.into_iter().zip([first, second]) {
                        keyed.tag(number, packet, &mut expected[..mac.mac_bytes]);
                        assert_eq!(tag, expected, "{mac:?}: {one} and {other} bytes");
                    }
                }
            }
        }
    }
}
