//! A file of the server as a stream: what is asked for ahead of its reader, and that every byte, every end and every error
//! comes where it belongs, whatever the server answers. By a clock that stands while anybody has something to do.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions,
    reason = "a test says what must be true by panicking"
)]

use std::io;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use ssh_client::Client;
use ssh_client::sftp::File;
use ssh_client::sftp_protocol::client::transfer::{MAX_REQUESTS, WINDOW_BYTES};
use ssh_server::keys::PublicKey;
use ssh_server::{Application, Candidate, Decision, Permissions, Request, Session};
use ssh_testkit::doors::visit;
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio::time::{sleep, timeout};

const MIB: usize = 1024 * 1024;

/// What is asked for at once of a server that names no limits (draft §3), in bytes.
const CHUNK: usize = 32 * 1024;

/// Longer than anything takes here.
const QUIET: Duration = Duration::from_secs(5);

/// One file, and how the server answers about it.
struct Disk {
    data: Vec<u8>,
    /// Answers are cut to some length that depends on their place.
    cuts: bool,
    /// Nothing can be read here.
    bad: Option<usize>,
    /// This READ is not answered before the client has nothing more to ask, and those behind it get a byte each.
    withheld: Option<usize>,
    /// What was asked for: offset and length.
    asked: Vec<(usize, usize)>,
    /// Pieces the client held when the withheld answer was given.
    pieces: Option<usize>,
}

impl Disk {
    fn of(length: usize) -> Shared {
        Shared(Arc::new(Mutex::new(Self {
            data: content(length),
            cuts: false,
            bad: None,
            withheld: None,
            asked: Vec::new(),
            pieces: None,
        })))
    }

    /// The answer to a READ: data or the number of a status (§7).
    fn read(&mut self, offset: usize, length: usize) -> Result<&[u8], u32> {
        self.asked.push((offset, length));
        let mut end = self.data.len().min(offset + length);
        if offset >= end {
            return Err(status::EOF);
        }
        if self.cuts {
            end = end.min(offset + 1 + mixed(offset) as usize * length / 256);
        }
        if self.withheld.is_some_and(|withheld| offset > withheld) {
            end = offset + 1;
        }
        if let Some(bad) = self.bad {
            if offset == bad {
                return Err(status::FAILURE);
            }
            if (offset..end).contains(&bad) {
                end = bad;
            }
        }
        Ok(&self.data[offset..end])
    }

    /// The end of all that was asked for.
    fn asked_up_to(&self) -> usize {
        self.asked
            .iter()
            .map(|(offset, length)| offset + length)
            .max()
            .unwrap()
    }
}

/// Bytes that differ wherever they are.
fn content(length: usize) -> Vec<u8> {
    (0..length).map(mixed).collect()
}

fn mixed(place: usize) -> u8 {
    ((place as u32).wrapping_mul(2_654_435_761) >> 24) as u8
}

/// The numbers of the draft (§3, §7) that are spoken here.
mod number {
    pub(super) const INIT: u8 = 1;
    pub(super) const VERSION: u8 = 2;
    pub(super) const OPEN: u8 = 3;
    pub(super) const CLOSE: u8 = 4;
    pub(super) const READ: u8 = 5;
    pub(super) const STATUS: u8 = 101;
    pub(super) const HANDLE: u8 = 102;
    pub(super) const DATA: u8 = 103;
}

mod status {
    pub(super) const OK: u32 = 0;
    pub(super) const EOF: u32 = 1;
    pub(super) const FAILURE: u32 = 4;
}

/// An SFTP server with a disk, which answers one request after the other.
#[derive(Clone)]
struct Shared(Arc<Mutex<Disk>>);

impl Shared {
    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.0.lock().unwrap()
    }

    async fn serve(&self, mut session: Session) -> io::Result<()> {
        loop {
            match session.next().await {
                Some(Request::Start(start)) => break start.accept(),
                Some(_) => {}
                None => return Ok(()),
            }
        }
        let mut withheld = None;
        loop {
            let answer = match timeout(QUIET, next_message(&mut session)).await {
                Ok(message) => {
                    let message = message?;
                    if self.withholds(&message) {
                        withheld = Some(message);
                        continue;
                    }
                    self.answer(&message)
                }
                // The client has nothing more to ask.
                Err(_elapsed) => match withheld.take() {
                    Some(message) => self.give_way(&message),
                    None => continue,
                },
            };
            session.write_all(&string(&answer)).await?;
        }
    }

    fn withholds(&self, message: &[u8]) -> bool {
        message[0] == number::READ && self.disk().withheld == Some(asked(message).0)
    }

    fn give_way(&self, message: &[u8]) -> Vec<u8> {
        {
            let mut disk = self.disk();
            let behind = disk.withheld.take().unwrap();
            disk.pieces = Some(disk.asked.iter().filter(|(offset, _)| *offset > behind).count());
        }
        self.answer(message)
    }

    fn answer(&self, message: &[u8]) -> Vec<u8> {
        let id = &message[1..5];
        let status = |code: u32| [&[number::STATUS], id, &code.to_be_bytes(), &[0; 8]].concat();
        match message[0] {
            number::INIT => [&[number::VERSION][..], &3_u32.to_be_bytes()].concat(),
            number::OPEN => [&[number::HANDLE], id, &string(b"file")].concat(),
            number::CLOSE => status(status::OK),
            number::READ => {
                let (offset, length) = asked(message);
                match self.disk().read(offset, length) {
                    Ok(data) => [&[number::DATA], id, &string(data)].concat(),
                    Err(code) => status(code),
                }
            }
            other => panic!("a message with the number {other}"),
        }
    }
}

/// Where a READ is to begin, and how much it asks for.
fn asked(message: &[u8]) -> (usize, usize) {
    let (rest, length) = message.split_last_chunk().unwrap();
    let offset = u64::from_be_bytes(*rest.last_chunk().unwrap());
    (offset as usize, u32::from_be_bytes(*length) as usize)
}

fn string(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u32).to_be_bytes(), bytes].concat()
}

async fn next_message(session: &mut Session) -> io::Result<Vec<u8>> {
    let mut message = vec![0; session.read_u32().await? as usize];
    session.read_exact(&mut message).await?;
    Ok(message)
}

impl Application for Shared {
    async fn public_key(&self, _candidate: &Candidate, _key: &PublicKey) -> Decision {
        Decision::Accept(Permissions::default())
    }

    async fn session(&self, session: Session) {
        drop(self.serve(session).await);
    }
}

/// The file, opened.
async fn open(shared: &Shared) -> (Client, File) {
    let (client, _serving) = visit(shared.clone(), duplex(256 * 1024)).await;
    let file = client.sftp().await.unwrap().open("file").await.unwrap();
    (client, file)
}

async fn take(file: &mut File, length: usize) -> Vec<u8> {
    let mut taken = vec![0; length];
    file.read_exact(&mut taken).await.unwrap();
    taken
}

async fn rest(file: &mut File) -> Vec<u8> {
    let mut rest = Vec::new();
    file.read_to_end(&mut rest).await.unwrap();
    rest
}

#[tokio::test(start_paused = true)]
async fn a_few_bytes_of_a_large_file_cost_one_request() {
    let shared = Disk::of(20 * MIB);
    let (_client, mut file) = open(&shared).await;
    for _ in 0..10 {
        take(&mut file, 10).await;
    }
    file.close().await.unwrap();
    assert_eq!(shared.disk().asked, [(0, CHUNK)]);
}

#[tokio::test(start_paused = true)]
async fn as_much_is_asked_for_ahead_as_was_read() {
    let shared = Disk::of(20 * MIB);
    let (client, file) = open(&shared).await;
    drop(file);
    for length in [1, CHUNK - 1, CHUNK, 40_000, 300_000, MIB, 5 * MIB] {
        let mut file = client.sftp().await.unwrap().open("file").await.unwrap();
        shared.disk().asked.clear();
        assert!(take(&mut file, length).await == shared.disk().data[..length]);
        file.close().await.unwrap();
        let up_to = shared.disk().asked_up_to();
        assert!(up_to <= 2 * length + CHUNK, "{length}: {up_to}");
        assert!(up_to + 4 * CHUNK >= 2 * length, "{length}: {up_to}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_stops_holds_a_window_and_no_more() {
    let shared = Disk::of(60 * MIB);
    let (_client, mut file) = open(&shared).await;
    let length = 30 * MIB;
    assert!(take(&mut file, length).await == shared.disk().data[..length]);
    // Time passes only when nobody does anything any more.
    sleep(QUIET).await;
    let ahead = shared.disk().asked_up_to() - length;
    let window = WINDOW_BYTES as usize;
    assert!((window - CHUNK..=window).contains(&ahead), "{ahead}");
    assert!(rest(&mut file).await == shared.disk().data[length..]);
}

#[tokio::test(start_paused = true)]
async fn short_answers_leave_nothing_out() {
    for length in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 5 * CHUNK, 3 * MIB + 7] {
        for cuts in [false, true] {
            let shared = Disk::of(length);
            shared.disk().cuts = cuts;
            let (_client, mut file) = open(&shared).await;
            assert!(rest(&mut file).await == content(length), "{length}");
            assert_eq!(file.position(), length as u64);
            assert!(rest(&mut file).await.is_empty(), "the end stays the end");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_comes_behind_all_that_can_be_read() {
    for cuts in [false, true] {
        for bad in [0, 1, CHUNK, 40_001, MIB, 2 * MIB - 1] {
            let shared = Disk::of(2 * MIB);
            shared.disk().cuts = cuts;
            shared.disk().bad = Some(bad);
            let (_client, mut file) = open(&shared).await;
            let mut read = Vec::new();
            let error = file.read_to_end(&mut read).await.unwrap_err();
            assert!(error.to_string().starts_with("read file: "), "{error}");
            assert_eq!((read.len(), file.position()), (bad, bad as u64));
            assert!(read == shared.disk().data[..bad]);
            // It is told again while it is so; what lies behind it can be read; and so can all once it is over.
            file.read_u8().await.unwrap_err();
            file.set_position(bad as u64 + 1);
            assert!(rest(&mut file).await == content(2 * MIB)[bad + 1..]);
            file.set_position(bad as u64);
            shared.disk().bad = None;
            assert!(rest(&mut file).await == content(2 * MIB)[bad..]);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn seeking_reads_what_is_there_and_forgets_what_was_asked_for() {
    let shared = Disk::of(4 * MIB);
    shared.disk().cuts = true;
    let (_client, mut file) = open(&shared).await;
    let mut place = 1;
    for round in 0..60 {
        place = (place * 48_271) % 2_147_483_647;
        let (from, length) = (place % (3 * MIB), place % (200 * CHUNK / (1 + round)));
        let length = length.min(4 * MIB - from);
        file.set_position(from as u64);
        assert!(take(&mut file, length).await == shared.disk().data[from..from + length]);
    }
    // Each place begins with one request again, once those that were forgotten have come to an end.
    sleep(QUIET).await;
    shared.disk().cuts = false;
    shared.disk().asked.clear();
    for from in [MIB, 0, 2 * MIB] {
        file.set_position(from as u64);
        take(&mut file, 100).await;
    }
    assert_eq!(shared.disk().asked, [(MIB, CHUNK), (0, CHUNK), (2 * MIB, CHUNK)]);
}

#[tokio::test(start_paused = true)]
async fn whoever_seeks_on_before_anything_has_come_asks_for_no_more_than_may_be_under_way() {
    let shared = Disk::of(MIB);
    let (_client, mut file) = open(&shared).await;
    let (most, mut piece) = (MAX_REQUESTS as usize, [0; 10]);
    let places = 4 * most;
    for place in 0..=places {
        file.set_position(place as u64);
        // Given up before the server has its turn.
        tokio::select! {
            biased;
            count = file.read(&mut piece) => panic!("{count:?}"),
            () = std::future::ready(()) => {}
        }
    }
    assert_eq!(take(&mut file, 10).await, content(MIB)[places..places + 10]);
    // And one for what is wanted.
    assert_eq!(shared.disk().asked.len(), most + 1);
}

#[tokio::test(start_paused = true)]
async fn a_file_that_changes_is_read_as_far_as_it_goes() {
    let shared = Disk::of(100_000);
    let (_client, mut file) = open(&shared).await;
    assert!(rest(&mut file).await == content(100_000));
    // It grows, once and again.
    for length in [100_001, MIB] {
        let before = file.position() as usize;
        shared.disk().data = content(length);
        assert!(rest(&mut file).await == content(length)[before..]);
    }
    // It is cut while it is read: what had been asked for may still come, and then it ends.
    shared.disk().data = content(8 * MIB);
    file.set_position(0);
    let mut read = take(&mut file, 2 * MIB).await;
    shared.disk().data.truncate(MIB);
    read.extend(rest(&mut file).await);
    assert!(read.len() <= 4 * MIB + CHUNK, "{}", read.len());
    assert!(read == content(read.len()));
    assert!(rest(&mut file).await.is_empty());
    // And grows again.
    shared.disk().data = content(8 * MIB);
    assert!(rest(&mut file).await == content(8 * MIB)[read.len()..]);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_read_loses_nothing() {
    let shared = Disk::of(2 * MIB);
    shared.disk().cuts = true;
    let (_client, mut file) = open(&shared).await;
    let (mut read, mut dropped) = (Vec::new(), 0);
    let mut piece = vec![0; 10_000];
    loop {
        tokio::select! {
            biased;
            count = file.read(&mut piece) => match count.unwrap() {
                0 => break,
                count => read.extend_from_slice(&piece[..count]),
            },
            () = std::future::ready(()) => dropped += 1,
        }
        tokio::task::yield_now().await;
    }
    assert!(dropped > 0);
    assert!(read == content(2 * MIB));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_answers_byte_by_byte_makes_no_endless_pieces() {
    let shared = Disk::of(9 * MIB);
    shared.disk().withheld = Some(4 * MIB);
    let (_client, mut file) = open(&shared).await;
    assert!(rest(&mut file).await == content(9 * MIB));
    let pieces = shared.disk().pieces.unwrap();
    let most = MAX_REQUESTS as usize;
    assert!((most - 1..=most).contains(&pieces), "{pieces}");
}
