//! What the packets of somebody who types tell to those who see them pass (`ObscureKeystrokeTiming`).

use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use ssh_client::channel::{WindowChange, opcode};
use ssh_client::terminal::{KeystrokeTiming, LocalTerminal};
use ssh_client::tokio_driver::terminal::{modes, set_size};
use ssh_client::{Client, Config, Credentials, HostKeys, Terminal};
use ssh_server::{Application, Candidate, Decision, Offer, Peer, Permissions, Server, Session};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, DuplexStream, ReadBuf, duplex};
use tokio::task::{JoinHandle, yield_now};
use tokio::time::{Instant, sleep};

use crate::{PIPE_BYTES, host_key};

/// When something happened, and how many bytes it was.
type Moments = Arc<Mutex<Vec<(Instant, usize)>>>;

/// A stream that notes when how much was written to it.
struct Watched {
    stream: DuplexStream,
    written: Moments,
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, into)
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        if let Poll::Ready(Ok(count)) = written {
            self.written.lock().unwrap().push((Instant::now(), count));
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// A program that reads keys, shows nothing, and notes when they came.
struct Reader {
    heard: Moments,
    keys: Arc<Mutex<Vec<u8>>>,
}

impl Application for Reader {
    async fn password(&self, _candidate: &Candidate, _password: &[u8]) -> Decision {
        Decision::accept_if(true, Permissions::default())
    }

    async fn session(&self, session: Session) {
        let Some(mut process) = session.process(&Offer::default()).await else {
            return;
        };
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(count @ 1..) = process.read(&mut buffer).await {
            self.heard.lock().unwrap().push((Instant::now(), count));
            self.keys.lock().unwrap().extend(&buffer[..count]);
        }
    }
}

/// Somebody at a terminal, the wire between the two sides, and the program at the other one.
struct Scene {
    keyboard: File,
    tty: OwnedFd,
    wire: Moments,
    heard: Moments,
    keys: Arc<Mutex<Vec<u8>>>,
    interacting: JoinHandle<()>,
}

impl Scene {
    async fn begin(timing: KeystrokeTiming) -> Self {
        let (wire, heard, keys) = (Moments::default(), Moments::default(), Arc::default());
        let application = Reader {
            heard: Arc::clone(&heard),
            keys: Arc::clone(&keys),
        };
        let config = ssh_server::Config {
            password_login: true,
            keepalive: None,
            ..Default::default()
        };
        let server = Server::builder().config(config).host_key(host_key());
        let server = server.build(application).unwrap();
        let (near, far) = duplex(PIPE_BYTES);
        tokio::spawn(async move { server.serve_stream(far, Peer::named("a pipe")).await });
        let near = Watched {
            stream: near,
            written: Arc::clone(&wire),
        };
        let believed = HostKeys::pinned(host_key().public().clone());
        let password = Credentials::password("secret");
        let address = ("host.example", 2022);
        // Nothing but keys shall move here.
        let config = Config {
            keepalive: None,
            ..Config::default()
        };
        let client = Client::over(&config, near, address, "alice", believed, password);
        let client = client.await.unwrap();
        let (keyboard, tty) = terminal();
        let nothing = || File::create("/dev/null").unwrap().into();
        let local = LocalTerminal::over(tty.try_clone().unwrap(), nothing(), nothing()).unwrap();
        let local = local.keystroke_timing(timing);
        let asked = client.shell().terminal(Terminal::new("vt100", 80, 24));
        let mut process = asked.spawn().await.unwrap();
        let interacting = tokio::spawn(async move {
            let _cut_off = process.interact(&local).await;
        });
        // As long as this task runs, the clock stands still.
        while modes(&tty).unwrap().get(opcode::ICANON) != Some(0) {
            yield_now().await;
        }
        Self {
            keyboard,
            tty,
            wire,
            heard,
            keys,
            interacting,
        }
    }

    /// Types, at this very moment: the clock stands still until this side has read it all.
    async fn types(&mut self, keys: &[u8]) {
        self.keyboard.write_all(keys).unwrap();
        // The system brings it from one end of the terminal to the other in its own time.
        assert!(self.has_input(None));
        while self.has_input(Some(Timespec::default())) {
            yield_now().await;
        }
    }

    fn has_input(&self, patience: Option<Timespec>) -> bool {
        let mut asked = [PollFd::new(&self.tty, PollFlags::IN)];
        poll(&mut asked, patience.as_ref()).unwrap() > 0
    }

    fn take(moments: &Moments) -> Vec<(Instant, usize)> {
        std::mem::take(&mut *moments.lock().unwrap())
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.interacting.abort();
    }
}

fn terminal() -> (File, OwnedFd) {
    let keyboard = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&keyboard).unwrap();
    unlockpt(&keyboard).unwrap();
    let name = ptsname(&keyboard, Vec::new()).unwrap().into_string().unwrap();
    let flags = rustix::fs::OFlags::RDWR | rustix::fs::OFlags::NOCTTY;
    let tty = rustix::fs::open(name, flags, rustix::fs::Mode::empty()).unwrap();
    set_size(&tty, &WindowChange::new(80, 24)).unwrap();
    (keyboard.into(), tty)
}

/// Longer than anything here takes, and shorter than keys serve.
const MINUTE: Duration = Duration::from_secs(60);

/// The pauses before some keys, in milliseconds: fast, slow, within one interval, and a thought in between.
const PAUSES: [u64; 10] = [0, 3, 7, 41, 200, 2, 90, 900, 19, 500];

const fn milliseconds(count: u64) -> Duration {
    Duration::from_millis(count)
}

#[tokio::test(start_paused = true)]
async fn the_packets_of_somebody_who_types_tell_neither_when_nor_whether_a_key_was_pressed() {
    let mut scene = Scene::begin(KeystrokeTiming::default()).await;
    sleep(MINUTE).await;
    Scene::take(&scene.wire);
    sleep(MINUTE).await;
    assert_eq!(Scene::take(&scene.wire), [], "something moves while nobody types");
    let begin = Instant::now();
    for pause in PAUSES {
        sleep(milliseconds(pause)).await;
        scene.types(b"x").await;
    }
    let end = Instant::now();
    sleep(MINUTE).await;
    assert_eq!(*scene.keys.lock().unwrap(), b"x".repeat(PAUSES.len()));
    let packets = Scene::take(&scene.wire);
    let (first, size) = packets[0];
    let (last, _) = packets[packets.len() - 1];
    assert_eq!(first, begin, "the first key has nothing to hide");
    assert!(packets.iter().all(|(_, each)| *each == size), "{packets:?}");
    for pair in packets.windows(2) {
        // Ten in a hundred off, and timers that go by whole milliseconds.
        let gap = pair[1].0 - pair[0].0;
        assert!(gap >= milliseconds(18) && gap <= milliseconds(24), "{gap:?}");
    }
    let after = last - end;
    assert!(
        after >= milliseconds(1000) && after <= milliseconds(3100),
        "{after:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn where_nothing_is_to_be_hidden_keys_leave_at_once() {
    for timing in [KeystrokeTiming::AtOnce, KeystrokeTiming::Every(Duration::ZERO)] {
        let mut scene = Scene::begin(timing).await;
        sleep(MINUTE).await;
        Scene::take(&scene.wire);
        let mut pressed = Vec::new();
        for pause in PAUSES {
            // Two at the same moment would be one packet.
            sleep(milliseconds(pause + 1)).await;
            pressed.push(Instant::now());
            scene.types(b"x").await;
        }
        sleep(MINUTE).await;
        let left: Vec<_> = Scene::take(&scene.wire).into_iter().map(|(at, _)| at).collect();
        assert_eq!(left, pressed);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_pasted_does_not_wait() {
    let mut scene = Scene::begin(KeystrokeTiming::Every(Duration::from_secs(1))).await;
    scene.types(b"x").await;
    sleep(milliseconds(300)).await;
    Scene::take(&scene.heard);
    let begin = Instant::now();
    // Less than a terminal keeps, and more than anybody types in a second.
    scene.types(&b"pasted".repeat(400)).await;
    sleep(milliseconds(1)).await;
    let heard = Scene::take(&scene.heard);
    let at_once: usize = heard.iter().map(|(_, count)| count).sum();
    assert!(heard[0].0 == begin && at_once > 256, "{heard:?}");
    sleep(MINUTE).await;
    assert_eq!(scene.keys.lock().unwrap().len(), 1 + 2400);
}

#[tokio::test(start_paused = true)]
async fn a_key_that_waits_for_its_turn_is_not_lost_with_the_interaction() {
    let mut scene = Scene::begin(KeystrokeTiming::default()).await;
    scene.types(b"a").await;
    sleep(milliseconds(1)).await;
    scene.types(b"b").await;
    assert_eq!(*scene.keys.lock().unwrap(), b"a");
    scene.interacting.abort();
    sleep(MINUTE).await;
    assert_eq!(*scene.keys.lock().unwrap(), b"ab");
}
