//! Bulk: streams and files, on loopback, on a long link, of every size.

use super::{Contender, LONG_LINK, Row, contender};
use crate::delay::Link;
use crate::programs::{FAST_CIPHER, Scene};
use crate::roles::{Direction, Work};
use crate::{Plan, ceiling};

type Way = (Direction, &'static str);

fn rate(bytes: u64, seconds: f64) -> f64 {
    bytes as f64 / f64::from(1 << 20) / seconds
}

/// P-2, P-3, P-4: library to library.
pub(super) fn library<'a>(
    id: &'static str,
    cipher: &'static str,
    threads: u32,
    (direction, name): Way,
    plan: &'a Plan,
    scene: &'a Scene,
) -> Row<'a> {
    let bytes = plan.stream_bytes;
    let work = Work::Stream { direction, bytes };
    let of = |library: &'static str| {
        let run = move || Ok(rate(bytes, scene.library(library, threads, cipher, work)?));
        contender(library, run)
    };
    let ceiling = contender("ceiling", move || ceiling::stream(cipher, bytes));
    Row {
        id,
        work: format!("stream library to library {cipher}, threads of each: {threads}"),
        direction: name,
        unit: "MiB/s",
        larger_is_better: true,
        contenders: vec![of("bowline"), of("russh"), ceiling],
    }
}

/// P-2w, P-3w, P-4w: whole programs.
pub(super) fn programs<'a>(
    id: &'static str,
    cipher: &'static str,
    (direction, name): Way,
    plan: &'a Plan,
    scene: &'a Scene,
) -> Row<'a> {
    let bytes = plan.stream_bytes;
    let of = |who: &'static str| {
        let run = move || Ok(rate(bytes, scene.program_stream(who, who, cipher, direction)?));
        contender(who, run)
    };
    let ceiling = contender("ceiling", move || {
        ceiling::programs(cipher, bytes, direction, &scene.stream_file())
    });
    Row {
        id,
        work: format!("stream whole programs {cipher}"),
        direction: name,
        unit: "MiB/s",
        larger_is_better: true,
        contenders: vec![of("bowline"), of("openssh"), ceiling],
    }
}

/// P-5: one seat is OpenSSH's. The first row has programs, the second our library and russh as OpenSSH's clients.
pub(super) fn foreign<'a>((direction, name): Way, plan: &'a Plan, scene: &'a Scene) -> [Row<'a>; 3] {
    let bytes = plan.stream_bytes;
    let programs = |who: &'static str, client: &'static str, server: &'static str| {
        let run = move || {
            Ok(rate(
                bytes,
                scene.program_stream(client, server, FAST_CIPHER, direction)?,
            ))
        };
        contender(who, run)
    };
    let clients = |who: &'static str| {
        let work = Work::Stream { direction, bytes };
        let run = move || {
            Ok(rate(
                bytes,
                scene.library_against(who, "openssh", FAST_CIPHER, work)?,
            ))
        };
        contender(who, run)
    };
    let servers = |who: &'static str| {
        let run = move || {
            let seconds = scene.openssh_at_library(who, FAST_CIPHER, direction)?;
            Ok(rate(bytes, seconds))
        };
        contender(who, run)
    };
    let row = |work: &str, contenders: Vec<Contender<'a>>| Row {
        id: "P-5",
        work: format!("stream {FAST_CIPHER}, {work}"),
        direction: name,
        unit: "MiB/s",
        larger_is_better: true,
        contenders,
    };
    let pairs = vec![
        programs("bowline->openssh", "bowline", "openssh"),
        programs("openssh->bowline", "openssh", "bowline"),
        programs("openssh", "openssh", "openssh"),
    ];
    [
        row("whole programs, client->server", pairs),
        row(
            "a library's client at OpenSSH's server",
            vec![clients("bowline"), clients("russh")],
        ),
        row(
            "OpenSSH's client at a library's server",
            vec![servers("bowline"), servers("russh")],
        ),
    ]
}

/// P-6: one file by the programs.
pub(super) fn sftp<'a>((direction, name): Way, plan: &'a Plan, scene: &'a Scene) -> Row<'a> {
    let bytes = plan.file_bytes;
    let of = |who: &'static str, client: &'static str, server: &'static str| {
        contender(who, move || {
            Ok(rate(bytes, scene.sftp(client, server, direction)?))
        })
    };
    Row {
        id: "P-6",
        work: "sftp of one file, OpenSSH's server unless an arrow says otherwise".to_owned(),
        direction: name,
        unit: "MiB/s",
        larger_is_better: true,
        contenders: vec![
            of("bowline", "bowline", "openssh"),
            of("openssh", "openssh", "openssh"),
            of("bowline->bowline", "bowline", "bowline"),
        ],
    }
}

/// P-10: a link of 120 MiB/s with 100 ms round trip, after the first two seconds.
pub(super) fn long_link<'a>((direction, name): Way, plan: &'a Plan, scene: &'a Scene) -> Row<'a> {
    let bytes = plan.link_bytes;
    let own = |who: &'static str| {
        let run = move || {
            let link = Link::to(scene.library_server(who, 1, FAST_CIPHER)?)?;
            scene.library_at(who, link.port(), FAST_CIPHER, Work::Steady { direction, bytes })
        };
        contender(who, run)
    };
    let at_openssh = |who: &'static str, client: &'static str| {
        let run = move || {
            let link = Link::to(scene.server("openssh")?)?;
            scene.library_at(
                client,
                link.port(),
                FAST_CIPHER,
                Work::Steady { direction, bytes },
            )
        };
        contender(who, run)
    };
    Row {
        id: LONG_LINK,
        work: "link of 120 MiB/s with 100 ms, after two seconds; client->server where they differ".to_owned(),
        direction: name,
        unit: "MiB/s",
        larger_is_better: true,
        contenders: vec![
            own("bowline"),
            at_openssh("bowline->openssh", "bowline"),
            own("russh"),
            at_openssh("russh->openssh", "russh"),
        ],
    }
}

/// P-10 for files: after the first two seconds of the transfer.
pub(super) fn long_link_files<'a>((direction, name): Way, plan: &'a Plan, scene: &'a Scene) -> Row<'a> {
    let bytes = plan.link_bytes;
    let at = |who: &'static str, server: &'static str| {
        let run = move || {
            let link = Link::to(scene.server(server)?)?;
            let work = Work::SteadyFile { direction, bytes };
            scene.library_at("bowline", link.port(), FAST_CIPHER, work)
        };
        contender(who, run)
    };
    Row {
        id: LONG_LINK,
        work: "sftp of one file over the same link, after two seconds, our library->server".to_owned(),
        direction: name,
        unit: "MiB/s",
        larger_is_better: true,
        contenders: vec![at("bowline", "bowline"), at("bowline->openssh", "openssh")],
    }
}

/// P-10 for files: whole programs, the connection and its first two seconds included.
pub(super) fn long_link_sftp<'a>((direction, name): Way, plan: &'a Plan, scene: &'a Scene) -> Row<'a> {
    // A quarter of the file: OpenSSH's own client takes eight times as long as the link would need.
    let bytes = plan.file_bytes / 4;
    let of = |who: &'static str, client: &'static str, server: &'static str| {
        let run = move || {
            let link = Link::to(scene.server(server)?)?;
            Ok(rate(
                bytes,
                scene.sftp_at(client, link.port(), direction, "quarter")?,
            ))
        };
        contender(who, run)
    };
    Row {
        id: LONG_LINK,
        work: "sftp of one file over the same link, all of it, client->server".to_owned(),
        direction: name,
        unit: "MiB/s",
        larger_is_better: true,
        contenders: vec![
            of("bowline", "bowline", "bowline"),
            of("bowline->openssh", "bowline", "openssh"),
            of("openssh", "openssh", "openssh"),
        ],
    }
}

/// P-13: time and memory against the size of a stream, each with processes of its own.
pub(super) fn sizes<'a>(plan: &'a Plan, scene: &'a Scene) -> Vec<Row<'a>> {
    let mut rows = Vec::new();
    for mebibytes in &plan.stream_sizes {
        let bytes = mebibytes << 20;
        let work = Work::Stream {
            direction: Direction::Down,
            bytes,
        };
        let row = |unit, contenders| Row {
            id: "P-13",
            work: format!("a stream of {mebibytes} MiB"),
            direction: "down",
            unit,
            larger_is_better: unit == "MiB/s",
            contenders,
        };
        let own =
            move |which: usize| move || scene.peak_memory("bowline", work).map(|figures| figures[which]);
        rows.push(row(
            "MiB/s",
            vec![contender("bowline", move || Ok(rate(bytes, own(0)()?)))],
        ));
        rows.push(row(
            "MiB of memory",
            vec![
                contender("bowline", own(1)),
                contender("bowline's server", own(2)),
            ],
        ));
    }
    rows
}
