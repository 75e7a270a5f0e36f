//! The forwards of a connection: those the command line and the configuration ask for, and those a person adds.

use ssh_client::config_file::{
    ForwardListen, ForwardSpec, ForwardTarget, Options, PermitRemoteOpen, Tokens, expand_text,
};
use ssh_client::{AddressFamily, Client, Forward, Forwarding, ListenOn, Listening, SocketFile, Target};

use super::tunnel::{self, Tunnel};
use crate::client::Plan;
use crate::terminal::{complain, harmless};

/// The side that waits for connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// Ours: `-L`, `-D`.
    Here,
    /// The server's: `-R`.
    Server,
}

/// Everything that is forwarded. Dropping it ends all of it.
pub(super) struct Forwards {
    open: Vec<Open>,
    tunnel: Option<Tunnel>,
}

struct Open {
    listen: ListenOn,
    target: ForwardTarget,
    forward: Forward,
}

impl Forwards {
    /// Begins what the plan asks for, one after the other. What fails is told; it is an error where forwards must not fail.
    pub(super) async fn start(plan: &Plan, client: &Client, is_stdio: bool) -> Result<Self, String> {
        let options = &plan.options;
        let mut forwards = Self {
            open: Vec::new(),
            tunnel: None,
        };
        if options.clear_all_forwardings.unwrap_or(is_stdio) {
            return Ok(forwards);
        }
        let must_work = options.exit_on_forward_failure.unwrap_or(is_stdio);
        for spec in &options.local_forwards {
            if let Err(problem) = forwards.add(plan, client, Side::Here, spec).await {
                complain(&problem);
            }
        }
        let (wanted, there) = (options.local_forwards.len(), forwards.open.len());
        if there < wanted && must_work {
            return Err("Could not request local forwarding.".to_owned());
        }
        if wanted > 0 && there == 0 {
            complain("Could not request local forwarding.");
        }
        for spec in &options.remote_forwards {
            if let Err(problem) = forwards.add(plan, client, Side::Server, spec).await {
                tracing::debug!("{problem}");
                let failed = format!("remote port forwarding failed for listen {}", asked(&spec.listen));
                if must_work {
                    return Err(format!("Error: {failed}"));
                }
                if !plan.is_quiet() {
                    complain(&format!("Warning: {failed}"));
                }
            }
        }
        match tunnel::start(options, client).await {
            Ok(tunnel) => forwards.tunnel = tunnel,
            Err(problem) => {
                complain(&problem);
                let failed = "Could not request tunnel forwarding.".to_owned();
                if must_work {
                    return Err(failed);
                }
                complain(&failed);
            }
        }
        Ok(forwards)
    }

    /// Begins one.
    pub(super) async fn add(
        &mut self,
        plan: &Plan,
        client: &Client,
        side: Side,
        spec: &ForwardSpec,
    ) -> Result<(), String> {
        let listen = listen_on(&plan.options, plan.tokens(), side, &spec.listen)?;
        let mut forwarding = Forwarding::new(listen.clone(), target(plan.tokens(), &spec.target)?);
        if let (Side::Server, ForwardTarget::Socks, Some(PermitRemoteOpen::Only(places))) =
            (side, &spec.target, &plan.options.permit_remote_open)
        {
            let places = places.clone();
            forwarding = forwarding.accept_if(move |arrival| {
                let place = arrival.destination.as_ref();
                let permitted = place.is_some_and(|place| is_permitted(&places, &place.host, place.port));
                async move { permitted }
            });
        }
        let begun = client.forward(&forwarding).await;
        let forward = begun.map_err(|error| harmless(&error.to_string()))?;
        tracing::debug!("forwarding {} to {}", forward.address(), shown(&spec.target));
        if let (ForwardListen::Tcp { port: 0, .. }, Listening::Server(place)) =
            (&spec.listen, forward.address())
            && !plan.is_quiet()
        {
            let target = match &spec.target {
                ForwardTarget::Tcp { host, port } => format!("{host}:{port}"),
                ForwardTarget::Path(path) => format!("{path}:-2"),
                ForwardTarget::Socks => "socks:0".to_owned(),
            };
            complain(&format!(
                "Allocated port {} for remote forward to {target}",
                place.port
            ));
        }
        self.open.push(Open {
            listen,
            target: spec.target.clone(),
            forward,
        });
        Ok(())
    }

    /// Ends the one that listens there, and all connections made through it stay; false if there is none.
    pub(super) async fn cancel(
        &mut self,
        plan: &Plan,
        side: Side,
        is_dynamic: Option<bool>,
        listen: &ForwardListen,
    ) -> Result<bool, String> {
        let listen = listen_on(&plan.options, plan.tokens(), side, listen)?;
        let is_meant = |open: &Open| {
            let is_socks = open.target == ForwardTarget::Socks;
            open.listen == listen && is_dynamic.is_none_or(|dynamic| dynamic == is_socks)
        };
        let Some(at) = self.open.iter().position(is_meant) else {
            return Ok(false);
        };
        let open = self.open.remove(at);
        let closed = open.forward.close().await;
        // What was made through it goes on without anybody's hold.
        let serving = open.forward;
        tokio::spawn(async move { serving.finished().await });
        closed
            .map(|()| true)
            .map_err(|error| harmless(&error.to_string()))
    }

    /// Waits until nothing is open any more, if something is: as ssh(1) does when the program has ended. A tunnel is open
    /// until its end: `ssh -f -w 0:1 host true` is how ssh(1) makes one.
    pub(super) async fn drain(&self) {
        let idle = self.open.iter().all(|open| open.forward.connections().open == 0);
        if idle && self.tunnel.is_none() {
            return;
        }
        tracing::debug!("waiting for forwarded connections to end");
        for open in &self.open {
            if let Err(error) = open.forward.close().await {
                tracing::debug!(%error, "a forward does not end");
            }
        }
        for open in &self.open {
            open.forward.finished().await;
        }
        if let Some(tunnel) = &self.tunnel {
            tunnel.finished().await;
        }
    }

    /// What there is, a line each, for a raw terminal.
    pub(super) fn list(&self) -> String {
        let tunnel = self
            .tunnel
            .iter()
            .map(|tunnel| format!("  {}\r\n", tunnel.shown()));
        if self.open.is_empty() && self.tunnel.is_none() {
            return "Nothing is forwarded.\r\n".to_owned();
        }
        let line = |open: &Open| {
            let count = open.forward.connections();
            let text = format!(
                "{} to {}: {} open, {} in all, {} refused",
                open.forward.address(),
                shown(&open.target),
                count.open,
                count.total,
                count.refused
            );
            format!("  {}\r\n", harmless(&text))
        };
        self.open.iter().map(line).chain(tunnel).collect()
    }
}

/// How ssh(1) names it in its messages.
fn asked(listen: &ForwardListen) -> String {
    match listen {
        ForwardListen::Tcp { port, .. } => format!("port {port}"),
        ForwardListen::Path(path) => format!("path {path}"),
    }
}

fn shown(target: &ForwardTarget) -> String {
    match target {
        ForwardTarget::Tcp { host, port } => format!("{host} port {port}"),
        ForwardTarget::Path(path) => path.clone(),
        ForwardTarget::Socks => "where each connection asks for".to_owned(),
    }
}

fn listen_on(
    options: &Options,
    tokens: &Tokens,
    side: Side,
    listen: &ForwardListen,
) -> Result<ListenOn, String> {
    Ok(match (side, listen) {
        (Side::Here, ForwardListen::Tcp { host, port }) => {
            let everywhere = options.gateway_ports.unwrap_or(false);
            let family = options.address_family.unwrap_or_default();
            ListenOn::here(here(host.as_deref(), everywhere, family), *port)
        }
        (Side::Here, ForwardListen::Path(path)) => {
            let mut file = SocketFile::new(expanded(tokens, path)?);
            if let Some(mask) = options.stream_local_bind_mask {
                file = file.mask(mask);
            }
            ListenOn::HereSocket(file.replace(options.stream_local_bind_unlink.unwrap_or(false)))
        }
        // What the server makes of it is the server's own GatewayPorts.
        (Side::Server, ForwardListen::Tcp { host, port }) => match host.as_deref() {
            None => ListenOn::server("localhost", *port),
            Some("" | "*") => ListenOn::server("", *port),
            Some(host) => ListenOn::server(host, *port),
        },
        (Side::Server, ForwardListen::Path(path)) => ListenOn::server_socket(expanded(tokens, path)?),
    })
}

/// Which address of this side is meant.
fn here(host: Option<&str>, everywhere: bool, family: AddressFamily) -> &str {
    match (host, family) {
        (None, _) if everywhere => here(Some("*"), everywhere, family),
        (None, _) => here(Some("localhost"), everywhere, family),
        (Some("" | "*"), AddressFamily::Inet) => "0.0.0.0",
        (Some("" | "*"), AddressFamily::Inet6) => "::",
        (Some("" | "*"), AddressFamily::Any) => "*",
        (Some("localhost"), AddressFamily::Inet) => "127.0.0.1",
        (Some("localhost"), AddressFamily::Inet6) => "::1",
        (Some(host), _) => host,
    }
}

fn target(tokens: &Tokens, target: &ForwardTarget) -> Result<Target, String> {
    Ok(match target {
        ForwardTarget::Tcp { host, port } => Target::port(host.as_str(), *port),
        ForwardTarget::Path(path) => Target::socket(expanded(tokens, path)?),
        ForwardTarget::Socks => Target::Socks,
    })
}

fn expanded(tokens: &Tokens, path: &str) -> Result<String, String> {
    expand_text(path, tokens).map_err(|error| error.to_string())
}

/// Whether one of the places of `PermitRemoteOpen` is this one.
fn is_permitted(places: &[(String, Option<u16>)], host: &str, port: u16) -> bool {
    let mut places = places.iter();
    places.any(|(name, at)| (name == "*" || name == host) && at.is_none_or(|at| at == port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_this_side() {
        use AddressFamily::{Any, Inet, Inet6};
        for (host, everywhere, family, expected) in [
            (None, false, Any, "localhost"),
            (None, true, Any, "*"),
            (None, false, Inet, "127.0.0.1"),
            (None, true, Inet6, "::"),
            (Some(""), false, Any, "*"),
            (Some("*"), false, Inet, "0.0.0.0"),
            (Some("localhost"), true, Inet6, "::1"),
            (Some("10.0.0.1"), true, Inet6, "10.0.0.1"),
        ] {
            assert_eq!(here(host, everywhere, family), expected);
        }
    }

    #[test]
    fn places_are_permitted_by_host_and_port() {
        let places = [
            ("a".to_owned(), Some(80)),
            ("*".to_owned(), Some(443)),
            ("b".to_owned(), None),
        ];
        for (host, port, expected) in [
            ("a", 80, true),
            ("a", 81, false),
            ("c", 443, true),
            ("b", 1, true),
            ("ab", 80, false),
        ] {
            assert_eq!(is_permitted(&places, host, port), expected, "{host} {port}");
        }
        assert!(!is_permitted(&[], "a", 80));
    }
}
