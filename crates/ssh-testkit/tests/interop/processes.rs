//! Programs with their streams redirected, watched and ended, each on our server library and on OpenSSH's `sshd`.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::pin::Pin;
use std::process::Stdio;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use ssh_client::{Client, Credentials, Error, ExitStatus, HostKeys, Input, Sink};
use ssh_testkit::openssh::Account;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadBuf, duplex};
use tokio::net::TcpListener;
use tokio::process::Command;

use crate::openssh_server::{public_key, server};
use crate::ours::{Ours, PASSWORD};

const MIB: usize = 1024 * 1024;
/// No test takes as long as this.
const PATIENCE: Duration = Duration::from_secs(200);

/// Runs `test` on both servers, with a folder that both sides may use. `tag` names the account made for it: OpenSSH's
/// server passes signals on for everybody but root.
fn on_both(tag: &str, test: impl AsyncFn(&Client, &Path)) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let run = |port: u16, key, user: &str, password: &str| {
        let folder = tempfile::tempdir().unwrap();
        std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o777)).unwrap();
        runtime.block_on(async {
            let password = Credentials::password(password);
            let client = Client::connect(("127.0.0.1", port), user, HostKeys::pinned(key), password);
            let client = client.await.unwrap();
            let tested = tokio::time::timeout(PATIENCE, test(&client, folder.path())).await;
            tested.unwrap_or_else(|_| panic!("it hangs with {}", client.server_identification()));
        });
    };
    let ours = Ours::start();
    run(ours.port, public_key(&ours.keys, "host"), &ours.user(), PASSWORD);
    drop(ours);
    let (Some(theirs), Some(account)) = (server("PasswordAuthentication yes"), Account::make(tag)) else {
        return;
    };
    run(
        theirs.port,
        public_key(&theirs.keys, "host"),
        &account.name,
        &account.password,
    );
}

/// Bytes that do not repeat themselves soon.
fn bytes(count: usize) -> Vec<u8> {
    (0..count.div_ceil(4))
        .flat_map(|number| {
            u32::try_from(number)
                .unwrap()
                .wrapping_mul(0x9e37_79b9)
                .to_be_bytes()
        })
        .take(count)
        .collect()
}

async fn until_exists(path: &Path) {
    let begin = Instant::now();
    while !path.exists() {
        assert!(begin.elapsed() < PATIENCE, "{} does not appear", path.display());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A program that says something, and makes a file when it is told to end.
fn stubborn(told: &Path) -> String {
    stubborn_that(told, ":")
}

/// The same, which does something first.
fn stubborn_that(told: &Path, first: &str) -> String {
    format!(
        "trap '' HUP PIPE; trap 'touch {}; exit 0' TERM; {first}; echo partial; echo also >&2; while :; do sleep 0.05; done",
        told.display()
    )
}

#[test]
fn a_failing_status_is_an_error_where_it_was_asked_for() {
    on_both("proc1", async |client, _folder| {
        let command = "echo out; echo first >&2; printf 'a\\033[2Jb\\n' >&2; exit 3";
        match client.exec(command).check().output().await.unwrap_err() {
            Error::CommandFailed { address, output } => {
                assert_eq!(address.host, "127.0.0.1");
                assert_eq!(output.status, ExitStatus::Code(3));
                assert_eq!(output.stdout_utf8().unwrap(), "out\n");
                assert_eq!(output.stderr_utf8().unwrap(), "first\na\u{1b}[2Jb\n");
                let shown = Error::CommandFailed { address, output }.to_string();
                assert!(
                    shown.ends_with("the program failed: exit status 3: a\\u{1b}[2Jb"),
                    "{shown}"
                );
            }
            other => panic!("{other}"),
        }
        let by_signal = client.exec("kill -KILL $$").check().output().await;
        assert!(
            matches!(by_signal, Err(Error::CommandFailed { .. })),
            "{by_signal:?}"
        );
        assert_eq!(
            client.exec("echo fine").check().output().await.unwrap().stdout,
            b"fine\n"
        );
        assert_eq!(
            client.exec("exit 3").output().await.unwrap().status.code(),
            Some(3)
        );
    });
}

#[test]
fn a_program_that_takes_too_long_is_told_to_end_and_what_it_said_is_kept() {
    on_both("proc2", async |client, folder| {
        let told = folder.join("told");
        // How long it takes until it has said both is the machine's business.
        let mut limit = Duration::from_secs(2);
        loop {
            match client.exec(stubborn(&told)).timeout(limit).output().await {
                Err(Error::RunTimeout {
                    partial,
                    limit: named,
                    ..
                }) => {
                    assert_eq!(named, limit);
                    if (&partial.stdout[..], &partial.stderr[..]) == (b"partial\n", b"also\n") {
                        break;
                    }
                    assert!(limit < Duration::from_secs(60), "{partial:?}");
                }
                other => panic!("{other:?}"),
            }
            limit *= 2;
        }
        until_exists(&told).await;
        // The connection lives on.
        assert!(client.run("true").await.unwrap().status.success());
    });
}

#[test]
fn a_run_that_is_dropped_tells_the_program_to_end() {
    on_both("proc3", async |client, folder| {
        let (told, begun) = (folder.join("told"), folder.join("begun"));
        let command = stubborn_that(&told, &format!("touch {}", begun.display()));
        tokio::select! {
            ended = client.run(command) => panic!("{ended:?}"),
            () = until_exists(&begun) => {}
        }
        until_exists(&told).await;
        // Dropped at any earlier point it does no harm: polled so many times and no more.
        for polls in 0..12 {
            let mut run = Box::pin(client.run("true"));
            let mut left = polls;
            std::future::poll_fn(|cx| {
                if left == 0 {
                    return Poll::Ready(());
                }
                left -= 1;
                match Future::poll(run.as_mut(), cx) {
                    Poll::Ready(_) => Poll::Ready(()),
                    Poll::Pending => Poll::Pending,
                }
            })
            .await;
        }
        assert_eq!(client.run("echo well").await.unwrap().stdout, b"well\n");
    });
}

#[test]
fn streams_go_to_files_and_come_from_files() {
    on_both("proc4", async |client, folder| {
        let (source, copy, log) = (folder.join("source"), folder.join("copy"), folder.join("log"));
        let data = bytes(3 * MIB + 1);
        std::fs::write(&source, &data).unwrap();
        std::fs::write(&copy, "what was there before").unwrap();
        std::fs::write(&log, "before\n").unwrap();
        let exec = client.exec("cat; echo problem >&2; exit 4");
        let output = exec
            .stdin(Input::file(&source))
            .stdout(Sink::file(&copy))
            .stderr(Sink::append(&log))
            .output()
            .await
            .unwrap();
        assert_eq!(output.status, ExitStatus::Code(4));
        assert!(output.stdout.is_empty() && output.stderr.is_empty());
        assert!(std::fs::read(&copy).unwrap() == data);
        assert_eq!(std::fs::read_to_string(&log).unwrap(), "before\nproblem\n");
        // Nothing is started when a file cannot be opened.
        let mark = folder.join("started");
        let exec = || client.exec(format!("touch {}", mark.display()));
        for exec in [
            exec().stdin(Input::file("/no/such/file")),
            exec().stdout(Sink::file("/no/such/file")),
            exec().stderr(Sink::append("/no/such/file")),
        ] {
            match exec.output().await {
                Err(Error::Local { path, step, .. }) => {
                    assert_eq!((path.as_path(), step), (Path::new("/no/such/file"), "open"));
                }
                other => panic!("{other:?}"),
            }
        }
        assert!(!mark.exists());
    });
}

#[test]
fn streams_are_nothing_or_both_in_one() {
    on_both("proc5", async |client, _folder| {
        let exec = client.exec("head -c 4194304 /dev/zero; head -c 4194304 /dev/zero >&2; echo end >&2");
        let output = exec.stdout(Sink::null()).output().await.unwrap();
        assert_eq!((output.stdout.len(), output.stderr.len()), (0, 4 * MIB + 4));
        let exec =
            client.exec("wc -c; head -c 3145728 /dev/zero | tr '\\0' e >&2; head -c 3145728 /dev/zero");
        let output = exec
            .stdin(Input::null())
            .stderr(Sink::merge())
            .output()
            .await
            .unwrap();
        assert!(output.stderr.is_empty());
        let count = |wanted: u8| output.stdout.iter().filter(|byte| **byte == wanted).count();
        assert_eq!(
            (count(b'e'), count(0), output.stdout.len()),
            (3 * MIB, 3 * MIB, 6 * MIB + 2)
        );
    });
}

#[test]
fn a_local_child_a_socket_and_another_remote_program_are_ends_like_any() {
    on_both("proc6", async |client, _folder| {
        let other = client.clone();
        let data = bytes(5 * MIB);
        // A local child's output goes in, ...
        let mut child = Command::new("sh")
            .args(["-c", "cat; echo child >&2"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (mut child_in, child_out) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let mut first = client.exec("cat").stdin_from(child_out).start().await.unwrap();
        // ... out of that program into another one there, and from that into a socket.
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (socket, accepted) = tokio::join!(tokio::net::TcpStream::connect(address), listener.accept());
        let (mut near, _) = accepted.unwrap();
        let piped = first.stdout.take().unwrap();
        let second = other
            .exec("tee /dev/null")
            .stdin_from(piped)
            .stdout(Sink::writer(socket.unwrap()))
            .start();
        let mut second = second.await.unwrap();
        let sending = async {
            child_in.write_all(&data).await.unwrap();
            drop(child_in);
        };
        let receiving = async {
            let mut all = Vec::new();
            // The end of the input at one end is the end of the stream at the other.
            near.read_to_end(&mut all).await.unwrap();
            all
        };
        let ((), all, one, two) = tokio::join!(sending, receiving, first.wait(), second.wait());
        assert!(all == data);
        assert!(one.unwrap().success() && two.unwrap().success());
        assert!(child.wait().await.unwrap().success());
        // And into a local child.
        let mut child = Command::new("wc")
            .arg("-c")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let sink = Sink::writer(child.stdin.take().unwrap());
        client
            .exec("head -c 1234567 /dev/zero")
            .stdout(sink)
            .check()
            .output()
            .await
            .unwrap();
        assert_eq!(child.wait_with_output().await.unwrap().stdout, b"1234567\n");
    });
}

#[test]
fn a_slow_sink_holds_up_the_program_and_nothing_else() {
    on_both("proc7", async |client, folder| {
        let mark = folder.join("done");
        let (writer, mut reader) = duplex(64 * 1024);
        // More than every buffer on the way together.
        let exec = client.exec(format!("head -c 67108864 /dev/zero; touch {}", mark.display()));
        let mut job = exec.stdout(Sink::writer(writer)).start().await.unwrap();
        let mut first = [0; 1];
        reader.read_exact(&mut first).await.unwrap();
        assert_eq!(client.run("echo beside").await.unwrap().stdout, b"beside\n");
        assert!(!mark.exists());
        let rest = async {
            let mut all = 0;
            let mut block = vec![0; MIB];
            loop {
                match reader.read(&mut block).await.unwrap() {
                    0 => break all,
                    count => all += count,
                }
            }
        };
        let (status, rest) = tokio::join!(job.wait(), rest);
        assert!(status.unwrap().success());
        assert_eq!(rest, 64 * MIB - 1);
        assert!(mark.exists());
    });
}

#[test]
fn a_sink_that_fails_ends_the_program() {
    on_both("proc8", async |client, folder| {
        for (round, step) in ["write standard output", "write standard error"]
            .into_iter()
            .enumerate()
        {
            let told = folder.join(format!("told{round}"));
            let exec = || {
                let exec = client.exec(stubborn(&told));
                match round {
                    0 => exec.stdout(Sink::file("/dev/full")),
                    _ => exec.stderr(Sink::append("/dev/full")),
                }
            };
            let check = |failed: Result<(), Error>| match failed {
                Err(Error::Io {
                    step: named, source, ..
                }) => {
                    assert_eq!((named, source.kind()), (step, io::ErrorKind::StorageFull));
                }
                other => panic!("{other:?}"),
            };
            check(exec().output().await.map(drop));
            until_exists(&told).await;
            std::fs::remove_file(&told).unwrap();
            let mut job = exec().start().await.unwrap();
            check(job.wait().await.map(drop));
            until_exists(&told).await;
        }
    });
}

/// A reader that fails after its first bytes.
struct Torn(bool);

impl AsyncRead for Torn {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if std::mem::replace(&mut self.0, true) {
            return Poll::Ready(Err(io::Error::other("torn")));
        }
        into.put_slice(b"half");
        Poll::Ready(Ok(()))
    }
}

#[test]
fn an_input_that_breaks_off_ends_the_program() {
    on_both("proc9", async |client, _folder| {
        for round in 0..2 {
            let exec = client.exec("cat").stdin_from(Torn(false));
            let failed = match round {
                0 => exec.output().await.map(drop),
                _ => {
                    let mut job = exec
                        .stdout(Sink::null())
                        .stderr(Sink::null())
                        .start()
                        .await
                        .unwrap();
                    job.wait().await.map(drop)
                }
            };
            match failed {
                Err(Error::Io { step, source, .. }) => {
                    assert_eq!(
                        (step, source.to_string().as_str()),
                        ("read standard input", "torn")
                    );
                }
                other => panic!("{other:?}"),
            }
        }
        // That a program does not want all of it is no failure.
        let output = client
            .exec("head -c 3")
            .stdin(bytes(8 * MIB))
            .check()
            .output()
            .await;
        assert_eq!(output.unwrap().stdout.len(), 3);
        let endless = tokio::io::repeat(b'x');
        let output = client
            .exec("exec <&-; echo enough")
            .stdin_from(endless)
            .output()
            .await;
        assert_eq!(output.unwrap().stdout, b"enough\n");
    });
}

#[test]
fn a_job_is_waited_for_and_signalled_and_its_other_streams_are_the_callers() {
    on_both("proc10", async |client, folder| {
        let log = folder.join("log");
        let exec = client.exec("trap 'echo told >&2; exit 9' USR1; cat; while :; do sleep 0.05; done");
        let mut job = exec.stderr(Sink::file(&log)).check().start().await.unwrap();
        let mut stdin = job.stdin.take().unwrap();
        stdin.write_all(b"through").await.unwrap();
        stdin.shutdown().await.unwrap();
        let mut through = [0; 7];
        job.stdout
            .as_mut()
            .unwrap()
            .read_exact(&mut through)
            .await
            .unwrap();
        assert_eq!(&through, b"through");
        assert!(job.stderr.is_none());
        // Waiting can be given up and begun again.
        let wait = tokio::time::timeout(Duration::from_millis(50), job.wait()).await;
        assert!(wait.is_err());
        job.control.signal("USR1").unwrap();
        match job.wait().await {
            Err(Error::CommandFailed { output, .. }) => assert_eq!(output.status, ExitStatus::Code(9)),
            other => panic!("{other:?}"),
        }
        // The shell may say how its own child ended, before.
        assert!(std::fs::read_to_string(&log).unwrap().ends_with("told\n"));
        // What is redirected is not the caller's as well.
        for (exec, name) in [
            (client.exec("cat").stdin("bytes"), "standard input"),
            (client.exec("cat").stdout(Sink::null()), "standard output"),
            (client.exec("cat").stderr(Sink::merge()), "standard error"),
        ] {
            match exec.spawn().await.err() {
                Some(Error::Redirected { stream, .. }) => assert_eq!(stream, name),
                other => panic!("{other:?}"),
            }
        }
    });
}

#[test]
fn output_over_its_limit_ends_the_program() {
    on_both("proc11", async |client, folder| {
        let told = folder.join("told");
        match client.exec(stubborn(&told)).output_limit(7).output().await {
            Err(Error::OutputTooLong { limit, .. }) => assert_eq!(limit, 7),
            other => panic!("{other:?}"),
        }
        until_exists(&told).await;
        // At the limit it is fine; what is redirected does not count.
        let exec = client.exec("printf 1234567").output_limit(7);
        assert_eq!(exec.output().await.unwrap().stdout, b"1234567");
        let exec = client
            .exec("printf 12345678")
            .output_limit(7)
            .stdout(Sink::null());
        assert!(exec.output().await.unwrap().status.success());
    });
}
