//! What the tests of this crate share: messages made by hand, machines past their introductions, a small generator.

#![allow(dead_code, reason = "each test file uses its own part")]

use ssh_sftp::wire::bytes::Bytes;
use ssh_sftp::{Client, Outbox, Server, client, server};

/// A whole message: length, type, and what stands behind it.
pub(crate) fn message(number: u8, rest: &[u8]) -> Vec<u8> {
    let mut bytes = u32::try_from(rest.len() + 1).unwrap().to_be_bytes().to_vec();
    bytes.push(number);
    bytes.extend_from_slice(rest);
    bytes
}

/// A `string`.
pub(crate) fn string(content: &[u8]) -> Vec<u8> {
    let mut bytes = u32::try_from(content.len()).unwrap().to_be_bytes().to_vec();
    bytes.extend_from_slice(content);
    bytes
}

/// Several byte strings, one behind the other.
pub(crate) fn cat(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

/// Everything that waits to be sent.
pub(crate) fn drain(outbox: &mut Outbox) -> Vec<u8> {
    std::iter::from_fn(|| outbox.take()).flatten().collect()
}

/// The messages in `bytes`, without their lengths.
pub(crate) fn split(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut messages = Vec::new();
    while let Some((length, rest)) = bytes.split_first_chunk::<4>() {
        let (message, rest) = rest.split_at(u32::from_be_bytes(*length) as usize);
        messages.push(message.to_vec());
        bytes = rest;
    }
    messages
}

/// The number of the client's (or server's) first message is of no interest to most tests.
pub(crate) fn give(server: &mut Server, bytes: &[u8]) {
    server.receive(Bytes::copy_from_slice(bytes));
}

/// A server that has answered INIT.
pub(crate) fn started_server(config: server::Config) -> Server {
    let mut server = Server::new(config);
    give(&mut server, &message(1, &[0, 0, 0, 3]));
    assert!(matches!(
        server.poll(),
        Ok(Some(server::Event::Started { version: 3, .. }))
    ));
    drain(server.output());
    server
}

/// A client whose server announced `extensions`.
pub(crate) fn ready_client(extensions: &[(&str, &str)]) -> Client {
    let mut client = Client::new();
    assert_eq!(drain(client.output()), message(1, &[0, 0, 0, 3]));
    let mut rest = vec![0, 0, 0, 3];
    for (name, data) in extensions {
        rest.extend(string(name.as_bytes()));
        rest.extend(string(data.as_bytes()));
    }
    client.receive(message(2, &rest).into());
    assert!(matches!(
        client.poll(),
        Ok(Some(client::Event::Ready { version: 3, .. }))
    ));
    client
}

/// A reproducible generator (xorshift64*): tests need variety, not secrecy.
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
    /// A number under `bound`, which is not 0.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() >> 16) as usize % bound
    }
    pub(crate) fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| (self.next() >> 56) as u8).collect()
    }
}
