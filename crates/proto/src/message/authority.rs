//! The authority of an HTTP URI: a host and perhaps a port (RFC 3986 §3.2, RFC 9110 §4.2).

use std::net::Ipv6Addr;
use std::str;

/// What is wrong with an authority.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AuthorityFlaw {
    Empty,
    Userinfo,
    Form,
}

/// The port that `authority` names; an empty one counts as none. Stricter than [`http::uri::Authority`], which takes
/// user information, ports that are no numbers, and brackets round anything.
pub(super) fn port(authority: &[u8]) -> Result<Option<u16>, AuthorityFlaw> {
    if authority.is_empty() {
        return Err(AuthorityFlaw::Empty);
    }
    parse(authority).ok_or_else(
        || {
            if authority.contains(&b'@') { AuthorityFlaw::Userinfo } else { AuthorityFlaw::Form }
        },
    )
}

fn parse(authority: &[u8]) -> Option<Option<u16>> {
    match &authority[host_len(authority)?..] {
        [] | [b':'] => Some(None),
        [b':', digits @ ..] => parse_port(digits).map(Some),
        _ => None,
    }
}

/// The length of the host at the start, never 0.
fn host_len(authority: &[u8]) -> Option<usize> {
    if authority.first() == Some(&b'[') {
        let end = authority.iter().position(|&byte| byte == b']')?;
        str::from_utf8(&authority[1..end]).ok()?.parse::<Ipv6Addr>().ok()?;
        return Some(end + 1);
    }
    let len = authority.iter().position(|&byte| !REG_NAME[usize::from(byte)]).unwrap_or(authority.len());
    (len > 0).then_some(len)
}

fn parse_port(digits: &[u8]) -> Option<u16> {
    if digits.len() > 5 {
        return None;
    }
    let mut port = 0_u32;
    for &digit in digits {
        port = port * 10 + u32::from(digit.is_ascii_digit().then(|| digit - b'0')?);
    }
    u16::try_from(port).ok()
}

/// `unreserved` and `sub-delims` (RFC 3986 §2.2, §2.3). Percent-encoding is left out: [`http::uri::Authority`] does not
/// take it, and names in the DNS have no use for it.
const REG_NAME: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = matches!(byte as u8,
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~'
            | b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=');
        byte += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_and_perhaps_a_port_is_an_authority_and_nothing_else_is() {
        let cases: [(&str, Result<Option<u16>, AuthorityFlaw>); 30] = [
            ("example.com", Ok(None)),
            ("example.com:", Ok(None)),
            ("example.com:0", Ok(Some(0))),
            ("example.com:443", Ok(Some(443))),
            ("EXAMPLE.com:00443", Ok(Some(443))),
            ("127.0.0.1:65535", Ok(Some(65535))),
            ("a_b.example", Ok(None)),
            ("[::1]", Ok(None)),
            ("[2001:db8::1]:8443", Ok(Some(8443))),
            ("[::ffff:192.0.2.1]:1", Ok(Some(1))),
            ("", Err(AuthorityFlaw::Empty)),
            ("user@example.com", Err(AuthorityFlaw::Userinfo)),
            ("user:pass@example.com:443", Err(AuthorityFlaw::Userinfo)),
            ("@example.com", Err(AuthorityFlaw::Userinfo)),
            ("example.com@", Err(AuthorityFlaw::Userinfo)),
            ("@", Err(AuthorityFlaw::Userinfo)),
            (":443", Err(AuthorityFlaw::Form)),
            (":", Err(AuthorityFlaw::Form)),
            ("example.com:65536", Err(AuthorityFlaw::Form)),
            ("example.com:000443", Err(AuthorityFlaw::Form)),
            ("example.com:+80", Err(AuthorityFlaw::Form)),
            ("example.com:80:80", Err(AuthorityFlaw::Form)),
            ("example.com:http", Err(AuthorityFlaw::Form)),
            ("example.com/", Err(AuthorityFlaw::Form)),
            ("example.com?", Err(AuthorityFlaw::Form)),
            ("exa%6dple.com", Err(AuthorityFlaw::Form)),
            ("[::1", Err(AuthorityFlaw::Form)),
            ("[::1]443", Err(AuthorityFlaw::Form)),
            ("[]", Err(AuthorityFlaw::Form)),
            ("[fe80::1%25eth0]", Err(AuthorityFlaw::Form)),
        ];
        for (authority, expected) in cases {
            assert_eq!(port(authority.as_bytes()), expected, "{authority:?}");
        }
    }

    #[test]
    fn what_we_take_http_takes_too() {
        for byte in 0..=255_u8 {
            let authority = [b'a', byte, b'b'];
            if port(&authority).is_ok() {
                assert!(http::uri::Authority::try_from(&authority[..]).is_ok(), "{byte:#x}");
            }
        }
    }
}
