//! The subsystem `sftp` under a client that does everything at once, badly, or never listens.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions,
    reason = "a test says what must be true by panicking"
)]

mod common;

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use common::memory::{Proof, connect, session};
use common::{PATIENCE, Place, USER, noise, until};
use ssh_server::channel::Subsystem;
use ssh_server::filesystem::{File, Filesystem};
use ssh_server::keys::PublicKey;
use ssh_server::sftp::client::{Event, RequestId};
use ssh_server::sftp::extension::{Fsync, HardLink, LSetStat, PosixRename, StatVfs};
use ssh_server::sftp::messages::{
    Close, FSetStat, FStat, MkDir, Open, OpenDir, Read, ReadDir, RealPath, Remove, Rename, Stat, Write,
};
use ssh_server::sftp::{Attributes, Client, Handle, OpenFlags, Reply, Request, StatusCode};
use ssh_server::tokio_driver::Channel;
use ssh_server::wire::bytes::Bytes;
use ssh_server::{Application, Candidate, Decision, Permissions, Services, Session};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

struct Files(Services);

impl Application for Files {
    async fn public_key(&self, _candidate: &Candidate, _key: &PublicKey) -> Decision {
        Decision::Accept(Permissions::default())
    }
    async fn session(&self, session: Session) {
        self.0.serve(session).await;
    }
}

/// A client of the subsystem, and answers that came before they were asked for.
struct Guest {
    client: Client,
    channel: Channel,
    replies: HashMap<RequestId, Reply>,
}

impl Guest {
    async fn over(place: &Place, services: Services) -> Self {
        let server = place.builder().build(Files(services)).unwrap();
        let handle = connect(&server, USER, Proof::Key(&place.user_key)).await.unwrap();
        let channel = session(&handle).await;
        assert!(channel.request(&Subsystem::new("sftp").into()).await.unwrap());
        let mut guest = Self {
            client: Client::new(),
            channel,
            replies: HashMap::new(),
        };
        loop {
            if let Some(Event::Ready { .. }) = guest.event().await {
                return guest;
            }
        }
    }

    async fn local(place: &Place) -> Self {
        Self::over(place, place.site().services).await
    }

    async fn send(&mut self) {
        while let Some(block) = self.client.output().take() {
            self.channel.write_all(&block).await.unwrap();
        }
    }

    async fn event(&mut self) -> Option<Event> {
        loop {
            self.send().await;
            if let Some(event) = self.client.poll().unwrap() {
                return Some(event);
            }
            let chunk = self.channel.reader().next_chunk().await.unwrap()?;
            self.client.receive(chunk);
        }
    }

    fn ask<R: Request>(&mut self, request: R) -> RequestId {
        self.client.request(&request).unwrap()
    }

    async fn answer(&mut self, id: RequestId) -> Reply {
        loop {
            if let Some(reply) = self.replies.remove(&id) {
                return reply;
            }
            if let Event::Reply { id, reply } = self.event().await.expect("the server closed") {
                self.replies.insert(id, reply);
            }
        }
    }

    async fn get<R: Request>(&mut self, request: R) -> Result<R::Answer, StatusCode> {
        let id = self.ask(request);
        self.answer(id).await.answer::<R>().map_err(|status| status.code)
    }

    async fn open(&mut self, path: &str, flags: OpenFlags) -> Handle {
        self.get(open(path, flags)).await.unwrap()
    }
}

fn open(path: &str, flags: OpenFlags) -> Open {
    Open {
        path: path.into(),
        flags,
        attributes: Attributes::default(),
    }
}

fn write(handle: &Handle, offset: u64, data: impl Into<Bytes>) -> Write {
    Write {
        handle: handle.clone(),
        offset,
        data: data.into(),
    }
}

fn read(handle: &Handle, offset: u64, length: u32) -> Read {
    Read {
        handle: handle.clone(),
        offset,
        length,
    }
}

const NEW: OpenFlags = OpenFlags(OpenFlags::READ.0 | OpenFlags::WRITE.0 | OpenFlags::CREATE.0);

#[tokio::test]
async fn requests_sent_ahead_are_done_as_if_one_after_the_other() {
    let place = Place::new();
    let mut guest = Guest::local(&place).await;
    for round in 0..20_u8 {
        let file = guest.open("f", NEW | OpenFlags::TRUNCATE).await;
        // Everything below leaves in one go: what overlaps or closes has to keep its order, whatever runs at once.
        let mut ids = Vec::new();
        for n in 0..30_u8 {
            ids.push(guest.ask(write(&file, u64::from(n) * 500, vec![n; 1000])));
        }
        let size = guest.ask(FStat { handle: file.clone() });
        let back = guest.ask(read(&file, 0, 20_000));
        let cut = guest.ask(FSetStat {
            handle: file.clone(),
            attributes: Attributes::with_size(100),
        });
        let short = guest.ask(read(&file, 0, 20_000));
        let close = guest.ask(Close { handle: file.clone() });
        let void = guest.ask(read(&file, 0, 1));
        let rename = guest.ask(PosixRename {
            old_path: b"f".to_vec(),
            new_path: b"g".to_vec(),
        });
        let stat = guest.ask(Stat { path: b"g".to_vec() });
        for id in ids {
            guest.answer(id).await.answer::<Write>().unwrap();
        }
        assert_eq!(
            guest.answer(size).await.answer::<FStat>().unwrap().size,
            Some(15_500),
            "round {round}"
        );
        let data = guest.answer(back).await.answer::<Read>().unwrap();
        let expected: Vec<u8> = (0..31_u8).flat_map(|n| [n.min(29); 500]).collect();
        assert!(data == expected, "round {round}");
        guest.answer(cut).await.answer::<FSetStat>().unwrap();
        assert_eq!(guest.answer(short).await.answer::<Read>().unwrap().len(), 100);
        guest.answer(close).await.answer::<Close>().unwrap();
        assert_eq!(
            guest.answer(void).await.answer::<Read>().unwrap_err().code,
            StatusCode::FAILURE
        );
        guest.answer(rename).await.answer::<PosixRename>().unwrap();
        assert_eq!(guest.answer(stat).await.answer::<Stat>().unwrap().size, Some(100));
    }
}

#[tokio::test]
async fn appended_data_keeps_its_order() {
    let place = Place::new();
    let mut guest = Guest::local(&place).await;
    let file = guest.open("log", NEW | OpenFlags::APPEND).await;
    let ids: Vec<_> = (0..60_u8)
        .map(|n| guest.ask(write(&file, u64::from(n), vec![n; 3])))
        .collect();
    for id in ids {
        guest.answer(id).await.answer::<Write>().unwrap();
    }
    let expected: Vec<u8> = (0..60_u8).flat_map(|n| [n; 3]).collect();
    assert_eq!(std::fs::read(place.home().join("log")).unwrap(), expected);
}

#[tokio::test]
async fn a_large_file_comes_back_whole_in_any_order_of_requests() {
    let place = Place::new();
    let data = noise(10 << 20);
    std::fs::write(place.home().join("big"), &data).unwrap();
    let mut guest = Guest::local(&place).await;
    let file = guest.open("big", OpenFlags::READ).await;
    let step = 255 * 1024;
    let mut asked: Vec<_> = (0..data.len()).step_by(step).collect();
    asked.reverse();
    let ids: Vec<_> = asked
        .iter()
        .map(|&offset| (offset, guest.ask(read(&file, offset as u64, u32::MAX))))
        .collect();
    for (offset, id) in ids {
        let part = guest.answer(id).await.answer::<Read>().unwrap();
        let expected = &data[offset..data.len().min(offset + step)];
        assert!(part == expected, "at {offset}");
    }
    assert_eq!(
        guest.get(read(&file, data.len() as u64, 10)).await,
        Err(StatusCode::EOF)
    );
    assert_eq!(guest.get(read(&file, 1 << 63, 10)).await, Err(StatusCode::EOF));
}

#[tokio::test]
async fn handles_are_capped_and_void_after_close() {
    let place = Place::new();
    std::fs::write(place.home().join("f"), b"x").unwrap();
    let mut guest = Guest::local(&place).await;
    let mut handles = Vec::new();
    for _ in 0..20 {
        let ids: Vec<_> = (0..60).map(|_| guest.ask(open("f", OpenFlags::READ))).collect();
        for id in ids {
            handles.extend(guest.answer(id).await.answer::<Open>().ok());
        }
    }
    assert_eq!(handles.len(), 1024);
    assert_eq!(
        guest.get(OpenDir { path: b".".to_vec() }).await,
        Err(StatusCode::FAILURE)
    );
    guest
        .get(Close {
            handle: handles[7].clone(),
        })
        .await
        .unwrap();
    assert_eq!(
        guest
            .get(Close {
                handle: handles[7].clone()
            })
            .await,
        Err(StatusCode::FAILURE)
    );
    assert_eq!(guest.get(read(&handles[7], 0, 1)).await, Err(StatusCode::FAILURE));
    assert_eq!(
        guest
            .get(ReadDir {
                handle: handles[8].clone()
            })
            .await,
        Err(StatusCode::FAILURE)
    );
    let directory = guest.get(OpenDir { path: b".".to_vec() }).await.unwrap();
    assert_eq!(guest.get(read(&directory, 0, 1)).await, Err(StatusCode::FAILURE));
    assert_eq!(
        guest.get(FStat { handle: directory }).await,
        Err(StatusCode::FAILURE)
    );
    assert_eq!(
        guest.get(read(&Handle::new(&[7; 300]), 0, 1)).await,
        Err(StatusCode::FAILURE)
    );
}

#[tokio::test]
async fn failures_have_the_code_of_their_reason() {
    let place = Place::new();
    let mut guest = Guest::local(&place).await;
    assert_eq!(
        guest
            .get(Stat {
                path: b"missing".to_vec()
            })
            .await,
        Err(StatusCode::NO_SUCH_FILE)
    );
    assert_eq!(
        guest
            .get(Stat {
                path: b"a\0b".to_vec()
            })
            .await,
        Err(StatusCode::NO_SUCH_FILE)
    );
    assert_eq!(
        guest
            .get(Stat {
                path: vec![b'a'; 64 * 1024]
            })
            .await,
        Err(StatusCode::FAILURE)
    );
    assert_eq!(
        guest.get(open("x", OpenFlags(0x100))).await,
        Err(StatusCode::FAILURE)
    );
    std::fs::write(place.home().join("a"), b"a").unwrap();
    std::fs::write(place.home().join("b"), b"b").unwrap();
    let rename = Rename {
        old_path: b"a".to_vec(),
        new_path: b"b".to_vec(),
    };
    assert_eq!(guest.get(rename).await, Err(StatusCode::FAILURE));
    assert_eq!(std::fs::read(place.home().join("b")).unwrap(), b"b");
    guest
        .get(HardLink {
            old_path: b"a".to_vec(),
            new_path: b"c".to_vec(),
        })
        .await
        .unwrap();
    guest
        .get(PosixRename {
            old_path: b"c".to_vec(),
            new_path: b"b".to_vec(),
        })
        .await
        .unwrap();
    guest
        .get(LSetStat {
            path: b"b".to_vec(),
            attributes: Attributes::with_permissions(0o600),
        })
        .await
        .unwrap();
    assert!(
        guest
            .get(StatVfs { path: b".".to_vec() })
            .await
            .unwrap()
            .block_bytes
            > 0
    );
    let file = guest.open("a", NEW).await;
    guest.get(Fsync { handle: file.clone() }).await.unwrap();
    assert_eq!(
        guest
            .get(MkDir {
                path: b"a".to_vec(),
                attributes: Attributes::default()
            })
            .await,
        Err(StatusCode::FAILURE)
    );
    let home = place.home().canonicalize().unwrap();
    assert_eq!(
        guest.get(RealPath { path: b".".to_vec() }).await.unwrap(),
        home.to_str().unwrap().as_bytes()
    );
    guest.get(Remove { path: b"a".to_vec() }).await.unwrap();
    let full = guest.open("/dev/full", OpenFlags::WRITE).await;
    let id = guest.ask(write(&full, 0, vec![0; 10]));
    let status = guest.answer(id).await.answer::<Write>().unwrap_err();
    assert_eq!(status.message, "No space left on device");
}

#[tokio::test]
async fn a_directory_of_thousands_is_listed_once_and_whole() {
    let place = Place::new();
    for n in 0..3000 {
        std::fs::write(place.home().join(format!("n{n}")), b"").unwrap();
    }
    let mut guest = Guest::local(&place).await;
    let directory = guest.get(OpenDir { path: b".".to_vec() }).await.unwrap();
    let mut names = Vec::new();
    // Asked for ahead, several at a time: each answer goes on where the last one stopped.
    'all: loop {
        let ids: Vec<_> = (0..8)
            .map(|_| {
                guest.ask(ReadDir {
                    handle: directory.clone(),
                })
            })
            .collect();
        let mut over = false;
        for id in ids {
            match guest.answer(id).await.answer::<ReadDir>() {
                Ok(entries) => names.extend(entries.into_iter().map(|entry| entry.filename)),
                Err(status) => over = status.is_eof(),
            }
        }
        if over {
            break 'all;
        }
    }
    names.sort();
    let count = names.len();
    names.dedup();
    assert_eq!((names.len(), count), (3002, 3002));
}

/// A file system whose files answer slowly and count who asks at the same time.
#[derive(Default)]
struct Slow {
    now: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
    log: Arc<Mutex<Vec<u64>>>,
    /// So long the first reads wait for somebody who reads at the same time.
    alone_for: Option<Duration>,
}

impl Filesystem for Slow {
    fn open(&self, _path: &[u8], _flags: OpenFlags, _attributes: &Attributes) -> io::Result<Arc<dyn File>> {
        Ok(Arc::new(Self {
            now: self.now.clone(),
            most: self.most.clone(),
            log: self.log.clone(),
            alone_for: self.alone_for,
        }))
    }
}

impl File for Slow {
    fn read_at(&self, offset: u64, length: usize, into: &mut Vec<u8>) -> io::Result<usize> {
        let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
        let begin = Instant::now();
        while self.alone_for.is_some_and(|patience| begin.elapsed() < patience)
            && self.most.load(Ordering::SeqCst) < 2
        {
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(Duration::from_millis(2));
        self.log.lock().unwrap().push(offset);
        into.resize(into.len() + length, 7);
        self.now.fetch_sub(1, Ordering::SeqCst);
        Ok(length)
    }
}

#[tokio::test]
async fn slow_storage_is_asked_from_several_threads_and_no_more() {
    let place = Place::new();
    let slow = Slow {
        alone_for: Some(PATIENCE),
        ..Slow::default()
    };
    let most = slow.most.clone();
    let mut guest = Guest::over(&place, Services::new().sftp(slow)).await;
    let file = guest.open("f", OpenFlags::READ).await;
    let ids: Vec<_> = (0..128).map(|n| guest.ask(read(&file, n * 10, 10))).collect();
    for id in ids {
        guest.answer(id).await.answer::<Read>().unwrap();
    }
    let most = most.load(Ordering::SeqCst);
    assert!((2..=4).contains(&most), "{most} at once");
}

#[tokio::test]
async fn a_client_that_never_listens_costs_a_fixed_amount() {
    let place = Place::new();
    let slow = Slow::default();
    let log = slow.log.clone();
    let mut guest = Guest::over(&place, Services::new().sftp(slow)).await;
    let file = guest.open("f", OpenFlags::READ).await;
    // 4 GiB in answers, none of which is read. Writing stops when the server has read what it may.
    for n in 0..16_384 {
        guest.ask(read(&file, n, 255 * 1024));
        if tokio::time::timeout(Duration::from_millis(1500), guest.send())
            .await
            .is_err()
        {
            break;
        }
    }
    // The client's window (2 MiB) and the server's budget (4 MiB) hold some thirty answers of 255 KiB.
    let done = || log.lock().unwrap().len();
    let mut before = usize::MAX;
    while before != done() {
        before = done();
        assert!(before < 64, "{before} requests were done for nobody");
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}

#[tokio::test]
async fn requests_are_read_while_an_answer_waits_for_the_window() {
    let place = Place::new();
    std::fs::write(place.home().join("big"), noise(8 << 20)).unwrap();
    let mut guest = Guest::local(&place).await;
    let file = guest.open("big", OpenFlags::READ).await;
    let other = guest.open("out", NEW).await;
    // More answers than the window holds, then writes: those must be done although nobody reads.
    for n in 0..12 {
        guest.ask(read(&file, n * 255 * 1024, 255 * 1024));
    }
    guest.ask(write(&other, 0, vec![1; 1000]));
    guest.send().await;
    let out = place.home().join("out");
    until("the write is done", || {
        std::fs::metadata(&out).unwrap().len() == 1000
    })
    .await;
}

#[tokio::test]
async fn a_client_that_breaks_the_protocol_is_cut_off_and_the_connection_lives() {
    let place = Place::new();
    let server = place.builder().build(Files(place.site().services)).unwrap();
    let handle = connect(&server, USER, Proof::Key(&place.user_key)).await.unwrap();
    for bytes in [
        &b"\0\0\0\0"[..],
        b"\xff\xff\xff\xff",
        b"\0\0\0\x01\x63",
        b"hello world",
        b"\0\0\0\x05\x01\0\0\0\x02",
    ] {
        let mut channel = session(&handle).await;
        assert!(channel.request(&Subsystem::new("sftp").into()).await.unwrap());
        channel.write_all(bytes).await.unwrap();
        let mut answer = Vec::new();
        channel.read_to_end(&mut answer).await.unwrap();
        assert!(answer.is_empty(), "{answer:?}");
    }
    session(&handle).await;
}

#[tokio::test]
async fn eof_ends_the_conversation_after_its_last_answer() {
    let place = Place::new();
    let mut guest = Guest::local(&place).await;
    let id = guest.ask(RealPath { path: b".".to_vec() });
    guest.send().await;
    guest.channel.eof().unwrap();
    guest.answer(id).await.answer::<RealPath>().unwrap();
    assert!(guest.event().await.is_none());
    let exit = guest.channel.next_request().await.unwrap().request().clone();
    assert!(matches!(exit, ssh_server::channel::ChannelRequest::ExitStatus(exit) if exit.status == 0));
}

#[tokio::test]
async fn files_are_closed_when_the_client_vanishes() {
    let place = Place::new();
    let mut guest = Guest::local(&place).await;
    let held = guest.open("held", NEW).await;
    guest.get(write(&held, 0, vec![1; 10])).await.unwrap();
    let path = place.home().join("held").canonicalize().unwrap();
    let is_open = || {
        std::fs::read_dir("/proc/self/fd")
            .unwrap()
            .flatten()
            .any(|entry| std::fs::read_link(entry.path()).is_ok_and(|target| target == path))
    };
    assert!(is_open());
    drop(guest);
    until("the file is closed", || !is_open()).await;
}

#[tokio::test]
async fn a_file_system_that_panics_ends_its_conversation_and_nothing_else() {
    struct Panics;
    impl Filesystem for Panics {
        fn real_path(&self, path: &[u8]) -> io::Result<Vec<u8>> {
            assert!(path != b"bad", "an application's mistake");
            Ok(path.to_vec())
        }
    }
    let place = Place::new();
    let mut guest = Guest::over(&place, Services::new().sftp(Panics)).await;
    let before = guest
        .get(RealPath {
            path: b"good".to_vec(),
        })
        .await;
    assert_eq!(before, Ok(b"good".to_vec()));
    guest.ask(RealPath {
        path: b"bad".to_vec(),
    });
    guest.ask(RealPath {
        path: b"behind".to_vec(),
    });
    assert!(guest.event().await.is_none());
}
