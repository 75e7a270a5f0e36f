//! Keys from a shared secret: the letters A to F of RFC 4253 §7.2, with the extension for long keys.

use zeroize::Zeroizing;

use crate::exchange_hash::{Digest, Hash, SessionId, SharedSecret};

/// What a derived key is for; the letter enters the hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    IvClientToServer,
    IvServerToClient,
    CipherClientToServer,
    CipherServerToClient,
    MacClientToServer,
    MacServerToClient,
}

impl Purpose {
    const fn letter(self) -> u8 {
        match self {
            Self::IvClientToServer => b'A',
            Self::IvServerToClient => b'B',
            Self::CipherClientToServer => b'C',
            Self::CipherServerToClient => b'D',
            Self::MacClientToServer => b'E',
            Self::MacServerToClient => b'F',
        }
    }
}

/// Everything keys are derived from.
pub(crate) struct KeySource {
    hash: Hash,
    secret: Zeroizing<Vec<u8>>,
    exchange_hash: Digest,
    session_id: SessionId,
}

impl KeySource {
    pub(crate) fn new(
        hash: Hash,
        secret: &SharedSecret,
        exchange_hash: Digest,
        session_id: SessionId,
    ) -> Self {
        Self {
            hash,
            secret: secret.encoded(),
            exchange_hash,
            session_id,
        }
    }

    /// The first `length` bytes of K1 ‖ K2 ‖ …, where K1 = HASH(K ‖ H ‖ letter ‖ session id) and every further block is
    /// HASH(K ‖ H ‖ all blocks before it).
    pub(crate) fn derive(&self, purpose: Purpose, length: usize) -> Zeroizing<Vec<u8>> {
        let head: [&[u8]; 2] = [&self.secret, self.exchange_hash.as_ref()];
        let first = self
            .hash
            .digest(&[head[0], head[1], &[purpose.letter()], self.session_id.as_ref()]);
        let block = first.as_ref().len();
        // Whole blocks, reserved at once: a vector that grows would leave copies of keys behind.
        let mut key = Zeroizing::new(Vec::with_capacity(length.saturating_add(block)));
        key.extend_from_slice(first.as_ref());
        while key.len() < length {
            let next = self.hash.digest(&[head[0], head[1], &key]);
            key.extend_from_slice(next.as_ref());
        }
        key.truncate(length);
        key
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_tell_directions_and_uses_apart() {
        let secret = SharedSecret::String(Zeroizing::new(vec![1; 32]));
        let hash = Hash::SHA256.digest(&[b"h"]);
        let source = KeySource::new(Hash::SHA256, &secret, hash, SessionId::of_first(hash));
        let all: Vec<_> = [
            Purpose::IvClientToServer,
            Purpose::IvServerToClient,
            Purpose::CipherClientToServer,
            Purpose::CipherServerToClient,
            Purpose::MacClientToServer,
            Purpose::MacServerToClient,
        ]
        .map(|purpose| source.derive(purpose, 64).to_vec())
        .into();
        for (index, key) in all.iter().enumerate() {
            assert_eq!(key.len(), 64);
            assert!(!all[..index].contains(key));
        }
        assert_eq!(
            source.derive(Purpose::IvClientToServer, 12)[..],
            all[0][..12],
            "a short key is a prefix"
        );
        assert!(source.derive(Purpose::IvClientToServer, 0).is_empty());
    }
}
