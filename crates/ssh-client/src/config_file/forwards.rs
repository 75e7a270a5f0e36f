//! What is forwarded: `[bind_address:]port:host:hostport` and its kin, on the command line and in a file.
//!
//! ```text
//!  local    [bind:]port:host:hostport   [bind:]port:path   path:host:hostport   path:path
//!  remote   the same, and what dynamic takes
//!  dynamic  [bind:]port                 path
//! ```
//!
//! A field in `[` and `]` is taken as it stands, so an IPv6 address may be one; a backslash takes the meaning of a colon
//! behind it; a field with a slash is a path; a port may be the name of a service. `${NAME}` stands for a variable of the
//! environment.

use super::services::tcp_port;
use super::values::{ValueError, wrong};
use crate::tokio_driver::MAX_SOCKET_PATH_BYTES;

/// Where connections are waited for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ForwardListen {
    /// A TCP port; 0, on the server's side alone, takes a free one.
    Tcp {
        /// `None` if nothing was said: the loopback, or everywhere where `GatewayPorts` says so. Empty or `*`: everywhere.
        host: Option<String>,
        /// The port.
        port: u16,
    },
    /// A Unix socket.
    Path(String),
}

/// Where they lead to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ForwardTarget {
    /// A host, by name or address, and its port.
    Tcp {
        /// The host.
        host: String,
        /// The port.
        port: u16,
    },
    /// A Unix socket.
    Path(String),
    /// Where each connection itself asks to be led, by SOCKS.
    Socks,
}

/// A forward that is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ForwardSpec {
    /// Where connections are waited for.
    pub listen: ForwardListen,
    /// Where they lead to.
    pub target: ForwardTarget,
}

/// `PermitRemoteOpen`: where a dynamic forward on the server's side may lead to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PermitRemoteOpen {
    /// Anywhere.
    Any,
    /// To these hosts (patterns) and ports (`None` for any); to none if there are none.
    Only(Vec<(String, Option<u16>)>),
}

/// The longest host name (`NI_MAXHOST` less its end), in bytes.
const MAX_HOST_BYTES: usize = 1024;
/// The most entries of `PermitRemoteOpen`.
const MAX_PERMITTED: usize = 4096;

/// What `-L` and `LocalForward` take.
///
/// # Errors
/// Any other form.
pub fn local(text: &str) -> Result<ForwardSpec, ValueError> {
    let spec = parse(text, false).filter(is_for_this_side).ok_or_else(|| {
        wrong(
            text,
            "[bind_address:]port:host:hostport or a path in place of either pair",
        )
    });
    short_enough(spec?)
}

/// What `-D` and `DynamicForward` take.
///
/// # Errors
/// Any other form.
pub fn dynamic(text: &str) -> Result<ForwardSpec, ValueError> {
    let spec = parse(text, true)
        .filter(is_for_this_side)
        .ok_or_else(|| wrong(text, "[bind_address:]port"));
    short_enough(spec?)
}

/// What `-R` and `RemoteForward` take.
///
/// # Errors
/// Any other form.
pub fn remote(text: &str) -> Result<ForwardSpec, ValueError> {
    let spec = parse(text, false).or_else(|| parse(text, true)).ok_or_else(|| {
        wrong(
            text,
            "[bind_address:]port[:host:hostport] or a path in place of either pair",
        )
    });
    short_enough(spec?)
}

/// What `PermitRemoteOpen` takes: `any`, `none`, or hosts with their ports.
pub(super) fn permitted(words: &[String]) -> Result<PermitRemoteOpen, ValueError> {
    let fail = |word: &str| wrong(word, "any, none, or a list of host:port");
    match words {
        [only] if only.eq_ignore_ascii_case("any") => return Ok(PermitRemoteOpen::Any),
        [only] if only.eq_ignore_ascii_case("none") => return Ok(PermitRemoteOpen::Only(Vec::new())),
        [] => return Err(fail("")),
        words if words.len() > MAX_PERMITTED => return Err(fail("so long a list")),
        _ => {}
    }
    let entry = |word: &String| {
        let (host, port) = word.rsplit_once(':').filter(|(host, _)| !host.is_empty())?;
        let host = host
            .strip_prefix('[')
            .and_then(|inner| inner.strip_suffix(']'))
            .unwrap_or(host);
        let port = match port {
            "*" => None,
            number => Some(tcp_port(number).filter(|port| *port != 0)?),
        };
        Some((host.to_owned(), port))
    };
    let entries = words.iter().map(|word| entry(word).ok_or_else(|| fail(word)));
    Ok(PermitRemoteOpen::Only(entries.collect::<Result<_, _>>()?))
}

/// On this side no free port is chosen: nobody would be told which.
fn is_for_this_side(spec: &ForwardSpec) -> bool {
    !matches!(spec.listen, ForwardListen::Tcp { port: 0, .. })
}

/// A part between colons.
struct Field {
    text: String,
    is_path: bool,
}

impl Field {
    fn port(&self) -> Option<u16> {
        tcp_port(&self.text)
    }
}

fn parse(text: &str, is_dynamic: bool) -> Option<ForwardSpec> {
    let expanded = with_variables(text.trim_start())?;
    let (listen, target) = match fields(&expanded)?.as_slice() {
        [a] if is_dynamic && a.is_path => (path(a), ForwardTarget::Socks),
        [port] if is_dynamic => (tcp(None, port)?, ForwardTarget::Socks),
        [a, b] if a.is_path && b.is_path => (path(a), ForwardTarget::Path(b.text.clone())),
        [port, b] if b.is_path => (tcp(None, port)?, ForwardTarget::Path(b.text.clone())),
        [host, port] if is_dynamic => (tcp(Some(host), port)?, ForwardTarget::Socks),
        _ if is_dynamic => return None,
        [a, host, port] if a.is_path => (path(a), target_tcp(host, port)?),
        [host, port, b] if b.is_path => (tcp(Some(host), port)?, ForwardTarget::Path(b.text.clone())),
        [port, host, host_port] => (tcp(None, port)?, target_tcp(host, host_port)?),
        [bind, port, host, host_port] => (tcp(Some(bind), port)?, target_tcp(host, host_port)?),
        _ => return None,
    };
    Some(ForwardSpec { listen, target })
}

fn path(field: &Field) -> ForwardListen {
    ForwardListen::Path(field.text.clone())
}

fn tcp(host: Option<&Field>, port: &Field) -> Option<ForwardListen> {
    Some(ForwardListen::Tcp {
        host: host.map(|field| field.text.clone()),
        port: port.port()?,
    })
}

fn target_tcp(host: &Field, port: &Field) -> Option<ForwardTarget> {
    Some(ForwardTarget::Tcp {
        host: host.text.clone(),
        port: port.port().filter(|port| *port != 0)?,
    })
}

/// A spec whose hosts and paths are not longer than those of any system: on either side, nothing could be had there.
fn short_enough(spec: ForwardSpec) -> Result<ForwardSpec, ValueError> {
    let (host, path) = match &spec.listen {
        ForwardListen::Tcp { host, .. } => (host.as_deref(), None),
        ForwardListen::Path(path) => (None, Some(path)),
    };
    let (far_host, far_path) = match &spec.target {
        ForwardTarget::Tcp { host, .. } => (Some(host.as_str()), None),
        ForwardTarget::Path(path) => (None, Some(path)),
        ForwardTarget::Socks => (None, None),
    };
    for host in host.into_iter().chain(far_host) {
        if host.len() > MAX_HOST_BYTES {
            return Err(wrong(host, format!("a host of at most {MAX_HOST_BYTES} bytes")));
        }
    }
    for path in path.into_iter().chain(far_path) {
        if path.len() > MAX_SOCKET_PATH_BYTES {
            let wanted = format!("a Unix socket's path of at most {MAX_SOCKET_PATH_BYTES} bytes");
            return Err(wrong(path, wanted));
        }
    }
    Ok(spec)
}

/// One to four fields; `None` for more, for none, and for a bracket that is not closed at a field's end.
fn fields(text: &str) -> Option<Vec<Field>> {
    let mut found = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        if found.len() == 4 {
            return None;
        }
        let (field, after) = match rest.strip_prefix('[') {
            Some(inner) => {
                let (text, after) = inner.split_once(']')?;
                let after = if after.is_empty() {
                    ""
                } else {
                    after.strip_prefix(':')?
                };
                (text.to_owned(), after)
            }
            None => plain_field(rest)?,
        };
        let is_path = field.contains('/');
        found.push(Field { text: field, is_path });
        rest = after;
    }
    (!found.is_empty()).then_some(found)
}

/// Up to the next colon that no backslash stands before.
fn plain_field(text: &str) -> Option<(String, &str)> {
    let mut field = String::new();
    let mut characters = text.chars();
    while let Some(each) = characters.next() {
        match each {
            ':' => break,
            '\\' => field.push(characters.next()?),
            _ => field.push(each),
        }
    }
    Some((field, characters.as_str()))
}

/// The text with each `${NAME}` replaced; `None` if there is no such variable.
fn with_variables(text: &str) -> Option<String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let (name, after) = after.split_once('}')?;
        out.push_str(before);
        out.push_str(&std::env::var(name).ok()?);
        rest = after;
    }
    out.push_str(rest);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(spec: &ForwardSpec) -> String {
        let listen = match &spec.listen {
            ForwardListen::Tcp { host: None, port } => port.to_string(),
            ForwardListen::Tcp {
                host: Some(host),
                port,
            } => format!("<{host}> {port}"),
            ForwardListen::Path(path) => path.clone(),
        };
        match &spec.target {
            ForwardTarget::Tcp { host, port } => format!("{listen} -> {host} {port}"),
            ForwardTarget::Path(path) => format!("{listen} -> {path}"),
            ForwardTarget::Socks => format!("{listen} -> socks"),
        }
    }

    #[test]
    fn local_forwards_in_every_form() {
        for (text, expected) in [
            ("8080:host:80", "8080 -> host 80"),
            (" 8080:host:80", "8080 -> host 80"),
            ("127.0.0.1:8080:host:80", "<127.0.0.1> 8080 -> host 80"),
            ("[::1]:8080:[fe80::1]:80", "<::1> 8080 -> fe80::1 80"),
            (":8080:host:80", "<> 8080 -> host 80"),
            ("*:8080:host:80", "<*> 8080 -> host 80"),
            ("8080:/run/s", "8080 -> /run/s"),
            ("*:8080:/run/s", "<*> 8080 -> /run/s"),
            ("/run/l:/run/s", "/run/l -> /run/s"),
            ("/run/l:host:80", "/run/l -> host 80"),
            ("/run/a\\:b:host:80", "/run/a:b -> host 80"),
            ("[/run/a:b]:host:80", "/run/a:b -> host 80"),
        ] {
            assert_eq!(
                local(text).map(|spec| shown(&spec)),
                Ok(expected.to_owned()),
                "{text}"
            );
        }
        for text in [
            "",
            "8080",
            "8080:host",
            "host:8080:80",
            "8080:host:0",
            "0:host:80",
            "8080:host:http:x",
            "8080:host:65536",
            "-1:host:80",
            "a:8080:host:80:b",
            "[::1:8080:host:80",
            "[::1]8080:host:80",
            "/run/s",
            "/run/s:80",
            "8080:host:80\\",
            "${BOWLINE_NOT_SET}:host:80",
        ] {
            assert!(local(text).is_err(), "{text}");
        }
    }

    #[test]
    fn ports_may_be_names_of_services() {
        let Some(ssh) = tcp_port("ssh") else {
            return eprintln!("skipped: this machine has no list of services");
        };
        assert_eq!(ssh, 22);
        let shown_as = |spec: Result<ForwardSpec, ValueError>| spec.map(|spec| shown(&spec)).unwrap();
        assert_eq!(shown_as(local("8080:host:ssh")), "8080 -> host 22");
        assert_eq!(shown_as(remote("ssh:host:ssh")), "22 -> host 22");
        assert_eq!(shown_as(dynamic("*:ssh")), "<*> 22 -> socks");
        assert_eq!(
            permitted(&["host:ssh".to_owned()]),
            Ok(PermitRemoteOpen::Only(vec![("host".to_owned(), Some(22))]))
        );
    }

    #[test]
    fn dynamic_and_remote_forwards() {
        for (text, expected) in [
            ("1080", "1080 -> socks"),
            ("*:1080", "<*> 1080 -> socks"),
            ("[::1]:1080", "<::1> 1080 -> socks"),
            ("/run/s", "/run/s -> socks"),
        ] {
            assert_eq!(
                dynamic(text).map(|spec| shown(&spec)),
                Ok(expected.to_owned()),
                "{text}"
            );
            assert_eq!(
                remote(text).map(|spec| shown(&spec)),
                Ok(expected.to_owned()),
                "{text}"
            );
        }
        for text in ["0", "1080:host:80", "x", "a:b", ""] {
            assert!(dynamic(text).is_err(), "{text}");
        }
        for (text, expected) in [
            ("0:host:80", "0 -> host 80"),
            ("0", "0 -> socks"),
            ("host:0", "<host> 0 -> socks"),
            (":8080:host:80", "<> 8080 -> host 80"),
            ("/run/l:/run/s", "/run/l -> /run/s"),
        ] {
            assert_eq!(
                remote(text).map(|spec| shown(&spec)),
                Ok(expected.to_owned()),
                "{text}"
            );
        }
    }

    #[test]
    fn hosts_and_paths_have_their_longest() {
        let host = |bytes: usize| format!("80:{}:80", "h".repeat(bytes));
        assert!(local(&host(MAX_HOST_BYTES)).is_ok());
        assert!(local(&host(MAX_HOST_BYTES + 1)).is_err());
        let path = |bytes: usize| format!("/{}", "p".repeat(bytes - 1));
        let (longest, longer) = (path(MAX_SOCKET_PATH_BYTES), path(MAX_SOCKET_PATH_BYTES + 1));
        let told = Err(format!(
            "{longer:?} is not a Unix socket's path of at most 107 bytes"
        ));
        let check = |parse: fn(&str) -> Result<ForwardSpec, ValueError>, before: &str, behind: &str| {
            assert!(parse(&format!("{before}{longest}{behind}")).is_ok());
            let refused = parse(&format!("{before}{longer}{behind}"));
            assert_eq!(refused.map(drop).map_err(|error| error.to_string()), told);
        };
        for parse in [local, remote] {
            check(parse, "80:", "");
            check(parse, "", ":host:80");
            check(parse, "/run/s:", "");
        }
        check(dynamic, "", "");
        check(remote, "", "");
    }

    #[test]
    fn variables_are_replaced() {
        // HOME is set wherever tests run; its path is one field.
        let Ok(home) = std::env::var("HOME") else { return };
        let spec = local("80:${HOME}/s").unwrap();
        assert_eq!(spec.target, ForwardTarget::Path(format!("{home}/s")));
    }

    #[test]
    fn what_a_remote_dynamic_forward_may_reach() {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(permitted(&words("ANY")), Ok(PermitRemoteOpen::Any));
        assert_eq!(permitted(&words("none")), Ok(PermitRemoteOpen::Only(Vec::new())));
        let expected = [("a".to_owned(), Some(80)), ("::1".to_owned(), None)];
        assert_eq!(
            permitted(&words("a:80 [::1]:*")),
            Ok(PermitRemoteOpen::Only(expected.into()))
        );
        for bad in ["a", "a:0", "any b:1", ":80", "a:x"] {
            assert!(permitted(&words(bad)).is_err(), "{bad}");
        }
        assert!(permitted(&vec!["a:1".to_owned(); MAX_PERMITTED + 1]).is_err());
    }
}
