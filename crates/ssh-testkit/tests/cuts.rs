//! A scripted session of 40 KB each way, cut at every byte of either direction, with FIN and with RST (promise 24 and
//! case 7 of the security page): whoever is cut says so with an error, nobody hangs, and nothing is left: no task, no
//! descriptor, no child. A test program of its own, because it counts what the whole process has.
//!
//! Of the offsets each `STEP`th is tried, and each of the first ones; `BOWLINE_CUT_STEP=1` tries all.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test says what must be true by panicking"
)]

#[path = "faults/script.rs"]
mod script;

use std::fs;
use std::sync::Arc;

use script::{Echo, PATIENCE, config, server, session, until};
use ssh_client::{Config, Error};
use ssh_server::{Account, Application, Candidate, Decision, Listening, Programs, Services, Session};
use ssh_testkit::proxy::{Fault, Faults, Proxy};
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Prime, so that the offsets fall everywhere in a packet.
const STEP: usize = 1_499;

/// Sessions that are cut at the same time, each at servers of its own: most of a session is waiting. Odd, so that each pair
/// of servers sees FIN and RST.
const AT_ONCE: usize = 5;

/// An application whose programs are real ones.
struct Children(Services);

impl Application for Children {
    async fn password(&self, candidate: &Candidate, password: &[u8]) -> Decision {
        Echo.password(candidate, password).await
    }

    async fn session(&self, session: Session) {
        self.0.serve(session).await;
    }
}

/// What the process has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Belongings {
    tasks: usize,
    descriptors: usize,
    children: usize,
}

impl Belongings {
    fn now() -> Self {
        let children = fs::read_dir("/proc/self/task").unwrap().flatten().map(|task| {
            let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
            children.split_whitespace().count()
        });
        Self {
            tasks: Handle::current().metrics().num_alive_tasks(),
            descriptors: fs::read_dir("/proc/self/fd").unwrap().count(),
            children: children.sum(),
        }
    }

    fn is_no_more_than(self, before: Self) -> bool {
        self.tasks <= before.tasks
            && self.descriptors <= before.descriptors
            && self.children <= before.children
    }
}

/// One session over a wire that is cut; true if it was over before the cut.
async fn cut(listening: &Listening, program: Option<&str>, config: &Config, faults: Faults) -> bool {
    let proxy = Proxy::start(listening.local_addr().port(), faults);
    let ended = timeout(PATIENCE, session(proxy.port, config, program)).await;
    let ended: Result<(), Error> = ended.unwrap_or_else(|_| panic!("{faults:?}: the client hangs"));
    if let Err(error) = &ended {
        let words = error.to_string();
        assert!(words.contains("127.0.0.1"), "{faults:?}: {words}");
    }
    drop(proxy);
    until("the end of the connection", || listening.connections() == 0).await;
    ended.is_ok()
}

/// Our two servers: one that answers by itself, one with real programs.
struct Servers([(Listening, Option<&'static str>); 2]);

impl Servers {
    async fn start() -> Self {
        // A shell that reads no files of the account's.
        let account = Account {
            shell: "/bin/sh".into(),
            ..Account::current().unwrap()
        };
        let children = Children(Services::new().programs(Programs::new(account)));
        Self([(server(Echo).await, None), (server(children).await, Some("cat"))])
    }

    /// What a session carries each way when nothing happens to it.
    async fn carry(&self) -> (usize, usize) {
        let mut carried = (0, 0);
        for (listening, program) in &self.0 {
            let proxy = Proxy::start(listening.local_addr().port(), Faults::both(Fault::None));
            session(proxy.port, &config(), *program).await.unwrap();
            carried = proxy.carried();
            drop(proxy);
            until("the end of the connection", || listening.connections() == 0).await;
        }
        carried
    }

    /// Makes these cuts, one after the other; the number of those that nobody noticed.
    async fn cut(self: Arc<Self>, all: Vec<(usize, Faults)>) -> usize {
        let (mut whole, config) = (0, config());
        for (number, faults) in all {
            let (listening, program) = &self.0[number % 2];
            whole += usize::from(cut(listening, *program, &config, faults).await);
        }
        whole
    }
}

/// Every cut that is made, with the number of its offset.
fn cuts(up: usize, down: usize, step: usize) -> Vec<(usize, Faults)> {
    let offsets = |end: usize| {
        let first = (0..60).step_by(step.min(20));
        first.chain((60..end).step_by(step)).chain([end - 1]).enumerate()
    };
    let both = |(number, at)| [(number, Fault::Cut(at)), (number, Fault::Reset(at))];
    let up = offsets(up)
        .flat_map(both)
        .map(|(number, fault)| (number, Faults::up(fault)));
    let down = offsets(down)
        .flat_map(both)
        .map(|(number, fault)| (number, Faults::down(fault)));
    up.chain(down).collect()
}

#[tokio::test]
async fn a_session_cut_at_any_byte_ends_with_an_error_and_leaves_nothing() {
    let step = std::env::var("BOWLINE_CUT_STEP").map_or(STEP, |step| step.parse().unwrap());
    let mut servers = Vec::new();
    let (mut up, mut down) = (0, 0);
    for _ in 0..AT_ONCE {
        let pair = Arc::new(Servers::start().await);
        (up, down) = pair.carry().await;
        servers.push(pair);
    }
    assert!(up > 40_000 && down > 40_000);
    let before = Belongings::now();
    let all = cuts(up, down, step);
    let mut working = JoinSet::new();
    for (first, pair) in servers.iter().enumerate() {
        let part = all.iter().skip(first).step_by(AT_ONCE).cloned().collect();
        working.spawn(Arc::clone(pair).cut(part));
    }
    let whole: usize = working.join_all().await.into_iter().sum();
    // Only the farewell is short enough to be cut unnoticed.
    let cuts = all.len();
    assert!(whole * 20 < cuts, "{whole} of {cuts} cuts were not noticed");
    until("what there was before", || {
        Belongings::now().is_no_more_than(before)
    })
    .await;
    println!(
        "{cuts} cuts, {whole} of them in the farewell; {:?}",
        Belongings::now()
    );
}
