//! Tunnels through the two front doors in one process: their handles, what is refused, and peers that send what is no
//! packet. Traffic between networks is in `program/tunnels.rs`.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test says what must be true by panicking"
)]

use std::fs;
use std::time::{Duration, Instant};

use ssh_client::channel::{ChannelType, Datagram, OpenFailureReason, TUN_ANY_UNIT, Tun};
use ssh_client::keys::PrivateKey;
use ssh_client::tokio_driver::tunnel::{MAX_UNIT, TunnelDevice};
use ssh_client::tokio_driver::{OpenError, Parts};
use ssh_client::{Channel, Client, Config, Credentials, Error, HostKeys, Tunnel, TunnelError, TunnelMode};
use ssh_server::{
    Application, Candidate, Decision, Forward, Handler, Login, Peer, Permissions, PermitTunnel, Server,
    Target, TunnelEnd,
};
use ssh_testkit::network::{Persistent, bring_up, free_unit, is_here};
use ssh_testkit::peers::need_tunnels;
use ssh_testkit::rng::seeded;
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio::sync::mpsc;

/// How long something that has to happen may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// An application that lets one password in, makes devices as it is permitted, or hands over each tunnel's channel.
struct Host {
    permit: PermitTunnel,
    channels: Option<mpsc::UnboundedSender<Channel>>,
}

impl Application for Host {
    async fn password(&self, _candidate: &Candidate, password: &[u8]) -> Decision {
        Decision::accept_if(password == b"secret", Permissions::default())
    }

    async fn direct_tcpip(&self, _login: &Login, _target: &Target) -> Forward {
        Forward::serve(|mut channel| async move {
            let _gone = channel.write_all(b"here").await;
        })
    }

    async fn tun(&self, _login: &Login, wanted: &Tun) -> TunnelEnd {
        match self.channels.clone() {
            None => TunnelEnd::device_if(self.permit.permits(wanted)),
            Some(channels) => TunnelEnd::Serve(Handler::new(move |channel| async move {
                channels.send(channel).unwrap();
                std::future::pending().await
            })),
        }
    }
}

fn host_key() -> PrivateKey {
    PrivateKey::generate_ed25519(&mut seeded(1), "host")
}

fn server(host: Host) -> Server<Host> {
    let config = ssh_server::Config {
        password_login: true,
        ..ssh_server::Config::default()
    };
    let builder = Server::builder().config(config).host_key(host_key());
    builder.build(host).unwrap()
}

/// Whom to believe, and what to log in with.
fn trust() -> (HostKeys, Credentials) {
    (
        HostKeys::pinned(host_key().public().clone()),
        Credentials::password("secret"),
    )
}

/// A client of a server in this process.
async fn visit(host: Host) -> Client {
    let server = server(host);
    let (near, far) = duplex(64 * 1024);
    tokio::spawn(async move { server.serve_stream(far, Peer::named("a pipe")).await });
    let (believed, password) = trust();
    let config = Config::default();
    Client::over(&config, near, ("host", 22), "alice", believed, password)
        .await
        .unwrap()
}

async fn visit_devices(permit: PermitTunnel) -> Client {
    let channels = None;
    visit(Host { permit, channels }).await
}

/// A client and the server's end of each of its tunnels.
async fn visit_channels() -> (Client, mpsc::UnboundedReceiver<Channel>) {
    let (sender, channels) = mpsc::unbounded_channel();
    let host = Host {
        permit: PermitTunnel::No,
        channels: Some(sender),
    };
    (visit(host).await, channels)
}

/// Joins the devices of these numbers.
async fn join(client: &Client, mode: TunnelMode, (here, there): (u32, u32)) -> Tunnel {
    let opened = client.forward_tunnel(mode, Some(here), Some(there));
    opened.await.unwrap()
}

/// A device of this number at this side, and whatever the server has.
async fn lead(client: &Client, unit: u32) -> Tunnel {
    let opened = client.forward_tunnel(TunnelMode::PointToPoint, Some(unit), None);
    opened.await.unwrap()
}

/// A channel to the server's device of this number, for a client that has none itself.
async fn reach(client: &Client, unit: u32) -> Parts {
    let opened = client.handle().open(ChannelType::from(Tun { mode: 1, unit }));
    opened.await.unwrap().split()
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    if tokio::time::timeout(PATIENCE, waiting).await.is_err() {
        panic!("waited for {what}");
    }
}

/// A number out of a device's statistics.
fn count(device: &str, what: &str) -> u64 {
    let text = fs::read_to_string(format!("/sys/class/net/{device}/statistics/{what}")).unwrap();
    text.trim().parse().unwrap()
}

/// An IPv4 packet of UDP to nobody.
fn packet() -> Vec<u8> {
    let header = "45 00 00 1c 00 01 00 00 40 11 00 00 0a 4d 00 01 0a 4d 00 02";
    let udp = "00 09 00 09 00 08 00 00";
    let bytes = header.split(' ').chain(udp.split(' '));
    bytes.map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect()
}

/// The packet as OpenSSH's `PROTOCOL` §2.3 frames it.
fn frame() -> Vec<u8> {
    [&2_u32.to_be_bytes()[..], &packet()].concat()
}

/// Everything that is no frame of a point-to-point tunnel.
fn garbage() -> Vec<Vec<u8>> {
    let mut garbage = vec![
        vec![0],
        vec![0, 0, 0],
        vec![0, 0, 0, 2],
        // Another family than the packet's, families that do not exist, the system's own number of IPv6.
        [&24_u32.to_be_bytes()[..], &packet()].concat(),
        [&0_u32.to_be_bytes()[..], &packet()].concat(),
        [&10_u32.to_be_bytes()[..], &packet()].concat(),
        [&u32::MAX.to_be_bytes()[..], &packet()].concat(),
        // The length once more, which says more than there is.
        [&u32::MAX.to_be_bytes()[..], &frame()].concat(),
        // No version of IP.
        [&2_u32.to_be_bytes()[..], &[0xf5; 100]].concat(),
        // As long as a message may be.
        vec![0xff; 60_000],
    ];
    garbage.push(packet());
    garbage
}

/// Sends what the peer takes; what it has no credit for is lost.
async fn send(to: &mut ssh_client::tokio_driver::ChannelWriter, frame: &[u8]) -> Datagram {
    to.send_datagram(frame).await.unwrap()
}

/// Whether the connection still does what it is for.
async fn is_well(client: &Client) {
    let mut channel = client.direct_tcpip("host", 1).await.unwrap();
    let mut said = String::new();
    channel.read_to_string(&mut said).await.unwrap();
    assert_eq!(said, "here");
}

#[tokio::test]
async fn a_tunnel_tells_its_device_and_ends_with_its_handle() {
    if !need_tunnels() {
        return;
    }
    let client = visit_devices(PermitTunnel::Yes).await;
    for (mode, prefix) in [(TunnelMode::PointToPoint, "tun"), (TunnelMode::Ethernet, "tap")] {
        let (here, there) = (free_unit(), free_unit());
        let names = [format!("{prefix}{here}"), format!("{prefix}{there}")];
        let tunnel = join(&client, mode, (here, there)).await;
        assert_eq!((tunnel.device_name(), tunnel.mode()), (names[0].as_str(), mode));
        assert!(names.iter().all(|name| is_here(name)));
        tunnel.close().await;
        assert!(!is_here(&names[0]), "close waits for this side's device to go");
        until("the server's device to go", || !is_here(&names[1])).await;
        let tunnel = join(&client, mode, (here, there)).await;
        drop(tunnel);
        until("both devices to go", || !names.iter().any(|name| is_here(name))).await;
    }
    let any = client
        .forward_tunnel(TunnelMode::PointToPoint, None, None)
        .await
        .unwrap();
    assert!(any.device_name().starts_with("tun") && is_here(any.device_name()));
    is_well(&client).await;
}

#[tokio::test]
async fn the_end_of_the_connection_is_the_end_of_its_devices() {
    if !need_tunnels() {
        return;
    }
    let client = visit_devices(PermitTunnel::Yes).await;
    let (here, there) = (free_unit(), free_unit());
    let names = [format!("tun{here}"), format!("tun{there}")];
    join(&client, TunnelMode::PointToPoint, (here, there))
        .await
        .detach();
    is_well(&client).await;
    assert!(
        names.iter().all(|name| is_here(name)),
        "it lives without a handle"
    );
    client.disconnect().await;
    until("both devices to go", || !names.iter().any(|name| is_here(name))).await;
}

#[tokio::test]
async fn a_tunnel_ends_when_its_device_is_deleted_or_the_server_closes_it() {
    if !need_tunnels() {
        return;
    }
    let (client, mut channels) = visit_channels().await;
    let here = free_unit();
    let tunnel = lead(&client, here).await;
    let deleted = std::process::Command::new("ip")
        .args(["link", "del", &format!("tun{here}")])
        .status();
    assert!(deleted.unwrap().success());
    tokio::time::timeout(PATIENCE, tunnel.finished()).await.unwrap();
    let mut channel = channels.recv().await.unwrap();
    tokio::time::timeout(PATIENCE, channel.closed()).await.unwrap();
    let tunnel = lead(&client, here).await;
    drop(channels.recv().await.unwrap());
    tokio::time::timeout(PATIENCE, tunnel.finished()).await.unwrap();
    until("the device to go", || !is_here(&format!("tun{here}"))).await;
    is_well(&client).await;
}

#[tokio::test]
async fn what_is_not_permitted_or_not_there_is_refused() {
    if !need_tunnels() {
        return;
    }
    let busy = free_unit();
    let _held = TunnelDevice::open(TunnelMode::PointToPoint, Some(busy)).unwrap();
    let (prohibited, failed) = (
        OpenFailureReason::ADMINISTRATIVELY_PROHIBITED,
        OpenFailureReason::CONNECT_FAILED,
    );
    let any = TUN_ANY_UNIT;
    for (permit, mode, unit, reason) in [
        (PermitTunnel::No, 1, any, prohibited),
        (PermitTunnel::No, 2, 3, prohibited),
        (PermitTunnel::Ethernet, 1, any, prohibited),
        (PermitTunnel::PointToPoint, 2, any, prohibited),
        (PermitTunnel::Yes, 0, any, prohibited),
        (PermitTunnel::Yes, 3, any, prohibited),
        (PermitTunnel::Yes, u32::MAX, any, prohibited),
        (PermitTunnel::Yes, 1, MAX_UNIT + 1, prohibited),
        (PermitTunnel::Yes, 1, any + 1, prohibited),
        (PermitTunnel::Yes, 2, u32::MAX, prohibited),
        (PermitTunnel::Yes, 1, busy, failed),
    ] {
        let client = visit_devices(permit).await;
        let opened = client.handle().open(ChannelType::from(Tun { mode, unit })).await;
        match opened.map(|channel| channel.id()) {
            Err(OpenError::Refused(failure)) => {
                assert_eq!(failure.reason, reason, "{permit:?}, mode {mode}, unit {unit}");
            }
            other => panic!("{permit:?}, mode {mode}, unit {unit}: {other:?}"),
        }
        is_well(&client).await;
    }
}

#[tokio::test]
async fn errors_tell_the_step_and_leave_nothing_behind() {
    if !need_tunnels() {
        return;
    }
    let client = visit_devices(PermitTunnel::No).await;
    let mode = TunnelMode::PointToPoint;
    let beyond = client
        .forward_tunnel(mode, Some(MAX_UNIT + 1), None)
        .await
        .unwrap_err();
    assert!(
        matches!(&beyond, Error::Tunnel { source: TunnelError::Unit { unit }, .. } if *unit == MAX_UNIT + 1)
    );
    assert_eq!(
        beyond.to_string(),
        "host:22: a tunnel: there is no tunnel device 2147483646: the largest is 2147483645"
    );
    let unit = free_unit();
    let refused = client.forward_tunnel(mode, Some(unit), None).await.unwrap_err();
    let told = format!(
        "host:22: a point-to-point tunnel to tun{unit}: the peer refused the channel: administratively prohibited: open failed"
    );
    assert_eq!(refused.to_string(), told);
    until("the device to go", || !is_here(&format!("tun{unit}"))).await;
    let held = TunnelDevice::open(mode, Some(unit)).unwrap();
    for _ in 0..200 {
        let busy = client.forward_tunnel(mode, Some(unit), None).await.unwrap_err();
        assert_eq!(
            busy.to_string(),
            format!("host:22: a tunnel: create tun{unit}: Device or resource busy (os error 16)")
        );
    }
    // Descriptors of devices that never came to be have no name of one.
    until("descriptors to be closed", || nameless_descriptors() < 100).await;
    drop(held);
}

/// How many descriptors of this process are open on the device file, and belong to no device.
fn nameless_descriptors() -> usize {
    let open = fs::read_dir("/proc/self/fd").unwrap().filter_map(Result::ok);
    let tunnels =
        open.filter(|entry| fs::read_link(entry.path()).is_ok_and(|path| path.ends_with("net/tun")));
    tunnels
        .filter(|entry| {
            let info = format!("/proc/self/fdinfo/{}", entry.file_name().to_string_lossy());
            let text = fs::read_to_string(info).unwrap_or_default();
            !text.lines().any(|line| {
                line.strip_prefix("iff:")
                    .is_some_and(|name| !name.trim().is_empty())
            })
        })
        .count()
}

#[tokio::test]
async fn a_device_that_was_made_beforehand_is_used_and_stays() {
    if !need_tunnels() {
        return;
    }
    let unit = free_unit();
    let name = format!("tun{unit}");
    let _kept = Persistent::tun(&name);
    let device = TunnelDevice::open(TunnelMode::PointToPoint, Some(unit)).unwrap();
    assert_eq!(device.name(), name);
    let busy = TunnelDevice::open(TunnelMode::PointToPoint, Some(unit)).unwrap_err();
    assert!(matches!(busy, TunnelError::Create { .. }), "{busy}");
    drop(device);
    assert!(is_here(&name));
}

/// A client that floods our server's device with what is no packet, and with packets while it is down.
#[tokio::test]
async fn a_hostile_client_gets_nothing_into_the_device_but_packets() {
    if !need_tunnels() {
        return;
    }
    let client = visit_devices(PermitTunnel::Yes).await;
    let unit = free_unit();
    let name = format!("tun{unit}");
    // The device is down: even what is a packet goes nowhere.
    let mut parts = reach(&client, unit).await;
    for _ in 0..2_000 {
        send(&mut parts.writer, &frame()).await;
        tokio::task::yield_now().await;
    }
    is_well(&client).await;
    assert_eq!(count(&name, "rx_packets"), 0);
    drop(parts);
    until("the device to go", || !is_here(&name)).await;
    // Another one, which is up before anything is sent: each packet that comes in is one of those.
    let mut parts = reach(&client, unit).await;
    bring_up(&name);
    let (mut rounds, mut sent) = (0, 0);
    let begin = Instant::now();
    while rounds < 300 || count(&name, "rx_packets") == 0 {
        rounds += 1;
        assert!(begin.elapsed() < PATIENCE, "no packet comes in");
        for each in garbage() {
            send(&mut parts.writer, &each).await;
        }
        sent += u64::from(send(&mut parts.writer, &frame()).await == Datagram::Sent);
        tokio::task::yield_now().await;
    }
    is_well(&client).await;
    let arrived = count(&name, "rx_packets");
    assert!(arrived <= sent, "{arrived} packets of {sent}");
    assert_eq!(
        count(&name, "rx_bytes"),
        arrived * u64::try_from(packet().len()).unwrap()
    );
    assert_eq!(count(&name, "rx_frame_errors"), 0);
    drop(parts);
    until("the device to go", || !is_here(&name)).await;
    is_well(&client).await;
}

/// The same from a server, at a client's device.
#[tokio::test]
async fn a_hostile_server_gets_nothing_into_the_device_but_packets() {
    if !need_tunnels() {
        return;
    }
    let (client, mut channels) = visit_channels().await;
    let unit = free_unit();
    let tunnel = lead(&client, unit).await;
    let name = format!("tun{unit}");
    let mut parts = channels.recv().await.unwrap().split();
    bring_up(&name);
    let mut sent = 0;
    for _ in 0..300 {
        for each in garbage() {
            send(&mut parts.writer, &each).await;
        }
        if send(&mut parts.writer, &frame()).await == Datagram::Sent {
            sent += 1;
        }
        tokio::task::yield_now().await;
    }
    assert!(sent > 0);
    is_well(&client).await;
    assert_eq!(count(&name, "rx_frame_errors"), 0);
    // What the client had no room for is lost, and it gets to the end of the rest.
    drop(parts);
    tokio::time::timeout(PATIENCE, tunnel.finished()).await.unwrap();
    let traffic = tunnel.traffic();
    assert!(
        traffic.received > 0 && traffic.received <= sent,
        "{traffic:?} of {sent}"
    );
    assert!(traffic.lost > 0, "what is no packet is counted");
}

/// A server that reads nothing costs packets, and no more than them.
#[tokio::test]
async fn a_peer_that_reads_nothing_loses_packets_and_holds_up_nobody() {
    if !need_tunnels() {
        return;
    }
    let (client, mut channels) = visit_channels().await;
    let unit = free_unit();
    let tunnel = lead(&client, unit).await;
    let _channel = channels.recv().await.unwrap();
    let name = format!("tun{unit}");
    bring_up(&name);
    let python = "import socket, sys\n\
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n\
        s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, sys.argv[1].encode() + b'\\0')\n\
        for _ in range(2000):\n s.sendto(bytes(1400), ('10.77.9.9', 9))\n";
    assert!(
        tokio::process::Command::new("ip")
            .args(["addr", "add", "10.77.9.8/32", "peer", "10.77.9.9", "dev", &name])
            .status()
            .await
            .unwrap()
            .success()
    );
    // Rounds of it, until the window is used up.
    let flooding = async {
        while tunnel.traffic().lost == 0 {
            let flood = tokio::process::Command::new("python3")
                .args(["-c", python, &name])
                .status();
            assert!(flood.await.unwrap().success());
        }
    };
    tokio::time::timeout(PATIENCE, flooding).await.unwrap();
    let sent = tunnel.traffic().sent;
    assert!(sent > 100, "{sent} packets fit into the window");
    is_well(&client).await;
    tunnel.close().await;
    assert!(!is_here(&name));
}

#[test]
fn a_program_without_an_async_runtime_has_tunnels_too() {
    if !need_tunnels() {
        return;
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let host = Host {
        permit: PermitTunnel::Yes,
        channels: None,
    };
    let listening = runtime.block_on(server(host).listen("127.0.0.1:0")).unwrap();
    let (believed, password) = trust();
    let place = ("127.0.0.1", listening.local_addr().port());
    let client = ssh_client::blocking::Client::connect(place, "alice", believed, password).unwrap();
    let (here, there) = (free_unit(), free_unit());
    let tunnel = client
        .forward_tunnel(TunnelMode::Ethernet, Some(here), Some(there))
        .unwrap();
    assert_eq!(tunnel.device_name(), format!("tap{here}"));
    assert!(is_here(tunnel.device_name()) && is_here(&format!("tap{there}")));
    assert_eq!((tunnel.mode(), tunnel.traffic().lost), (TunnelMode::Ethernet, 0));
    tunnel.close().unwrap();
    assert!(!is_here(&format!("tap{here}")));
    client.disconnect().unwrap();
}
