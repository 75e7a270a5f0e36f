//! Ports by the names of their services: the machine's own list, `services(5)`.

use std::fs::File;
use std::io::Read;

const SERVICES: &str = "/etc/services";

/// The most of the list that is read, in bytes.
const MAX_BYTES: u64 = 1024 * 1024;

/// A port: its number, or the name of the TCP service that has it.
pub(super) fn tcp_port(text: &str) -> Option<u16> {
    if let Ok(number) = text.parse() {
        return Some(number);
    }
    let mut list = Vec::new();
    let file = File::open(SERVICES).ok()?;
    file.take(MAX_BYTES).read_to_end(&mut list).ok()?;
    named(text, &String::from_utf8_lossy(&list))
}

/// The port of a service in a list with lines of `name port/protocol alias…`; what stands behind `#` is for people.
fn named(name: &str, list: &str) -> Option<u16> {
    list.lines().find_map(|line| {
        let line = line.split_once('#').map_or(line, |(line, _)| line);
        let mut words = line.split_ascii_whitespace();
        let (official, place) = (words.next()?, words.next()?);
        let port = place.strip_suffix("/tcp")?;
        let is_meant = official == name || words.any(|alias| alias == name);
        is_meant.then(|| port.parse().ok()).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_are_found_by_name_and_alias() {
        let list = "# services\nhttp\t80/tcp\twww www-http # the web\nntp 123/udp\n\nodd 99999/tcp\nbroken\nssh 22/tcp";
        for (name, expected) in [
            ("http", Some(80)),
            ("www-http", Some(80)),
            ("ssh", Some(22)),
            ("ntp", None),
            ("odd", None),
            ("the", None),
            ("broken", None),
            ("80/tcp", None),
            ("HTTP", None),
            ("", None),
        ] {
            assert_eq!(named(name, list), expected, "{name}");
        }
        assert_eq!(
            (tcp_port("0"), tcp_port("65535"), tcp_port("65536")),
            (Some(0), Some(65_535), None)
        );
    }
}
