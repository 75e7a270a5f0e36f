//! `from`: the addresses a key may be used from, as patterns and networks (`ssh_config(5)`, "PATTERNS").

use core::net::IpAddr;

use crate::pattern::{self, Pattern};

/// The value of a `from` option: addresses, networks (`192.0.2.0/24`, `2001:db8::/32`) and patterns, `!` excluding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddressPatterns(Vec<Rule>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    negated: bool,
    what: What,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum What {
    /// All addresses that start with the same bits.
    Network { bits: u128, prefix: u32, ipv6: bool },
    /// A pattern over the address as text, or over a host name.
    Text(Vec<u8>),
}

impl AddressPatterns {
    /// Reads the list; what is wrong with it, if something is. A network with bits set behind its prefix is refused:
    /// either the prefix or the address is not what was meant.
    pub(super) fn parse(value: &[u8]) -> Result<Self, &'static str> {
        let texts = value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii);
        let rules: Vec<Rule> = texts.map(Rule::parse).collect::<Result<_, _>>()?;
        Ok(Self(rules))
    }

    /// Whether a peer of this address may use the key: some entry must match it, and no negated one may.
    ///
    /// Host names are not looked up, because whoever has an address decides what name it resolves to. A pattern that is
    /// a name therefore matches nothing, and a list that excludes a name refuses every address: whether the peer is the
    /// excluded one cannot be told. An IPv4 address inside an IPv6 one (`::ffff:192.0.2.1`) counts as IPv4.
    pub fn allows(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        let text = address.to_string();
        let mut allowed = false;
        for rule in &self.0 {
            if rule.negated && rule.is_name() {
                return false;
            }
            if rule.matches(address, text.as_bytes()) {
                if rule.negated {
                    return false;
                }
                allowed = true;
            }
        }
        allowed
    }
}

impl Rule {
    fn parse(text: &[u8]) -> Result<Self, &'static str> {
        let Pattern { negated, text } = Pattern::new(text);
        if text.is_empty() {
            return Err("holds an empty entry");
        }
        let as_text = std::str::from_utf8(&text).map_err(|_| "is not UTF-8")?;
        let what = match as_text.split_once('/') {
            Some((address, prefix)) => network(address, prefix)?,
            None => match as_text.parse::<IpAddr>() {
                Ok(address) => whole_address(address),
                Err(_) => What::Text(text),
            },
        };
        Ok(Self { negated, what })
    }

    /// Whether the entry can only be about host names: it holds something no address holds.
    fn is_name(&self) -> bool {
        let What::Text(text) = &self.what else {
            return false;
        };
        !text.contains(&b':')
            && text
                .iter()
                .any(|byte| !byte.is_ascii_digit() && !b".*?".contains(byte))
    }

    fn matches(&self, address: IpAddr, text: &[u8]) -> bool {
        match &self.what {
            What::Text(pattern) => pattern::matches(pattern, text),
            What::Network { bits, prefix, ipv6 } => {
                address.is_ipv6() == *ipv6 && masked(bits_of(address), *prefix) == *bits
            }
        }
    }
}

fn network(address: &str, prefix: &str) -> Result<What, &'static str> {
    let address: IpAddr = address
        .parse()
        .map_err(|_| "holds a network without an address")?;
    let digits = !prefix.is_empty() && prefix.bytes().all(|byte| byte.is_ascii_digit());
    let width: u32 = if address.is_ipv6() { 128 } else { 32 };
    let prefix: u32 = Some(prefix)
        .filter(|_| digits)
        .and_then(|prefix| prefix.parse().ok())
        .unwrap_or(u32::MAX);
    if prefix > width {
        return Err("holds a network without a valid prefix length");
    }
    let bits = bits_of(address);
    if masked(bits, prefix) != bits {
        return Err("holds a network with bits set behind its prefix");
    }
    // An IPv4 network written inside IPv6 is the IPv4 network, as the addresses it is compared with are.
    match address.to_canonical() {
        IpAddr::V4(inner) if address.is_ipv6() && prefix >= 96 => Ok(What::Network {
            bits: bits_of(inner.into()),
            prefix: prefix.saturating_sub(96),
            ipv6: false,
        }),
        _ => Ok(What::Network {
            bits,
            prefix,
            ipv6: address.is_ipv6(),
        }),
    }
}

fn whole_address(address: IpAddr) -> What {
    let address = address.to_canonical();
    What::Network {
        bits: bits_of(address),
        prefix: 128,
        ipv6: address.is_ipv6(),
    }
}

/// The bits of an address, the first one highest in both families.
fn bits_of(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(address.to_bits()).wrapping_shl(96),
        IpAddr::V6(address) => address.to_bits(),
    }
}

/// The first `prefix` bits, the others cleared.
fn masked(bits: u128, prefix: u32) -> u128 {
    bits & !u128::MAX.checked_shr(prefix).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_networks_and_patterns() {
        for (list, address, expected) in [
            ("192.0.2.1", "192.0.2.1", true),
            ("192.0.2.1", "192.0.2.10", false),
            ("192.0.2.0/24", "192.0.2.255", true),
            ("192.0.2.0/24", "192.0.3.0", false),
            ("192.0.2.0/24,!192.0.2.7", "192.0.2.7", false),
            ("!192.0.2.7,192.0.2.0/24", "192.0.2.8", true),
            ("!192.0.2.7", "192.0.2.8", false),
            ("0.0.0.0/0", "203.0.113.9", true),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("::/0", "203.0.113.9", false),
            ("::/0", "2001:db8::1", true),
            ("2001:db8::/32", "2001:db8:ffff::1", true),
            ("2001:db8::/32", "2001:db9::1", false),
            ("2001:DB8:0::1", "2001:db8::1", true),
            ("192.0.2.*", "192.0.2.77", true),
            ("192.0.2.?", "192.0.2.77", false),
            ("*", "2001:db8::1", true),
            ("192.0.2.0/24", "::ffff:192.0.2.1", true),
            ("::ffff:192.0.2.1", "192.0.2.1", true),
            ("!::ffff:192.0.2.0/120,*", "192.0.2.1", false),
            ("!::ffff:192.0.2.0/120,*", "192.0.3.1", true),
            ("*.example.com", "192.0.2.1", false),
            ("*.example.com,192.0.2.1", "192.0.2.1", true),
            ("!evil.example.com,*", "192.0.2.1", false),
            ("192.0.2.1, 192.0.2.2", "192.0.2.2", true),
        ] {
            let patterns = AddressPatterns::parse(list.as_bytes()).unwrap();
            assert_eq!(
                patterns.allows(address.parse().unwrap()),
                expected,
                "{list} {address}"
            );
        }
    }

    #[test]
    fn lists_that_cannot_be_enforced_are_refused() {
        for list in [
            "",
            ",",
            "a,,b",
            "!",
            "192.0.2.0/33",
            "192.0.2.0/",
            "192.0.2.0/+8",
            "192.0.2.0/-1",
            "192.0.2.1/24",
            "2001:db8::/129",
            "2001:db8::1/64",
            "example.com/24",
            "192.0.2.*/24",
            "192.0.2.0/99999999999",
        ] {
            assert!(AddressPatterns::parse(list.as_bytes()).is_err(), "{list}");
        }
        assert!(AddressPatterns::parse(b"\xff").is_err());
    }
}
