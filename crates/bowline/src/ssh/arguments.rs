//! The command line of `bowline ssh`: ssh(1)'s flags.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use lexopt::Arg::{Long, Short, Value};
use ssh_client::AddressFamily;
use ssh_client::config_file::{
    self, ForwardAgent, ForwardListen, RequestTty, SessionType, Tunnel, jump_hosts,
};

use crate::arguments::{Common, Destination, destination, text};

/// What the command line asks for.
#[derive(Debug)]
pub(crate) struct Arguments {
    pub(crate) common: Common,
    pub(crate) destination: Destination,
    /// The words behind the host, joined by spaces as ssh(1) does; empty asks for a shell.
    pub(crate) command: Vec<u8>,
    /// `-W`: our standard streams lead there.
    pub(crate) stdio_forward: Option<ForwardListen>,
}

/// What is to be done.
#[derive(Debug)]
pub(crate) enum Wanted {
    /// `-Q`: tell which algorithms there are.
    Query(String),
    /// Log in.
    Login(Box<Arguments>),
}

pub(crate) const USAGE: &str =
    "usage: bowline ssh [-46AaCfgNnqsTtvXxY] [-b bind_address] [-c cipher] [-D [bind_address:]port]
                   [-E logfile] [-e escape_char] [-F configfile] [-i identity]
                   [-J destination] [-L forward] [-l user] [-m macs] [-o Key=value]
                   [-p port] [-R forward] [-W host:port] [-w local_tun[:remote_tun]]
                   [user@]host [command]
       bowline ssh -Q query";

/// Reads the command line. Flags may stand before and behind the host, until the command begins.
pub(crate) fn parse(words: Vec<OsString>) -> Result<Wanted, String> {
    let mut parser = lexopt::Parser::from_args(words);
    let mut common = Common::default();
    let mut stdio_forward = None;
    let mut host = None;
    let mut command: Vec<Vec<u8>> = Vec::new();
    while let Some(argument) = parser.next().map_err(usage)? {
        match argument {
            // Whatever stands behind it is not looked at, as in OpenSSH.
            Short('Q') => return Ok(Wanted::Query(text(parser.value().map_err(usage)?)?)),
            Short('q') => common.quiet = true,
            Short('v') => common.verbose = common.verbose.saturating_add(1),
            Short('W') => {
                let value = text(parser.value().map_err(usage)?)?;
                forward_stdio(&mut common, &mut stdio_forward, &value)?;
            }
            Short(letter @ ('D' | 'e' | 'J' | 'L' | 'R' | 'w')) => {
                let value = text(parser.value().map_err(usage)?)?;
                forward(&mut common, letter, &value)?;
            }
            Short(letter @ ('b' | 'c' | 'E' | 'F' | 'i' | 'l' | 'm' | 'o' | 'p')) => {
                let value = parser.value().map_err(usage)?;
                with_value(&mut common, letter, value)?;
            }
            Short(letter) if switch(&mut common, letter)? => {}
            Value(word) if host.is_none() => {
                host = Some(destination(&text(word)?, "ssh")?);
            }
            Value(word) => {
                command.push(word.as_bytes().to_vec());
                let rest = parser.raw_args().map_err(usage)?;
                command.extend(rest.map(|word| word.as_bytes().to_vec()));
            }
            Short(_) | Long(_) => return Err(usage(argument.unexpected())),
        }
    }
    let Some(destination) = host else {
        return Err(USAGE.to_owned());
    };
    if common.options.session_type == Some(SessionType::Subsystem) && command.is_empty() {
        return Err("You must specify a subsystem to invoke.".to_owned());
    }
    Ok(Wanted::Login(Box::new(Arguments {
        common,
        destination,
        command: command.join(&b' '),
        stdio_forward,
    })))
}

/// Flags without a value. Unlike options these win over every setting, as in OpenSSH. False for letters that are none.
fn switch(common: &mut Common, letter: char) -> Result<bool, String> {
    let options = &mut common.options;
    match letter {
        '4' => options.address_family = Some(AddressFamily::Inet),
        '6' => options.address_family = Some(AddressFamily::Inet6),
        'A' => options.forward_agent = Some(ForwardAgent::Yes),
        'a' => options.forward_agent = Some(ForwardAgent::No),
        'C' => options.compression = Some(true),
        'f' => {
            options.fork_after_authentication = Some(true);
            options.stdin_null = Some(true);
        }
        'g' => options.gateway_ports = Some(true),
        'N' => {
            if !matches!(options.session_type, None | Some(SessionType::None)) {
                return Err("Cannot specify -N with -s/SessionType".to_owned());
            }
            options.session_type = Some(SessionType::None);
            options.request_tty = Some(RequestTty::No);
        }
        'n' => options.stdin_null = Some(true),
        's' => {
            if !matches!(options.session_type, None | Some(SessionType::Subsystem)) {
                return Err("Cannot specify -s with -N/SessionType".to_owned());
            }
            options.session_type = Some(SessionType::Subsystem);
        }
        'T' => options.request_tty = Some(RequestTty::No),
        't' if options.request_tty == Some(RequestTty::Yes) => options.request_tty = Some(RequestTty::Force),
        't' => options.request_tty = Some(RequestTty::Yes),
        'X' => options.forward_x11 = Some(true),
        'x' => options.forward_x11 = Some(false),
        'Y' => {
            options.forward_x11 = Some(true);
            options.forward_x11_trusted = Some(true);
        }
        _ => return Ok(false),
    }
    Ok(true)
}

fn with_value(common: &mut Common, letter: char, value: OsString) -> Result<(), String> {
    match letter {
        'F' => common.config(value),
        'E' => common.log_file = Some(value.into()),
        'b' => common.options.bind_address = Some(text(value)?),
        'o' => return common.option(&text(value)?),
        'c' => return common.flag("Ciphers", &text(value)?),
        'i' => return common.flag("IdentityFile", &text(value)?),
        'l' => return common.flag("User", &text(value)?),
        'm' => return common.flag("MACs", &text(value)?),
        'p' => return common.flag("Port", &text(value)?),
        _ => return Err(format!("the flag -{letter} is not supported")),
    }
    Ok(())
}

/// The flags about what is forwarded and how to get there, with OpenSSH's words for their mistakes.
fn forward(common: &mut Common, letter: char, value: &str) -> Result<(), String> {
    let bad = |kind: &str| format!("Bad {kind} forwarding specification '{value}'");
    let options = &mut common.options;
    match letter {
        'J' => return jump(common, value),
        'e' => {
            let parsed = config_file::escape_char(value);
            options.escape_char = Some(parsed.map_err(|_| format!("Bad escape character '{value}'."))?);
        }
        'R' => {
            let spec = config_file::remote(value).map_err(|_| bad("remote"))?;
            if !options.remote_forwards.contains(&spec) {
                options.remote_forwards.push(spec);
            }
        }
        'w' => {
            options.tunnel = options.tunnel.or(Some(Tunnel::PointToPoint));
            let device =
                config_file::tunnel_device(value).map_err(|_| format!("Bad tun device '{value}'"))?;
            options.tunnel_device = Some(device);
        }
        _ => {
            let parsed = if letter == 'D' {
                config_file::dynamic(value).map_err(|_| bad("dynamic"))
            } else {
                config_file::local(value).map_err(|_| bad("local"))
            };
            let spec = parsed?;
            if !options.local_forwards.contains(&spec) {
                options.local_forwards.push(spec);
            }
        }
    }
    Ok(())
}

fn jump(common: &mut Common, value: &str) -> Result<(), String> {
    if common.options.proxy_jump.is_some() {
        return Err(
            "Only a single -J option is permitted (use commas to separate multiple jump hops)".to_owned(),
        );
    }
    if common.options.proxy_command.is_some() {
        return Err("Cannot specify -J with ProxyCommand".to_owned());
    }
    jump_hosts(value).map_err(|error| format!("{error}\nInvalid -J argument"))?;
    common.flag("ProxyJump", value)
}

/// `-W` is `-N` and `-T`, too; and other forwards are left out, unless an option says otherwise.
fn forward_stdio(common: &mut Common, place: &mut Option<ForwardListen>, value: &str) -> Result<(), String> {
    if place.is_some() {
        return Err("stdio forward already specified".to_owned());
    }
    let parsed = config_file::dynamic(value).ok().map(|spec| spec.listen);
    // A port alone is no place: where would it be?
    let target = parsed.filter(|listen| !matches!(listen, ForwardListen::Tcp { host: None, .. }));
    *place = Some(target.ok_or_else(|| format!("Bad stdio forwarding specification '{value}'"))?);
    common.options.request_tty = Some(RequestTty::No);
    common.options.session_type = Some(SessionType::None);
    Ok(())
}

fn usage(error: lexopt::Error) -> String {
    format!("{error}\n{USAGE}")
}

#[cfg(test)]
mod tests {
    use ssh_client::config_file::{EscapeChar, TunnelDevice};

    use super::*;

    fn parsed(line: &[&str]) -> Result<Arguments, String> {
        match parse(line.iter().map(OsString::from).collect())? {
            Wanted::Login(arguments) => Ok(*arguments),
            Wanted::Query(question) => panic!("a query for {question}"),
        }
    }

    #[test]
    fn flags_in_every_way_openssh_takes_them() {
        for line in [
            &["-p22", "-lalice", "-qn", "host"][..],
            &["-p", "22", "-l", "alice", "-q", "-n", "host"],
            &["-nqp22", "-o", "User=alice", "host"],
            &["host", "-p", "22", "-oUser=alice", "-nq"],
            &["-qnoPort=22", "-o", "User alice", "--", "host"],
        ] {
            let found = parsed(line).unwrap().common;
            assert_eq!(found.options.port, Some(22), "{line:?}");
            assert_eq!(found.options.user.as_deref(), Some("alice"), "{line:?}");
            assert!(found.quiet && found.options.stdin_null == Some(true), "{line:?}");
        }
        assert_eq!(parsed(&["-n", "host"]).unwrap().destination.host, "host");
    }

    #[test]
    fn switches_win_over_options_and_the_last_one_counts() {
        let options = |line: &[&str]| parsed(line).unwrap().common.options;
        for (line, expected) in [
            (&["-t", "h"][..], RequestTty::Yes),
            (&["-tt", "h"], RequestTty::Force),
            (&["-t", "-q", "-t", "h"], RequestTty::Force),
            (&["-tT", "h"], RequestTty::No),
            (&["-Tt", "h"], RequestTty::Yes),
            (&["-oRequestTTY=force", "-T", "h"], RequestTty::No),
            (&["-T", "-oRequestTTY=force", "h"], RequestTty::No),
            (&["-N", "h"], RequestTty::No),
        ] {
            assert_eq!(options(line).request_tty, Some(expected), "{line:?}");
        }
        let found = options(&["-f46gAYw", "0:any", "-e", "^]", "-b", "127.0.0.2", "h"]);
        assert_eq!(found.fork_after_authentication, Some(true));
        assert_eq!(found.stdin_null, Some(true));
        assert_eq!(found.address_family, Some(AddressFamily::Inet6));
        assert_eq!(found.gateway_ports, Some(true));
        assert_eq!(found.forward_agent, Some(ForwardAgent::Yes));
        assert_eq!(
            (found.forward_x11, found.forward_x11_trusted),
            (Some(true), Some(true))
        );
        assert_eq!(found.tunnel, Some(Tunnel::PointToPoint));
        let device = TunnelDevice {
            local: Some(0),
            remote: None,
        };
        assert_eq!(found.tunnel_device, Some(device));
        assert_eq!(found.escape_char, Some(EscapeChar::Byte(0x1d)));
        assert_eq!(found.bind_address.as_deref(), Some("127.0.0.2"));
        let found = options(&["-Xx", "-Aa", "h"]);
        assert_eq!(
            (found.forward_x11, found.forward_agent),
            (Some(false), Some(ForwardAgent::No))
        );
    }

    #[test]
    fn forwards_add_up() {
        let found = parsed(&["-L", "80:h:80", "-D1080", "-L80:h:80", "-R", "0", "-R/a:/b", "h"]).unwrap();
        assert_eq!(found.common.options.local_forwards.len(), 2);
        assert_eq!(found.common.options.remote_forwards.len(), 2);
        let found = parsed(&["-W", "h:22", "-J", "a,b", "host"]).unwrap();
        assert_eq!(found.common.options.session_type, Some(SessionType::None));
        let host = Some("h".to_owned());
        assert_eq!(found.stdio_forward, Some(ForwardListen::Tcp { host, port: 22 }));
        assert_eq!(found.common.options.proxy_jump.map(|hosts| hosts.len()), Some(2));
    }

    #[test]
    fn compression_is_asked_for_as_openssh_takes_it() {
        for line in [
            &["-C", "host"][..],
            &["-qC", "host"],
            &["-oCompression=yes", "host"],
        ] {
            assert_eq!(parsed(line).unwrap().common.options.compression, Some(true));
        }
        assert_eq!(parsed(&["host"]).unwrap().common.options.compression, None);
        assert!(parsed(&["-oCompression=maybe", "host"]).is_err());
    }

    #[test]
    fn everything_behind_the_command_belongs_to_it() {
        let found = parsed(&["-p", "22", "host", "-v", "ls", "-p", "9", "--", "a b"]).unwrap();
        assert_eq!(found.command, b"ls -p 9 -- a b");
        assert_eq!((found.common.options.port, found.common.verbose), (Some(22), 1));
        assert_eq!(parsed(&["host", "--", "-x"]).unwrap().command, b"-x");
    }

    #[test]
    fn mistakes_are_told() {
        assert!(parsed(&[]).unwrap_err().starts_with("usage:"));
        assert!(parsed(&["-s", "host"]).unwrap_err().contains("subsystem"));
        assert!(parsed(&["-Z", "host"]).unwrap_err().contains("-Z"));
        assert!(parsed(&["-p", "0", "host"]).unwrap_err().contains("port"));
        assert!(parsed(&["-o", "Bogus=1", "host"]).unwrap_err().contains("Bogus"));
        assert!(parsed(&["-p"]).is_err());
        for (line, expected) in [
            (&["-L", "x", "h"][..], "Bad local forwarding specification 'x'"),
            (&["-R", "x", "h"], "Bad remote forwarding specification 'x'"),
            (&["-D", "x", "h"], "Bad dynamic forwarding specification 'x'"),
            (&["-W", "22", "h"], "Bad stdio forwarding specification '22'"),
            (&["-Wa:1", "-Wb:2", "h"], "stdio forward already specified"),
            (&["-w", "x", "h"], "Bad tun device 'x'"),
            (&["-e", "ab", "h"], "Bad escape character 'ab'."),
            (&["-N", "-s", "h"], "Cannot specify -s with -N/SessionType"),
            (&["-s", "-N", "h"], "Cannot specify -N with -s/SessionType"),
            (
                &["-J", "a", "-J", "b", "h"],
                "Only a single -J option is permitted (use commas to separate multiple jump hops)",
            ),
            (
                &["-oProxyCommand=x", "-J", "a", "h"],
                "Cannot specify -J with ProxyCommand",
            ),
        ] {
            assert_eq!(parsed(line).unwrap_err(), expected, "{line:?}");
        }
        assert!(
            parsed(&["-J", "-x", "h"])
                .unwrap_err()
                .ends_with("Invalid -J argument")
        );
    }
}
