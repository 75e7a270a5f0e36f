//! Calls to file systems that do not answer: a connection makes its own wait, and nobody else's.

use std::io;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use ssh_server::Services;
use ssh_server::filesystem::Filesystem;
use ssh_server::sftp::Attributes;
use ssh_testkit::doors::{Serving, visit};
use tokio::io::duplex;
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
