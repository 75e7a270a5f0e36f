//! Makes a key, locks it with a passphrase if one is given, writes both its files, and shows its fingerprint.
//!
//! `cargo run -p ssh-client --example demo_keygen -- id_ed25519 alice@laptop 'correct horse'`

#![allow(clippy::print_stdout, reason = "it is a program")]

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;

use ssh_client::keys::PrivateKey;
use ssh_client::system_rng;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let (file, comment, passphrase) = match words.as_slice() {
        [file, comment] => (file, comment, None),
        [file, comment, passphrase] => (file, comment, Some(passphrase.as_bytes())),
        _ => return Err("usage: demo_keygen file comment [passphrase]".into()),
    };
    let mut rng = system_rng()?;
    let key = PrivateKey::generate_ed25519(&mut *rng, comment);
    // Nobody else may read it, not even for a moment; and no key that is there already is replaced.
    let mut private = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(file)?;
    private.write_all(key.to_openssh(passphrase, &mut *rng)?.as_ref())?;
    fs::write(format!("{file}.pub"), key.public().to_openssh(comment) + "\n")?;
    println!("{} {comment}", key.public().fingerprint());
    Ok(())
}
