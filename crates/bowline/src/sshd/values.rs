//! How the values of sshd_config(5) are read, and where they go. What both programs read alike is
//! [`ssh_client::config_file`].

use std::time::Duration;

use ssh_client::config_file::{ValueError, seconds};
use ssh_client::kex::Preset;
use ssh_server::{ChannelTimeouts, GatewayPorts, MaxStartups, PermitTunnel};

pub(super) fn first<T>(
    place: &mut Option<T>,
    arguments: &[String],
    parse: fn(&str) -> Result<T, ValueError>,
) -> Result<(), ValueError> {
    let value = parse(arguments.first().map(String::as_str).unwrap_or_default())?;
    place.get_or_insert(value);
    Ok(())
}

pub(super) fn extend(place: &mut Vec<String>, arguments: &[String]) -> Result<(), ValueError> {
    place.extend_from_slice(arguments);
    Ok(())
}

pub(super) fn files(place: &mut Option<Vec<String>>, arguments: &[String]) -> Result<(), ValueError> {
    place.get_or_insert_with(|| match arguments {
        [only] if only.eq_ignore_ascii_case("none") => Vec::new(),
        names => names.to_vec(),
    });
    Ok(())
}

/// `NAME=value` each. The first line of them counts.
pub(super) fn set_env(
    place: &mut Option<Vec<(String, String)>>,
    arguments: &[String],
) -> Result<(), ValueError> {
    let mut variables = Vec::with_capacity(arguments.len());
    for each in arguments {
        match each.split_once('=') {
            Some((name, value)) if !name.is_empty() && !each.contains('\0') => {
                variables.push((name.to_owned(), value.to_owned()));
            }
            _ => return Err(wrong(each, "NAME=value")),
        }
    }
    place.get_or_insert(variables);
    Ok(())
}

pub(super) fn wrong(value: &str, wanted: &'static str) -> ValueError {
    ValueError {
        value: value.to_owned(),
        wanted: wanted.into(),
    }
}

pub(super) fn text(value: &str) -> Result<String, ValueError> {
    if value.is_empty() {
        Err(wrong(value, "a value"))
    } else {
        Ok(value.to_owned())
    }
}

pub(super) fn preset(value: &str) -> Result<Preset, ValueError> {
    value.parse().map_err(|_| wrong(value, "narrow, wide or legacy"))
}

pub(super) fn count(value: &str) -> Result<u32, ValueError> {
    value.parse().map_err(|_| wrong(value, "a whole number"))
}

pub(super) fn bits(value: &str) -> Result<usize, ValueError> {
    value.parse().map_err(|_| wrong(value, "a whole number"))
}

/// Unlike a client's, a server's port may be 0: the system chooses a free one.
pub(super) fn port(value: &str) -> Result<u16, ValueError> {
    value.parse().map_err(|_| wrong(value, "a port from 0 to 65535"))
}

/// The directions in which something may be forwarded, as seen from the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Directions {
    /// The client listens, the server connects.
    pub(crate) local: bool,
    /// The server listens, the client connects.
    pub(crate) remote: bool,
}

impl Directions {
    /// Both: what nobody has forbidden.
    pub(crate) const ALL: Self = Self {
        local: true,
        remote: true,
    };
}

pub(super) fn directions(value: &str) -> Result<Directions, ValueError> {
    let (local, remote) = match value.to_ascii_lowercase().as_str() {
        "yes" | "all" => (true, true),
        "no" => (false, false),
        "local" => (true, false),
        "remote" => (false, true),
        _ => return Err(wrong(value, "yes, no, all, local or remote")),
    };
    Ok(Directions { local, remote })
}

pub(super) fn gateway_ports(value: &str) -> Result<GatewayPorts, ValueError> {
    match value.to_ascii_lowercase().as_str() {
        "no" => Ok(GatewayPorts::No),
        "yes" => Ok(GatewayPorts::Yes),
        "clientspecified" => Ok(GatewayPorts::ClientSpecified),
        _ => Err(wrong(value, "yes, no or clientspecified")),
    }
}

/// Which tunnels there may be. Where there are no devices, who asks for one hears it at the start.
pub(super) fn tunnel(value: &str) -> Result<PermitTunnel, ValueError> {
    let permit = match value.to_ascii_lowercase().as_str() {
        "no" => return Ok(PermitTunnel::No),
        "yes" => PermitTunnel::Yes,
        "point-to-point" => PermitTunnel::PointToPoint,
        "ethernet" => PermitTunnel::Ethernet,
        _ => return Err(wrong(value, "yes, point-to-point, ethernet or no")),
    };
    if cfg!(all(feature = "tunnel", target_os = "linux")) {
        return Ok(permit);
    }
    Err(wrong(
        value,
        "no, which is all there is: this server has no tunnel devices",
    ))
}

/// A mask of file modes, in octal digits.
pub(super) fn mask(value: &str) -> Result<u32, ValueError> {
    u32::from_str_radix(value, 8)
        .ok()
        .filter(|mask| *mask <= 0o777 && value.bytes().all(|byte| byte.is_ascii_digit()))
        .ok_or_else(|| wrong(value, "an octal mask from 0 to 0777"))
}

pub(super) fn display(value: &str) -> Result<u16, ValueError> {
    value.parse().map_err(|_| wrong(value, "the number of a display"))
}

/// `none`, or a time; 0 is none too.
pub(super) fn time_or_none(value: &str) -> Result<Option<Duration>, ValueError> {
    if value.eq_ignore_ascii_case("none") {
        return Ok(None);
    }
    seconds(value).map(|time| Some(time).filter(|time| !time.is_zero()))
}

/// `type=time …`, or `none`.
pub(super) fn channel_timeouts(arguments: &[String]) -> Result<ChannelTimeouts, ValueError> {
    if let [only] = arguments
        && only.eq_ignore_ascii_case("none")
    {
        return Ok(ChannelTimeouts::default());
    }
    let mut timeouts = ChannelTimeouts::default();
    for argument in arguments {
        match argument.split_once('=') {
            Some((kind, time)) if !kind.is_empty() => timeouts = timeouts.with(kind, seconds(time)?),
            _ => return Err(wrong(argument, "a type of channels, = and a time")),
        }
    }
    Ok(timeouts)
}

/// `delayed` is what `yes` has come to mean: compression begins after login, or not at all.
pub(super) fn compression(value: &str) -> Result<bool, ValueError> {
    match value.to_ascii_lowercase().as_str() {
        "yes" | "delayed" => Ok(true),
        "no" => Ok(false),
        _ => Err(wrong(value, "yes, delayed or no")),
    }
}

pub(super) fn max_startups(value: &str) -> Result<MaxStartups, ValueError> {
    value
        .parse()
        .map_err(|_| wrong(value, "a number, or start:rate:full"))
}

pub(super) fn subsystem(place: &mut Vec<(String, String)>, arguments: &[String]) -> Result<(), ValueError> {
    match arguments.split_first() {
        Some((name, command)) if !command.is_empty() => {
            if !place.iter().any(|(known, _)| known == name) {
                place.push((name.clone(), command.join(" ")));
            }
            Ok(())
        }
        _ => Err(wrong(&arguments.join(" "), "a name and a command")),
    }
}
