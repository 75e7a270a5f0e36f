//! Keys of FIDO devices, with OpenSSH in both seats: as host keys, and to log in with. The device is software.

use std::fs;
use std::sync::Arc;

use ssh_client::keys::Signer as _;
use ssh_client::{Client, Config, Credentials, Error, HostKeys};
use ssh_testkit::openssh::{Keys, Server};
use ssh_testkit::peers;
use ssh_testkit::running::run;
use ssh_testkit::security_key::{SecurityKey, TOUCHED, VERIFIED};

use crate::ours::Ours;

/// Logs in with the device, believing any host.
async fn login(port: u16, device: SecurityKey) -> Result<(), Error> {
    let key = Credentials::signer(Arc::new(device));
    let address = ("127.0.0.1", port);
    let any = HostKeys::dangerous_accept_any();
    let client = Client::connect_with(&Config::default(), address, &peers::user(), any, key).await?;
    assert_eq!(client.run("exit 7").await?.status.code(), Some(7));
    client.disconnect().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_opens_what_its_line_says_with_openssh_and_with_us() {
    let ours = tokio::task::spawn_blocking(Ours::start).await.unwrap();
    let openssh = peers::need("sshd").map(|sshd| Server::start(&sshd, ""));
    let mut places = vec![("ours", ours.port, &ours.keys)];
    places.extend(
        openssh
            .iter()
            .map(|server| ("OpenSSH's", server.port, &server.keys)),
    );
    for (name, port, keys) in places {
        for is_ed25519 in [true, false] {
            for (options, opened_by) in [
                ("", &[TOUCHED, TOUCHED | VERIFIED][..]),
                ("no-touch-required ", &[0, TOUCHED, VERIFIED, TOUCHED | VERIFIED]),
                ("verify-required ", &[TOUCHED | VERIFIED]),
                (
                    "no-touch-required,verify-required ",
                    &[VERIFIED, TOUCHED | VERIFIED],
                ),
            ] {
                let public = SecurityKey::new(is_ed25519, 0).public_key().to_openssh("device");
                fs::write(keys.path("authorized_keys"), format!("{options}{public}\n")).unwrap();
                for flags in [0, TOUCHED, VERIFIED, TOUCHED | VERIFIED] {
                    let result = login(port, SecurityKey::new(is_ed25519, flags)).await;
                    match (&result, opened_by.contains(&flags)) {
                        (Ok(()), true) | (Err(Error::LoginRefused { .. }), false) => {}
                        _ => panic!("{name}: {options:?} {flags:#x} {is_ed25519}: {result:?}"),
                    }
                }
            }
        }
    }
    tokio::task::spawn_blocking(move || drop(ours)).await.unwrap();
}

#[test]
fn a_host_s_key_may_lie_in_a_device() {
    // Nobody touches the device of a host at each connection: OpenSSH does not ask for it, and nor do we.
    for is_ed25519 in [true, false] {
        for flags in [0, TOUCHED] {
            let device = || SecurityKey::new(is_ed25519, flags);
            let ours = Ours::with_host_key(Keys::make(), device(), |_| {});
            let (key, name) = (device().public_key().clone(), device().algorithms()[0].name);
            let runtime = tokio::runtime::Runtime::new().unwrap();
            runtime.block_on(async {
                let user = Credentials::key_file(ours.keys.path("user"));
                let address = ("127.0.0.1", ours.port);
                let pinned = HostKeys::pinned(key.clone());
                let client = Client::connect(address, &ours.user(), pinned, user)
                    .await
                    .unwrap();
                assert_eq!(client.negotiated().host_key.name, name);
                client.disconnect().await;
            });
            let Some(ssh) = peers::need("ssh") else { continue };
            fs::write(
                ours.keys.path("known_device"),
                format!("[127.0.0.1]:{} {}\n", ours.port, key.to_openssh("")),
            )
            .unwrap();
            let known = format!("UserKnownHostsFile={}", ours.keys.path("known_device").display());
            let algorithm = format!("HostKeyAlgorithms={name}");
            let mut line = ours.client(&ssh, &["-o", &known, "-o", &algorithm]);
            let _in = run(line.arg(ours.destination()).arg("exit 7")).with_code(7);
        }
    }
}
