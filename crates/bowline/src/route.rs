//! The way to a server: a program of `ProxyCommand`, the hosts of `ProxyJump`, where connections leave from.
//!
//! Each host on the way has a configuration of its own, from the same file: what the command line says is for the last
//! host, as with ssh(1).

use std::net::IpAddr;

use ssh_client::config_file::{JumpHost, expand_text};
use ssh_client::{Config, Hop, ProxyCommand, Route};

use crate::arguments::{Common, Destination, check_host, check_user};
use crate::client::{Plan, plan};

/// The most hosts on a way, those included that hosts on the way name themselves.
const MAX_HOPS: usize = 32;

/// Settles the way in `config`.
///
/// # Errors
/// What the configuration says about it cannot be done.
pub(crate) async fn settle(plan: &Plan, config: &mut Config) -> Result<(), String> {
    let mut hosts = Vec::new();
    config.route = Box::pin(route(plan, &mut hosts)).await?;
    local_end(plan, config).await
}

/// Where a connection leaves from.
async fn local_end(plan: &Plan, config: &mut Config) -> Result<(), String> {
    config.address_family = plan.options.address_family.unwrap_or_default();
    if let Some(name) = &plan.options.bind_address {
        config.bind_address = Some(address(name).await?);
    }
    Ok(())
}

async fn address(name: &str) -> Result<IpAddr, String> {
    let mut found = tokio::net::lookup_host((name, 0))
        .await
        .map_err(|error| format!("bind address {name}: {error}"))?;
    let first = found.next();
    first
        .map(|first| first.ip())
        .ok_or_else(|| format!("bind address {name}: it has no address"))
}

/// `hosts` are those on the way already, the last host first.
async fn route(plan: &Plan, hosts: &mut Vec<String>) -> Result<Route, String> {
    let jumps = plan.options.proxy_jump.as_deref().unwrap_or_default();
    let Some((first, others)) = jumps.split_first() else {
        return match &plan.options.proxy_command {
            Some(command) if !command.eq_ignore_ascii_case("none") => {
                let command = ProxyCommand::from_template(command, plan.tokens());
                Ok(Route::Command(
                    command.map_err(|error| format!("ProxyCommand: {error}"))?,
                ))
            }
            _ => Ok(Route::Direct),
        };
    };
    hosts.push(shown(plan));
    let mut hops = vec![hop(plan, first, true, hosts).await?];
    for other in others {
        hops.push(hop(plan, other, false, hosts).await?);
    }
    Ok(Route::Jump(hops))
}

/// A host on the way to that of `plan`. The first one may have a way of its own; the others are behind it.
async fn hop(plan: &Plan, jump: &JumpHost, is_first: bool, hosts: &mut Vec<String>) -> Result<Hop, String> {
    let own = plan_for(plan, jump)?;
    if hosts.contains(&shown(&own)) {
        return Err(format!("jumphost loop via {}", jump.host));
    }
    if hosts.len() >= MAX_HOPS {
        return Err(format!("there are more than {MAX_HOPS} hosts on the way"));
    }
    let mut config = own.config()?;
    if is_first {
        config.route = Box::pin(route(&own, hosts)).await?;
        local_end(&own, &mut config).await?;
    }
    hosts.push(shown(&own));
    let hop = Hop::new(own.address(), own.user(), own.host_keys()?, own.credentials()?);
    Ok(hop.map_err(|error| error.to_string())?.config(config))
}

/// What the configuration says about a host on the way.
fn plan_for(last: &Plan, jump: &JumpHost) -> Result<Plan, String> {
    let expanded =
        |text: &str| expand_text(text, last.tokens()).map_err(|error| format!("ProxyJump: {error}"));
    let destination = Destination {
        user: jump.user.as_deref().map(expanded).transpose()?,
        host: expanded(&jump.host)?,
        port: jump.port,
        path: String::new(),
    };
    check_host(&destination.host)?;
    destination.user.as_deref().map_or(Ok(()), check_user)?;
    plan(
        Common {
            config_file: last.config_file().clone(),
            ..Common::default()
        },
        &destination,
    )
}

/// By which the same host is known again.
fn shown(plan: &Plan) -> String {
    let (_, port) = plan.address();
    format!("{}:{port}", plan.place())
}
