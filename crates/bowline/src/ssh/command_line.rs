//! `~C`: a line that adds a forward to a session or takes one away.

use ssh_client::config_file::{ForwardListen, ForwardSpec, dynamic, local, remote};

use super::forwards::Side;

/// What a line asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wish {
    Nothing,
    Help,
    Add(Side, ForwardSpec),
    Cancel {
        side: Side,
        /// `-KD` or `-KL`; of a remote one that is all the same.
        is_dynamic: Option<bool>,
        listen: ForwardListen,
    },
}

/// What can be typed.
pub(super) const HELP: &str = "  -L[bind_address:]port:host:hostport    forward a port of this side\r\n  \
-R[bind_address:]port:host:hostport    forward a port of the server's\r\n  \
-D[bind_address:]port                  forward by SOCKS\r\n  \
-KL[bind_address:]port, -KR…, -KD…     take a forward away\r\n";

/// Reads a line.
///
/// # Errors
/// What is wrong with it, in ssh(1)'s words.
pub(super) fn parse(line: &str) -> Result<Wish, &'static str> {
    let line = line.trim();
    let line = line.strip_prefix('-').unwrap_or(line);
    if line.is_empty() {
        return Ok(Wish::Nothing);
    }
    if line.starts_with(['h', 'H', '?']) {
        return Ok(Wish::Help);
    }
    let (cancels, line) = match line.strip_prefix('K') {
        Some(rest) => (true, rest),
        None => (false, line),
    };
    let mut rest = line.chars();
    let letter = rest.next();
    let text = rest.as_str().trim();
    let side = match letter {
        Some('L' | 'D') => Side::Here,
        Some('R') => Side::Server,
        _ => return Err("Invalid command."),
    };
    if cancels {
        let spec = dynamic(text).map_err(|_| "Bad forwarding close specification.")?;
        return Ok(Wish::Cancel {
            side,
            is_dynamic: (side == Side::Here).then_some(letter == Some('D')),
            listen: spec.listen,
        });
    }
    let spec = match letter {
        Some('R') => remote(text).map_err(|_| "Bad remote forwarding specification.")?,
        Some('D') => dynamic(text).map_err(|_| "Bad local forwarding specification.")?,
        _ => local(text).map_err(|_| "Bad local forwarding specification.")?,
    };
    Ok(Wish::Add(side, spec))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_as_ssh_takes_them() {
        assert_eq!(parse("  "), Ok(Wish::Nothing));
        assert_eq!(parse("-"), Ok(Wish::Nothing));
        assert_eq!(parse("help"), Ok(Wish::Help));
        assert_eq!(parse("?"), Ok(Wish::Help));
        let spec = local("8080:h:80").unwrap();
        for line in ["-L8080:h:80", "L 8080:h:80", "-L 8080:h:80 "] {
            assert_eq!(parse(line), Ok(Wish::Add(Side::Here, spec.clone())), "{line}");
        }
        assert_eq!(parse("-R0"), Ok(Wish::Add(Side::Server, remote("0").unwrap())));
        assert_eq!(
            parse("-D1080"),
            Ok(Wish::Add(Side::Here, dynamic("1080").unwrap()))
        );
        for (line, side, is_dynamic) in [
            ("-KL1080", Side::Here, Some(false)),
            ("KD 1080", Side::Here, Some(true)),
            ("-KR1080", Side::Server, None),
        ] {
            let listen = dynamic("1080").unwrap().listen;
            let expected = Wish::Cancel {
                side,
                is_dynamic,
                listen,
            };
            assert_eq!(parse(line), Ok(expected), "{line}");
        }
        for (line, expected) in [
            ("-X", "Invalid command."),
            ("-K", "Invalid command."),
            ("-L8080", "Bad local forwarding specification."),
            ("-Dx", "Bad local forwarding specification."),
            ("-Rx", "Bad remote forwarding specification."),
            ("-KLx", "Bad forwarding close specification."),
        ] {
            assert_eq!(parse(line), Err(expected), "{line}");
        }
    }
}
