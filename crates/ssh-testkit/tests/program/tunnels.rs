//! `bowline ssh -w` and `bowline sshd` with `PermitTunnel`: traffic between two networks, against OpenSSH and ourselves.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use ssh_testkit::network::{carries_traffic, device_of, devices_of, free_unit, is_here, rename, wait_until};
use ssh_testkit::openssh::{Keys, Server, client_arguments};
use ssh_testkit::peers;
use ssh_testkit::running::{Running, is_running, run};

use crate::bowline::{Sshd, bowline};

/// A server that permits tunnels.
enum Host {
    OpenSsh(Server),
    Own(Sshd),
}

impl Host {
    fn own(permit: &str) -> Self {
        Self::Own(Sshd::start(&["-o", &format!("PermitTunnel={permit}")]))
    }

    fn openssh(permit: &str) -> Option<Self> {
        let sshd = peers::need("sshd")?;
        Some(Self::OpenSsh(Server::start(
            &sshd,
            &format!("PermitTunnel {permit}"),
        )))
    }

    fn place(&self) -> (&Keys, u16, u32) {
        match self {
            Self::OpenSsh(server) => (&server.keys, server.port, server.id()),
            Self::Own(server) => (&server.keys, server.port, server.child.id()),
        }
    }

    /// The device that the server holds.
    fn device(&self) -> String {
        device_of(self.place().2)
    }

    /// A client's command line on its way here: ours or OpenSSH's.
    fn visit(&self, ours: bool, options: &[&str]) -> Option<Command> {
        let mut line = match ours {
            true => bowline(&["ssh"]),
            false => Command::new(peers::need("ssh")?),
        };
        let (keys, port, _) = self.place();
        line.args(options)
            .args(client_arguments(keys, port))
            .arg(format!("{}@127.0.0.1", peers::user()));
        Some(line)
    }
}

/// A client that holds its tunnel until it is dropped.
fn hold(host: &Host, ours: bool, options: &[&str]) -> Option<Running> {
    let options = [options, &["-N", "-o", "ExitOnForwardFailure=yes"]].concat();
    Some(Running::start(&mut host.visit(ours, &options)?))
}

/// Joins two devices, sends traffic through them, and sees them go.
fn joins(host: &Host, ours: bool, mode: &str, mtu: u32) {
    let (here, there) = (free_unit(), free_unit());
    let device = format!("{here}:{there}");
    let Some(mut client) = hold(host, ours, &["-o", &format!("Tunnel={mode}"), "-w", &device]) else {
        return;
    };
    let prefix = if mode == "ethernet" { "tap" } else { "tun" };
    assert_eq!(device_of(client.id()), format!("{prefix}{here}"));
    assert_eq!(host.device(), format!("{prefix}{there}"));
    carries_traffic(&format!("{prefix}{here}"), &format!("{prefix}{there}"), mtu);
    assert!(client.is_alive());
    drop(client);
    wait_until("the server to give its device back", || {
        devices_of(host.place().2).is_empty()
    });
}

#[test]
fn our_client_and_our_server_join_networks() {
    if !peers::need_tunnels() {
        return;
    }
    let host = Host::own("yes");
    joins(&host, true, "point-to-point", 1_500);
    joins(&host, true, "ethernet", 1_500);
    // The largest packets that one message has room for.
    joins(&host, true, "point-to-point", 65_000);
}

#[test]
fn our_client_joins_networks_with_openssh() {
    if !peers::need_tunnels() {
        return;
    }
    let Some(host) = Host::openssh("yes") else { return };
    joins(&host, true, "point-to-point", 1_500);
    joins(&host, true, "ethernet", 1_500);
}

#[test]
fn openssh_joins_networks_with_our_server() {
    if !peers::need_tunnels() {
        return;
    }
    let host = Host::own("yes");
    joins(&host, false, "point-to-point", 1_500);
    joins(&host, false, "ethernet", 1_500);
}

#[test]
fn any_free_device_will_do() {
    if !peers::need_tunnels() {
        return;
    }
    let hosts = [Some(Host::own("yes")), Host::openssh("yes")];
    for (host, is_own) in hosts.iter().flatten().zip([true, false]) {
        let clients: &[bool] = if is_own { &[true, false] } else { &[true] };
        for ours in clients {
            let Some(client) = hold(host, *ours, &["-w", "any:any"]) else {
                continue;
            };
            let (here, there) = (device_of(client.id()), host.device());
            assert!(
                here.starts_with("tun") && there.starts_with("tun"),
                "{here} {there}"
            );
            carries_traffic(&rename(&here), &rename(&there), 1_500);
            drop(client);
            wait_until("the server to give its device back", || {
                devices_of(host.place().2).is_empty()
            });
        }
    }
}

#[test]
fn a_command_runs_beside_the_tunnel_which_outlives_it() {
    if !peers::need_tunnels() {
        return;
    }
    let host = Host::own("point-to-point");
    let devices = [format!("tun{}", free_unit()), format!("tun{}", free_unit())];
    let units = devices.join(":").replace("tun", "");
    let mut line = host.visit(true, &["-w", &units]).unwrap();
    line.arg(format!(
        "cat /sys/class/net/{}/flags /sys/class/net/{}/flags",
        devices[0], devices[1]
    ));
    let (mut client, output) = Running::start_reading(&mut line);
    let told: Vec<String> = BufReader::new(output)
        .lines()
        .take(2)
        .map_while(Result::ok)
        .collect();
    // A tun device (IFF_POINTOPOINT, IFF_NOARP, IFF_MULTICAST) that is not up.
    assert_eq!(told, ["0x1090", "0x1090"]);
    carries_traffic(&devices[0], &devices[1], 1_500);
    assert!(client.is_alive());
    drop(client);
    wait_until("the server to give its device back", || {
        devices_of(host.place().2).is_empty()
    });
}

#[test]
fn each_value_of_permit_tunnel_permits_what_it_says() {
    if !peers::need_tunnels() {
        return;
    }
    for (settings, point_to_point, ethernet) in [
        (&["PermitTunnel=no"][..], false, false),
        (&[], false, false),
        (&["PermitTunnel=point-to-point"], true, false),
        (&["PermitTunnel=ethernet"], false, true),
        (&["PermitTunnel=yes"], true, true),
        (&["PermitTunnel=yes", "DisableForwarding=yes"], false, false),
    ] {
        let words: Vec<&str> = settings.iter().flat_map(|setting| ["-o", setting]).collect();
        let host = Host::Own(Sshd::start(&words));
        for (mode, permitted) in [("point-to-point", point_to_point), ("ethernet", ethernet)] {
            for ours in [true, false] {
                let device = format!("{}:{}", free_unit(), free_unit());
                let mode = format!("Tunnel={mode}");
                let options = ["-o", &mode, "-w", &device, "-o", "ExitOnForwardFailure=yes"];
                let Some(mut line) = host.visit(ours, &options) else {
                    continue;
                };
                line.arg("echo in");
                if permitted {
                    let (_client, output) = Running::start_reading(&mut line);
                    let mut told = String::new();
                    BufReader::new(output).read_line(&mut told).unwrap();
                    assert_eq!(told, "in\n", "{settings:?} {mode} {ours}");
                } else {
                    let told = run(&mut line).with_code(255).stderr_text();
                    assert!(
                        told.contains("administratively prohibited"),
                        "{settings:?} {told}"
                    );
                }
            }
        }
    }
}

#[test]
fn a_tunnel_that_cannot_be_had_is_told_and_is_no_end_unless_it_has_to_be() {
    if !peers::need_tunnels() {
        return;
    }
    let host = Host::own("yes");
    let (here, there) = (free_unit(), free_unit());
    let device = format!("{here}:{there}");
    let Some(client) = hold(&host, true, &["-w", &device]) else {
        return;
    };
    device_of(client.id());
    host.device();
    let other = free_unit();
    for (wanted, told) in [
        (
            device.clone(),
            format!("create tun{here}: Device or resource busy"),
        ),
        (
            format!("{other}:{there}"),
            "connect failed: open failed".to_owned(),
        ),
    ] {
        for (must, code) in [("no", 0), ("yes", 255)] {
            let must = format!("ExitOnForwardFailure={must}");
            let mut line = host.visit(true, &["-w", &wanted, "-o", &must]).unwrap();
            let finished = run(line.arg("echo in")).with_code(code);
            let words = finished.stderr_text();
            assert!(words.contains(&told), "{words}");
            assert!(
                words.ends_with("Could not request tunnel forwarding.\n"),
                "{words}"
            );
            assert_eq!(finished.stdout_text(), if code == 0 { "in\n" } else { "" });
        }
    }
    // Of no use where all forwards are cleared.
    let cleared = ["-w", &device, "-o", "ClearAllForwardings=yes"];
    let finished = run(host.visit(true, &cleared).unwrap().arg("echo in")).with_code(0);
    assert_eq!(finished.stderr_text(), "");
}

/// As ssh(1) makes a tunnel: `ssh -f -w 0:1 host true`.
#[test]
fn a_tunnel_goes_into_the_background_and_stays_there() {
    if !peers::need_tunnels() {
        return;
    }
    let host = Host::own("yes");
    let devices = [format!("tun{}", free_unit()), format!("tun{}", free_unit())];
    let units = devices.join(":").replace("tun", "");
    for (options, command) in [(&["-f"][..], Some("true")), (&["-f", "-N"], None)] {
        let mut line = host.visit(true, &[options, &["-w", &units]].concat()).unwrap();
        line.args(command)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        assert_eq!(line.status().unwrap().code(), Some(0));
        assert!(
            devices.iter().all(|device| is_here(device)),
            "it works before it is let go"
        );
        carries_traffic(&devices[0], &devices[1], 1_500);
        let client = holder_of(&devices[0]);
        let ended = Command::new("kill").arg(client.to_string()).status();
        assert!(ended.unwrap().success());
        wait_until("the server to give its device back", || {
            devices_of(host.place().2).is_empty()
        });
        wait_until("the client to end", || !is_running(client));
    }
}

/// The process that holds a device.
fn holder_of(device: &str) -> u32 {
    let processes = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let mut ids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    ids.find(|id| devices_of(*id).iter().any(|held| held == device) && is_own(*id))
        .expect("nobody holds the device")
}

/// Whether the process is the program itself, not one that started it.
fn is_own(process: u32) -> bool {
    std::fs::read_link(format!("/proc/{process}/exe")).is_ok_and(|file| file.ends_with("bowline"))
}
