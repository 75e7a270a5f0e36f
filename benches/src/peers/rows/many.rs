//! Many of something: connections, channels, keystrokes.

use super::{Row, contender};
use crate::programs::{FAST_CIPHER, Scene};
use crate::roles::Work;
use crate::{Plan, ceiling};

/// P-8: connections one after another.
pub(super) fn connections<'a>(threads: u32, plan: &'a Plan, scene: &'a Scene) -> Row<'a> {
    let count = plan.connections;
    let of = |library: &'static str| {
        let run = move || {
            let seconds = scene.library(library, threads, FAST_CIPHER, Work::Connections { count })?;
            Ok(seconds * 1000.0 / count as f64)
        };
        contender(library, run)
    };
    Row {
        id: "P-8",
        work: format!("a whole connection, mlkem768x25519-sha256 and Ed25519, threads of each: {threads}"),
        direction: "-",
        unit: "ms",
        larger_is_better: false,
        contenders: vec![
            of("bowline"),
            of("russh"),
            contender("ceiling", move || {
                Ok(ceiling::connections(count)? * 1000.0 / count as f64)
            }),
        ],
    }
}

/// P-9: memory of idle connections.
pub(super) fn idle<'a>(plan: &'a Plan, scene: &'a Scene) -> Vec<Row<'a>> {
    let row = |count: u64| {
        let of = |library: &'static str| contender(library, move || scene.idle_memory(library, count));
        Row {
            id: "P-9",
            work: format!("server memory of each of {count} idle connections with a channel"),
            direction: "-",
            unit: "KiB",
            larger_is_better: false,
            contenders: vec![of("bowline"), of("russh")],
        }
    };
    plan.idle.iter().copied().map(row).collect()
}

/// P-11: many channels one after another, and what they leave behind.
pub(super) fn channels<'a>(plan: &'a Plan, scene: &'a Scene) -> [Row<'a>; 2] {
    let count = plan.channels;
    let work = Work::Channels { count };
    let each = move |seconds: f64| seconds * 1e6 / count as f64;
    let of = |library: &'static str| {
        contender(library, move || {
            Ok(each(scene.library(library, 1, FAST_CIPHER, work)?))
        })
    };
    let mut contenders = vec![of("bowline"), of("russh")];
    if scene.has_asyncssh() {
        let run = move || Ok(each(scene.asyncssh_channels(count)?));
        contenders.push(contender("asyncssh", run));
    }
    let left = |library: &'static str| contender(library, move || scene.memory_left(library, work));
    [
        Row {
            id: "P-11",
            work: format!("{count} channels opened, used for one echo and closed, 256 at a time: each"),
            direction: "-",
            unit: "us",
            larger_is_better: false,
            contenders,
        },
        Row {
            id: "P-11",
            work: format!("what {count} more of them leave behind in the server"),
            direction: "-",
            unit: "KiB",
            larger_is_better: false,
            contenders: vec![left("bowline"), left("russh")],
        },
    ]
}

/// P-12: a shell beside bulk.
pub(super) fn keystrokes<'a>(plan: &'a Plan, scene: &'a Scene) -> Row<'a> {
    let work = Work::Keystrokes {
        count: plan.keystrokes,
    };
    let of = |library: &'static str| contender(library, move || scene.library(library, 1, FAST_CIPHER, work));
    Row {
        id: "P-12",
        work: "99th percentile of a keystroke's echo beside a stream on the same connection".to_owned(),
        direction: "-",
        unit: "ms",
        larger_is_better: false,
        contenders: vec![of("bowline"), of("russh")],
    }
}
