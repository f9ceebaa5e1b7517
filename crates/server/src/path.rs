//! Percent-encoding in paths: the normal form they are compared in, and the decoding of parameters.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

/// A `%` that is not followed by two hex digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BadEscape;

/// The normal form of RFC 3986 §6.2.2: escapes of unreserved characters decoded, the hex of the others in upper case,
/// and what may not stand in a path escaped. A path that is in it already and has no `%` costs one pass and no
/// allocation.
pub(crate) fn normalize(path: &str) -> Result<Cow<'_, str>, BadEscape> {
    if path.bytes().all(is_plain) {
        return Ok(Cow::Borrowed(path));
    }
    let mut normal = String::with_capacity(path.len() + ESCAPE_LEN);
    let mut bytes = path.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let escaped = hex(bytes.next())? << 4 | hex(bytes.next())?;
            if is_unreserved(escaped) { normal.push(char::from(escaped)) } else { push_escape(&mut normal, escaped) }
        } else if is_plain(byte) {
            normal.push(char::from(byte));
        } else {
            push_escape(&mut normal, byte);
        }
    }
    Ok(Cow::Owned(normal))
}

/// Decodes a parameter; `None` if it is not UTF-8. Escapes are known to be well-formed.
pub(crate) fn decode(segment: &str) -> Option<Cow<'_, str>> {
    percent_decode_str(segment).decode_utf8().ok()
}

/// Whether a byte stands for itself in a path.
fn is_plain(byte: u8) -> bool {
    PLAIN[usize::from(byte)]
}

/// RFC 3986 §2.3.
const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

fn hex(digit: Option<u8>) -> Result<u8, BadEscape> {
    let value = digit.and_then(|digit| char::from(digit).to_digit(16)).ok_or(BadEscape)?;
    u8::try_from(value).map_err(|_| BadEscape)
}

fn push_escape(normal: &mut String, byte: u8) {
    normal.push('%');
    normal.push(char::from(HEX[usize::from(byte >> 4)]));
    normal.push(char::from(HEX[usize::from(byte & 0xf)]));
}

/// `pchar` of RFC 3986 §3.3 without escapes, and the slash.
static PLAIN: [bool; 256] = {
    let mut plain = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        plain[byte as usize] =
            is_unreserved(byte) || matches!(byte, b'!' | b'$' | b'&'..=b',' | b':'..=b';' | b'=' | b'@' | b'/');
        byte += 1;
    }
    plain
};

const HEX: &[u8; 16] = b"0123456789ABCDEF";

/// `%` and two digits.
const ESCAPE_LEN: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normal_form_table() {
        let cases = [
            ("/", Ok("/")),
            ("/a/b", Ok("/a/b")),
            ("/%61%7e", Ok("/a~")),
            ("/caf%c3%a9", Ok("/caf%C3%A9")),
            ("/café", Ok("/caf%C3%A9")),
            ("/a b", Ok("/a%20b")),
            ("/a%2fb", Ok("/a%2Fb")),
            ("/\"<>\\^`{|}", Ok("/%22%3C%3E%5C%5E%60%7B%7C%7D")),
            ("/!$&'()*+,;=:@", Ok("/!$&'()*+,;=:@")),
            ("/%21", Ok("/%21")),
            ("/%2e%2E/", Ok("/../")),
            ("/%2561", Ok("/%2561")),
            ("/%00", Ok("/%00")),
            ("/%", Err(BadEscape)),
            ("/%2", Err(BadEscape)),
            ("/%g0", Err(BadEscape)),
            ("/%0g", Err(BadEscape)),
            ("/%+1", Err(BadEscape)),
            ("/%%41", Err(BadEscape)),
        ];
        for (path, expected) in cases {
            assert_eq!(normalize(path).as_deref().map_err(|error| *error), expected, "{path}");
        }
    }

    #[test]
    fn normal_form_is_its_own_normal_form() {
        for path in ["/%61/%2f", "/é%ff%25", "/ %20", "/:a@b!$&'()*+,;="] {
            let once = normalize(path).unwrap();
            assert_eq!(normalize(&once).unwrap(), once, "{path}");
        }
    }

    #[test]
    fn plain_path_is_not_copied() {
        assert!(matches!(normalize("/a/b-c_d.e~f"), Ok(Cow::Borrowed(_))));
    }

    #[test]
    fn parameters_are_decoded_once_and_must_be_utf8() {
        assert_eq!(decode("a%2Fb").as_deref(), Some("a/b"));
        assert_eq!(decode("%2541").as_deref(), Some("%41"));
        assert_eq!(decode("%C3%A9").as_deref(), Some("é"));
        assert_eq!(decode("%C3"), None);
        assert_eq!(decode("a+b").as_deref(), Some("a+b"));
    }
}
