//! Calls to file systems that do not answer: a connection makes its own wait, and nobody else's.

use std::io;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use ssh_client::Client;
use ssh_client::channel::{ChannelType, Subsystem};
use ssh_client::tokio_driver::{Channel, OpenError};
use ssh_server::filesystem::Filesystem;
use ssh_server::sftp::Attributes;
use ssh_server::{Limits, Server, Services};
use ssh_testkit::doors::{Serving, visit, visit_by};
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio::sync::watch;
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

/// Introduces itself and asks for the attributes of a path (draft-ietf-secsh-filexfer-02 §4, §6.8).
async fn ask(channel: &mut Channel, path: &str) {
    let length = u32::try_from(path.len()).unwrap();
    let mut bytes = vec![0, 0, 0, 5, 1, 0, 0, 0, 3];
    bytes.extend((9 + length).to_be_bytes());
    bytes.extend([17, 0, 0, 0, 1]);
    bytes.extend(length.to_be_bytes());
    bytes.extend(path.as_bytes());
    channel.write_all(&bytes).await.unwrap();
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
        ask(&mut channel, "hung").await;
        // Time enough for the server to have heard that.
        client.ping().await.unwrap();
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    }
    // This one waits behind whatever they have left.
    let mut last = session_in_turn(&client).await;
    ask(&mut last, "there").await;
    files.answer();
    // VERSION, and ATTRS.
    for _ in 0..2 {
        let mut length = [0; 4];
        last.read_exact(&mut length).await.unwrap();
        let mut answer = vec![0; usize::try_from(u32::from_be_bytes(length)).unwrap()];
        last.read_exact(&mut answer).await.unwrap();
    }
    while let Some(answered) = asked.join_next().await {
        answered.unwrap().unwrap();
    }
    assert_eq!(files.begun(), SHARE, "what nobody waits for any more was done");
}
