//! Which addresses an outgoing call may go to: public ones, and what the configuration allows.
//!
//! Pure. The client asks for each address that it is about to connect to, never for a name alone.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// A host or a network that calls may go to although it is not public.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Allowed {
    /// A host by its name, wherever that leads.
    Host(String),
    /// All addresses of a network, whatever name led there.
    Network { base: IpAddr, prefix_bits: u8 },
}

/// A text that names neither a host nor a network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is neither a host name, nor an address, nor a network such as 10.1.0.0/16")]
pub struct AllowedError(String);

impl Allowed {
    fn has_name(&self, host: &str) -> bool {
        matches!(self, Self::Host(name) if name.eq_ignore_ascii_case(host))
    }

    fn contains(&self, address: IpAddr) -> bool {
        let Self::Network { base, prefix_bits } = self else {
            return false;
        };
        match (base, address) {
            (IpAddr::V4(base), IpAddr::V4(address)) => {
                is_in_v4(address, base.octets(), *prefix_bits)
            }
            (IpAddr::V6(base), IpAddr::V6(address)) => {
                is_in_v6(address, base.segments(), *prefix_bits)
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

impl FromStr for Allowed {
    type Err = AllowedError;

    fn from_str(text: &str) -> Result<Self, AllowedError> {
        let wrong = || AllowedError(text.to_owned());
        if let Ok(base) = text.parse::<IpAddr>() {
            return Ok(Self::Network {
                base,
                prefix_bits: bits(base),
            });
        }
        if let Some((base, prefix_bits)) = text.split_once('/') {
            let base: IpAddr = base.parse().map_err(|_| wrong())?;
            let prefix_bits = prefix_bits.parse().map_err(|_| wrong())?;
            return match prefix_bits <= bits(base) {
                true => Ok(Self::Network { base, prefix_bits }),
                false => Err(wrong()),
            };
        }
        let is_name = |at: char| at.is_ascii_alphanumeric() || matches!(at, '-' | '.' | '_');
        match !text.is_empty() && text.chars().all(is_name) {
            true => Ok(Self::Host(text.to_owned())),
            false => Err(wrong()),
        }
    }
}

/// Whether a call to `host` may go to this address of it.
pub(super) fn may_connect(allowed: &[Allowed], host: &str, address: IpAddr) -> bool {
    let address = address.to_canonical();
    is_public(address)
        || allowed
            .iter()
            .any(|allowed| allowed.has_name(host) || allowed.contains(address))
}

/// Whether an address belongs to the public internet. What is not known to, does not.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => match carried(address) {
            Some(carried) => is_public_v4(carried),
            None => is_public_v6(address),
        },
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    !NOT_PUBLIC_V4
        .iter()
        .any(|(base, prefix_bits)| is_in_v4(address, *base, *prefix_bits))
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    // What is given out to the public so far. The rest is private, local, multicast or not in use.
    let is_global = is_in_v6(address, [0x2000, 0, 0, 0, 0, 0, 0, 0], 3);
    is_global
        && !NOT_PUBLIC_V6
            .iter()
            .any(|(base, prefix_bits)| is_in_v6(address, *base, *prefix_bits))
}

/// The IPv4 address that packets to an IPv6 address end at.
fn carried(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let octets = address.octets();
    let is_mapped = is_in_v6(address, [0, 0, 0, 0, 0, 0xffff, 0, 0], 96);
    let is_nat64 = is_in_v6(address, [0x64, 0xff9b, 0, 0, 0, 0, 0, 0], 96);
    let is_6to4 = is_in_v6(address, [0x2002, 0, 0, 0, 0, 0, 0, 0], 16);
    let at = match (is_mapped || is_nat64, is_6to4) {
        (true, _) => 12,
        (false, true) => 2,
        (false, false) => return None,
    };
    Some(Ipv4Addr::new(
        octets[at],
        octets[at + 1],
        octets[at + 2],
        octets[at + 3],
    ))
}

fn is_in_v4(address: Ipv4Addr, base: [u8; 4], prefix_bits: u8) -> bool {
    let differs = u32::from(address) ^ u32::from(Ipv4Addr::from(base));
    differs.leading_zeros() >= u32::from(prefix_bits)
}

fn is_in_v6(address: Ipv6Addr, base: [u16; 8], prefix_bits: u8) -> bool {
    let differs = u128::from(address) ^ u128::from(Ipv6Addr::from(base));
    differs.leading_zeros() >= u32::from(prefix_bits)
}

const fn bits(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

/// IANA's special-purpose registry, multicast and the reserved rest.
const NOT_PUBLIC_V4: &[([u8; 4], u8)] = &[
    ([0, 0, 0, 0], 8),       // this host and network
    ([10, 0, 0, 0], 8),      // private
    ([100, 64, 0, 0], 10),   // shared by carriers (CGNAT)
    ([127, 0, 0, 0], 8),     // loopback
    ([169, 254, 0, 0], 16),  // link-local; metadata of clouds
    ([172, 16, 0, 0], 12),   // private
    ([192, 0, 0, 0], 24),    // protocol assignments
    ([192, 0, 2, 0], 24),    // documentation
    ([192, 88, 99, 0], 24),  // relays of 6to4
    ([192, 168, 0, 0], 16),  // private
    ([198, 18, 0, 0], 15),   // benchmarks
    ([198, 51, 100, 0], 24), // documentation
    ([203, 0, 113, 0], 24),  // documentation
    ([224, 0, 0, 0], 4),     // multicast
    ([240, 0, 0, 0], 4),     // reserved, broadcast
];

/// What is special within 2000::/3.
const NOT_PUBLIC_V6: &[([u16; 8], u8)] = &[
    ([0x2001, 0, 0, 0, 0, 0, 0, 0], 23), // protocol assignments, Teredo
    ([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32), // documentation
    ([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20), // documentation
];

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(texts: &[&str]) -> Vec<Allowed> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn public_addresses_are_public() {
        for text in [
            "1.1.1.1",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.1",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "2606:4700::1111",
            "2001:4860::8888",
            "::ffff:1.1.1.1",
            "64:ff9b::1.1.1.1",
            "2002:101:101::1",
        ] {
            assert!(
                may_connect(&[], "example.org", text.parse().unwrap()),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_not_public_is_refused_in_each_of_its_forms() {
        let embedded = |v4: &str| {
            let [a, b, c, d] = v4.parse::<Ipv4Addr>().unwrap().octets();
            [
                v4.to_owned(),
                format!("::ffff:{v4}"),
                format!("64:ff9b::{v4}"),
                format!("2002:{a:02x}{b:02x}:{c:02x}{d:02x}::1"),
                format!("::{v4}"),
            ]
        };
        let forms = [
            "0.0.0.0",
            "10.0.0.1",
            "10.255.255.255",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.255.254",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
        ];
        let v6 = [
            "::",
            "::1",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:2::1",
            "2001:10::1",
            "2001:db8::1",
            "3fff::1",
            "5f00::1",
            "fc00::1",
            "fdff::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ];
        let v6 = v6.into_iter().map(str::to_owned);
        for text in forms.into_iter().flat_map(embedded).chain(v6) {
            assert!(
                !may_connect(&[], "example.org", text.parse().unwrap()),
                "{text}"
            );
        }
    }

    #[test]
    fn hosts_and_networks_are_allowed_by_configuration() {
        let list = allowed(&["intern.example", "10.1.0.0/16", "fd00::/8", "127.0.0.1"]);
        let may = |host: &str, address: &str| may_connect(&list, host, address.parse().unwrap());
        assert!(may("INTERN.example", "192.168.0.1"));
        assert!(may("other.example", "10.1.255.255"));
        assert!(may("other.example", "::ffff:10.1.0.1"));
        assert!(may("other.example", "fd12::1"));
        assert!(may("other.example", "127.0.0.1"));
        assert!(!may("sub.intern.example", "192.168.0.1"));
        assert!(!may("other.example", "10.2.0.0"));
        assert!(!may("other.example", "127.0.0.2"));
        assert!(!may("other.example", "fc00::1"));
        let all = allowed(&["0.0.0.0/0"]);
        assert!(may_connect(&all, "a", "127.0.0.1".parse().unwrap()));
        assert!(!may_connect(&all, "a", "::1".parse().unwrap()));
    }

    #[test]
    fn other_texts_are_no_allowance() {
        for text in [
            "",
            "10.0.0.0/33",
            "::/129",
            "10.0.0/8",
            "a/8",
            "http://a",
            "a b",
            "10.0.0.0/",
        ] {
            assert!(text.parse::<Allowed>().is_err(), "{text}");
        }
    }
}
