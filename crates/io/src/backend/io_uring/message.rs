//! Addresses and control messages as the kernel lays them out in memory, read and written byte by byte.
//!
//! `cmsg(3)`: a header of length, level and type, the value, and padding to the size of a word. The other end of these
//! bytes is the kernel of this machine: numbers are in its byte order, ports and addresses in the network's.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use quinn_udp::{EcnCodepoint, RecvMeta};

/// Bytes of the longest address, `struct sockaddr_in6`.
pub(super) const NAME_BYTES: usize = 28;

/// Bytes of the control messages of a datagram that is sent: ECN mark, segment size and source address, of IPv6.
pub(super) const CONTROL_BYTES: usize = space(4) + space(2) + space(20);

const WORD: usize = size_of::<usize>();
const HEADER: usize = size_of::<libc::cmsghdr>();

/// The bytes that a control message with a value of this length takes.
const fn space(value: usize) -> usize {
    HEADER + value.next_multiple_of(WORD)
}

/// Writes `struct sockaddr_in` or `sockaddr_in6`; its length.
pub(super) fn write_name(address: SocketAddr, name: &mut [u8; NAME_BYTES]) -> usize {
    name.fill(0);
    name[2..4].copy_from_slice(&address.port().to_be_bytes());
    let (family, len) = match address {
        SocketAddr::V4(v4) => {
            name[4..8].copy_from_slice(&v4.ip().octets());
            (libc::AF_INET, 16)
        }
        SocketAddr::V6(v6) => {
            name[4..8].copy_from_slice(&v6.flowinfo().to_ne_bytes());
            name[8..24].copy_from_slice(&v6.ip().octets());
            name[24..28].copy_from_slice(&v6.scope_id().to_ne_bytes());
            (libc::AF_INET6, NAME_BYTES)
        }
    };
    name[..2].copy_from_slice(&(family as u16).to_ne_bytes());
    len
}

/// Reads what [`write_name`] writes; `None` for another family.
pub(super) fn read_name(name: &[u8]) -> Option<SocketAddr> {
    let port = u16::from_be_bytes(array(name, 2)?);
    match i32::from(u16::from_ne_bytes(array(name, 0)?)) {
        libc::AF_INET => Some((Ipv4Addr::from(array::<4>(name, 4)?), port).into()),
        libc::AF_INET6 => {
            let flowinfo = u32::from_ne_bytes(array(name, 4)?);
            let scope_id = u32::from_ne_bytes(array(name, 24)?);
            Some(SocketAddrV6::new(Ipv6Addr::from(array::<16>(name, 8)?), port, flowinfo, scope_id).into())
        }
        _ => None,
    }
}

/// Writes the control messages of a call; their length.
pub(super) fn write_control(call: &quinn_udp::Transmit<'_>, control: &mut [u8; CONTROL_BYTES]) -> usize {
    let mut writer = Writer { control, len: 0 };
    let mark = call.ecn.map_or(0, |ecn| ecn as i32).to_ne_bytes();
    if is_ipv4(call.destination.ip()) {
        writer.push(libc::IPPROTO_IP, libc::IP_TOS, &mark);
    } else {
        writer.push(libc::IPPROTO_IPV6, libc::IPV6_TCLASS, &mark);
    }
    if let Some(size) = call.segment_size {
        writer.push(libc::SOL_UDP, libc::UDP_SEGMENT, &(size as u16).to_ne_bytes());
    }
    match call.src_ip {
        Some(IpAddr::V4(ip)) => {
            // `struct in_pktinfo`: interface, the address to send from, the address in the header.
            let mut info = [0; 12];
            info[4..8].copy_from_slice(&ip.octets());
            writer.push(libc::IPPROTO_IP, libc::IP_PKTINFO, &info);
        }
        Some(IpAddr::V6(ip)) => {
            // `struct in6_pktinfo`: the address, the interface.
            let mut info = [0; 20];
            info[..16].copy_from_slice(&ip.octets());
            writer.push(libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, &info);
        }
        None => {}
    }
    writer.len
}

/// Adds what the control messages of a datagram say to `meta`. What is cut short or unknown says nothing.
pub(super) fn read_control(mut control: &[u8], meta: &mut RecvMeta) {
    while let Some((level, kind, value, rest)) = next_message(control) {
        control = rest;
        match (level, kind) {
            (libc::IPPROTO_IP, libc::IP_TOS) => meta.ecn = value.first().and_then(|&tos| EcnCodepoint::from_bits(tos)),
            (libc::IPPROTO_IPV6, libc::IPV6_TCLASS) => {
                let class = array(value, 0).map(i32::from_ne_bytes);
                meta.ecn = class.and_then(|class| EcnCodepoint::from_bits(class as u8));
            }
            (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                meta.dst_ip = array::<4>(value, 8).map(|ip| Ipv4Addr::from(ip).into()).or(meta.dst_ip);
            }
            (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                meta.dst_ip = array::<16>(value, 0).map(|ip| Ipv6Addr::from(ip).into()).or(meta.dst_ip);
            }
            (libc::SOL_UDP, libc::UDP_GRO) => {
                let size = array(value, 0).map(i32::from_ne_bytes).and_then(|size| usize::try_from(size).ok());
                meta.stride = size.unwrap_or(meta.stride);
            }
            _ => {}
        }
    }
}

/// The first message, and what follows it.
fn next_message(control: &[u8]) -> Option<(i32, i32, &[u8], &[u8])> {
    let len = usize::from_ne_bytes(array(control, 0)?);
    let level = i32::from_ne_bytes(array(control, WORD)?);
    let kind = i32::from_ne_bytes(array(control, WORD + 4)?);
    let value = control.get(HEADER..len)?;
    let rest = control.get(len.next_multiple_of(WORD)..).unwrap_or_default();
    Some((level, kind, value, rest))
}

fn is_ipv4(ip: IpAddr) -> bool {
    ip.to_canonical().is_ipv4()
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at + N)?.try_into().ok()
}

struct Writer<'a> {
    control: &'a mut [u8; CONTROL_BYTES],
    len: usize,
}

impl Writer<'_> {
    fn push(&mut self, level: i32, kind: i32, value: &[u8]) {
        let message = &mut self.control[self.len..][..space(value.len())];
        message.fill(0);
        message[..WORD].copy_from_slice(&(HEADER + value.len()).to_ne_bytes());
        message[WORD..][..4].copy_from_slice(&level.to_ne_bytes());
        message[WORD + 4..][..4].copy_from_slice(&kind.to_ne_bytes());
        message[HEADER..][..value.len()].copy_from_slice(value);
        self.len += space(value.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_were_written() {
        for text in ["127.0.0.1:1", "255.254.253.252:65535", "[::1]:443", "[::ffff:192.0.2.1]:7", "[fe80::1%3]:9"] {
            let address: SocketAddr = text.parse().unwrap();
            let mut name = [0xff; NAME_BYTES];
            let len = write_name(address, &mut name);
            assert_eq!(read_name(&name[..len]), Some(address));
            assert!((0..8).all(|cut| read_name(&name[..cut]).is_none()), "{text}, cut short");
        }
    }

    #[test]
    fn control_messages_are_laid_out_as_the_c_library_does() {
        // SAFETY: these functions only calculate.
        let spaces = [4, 2, 12, 20].map(|len| unsafe { libc::CMSG_SPACE(len) } as usize);
        assert_eq!(spaces, [4, 2, 12, 20].map(space));
        // SAFETY: likewise.
        assert_eq!(unsafe { libc::CMSG_LEN(5) } as usize, HEADER + 5);
    }

    #[test]
    fn control_messages_are_read_as_they_were_written() {
        let mut control = [0xff; CONTROL_BYTES];
        for (to, from) in
            [("192.0.2.1:1", "192.0.2.2"), ("[2001:db8::1]:1", "2001:db8::2"), ("[::ffff:1.2.3.4]:1", "::1")]
        {
            let call = quinn_udp::Transmit {
                destination: to.parse().unwrap(),
                ecn: Some(EcnCodepoint::Ce),
                contents: &[],
                segment_size: Some(1200),
                src_ip: Some(from.parse().unwrap()),
            };
            let len = write_control(&call, &mut control);
            let mut meta = RecvMeta::default();
            read_control(&control[..len], &mut meta);
            assert_eq!(meta.ecn, Some(EcnCodepoint::Ce));
            // The address is at another place in what is received; of IPv6 the same.
            assert_eq!(meta.dst_ip, Some(if from.contains(':') { from } else { "0.0.0.0" }.parse().unwrap()));
            (0..len).for_each(|cut| read_control(&control[..cut], &mut meta));
        }
    }

    #[test]
    fn a_length_that_lies_ends_the_reading() {
        for len in [0, 1, HEADER - 1, 1000, usize::MAX - 3] {
            let mut control = [0; 64];
            control[..WORD].copy_from_slice(&len.to_ne_bytes());
            read_control(&control, &mut RecvMeta::default());
        }
    }
}
