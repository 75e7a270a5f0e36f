//! Both machines joined in memory: whole files there and back, in random cuts, with replies in random order.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions,
    reason = "a test says what must be true by panicking"
)]

mod common;

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use common::Rng;
use ssh_sftp::client::transfer::{Ask, Download, Listing, Upload, Window};
use ssh_sftp::client::{Event, RequestId};
use ssh_sftp::extension::{ExtendedQuestion, Extension, PosixRename};
use ssh_sftp::messages::{Close, FStat, Open, OpenDir, Read, ReadDir, Request, Stat, Write};
use ssh_sftp::server::{self, Handles, Incoming, Response};
use ssh_sftp::wire::bytes::Bytes;
use ssh_sftp::{Attributes, Client, Handle, Name, OpenFlags, Outbox, Reply, Server, Status, StatusCode};

type Content = Rc<RefCell<Vec<u8>>>;

/// What a handle stands for.
enum Opened {
    File(Content),
    Directory(VecDeque<Name>),
}

/// A file system in memory that answers in random order.
struct Application {
    files: BTreeMap<Vec<u8>, Content>,
    handles: Handles<Opened>,
    /// Answers that were not given yet.
    ready: Vec<Response>,
}

impl Application {
    fn new() -> Self {
        Self {
            files: BTreeMap::new(),
            handles: Handles::new(16),
            ready: Vec::new(),
        }
    }

    fn content(&self, handle: &Handle) -> Result<Content, Status> {
        match self.handles.find(handle)? {
            Opened::File(content) => Ok(content.clone()),
            Opened::Directory(_) => Err(Status::failure("a directory")),
        }
    }

    fn open(&mut self, open: Open) -> Result<Handle, Status> {
        if open.flags.contains(OpenFlags::CREATE) {
            self.files.insert(open.path.clone(), Content::default());
        }
        let content = self.files.get(&open.path).ok_or(StatusCode::NO_SUCH_FILE)?;
        let full = |_| Status::failure("too many open files");
        self.handles.insert(Opened::File(content.clone())).map_err(full)
    }

    fn handle(&mut self, incoming: Incoming) {
        let response = match incoming {
            Incoming::Open(question) => match self.open(question.request) {
                Ok(handle) => question.reply.handle(handle),
                Err(status) => question.reply.status(status),
            },
            Incoming::Close(question) => match self.handles.remove(&question.request.handle) {
                Ok(_) => question.reply.ok(),
                Err(status) => question.reply.status(status),
            },
            Incoming::Read(question) => match self.content(&question.request.handle) {
                Ok(content) => {
                    let content = content.borrow();
                    let from = content.len().min(question.request.offset as usize);
                    let to = content.len().min(from + question.request.length as usize);
                    question.reply.data(content[from..to].to_vec())
                }
                Err(status) => question.reply.status(status),
            },
            Incoming::Write(question) => match self.content(&question.request.handle) {
                Ok(content) => {
                    let mut content = content.borrow_mut();
                    let from = question.request.offset as usize;
                    let to = from + question.request.data.len();
                    if content.len() < to {
                        content.resize(to, 0);
                    }
                    content[from..to].copy_from_slice(&question.request.data);
                    question.reply.ok()
                }
                Err(status) => question.reply.status(status),
            },
            Incoming::FStat(question) => match self.content(&question.request.handle) {
                Ok(content) => {
                    let size = content.borrow().len() as u64;
                    question.reply.attributes(Attributes::with_size(size))
                }
                Err(status) => question.reply.status(status),
            },
            Incoming::OpenDir(question) => {
                let names = self.files.keys().map(|path| Name {
                    filename: path.clone(),
                    longname: b"a file".to_vec(),
                    attributes: Attributes::default(),
                });
                match self.handles.insert(Opened::Directory(names.collect())) {
                    Ok(handle) => question.reply.handle(handle),
                    Err(_) => question.reply.status(StatusCode::FAILURE),
                }
            }
            Incoming::ReadDir(question) => match self.handles.find_mut(&question.request.handle) {
                Ok(Opened::Directory(names)) => question.reply.names(names),
                _ => question.reply.status(StatusCode::FAILURE),
            },
            Incoming::Extended(ExtendedQuestion::PosixRename(question)) => {
                let PosixRename { old_path, new_path } = question.request;
                match self.files.remove(&old_path) {
                    Some(content) => {
                        self.files.insert(new_path, content);
                        question.reply.ok()
                    }
                    None => question.reply.status(StatusCode::NO_SUCH_FILE),
                }
            }
            other => other.status(StatusCode::OP_UNSUPPORTED),
        };
        self.ready.push(response);
    }
}

/// Client, server and the stream between them.
struct Joined {
    client: Client,
    server: Server,
    application: Application,
    rng: Rng,
    replies: BTreeMap<RequestId, Reply>,
}

impl Joined {
    fn new(seed: u64) -> Self {
        let server = Server::new(server::Config {
            extensions: vec![Extension::PosixRename],
            ..server::Config::default()
        });
        let mut joined = Self {
            client: Client::new(),
            server,
            application: Application::new(),
            rng: Rng::new(seed),
            replies: BTreeMap::new(),
        };
        while joined.client.extensions().0.is_empty() {
            joined.step();
        }
        assert!(joined.client.extensions().supports::<PosixRename>());
        joined
    }

    /// Takes a random piece of what waits to be sent.
    fn piece(rng: &mut Rng, outbox: &mut Outbox) -> Option<Bytes> {
        let most = match rng.below(4) {
            0 => 1 + rng.below(8),
            1 => 1 + rng.below(2000),
            _ => 1 + rng.below(100_000),
        };
        let front = outbox.front()?;
        let piece = Bytes::copy_from_slice(&front[..front.len().min(most)]);
        outbox.sent(piece.len());
        Some(piece)
    }

    /// Moves one piece each way, lets the application work, gives one random answer.
    fn step(&mut self) {
        if self.server.wants_input()
            && let Some(piece) = Self::piece(&mut self.rng, self.client.output())
        {
            self.server.receive(piece);
        }
        while let Some(event) = self.server.poll().unwrap() {
            if let server::Event::Request(incoming) = event {
                self.application.handle(incoming);
            }
        }
        if !self.application.ready.is_empty() && self.rng.below(3) > 0 {
            let index = self.rng.below(self.application.ready.len());
            self.server.answer(self.application.ready.swap_remove(index));
        }
        if let Some(piece) = Self::piece(&mut self.rng, self.server.output()) {
            self.client.receive(piece);
        }
        while let Some(event) = self.client.poll().unwrap() {
            if let Event::Reply { id, reply } = event {
                assert!(self.replies.insert(id, reply).is_none());
            }
        }
    }

    fn ask<R: Request>(&mut self, request: &R) -> Result<R::Answer, Status> {
        let id = self.client.request(request).unwrap();
        loop {
            if let Some(reply) = self.replies.remove(&id) {
                return reply.answer::<R>();
            }
            self.step();
        }
    }

    fn open(&mut self, path: &[u8], flags: OpenFlags) -> Result<Handle, Status> {
        self.ask(&Open {
            path: path.to_vec(),
            flags,
            attributes: Attributes::default(),
        })
    }

    fn put(&mut self, path: &[u8], content: &Bytes) {
        let handle = self
            .open(path, OpenFlags::WRITE | OpenFlags::CREATE | OpenFlags::TRUNCATE)
            .unwrap();
        let mut plan = Upload::new(0, Window::for_writing(&self.client.limits()));
        let mut out: BTreeMap<RequestId, Ask> = BTreeMap::new();
        let mut sent = 0;
        while !plan.is_finished() {
            while plan.room() > 0 {
                let data = content.slice(sent..content.len().min(sent + plan.room()));
                let Some(ask) = plan.next_ask(data.len()) else {
                    plan.source_ended();
                    break;
                };
                sent += data.len();
                let offset = ask.offset();
                let handle = handle.clone();
                let id = self.client.request(&Write { handle, offset, data }).unwrap();
                out.insert(id, ask);
            }
            self.step();
            while let Some((id, reply)) = self.replies.pop_first() {
                reply.answer::<Write>().unwrap();
                plan.written(out.remove(&id).unwrap());
            }
        }
        assert_eq!(plan.length(), Some(content.len() as u64));
        self.ask(&Close { handle }).unwrap();
    }

    fn get(&mut self, path: &[u8]) -> Vec<u8> {
        let handle = self.open(path, OpenFlags::READ).unwrap();
        let attributes = self
            .ask(&FStat {
                handle: handle.clone(),
            })
            .unwrap();
        let mut plan = Download::new(attributes.size, Window::for_reading(&self.client.limits()));
        let mut out: BTreeMap<RequestId, Ask> = BTreeMap::new();
        let mut content = Vec::new();
        while !plan.is_finished() {
            while let Some(ask) = plan.next_ask() {
                let (offset, length, handle) = (ask.offset(), ask.length(), handle.clone());
                let id = self
                    .client
                    .request(&Read {
                        handle,
                        offset,
                        length,
                    })
                    .unwrap();
                out.insert(id, ask);
            }
            self.step();
            while let Some((id, reply)) = self.replies.pop_first() {
                let ask = out.remove(&id).unwrap();
                match reply.answer::<Read>() {
                    Ok(data) => {
                        let from = ask.offset() as usize;
                        if content.len() < from + data.len() {
                            content.resize(from + data.len(), 0);
                        }
                        content[from..from + data.len()].copy_from_slice(&data);
                        plan.received(ask, data.len()).unwrap();
                    }
                    Err(status) if status.is_eof() => plan.eof(ask),
                    Err(status) => panic!("{status}"),
                }
            }
        }
        content.truncate(plan.length().unwrap() as usize);
        self.ask(&Close { handle }).unwrap();
        content
    }

    fn list(&mut self) -> Vec<Vec<u8>> {
        let handle = self.ask(&OpenDir { path: b"/".to_vec() }).unwrap();
        let mut plan = Listing::default();
        let mut names = Vec::new();
        while !plan.is_finished() {
            while plan.next_ask() {
                let handle = handle.clone();
                self.client.request(&ReadDir { handle }).unwrap();
            }
            self.step();
            while let Some((_, reply)) = self.replies.pop_first() {
                match reply.answer::<ReadDir>() {
                    Ok(batch) => {
                        plan.received(batch.len()).unwrap();
                        names.extend(batch.into_iter().map(|name| name.filename));
                    }
                    Err(status) => {
                        assert!(status.is_eof());
                        plan.ended();
                    }
                }
            }
        }
        self.ask(&Close { handle }).unwrap();
        names
    }
}

#[test]
fn files_of_every_size_come_back_as_they_went() {
    for (seed, size) in [
        0, 1, 100, 32_767, 32_768, 32_769, 261_119, 261_120, 261_121, 1_000_003,
    ]
    .into_iter()
    .enumerate()
    {
        let mut joined = Joined::new(seed as u64);
        let content = Bytes::from(Rng::new(99).bytes(size));
        joined.put(b"file", &content);
        assert_eq!(joined.get(b"file"), content, "{size}");
        assert!(joined.application.handles.is_empty());
        assert_eq!((joined.client.waiting(), joined.server.in_work()), (0, 0));
    }
}

#[test]
fn random_files_come_back_with_the_servers_limits() {
    for seed in 100..120 {
        let mut joined = Joined::new(seed);
        let size = joined.rng.below(600_000);
        let content = Bytes::from(joined.rng.bytes(size));
        joined.put(b"a", &content);
        assert_eq!(joined.client.limits().read_bytes, 261_120);
        let rename = PosixRename {
            old_path: b"a".to_vec(),
            new_path: b"b".to_vec(),
        };
        joined.ask(&rename).unwrap();
        assert_eq!(
            joined.open(b"a", OpenFlags::READ).unwrap_err().code,
            StatusCode::NO_SUCH_FILE
        );
        assert_eq!(joined.get(b"b"), content);
        let stat = joined.ask(&Stat { path: b"b".to_vec() });
        assert_eq!(stat.unwrap_err().code, StatusCode::OP_UNSUPPORTED);
    }
}

#[test]
fn a_long_listing_comes_whole_and_in_bounded_replies() {
    let mut joined = Joined::new(7);
    for number in 0..5000 {
        let path = format!("{number:05}-{}", "n".repeat(number % 200)).into_bytes();
        joined.application.files.insert(path, Content::default());
    }
    let mut names = joined.list();
    names.sort();
    assert_eq!(names.len(), 5000);
    assert!(names.iter().eq(joined.application.files.keys()));
    assert_eq!(Joined::new(8).list(), Vec::<Vec<u8>>::new());
}

#[test]
fn handles_run_out_and_come_back() {
    let mut joined = Joined::new(9);
    joined.application.files.insert(b"f".to_vec(), Content::default());
    let handles: Vec<Handle> = (0..16)
        .map(|_| joined.open(b"f", OpenFlags::READ).unwrap())
        .collect();
    assert_eq!(
        joined.open(b"f", OpenFlags::READ).unwrap_err().code,
        StatusCode::FAILURE
    );
    let handle = handles[5].clone();
    joined
        .ask(&Close {
            handle: handle.clone(),
        })
        .unwrap();
    assert!(
        joined
            .ask(&Close {
                handle: handle.clone()
            })
            .is_err()
    );
    assert!(joined.open(b"f", OpenFlags::READ).is_ok());
    assert!(joined.ask(&FStat { handle }).is_err());
}
