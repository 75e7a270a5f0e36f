//! Other people's clients into our server.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use ssh_testkit::openssh::client_arguments_at;
use ssh_testkit::peers;
use ssh_testkit::running::{Finished, run_with};

use super::wires::{Laid, Wire};
use super::{LIMITS, Limit, asyncssh, data};
use crate::foreign;
use crate::ours::Ours;

/// Where there are no losses.
const WHOLE: [Wire; 2] = [Wire::Plain, Wire::Bytewise];

fn ours(laid: &Laid, limit: Limit) -> Ours {
    Ours::at(laid.near(), |config| {
        limit.set(&mut config.transport);
    })
}

/// Enough for new keys by bytes; where time decides, the command takes some.
const ECHO: &str = "cat; sleep 3";
const BYTES: usize = 1_200_000;

/// What a client is to send. Byte by byte a mebibyte takes its time.
fn input(wire: Wire, limit: Limit) -> Vec<u8> {
    data(match wire {
        _ if limit.bytes == Some(1 << 20) => BYTES,
        Wire::Plain => BYTES,
        Wire::Bytewise => 50_000,
        Wire::Lossy => 300_000,
    })
}

/// Runs a client once for each limit on each wire.
fn each(wires: &[Wire], mut run: impl FnMut(&Laid, &Ours, SocketAddr, Limit)) {
    for wire in wires {
        let Some(laid) = wire.lay() else { return };
        for limit in LIMITS {
            let ours = ours(&laid, limit);
            let (address, _carrier) = laid.way(ours.port);
            run(&laid, &ours, address, limit);
            let exchanges = ours.key_exchanges();
            assert!(exchanges >= 2, "{wire:?}, {limit:?}: {exchanges} key exchanges");
            println!("{wire:?}, {limit:?}: {exchanges} key exchanges");
        }
    }
}

/// What a client is started with and runs, put at its end: its input has to come back.
fn comes_back(laid: &Laid, ours: &Ours, limit: Limit, mut line: Command, words: &[&str]) {
    let command = if limit.seconds.is_some() { ECHO } else { "cat" };
    line.args(words).arg(command);
    line.env("HOME", ours.keys.folder()).env_remove("SSH_AUTH_SOCK");
    let sent = input(laid.wire, limit);
    let finished: Finished = run_with(&mut line, sent.clone()).with_code(0);
    assert!(
        finished.stdout == sent,
        "{limit:?}: {} bytes",
        finished.stdout.len()
    );
}

// ---- OpenSSH ---------------------------------------------------------------------------------------------------------

fn ssh(wires: &[Wire]) {
    let Some(program) = peers::need("ssh") else { return };
    each(wires, |laid, ours, address, limit| {
        let mut line = laid.command(&program);
        line.args(["-o", &format!("RekeyLimit={}", limit.openssh())]);
        line.args(client_arguments_at(&ours.keys, address));
        comes_back(laid, ours, limit, line, &[&ours.destination()]);
    });
}

#[test]
fn openssh_s_goes_on_whatever_keys_may_carry() {
    ssh(&WHOLE);
}

#[test]
fn openssh_s_goes_on_where_packets_are_lost() {
    ssh(&[Wire::Lossy]);
}

fn sftp(wires: &[Wire]) {
    let Some(program) = peers::need("sftp") else {
        return;
    };
    each(wires, |laid, ours, address, limit| {
        let sent = input(laid.wire, limit);
        std::fs::write(ours.keys.path("local"), &sent).unwrap();
        let wait = if limit.seconds.is_some() { "!sleep 2\n" } else { "" };
        let batch = format!("put local remote\n{wait}get remote back\n");
        std::fs::write(ours.keys.path("batch"), batch).unwrap();
        let mut line = laid.command(&program);
        line.args(["-o", &format!("RekeyLimit={}", limit.openssh()), "-b", "batch"]);
        line.args(client_arguments_at(&ours.keys, address));
        line.env_remove("SSH_AUTH_SOCK");
        line.arg(ours.destination()).current_dir(ours.keys.folder());
        let _said = run_with(&mut line, "").with_code(0);
        assert!(
            std::fs::read(ours.keys.path("back")).unwrap() == sent,
            "{limit:?}"
        );
    });
}

#[test]
fn openssh_s_sftp_goes_on_whatever_keys_may_carry() {
    sftp(&WHOLE);
}

#[test]
fn openssh_s_sftp_goes_on_where_packets_are_lost() {
    sftp(&[Wire::Lossy]);
}

// ---- asyncssh --------------------------------------------------------------------------------------------------------

fn of_asyncssh(wires: &[Wire]) {
    let Some(python) = peers::need_python() else {
        return;
    };
    each(wires, |laid, ours, address, limit| {
        let mut line = laid.command(&python);
        let (host, port) = (address.ip().to_string(), address.port().to_string());
        line.arg(asyncssh()).args(["client", &host, &port, &ours.user()]);
        line.arg(ours.keys.path("user"));
        line.arg(ours.keys.known_hosts_at("known_hosts", address, "host"));
        line.arg(ours.keys.folder()).args(limit.numbers());
        // Byte by byte fewer, and smaller files.
        line.arg(if laid.wire == Wire::Bytewise { "5" } else { "30" });
        let finished = run_with(line.env_remove("SSH_AUTH_SOCK"), "").with_code(0);
        assert_eq!(finished.stdout_text(), "ok\n", "{limit:?}: {finished}");
    });
}

#[test]
fn asyncssh_s_goes_on_whatever_keys_may_carry() {
    of_asyncssh(&WHOLE);
}

#[test]
fn asyncssh_s_goes_on_where_packets_are_lost() {
    of_asyncssh(&[Wire::Lossy]);
}

// ---- Go --------------------------------------------------------------------------------------------------------------

/// Channels at once, each with the whole input.
const CHANNELS: usize = 4;

/// Its own limit is 256 bytes at least, and no time.
fn go(wires: &[Wire]) {
    let Some(program) = peers::need_go() else { return };
    each(wires, |laid, ours, address, limit| {
        let mut line = laid.command(&program);
        let (host, port) = (address.ip().to_string(), address.port().to_string());
        line.args(["client", &host, &port, &ours.user()]);
        line.arg(ours.keys.path("user"));
        line.arg(ours.keys.known_hosts_at("known_hosts", address, "host"));
        let [bytes, _] = limit.numbers();
        comes_back(laid, ours, limit, line, &[&bytes, &CHANNELS.to_string()]);
    });
}

#[test]
fn go_s_goes_on_whatever_keys_may_carry() {
    go(&WHOLE);
}

#[test]
fn go_s_goes_on_where_packets_are_lost() {
    go(&[Wire::Lossy]);
}

// ---- Dropbear --------------------------------------------------------------------------------------------------------

fn dbclient(wires: &[Wire]) {
    each(wires, |laid, ours, address, limit| {
        if let Some(line) = foreign::dbclient(&ours.keys, address.port()) {
            comes_back(laid, ours, limit, laid.beyond(line), &[&ours.destination()]);
        }
    });
}

#[test]
fn dropbear_s_goes_on_whatever_keys_may_carry() {
    dbclient(&WHOLE);
}

#[test]
fn dropbear_s_goes_on_where_packets_are_lost() {
    dbclient(&[Wire::Lossy]);
}

// ---- PuTTY -----------------------------------------------------------------------------------------------------------

/// Writes what plink takes its limit from. Its times are minutes: where time is the limit, it is ours.
fn put_settings(folder: &Path, limit: Limit) {
    let sessions = folder.join(".putty/sessions");
    std::fs::create_dir_all(&sessions).unwrap();
    let bytes = limit.bytes.unwrap_or(0);
    let settings = format!("KEX=ecdh,WARN\nRekeyTime=0\nRekeyBytes={bytes}\n");
    std::fs::write(sessions.join("Default%20Settings"), settings).unwrap();
}

fn plink(wires: &[Wire]) {
    each(wires, |laid, ours, address, limit| {
        put_settings(ours.keys.folder(), limit);
        if let Some(line) = foreign::plink(&ours.keys, address.port(), "host") {
            comes_back(laid, ours, limit, laid.beyond(line), &[&ours.destination()]);
        }
    });
}

#[test]
fn plink_goes_on_whatever_keys_may_carry() {
    plink(&WHOLE);
}

#[test]
fn plink_goes_on_where_packets_are_lost() {
    plink(&[Wire::Lossy]);
}
