//! Writes the first inhabitants of the corpora: well-formed input for every target, made by the crates themselves.
//! `cargo run --no-default-features --example seeds` (the files are committed; what fuzzers find is added beside them).

use std::fs;
use std::path::Path;

use bowline_fuzz::{kex, protections};
use ssh_client::kex::method::{self, ClientStep, ServerStep};
use ssh_client::keys::certificate::{CertificateBody, CertificateKind, CertificateOption};
use ssh_client::keys::{Certificate, KeyKind, PrivateKey, algorithm};
use ssh_client::sftp_protocol::messages::{Open, RealPath, Stat};
use ssh_client::sftp_protocol::{Attributes, OpenFlags};
use ssh_client::wire::compression::{MAX_INFLATED_BYTES, ZLIB_OPENSSH};
use ssh_client::wire::protection::{DirectionKeys, sealing};
use ssh_client::wire::{Layer, Sealer};
use ssh_testkit::pair::Setup;
use ssh_testkit::rng::seeded;

fn main() {
    let write = |target: &str, name: &str, data: &[u8]| {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
        fs::create_dir_all(&folder).expect("a folder");
        fs::write(folder.join(name), data).expect("a seed");
    };
    write(
        "identification",
        "openssh",
        b"\x08SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n",
    );
    write(
        "identification",
        "lines",
        b"\x10Welcome\r\nto this host\nSSH-1.99-old comment\n",
    );
    write(
        "identification",
        "server-seat",
        b"\x09SSH-2.0-PuTTY_Release_0.78\r\n",
    );
    write("reader", "each-type", b"\x00\x01\x01\0\0\0\x05\x02\0\0\0\0\0\0\0\x01\x03\0\0\0\x02ab\x05\0\0\0\x01\x7f\x06\0\0\0\x03a,b\x07\0\0\0\x00");
    packets(&write);
    streams(&write);
    keys(&write);
    write("known_hosts", "lines", b"# hosts\nexample.org,10.0.0.? ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGgvWCW9HJ+cQdIpxqKMuhguoi8DK+vSMiCvCJdSejfu c\n[h]:2222 ssh-rsa AAAA\n@revoked * ssh-ed25519 AAAA\n|1|F1E1KeoE/eEWhi10WpGv4OdiO6Y=|3988QV0VE8wmZL7suNrYQLITLCg= ssh-ed25519 AAAA\n");
    write("authorized_keys", "options", b"restrict,command=\"echo \\\"x\\\"\",from=\"10.0.0.0/8,!10.0.0.1\",permitopen=\"h:22\",expiry-time=\"20300101\" ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGgvWCW9HJ+cQdIpxqKMuhguoi8DK+vSMiCvCJdSejfu me\n");
    sftp(&write);
    exchanges(&write);
    sessions(&write);
    operations(&write);
}

type Write<'a> = &'a dyn Fn(&str, &str, &[u8]);

/// Each cipher once and each MAC once: a packet under keys that the body does not have.
fn packets(write: Write<'_>) {
    let mut seen = Vec::new();
    let count = protections().count();
    for (choice, protection) in protections().enumerate() {
        let mut sealer = Sealer::new([0; 32]);
        let Some((cipher, mac)) = protection else {
            sealer.seal_payload(b"\x02\0\0\0\x02hi");
            sealer.seal_payload(b"\x14 not a real KEXINIT");
            let choice = u8::try_from(choice).expect("few protections");
            write("packet_open", "plain", &[&[choice][..], sealer.outbox()].concat());
            continue;
        };
        let names = [Some(cipher.name), mac.map(|mac| mac.name)];
        let new: Vec<_> = names
            .into_iter()
            .flatten()
            .filter(|name| !seen.contains(name))
            .collect();
        let Some(name) = new.last() else { continue };
        let keys = DirectionKeys {
            cipher,
            mac,
            key: &vec![9; cipher.key_bytes],
            iv: &vec![9; cipher.iv_bytes],
            mac_key: &vec![9; mac.map_or(0, |mac| mac.key_bytes)],
        };
        sealer.set_protection(sealing(&keys).expect("keys"), true);
        sealer.seal_payload(&[94; 40]);
        // In the second round every wait is ended.
        let choice = u8::try_from(count + choice).expect("few protections");
        let name = name.strip_suffix("@openssh.com").unwrap_or(name);
        write("packet_open", name, &[&[choice][..], sealer.outbox()].concat());
        // A packet of the other keys, behind right ones.
        write(
            "packet_behind",
            name,
            &[&[choice, 94][..], sealer.outbox()].concat(),
        );
        seen.extend(new);
    }
}

/// Compressed streams: honest ones, a bomb, one that ends, one that wants a dictionary, one with a damaged block.
fn streams(write: Write<'_>) {
    let compressed = |payloads: &[&[u8]]| {
        let mut stream = ZLIB_OPENSSH.construction.expect("it compresses").deflating();
        let mut out = Vec::new();
        for payload in payloads {
            let mut packet = Vec::new();
            stream.deflate(payload, &mut packet).expect("it is compressed");
            out.extend(u16::try_from(packet.len()).expect("a short packet").to_be_bytes());
            out.extend(packet);
        }
        out
    };
    let data: &[u8] = b"\x5e\0\0\0\0\0\0\0\x0bhello hello";
    write(
        "decompress",
        "honest",
        &compressed(&[data, data, b"\x02\0\0\0\0", data]),
    );
    write("decompress", "bomb", &compressed(&[&[0; 4 * MAX_INFLATED_BYTES]]));
    write(
        "decompress",
        "full",
        &compressed(&[&[0; MAX_INFLATED_BYTES], data]),
    );
    write(
        "decompress",
        "ended",
        b"\0\x0b\x78\x9c\x4b\x04\0\0\x62\0\x62\0\x02ab",
    );
    write("decompress", "dictionary", b"\0\x08\x78\xbb\0\0\0\x01\x4b\x04");
    write("decompress", "damaged", b"\0\x05\x78\x9c\x07\xff\xff");
}

/// A certificate of each kind, with all the fields that have a length.
fn certificates(write: Write<'_>) {
    let authority = PrivateKey::generate_ed25519(&mut *seeded(4), "authority");
    for (kind, name, key) in [
        (CertificateKind::Host, "certificate-host", KeyKind::Ed25519),
        (CertificateKind::User, "certificate-user", KeyKind::EcdsaP256),
    ] {
        let key = PrivateKey::generate(key, &mut *seeded(5), "");
        let (key, signature_key) = (key.public().clone(), authority.public().clone());
        let mut body =
            CertificateBody::new(kind, key, signature_key, vec![7; 32]).expect("a key of a known type");
        body.key_id = "a name".to_owned();
        body.principals = vec!["example.org".to_owned(), "10.0.0.1".to_owned()];
        body.extensions = vec![CertificateOption {
            name: "permit-pty".to_owned(),
            data: Vec::new(),
        }];
        let certificate = Certificate::sign(&body, &authority, &algorithm::ED25519).expect("it is signed");
        write("public_key", name, certificate.blob());
    }
}

fn keys(write: Write<'_>) {
    let key = PrivateKey::generate_ed25519(&mut *seeded(1), "seed");
    write("public_key", "blob", key.public().blob());
    write(
        "public_key",
        "line",
        key.public().to_openssh("a comment").as_bytes(),
    );
    certificates(write);
    write(
        "private_key",
        "plain",
        key.to_openssh(None, &mut *seeded(2))
            .expect("it is written")
            .as_bytes(),
    );
    write(
        "private_key",
        "locked",
        key.to_openssh(Some(b"x"), &mut *seeded(3))
            .expect("it is written")
            .as_bytes(),
    );
}

fn sftp(write: Write<'_>) {
    let mut client = ssh_client::sftp_protocol::Client::new();
    let mut server = ssh_client::sftp_protocol::Server::new(Default::default());
    let mut up = Vec::new();
    let mut down = Vec::new();
    let mut asked = false;
    for _ in 0..8 {
        while let Some(bytes) = client.output().take() {
            up.extend_from_slice(&bytes);
            server.receive(bytes);
        }
        while let Ok(Some(_)) = server.poll() {}
        while let Some(bytes) = server.output().take() {
            down.extend_from_slice(&bytes);
            client.receive(bytes);
        }
        while let Ok(Some(_)) = client.poll() {}
        if !std::mem::replace(&mut asked, true) {
            let path = b"/etc/passwd".to_vec();
            let open = Open {
                path: path.clone(),
                flags: OpenFlags::READ,
                attributes: Attributes::default(),
            };
            let _ = client.request(&open);
            let _ = client.request(&Stat { path: path.clone() });
            let _ = client.request(&RealPath { path });
        }
    }
    write("sftp_messages", "requests", &up);
    write("sftp_messages", "replies", &down);
}

/// One exchange with each method, as each half hears it.
fn exchanges(write: Write<'_>) {
    for (choice, method) in (0..).zip(method::ALL) {
        let mut heard = [vec![choice], vec![choice]];
        let hear = |heard: &mut Vec<u8>, message: &[u8]| {
            heard.extend(
                u16::try_from(message.len())
                    .expect("a short message")
                    .to_be_bytes(),
            );
            heard.extend_from_slice(message);
        };
        // The bodies' own randomness, so that what each half hears is an answer to what it says.
        let (mut ours, mut theirs) = (kex::rng(), kex::rng());
        let mut client = method.client_half(&kex::context(), &mut *ours);
        let mut server = method.server_half(&kex::context(), &mut *theirs);
        loop {
            let said = client.first_message();
            hear(&mut heard[1], &said);
            let answer = match server.receive(&said, &mut *theirs).expect("an honest message") {
                ServerStep::Send(answer, next) => {
                    server = next;
                    hear(&mut heard[0], &answer);
                    let step = client.receive(&answer, &mut *ours).expect("an honest message");
                    let ClientStep::Next(next) = step else {
                        panic!("agreed on a group")
                    };
                    client = next;
                    continue;
                }
                ServerStep::Agreed(_, form) => form.fill(b"host key", b"signature"),
            };
            hear(&mut heard[0], &answer);
            break;
        }
        let [client, server] = heard;
        write("kex_client", method.name, &client);
        write("kex_server", method.name, &server);
    }
    // The same curve in whole machines: a share, and messages that are not due.
    let whole = u8::try_from(method::ALL.len()).expect("few methods");
    for (target, number) in [("kex_client", 31), ("kex_server", 30)] {
        let at = method::ALL
            .iter()
            .position(|method| method.name == "curve25519-sha256");
        let choice = whole + u8::try_from(at.expect("a method")).expect("few methods");
        let share = [&[number, 0, 0, 0, 32][..], &[9; 32]].concat();
        let ignored = b"\x02\0\0\0\x01x";
        let length = |message: &[u8]| u8::try_from(message.len()).expect("a short message");
        let data = [
            &[choice, 0, length(ignored)][..],
            ignored,
            &[0, length(&share)],
            &share,
            &[0, 1, 21],
        ]
        .concat();
        write(target, "machine", &data);
    }
}

fn sessions(write: Write<'_>) {
    let mut ends = Setup::default().handshakes();
    let first = |bytes: &[u8]| [&[0, 255][..], bytes].concat();
    write("session_server", "opening", &first(ends.client.transmit()));
    write("session_client", "opening", &first(ends.server.transmit()));
    // Length byte, then payload: what a peer with keys says before and after login.
    let said = |place: u8, payloads: &[&[u8]]| {
        let mut out = vec![place];
        for payload in payloads {
            out.push(u8::try_from(payload.len() - 1).expect("short payloads"));
            out.extend_from_slice(payload);
        }
        out
    };
    let service = b"\x05\0\0\0\x0cssh-userauth";
    let none = b"\x32\0\0\0\x04user\0\0\0\x0essh-connection\0\0\0\x04none";
    let password = b"\x32\0\0\0\x04user\0\0\0\x0essh-connection\0\0\0\x08password\0\0\0\0\x02pw";
    write("session_server", "login", &said(1, &[service, none, password]));
    write(
        "session_client",
        "login",
        &said(
            1,
            &[
                b"\x06\0\0\0\x0cssh-userauth",
                b"\x33\0\0\0\x09publickey\0",
                b"\x35\0\0\0\x02hi\0\0\0\0",
            ],
        ),
    );
    let open = b"\x5a\0\0\0\x07session\0\0\0\0\0\x10\0\0\0\0\x80\0";
    let request = b"\x62\0\0\0\0\0\0\0\x04exec\x01\0\0\0\x02ls";
    let data = b"\x5e\0\0\0\0\0\0\0\x03abc";
    let global = b"\x50\0\0\0\x15keepalive@openssh.com\x01";
    write(
        "session_server",
        "channel",
        &said(
            2,
            &[open, request, data, global, b"\x60\0\0\0\0", b"\x61\0\0\0\0"],
        ),
    );
    write("session_client", "channel", &said(2, &[open, global, data]));
}

/// Schedules of different kinds: the first bytes choose the settings, the rest the steps.
fn operations(write: Write<'_>) {
    // Feed and latency; then key exchange and outbox of each side; then window, growth, budget and packet of each.
    let settings: [(&str, &[u8]); 4] = [
        ("plain", &[0, 0, 0, 0, 0, 0, 4, 0, 2, 2, 4, 0, 2, 2]),
        ("narrow", &[1, 1, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0]),
        ("far", &[1, 3, 0, 0, 0, 0, 2, 1, 1, 2, 3, 1, 2, 1]),
        ("rekey", &[2, 2, 3, 1, 3, 1, 3, 1, 2, 3, 4, 1, 1, 3]),
    ];
    for (salt, (name, settings)) in (0_u32..).zip(settings) {
        let step = |at: u32| at.wrapping_add(salt).wrapping_mul(0x9e37_79b9).to_be_bytes()[0];
        let steps: Vec<u8> = (0..400).map(step).collect();
        write("channel_operations", name, &[settings, &steps].concat());
    }
}
