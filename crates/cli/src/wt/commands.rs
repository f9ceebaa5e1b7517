//! What the commands do, and what is shown of what comes.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{FutureExt, join4};
use futures_util::stream::StreamExt;
use lorraine::client::Connector;
use lorraine::webtransport::{RecvStream, SendStream, Session, StreamError};
use tokio::sync::Semaphore;

use super::input::{self, Command};
use super::{escaped, shown};
use crate::demo::echo::incoming;
use crate::output;

/// The most bytes of one piece that are shown.
const MOST_SHOWN: usize = 1024;
/// Streams that are being sent at once; while there are as many, standard input is not read on.
const SENDING_MOST: usize = 64;

const HELP: &str = "\
TEXT                   send a datagram; //TEXT sends one that begins with a slash
/bi TEXT               send TEXT on a new stream, and show the answer
/uni TEXT              send TEXT on a new stream one way
/stats                 show round trip, and what was sent and received
/drain                 ask the server to wind the session down
/close [CODE] [REASON] close the session
/quit                  close it with code 0";

/// A session that is being used. Cheap to clone.
#[derive(Clone)]
pub(super) struct Talk {
    session: Session,
    connector: Connector,
    sending: Arc<Semaphore>,
}

impl Talk {
    pub(super) fn new(session: Session, connector: Connector) -> Self {
        Self { session, connector, sending: Arc::new(Semaphore::new(SENDING_MOST)) }
    }

    /// Does what standard input asks for until its end, then closes the session.
    pub(super) async fn take_commands(&self, linger: Duration) {
        let mut commands = match input::commands(linger) {
            Ok(commands) => commands,
            Err(error) => return output::note(format_args!("cannot read standard input: {error}")),
        };
        while let Some(command) = commands.recv().await {
            match command {
                Command::Datagram(payload) => self.send_datagram(payload),
                Command::Bidirectional(text) => self.begin(|talk| talk.ask(text)).await,
                Command::Unidirectional(text) => self.begin(|talk| talk.tell(text)).await,
                Command::Stats => self.show_stats().await,
                Command::Drain => self.session.drain(),
                Command::Close(code, reason) => return self.session.close(code, &reason),
                Command::Help => output::note(HELP),
                Command::Quit => break,
                Command::Mistake(sentence) => output::note(sentence),
            }
        }
        self.session.close(0, "");
    }

    /// Shows what the server sends of its own accord, until the session ends.
    pub(super) async fn show_incoming(&self) {
        let session = &self.session;
        let both_ways =
            incoming(async || session.accept_bi().await).for_each_concurrent(None, async |(mut send, recv)| {
                show_stream("bi", recv).await;
                // Nothing to say; the server may wait for that.
                let _ = send.finish().await;
            });
        let one_way =
            incoming(async || session.accept_uni().await).for_each_concurrent(None, |recv| show_stream("uni", recv));
        let datagrams = session.datagrams().for_each(async |payload| show("datagram", &payload));
        let draining = async {
            session.draining().await;
            if !self.has_ended() {
                output::line("the server asks to wind the session down");
            }
        };
        join4(both_ways, one_way, datagrams, draining).await;
    }

    /// Runs beside the commands that follow.
    async fn begin<F: Future<Output = Result<(), StreamError>> + 'static>(&self, task: impl FnOnce(Self) -> F) {
        let task = task(self.clone());
        let permit = Arc::clone(&self.sending).acquire_owned().await;
        self.connector.spawn(async move {
            let _permit = permit;
            if let Err(error) = task.await {
                output::note(format_args!("not sent: {error}"));
            }
        });
    }

    fn send_datagram(&self, payload: Vec<u8>) {
        if let Err(error) = self.session.datagrams().send(payload) {
            output::note(format_args!("not sent: {error}"));
        }
    }

    async fn ask(self, text: Vec<u8>) -> Result<(), StreamError> {
        let (mut send, recv) = self.session.open_bi().await.map_err(|_| StreamError::Closed)?;
        // The answer may begin, and end, before all is sent, or long after.
        self.connector.spawn(show_stream("bi", recv));
        send_whole(&mut send, text).await
    }

    async fn tell(self, text: Vec<u8>) -> Result<(), StreamError> {
        let mut send = self.session.open_uni().await.map_err(|_| StreamError::Closed)?;
        send_whole(&mut send, text).await
    }

    fn has_ended(&self) -> bool {
        self.session.closed().now_or_never().is_some()
    }

    async fn show_stats(&self) {
        let stats = self.session.stats().await;
        let counters = stats.counters;
        let rtt = stats.rtt.map_or_else(|| "unknown".to_owned(), |rtt| format!("{:.2} ms", rtt.as_secs_f64() * 1000.0));
        output::line(format_args!("round trip {rtt}, packets lost {}", stats.packets_lost));
        output::line(format_args!(
            "streams: sent {} bytes, received {}; datagrams: sent {}, received {}, dropped unread {}",
            counters.bytes_sent,
            counters.bytes_received,
            counters.datagrams_sent,
            counters.datagrams_received,
            counters.datagrams_dropped,
        ));
    }
}

async fn send_whole(send: &mut SendStream, text: Vec<u8>) -> Result<(), StreamError> {
    send.write_bytes(text.into()).await?;
    send.finish().await
}

async fn show_stream(kind: &str, mut recv: RecvStream) {
    let name = format!("{kind} {}", recv.id());
    loop {
        match recv.read_chunk().await {
            Ok(Some(chunk)) => show(&name, &chunk),
            Ok(None) => return output::line(format_args!("{name} ended")),
            // The end of the session is told elsewhere.
            Err(StreamError::Closed) => return,
            Err(error) => return output::line(format_args!("{name}: {}", escaped(&error.to_string()))),
        }
    }
}

/// One line for a piece; the end of its own last line is not shown.
fn show(name: &str, bytes: &[u8]) {
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    match bytes.get(..MOST_SHOWN) {
        Some(first) if bytes.len() > MOST_SHOWN => {
            output::line(format_args!("{name}: {} ... ({} bytes)", shown(first), bytes.len()));
        }
        _ => output::line(format_args!("{name}: {}", shown(bytes))),
    }
}
