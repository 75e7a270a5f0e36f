//! Files through a real OpenSSH server.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::print_stderr,
    reason = "a test says what must be true by panicking, and what it skipped on standard error"
)]

mod common;

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use common::{Sshd, bytes, sshd_is_missing};
use ssh_client::sftp::{SftpError, SftpFault};
use ssh_client::sftp_protocol::{Attributes, OpenFlags, StatusCode};
use ssh_client::{Error, Sftp};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const MIB: usize = 1024 * 1024;

fn remote(path: &Path) -> Vec<u8> {
    std::os::unix::ffi::OsStrExt::as_bytes(path.as_os_str()).to_vec()
}

fn refusal<T: std::fmt::Debug>(result: Result<T, Error>) -> (StatusCode, String) {
    match result {
        Err(Error::Sftp(error)) => match &error.source {
            SftpFault::Refused(status) => (status.code, error.to_string()),
            other => panic!("{other}"),
        },
        other => panic!("{other:?}"),
    }
}

async fn session(server: &Sshd) -> Sftp {
    server.client().await.sftp().await.unwrap()
}

#[tokio::test]
async fn every_call_does_what_it_says() {
    if sshd_is_missing() {
        return;
    }
    let server = Sshd::start("");
    let sftp = session(&server).await;
    let directory = remote(&server.path("tree"));
    let at = |name: &str| [&directory[..], b"/", name.as_bytes()].concat();
    assert!(!sftp.exists(&directory).await.unwrap());
    sftp.mkdir(&directory).await.unwrap();
    assert!(sftp.stat(&directory).await.unwrap().is_directory());

    let file = sftp.create(at("file")).await.unwrap();
    file.write_at(0, &b"hello world"[..]).await.unwrap();
    file.write_at(6, &b"there"[..]).await.unwrap();
    file.sync().await.unwrap();
    assert_eq!(file.stat().await.unwrap().size, Some(11));
    file.set_len(8).await.unwrap();
    file.set_stat(Attributes::with_permissions(0o640)).await.unwrap();
    file.close().await.unwrap();
    let file = sftp.open(at("file")).await.unwrap();
    assert_eq!(file.read_at(6, 100).await.unwrap(), &b"th"[..]);
    assert!(
        file.read_at(8, 100).await.unwrap().is_empty(),
        "the end is no error"
    );
    refusal(file.write_at(0, &b"x"[..]).await);
    file.close().await.unwrap();
    assert_eq!(
        std::fs::metadata(server.path("tree/file")).unwrap().mode() & 0o777,
        0o640
    );

    sftp.symlink("file", at("link")).await.unwrap();
    assert_eq!(sftp.read_link(at("link")).await.unwrap(), b"file");
    assert_eq!(sftp.stat(at("link")).await.unwrap().size, Some(8));
    assert_ne!(sftp.lstat(at("link")).await.unwrap().size, Some(8));
    assert_eq!(sftp.real_path(at("link")).await.unwrap(), at("file"));
    sftp.set_stat(at("file"), Attributes::with_size(3)).await.unwrap();
    // A rename replaces what has the new name.
    sftp.create(at("other")).await.unwrap().close().await.unwrap();
    sftp.rename(at("file"), at("other")).await.unwrap();
    assert_eq!(sftp.stat(at("other")).await.unwrap().size, Some(3));
    let mut names: Vec<_> = sftp
        .read_dir(&directory)
        .await
        .unwrap()
        .into_iter()
        .map(|name| name.filename)
        .collect();
    names.sort();
    assert_eq!(names, [b"link".to_vec(), b"other".to_vec()]);
    assert_eq!(refusal(sftp.rmdir(&directory).await).0, StatusCode::FAILURE);
    sftp.remove(at("link")).await.unwrap();
    sftp.remove(at("other")).await.unwrap();
    sftp.rmdir(&directory).await.unwrap();
    let (code, text) = refusal(sftp.stat(at("gone")).await);
    assert_eq!(code, StatusCode::NO_SUCH_FILE);
    assert!(text.contains("/tree/gone"), "{text}");
    assert_eq!(refusal(sftp.open(at("gone")).await).0, StatusCode::NO_SUCH_FILE);
    let exclusive = OpenFlags::WRITE | OpenFlags::CREATE | OpenFlags::EXCLUSIVE;
    let taken = remote(&server.path("host"));
    refusal(sftp.open_with(&taken, exclusive, Attributes::default()).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_of_every_size_go_there_and_back() {
    if sshd_is_missing() {
        return;
    }
    let server = Sshd::start("");
    let sftp = session(&server).await;
    for size in [0, 1, 32_767, 32_768, 32_769, 261_120, 261_121, MIB + 7, 40 * MIB] {
        let data = bytes(size);
        let (local, there, back) = (server.path("local"), server.path("there"), server.path("back"));
        std::fs::write(&local, &data).unwrap();
        let mut last = None;
        let length = sftp
            .put_with(&local, remote(&there), |progress| last = Some(progress))
            .await
            .unwrap();
        assert_eq!(length, size as u64);
        assert!(std::fs::read(&there).unwrap() == data, "put of {size} bytes");
        assert_eq!(
            last.map(|progress| (progress.done, progress.total)),
            (size > 0).then_some((size as u64, Some(size as u64)))
        );
        let mut calls = 0;
        let length = sftp
            .get_with(remote(&there), &back, |_| calls += 1)
            .await
            .unwrap();
        assert_eq!(length, size as u64);
        assert!(std::fs::read(&back).unwrap() == data, "get of {size} bytes");
        assert!(size == 0 || calls > 0);
    }
    assert_eq!(sftp.limits().read_bytes, 261_120, "OpenSSH's own limit");
}

#[tokio::test]
async fn modes_travel_without_their_dangerous_bits() {
    if sshd_is_missing() {
        return;
    }
    let server = Sshd::start("");
    let sftp = session(&server).await;
    let (source, target) = (server.path("tool"), server.path("copy"));
    std::fs::write(&source, b"#!/bin/sh\n").unwrap();
    std::fs::set_permissions(&source, std::os::unix::fs::PermissionsExt::from_mode(0o4755)).unwrap();
    sftp.get(remote(&source), &target).await.unwrap();
    assert_eq!(std::fs::metadata(&target).unwrap().mode() & 0o7777, 0o755);
    let back = server.path("back");
    sftp.put(&source, remote(&back)).await.unwrap();
    assert_eq!(std::fs::metadata(&back).unwrap().mode() & 0o7777, 0o755);
}

#[tokio::test]
async fn failed_transfers_name_both_files_and_the_side_that_failed() {
    if sshd_is_missing() {
        return;
    }
    let server = Sshd::start("");
    let sftp = session(&server).await;
    let data = server.path("data");
    std::fs::write(&data, bytes(3 * MIB)).unwrap();
    let fault = |result: Result<u64, Error>| match result {
        Err(Error::Sftp(SftpError {
            local: Some(local),
            remote,
            source,
            ..
        })) => {
            assert!(!remote.is_empty() && local.is_absolute());
            source
        }
        other => panic!("{other:?}"),
    };
    // The local disk is full; the remote disk is full; no such file on either side; directories.
    match fault(sftp.get(remote(&data), "/dev/full").await) {
        SftpFault::Local(error) => assert_eq!(error.kind(), std::io::ErrorKind::StorageFull),
        other => panic!("{other}"),
    }
    match fault(sftp.put(&data, "/dev/full").await) {
        SftpFault::Refused(status) => assert_eq!(status.code, StatusCode::FAILURE),
        other => panic!("{other}"),
    }
    assert!(matches!(
        fault(sftp.get("/nowhere", server.path("x")).await),
        SftpFault::Refused(_)
    ));
    assert!(matches!(
        fault(sftp.put(server.path("nowhere"), "/tmp/x").await),
        SftpFault::Local(_)
    ));
    assert!(matches!(
        fault(sftp.get("/etc", server.path("x")).await),
        SftpFault::NotAFile
    ));
    assert!(matches!(
        fault(sftp.put("/etc", "/tmp/x").await),
        SftpFault::Local(_)
    ));
    assert!(!server.path("x").exists(), "nothing was created in vain");
    // The session lives on, and a file of unknown size is read to its end.
    let length = sftp
        .get("/proc/self/status", server.path("status"))
        .await
        .unwrap();
    assert!(length > 100);
    assert!(
        std::fs::read_to_string(server.path("status"))
            .unwrap()
            .starts_with("Name:")
    );
}

#[tokio::test]
async fn a_file_is_a_stream_too() {
    if sshd_is_missing() {
        return;
    }
    let server = Sshd::start("");
    let sftp = session(&server).await;
    let path = remote(&server.path("stream"));
    let data = bytes(3 * MIB + 1);
    let mut file = sftp.create(&path).await.unwrap();
    file.write_all(&data).await.unwrap();
    assert_eq!(file.position(), data.len() as u64);
    file.shutdown().await.unwrap();
    let mut file = sftp.open(&path).await.unwrap();
    let mut read = Vec::new();
    file.read_to_end(&mut read).await.unwrap();
    assert!(read == data);
    file.set_position(MIB as u64);
    let mut part = [0; 100];
    file.read_exact(&mut part).await.unwrap();
    assert_eq!(part, data[MIB..MIB + 100]);
    // What goes wrong with a write is told by the time the file is closed.
    let mut full = sftp
        .open_with("/dev/full", OpenFlags::WRITE, Attributes::default())
        .await
        .unwrap();
    let written = async {
        full.write_all(b"x").await?;
        full.flush().await
    };
    assert!(written.await.is_err());
    full.close().await.unwrap();
}

#[tokio::test]
async fn names_are_bytes() {
    if sshd_is_missing() {
        return;
    }
    let server = Sshd::start("");
    let sftp = session(&server).await;
    let directory = remote(&server.path("names"));
    sftp.mkdir(&directory).await.unwrap();
    let mut names: Vec<Vec<u8>> = (1..=255)
        .filter(|byte| *byte != b'/')
        .map(|byte| vec![b'x', byte])
        .collect();
    names.extend([
        b"a b".to_vec(),
        b"-rf".to_vec(),
        b"~".to_vec(),
        vec![b'n'; 255],
        b"\xe2\x80\xae".to_vec(),
    ]);
    for name in &names {
        let path = [&directory[..], b"/", name].concat();
        sftp.create(&path).await.unwrap().close().await.unwrap();
    }
    let mut listed: Vec<_> = sftp
        .read_dir(&directory)
        .await
        .unwrap()
        .into_iter()
        .map(|name| name.filename)
        .collect();
    listed.sort();
    names.sort();
    assert_eq!(listed, names);
}

#[tokio::test]
async fn a_thousand_files_are_listed_and_many_calls_run_at_once() {
    if sshd_is_missing() {
        return;
    }
    let server = Sshd::start("");
    let sftp = session(&server).await;
    let directory = server.path("many");
    std::fs::create_dir(&directory).unwrap();
    for index in 0..1_000 {
        std::fs::write(directory.join(format!("file{index}")), index.to_string()).unwrap();
    }
    let names = sftp.read_dir(remote(&directory)).await.unwrap();
    assert_eq!(names.len(), 1_000);
    // One by one, by somebody who asks many times before an answer comes.
    let mut listing = sftp.open_dir(remote(&directory)).await.unwrap();
    let mut one_by_one = Vec::new();
    let instant = std::time::Duration::from_nanos(1);
    loop {
        match tokio::time::timeout(instant, listing.next()).await {
            Err(_elapsed) => {}
            Ok(Ok(Some(name))) => one_by_one.push(name),
            Ok(end) => break assert!(end.unwrap().is_none()),
        }
    }
    assert!(listing.next().await.unwrap().is_none(), "the end stays the end");
    listing.close().await.unwrap();
    assert_eq!(one_by_one, names);
    let (code, text) = refusal(sftp.open_dir(remote(&server.path("gone"))).await);
    assert_eq!(code, StatusCode::NO_SUCH_FILE);
    assert!(text.contains("/gone"), "{text}");
    let mut calls = tokio::task::JoinSet::new();
    for name in names {
        let (sftp, path) = (
            sftp.clone(),
            [&remote(&directory)[..], b"/", &name.filename].concat(),
        );
        calls.spawn(async move {
            let file = sftp.open(&path).await.unwrap();
            let data = file.read_at(0, 100).await.unwrap();
            assert!(path.ends_with(&data));
            file.close().await.unwrap();
        });
        if calls.len() > 100 {
            calls.join_next().await.unwrap().unwrap();
        }
    }
    while let Some(call) = calls.join_next().await {
        call.unwrap();
    }
}

#[tokio::test]
async fn dropped_files_and_dropped_calls_leave_nothing_open() {
    if sshd_is_missing() {
        return;
    }
    let server = Sshd::start("");
    let sftp = session(&server).await;
    let path = remote(&server.path("host"));
    for round in 0..3_000 {
        // OpenSSH's server holds no more handles than its file limit: leaks would end this.
        match round % 3 {
            0 => drop(sftp.open(&path).await.unwrap()),
            1 => {
                let _abandoned = tokio::time::timeout(std::time::Duration::ZERO, sftp.open(&path)).await;
            }
            _ => {
                let _abandoned =
                    tokio::time::timeout(std::time::Duration::from_micros(300), sftp.read_dir("/etc")).await;
            }
        }
    }
    assert!(sftp.exists(&path).await.unwrap());
}

#[tokio::test]
async fn a_server_without_sftp_says_so() {
    if sshd_is_missing() {
        return;
    }
    let server = Sshd::start("");
    let client = server.client().await;
    let none = client.subsystem("no-such-subsystem").spawn().await;
    match none {
        Err(Error::RequestRefused { request, .. }) => assert!(request.contains("no-such-subsystem")),
        _ => panic!("the subsystem was started"),
    }
}
