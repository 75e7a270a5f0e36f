//! The keywords this client knows, and how each value is read. One table says what there is.

use std::time::Duration;

use super::choices::{
    address_family, bind_mask, escape_char, forward_agent, keystroke_timing, request_tty, session_type,
    tunnel, tunnel_device,
};
use super::forwards::{self, ForwardSpec};
use super::jump;
use super::options::{Options, StrictHostKeyChecking};
use super::services;
use super::values::{
    ValueError, algorithms, log_level, rekey_limit, seconds, version_addendum, warn_weak_crypto, wrong,
    yes_no,
};
use crate::kex::{Preferences, Preset};
use crate::keys::pattern::matches;

pub(super) type Setter = fn(&mut Options, &[String]) -> Result<(), ValueError>;

/// Every keyword this client knows, in OpenSSH's spelling, in alphabetical order.
pub const KEYWORDS: &[(&str, Setter)] = &[
    ("AddressFamily", |to, from| {
        first(&mut to.address_family, from, address_family)
    }),
    ("AlgorithmPreset", |to, from| {
        first(&mut to.algorithm_preset, from, preset)
    }),
    ("BatchMode", |to, from| first(&mut to.batch_mode, from, yes_no)),
    ("BindAddress", |to, from| first(&mut to.bind_address, from, text)),
    ("Ciphers", |to, from| {
        first(&mut to.ciphers, from, |list| {
            algorithms(list, Preferences::edit_ciphers)
        })
    }),
    ("ClearAllForwardings", |to, from| {
        first(&mut to.clear_all_forwardings, from, yes_no)
    }),
    ("Compression", |to, from| first(&mut to.compression, from, yes_no)),
    ("ConnectTimeout", |to, from| {
        first(&mut to.connect_timeout, from, timeout)
    }),
    ("DynamicForward", |to, from| {
        local_forward(to, forwards::dynamic(&only(from))?)
    }),
    ("EnableEscapeCommandline", |to, from| {
        first(&mut to.enable_escape_commandline, from, yes_no)
    }),
    ("EscapeChar", |to, from| {
        first(&mut to.escape_char, from, escape_char)
    }),
    ("ExitOnForwardFailure", |to, from| {
        first(&mut to.exit_on_forward_failure, from, yes_no)
    }),
    ("ForkAfterAuthentication", |to, from| {
        first(&mut to.fork_after_authentication, from, yes_no)
    }),
    ("ForwardAgent", |to, from| {
        first(&mut to.forward_agent, from, forward_agent)
    }),
    ("ForwardX11", |to, from| first(&mut to.forward_x11, from, yes_no)),
    ("ForwardX11Timeout", |to, from| {
        first(&mut to.forward_x11_timeout, from, seconds)
    }),
    ("ForwardX11Trusted", |to, from| {
        first(&mut to.forward_x11_trusted, from, yes_no)
    }),
    ("GatewayPorts", |to, from| {
        first(&mut to.gateway_ports, from, yes_no)
    }),
    ("GlobalKnownHostsFile", |to, from| {
        files(&mut to.global_known_hosts_files, from)
    }),
    ("HostKeyAlgorithms", |to, from| {
        first(&mut to.host_key_algorithms, from, |list| {
            algorithms(list, Preferences::edit_host_keys)
        })
    }),
    ("HostKeyAlias", |to, from| {
        first(&mut to.host_key_alias, from, text)
    }),
    ("HostName", |to, from| first(&mut to.host_name, from, text)),
    ("IdentitiesOnly", |to, from| {
        first(&mut to.identities_only, from, yes_no)
    }),
    ("IdentityFile", |to, from| {
        to.identity_files.extend(from.iter().cloned());
        Ok(())
    }),
    ("KexAlgorithms", |to, from| {
        first(&mut to.kex_algorithms, from, |list| {
            algorithms(list, Preferences::edit_kex)
        })
    }),
    ("LocalForward", |to, from| {
        local_forward(to, forwards::local(&pair(from)?)?)
    }),
    ("LogLevel", |to, from| first(&mut to.log_level, from, log_level)),
    ("MACs", |to, from| {
        first(&mut to.macs, from, |list| {
            algorithms(list, Preferences::edit_macs)
        })
    }),
    ("NumberOfPasswordPrompts", |to, from| {
        first(&mut to.number_of_password_prompts, from, count)
    }),
    ("ObscureKeystrokeTiming", |to, from| {
        first(&mut to.obscure_keystroke_timing, from, keystroke_timing)
    }),
    ("PasswordAuthentication", |to, from| {
        first(&mut to.password_authentication, from, yes_no)
    }),
    ("PermitRemoteOpen", |to, from| {
        let permitted = forwards::permitted(from)?;
        to.permit_remote_open.get_or_insert(permitted);
        Ok(())
    }),
    ("Port", |to, from| first(&mut to.port, from, port)),
    ("ProxyCommand", |to, from| {
        // Jump hosts that were named before put `none` here.
        first(&mut to.proxy_command, from, text)
    }),
    ("ProxyJump", |to, from| jump::set(to, &only(from))),
    ("PubkeyAuthentication", |to, from| {
        first(&mut to.pubkey_authentication, from, yes_no)
    }),
    ("RekeyLimit", |to, from| {
        let limit = rekey_limit(from)?;
        to.rekey_limit = Some(to.rekey_limit.map_or(limit, |first| first.or_later(limit)));
        Ok(())
    }),
    ("RemoteForward", |to, from| {
        let spec = match from {
            [listen] => forwards::remote(listen)?,
            _ => forwards::remote(&pair(from)?)?,
        };
        if !to.remote_forwards.contains(&spec) {
            to.remote_forwards.push(spec);
        }
        Ok(())
    }),
    ("RequestTTY", |to, from| {
        first(&mut to.request_tty, from, request_tty)
    }),
    ("RequiredRSASize", |to, from| {
        first(&mut to.required_rsa_size, from, bits)
    }),
    ("SendEnv", |to, from| send_env(&mut to.send_env, from)),
    ("ServerAliveCountMax", |to, from| {
        first(&mut to.server_alive_count_max, from, count)
    }),
    ("ServerAliveInterval", |to, from| {
        first(&mut to.server_alive_interval, from, timeout)
    }),
    ("SessionType", |to, from| {
        first(&mut to.session_type, from, session_type)
    }),
    ("SetEnv", |to, from| set_env(&mut to.set_env, from)),
    ("StdinNull", |to, from| first(&mut to.stdin_null, from, yes_no)),
    ("StreamLocalBindMask", |to, from| {
        first(&mut to.stream_local_bind_mask, from, bind_mask)
    }),
    ("StreamLocalBindUnlink", |to, from| {
        first(&mut to.stream_local_bind_unlink, from, yes_no)
    }),
    ("StrictHostKeyChecking", |to, from| {
        first(&mut to.strict_host_key_checking, from, strictness)
    }),
    ("TCPKeepAlive", |to, from| {
        first(&mut to.tcp_keep_alive, from, yes_no)
    }),
    ("Tunnel", |to, from| first(&mut to.tunnel, from, tunnel)),
    ("TunnelDevice", |to, from| {
        first(&mut to.tunnel_device, from, tunnel_device)
    }),
    ("User", |to, from| first(&mut to.user, from, text)),
    ("UserKnownHostsFile", |to, from| {
        files(&mut to.user_known_hosts_files, from)
    }),
    ("VersionAddendum", |to, from| {
        let text = version_addendum(from)?;
        to.version_addendum.get_or_insert(text);
        Ok(())
    }),
    ("WarnWeakCrypto", |to, from| {
        first(&mut to.warn_weak_crypto, from, warn_weak_crypto)
    }),
    ("XAuthLocation", |to, from| {
        first(&mut to.x_auth_location, from, text)
    }),
];

fn first<T>(
    place: &mut Option<T>,
    arguments: &[String],
    parse: fn(&str) -> Result<T, ValueError>,
) -> Result<(), ValueError> {
    let value = parse(arguments.first().map(String::as_str).unwrap_or_default())?;
    place.get_or_insert(value);
    Ok(())
}

/// The only argument of a keyword that takes one.
fn only(arguments: &[String]) -> String {
    arguments.first().cloned().unwrap_or_default()
}

/// `listen target` as `listen:target`, which is how the command line writes it.
fn pair(arguments: &[String]) -> Result<String, ValueError> {
    match arguments {
        [listen, target] => Ok(format!("{listen}:{target}")),
        _ => Err(wrong(
            &arguments.join(" "),
            "where to listen, then where to connect",
        )),
    }
}

fn local_forward(to: &mut Options, spec: ForwardSpec) -> Result<(), ValueError> {
    if !to.local_forwards.contains(&spec) {
        to.local_forwards.push(spec);
    }
    Ok(())
}

/// Patterns add up; one behind a `-` takes those away that it fits and that were named before.
fn send_env(place: &mut Vec<String>, arguments: &[String]) -> Result<(), ValueError> {
    if let Some(bad) = arguments
        .iter()
        .find(|each| each.is_empty() || each.contains('='))
    {
        return Err(wrong(bad, "the name of a variable, or a pattern"));
    }
    for argument in arguments {
        match argument.strip_prefix('-') {
            Some(gone) => place.retain(|each| !matches(gone.as_bytes(), each.as_bytes())),
            None => place.push(argument.clone()),
        }
    }
    Ok(())
}

fn text(value: &str) -> Result<String, ValueError> {
    if value.is_empty() {
        Err(wrong(value, "a value"))
    } else {
        Ok(value.to_owned())
    }
}

fn preset(value: &str) -> Result<Preset, ValueError> {
    value.parse().map_err(|_| wrong(value, "narrow, wide or legacy"))
}

fn port(value: &str) -> Result<u16, ValueError> {
    services::tcp_port(value)
        .filter(|port| *port != 0)
        .ok_or_else(|| wrong(value, "a port from 1 to 65535"))
}

fn count(value: &str) -> Result<u32, ValueError> {
    value.parse().map_err(|_| wrong(value, "a whole number"))
}

fn bits(value: &str) -> Result<usize, ValueError> {
    value.parse().map_err(|_| wrong(value, "a whole number"))
}

fn timeout(value: &str) -> Result<Duration, ValueError> {
    if value.eq_ignore_ascii_case("none") {
        Ok(Duration::ZERO)
    } else {
        seconds(value)
    }
}

fn files(place: &mut Option<Vec<String>>, arguments: &[String]) -> Result<(), ValueError> {
    place.get_or_insert_with(|| match arguments {
        [only] if only.eq_ignore_ascii_case("none") => Vec::new(),
        names => names.to_vec(),
    });
    Ok(())
}

fn set_env(place: &mut Vec<(String, String)>, arguments: &[String]) -> Result<(), ValueError> {
    let pairs: Vec<_> = arguments
        .iter()
        .map(|argument| {
            argument
                .split_once('=')
                .ok_or_else(|| wrong(argument, "of the form NAME=value"))
        })
        .collect::<Result<_, _>>()?;
    if place.is_empty() {
        place.extend(
            pairs
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value.to_owned())),
        );
    }
    Ok(())
}

fn strictness(value: &str) -> Result<StrictHostKeyChecking, ValueError> {
    match value.to_ascii_lowercase().as_str() {
        "yes" | "true" => Ok(StrictHostKeyChecking::Yes),
        "ask" => Ok(StrictHostKeyChecking::Ask),
        "accept-new" => Ok(StrictHostKeyChecking::AcceptNew),
        "no" | "off" | "false" => Ok(StrictHostKeyChecking::No),
        _ => Err(wrong(value, "yes, no, ask, off or accept-new")),
    }
}
