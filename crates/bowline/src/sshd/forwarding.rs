//! What the configuration lets be forwarded, whatever a login's key says.

use ssh_server::channel::Tun;
use ssh_server::{
    Destination, DisplayPolicy, GatewayPorts, Listen, ListenPlace, ListenSocket, ListenTarget, PermitTunnel,
    SocketPolicy, Target, TunnelEnd,
};

use super::options::Options;
use super::values::Directions;

/// The settings about forwarding.
pub(super) struct Forwarding {
    tcp: Directions,
    sockets: Directions,
    agent: bool,
    display: Option<DisplayPolicy>,
    gateway_ports: GatewayPorts,
    socket_policy: SocketPolicy,
    permit_open: Option<Vec<Destination>>,
    permit_listen: Option<Vec<ListenPlace>>,
    permit_tunnel: PermitTunnel,
}

impl Forwarding {
    pub(super) fn new(options: &Options) -> Result<Self, String> {
        // One word against everything, whatever else is said (sshd_config(5)).
        let enabled = options.disable_forwarding != Some(true);
        let directions = |set: Option<Directions>| {
            let Directions { local, remote } = set.unwrap_or(Directions::ALL);
            Directions {
                local: local && enabled,
                remote: remote && enabled,
            }
        };
        let usual = DisplayPolicy::default();
        let display = DisplayPolicy {
            first: options.x11_display_offset.unwrap_or(usual.first),
            localhost: options.x11_use_localhost.unwrap_or(usual.localhost),
        };
        let usual = SocketPolicy::default();
        Ok(Self {
            tcp: directions(options.allow_tcp_forwarding),
            sockets: directions(options.allow_stream_local_forwarding),
            agent: enabled && options.allow_agent_forwarding.unwrap_or(true),
            display: (enabled && options.x11_forwarding == Some(true)).then_some(display),
            gateway_ports: options.gateway_ports.unwrap_or_default(),
            socket_policy: SocketPolicy {
                unlink: options.stream_local_bind_unlink.unwrap_or(usual.unlink),
                mask: options.stream_local_bind_mask.unwrap_or(usual.mask),
            },
            permit_open: places("PermitOpen", options.permit_open.as_deref())?,
            permit_listen: places("PermitListen", options.permit_listen.as_deref())?,
            permit_tunnel: match enabled {
                true => options.permit_tunnel.unwrap_or_default(),
                false => PermitTunnel::No,
            },
        })
    }

    pub(super) fn may_connect(&self, target: &Target) -> bool {
        let covers =
            |list: &Vec<Destination>| list.iter().any(|entry| entry.covers(&target.host, target.port));
        self.tcp.local && self.permit_open.as_ref().is_none_or(covers)
    }

    pub(super) fn may_connect_to_sockets(&self) -> bool {
        self.sockets.local
    }

    pub(super) fn listen(&self, wanted: &ListenTarget) -> Listen {
        let covers = |list: &Vec<ListenPlace>| {
            list.iter()
                .any(|entry| entry.covers(&wanted.address, wanted.port))
        };
        if self.tcp.remote && self.permit_listen.as_ref().is_none_or(covers) {
            Listen::Bind(self.gateway_ports)
        } else {
            Listen::Refuse
        }
    }

    pub(super) fn listen_socket(&self) -> ListenSocket {
        if self.sockets.remote {
            ListenSocket::Bind(self.socket_policy)
        } else {
            ListenSocket::Refuse
        }
    }

    pub(super) fn tunnel(&self, wanted: &Tun) -> TunnelEnd {
        TunnelEnd::device_if(self.permit_tunnel.permits(wanted))
    }

    pub(super) fn agent(&self) -> bool {
        self.agent
    }

    pub(super) fn display(&self) -> Option<DisplayPolicy> {
        self.display
    }
}

/// The places of a list: `any` leaves everything open, `none` nothing.
fn places<T>(keyword: &str, words: Option<&[String]>) -> Result<Option<Vec<T>>, String>
where
    T: std::str::FromStr,
    T::Err: std::fmt::Display,
{
    match words {
        None => Ok(None),
        Some([word]) if word.eq_ignore_ascii_case("any") => Ok(None),
        Some([word]) if word.eq_ignore_ascii_case("none") => Ok(Some(Vec::new())),
        Some(words) => {
            let read = |word: &String| word.parse().map_err(|error| format!("{keyword} {word}: {error}"));
            words.iter().map(read).collect::<Result<Vec<_>, _>>().map(Some)
        }
    }
}
