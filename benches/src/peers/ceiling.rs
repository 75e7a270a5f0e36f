//! The bare ceiling: one thread seals 32 KiB packets with ring and writes them, one reads and opens them. No protocol.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Instant;

use ring::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

use crate::roles::Result;

const PACKET: usize = 32 * 1024;
const TAG: usize = 16;

fn key() -> Result<LessSafeKey> {
    Ok(LessSafeKey::new(
        UnboundKey::new(&AES_128_GCM, &[7; 16]).map_err(|_| "ring refused a key")?,
    ))
}

fn nonce(counter: u64) -> Nonce {
    let mut bytes = [0; 12];
    bytes[4..].copy_from_slice(&counter.to_be_bytes());
    Nonce::assume_unique_for_key(bytes)
}

/// MiB per second that `bytes` bytes reach.
pub(crate) fn measure(bytes: u64) -> Result<f64> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let packets = bytes / PACKET as u64;
    let begin = Instant::now();
    let sender = std::thread::spawn(move || -> Result<()> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        let key = key()?;
        let mut packet = vec![0; PACKET + TAG];
        for counter in 0..packets {
            let (body, place) = packet.split_at_mut(PACKET);
            let tag = key
                .seal_in_place_separate_tag(nonce(counter), Aad::empty(), body)
                .map_err(|_| "sealing failed")?;
            place.copy_from_slice(tag.as_ref());
            stream.write_all(&packet)?;
        }
        Ok(())
    });
    let (mut stream, _) = listener.accept()?;
    let key = key()?;
    let mut packet = vec![0; PACKET + TAG];
    for counter in 0..packets {
        stream.read_exact(&mut packet)?;
        key.open_in_place(nonce(counter), Aad::empty(), &mut packet)
            .map_err(|_| "opening failed")?;
    }
    sender.join().map_err(|_| "the sender panicked")??;
    Ok(bytes as f64 / (1 << 20) as f64 / begin.elapsed().as_secs_f64())
}
