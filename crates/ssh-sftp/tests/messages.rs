//! Every message of the protocol: both directions, every truncation, every field blown up.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions,
    reason = "a test says what must be true by panicking"
)]

mod common;

use common::{drain, give, message, ready_client, split, started_server, string};
use ssh_sftp::extension::{
    CopyData, ExpandPath, ExtendedQuestion, Extension, FStatVfs, Fsync, HardLink, HomeDirectory, LSetStat,
    Limits, LimitsReply, PosixRename, StatVfs, StatVfsReply,
};
use ssh_sftp::messages::{
    Body, Close, FSetStat, FStat, LStat, Layout, MkDir, Open, OpenDir, Read, ReadDir, ReadLink, RealPath,
    Remove, Rename, Request, RmDir, SetStat, Stat, Symlink, Write,
};
use ssh_sftp::server::{Config, Event, Incoming};
use ssh_sftp::wire::Writer;
use ssh_sftp::wire::bytes::Bytes;
use ssh_sftp::{
    Attributes, Client, ExtendedAttribute, Handle, Name, OpenFlags, Reply, Server, Status, StatusCode, client,
};

fn attributes() -> Attributes {
    Attributes {
        size: Some(1 << 33),
        uid_gid: Some((1000, 100)),
        permissions: Some(0o100_644),
        atime_mtime: Some((1, 2)),
        extended: vec![ExtendedAttribute {
            name: b"a@b".to_vec(),
            data: b"c".to_vec(),
        }],
    }
}

fn handle() -> Handle {
    Handle::new(&[0, 1, 2, 255])
}

fn path() -> Vec<u8> {
    b"/tmp/\xff name".to_vec()
}

fn config() -> Config {
    Config {
        extensions: Extension::ALL.to_vec(),
        ..Config::default()
    }
}

/// Calls a macro with one sample of every request.
macro_rules! samples {
    ($then:ident) => {
        $then!(
            Incoming::Open,
            Open {
                path: path(),
                flags: OpenFlags::READ | OpenFlags::CREATE,
                attributes: attributes()
            }
        );
        $then!(Incoming::Close, Close { handle: handle() });
        $then!(
            Incoming::Read,
            Read {
                handle: handle(),
                offset: 1 << 40,
                length: 32_768
            }
        );
        $then!(
            Incoming::Write,
            Write {
                handle: handle(),
                offset: 1 << 40,
                data: Bytes::from(vec![7; 50])
            }
        );
        $then!(
            Incoming::Write,
            Write {
                handle: handle(),
                offset: 0,
                data: Bytes::from(vec![7; 50_000])
            }
        );
        $then!(Incoming::LStat, LStat { path: path() });
        $then!(Incoming::FStat, FStat { handle: handle() });
        $then!(
            Incoming::SetStat,
            SetStat {
                path: path(),
                attributes: attributes()
            }
        );
        $then!(
            Incoming::FSetStat,
            FSetStat {
                handle: handle(),
                attributes: attributes()
            }
        );
        $then!(Incoming::OpenDir, OpenDir { path: path() });
        $then!(Incoming::ReadDir, ReadDir { handle: handle() });
        $then!(Incoming::Remove, Remove { path: path() });
        $then!(
            Incoming::MkDir,
            MkDir {
                path: path(),
                attributes: attributes()
            }
        );
        $then!(Incoming::RmDir, RmDir { path: path() });
        $then!(Incoming::RealPath, RealPath { path: Vec::new() });
        $then!(Incoming::Stat, Stat { path: path() });
        $then!(
            Incoming::Rename,
            Rename {
                old_path: path(),
                new_path: b"x".to_vec()
            }
        );
        $then!(Incoming::ReadLink, ReadLink { path: path() });
        $then!(
            Incoming::Symlink,
            Symlink {
                target: b"../x".to_vec(),
                link: path()
            }
        );
        $then!(
            ExtendedQuestion::PosixRename,
            PosixRename {
                old_path: path(),
                new_path: path()
            }
        );
        $then!(
            ExtendedQuestion::HardLink,
            HardLink {
                old_path: path(),
                new_path: path()
            }
        );
        $then!(ExtendedQuestion::Fsync, Fsync { handle: handle() });
        $then!(
            ExtendedQuestion::LSetStat,
            LSetStat {
                path: path(),
                attributes: attributes()
            }
        );
        $then!(
            ExtendedQuestion::ExpandPath,
            ExpandPath {
                path: b"~".to_vec()
            }
        );
        $then!(
            ExtendedQuestion::HomeDirectory,
            HomeDirectory {
                user: b"alice".to_vec()
            }
        );
        $then!(ExtendedQuestion::StatVfs, StatVfs { path: path() });
        $then!(ExtendedQuestion::FStatVfs, FStatVfs { handle: handle() });
        $then!(
            ExtendedQuestion::CopyData,
            CopyData {
                read_handle: handle(),
                read_offset: 5,
                length: 0,
                write_handle: Handle::new(b"w"),
                write_offset: 6,
            }
        );
    };
}

/// What came out as a draft's request or as an extension's, looked at as one or the other.
trait As<T> {
    fn out(self) -> T;
}
impl As<Incoming> for Incoming {
    fn out(self) -> Incoming {
        self
    }
}
impl As<ExtendedQuestion> for Incoming {
    fn out(self) -> ExtendedQuestion {
        match self {
            Incoming::Extended(question) => question,
            other => panic!("{other:?}"),
        }
    }
}

fn sent<R: Request>(request: &R) -> Vec<u8> {
    let mut client = ready_client(&[]);
    client.request(request).unwrap();
    drain(client.output())
}

fn incoming(server: &mut Server) -> Incoming {
    match server.poll() {
        Ok(Some(Event::Request(incoming))) => incoming,
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_request_arrives_as_it_was_sent() {
    macro_rules! check {
        ($variant:path, $sample:expr) => {
            let sample = $sample;
            let mut server = started_server(config());
            give(&mut server, &sent(&sample));
            match As::out(incoming(&mut server)) {
                $variant(question) => assert_eq!(question.request, sample),
                other => panic!("{other:?}"),
            }
        };
    }
    samples!(check);
}

#[test]
fn which_requests_write_is_known() {
    let writing = [
        "SSH_FXP_OPEN",
        "SSH_FXP_WRITE",
        "SSH_FXP_SETSTAT",
        "SSH_FXP_FSETSTAT",
        "SSH_FXP_REMOVE",
        "SSH_FXP_MKDIR",
        "SSH_FXP_RMDIR",
        "SSH_FXP_RENAME",
        "SSH_FXP_SYMLINK",
        "posix-rename@openssh.com",
        "hardlink@openssh.com",
        "fsync@openssh.com",
        "lsetstat@openssh.com",
        "copy-data",
    ];
    macro_rules! check {
        ($variant:path, $sample:expr) => {
            let mut server = started_server(config());
            give(&mut server, &sent(&$sample));
            let incoming = incoming(&mut server);
            assert_eq!(
                incoming.writes(),
                writing.contains(&incoming.name()),
                "{}",
                incoming.name()
            );
        };
    }
    samples!(check);
}

#[test]
fn the_bytes_of_the_draft() {
    let open = Open {
        path: b"/a".to_vec(),
        flags: OpenFlags::WRITE | OpenFlags::CREATE | OpenFlags::TRUNCATE,
        attributes: Attributes::with_permissions(0o644),
    };
    assert_eq!(
        sent(&open),
        *b"\0\0\0\x17\x03\0\0\0\0\0\0\0\x02/a\0\0\0\x1a\0\0\0\x04\0\0\x01\xa4"
    );
    // OpenSSH's order, not the draft's: what the link points to comes first.
    let symlink = Symlink {
        target: b"t".to_vec(),
        link: b"l".to_vec(),
    };
    assert_eq!(sent(&symlink), *b"\0\0\0\x0f\x14\0\0\0\0\0\0\0\x01t\0\0\0\x01l");
    let rename = PosixRename {
        old_path: b"a".to_vec(),
        new_path: b"b".to_vec(),
    };
    let expected = common::cat(&[
        &[0, 0, 0, 0],
        &string(b"posix-rename@openssh.com"),
        &string(b"a"),
        &string(b"b"),
    ]);
    assert_eq!(sent(&rename), message(200, &expected));
}

/// Feeds one message to a fresh server and answers whatever comes out; it must not panic, and a message with an id
/// must be answered exactly once unless it ends the conversation.
fn poke(bytes: &[u8]) {
    let mut server = started_server(config());
    give(&mut server, bytes);
    match server.poll() {
        Ok(Some(Event::Request(incoming))) => {
            assert!(!incoming.name().is_empty());
            let response = incoming.status(StatusCode::FAILURE);
            server.answer(response);
            assert_eq!(split(&drain(server.output())).len(), 1);
            assert_eq!(server.in_work(), 0);
        }
        Ok(None) => {
            let replies = split(&drain(server.output()));
            assert_eq!(replies.len(), 1, "{bytes:?}");
            assert!(matches!(replies[0][0], 101 | 201));
        }
        Ok(Some(other)) => panic!("{other:?}"),
        Err(_) => assert!(bytes.len() < 9 || bytes[4] < 3, "{bytes:?}"),
    }
}

/// All the ways to spoil a whole message: cut at every offset, four bytes at every offset turned into `0xffffffff`.
fn spoiled(bytes: &[u8]) -> Vec<Vec<u8>> {
    let body = &bytes[5..bytes.len().min(400)];
    let number = bytes[4];
    let cuts = (0..body.len()).map(|end| message(number, &body[..end]));
    let blown = (0..body.len().saturating_sub(3)).map(|at| {
        let mut copy = body.to_vec();
        copy[at..at + 4].fill(0xff);
        message(number, &copy)
    });
    cuts.chain(blown).collect()
}

#[test]
fn a_spoiled_request_is_answered_or_ends_the_conversation() {
    macro_rules! check {
        ($variant:path, $sample:expr) => {
            for bytes in spoiled(&sent(&$sample)) {
                poke(&bytes);
            }
        };
    }
    samples!(check);
}

fn replies() -> Vec<Reply> {
    let name = Name {
        filename: b"a\xff".to_vec(),
        longname: b"-rw-r--r-- 1 u g 3 Jan 1 1970 a".to_vec(),
        attributes: attributes(),
    };
    let mut limits = Vec::new();
    let figures = LimitsReply {
        max_packet_bytes: 1,
        max_read_bytes: 2,
        max_write_bytes: 3,
        max_open_handles: 4,
    };
    figures.put(&mut Writer::new(&mut limits));
    vec![
        Reply::Status(Status::with_message(StatusCode::NO_SUCH_FILE, "gone")),
        Reply::Status(Status::with_message(StatusCode(77), "")),
        Reply::Status(Status::ok()),
        Reply::Handle(handle()),
        Reply::Data(Bytes::from_static(b"data")),
        Reply::Names(vec![name.clone(), name]),
        Reply::Attributes(attributes()),
        Reply::Extended(limits.into()),
    ]
}

fn reply_bytes(reply: &Reply) -> Vec<u8> {
    let mut body = vec![0, 0, 0, 0];
    let mut writer = Writer::new(&mut body);
    match reply {
        Reply::Status(status) => status.put(&mut writer),
        Reply::Handle(handle) => handle.put(&mut writer),
        Reply::Data(data) => writer.string(data),
        Reply::Names(names) => {
            writer.uint32(names.len() as u32);
            names.iter().for_each(|name| name.put(&mut writer));
        }
        Reply::Attributes(attributes) => attributes.put(&mut writer),
        Reply::Extended(body) => writer.raw(body),
    }
    message(reply.number(), &body)
}

/// Makes a request that `reply` can answer.
fn ask_for(client: &mut Client, reply: &Reply) {
    let handle = handle();
    let made = match reply {
        Reply::Status(_) => client.request(&Remove { path: path() }),
        Reply::Handle(_) => client.request(&OpenDir { path: path() }),
        Reply::Data(_) => client.request(&Read {
            handle,
            offset: 0,
            length: 4,
        }),
        Reply::Names(_) => client.request(&ReadDir { handle }),
        Reply::Attributes(_) => client.request(&Stat { path: path() }),
        Reply::Extended(_) => client.request(&Limits {}),
    };
    made.unwrap();
}

#[test]
fn every_reply_arrives_as_it_was_sent() {
    for reply in replies() {
        let mut client = ready_client(&[]);
        ask_for(&mut client, &reply);
        client.receive(reply_bytes(&reply).into());
        match client.poll() {
            Ok(Some(client::Event::Reply { reply: came, .. })) => assert_eq!(came, reply),
            other => panic!("{other:?}"),
        }
        assert_eq!(client.waiting(), 0);
    }
}

#[test]
fn a_spoiled_reply_never_panics() {
    for reply in replies() {
        for bytes in spoiled(&reply_bytes(&reply)) {
            let mut client = ready_client(&[]);
            ask_for(&mut client, &reply);
            client.receive(bytes.into());
            if client.poll().is_err() {
                assert!(client.poll().is_err(), "an error is final");
            }
        }
    }
}

#[test]
fn statvfs_has_eleven_numbers() {
    let figures: Vec<u8> = (1..=11u64).flat_map(u64::to_be_bytes).collect();
    let figures = Bytes::from(figures);
    let reply: StatVfsReply = Body::decode(&figures).unwrap();
    assert_eq!(
        (reply.block_bytes, reply.flags, reply.max_name_bytes),
        (1, 10, 11)
    );
    assert!(Body::decode::<StatVfsReply>(&figures.slice(..80)).is_err());
    let mut server = started_server(config());
    give(&mut server, &sent(&StatVfs { path: path() }));
    let Incoming::Extended(ExtendedQuestion::StatVfs(question)) = incoming(&mut server) else {
        panic!("not statvfs");
    };
    server.answer(question.reply.statistics(&reply));
    let sent = drain(server.output());
    assert_eq!(sent, message(201, &common::cat(&[&[0, 0, 0, 0], &figures])));
}
