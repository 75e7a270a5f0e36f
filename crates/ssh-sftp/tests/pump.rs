//! Both machines over a real channel of a real connection, in memory: 8 MiB there and back through windows that are
//! far smaller, and a peer that writes where nobody listens.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions,
    reason = "a test says what must be true by panicking"
)]

use std::sync::Arc;
use std::time::Instant;

use chacha20::ChaCha20Rng;
use ssh_sftp::auth::method::{Attempt, ServerEvent};
use ssh_sftp::auth::{self, Session, UserName};
use ssh_sftp::channel::{self, ChannelId, ChannelType, Connection, Stream};
use ssh_sftp::client::transfer::{Ask, Download, Window};
use ssh_sftp::kex::{self, Handshake, HandshakeEvent};
use ssh_sftp::keys::{PrivateKey, Signer};
use ssh_sftp::messages::{Read, Write};
use ssh_sftp::server::{self, Incoming};
use ssh_sftp::wire::Layer;
use ssh_sftp::wire::bytes::Bytes;
use ssh_sftp::wire::rand_core::{CryptoRng, SeedableRng};
use ssh_sftp::{Client, Handle, Server, client};

fn seeded(seed: u64) -> Box<dyn CryptoRng + Send> {
    Box::new(ChaCha20Rng::seed_from_u64(seed))
}

/// Carries bytes both ways and hands events on until both sides are quiet; whether any byte moved.
fn settle<A: Layer, B: Layer>(
    a: &mut A,
    b: &mut B,
    mut on_a: impl FnMut(&mut A, A::Event),
    mut on_b: impl FnMut(&mut B, B::Event),
) -> bool
where
    A::Error: std::fmt::Debug,
    B::Error: std::fmt::Debug,
{
    let now = Instant::now();
    let mut moved = false;
    loop {
        while let Some(event) = a.poll(now).unwrap() {
            on_a(a, event);
        }
        while let Some(event) = b.poll(now).unwrap() {
            on_b(b, event);
        }
        let up = std::mem::take(a.transmit());
        let down = std::mem::take(b.transmit());
        a.transmitted(up.len());
        b.transmitted(down.len());
        if up.is_empty() && down.is_empty() {
            return moved;
        }
        moved = true;
        b.read_buffer().extend_from_slice(&up);
        a.read_buffer().extend_from_slice(&down);
    }
}

/// Two sessions: hands shaken, somebody logged in.
fn sessions() -> (Session, Session) {
    let now = Instant::now();
    let key = PrivateKey::generate_ed25519(&mut *seeded(1), "key");
    let host_key: Arc<dyn Signer> = Arc::new(PrivateKey::generate_ed25519(&mut *seeded(2), "host"));
    let config = Arc::new(kex::Config::default());
    let mut client = Handshake::client(config.clone(), seeded(3), now);
    let mut server = Handshake::server(config, vec![host_key], seeded(4), now);
    settle(
        &mut client,
        &mut server,
        |client, event| {
            if let HandshakeEvent::HostKey(offer) = event {
                client.answer(offer.accept());
            }
        },
        |_, _| {},
    );
    let client = client.into_transport().expect("established");
    let server = server.into_transport().expect("established");
    let mut client = auth::client::Authenticator::new(client, UserName::new("story").unwrap());
    let mut server = auth::server::Authenticator::new(server, auth::server::Policy::default(), now);
    settle(
        &mut client,
        &mut server,
        |client, event| match event {
            auth::client::Event::Turn(turn) => {
                client.attempt(turn.publickey(key.public().clone(), key.algorithms()[0]));
            }
            auth::client::Event::SignatureWanted(request) => match request.sign_with(&key) {
                Ok(signed) | Err((_, signed)) => client.signed(signed),
            },
            _ => {}
        },
        |server, event| {
            if let ServerEvent::Attempt(Attempt::PublicKey(attempt)) = event {
                server.answer(attempt.accept());
            }
        },
    );
    (
        client.into_session().expect("logged in"),
        server.into_session().expect("logged in"),
    )
}

/// Two machines, each on its end of one channel.
struct Story {
    client: Client,
    server: Server,
    ours: Connection,
    theirs: Connection,
    id: ChannelId,
    their_id: ChannelId,
    /// The file that every handle stands for.
    file: Vec<u8>,
    replies: Vec<(client::RequestId, ssh_sftp::Reply)>,
}

impl Story {
    fn new(window_bytes: u32) -> Self {
        let (client, server) = sessions();
        let mut config = channel::Config {
            accept_opens: ChannelType::NAMES.to_vec(),
            ..channel::Config::default()
        };
        config.window.initial = window_bytes;
        config.window.max = window_bytes;
        let mut ours = Connection::new(client, config.clone());
        let mut theirs = Connection::new(server, config);
        let id = ours.open(ChannelType::Session).unwrap();
        let mut their_id = None;
        settle(
            &mut ours,
            &mut theirs,
            |_, _| {},
            |theirs, event| {
                if let channel::Event::Open(opening) = event {
                    their_id = Some(theirs.accept(opening));
                }
            },
        );
        Self {
            client: Client::new(),
            server: Server::new(server::Config::default()),
            ours,
            theirs,
            id,
            their_id: their_id.unwrap(),
            file: Vec::new(),
            replies: Vec::new(),
        }
    }

    fn serve(&mut self) {
        while let Some(event) = self.server.poll().unwrap() {
            let response = match event {
                server::Event::Request(Incoming::Write(question)) => {
                    let at = question.request.offset as usize;
                    let end = at + question.request.data.len();
                    self.file.resize(self.file.len().max(end), 0);
                    self.file[at..end].copy_from_slice(&question.request.data);
                    question.reply.ok()
                }
                server::Event::Request(Incoming::Read(question)) => {
                    let at = self.file.len().min(question.request.offset as usize);
                    let end = self.file.len().min(at + question.request.length as usize);
                    question.reply.data(self.file[at..end].to_vec())
                }
                _ => continue,
            };
            self.server.answer(response);
        }
    }

    /// Moves everything that can be moved once; whether anything was.
    fn step(&mut self) -> bool {
        let sent = self.client.pump(&mut self.ours, self.id).unwrap();
        let carried = settle(&mut self.ours, &mut self.theirs, |_, _| {}, |_, _| {});
        let served = self.server.pump(&mut self.theirs, self.their_id).unwrap();
        self.serve();
        while let Some(event) = self.client.poll().unwrap() {
            if let client::Event::Reply { id, reply } = event {
                self.replies.push((id, reply));
            }
        }
        sent + served > 0 || carried
    }

    fn settle(&mut self) {
        while self.step() {}
    }
}

#[test]
fn a_file_goes_through_small_windows_both_ways() {
    let mut story = Story::new(100_000);
    story.settle();
    let handle = Handle::new(b"any");
    let content: Vec<u8> = (0..8 << 20)
        .map(|n: u32| (n.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    let content = Bytes::from(content);
    let chunk = story.client.limits().write_bytes as usize;
    assert_eq!(chunk, 261_120);
    for at in (0..content.len()).step_by(chunk) {
        let write = Write {
            handle: handle.clone(),
            offset: at as u64,
            data: content.slice(at..content.len().min(at + chunk)),
        };
        story.client.request(&write).unwrap();
    }
    story.settle();
    assert_eq!(story.file, content);
    assert_eq!(story.replies.len(), content.len().div_ceil(chunk));
    story.replies.clear();
    let mut plan = Download::new(
        Some(content.len() as u64),
        Window::for_reading(&story.client.limits()),
    );
    let mut out: Vec<(client::RequestId, Ask)> = Vec::new();
    let mut came = vec![0; content.len()];
    while !plan.is_finished() {
        while let Some(ask) = plan.next_ask() {
            let (offset, length, handle) = (ask.offset(), ask.length(), handle.clone());
            out.push((
                story
                    .client
                    .request(&Read {
                        handle,
                        offset,
                        length,
                    })
                    .unwrap(),
                ask,
            ));
        }
        assert!(
            story.step() || !story.replies.is_empty(),
            "the transfer stands still"
        );
        for (id, reply) in std::mem::take(&mut story.replies) {
            let index = out.iter().position(|(asked, _)| *asked == id).unwrap();
            let (_, ask) = out.swap_remove(index);
            let data = reply.answer::<Read>().unwrap();
            let at = ask.offset() as usize;
            came[at..at + data.len()].copy_from_slice(&data);
            plan.received(ask, data.len()).unwrap();
        }
    }
    assert_eq!(came, content);
}

#[test]
fn what_a_peer_writes_to_standard_error_is_paid_for_and_thrown_away() {
    let mut story = Story::new(100_000);
    story.settle();
    let noise = vec![7; 50_000];
    let mut written = 0;
    while written < 2_000_000 {
        let taken = story
            .theirs
            .write(story.their_id, Stream::Stderr, &noise)
            .unwrap();
        let back = story.ours.write(story.id, Stream::Stderr, &noise).unwrap();
        written += taken;
        let moved = story.step();
        assert!(moved || taken + back > 0, "the noise stands still at {written}");
    }
    story.settle();
    let stat = ssh_sftp::messages::Stat { path: b"/".to_vec() };
    story.client.request(&stat).unwrap();
    story.settle();
    assert_eq!(story.replies.len(), 1);
}
