//! What of an address is counted together: who has one address has all of its prefix. Pure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A part of the Internet: the first bits of an address, and how many of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Prefix {
    /// Left-aligned, with zeros after them.
    bits: u64,
    /// With the family, as ::/24 is not 0.0.0.0/24.
    of: Family,
    length: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Family {
    V4,
    V6,
}

/// Where a client comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Origin {
    /// One machine, or all behind one NAT: an IPv4 address, or the /64 of an IPv6 network.
    pub(super) address: Prefix,
    /// One customer or one cloud's rack: an IPv4 /24, or the /48 of an IPv6 site.
    pub(super) network: Prefix,
    pub(super) is_loopback: bool,
}

impl Origin {
    pub(super) fn of(address: IpAddr) -> Self {
        match canonical(address) {
            IpAddr::V4(v4) => Self {
                address: Prefix::v4(v4, 32),
                network: Prefix::v4(v4, 24),
                is_loopback: v4.is_loopback(),
            },
            IpAddr::V6(v6) => Self {
                address: Prefix::v6(v6, 64),
                network: Prefix::v6(v6, 48),
                is_loopback: v6.is_loopback(),
            },
        }
    }
}

impl Prefix {
    fn v4(address: Ipv4Addr, length: u8) -> Self {
        Self::new(u64::from(u32::from(address)) << 32, Family::V4, length)
    }

    fn v6(address: Ipv6Addr, length: u8) -> Self {
        let bits = u64::try_from(u128::from(address) >> 64).unwrap_or_default();
        Self::new(bits, Family::V6, length)
    }

    fn new(bits: u64, of: Family, length: u8) -> Self {
        let mask = u64::MAX << (64 - u32::from(length.clamp(1, 64)));
        Self {
            bits: bits & mask,
            of,
            length,
        }
    }
}

/// The address that the client has, where a socket or a translator has put an IPv4 address into an IPv6 one: in
/// `::ffff:0:0/96`, or in the well-known prefix of RFC 6052. All of IPv4 would be one network otherwise.
fn canonical(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => match v6.segments() {
            [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
                let [[a, b], [c, d]] = [high.to_be_bytes(), low.to_be_bytes()];
                Ipv4Addr::new(a, b, c, d).into()
            }
            [..] => v6.into(),
        },
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(text: &str) -> Origin {
        Origin::of(text.parse().unwrap())
    }

    #[test]
    fn addresses_of_a_prefix_are_one() {
        for (one, other, is_address, is_network) in [
            ("192.0.2.1", "192.0.2.1", true, true),
            ("192.0.2.1", "192.0.2.2", false, true),
            ("192.0.2.1", "192.0.3.1", false, false),
            ("2001:db8::1", "2001:db8::ffff:1", true, true),
            ("2001:db8::1", "2001:db8:0:1::1", false, true),
            ("2001:db8::1", "2001:db8:1::1", false, false),
            // However an IPv4 address is written.
            ("::ffff:192.0.2.1", "192.0.2.1", true, true),
            ("64:ff9b::192.0.2.1", "192.0.2.1", true, true),
            ("64:ff9b::192.0.2.1", "64:ff9b::198.51.100.1", false, false),
            // The same bits in the other family.
            ("32.1.13.184", "2001:db8::1", false, false),
        ] {
            let [one, other] = [one, other].map(origin);
            assert_eq!(
                one.address == other.address,
                is_address,
                "{one:?} {other:?}"
            );
            assert_eq!(
                one.network == other.network,
                is_network,
                "{one:?} {other:?}"
            );
        }
    }

    #[test]
    fn loopback_is_known_in_each_form() {
        for text in ["127.0.0.1", "127.9.8.7", "::1", "::ffff:127.0.0.1"] {
            assert!(origin(text).is_loopback, "{text}");
        }
        for text in ["128.0.0.1", "::2", "fe80::1"] {
            assert!(!origin(text).is_loopback, "{text}");
        }
    }

    #[test]
    fn an_address_is_not_its_network() {
        let origin = origin("192.0.2.0");
        assert_ne!(origin.address, origin.network);
    }
}
