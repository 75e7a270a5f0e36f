//! A connection without a protocol: the arithmetic of `mlkem768x25519-sha256`, an Ed25519 host key and an Ed25519 user key
//! with our primitives, and as few messages as SSH can do with, as long as its are.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Instant;

use ed25519_dalek::{Signer, SigningKey};
use libcrux_ml_kem::mlkem768;
use x25519_dalek::{PublicKey, StaticSecret};

use crate::roles::Result;

/// Identification and KEXINIT.
const PROPOSAL: usize = 1_100;
/// KEX_ECDH_INIT: the client's share.
const INIT: usize = 1_232;
/// KEX_ECDH_REPLY, NEWKEYS: host key, share, signature.
const REPLY: usize = 1_312;
/// NEWKEYS, SERVICE_REQUEST and a signed USERAUTH_REQUEST.
const LOGIN: usize = 352;
/// SERVICE_ACCEPT, USERAUTH_SUCCESS.
const WELCOME: usize = 80;

const TEXT: [u8; 32] = [94; 32];

fn say(stream: &mut TcpStream, length: usize) -> Result<()> {
    Ok(stream.write_all(&vec![0; length])?)
}

fn hear(stream: &mut TcpStream, length: usize) -> Result<()> {
    Ok(stream.read_exact(&mut vec![0; length])?)
}

/// What a side has made before the exchange and shown to the other: its part in what follows is the same each time.
struct Parts {
    key: SigningKey,
    pair: mlkem768::MlKem768KeyPair,
    ciphertext: mlkem768::MlKem768Ciphertext,
    point: PublicKey,
}

impl Parts {
    fn new() -> Self {
        let pair = mlkem768::generate_key_pair([7; 64]);
        let (ciphertext, _) = mlkem768::encapsulate(pair.public_key(), [9; 32]);
        Self {
            key: SigningKey::from_bytes(&[7; 32]),
            pair,
            ciphertext,
            point: PublicKey::from(&StaticSecret::from([5; 32])),
        }
    }

    fn check(&self) -> Result<()> {
        let signature = self.key.sign(&TEXT);
        self.key
            .verifying_key()
            .verify_strict(&TEXT, &signature)
            .map_err(|_| "a signature does not verify")?;
        Ok(())
    }
}

fn client(address: std::net::SocketAddr, parts: &Parts) -> Result<()> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    say(&mut stream, PROPOSAL)?;
    let pair = mlkem768::generate_key_pair([8; 64]);
    let secret = StaticSecret::from([6; 32]);
    std::hint::black_box((pair.public_key(), PublicKey::from(&secret)));
    hear(&mut stream, PROPOSAL)?;
    say(&mut stream, INIT)?;
    hear(&mut stream, REPLY)?;
    std::hint::black_box(mlkem768::decapsulate(parts.pair.private_key(), &parts.ciphertext));
    std::hint::black_box(secret.diffie_hellman(&parts.point));
    // One signature made, one checked.
    parts.check()?;
    say(&mut stream, LOGIN)?;
    hear(&mut stream, WELCOME)
}

fn server(stream: &mut TcpStream, parts: &Parts) -> Result<()> {
    stream.set_nodelay(true)?;
    say(stream, PROPOSAL)?;
    let secret = StaticSecret::from([6; 32]);
    std::hint::black_box(PublicKey::from(&secret));
    hear(stream, PROPOSAL)?;
    hear(stream, INIT)?;
    std::hint::black_box(mlkem768::encapsulate(parts.pair.public_key(), [9; 32]));
    std::hint::black_box(secret.diffie_hellman(&parts.point));
    let proof = parts.key.sign(&TEXT);
    say(stream, REPLY)?;
    hear(stream, LOGIN)?;
    parts
        .key
        .verifying_key()
        .verify_strict(&TEXT, &proof)
        .map_err(|_| "a signature does not verify")?;
    say(stream, WELCOME)
}

/// The seconds that `count` of them take, one after another, client and server on a thread each.
pub(crate) fn connections(count: u64) -> Result<f64> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let serving = std::thread::spawn(move || -> Result<()> {
        let parts = Parts::new();
        for stream in listener.incoming().take(usize::try_from(count)?) {
            server(&mut stream?, &parts)?;
        }
        Ok(())
    });
    let parts = Parts::new();
    let begin = Instant::now();
    for _ in 0..count {
        client(address, &parts)?;
    }
    let seconds = begin.elapsed().as_secs_f64();
    serving.join().map_err(|_| "the server panicked")??;
    Ok(seconds)
}
