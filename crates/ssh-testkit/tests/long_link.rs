//! Files over a link of 120 MiB/s with a round trip of 100 ms (P-10), in virtual time: no machine is too slow for it. After
//! two seconds windows and requests under way cover what the link holds, in both directions.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions,
    reason = "a test says what must be true by panicking"
)]

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use ssh_client::sftp_protocol::client::transfer::{Download, Upload, Window};
use ssh_client::sftp_protocol::{Attributes, OpenFlags};
use ssh_client::wire::bytes::Bytes;
use ssh_client::{Client, Sftp};
use ssh_server::filesystem::{File, Filesystem};
use ssh_server::keys::PublicKey;
use ssh_server::{Application, Candidate, Decision, Permissions, Request, Services, Session};
use ssh_testkit::doors::visit;
use ssh_testkit::long_link::{BYTES_PER_SECOND, ONE_WAY, link};
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::task::JoinSet;
use tokio::time::Instant;

const MIB: u64 = 1024 * 1024;

/// When measuring begins, and for how long it goes on.
const RUN_UP: Duration = Duration::from_secs(2);
const MEASURED: Duration = Duration::from_secs(1);

/// What has to be reached, in bytes a second.
const WANTED: u64 = 100 * MIB;

/// A file system with one file, which never ends and takes everything.
struct Endless;

impl Filesystem for Endless {
    fn open(&self, _path: &[u8], _flags: OpenFlags, _attributes: &Attributes) -> io::Result<Arc<dyn File>> {
        Ok(Arc::new(Self))
    }
}

impl File for Endless {
    fn read_at(&self, _offset: u64, length: usize, into: &mut Vec<u8>) -> io::Result<usize> {
        into.resize(into.len() + length, 7);
        Ok(length)
    }

    fn write_at(&self, _offset: u64, _data: &[u8]) -> io::Result<()> {
        Ok(())
    }
}

/// Servers differ.
enum Files {
    /// Ours, which takes requests of 255 KiB and says so.
    Ours(Services),
    /// Says nothing, and takes what the draft says that every server takes.
    Plain,
}

/// The most data of one request at a server that names no limits (draft §3), in bytes.
const PLAIN_BYTES: u32 = 32 * 1024;

/// An SFTP server that has never heard of extensions: one request after the other, about a file that never ends.
async fn serve_plain(mut session: Session) -> io::Result<()> {
    loop {
        match session.next().await {
            Some(Request::Start(start)) => break start.accept(),
            Some(_) => {}
            None => return Ok(()),
        }
    }
    let data = vec![7; PLAIN_BYTES as usize];
    loop {
        let mut message = vec![0; session.read_u32().await? as usize];
        session.read_exact(&mut message).await?;
        let (number, id) = (message[0], &message[1..5]);
        let string = |bytes: &[u8]| [&(bytes.len() as u32).to_be_bytes(), bytes].concat();
        let answer = match number {
            number::INIT => [&[number::VERSION][..], &3_u32.to_be_bytes()].concat(),
            number::OPEN => [&[number::HANDLE], id, &string(b"file")].concat(),
            number::READ => {
                let asked = u32::from_be_bytes(*message.last_chunk().unwrap());
                assert!(asked <= PLAIN_BYTES, "{asked} bytes");
                [&[number::DATA], id, &string(&data[..asked as usize])].concat()
            }
            number::WRITE => {
                assert!(message.len() < PLAIN_BYTES as usize + 1_024, "{}", message.len());
                [&[number::STATUS], id, &[0; 12]].concat()
            }
            number::CLOSE => [&[number::STATUS], id, &[0; 12]].concat(),
            other => panic!("a message with the number {other}"),
        };
        session.write_all(&string(&answer)).await?;
    }
}

/// The numbers of the draft's messages (§3) that are spoken here.
mod number {
    pub(super) const INIT: u8 = 1;
    pub(super) const VERSION: u8 = 2;
    pub(super) const OPEN: u8 = 3;
    pub(super) const CLOSE: u8 = 4;
    pub(super) const READ: u8 = 5;
    pub(super) const WRITE: u8 = 6;
    pub(super) const STATUS: u8 = 101;
    pub(super) const HANDLE: u8 = 102;
    pub(super) const DATA: u8 = 103;
}

impl Application for Files {
    async fn public_key(&self, _candidate: &Candidate, _key: &PublicKey) -> Decision {
        Decision::Accept(Permissions::default())
    }

    async fn session(&self, session: Session) {
        match self {
            Self::Ours(services) => services.serve(session).await,
            Self::Plain => drop(serve_plain(session).await),
        }
    }
}

async fn connect(files: Files) -> (Client, Sftp) {
    let (client, _serving) = visit(files, link()).await;
    let sftp = client.sftp().await.unwrap();
    (client, sftp)
}

/// How fast a transfer is once it runs.
struct Meter {
    begin: Instant,
    from: Option<(Instant, u64)>,
    moved: u64,
}

impl Meter {
    fn start() -> Self {
        Self {
            begin: Instant::now(),
            from: None,
            moved: 0,
        }
    }

    /// Counts; the rate, in bytes a second, when enough has been seen.
    fn count(&mut self, bytes: u64) -> Option<u64> {
        self.moved += bytes;
        if self.begin.elapsed() < RUN_UP {
            return None;
        }
        let (from, before) = *self.from.get_or_insert((Instant::now(), self.moved));
        let elapsed = from.elapsed();
        (elapsed >= MEASURED).then(|| (self.moved - before) * 1_000 / elapsed.as_millis() as u64)
    }
}

fn assert_fast(what: &str, rate: u64, most_under_way: usize, window: &Window) {
    let bytes = most_under_way as u64 * u64::from(window.chunk_bytes);
    println!(
        "{what}: {} MiB/s, {most_under_way} requests, {} MiB of them",
        rate / MIB,
        bytes / MIB
    );
    assert!(rate >= WANTED, "{what}: {} MiB/s", rate / MIB);
    // Else the link would stand still between two round trips.
    let holds = BYTES_PER_SECOND * 2 * ONE_WAY.as_millis() as u64 / 1_000;
    assert!(
        bytes >= holds,
        "{what}: {bytes} bytes under way, and {holds} fit into the link"
    );
}

/// A file comes.
async fn get(files: Files) {
    let (_client, sftp) = connect(files).await;
    let file = Arc::new(sftp.open("file").await.unwrap());
    let window = Window::for_reading(&sftp.limits());
    let mut plan = Download::new(Some(1 << 40), window);
    let (mut meter, mut under_way, mut most) = (Meter::start(), JoinSet::new(), 0);
    let rate = loop {
        while let Some(ask) = plan.next_ask() {
            let file = Arc::clone(&file);
            under_way.spawn(async move {
                let data = file.read_at(ask.offset(), ask.length() as usize).await.unwrap();
                (ask, data.len())
            });
        }
        most = most.max(under_way.len());
        let (ask, length) = under_way.join_next().await.unwrap().unwrap();
        plan.received(ask, length).unwrap();
        if let Some(rate) = meter.count(length as u64) {
            break rate;
        }
    };
    assert_fast("get", rate, most, &window);
}

/// A file goes.
async fn put(files: Files) {
    let (_client, sftp) = connect(files).await;
    let file = Arc::new(sftp.create("file").await.unwrap());
    let window = Window::for_writing(&sftp.limits());
    let data = Bytes::from(vec![7; window.chunk_bytes as usize]);
    let mut plan = Upload::new(0, window);
    let (mut meter, mut under_way, mut most) = (Meter::start(), JoinSet::new(), 0);
    let rate = loop {
        while let Some(ask) = plan.next_ask(plan.room()) {
            let (file, data) = (Arc::clone(&file), data.slice(..ask.length() as usize));
            under_way.spawn(async move {
                file.write_at(ask.offset(), data).await.unwrap();
                ask
            });
        }
        most = most.max(under_way.len());
        let ask = under_way.join_next().await.unwrap().unwrap();
        let length = ask.length();
        plan.written(ask);
        if let Some(rate) = meter.count(u64::from(length)) {
            break rate;
        }
    };
    assert_fast("put", rate, most, &window);
}

/// A program that writes as most do, in pieces of what `tokio::io::copy` holds, is as fast as the number of requests lets
/// it be.
#[tokio::test(start_paused = true)]
async fn a_stream_of_small_pieces_goes_faster_than_a_window_of_few_requests() {
    let (_client, sftp) = connect(Files::Plain).await;
    let mut file = sftp.create("file").await.unwrap();
    let piece = vec![7; 8 * 1024];
    let mut meter = Meter::start();
    let rate = loop {
        let count = file.write(&piece).await.unwrap();
        if let Some(rate) = meter.count(count as u64) {
            break rate;
        }
    };
    println!("stream: {} MiB/s", rate / MIB);
    assert!(rate >= 35 * MIB, "{} MiB/s", rate / MIB);
}

/// Where a file goes that is only measured.
struct Measured {
    meter: Meter,
    rate: Option<u64>,
}

impl AsyncWrite for Measured {
    /// Takes nothing any more once the rate is known.
    fn poll_write(mut self: Pin<&mut Self>, _cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        self.rate = self.meter.count(data.len() as u64);
        Poll::Ready(Ok(if self.rate.is_some() { 0 } else { data.len() }))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// A file comes as a stream, and its reader knows nothing of requests.
async fn copy(files: Files) {
    let (_client, sftp) = connect(files).await;
    let mut file = sftp.open("file").await.unwrap();
    let mut measured = Measured {
        meter: Meter::start(),
        rate: None,
    };
    tokio::io::copy(&mut file, &mut measured).await.unwrap_err();
    let rate = measured.rate.unwrap();
    println!("copy: {} MiB/s", rate / MIB);
    assert!(rate >= WANTED, "copy: {} MiB/s", rate / MIB);
}

#[tokio::test(start_paused = true)]
async fn a_stream_comes_over_a_long_link_at_its_rate() {
    copy(ours()).await;
}

#[tokio::test(start_paused = true)]
async fn a_stream_comes_from_a_server_that_names_no_limits_at_the_links_rate() {
    copy(Files::Plain).await;
}

fn ours() -> Files {
    Files::Ours(Services::new().sftp(Endless))
}

#[tokio::test(start_paused = true)]
async fn a_file_comes_over_a_long_link_at_its_rate() {
    get(ours()).await;
}

#[tokio::test(start_paused = true)]
async fn a_file_goes_over_a_long_link_at_its_rate() {
    put(ours()).await;
}

#[tokio::test(start_paused = true)]
async fn a_file_comes_from_a_server_that_names_no_limits_at_the_links_rate() {
    get(Files::Plain).await;
}

#[tokio::test(start_paused = true)]
async fn a_file_goes_to_a_server_that_names_no_limits_at_the_links_rate() {
    put(Files::Plain).await;
}
