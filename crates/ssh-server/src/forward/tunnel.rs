//! Tunnels: network devices of this system joined to channels (`tun@openssh.com`, OpenSSH `PROTOCOL` §2.3).
//!
//! ```text
//!  open ──▶ mode and number known? ──▶ the login's permissions ──▶ Application ──▶ open a device, or serve
//!                │ no                        │ no                    │ Refuse           │ failed
//!                └──────────▶ PROHIBITED ◀───┴───────────────────────┘                  └─▶ CONNECT_FAILED
//! ```

use super::{Handler, hand_over, prohibit};
use crate::application::Application;
use crate::channel::{TUN_ANY_UNIT, TUN_ETHERNET, TUN_POINT_TO_POINT, Tun};
use crate::tokio_driver::IncomingOpen;
use crate::visit::Visit;

/// The answer to a request for a tunnel.
#[derive(Debug)]
#[non_exhaustive]
pub enum TunnelEnd {
    /// No.
    Refuse,
    /// A network device of the mode and number that are wanted: the server makes it and passes packets on both ways. It
    /// has no address, and goes with the channel.
    #[cfg(all(feature = "tunnel", target_os = "linux"))]
    Device,
    /// The application serves the channel itself, its packets as the section has them.
    Serve(Handler),
}

impl TunnelEnd {
    /// A device if `yes`; where there are no devices, a refusal.
    pub fn device_if(yes: bool) -> Self {
        #[cfg(all(feature = "tunnel", target_os = "linux"))]
        if yes {
            return Self::Device;
        }
        let _ = yes;
        Self::Refuse
    }
}

/// Which tunnels there may be: `PermitTunnel` of sshd_config(5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PermitTunnel {
    /// None.
    #[default]
    No,
    /// IP packets.
    PointToPoint,
    /// Ethernet frames.
    Ethernet,
    /// Both.
    Yes,
}

impl PermitTunnel {
    /// Whether it permits the tunnel that is `wanted`.
    pub const fn permits(self, wanted: &Tun) -> bool {
        match wanted.mode {
            TUN_POINT_TO_POINT => matches!(self, Self::PointToPoint | Self::Yes),
            TUN_ETHERNET => matches!(self, Self::Ethernet | Self::Yes),
            _ => false,
        }
    }
}

/// Serves one `tun@openssh.com` channel from the question to the end.
pub(crate) async fn tun<A: Application>(visit: &Visit<A>, wanted: Tun, open: IncomingOpen) {
    let peer = &visit.login.peer;
    let unit = visit.login.permissions.tunnel_unit(wanted.unit);
    let Some(wanted) = unit.map(|unit| Tun { unit, ..wanted }).filter(is_known) else {
        tracing::info!(%peer, "tunnel refused");
        return prohibit(open);
    };
    match visit.shared.application.tun(&visit.login, &wanted).await {
        TunnelEnd::Refuse => {
            tracing::info!(%peer, "tunnel refused");
            prohibit(open);
        }
        TunnelEnd::Serve(handler) => hand_over(visit, Tun::NAME, open, handler).await,
        #[cfg(all(feature = "tunnel", target_os = "linux"))]
        TunnelEnd::Device => device::serve(visit, &wanted, open).await,
    }
}

/// Whether there are tunnels of this mode and devices of this number.
const fn is_known(wanted: &Tun) -> bool {
    let has_mode = matches!(wanted.mode, TUN_POINT_TO_POINT | TUN_ETHERNET);
    // OpenSSH keeps the number below for an error of its own.
    has_mode && wanted.unit <= TUN_ANY_UNIT && wanted.unit != TUN_ANY_UNIT - 1
}

#[cfg(all(feature = "tunnel", target_os = "linux"))]
mod device {
    use crate::application::Application;
    use crate::channel::{OpenFailureReason, TUN_ANY_UNIT, Tun};
    use crate::timeouts::within;
    use crate::tokio_driver::IncomingOpen;
    use crate::tokio_driver::tunnel::{TunnelCounters, TunnelDevice, TunnelMode, relay};
    use crate::visit::Visit;

    /// Makes the device and joins it to the channel.
    pub(super) async fn serve<A: Application>(visit: &Visit<A>, wanted: &Tun, open: IncomingOpen) {
        let peer = &visit.login.peer;
        let Some(mode) = TunnelMode::of(wanted.mode) else {
            return super::prohibit(open);
        };
        let unit = (wanted.unit != TUN_ANY_UNIT).then_some(wanted.unit);
        // The system takes its time to make a device; dropped here, it goes when it is there.
        let device = match tokio::task::spawn_blocking(move || TunnelDevice::open(mode, unit)).await {
            Ok(Ok(device)) => device,
            Ok(Err(error)) => {
                tracing::info!(%peer, %mode, %error, "tunnel device not opened");
                return open.refuse(OpenFailureReason::CONNECT_FAILED, "open failed");
            }
            Err(error) => {
                tracing::error!(%peer, %mode, %error, "tunnel device not opened");
                return open.refuse(OpenFailureReason::CONNECT_FAILED, "open failed");
            }
        };
        let Ok(channel) = open.accept() else {
            return;
        };
        tracing::info!(%peer, device = device.name(), %mode, "tunnel opened");
        let counters = TunnelCounters::default();
        let (limit, watch) = (
            visit.shared.limits.channel_timeouts.of(Tun::NAME),
            channel.watch(),
        );
        let relaying = async {
            if let Err(error) = relay(channel, &device, &counters).await {
                tracing::debug!(device = device.name(), %error, "the tunnel broke off");
            }
        };
        within(limit, watch, relaying).await;
        tracing::info!(%peer, device = device.name(), traffic = ?counters.traffic(), "tunnel closed");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_covers_its_modes() {
        let (point_to_point, ethernet, other) = (TUN_POINT_TO_POINT, TUN_ETHERNET, 3);
        for (permit, permitted) in [
            (PermitTunnel::No, [false, false, false]),
            (PermitTunnel::PointToPoint, [true, false, false]),
            (PermitTunnel::Ethernet, [false, true, false]),
            (PermitTunnel::Yes, [true, true, false]),
        ] {
            let permits =
                [point_to_point, ethernet, other].map(|mode| permit.permits(&Tun { mode, unit: 0 }));
            assert_eq!(permits, permitted, "{permit:?}");
        }
    }

    #[test]
    fn modes_and_numbers_beyond_the_known_ones_are_none() {
        for (mode, unit, expected) in [
            (1, 0, true),
            (2, 0x7fff_fffd, true),
            (2, TUN_ANY_UNIT, true),
            (1, 0x7fff_fffe, false),
            (1, 0x8000_0000, false),
            (1, u32::MAX, false),
            (0, 0, false),
            (3, 0, false),
            (u32::MAX, 0, false),
        ] {
            assert_eq!(
                is_known(&Tun { mode, unit }),
                expected,
                "mode {mode}, unit {unit}"
            );
        }
    }
}
