//! `ProxyJump`: the hosts that are passed on the way, `[user@]host[:port]` or an `ssh` URI each.

use super::options::Options;
use super::values::{ValueError, wrong};

/// The most hosts on a way; each is a connection of its own.
const MAX_JUMPS: usize = 32;

/// A host on the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JumpHost {
    /// As whom; `None` leaves it to the host's own configuration.
    pub user: Option<String>,
    /// The name or address.
    pub host: String,
    /// `None` leaves it to the host's own configuration.
    pub port: Option<u16>,
}

/// Takes `ProxyJump` over: whichever of it and `ProxyCommand` stands first counts, as in OpenSSH.
pub(super) fn set(to: &mut Options, value: &str) -> Result<(), ValueError> {
    let hosts = jump_hosts(value)?;
    if to.proxy_jump.is_some() {
        return Ok(());
    }
    if hosts.is_empty() {
        to.proxy_jump = Some(hosts);
    } else if to.proxy_command.is_none() {
        to.proxy_jump = Some(hosts);
        to.proxy_command = Some("none".to_owned());
    }
    Ok(())
}

/// The hosts in the order they are passed; none for `none`. A comment may stand behind them.
///
/// # Errors
/// A host that is not of the form, or whose name could be taken for something else; too many of them.
pub fn jump_hosts(value: &str) -> Result<Vec<JumpHost>, ValueError> {
    let value = value.split('#').next().unwrap_or_default().trim();
    let value = match value.strip_prefix('"').and_then(|inner| inner.strip_suffix('"')) {
        Some(inner) => inner,
        None => value,
    };
    if value.eq_ignore_ascii_case("none") {
        return Ok(Vec::new());
    }
    let wanted = "hosts of the form [user@]host[:port], with commas between them";
    let hosts: Option<Vec<_>> = value.split(',').map(jump_host).collect();
    hosts
        .filter(|hosts| hosts.len() <= MAX_JUMPS)
        .ok_or_else(|| wrong(value, wanted))
}

fn jump_host(word: &str) -> Option<JumpHost> {
    let word = word.strip_prefix("ssh://").unwrap_or(word);
    let (user, place) = match word.rsplit_once('@') {
        Some((user, place)) => (Some(user), place),
        None => (None, word),
    };
    let (host, port) = match place.strip_prefix('[').and_then(|inner| inner.split_once(']')) {
        Some((host, "")) => (host, None),
        Some((host, rest)) => (host, Some(rest.strip_prefix(':')?)),
        None => match place.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (place, None),
        },
    };
    let port = match port {
        None => None,
        Some(text) => Some(text.parse().ok().filter(|port: &u16| *port != 0)?),
    };
    let is_harmless = |text: &str, marks: &str| {
        let bad = |each: char| each.is_control() || each.is_whitespace() || marks.contains(each);
        !text.is_empty() && !text.starts_with('-') && !text.contains(bad)
    };
    // A token may stand in either, so that one line serves many hosts.
    let is_good = is_harmless(host, "'`\"$\\;&<>|(){},@/[]")
        && user.is_none_or(|user| is_harmless(user, "'`\"$;&<>|(){}") && !user.ends_with('\\'));
    is_good.then(|| JumpHost {
        user: user.map(str::to_owned),
        host: host.to_owned(),
        port,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config_file::split_option;

    #[test]
    fn hosts_in_every_form() {
        let shown = |value: &str| {
            let hosts = jump_hosts(value).unwrap();
            let line = |host: JumpHost| {
                format!(
                    "{}/{}/{}",
                    host.user.unwrap_or_default(),
                    host.host,
                    host.port.unwrap_or(0)
                )
            };
            hosts.into_iter().map(line).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(shown("h"), "/h/0");
        assert_eq!(shown("u@h:22,[::1]:23,ssh://a@b@c:24"), "u/h/22 /::1/23 a@b/c/24");
        assert_eq!(shown("[::1]"), "/::1/0");
        assert_eq!(shown("h # the usual one"), "/h/0");
        assert_eq!(shown("None"), "");
        for bad in [
            "", "h:", "h:0", "h:99999", "a,,b", "-oX@h", "-h", "u@", "[::1", "[::1]x", "h;x", "$(x)@h",
            "a b", "h/p",
        ] {
            assert!(jump_hosts(bad).is_err(), "{bad:?}");
        }
        assert!(jump_hosts(&vec!["h"; MAX_JUMPS].join(",")).is_ok());
        assert!(jump_hosts(&vec!["h"; MAX_JUMPS + 1].join(",")).is_err());
    }

    #[test]
    fn a_command_or_jumps_count_by_what_stands_first() {
        let set = |lines: &[&str]| {
            let mut options = Options::default();
            for line in lines {
                options.set(&split_option(line).unwrap().unwrap()).unwrap();
            }
            let jumps = options.proxy_jump.map(|hosts| hosts.len());
            (options.proxy_command, jumps)
        };
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(
            set(&["ProxyJump=a,b", "ProxyCommand=x y"]),
            (some("none"), Some(2))
        );
        assert_eq!(
            set(&["ProxyCommand x \"y\" # z", "ProxyJump a"]),
            (some("x \"y\" # z"), None)
        );
        assert_eq!(set(&["ProxyJump none", "ProxyCommand x"]), (some("x"), Some(0)));
        assert_eq!(set(&["ProxyCommand none", "ProxyJump a"]), (some("none"), None));
    }
}
