//! One form for addresses: above this crate IPv4 is IPv4, below it a dual-stack socket wants `::ffff:a.b.c.d` (RFC 4291 §2.5.5.2).

use std::net::{IpAddr, SocketAddr, SocketAddrV6};

/// The address as the layers above see it.
pub(crate) fn canonical(address: SocketAddr) -> SocketAddr {
    match address {
        // Rebuilt only where it is mapped: a link-local IPv6 address must keep its scope.
        SocketAddr::V6(v6) => v6.ip().to_ipv4_mapped().map_or(address, |ip| (ip, v6.port()).into()),
        SocketAddr::V4(_) => address,
    }
}

/// A canonical address as a socket of family IPv6 takes it.
pub(crate) fn mapped(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(v4) => SocketAddrV6::new(v4.ip().to_ipv6_mapped(), v4.port(), 0, 0).into(),
        SocketAddr::V6(_) => address,
    }
}

/// Whether a datagram with these canonical addresses can be answered at all.
///
/// A sender may forge anything: Linux refuses to send to port 0 with EINVAL, which looks like a refusal of
/// segmentation offload, and an answer cannot leave from a multicast or broadcast address.
pub(crate) fn is_answerable(from: SocketAddr, to: IpAddr) -> bool {
    let one_receiver = match to {
        IpAddr::V4(ip) => !ip.is_multicast() && !ip.is_broadcast(),
        IpAddr::V6(ip) => !ip.is_multicast(),
    };
    from.port() != 0 && one_receiver
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn mapped_addresses_become_plain_ipv4_and_back() {
        let pairs = [
            ("[::ffff:127.0.0.2]:4433", "127.0.0.2:4433"),
            ("[::ffff:0.0.0.0]:1", "0.0.0.0:1"),
            ("[::ffff:255.255.255.255]:65535", "255.255.255.255:65535"),
        ];
        for (in_ipv6, in_ipv4) in pairs {
            assert_eq!(canonical(address(in_ipv6)), address(in_ipv4));
            assert_eq!(mapped(address(in_ipv4)), address(in_ipv6));
        }
    }

    #[test]
    fn other_addresses_stay_as_they_are() {
        for text in ["[::1]:443", "[::]:443", "[2001:db8::1]:443", "[::127.0.0.1]:443"] {
            assert_eq!(canonical(address(text)), address(text));
            assert_eq!(mapped(address(text)), address(text));
        }
        assert_eq!(canonical(address("192.0.2.1:443")), address("192.0.2.1:443"));
    }

    #[test]
    fn a_link_local_address_keeps_its_scope() {
        let link_local = SocketAddr::V6(SocketAddrV6::new("fe80::1".parse().unwrap(), 443, 0, 7));
        assert_eq!(canonical(link_local), link_local);
        assert_eq!(mapped(link_local), link_local);
    }

    #[test]
    fn port_zero_multicast_and_broadcast_cannot_be_answered() {
        let here: IpAddr = "192.0.2.1".parse().unwrap();
        assert!(is_answerable(address("192.0.2.9:1"), here));
        assert!(!is_answerable(address("192.0.2.9:0"), here));
        for to in ["224.0.0.1", "255.255.255.255", "ff02::1"] {
            assert!(!is_answerable(address("192.0.2.9:1"), to.parse().unwrap()), "{to}");
        }
    }
}
