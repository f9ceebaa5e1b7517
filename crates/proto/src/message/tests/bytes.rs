//! All 256 byte values at each place of a message.

use super::*;

const ALL: std::ops::RangeInclusive<u8> = 0..=255;

/// `tchar` (RFC 9110 §5.6.2) without upper case, written out apart from the code.
const LOWER_TCHAR: &[u8] = b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz";

fn with(name: &[u8], value: &[u8], policy: &Policy) -> Result<request::Parts, MessageFault> {
    let mut fields = fields(&GET);
    fields.push(field(name, value));
    crate::message::request(&mut fields, policy)
}

#[test]
fn a_name_holds_lower_case_tchar_only() {
    let policy = Policy { underscores: crate::message::Underscores::Accept, ..Policy::default() };
    for byte in ALL {
        for name in [&[byte][..], &[b'x', byte], &[b'x', byte, b'y'], &[&[b'x'; 90][..], &[byte]].concat()] {
            let expected = match byte {
                _ if LOWER_TCHAR.contains(&byte) => Ok(()),
                b':' if name.len() == 1 => Err(MessageFault::UnknownPseudo),
                b'A'..=b'Z' => Err(MessageFault::UppercaseName),
                _ => Err(MessageFault::NameByte),
            };
            assert_eq!(with(name, b"v", &policy).map(drop), expected, "{byte:#x} in a name of {}", name.len());
        }
    }
}

#[test]
fn a_value_holds_visible_bytes_and_inner_white_space_only() {
    for byte in ALL {
        let is_blank = byte == b' ' || byte == b'\t';
        let is_control = byte < b' ' && byte != b'\t' || byte == 0x7f;
        for value in [&[byte][..], &[byte, b'x'], &[b'x', byte], &[b'x', byte, b'y']] {
            let expected = match value.len() {
                _ if is_control => Err(MessageFault::ValueByte),
                1 | 2 if is_blank => Err(MessageFault::ValueWhitespace),
                _ => Ok(()),
            };
            for name in [&b"x-a"[..], b"cookie", b"authorization"] {
                let outcome = with(name, value, &Policy::default());
                assert_eq!(outcome.as_ref().map(drop), expected.as_ref().map(drop), "{byte:#x} of {}", value.len());
                if let Ok(parts) = outcome {
                    let name = http::HeaderName::from_bytes(name).unwrap();
                    assert_eq!(parts.headers[name].as_bytes(), value);
                }
            }
        }
    }
}

#[test]
fn a_dropped_field_must_have_a_well_formed_value_too() {
    assert!(with(b"x_a", b"v", &Policy::default()).is_ok());
    assert_fault(with(b"x_a", b"v\0", &Policy::default()), MessageFault::ValueByte);
    let mut trailers = vec![field(b"content-length", b"1\r\n")];
    assert_fault(crate::message::trailers(&mut trailers, &Policy::default()), MessageFault::ValueByte);
}

#[test]
fn a_path_holds_no_control_no_space_no_fragment_and_nothing_a_uri_refuses() {
    for byte in ALL {
        for (path, refused) in [([b'/', b'a', byte, b'b'], &b"#<>`"[..]), ([b'/', b'?', byte, b'b'], b"#<>\"")] {
            let outcome = get_but(":path", &path);
            if let Ok(parts) = &outcome {
                assert_eq!(parts.uri.path_and_query().unwrap().as_str().as_bytes(), path);
            }
            let is_refused = byte <= b' ' || byte >= 0x7f || refused.contains(&byte);
            let expected = if is_refused { Err(MessageFault::PathByte) } else { Ok(()) };
            assert_eq!(outcome.map(drop), expected, "{byte:#x}");
        }
    }
}

#[test]
fn a_method_holds_tchar_only() {
    for byte in ALL {
        let is_token = LOWER_TCHAR.contains(&byte.to_ascii_lowercase());
        let expected = if is_token { Ok(()) } else { Err(MessageFault::Method) };
        assert_eq!(get_but(":method", &[b'M', byte, b'X']).map(drop), expected, "{byte:#x}");
    }
}

#[test]
fn an_authority_holds_host_characters_and_one_port_only() {
    for byte in ALL {
        let expected = match byte {
            b'@' => Err(MessageFault::Userinfo),
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b':' => Ok(()),
            _ if b"-._~!$&'()*+,;=".contains(&byte) => Ok(()),
            _ => Err(MessageFault::AuthorityForm),
        };
        assert_eq!(get_but(":authority", &[b'a', byte, b'1']).map(drop), expected, "{byte:#x}");
    }
}

#[test]
fn a_scheme_holds_letters_digits_and_three_signs_only() {
    for byte in ALL {
        let is_fine = byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
        let expected = if is_fine { Ok(()) } else { Err(MessageFault::Scheme) };
        assert_eq!(get_but(":scheme", &[b's', byte, b's']).map(drop), expected, "{byte:#x}");
    }
}

#[test]
fn a_content_length_holds_digits_only() {
    for byte in ALL {
        let outcome = with(b"content-length", &[b'1', byte, b'2'], &Policy::default()).map(drop);
        match byte {
            b'0'..=b'9' => assert_eq!(outcome, Ok(())),
            b'\t' | b' '..=b'~' | 0x80.. => assert_eq!(outcome, Err(MessageFault::ContentLength), "{byte:#x}"),
            _ => assert_eq!(outcome, Err(MessageFault::ValueByte), "{byte:#x}"),
        }
    }
}
