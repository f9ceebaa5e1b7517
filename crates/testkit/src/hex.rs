//! Bytes as people write them in specifications.

use std::fmt::Write;

/// `bytes` as lower-case hexadecimal digits without separators.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a String cannot fail");
        text
    })
}

/// The bytes that hexadecimal `text` stands for. White space may stand anywhere.
///
/// # Panics
/// On another character and on an odd number of digits: the text is written in a test.
pub fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.chars().filter(|c| !c.is_whitespace()).map(digit).collect();
    assert!(digits.len().is_multiple_of(2), "an odd number of hexadecimal digits in {text:?}");
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

fn digit(c: char) -> u8 {
    match c.to_digit(16) {
        Some(value) => value as u8,
        None => panic!("{c:?} is not a hexadecimal digit"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_and_unhex_are_inverse() {
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(unhex(&hex(&all)), all);
    }

    #[test]
    fn unhex_ignores_white_space_and_case() {
        assert_eq!(unhex(" 0A ff\n 00"), [0x0a, 0xff, 0x00]);
    }

    #[test]
    #[should_panic(expected = "odd number")]
    fn unhex_refuses_half_a_byte() {
        unhex("abc");
    }

    #[test]
    #[should_panic(expected = "not a hexadecimal digit")]
    fn unhex_refuses_other_letters() {
        unhex("0g");
    }
}
