//! `lorraine wt`: a WebTransport session in the terminal.

mod commands;
mod input;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use futures_util::future::{Either, FutureExt, select};
use http::{Request, header};
use lorraine::client::{Connection, Connector, Subprotocols};
use lorraine::webtransport::{Session, SessionClosed};
use lorraine::{Client, ClientError, Trust};

use crate::Outcome;
use crate::args::WtArgs;
use crate::get;
use crate::output;
use commands::Talk;

type AnyError = Box<dyn std::error::Error>;

pub(crate) fn run(args: &WtArgs) -> Outcome {
    let uri = get::parse(&args.url)?;
    let trust = match (args.insecure, args.certificate_hash.is_empty()) {
        (true, _) => Trust::Insecure,
        (false, false) => Trust::Pinned(args.certificate_hash.clone()),
        (false, true) => Trust::System,
    };
    let mut client = Client::builder().trust(trust).build()?;
    let connector = client.connector();
    client.block_on(async {
        let since = Instant::now();
        let connection = connector.connect(&uri).await.map_err(|error| explain(error, args))?;
        let session = open(&connection, args, &uri).await?;
        let datagram = session.datagrams().max_len().await;
        output::line(format_args!("session {} at {uri}, open after {:.1} ms", session.id(), millis(since)));
        output::line(format_args!("subprotocol: {}", session.protocol().map_or("none".to_owned(), escaped)));
        match datagram {
            Some(len) => output::line(format_args!("datagrams: at most {len} bytes")),
            // One that is over already takes none either.
            None if session.closed().now_or_never().is_some() => {}
            None => output::line("datagrams: the server takes none"),
        }
        output::note("type a line to send it as a datagram, /help for more");
        let closed = talk(session.clone(), connector.clone(), args).await;
        if matches!(closed, SessionClosed::ByUs { .. }) {
            take_leave(&session).await;
        }
        output::line(format_args!("closed: {}", describe(&closed)));
        Ok::<_, AnyError>(match closed {
            SessionClosed::ByPeer { .. } | SessionClosed::ByUs { .. } => ExitCode::SUCCESS,
            _ => ExitCode::FAILURE,
        })
    })?
}

async fn open(connection: &Connection, args: &WtArgs, uri: &http::Uri) -> Result<Session, AnyError> {
    let mut request = Request::get(uri.clone()).body(())?;
    if let Some(origin) = &args.origin {
        request.headers_mut().insert(header::ORIGIN, origin.clone());
    }
    if !args.protocol.is_empty() {
        request.extensions_mut().insert(Subprotocols(args.protocol.clone()));
    }
    Ok(connection.open_session(request).await?)
}

/// Takes commands and shows what comes, until the session ends.
async fn talk(session: Session, connector: Connector, args: &WtArgs) -> SessionClosed {
    let talk = Talk::new(session.clone(), connector);
    let ended = async {
        talk.take_commands(args.linger).await;
        session.closed().await
    };
    // Whichever ends first, what came is shown to its end.
    match select(Box::pin(ended), Box::pin(talk.show_incoming())).await {
        Either::Left((closed, _)) => closed,
        Either::Right(((), _)) => session.closed().await,
    }
}

/// Gives the close of the session the time to arrive, and to be sent again: the end of the connection overtakes it.
async fn take_leave(session: &Session) {
    let rtt = session.stats().await.rtt.unwrap_or_default();
    input::after((3 * rtt).clamp(LEAVE_MIN, LEAVE_MAX)).await;
}

/// Bounds of the time between the close of a session and that of its connection.
const LEAVE_MIN: Duration = Duration::from_millis(50);
const LEAVE_MAX: Duration = Duration::from_secs(1);

/// A sentence that says what to do about a certificate, where there is something to do.
fn explain(error: ClientError, args: &WtArgs) -> AnyError {
    match error {
        ClientError::Certificate(_) if !args.insecure && args.certificate_hash.is_empty() => {
            format!("{error}; --certificate-hash names the one to accept, --insecure accepts any").into()
        }
        error => error.into(),
    }
}

fn describe(closed: &SessionClosed) -> String {
    let with_code = |who: &str, code: u32, reason: &str| match reason {
        "" => format!("by {who}, code {code}"),
        reason => format!("by {who}, code {code}, {}", escaped(reason)),
    };
    match closed {
        SessionClosed::ByPeer { code, reason } => with_code("the server", *code, reason),
        SessionClosed::ByUs { code, reason } => with_code("this side", *code, reason),
        other => other.to_string(),
    }
}

/// Text that does nothing to a terminal.
fn escaped(text: &str) -> String {
    shown(text.as_bytes())
}

/// Bytes as text where they are text, without anything that a terminal obeys.
fn shown(bytes: &[u8]) -> String {
    let mut shown = String::new();
    for chunk in bytes.utf8_chunks() {
        for char in chunk.valid().chars() {
            if char.is_control() || is_format(char) {
                shown.extend(char.escape_default());
            } else {
                shown.push(char);
            }
        }
        shown.extend(chunk.invalid().iter().map(|byte| format!("\\x{byte:02x}")));
    }
    shown
}

/// Characters that turn the direction of a line or hide in it.
fn is_format(char: char) -> bool {
    matches!(char, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

fn millis(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1000.0
}

#[cfg(test)]
mod tests {
    use super::shown;

    #[test]
    fn what_a_terminal_obeys_is_escaped() {
        let cases: [(&[u8], &str); 5] = [
            ("Grüße, 世界".as_bytes(), "Grüße, 世界"),
            (b"\x1b[2Jgone\r\n", "\\u{1b}[2Jgone\\r\\n"),
            (b"a\xff\xfeb", "a\\xff\\xfeb"),
            ("\u{9b}31m".as_bytes(), "\\u{9b}31m"),
            ("a\u{202e}b".as_bytes(), "a\\u{202e}b"),
        ];
        for (bytes, expected) in cases {
            assert_eq!(shown(bytes), expected);
        }
    }
}
