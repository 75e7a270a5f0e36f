//! Calls to file systems that do not answer: a connection makes its own wait, and nobody else's.

use std::io;
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, ThreadId};
use std::time::Duration;

use ssh_client::Client;
use ssh_client::channel::{ChannelType, Subsystem};
use ssh_client::tokio_driver::{Channel, OpenError};
use ssh_server::filesystem::{File, Filesystem};
use ssh_server::sftp::{Attributes, OpenFlags};
use ssh_server::{Limits, Server, Services};
use ssh_testkit::doors::{Serving, visit, visit_by};
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::PIPE_BYTES;

/// The calls that one connection may have under way at once (`docs/defaults.md`).
const SHARE: usize = 8;

/// A file system with a path that does not answer before it is told to.
#[derive(Clone)]
struct Hung(Arc<State>);

struct State {
    begun: watch::Sender<usize>,
    answers: Mutex<bool>,
    told: Condvar,
}

impl Hung {
    fn new() -> Self {
        Self(Arc::new(State {
            begun: watch::Sender::new(0),
            answers: Mutex::new(false),
            told: Condvar::new(),
        }))
    }

    fn begun(&self) -> usize {
        *self.0.begun.borrow()
    }

    fn answer(&self) {
        *self.0.answers.lock().unwrap() = true;
        self.0.told.notify_all();
    }
}

impl Filesystem for Hung {
    fn stat(&self, path: &[u8]) -> io::Result<Attributes> {
        if path == b"hung" {
            self.0.begun.send_modify(|begun| *begun += 1);
            // A test that has failed must end: its runtime waits for its threads.
            let (state, most) = (self.0.answers.lock().unwrap(), Duration::from_secs(120));
            drop(
                self.0
                    .told
                    .wait_timeout_while(state, most, |answers| !*answers)
                    .unwrap(),
            );
        }
        Ok(Attributes::default())
    }
}

#[tokio::test]
async fn a_connection_whose_file_calls_hang_holds_its_share_and_others_go_on() {
    let files = Hung::new();
    let come = || visit(Serving(Services::new().sftp(files.clone())), duplex(PIPE_BYTES));
    let (hanging, _serving) = come().await;
    let mut asked = JoinSet::new();
    for _ in 0..SHARE + 4 {
        let sftp = hanging.sftp().await.unwrap();
        asked.spawn(async move { sftp.stat("hung").await });
    }
    let mut begun = files.0.begun.subscribe();
    begun.wait_for(|begun| *begun >= SHARE).await.unwrap();

    let (other, _serving) = come().await;
    let sftp = other.sftp().await.unwrap();
    for _ in 0..10 {
        sftp.stat("there").await.unwrap();
    }
    assert_eq!(files.begun(), SHARE, "one connection has more than its share");
    assert!(asked.try_join_next().is_none());

    files.answer();
    while let Some(answered) = asked.join_next().await {
        answered.unwrap().unwrap();
    }
    assert_eq!(files.begun(), SHARE + 4, "what waited was done");
}

/// A session of SFTP as bytes, as soon as the server has a place for one.
async fn session_in_turn(client: &Client) -> Channel {
    let channel = loop {
        match client.handle().open(ChannelType::Session).await {
            Ok(channel) => break channel,
            Err(OpenError::Refused(_)) => {}
            Err(error) => panic!("{error}"),
        }
    };
    assert!(channel.request(&Subsystem::new("sftp").into()).await.unwrap());
    channel
}

/// STAT, and what stands behind its path.
const STAT: (u8, &[u8]) = (17, b"");
/// OPEN for reading, without attributes.
const OPEN: (u8, &[u8]) = (3, &[0, 0, 0, 1, 0, 0, 0, 0]);

/// Introduces itself and asks for something about a path (draft-ietf-secsh-filexfer-02 §4, §6.3, §6.8).
async fn ask(channel: &mut Channel, (number, rest): (u8, &[u8]), path: &str) {
    let length = |bytes: usize| u32::try_from(bytes).unwrap().to_be_bytes();
    let mut bytes = vec![0, 0, 0, 5, 1, 0, 0, 0, 3];
    bytes.extend(length(9 + path.len() + rest.len()));
    bytes.extend([number, 0, 0, 0, 1]);
    bytes.extend(length(path.len()));
    bytes.extend(path.as_bytes());
    bytes.extend(rest);
    channel.write_all(&bytes).await.unwrap();
}

/// VERSION, and the answer.
async fn answered(channel: &mut Channel) {
    for _ in 0..2 {
        let mut length = [0; 4];
        channel.read_exact(&mut length).await.unwrap();
        let mut answer = vec![0; usize::try_from(u32::from_be_bytes(length)).unwrap()];
        channel.read_exact(&mut answer).await.unwrap();
    }
}

#[tokio::test]
async fn what_waits_for_a_thread_goes_with_its_session() {
    let files = Hung::new();
    let limits = Limits {
        max_sessions: SHARE + 1,
        ..Limits::default()
    };
    let serving = Serving(Services::new().sftp(files.clone()));
    let (client, _serving) = visit_by(Server::builder().limits(limits), serving, duplex(PIPE_BYTES)).await;
    let mut asked = JoinSet::new();
    for _ in 0..SHARE {
        let sftp = client.sftp().await.unwrap();
        asked.spawn(async move { sftp.stat("hung").await });
    }
    let mut begun = files.0.begun.subscribe();
    begun.wait_for(|begun| *begun >= SHARE).await.unwrap();
    // One session after the other asks, waits for a thread and is broken off. Each has the place of the one before it.
    for _ in 0..20 {
        let mut channel = session_in_turn(&client).await;
        ask(&mut channel, STAT, "hung").await;
        // Time enough for the server to have heard that.
        client.ping().await.unwrap();
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    }
    // This one waits behind whatever they have left.
    let mut last = session_in_turn(&client).await;
    ask(&mut last, STAT, "there").await;
    files.answer();
    answered(&mut last).await;
    while let Some(answered) = asked.join_next().await {
        answered.unwrap().unwrap();
    }
    assert_eq!(files.begun(), SHARE, "what nobody waits for any more was done");
}

/// A file system whose files tell which thread closes them.
struct Telling(mpsc::UnboundedSender<ThreadId>);

/// One of its files.
struct Tells(mpsc::UnboundedSender<ThreadId>);

impl Filesystem for Telling {
    fn open(&self, _path: &[u8], _flags: OpenFlags, _attributes: &Attributes) -> io::Result<Arc<dyn File>> {
        Ok(Arc::new(Tells(self.0.clone())))
    }
}

impl File for Tells {}

impl Drop for Tells {
    fn drop(&mut self) {
        let _ = self.0.send(thread::current().id());
    }
}

#[tokio::test]
async fn what_a_session_leaves_open_is_closed_beside_the_event_loop() {
    let (tells, mut told) = mpsc::unbounded_channel();
    let serving = Serving(Services::new().sftp(Telling(tells)));
    let (client, _serving) = visit(serving, duplex(PIPE_BYTES)).await;
    let here = thread::current().id();
    // The session ends, and then the connection with a session in it.
    for connection_ends in [false, true] {
        let mut session = session_in_turn(&client).await;
        ask(&mut session, OPEN, "left open").await;
        answered(&mut session).await;
        if connection_ends {
            client.disconnect().await;
        }
        drop(session);
        assert_ne!(told.recv().await.unwrap(), here);
    }
}
