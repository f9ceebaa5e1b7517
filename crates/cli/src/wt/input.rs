//! Lines of standard input, and what they ask for.

use std::future::Future;
use std::io::{self, BufRead, Read};
use std::thread;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

/// Lines read ahead of what is done with them.
const LINES_AHEAD: usize = 16;
/// The longest line, bytes; the rest of a longer one counts as the next.
const LONGEST_LINE: u64 = 1024 * 1024;

/// What a line asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Command {
    Datagram(Vec<u8>),
    Bidirectional(Vec<u8>),
    Unidirectional(Vec<u8>),
    Stats,
    Drain,
    Close(u32, String),
    Help,
    Quit,
    /// None of them; the sentence says why.
    Mistake(String),
}

impl Command {
    /// A line without its end. Two slashes begin a datagram that begins with one.
    pub(super) fn parse(line: &[u8]) -> Self {
        let Some(rest) = line.strip_prefix(b"/") else { return Self::Datagram(line.to_vec()) };
        if rest.starts_with(b"/") {
            return Self::Datagram(rest.to_vec());
        }
        let end = rest.iter().position(|byte| *byte == b' ').unwrap_or(rest.len());
        let (name, text) = (&rest[..end], rest.get(end + 1..).unwrap_or_default());
        match name {
            b"bi" => Self::Bidirectional(text.to_vec()),
            b"uni" => Self::Unidirectional(text.to_vec()),
            b"stats" => Self::Stats,
            b"drain" => Self::Drain,
            b"close" => Self::parse_close(&String::from_utf8_lossy(text)),
            b"help" => Self::Help,
            b"quit" => Self::Quit,
            _ => Self::Mistake(format!("there is no /{}; /help lists what there is", super::shown(name))),
        }
    }

    fn parse_close(text: &str) -> Self {
        let (code, reason) = text.trim().split_once(' ').unwrap_or((text.trim(), ""));
        match if code.is_empty() { Ok(0) } else { code.parse() } {
            Ok(code) => Self::Close(code, reason.to_owned()),
            Err(_) => Self::Mistake(format!("/close takes a code from 0 to {}, then a reason", u32::MAX)),
        }
    }
}

/// Reads standard input on a thread of its own, which waits `linger` at its end: the channel closes after that.
pub(super) fn commands(linger: Duration) -> io::Result<mpsc::Receiver<Command>> {
    let (sender, receiver) = mpsc::channel(LINES_AHEAD);
    thread::Builder::new().name("input".to_owned()).spawn(move || {
        let mut input = io::stdin().lock();
        let mut line = Vec::new();
        while matches!(read_line(&mut input, &mut line), Ok(1..)) {
            let text = line.strip_suffix(b"\n").unwrap_or(&line);
            let text = text.strip_suffix(b"\r").unwrap_or(text);
            if sender.blocking_send(Command::parse(text)).is_err() {
                return;
            }
            line.clear();
        }
        thread::sleep(linger);
    })?;
    Ok(receiver)
}

fn read_line(input: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<usize> {
    input.by_ref().take(LONGEST_LINE).read_until(b'\n', line)
}

/// Ready when this time has passed.
pub(super) fn after(time: Duration) -> impl Future<Output = ()> {
    let (done, passed) = oneshot::channel::<()>();
    thread::spawn(move || {
        thread::sleep(time);
        // Whoever waited may have gone.
        let _ = done.send(());
    });
    async move {
        let _ = passed.await;
    }
}

#[cfg(test)]
mod tests {
    use super::{Command, LONGEST_LINE, read_line};

    #[test]
    fn long_line_comes_in_bounded_pieces() {
        let text = [vec![b'x'; usize::try_from(LONGEST_LINE).expect("a length") + 1], b"\nlast".to_vec()].concat();
        let mut input = &text[..];
        let mut read = || read_line(&mut input, &mut Vec::new()).expect("a line");
        assert_eq!([read(), read(), read(), read()], [text.len() - 6, 2, 4, 0]);
    }

    #[test]
    fn lines_are_datagrams_unless_they_begin_with_a_slash() {
        let bytes = |text: &str| text.as_bytes().to_vec();
        let cases = [
            ("hello /there", Command::Datagram(bytes("hello /there"))),
            ("", Command::Datagram(Vec::new())),
            ("//etc", Command::Datagram(bytes("/etc"))),
            ("/bi one two", Command::Bidirectional(bytes("one two"))),
            ("/bi", Command::Bidirectional(Vec::new())),
            ("/uni  x", Command::Unidirectional(bytes(" x"))),
            ("/stats", Command::Stats),
            ("/drain", Command::Drain),
            ("/close", Command::Close(0, String::new())),
            ("/close 7", Command::Close(7, String::new())),
            ("/close 4294967295 so long", Command::Close(u32::MAX, "so long".to_owned())),
            ("/help", Command::Help),
            ("/quit", Command::Quit),
        ];
        for (line, expected) in cases {
            assert_eq!(Command::parse(line.as_bytes()), expected, "{line}");
        }
        for line in ["/", "/bix", "/close x", "/close -1", "/close 4294967296"] {
            assert!(matches!(Command::parse(line.as_bytes()), Command::Mistake(_)), "{line}");
        }
    }
}
