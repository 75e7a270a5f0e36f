//! A connection without a protocol: the arithmetic of `mlkem768x25519-sha256`, an Ed25519 host key and an Ed25519 user key
//! with our primitives, and as few messages as SSH can do with, as long as its are.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Instant;

use ed25519_dalek::{Signature, VerifyingKey};
use graviola::key_agreement::mlkem768::{Ciphertext, DecapKey, EncapKey, Message};
use graviola::key_agreement::x25519::{PublicKey, StaticPrivateKey};
use graviola::signing::eddsa::Ed25519SigningKey;

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
    signer: Ed25519SigningKey,
    verifier: VerifyingKey,
    key: [u8; 1184],
    ciphertext: Ciphertext,
    point: PublicKey,
}

impl Parts {
    fn new() -> Result<Self> {
        let key = DecapKey::keygen_internal(&[7; 64]).encapsulation_key();
        let signer = Ed25519SigningKey::from_bytes(&[7; 32]).map_err(failed)?;
        Ok(Self {
            verifier: VerifyingKey::from_bytes(&signer.public_key().as_bytes())?,
            signer,
            key: key.as_bytes(),
            ciphertext: key.encaps_internal(Message([9; 32])).1,
            point: StaticPrivateKey::from_array(&[5; 32]).public_key(),
        })
    }

    fn verify(&self, signature: &[u8; 64]) -> Result<()> {
        Ok(self
            .verifier
            .verify_strict(&TEXT, &Signature::from_bytes(signature))?)
    }
}

fn failed(error: graviola::Error) -> String {
    format!("a primitive failed: {error:?}")
}

fn client(address: std::net::SocketAddr, parts: &Parts) -> Result<()> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    say(&mut stream, PROPOSAL)?;
    let decapsulate = DecapKey::keygen_internal(&[8; 64]);
    let secret = StaticPrivateKey::from_array(&[6; 32]);
    std::hint::black_box((decapsulate.encapsulation_key(), secret.public_key()));
    hear(&mut stream, PROPOSAL)?;
    say(&mut stream, INIT)?;
    hear(&mut stream, REPLY)?;
    std::hint::black_box(decapsulate.decaps(&parts.ciphertext));
    std::hint::black_box(secret.diffie_hellman(&parts.point).map_err(failed)?);
    // One signature made, one checked.
    parts.verify(&parts.signer.sign(&TEXT))?;
    say(&mut stream, LOGIN)?;
    hear(&mut stream, WELCOME)
}

fn server(stream: &mut TcpStream, parts: &Parts) -> Result<()> {
    stream.set_nodelay(true)?;
    say(stream, PROPOSAL)?;
    let secret = StaticPrivateKey::from_array(&[6; 32]);
    std::hint::black_box(secret.public_key());
    hear(stream, PROPOSAL)?;
    hear(stream, INIT)?;
    let key = EncapKey::from_bytes(&parts.key).map_err(failed)?;
    std::hint::black_box(key.encaps_internal(Message([9; 32])));
    std::hint::black_box(secret.diffie_hellman(&parts.point).map_err(failed)?);
    let proof = parts.signer.sign(&TEXT);
    say(stream, REPLY)?;
    hear(stream, LOGIN)?;
    parts.verify(&proof)?;
    say(stream, WELCOME)
}

/// The seconds that `count` of them take, one after another, client and server on a thread each.
pub(crate) fn connections(count: u64) -> Result<f64> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let serving = std::thread::spawn(move || -> Result<()> {
        let parts = Parts::new()?;
        for stream in listener.incoming().take(usize::try_from(count)?) {
            server(&mut stream?, &parts)?;
        }
        Ok(())
    });
    let parts = Parts::new()?;
    let begin = Instant::now();
    for _ in 0..count {
        client(address, &parts)?;
    }
    let seconds = begin.elapsed().as_secs_f64();
    serving.join().map_err(|_| "the server panicked")??;
    Ok(seconds)
}
