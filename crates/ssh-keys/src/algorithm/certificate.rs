//! The names under which keys are offered together with a certificate (OpenSSH `PROTOCOL.certkeys`).
//!
//! ```text
//! negotiated       ssh-ed25519-cert-v01@openssh.com          rsa-sha2-512-cert-v01@openssh.com
//! blob             ssh-ed25519-cert-v01@openssh.com          ssh-rsa-cert-v01@openssh.com
//! signature blob   ssh-ed25519                               rsa-sha2-512
//! ```
//!
//! The certified key signs as it does without its certificate, so nothing is computed here: each algorithm is the plain one
//! with two other names. There is none with SHA-1: whoever makes certificates today has a key that does better.

use super::{
    ECDSA_NISTP256, ECDSA_NISTP384, ECDSA_NISTP521, ED25519, RSA_SHA2_256, RSA_SHA2_512, SK_ECDSA_NISTP256,
    SK_ED25519, SignatureAlgorithm,
};

/// The type of every RSA certificate, whatever its key signs with.
const RSA_TYPE: &str = "ssh-rsa-cert-v01@openssh.com";

/// `ssh-ed25519` with a certificate.
pub static ED25519_CERT: SignatureAlgorithm = named("ssh-ed25519-cert-v01@openssh.com", &ED25519);
/// `ecdsa-sha2-nistp256` with a certificate.
pub static ECDSA_NISTP256_CERT: SignatureAlgorithm =
    named("ecdsa-sha2-nistp256-cert-v01@openssh.com", &ECDSA_NISTP256);
/// `ecdsa-sha2-nistp384` with a certificate.
pub static ECDSA_NISTP384_CERT: SignatureAlgorithm =
    named("ecdsa-sha2-nistp384-cert-v01@openssh.com", &ECDSA_NISTP384);
/// `ecdsa-sha2-nistp521` with a certificate.
pub static ECDSA_NISTP521_CERT: SignatureAlgorithm =
    named("ecdsa-sha2-nistp521-cert-v01@openssh.com", &ECDSA_NISTP521);
/// `sk-ssh-ed25519@openssh.com` with a certificate.
pub static SK_ED25519_CERT: SignatureAlgorithm = named("sk-ssh-ed25519-cert-v01@openssh.com", &SK_ED25519);
/// `sk-ecdsa-sha2-nistp256@openssh.com` with a certificate.
pub static SK_ECDSA_NISTP256_CERT: SignatureAlgorithm =
    named("sk-ecdsa-sha2-nistp256-cert-v01@openssh.com", &SK_ECDSA_NISTP256);
/// `rsa-sha2-512` with a certificate.
pub static RSA_SHA2_512_CERT: SignatureAlgorithm =
    certified("rsa-sha2-512-cert-v01@openssh.com", RSA_TYPE, &RSA_SHA2_512);
/// `rsa-sha2-256` with a certificate.
pub static RSA_SHA2_256_CERT: SignatureAlgorithm =
    certified("rsa-sha2-256-cert-v01@openssh.com", RSA_TYPE, &RSA_SHA2_256);

/// An algorithm whose certificates are of a type that has its own name.
const fn named(name: &'static str, plain: &'static SignatureAlgorithm) -> SignatureAlgorithm {
    certified(name, name, plain)
}

const fn certified(
    name: &'static str,
    certificate_type: &'static str,
    plain: &'static SignatureAlgorithm,
) -> SignatureAlgorithm {
    SignatureAlgorithm {
        name,
        signature_name: plain.signature_name,
        key_type: certificate_type,
        tier: plain.tier,
        certified: Some(plain),
        read_public: plain.read_public,
        read_private: plain.read_private,
    }
}
