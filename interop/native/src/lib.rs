//! WebTransport clients of other stacks, behind one set of calls: what the cases and the load generator are written on.

pub mod cases;
pub mod load;
pub mod stack;

/// What went wrong, in words.
pub type Fault = Box<dyn std::error::Error + Send + Sync>;

/// A SHA-256 in hex, with or without colons.
///
/// # Errors
/// When it is none.
pub fn parse_hash(text: &str) -> Result<[u8; 32], String> {
    let digits: String = text.chars().filter(|character| *character != ':').collect();
    let bytes = (0..digits.len())
        .step_by(2)
        .map(|at| digits.get(at..at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok()));
    let bytes: Vec<u8> = bytes.collect::<Option<_>>().ok_or("a hash has hexadecimal digits only")?;
    bytes.try_into().map_err(|_| "a SHA-256 has 64 hexadecimal digits".to_owned())
}
