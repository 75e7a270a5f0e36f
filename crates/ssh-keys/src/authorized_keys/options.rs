//! The options before a key: their grammar, and what they add up to.

use core::net::IpAddr;

use super::{AddressPatterns, ExpiryTime};
use crate::LineProblem;
use crate::error::shown;
use crate::public_key::is_blank;

/// Most `environment` options of a line.
pub const MAX_ENVIRONMENT: usize = 1024;
/// Most `permitopen` options of a line, and most `permitlisten` options.
pub const MAX_FORWARD_TARGETS: usize = 4096;

/// What a key may be used for: the sum of its options, in their order. The default forbids nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KeyOptions {
    /// `command`: runs instead of whatever the client asks for.
    pub command: Option<Vec<u8>>,
    /// `environment`: names and values; of several with one name the first is in force, and the only one here.
    pub environment: Vec<(String, Vec<u8>)>,
    /// `from`: the addresses the key may be used from.
    pub from: Option<AddressPatterns>,
    /// `permitopen`: where forwarded connections may go; empty is anywhere.
    pub permit_open: Vec<ForwardTarget>,
    /// `permitlisten`: where the server may listen for the client; empty is anywhere.
    pub permit_listen: Vec<ForwardTarget>,
    /// `principals`: the names a certificate must carry, on `cert-authority` lines; empty is unsaid.
    pub principals: Vec<String>,
    /// `expiry-time`: when the key stops being accepted; of several the earliest.
    pub expiry_time: Option<ExpiryTime>,
    /// `tunnel`: the device a tunnel must use.
    pub tunnel: Option<TunnelDevice>,
    /// `cert-authority`: the key signs certificates, and does not log in itself.
    pub cert_authority: bool,
    /// No terminal may be allocated.
    pub no_pty: bool,
    /// Nothing may be forwarded, in either direction.
    pub no_port_forwarding: bool,
    /// The agent may not be forwarded.
    pub no_agent_forwarding: bool,
    /// X11 may not be forwarded.
    pub no_x11_forwarding: bool,
    /// `~/.ssh/rc` is not run.
    pub no_user_rc: bool,
    /// `no-touch-required`: a signature of a security key counts without its owner's touch.
    pub no_touch_required: bool,
    /// `verify-required`: a signature of a security key counts only if its owner was verified.
    pub verify_required: bool,
}

/// A host and a port of `permitopen` or `permitlisten`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForwardTarget {
    /// The host, compared as it is written; `None` is any (`*`).
    pub host: Option<String>,
    /// The port; `None` is any (`*`).
    pub port: Option<u16>,
}

/// The value of the option `tunnel`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TunnelDevice {
    /// Any device.
    Any,
    /// The device of this number.
    Number(u32),
}

impl KeyOptions {
    /// Whether the key may be used from this address: always without `from`. See [`AddressPatterns::allows`].
    pub fn allows_address(&self, address: IpAddr) -> bool {
        self.from.as_ref().is_none_or(|from| from.allows(address))
    }

    /// Whether the key has expired; see [`ExpiryTime::has_passed`] for the arguments.
    pub fn expired(&self, unix_seconds: i64, local_offset_seconds: i32) -> bool {
        self.expiry_time
            .is_some_and(|time| time.has_passed(unix_seconds, local_offset_seconds))
    }

    /// Whether a connection may be forwarded to `host` and `port`.
    pub fn allows_open(&self, host: &str, port: u16) -> bool {
        !self.no_port_forwarding && allows_target(&self.permit_open, host, port)
    }

    /// Whether the server may listen at `host` and `port` for the client.
    pub fn allows_listen(&self, host: &str, port: u16) -> bool {
        !self.no_port_forwarding && allows_target(&self.permit_listen, host, port)
    }

    fn set_flag(&mut self, name: &str) -> bool {
        let (plain, negated) = match name.strip_prefix("no-") {
            Some(plain) => (plain, true),
            None => (name, false),
        };
        match plain {
            "pty" => self.no_pty = negated,
            "port-forwarding" => self.no_port_forwarding = negated,
            "agent-forwarding" => self.no_agent_forwarding = negated,
            "x11-forwarding" => self.no_x11_forwarding = negated,
            "user-rc" => self.no_user_rc = negated,
            "touch-required" => self.no_touch_required = negated,
            "verify-required" => self.verify_required = !negated,
            "restrict" if !negated => self.restrict(),
            "cert-authority" if !negated => self.cert_authority = true,
            _ => return false,
        }
        true
    }

    /// `restrict`: everything that can be forbidden is, until a later option of the line allows it again.
    const fn restrict(&mut self) {
        self.no_pty = true;
        self.no_port_forwarding = true;
        self.no_agent_forwarding = true;
        self.no_x11_forwarding = true;
        self.no_user_rc = true;
    }

    /// Sets an option with a value; `Ok(false)` if there is none of that name.
    fn set_value(&mut self, name: &str, value: Vec<u8>) -> Result<bool, &'static str> {
        match name {
            "command" => once(&mut self.command, value)?,
            "from" => once(&mut self.from, AddressPatterns::parse(&value)?)?,
            "environment" => self.add_environment(&value)?,
            "permitopen" => add_target(&mut self.permit_open, ForwardTarget::parse(text(&value)?, false)?)?,
            "permitlisten" => add_target(
                &mut self.permit_listen,
                ForwardTarget::parse(text(&value)?, true)?,
            )?,
            "principals" => self.set_principals(text(&value)?)?,
            "expiry-time" => {
                let time = ExpiryTime::parse(text(&value)?).ok_or("is not a time")?;
                self.expiry_time = Some(self.expiry_time.map_or(time, |other| other.earlier(time)));
            }
            "tunnel" => once(&mut self.tunnel, TunnelDevice::parse(text(&value)?)?)?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn add_environment(&mut self, value: &[u8]) -> Result<(), &'static str> {
        let at = value.iter().position(|&byte| byte == b'=').ok_or("has no =")?;
        let (name, value) = value.split_at_checked(at).unwrap_or_default();
        let name = text(name)?;
        if name.is_empty()
            || !name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        {
            return Err("names no variable");
        }
        if self.environment.len() >= MAX_ENVIRONMENT {
            return Err("stands too often");
        }
        if self.environment.iter().all(|(other, _)| other != name) {
            let value = value.strip_prefix(b"=").unwrap_or_default();
            self.environment.push((name.to_owned(), value.to_vec()));
        }
        Ok(())
    }

    fn set_principals(&mut self, value: &str) -> Result<(), &'static str> {
        if !self.principals.is_empty() {
            return Err("stands twice");
        }
        self.principals = value.split(',').map(str::to_owned).collect();
        if self.principals.iter().any(String::is_empty) {
            Err("holds an empty name")
        } else {
            Ok(())
        }
    }
}

impl ForwardTarget {
    /// Reads `host:port`, with IPv6 addresses in brackets; with `bare_port` also a port alone.
    fn parse(value: &str, bare_port: bool) -> Result<Self, &'static str> {
        let (host, port) = match value.rsplit_once(':') {
            Some(parts) => parts,
            None if bare_port => ("*", value),
            None => return Err("has no port"),
        };
        let host = match host.strip_prefix('[') {
            Some(bracketed) => bracketed.strip_suffix(']').ok_or("has an open bracket")?,
            None if host.contains(':') => return Err("holds an IPv6 address without brackets"),
            None => host,
        };
        if host.is_empty() {
            return Err("has no host");
        }
        let port = match port {
            "*" => None,
            digits => Some(
                digits
                    .parse()
                    .ok()
                    .filter(|&port| port != 0)
                    .ok_or("has no valid port")?,
            ),
        };
        Ok(Self {
            host: (host != "*").then(|| host.to_owned()),
            port,
        })
    }

    fn allows(&self, host: &str, port: u16) -> bool {
        self.host.as_ref().is_none_or(|allowed| allowed == host)
            && self.port.is_none_or(|allowed| allowed == port)
    }
}

impl TunnelDevice {
    fn parse(value: &str) -> Result<Self, &'static str> {
        if value.eq_ignore_ascii_case("any") {
            return Ok(Self::Any);
        }
        value
            .parse()
            .map(Self::Number)
            .map_err(|_| "is neither a number nor any")
    }
}

/// Reads the options at the start of `line`, which is left at the blank behind them.
pub(super) fn parse(line: &mut &[u8]) -> Result<KeyOptions, LineProblem> {
    let mut options = KeyOptions::default();
    loop {
        let raw_name = take_name(line);
        let name = raw_name.to_ascii_lowercase();
        let value = match line.split_first() {
            Some((b'=', rest)) => {
                *line = rest;
                Some(take_quoted(line).map_err(|problem| bad(raw_name, problem))?)
            }
            _ => None,
        };
        apply(&mut options, raw_name, &String::from_utf8_lossy(&name), value)?;
        match line.split_first() {
            Some((b',', rest)) if rest.first().is_some_and(|&byte| !is_blank(byte)) => *line = rest,
            Some((b',', _)) => return Err(LineProblem::BadOptions("ended by a comma")),
            Some((&byte, _)) if !is_blank(byte) => {
                return Err(LineProblem::BadOptions("not separated by commas"));
            }
            _ => return Ok(options),
        }
    }
}

fn apply(
    options: &mut KeyOptions,
    raw: &[u8],
    name: &str,
    value: Option<Vec<u8>>,
) -> Result<(), LineProblem> {
    let known = match value {
        Some(value) => options
            .set_value(name, value)
            .map_err(|problem| bad(raw, problem))?,
        None => options.set_flag(name),
    };
    if known {
        Ok(())
    } else {
        Err(LineProblem::UnknownOption(shown(raw)))
    }
}

fn bad(name: &[u8], problem: &'static str) -> LineProblem {
    LineProblem::BadOption {
        option: shown(name),
        problem,
    }
}

fn take_name<'a>(line: &mut &'a [u8]) -> &'a [u8] {
    let end = line
        .iter()
        .position(|&byte| byte == b'=' || byte == b',' || is_blank(byte))
        .unwrap_or(line.len());
    let (name, rest) = line.split_at_checked(end).unwrap_or_default();
    *line = rest;
    name
}

/// A quoted value, in which a backslash before a quote makes it part of the value; every other backslash is itself.
fn take_quoted(line: &mut &[u8]) -> Result<Vec<u8>, &'static str> {
    let mut rest = line.strip_prefix(b"\"").ok_or("has no quoted value")?;
    let mut value = Vec::new();
    loop {
        rest = match rest {
            [b'\\', b'"', after @ ..] => {
                value.push(b'"');
                after
            }
            [b'"', after @ ..] => {
                *line = after;
                return Ok(value);
            }
            [byte, after @ ..] => {
                value.push(*byte);
                after
            }
            [] => return Err("has no closing quote"),
        };
    }
}

fn text(value: &[u8]) -> Result<&str, &'static str> {
    std::str::from_utf8(value).map_err(|_| "is not UTF-8")
}

/// Sets what may be said only once: which of two commands was meant, nobody can tell.
fn once<T>(place: &mut Option<T>, value: T) -> Result<(), &'static str> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err("stands twice"),
    }
}

fn add_target(targets: &mut Vec<ForwardTarget>, target: ForwardTarget) -> Result<(), &'static str> {
    if targets.len() >= MAX_FORWARD_TARGETS {
        return Err("stands too often");
    }
    targets.push(target);
    Ok(())
}

fn allows_target(targets: &[ForwardTarget], host: &str, port: u16) -> bool {
    targets.is_empty() || targets.iter().any(|target| target.allows(host, port))
}
