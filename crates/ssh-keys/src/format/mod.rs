//! The forms private keys have in files. One stands: OpenSSH's own.

mod bcrypt_kdf;
pub(crate) mod openssh;
pub(crate) mod pem;

pub use bcrypt_kdf::{BCRYPT_ROUNDS, MAX_BCRYPT_ROUNDS};
pub use pem::MAX_KEY_FILE_BYTES;
