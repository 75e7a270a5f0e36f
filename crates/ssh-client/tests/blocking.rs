//! The blocking client with a real OpenSSH server, from threads without an async runtime.

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

use std::io::{Read, Seek, SeekFrom, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use common::{Sshd, bytes, sshd_is_missing, user};
use ssh_client::blocking::Client;
use ssh_client::{Error, ExitStatus, Input, ReadError, Sink};

const MIB: usize = 1024 * 1024;

fn client(server: &Sshd) -> Client {
    Client::connect(server.address(), &user(), server.pinned(), server.key()).unwrap()
}

#[test]
fn commands_run_with_input_output_and_status() {
    if sshd_is_missing() {
        return;
    }
    let server = Sshd::start("");
    let client = client(&server);
    let output = client.run("echo out; echo err >&2; exit 3").unwrap();
    assert_eq!(
        (&output.stdout[..], &output.stderr[..]),
        (&b"out\n"[..], &b"err\n"[..])
    );
    assert_eq!(output.status, ExitStatus::Code(3));
    let data = bytes(4 * MIB);
    let exec = client.exec("cat; echo $BOWLINE_X >&2").env("BOWLINE_X", "set");
    let output = exec.stdin(data.clone()).check().output().unwrap();
    assert!(output.stdout == data);
    assert_eq!(output.stderr, b"set\n");
    let failed = client.exec("exit 3").check().output();
    assert!(matches!(failed, Err(Error::CommandFailed { .. })), "{failed:?}");
    // What had come until then is for the test with the async client: here a busy machine may not have begun.
    let limited = client.exec("sleep 1000").timeout(Duration::from_secs(1)).output();
    assert!(matches!(limited, Err(Error::RunTimeout { .. })), "{limited:?}");
    let file = server.path("kept");
    let mut job = client
        .exec("cat")
        .stdin(Input::bytes("kept"))
        .stdout(Sink::file(&file))
        .start()
        .unwrap();
    assert!(job.stdin.is_none() && job.stdout.is_none() && job.stderr.is_some());
    assert!(job.wait().unwrap().success());
    assert_eq!(std::fs::read(&file).unwrap(), b"kept");
    client.disconnect().unwrap();
    assert!(matches!(client.run("true"), Err(Error::ConnectionLost { .. })));
}

#[test]
fn streams_are_read_and_written_from_threads() {
    if sshd_is_missing() {
        return;
    }
    let server = Sshd::start("");
    let client = client(&server);
    let mut process = client.exec("tee /dev/stderr").spawn().unwrap();
    let data = bytes(8 * MIB);
    let (all, errors) = std::thread::scope(|scope| {
        let (stdin, stdout, stderr) = (&mut process.stdin, &mut process.stdout, &mut process.stderr);
        let data = &data;
        scope.spawn(move || {
            stdin.write_all(data).unwrap();
            stdin.shutdown().unwrap();
        });
        let errors = scope.spawn(move || {
            let mut all = Vec::new();
            stderr.read_to_end(&mut all).unwrap();
            all
        });
        let mut all = Vec::new();
        stdout.read_to_end(&mut all).unwrap();
        (all, errors.join().unwrap())
    });
    assert!(all == data, "{} bytes of output", all.len());
    let strange = errors.iter().zip(&data).position(|(came, sent)| came != sent);
    let shown = strange.map(|at| String::from_utf8_lossy(&errors[at..(at + 200).min(errors.len())]));
    assert!(errors == data, "{} bytes of errors, {shown:?}", errors.len());
    assert_eq!(process.wait().unwrap(), ExitStatus::Code(0));
    // A conversation.
    let mut process = client
        .exec("printf 'name? '; read n; echo hello $n; echo bye")
        .spawn()
        .unwrap();
    let mut says = process.stdout.reader();
    assert_eq!(
        says.read_until_any(&[b"password: ", b"name? "]).unwrap().pattern,
        1
    );
    process.stdin.write_all(b"alice\n").unwrap();
    assert_eq!(says.next_line().unwrap().unwrap(), "hello alice");
    assert_eq!(says.read_exactly(4).unwrap(), b"bye\n");
    assert!(matches!(says.read_until(b"more"), Err(ReadError::Ended { .. })));
}

#[test]
fn files_and_forwards_are_there_too() {
    if sshd_is_missing() {
        return;
    }
    let server = Sshd::start("");
    let client = client(&server);
    let sftp = client.sftp().unwrap();
    let path = server.path("file").to_str().unwrap().to_owned();
    let data = bytes(MIB);
    let mut file = sftp.create(&path).unwrap();
    file.write_all(&data).unwrap();
    file.close().unwrap();
    assert_eq!(sftp.stat(&path).unwrap().size, Some(MIB as u64));
    let mut file = sftp.open(&path).unwrap();
    assert_eq!(file.seek(SeekFrom::End(-5)).unwrap(), MIB as u64 - 5);
    let mut tail = Vec::new();
    file.read_to_end(&mut tail).unwrap();
    assert!(tail == data[MIB - 5..]);
    assert!(file.seek(SeekFrom::Start(3)).is_ok() && file.seek(SeekFrom::Current(-4)).is_err());
    let copy = server.path("copy");
    assert_eq!(sftp.get(&path, &copy).unwrap(), MIB as u64);
    assert!(std::fs::read(&copy).unwrap() == data);
    sftp.remove(&path).unwrap();
    assert!(!sftp.exists(&path).unwrap());
    // A connection through the server to a listener of ours.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let forward = client.forward_local("127.0.0.1:0", "127.0.0.1", port).unwrap();
    let mut near = TcpStream::connect(*forward.address()).unwrap();
    let (mut far, _) = listener.accept().unwrap();
    near.write_all(b"through").unwrap();
    let mut through = [0; 7];
    far.read_exact(&mut through).unwrap();
    assert_eq!((&through, forward.connections().total), (b"through", 1));
    let address = *forward.address();
    forward.close_all().unwrap();
    // A program that another test is just starting has the socket for a moment longer.
    let begin = Instant::now();
    while TcpStream::connect(address).is_ok() {
        assert!(begin.elapsed() < Duration::from_secs(120), "somebody listens");
    }
}

#[test]
fn inside_of_a_runtime_it_is_an_error_and_not_a_panic() {
    if sshd_is_missing() {
        return;
    }
    let server = Sshd::start("");
    let client = client(&server);
    let process = client.exec("cat").spawn().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        assert!(matches!(client.run("true"), Err(Error::InsideRuntime)));
        let connecting = Client::connect(server.address(), &user(), server.pinned(), server.key());
        assert!(matches!(connecting, Err(Error::InsideRuntime)));
        let mut stdout = process.stdout;
        assert!(stdout.read(&mut [0]).is_err());
        // The last of it goes here: a destructor does not wait either.
        drop((stdout, process.stdin, process.stderr, process.control));
        drop(client);
    });
}
