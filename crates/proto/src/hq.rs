//! HTTP/0.9 over QUIC, ALPN `hq-interop`: `GET /path`, then the bare body. Interoperability tools speak it; it has no
//! status, no fields and no way to tell an error but a reset.

use std::collections::{HashMap, VecDeque};

use bytes::{Buf, Bytes, BytesMut};
use http::{Method, Uri, Version};

use crate::budget::Budget;
use crate::config::Limits;
use crate::connection::Sent;
use crate::event::Event;
use crate::fault::ConnectionFault;
use crate::request_ids::RequestIds;
use crate::transport::{Received, SendError, Transport};
use crate::types::{Code, StreamId};

/// A request line, bytes.
const LINE_LIMIT: usize = 8 * 1024;

/// The server's side of an `hq-interop` connection.
#[derive(Debug, Default)]
pub struct Connection {
    /// Requests seen; none of them is told twice.
    ids: RequestIds,
    streams: HashMap<StreamId, Stream, foldhash::fast::RandomState>,
    events: VecDeque<Event>,
    /// Against requests that are taken back as soon as they are made.
    budget: Budget,
    limits: Limits,
}

#[derive(Debug, Default)]
struct Stream {
    line: BytesMut,
    told: bool,
    /// The transport has given the last byte, or a reset.
    ended: bool,
    /// The application waits for `Event::Writable`.
    waiting: bool,
}

impl Connection {
    /// Stream `id` has something to read. A request line that is none resets its stream.
    pub fn handle_readable(&mut self, id: StreamId, t: &mut impl Transport) {
        if !id.is_request() {
            return t.stop_sending(id, Code::H3_STREAM_CREATION_ERROR);
        }
        if !self.streams.contains_key(&id) {
            if !self.ids.admit(id) {
                return;
            }
            self.streams.insert(id, Stream::default());
        }
        while let Some(stream) = self.streams.get_mut(&id).filter(|stream| !stream.ended) {
            match t.recv(id, &mut stream.line, LINE_LIMIT) {
                Ok(None | Some(Received { len: 0, fin: false })) => return,
                Ok(Some(Received { fin, .. })) => stream.ended = fin,
                // A request that was told was whole: it is answered all the same.
                Err(_) if stream.told => stream.ended = true,
                Err(_) => return self.refuse(id, t),
            }
            self.read_line(id, t);
        }
    }

    fn read_line(&mut self, id: StreamId, t: &mut impl Transport) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        if stream.told {
            // What follows the request has no meaning.
            stream.line.clear();
        } else if stream.ended || stream.line.contains(&b'\n') {
            let Some(parts) = parse_line(&stream.line) else { return self.refuse(id, t) };
            stream.told = true;
            stream.line = BytesMut::new();
            self.budget.request(&self.limits);
            self.events.push_back(Event::Request { stream: id, parts: Box::new(parts), end: true });
        } else if stream.line.len() >= LINE_LIMIT {
            self.refuse(id, t);
        }
    }

    /// Stream `id` has room again, or was stopped.
    ///
    /// # Errors
    /// Too many requests were taken back: the connection must be closed.
    pub fn handle_writable(&mut self, id: StreamId, t: &mut impl Transport) -> Result<(), ConnectionFault> {
        let Some(stream) = self.streams.get_mut(&id) else { return Ok(()) };
        match t.capacity(id, 0) {
            Ok(_) if std::mem::take(&mut stream.waiting) => self.events.push_back(Event::Writable(id)),
            Ok(_) => {}
            Err(error) => {
                let Some(stream) = self.forget(id, t) else { return Ok(()) };
                match error {
                    SendError::Stopped(code) if stream.told => {
                        self.events.push_back(Event::Stopped(id, code));
                        return self.budget.cut_off(&self.limits);
                    }
                    // Who waits for room finds out when trying again.
                    SendError::Gone if stream.waiting => self.events.push_back(Event::Writable(id)),
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// Some streams were stopped, and the transport does not say which.
    ///
    /// # Errors
    /// As [`handle_writable`](Self::handle_writable).
    pub fn handle_stopped(&mut self, t: &mut impl Transport) -> Result<(), ConnectionFault> {
        let ids: Vec<StreamId> = self.streams.keys().copied().collect();
        ids.into_iter().try_for_each(|id| self.handle_writable(id, t))
    }

    /// The next thing to tell, oldest first.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Requests that are not answered yet.
    #[must_use]
    pub fn active_requests(&self) -> usize {
        self.streams.len()
    }

    /// Begins the answer: only a success has one, anything else resets the stream.
    pub fn respond(
        &mut self,
        id: StreamId,
        parts: &http::response::Parts,
        body: &mut Bytes,
        end: bool,
        t: &mut impl Transport,
    ) -> Sent {
        if parts.status.is_informational() {
            return Sent::All;
        }
        if !parts.status.is_success() {
            self.refuse(id, t);
            return Sent::Gone;
        }
        self.send_data(id, body, end, t)
    }

    /// Sends more of the body; what was taken is split off the front of `data`.
    pub fn send_data(&mut self, id: StreamId, data: &mut Bytes, end: bool, t: &mut impl Transport) -> Sent {
        let Some(stream) = self.streams.get_mut(&id) else { return Sent::Gone };
        if !data.is_empty() || end {
            match t.send_bytes(id, data, end) {
                Ok(_) if data.is_empty() => {}
                Ok(_) if t.capacity(id, data.len().min(1024)).is_ok() => {
                    stream.waiting = true;
                    return Sent::Blocked;
                }
                Ok(_) | Err(_) => {
                    self.forget(id, t);
                    return Sent::Gone;
                }
            }
        }
        if end {
            self.forget(id, t);
        }
        Sent::All
    }

    /// Abandons the answer.
    pub fn reset(&mut self, id: StreamId, code: Code, t: &mut impl Transport) {
        if self.forget(id, t).is_some() {
            t.reset(id, code);
        }
    }

    /// The stream is done with. What it may still bring is not read any more, and so it must not wait to be.
    fn forget(&mut self, id: StreamId, t: &mut impl Transport) -> Option<Stream> {
        let stream = self.streams.remove(&id)?;
        if !stream.ended {
            t.stop_sending(id, Code::H3_NO_ERROR);
        }
        Some(stream)
    }

    fn refuse(&mut self, id: StreamId, t: &mut impl Transport) {
        if self.forget(id, t).is_some() {
            t.reset(id, Code::H3_REQUEST_CANCELLED);
        }
    }
}

fn parse_line(line: &BytesMut) -> Option<http::request::Parts> {
    let mut path = line.clone().freeze();
    path.starts_with(b"GET ").then(|| path.advance(4))?;
    let end = path.iter().position(|byte| byte.is_ascii_whitespace()).unwrap_or(path.len());
    path.truncate(end);
    path.starts_with(b"/").then_some(())?;
    let mut request = http::Request::new(());
    *request.method_mut() = Method::GET;
    *request.version_mut() = Version::HTTP_09;
    *request.uri_mut() = Uri::from_maybe_shared(path).ok()?;
    Some(request.into_parts().0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_get_with_a_path_is_a_request_line() {
        let path = |line: &[u8]| parse_line(&BytesMut::from(line)).map(|parts| parts.uri.path().to_owned());
        assert_eq!(path(b"GET /a/b\r\n").as_deref(), Some("/a/b"));
        assert_eq!(path(b"GET /a").as_deref(), Some("/a"));
        for line in [&b"POST /a\r\n"[..], b"GET a\r\n", b"GET", b"", b"GET \r\n", b"GET /\xff\x00\r\n"] {
            assert_eq!(path(line), None, "{line:?}");
        }
    }
}
