//! The bare ceilings: what the primitives and the sockets allow without any protocol.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use aes::Aes128;
use chacha20::ChaCha20;
use chacha20::cipher::{KeyIvInit, StreamCipher};
use ctr::Ctr128BE;
use hmac::{Hmac, Mac};
use poly1305::Poly1305;
use poly1305::universal_hash::KeyInit;
use rustix::pipe::fcntl_setpipe_size;
use sha2::Sha256;
use ssh_benches::gcm::Gcm;

use crate::roles::{Direction, Result};

mod connection;
pub(crate) use connection::connections;

const PACKET: usize = 32 * 1024;
/// The pipes of children, as our server has them.
const PIPE: usize = 1024 * 1024;
/// Room for the longest tag.
const TAG: usize = 32;

/// One end: what it does to packets and the places of their tags before they are sent, or after they have come.
type End = Box<dyn FnMut(u64, &mut [u8]) -> Result<()> + Send>;

/// Both ends of a cipher.
struct Ends {
    seal: End,
    open: End,
    /// How many packets they take at once, and are written and read at once.
    at_once: usize,
}

/// The ends of a cipher, with the primitives that our packets use.
fn ends(cipher: &str) -> Result<Ends> {
    let (make, at_once): (fn(bool) -> End, _) = match cipher {
        "aes128-gcm@openssh.com" => (gcm, 1),
        "chacha20-poly1305@openssh.com" => (polynomial, 1),
        "aes128-ctr" => (counter_mode_and_hash, 2),
        other => return Err(format!("no ceiling is known for {other}").into()),
    };
    Ok(Ends {
        seal: make(true),
        open: make(false),
        at_once,
    })
}

fn nonce(counter: u64) -> [u8; 12] {
    let mut bytes = [0; 12];
    bytes[4..].copy_from_slice(&counter.to_be_bytes());
    bytes
}

/// AES-GCM by the library that packets use on this processor.
fn gcm(seals: bool) -> End {
    let key = Gcm::fastest(&[7; 16]);
    Box::new(move |counter, packet| {
        let (body, place) = packet.split_at_mut(PACKET);
        let (tag, _) = place.split_first_chunk_mut().ok_or("no room for a tag")?;
        if seals {
            *tag = key.seal(nonce(counter), [0; 4], body);
        } else if !key.opens(nonce(counter), [0; 4], body, *tag) {
            return Err("opening failed".into());
        }
        Ok(())
    })
}

/// ChaCha20, and Poly1305 over what goes over the wire.
fn polynomial(seals: bool) -> End {
    Box::new(move |counter, packet| {
        let (body, place) = packet.split_at_mut(PACKET);
        let mut stream = ChaCha20::new(&[7; 32].into(), &nonce(counter).into());
        let tag = |body: &[u8]| Poly1305::new(&[7; 32].into()).compute_unpadded(body);
        if seals {
            stream.apply_keystream(body);
            place[..16].copy_from_slice(tag(body).as_slice());
        } else {
            let opens = tag(body).as_slice() == &place[..16];
            stream.apply_keystream(body);
            opens.then_some(()).ok_or("opening failed")?;
        }
        Ok(())
    })
}

/// AES-128 in counter mode, and HMAC-SHA2-256 over what goes over the wire, of two packets at a time (docs/decisions/0017).
fn counter_mode_and_hash(seals: bool) -> End {
    let mut stream = Ctr128BE::<Aes128>::new(&[7; 16].into(), &[0; 16].into());
    let key = <Hmac<Sha256> as KeyInit>::new(&[7; 64].into());
    Box::new(move |_counter, packets| {
        let (one, other) = packets.split_at_mut(PACKET + TAG);
        let ((one, place), (other, other_place)) = (one.split_at_mut(PACKET), other.split_at_mut(PACKET));
        if seals {
            stream.apply_keystream(one);
            stream.apply_keystream(other);
        }
        let (mut hash, mut other_hash) = (key.clone(), key.clone());
        for (block, other_block) in one.chunks(64).zip(other.chunks(64)) {
            hash.update(block);
            other_hash.update(other_block);
        }
        if seals {
            place[..32].copy_from_slice(&hash.finalize().into_bytes());
            other_place[..32].copy_from_slice(&other_hash.finalize().into_bytes());
        } else {
            hash.verify_slice(&place[..32]).map_err(|_| "opening failed")?;
            other_hash
                .verify_slice(&other_place[..32])
                .map_err(|_| "opening failed")?;
            stream.apply_keystream(one);
            stream.apply_keystream(other);
        }
        Ok(())
    })
}

/// What fills a packet's body before it is sealed.
type Source = Box<dyn FnMut(&mut [u8]) -> Result<()> + Send>;

/// What takes it when it has been opened.
type Sink = Box<dyn FnMut(&[u8]) -> Result<()>>;

/// One thread seals 32 KiB packets and writes them, one or two at a time, one reads and opens them: the MiB per second that
/// `bytes` bytes reach.
pub(crate) fn stream(cipher: &str, bytes: u64) -> Result<f64> {
    between(cipher, bytes, Box::new(|_| Ok(())), Box::new(|_| Ok(())))
}

/// The same with what whole programs have at the ends: a file that lies in memory up to a child's standard input, a child's
/// standard output down to `/dev/null`.
pub(crate) fn programs(cipher: &str, bytes: u64, direction: Direction, file: &Path) -> Result<f64> {
    let mut child = match direction {
        Direction::Up => Command::new("cat")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()?,
        Direction::Down => Command::new("head")
            .args(["-c", &bytes.to_string(), "/dev/zero"])
            .stdout(Stdio::piped())
            .spawn()?,
    };
    let (source, sink): (Source, Sink) = match (child.stdin.take(), child.stdout.take()) {
        (Some(mut into), _) => {
            let _refused = fcntl_setpipe_size(&into, PIPE);
            let mut file = File::open(file)?;
            (
                Box::new(move |body| Ok(file.read_exact(body)?)),
                Box::new(move |body| Ok(into.write_all(body)?)),
            )
        }
        (None, Some(mut from)) => {
            let _refused = fcntl_setpipe_size(&from, PIPE);
            let mut nowhere = File::create("/dev/null")?;
            (
                Box::new(move |body| Ok(from.read_exact(body)?)),
                Box::new(move |body| Ok(nowhere.write_all(body)?)),
            )
        }
        (None, None) => return Err("a child without a pipe".into()),
    };
    let rate = between(cipher, bytes, source, sink)?;
    child.wait()?;
    Ok(rate)
}

fn between(cipher: &str, bytes: u64, mut source: Source, mut sink: Sink) -> Result<f64> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let Ends {
        mut seal,
        mut open,
        at_once,
    } = ends(cipher)?;
    let batches = bytes / (at_once * PACKET) as u64;
    let begin = Instant::now();
    let sender = std::thread::spawn(move || -> Result<()> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        let mut packets = vec![0; at_once * (PACKET + TAG)];
        for counter in 0..batches {
            for packet in packets.chunks_mut(PACKET + TAG) {
                source(&mut packet[..PACKET])?;
            }
            seal(counter, &mut packets)?;
            stream.write_all(&packets)?;
        }
        Ok(())
    });
    let (mut stream, _) = listener.accept()?;
    let mut packets = vec![0; at_once * (PACKET + TAG)];
    for counter in 0..batches {
        stream.read_exact(&mut packets)?;
        open(counter, &mut packets)?;
        for packet in packets.chunks(PACKET + TAG) {
            sink(&packet[..PACKET])?;
        }
    }
    drop(sink);
    sender.join().map_err(|_| "the sender panicked")??;
    Ok(bytes as f64 / (1 << 20) as f64 / begin.elapsed().as_secs_f64())
}
