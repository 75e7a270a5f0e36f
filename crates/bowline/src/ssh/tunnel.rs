//! `-w`, `Tunnel` and `TunnelDevice`: a network device here joined to one at the server.

use ssh_client::config_file::{Options, Tunnel as Wanted};

#[cfg(all(feature = "tunnel", target_os = "linux"))]
pub(super) use devices::{Tunnel, start};
#[cfg(not(all(feature = "tunnel", target_os = "linux")))]
pub(super) use nothing::{Tunnel, start};

/// Whether what is wanted can be had at all.
pub(super) fn check(options: &Options) -> Result<(), String> {
    let is_wanted = !matches!(options.tunnel, None | Some(Wanted::No));
    if is_wanted && !cfg!(all(feature = "tunnel", target_os = "linux")) {
        return Err("Tunnel interfaces are not supported by this program".to_owned());
    }
    Ok(())
}

#[cfg(all(feature = "tunnel", target_os = "linux"))]
mod devices {
    use ssh_client::config_file::{Options, Tunnel as Wanted};
    use ssh_client::{Client, TunnelMode};

    use crate::terminal::harmless;

    /// What goes on as long as this is held.
    pub(in crate::ssh) struct Tunnel(ssh_client::Tunnel);

    impl Tunnel {
        /// Waits until it has ended.
        pub(in crate::ssh) async fn finished(&self) {
            self.0.finished().await;
        }

        /// What it is and what went through, for a raw terminal.
        pub(in crate::ssh) fn shown(&self) -> String {
            let traffic = self.0.traffic();
            format!(
                "{} tunnel of {}: {} packets sent, {} received, {} lost",
                self.0.mode(),
                self.0.device_name(),
                traffic.sent,
                traffic.received,
                traffic.lost
            )
        }
    }

    /// Begins the tunnel that the options want, if they want one.
    pub(in crate::ssh) async fn start(options: &Options, client: &Client) -> Result<Option<Tunnel>, String> {
        let mode = match options.tunnel {
            None | Some(Wanted::No) => return Ok(None),
            Some(Wanted::PointToPoint) => TunnelMode::PointToPoint,
            Some(Wanted::Ethernet) => TunnelMode::Ethernet,
        };
        let (local, remote) = match options.tunnel_device {
            Some(device) => (device.local, device.remote),
            None => (None, None),
        };
        let begun = client.forward_tunnel(mode, local, remote).await;
        let tunnel = begun.map_err(|error| harmless(&error.to_string()))?;
        tracing::debug!("a {mode} tunnel by {}", tunnel.device_name());
        Ok(Some(Tunnel(tunnel)))
    }
}

#[cfg(not(all(feature = "tunnel", target_os = "linux")))]
mod nothing {
    use ssh_client::Client;
    use ssh_client::config_file::Options;

    /// There are none.
    pub(in crate::ssh) enum Tunnel {}

    impl Tunnel {
        pub(in crate::ssh) async fn finished(&self) {
            match *self {}
        }

        pub(in crate::ssh) fn shown(&self) -> String {
            match *self {}
        }
    }

    pub(in crate::ssh) async fn start(
        _options: &Options,
        _client: &Client,
    ) -> Result<Option<Tunnel>, String> {
        Ok(None)
    }
}
