//! What the fuzzer does with bytes: it reads them as calls of the C interface, with handles and numbers that are right,
//! stale or made up. The fuzz target calls it, and so does `random_calls.rs`, which is a part of the ordinary tests.

use std::ptr;

use lorraine_ffi::abi::body::{lorraine_reset, lorraine_stop_sending};
use lorraine_ffi::abi::events::{lorraine_arm, lorraine_set_doorbell};
use lorraine_ffi::abi::options::LorraineOptions;
use lorraine_ffi::abi::server::{
    lorraine_free, lorraine_port, lorraine_reload_routes, lorraine_reload_tls, lorraine_start, lorraine_stop,
    lorraine_wait,
};
use lorraine_ffi::abi::session::{lorraine_datagram_max, lorraine_id, lorraine_session_drain, lorraine_stream_order};
use lorraine_ffi::abi::{
    LORRAINE_ERROR_LIMIT, LORRAINE_ERROR_PANIC, lorraine_release, lorraine_set_user_data, lorraine_user_data,
};

use super::calls;

/// Servers that one run has at a time.
const SERVERS: usize = 3;
/// Starts of one run: they cost a thread and a socket each.
const STARTS: usize = 1;

/// The bytes, as numbers and texts; zeros when they are used up.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn byte(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or(0)
    }

    fn word(&mut self) -> u32 {
        let mut word = [0; 4];
        let taken = self.take(4);
        word[..taken.len()].copy_from_slice(taken);
        u32::from_le_bytes(word)
    }

    fn long(&mut self) -> u64 {
        u64::from(self.word()) << 32 | u64::from(self.word())
    }

    fn take(&mut self, len: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// At most 255 bytes.
    fn bytes(&mut self) -> &'a [u8] {
        let len = self.byte();
        self.take(len.into())
    }

    /// A string without NUL, as C has them.
    fn text(&mut self) -> String {
        String::from_utf8_lossy(self.bytes()).replace('\0', "0")
    }

    fn choose<T: Copy>(&mut self, among: &[T]) -> T {
        among[usize::from(self.byte()) % among.len()]
    }
}

/// Makes the calls that `data` stand for. Gives how many servers ran.
///
/// # Panics
/// When one panics inside, gives a code that there is not, or forgets what it was told.
pub(crate) fn play(data: &[u8], certificate: (&str, &str)) -> usize {
    let mut run =
        Run { input: Input(data), servers: Vec::new(), handles: vec![0, u64::MAX], starts: 0, ran: 0, certificate };
    while !run.input.0.is_empty() {
        let code = run.step();
        assert!(code > i64::from(LORRAINE_ERROR_PANIC), "{code}: {}", calls::last_error());
    }
    for server in run.servers {
        // Not started, some of them.
        lorraine_stop(server, 0);
        assert_eq!((lorraine_wait(server), lorraine_free(server)), (0, 0));
    }
    run.ran
}

struct Run<'a> {
    input: Input<'a>,
    servers: Vec<u64>,
    /// Whatever was a handle once, or might be one.
    handles: Vec<u64>,
    starts: usize,
    ran: usize,
    certificate: (&'a str, &'a str),
}

impl Run<'_> {
    fn step(&mut self) -> i64 {
        match self.input.byte() % 8 {
            0 => self.make(),
            1 | 2 => self.declare(),
            3 => self.live(),
            4 => self.hear(),
            5 => self.submit(),
            6 => self.use_request(),
            _ => self.use_session(),
        }
    }

    fn handle(&mut self) -> u64 {
        let at = usize::from(self.input.byte());
        if at < 8 {
            return self.input.long();
        }
        let handle = self.handles[at % self.handles.len()];
        // Those of items lie near that of their server.
        if at < 64 { handle ^ u64::from(self.input.word()) } else { handle }
    }

    fn server(&mut self) -> u64 {
        let at = usize::from(self.input.byte());
        match self.servers.get(at % (SERVERS + 1)) {
            Some(server) => *server,
            None => self.handle(),
        }
    }

    fn make(&mut self) -> i64 {
        if self.servers.len() >= SERVERS {
            return 0;
        }
        let options = options(&mut self.input);
        match calls::new(&options) {
            Ok(server) => {
                assert!(server != 0 && server < 1 << 53 && !self.handles.contains(&server), "{server:#x}");
                self.servers.push(server);
                self.handles.push(server);
                0
            }
            // Other threads of the same process have theirs.
            Err(LORRAINE_ERROR_LIMIT) => 0,
            Err(code) => i64::from(code),
        }
    }

    fn declare(&mut self) -> i64 {
        let (server, kind, number) = (self.server(), self.input.byte(), self.input.word());
        let pattern = match self.input.byte() % 4 {
            0 => self.input.text(),
            1 => "/:id".into(),
            _ => "/files/*".into(),
        };
        let code = match kind % 6 {
            0 | 1 => {
                let method = self.input.choose(&[None, Some("GET"), Some("*"), Some(""), Some("no method")]);
                calls::route(server, method, (kind & 8 == 0).then_some(&*pattern), number)
            }
            2 => {
                let (headers, body) = (self.input.text(), self.input.bytes());
                calls::route_static(server, &pattern, number % 1000, &headers, body)
            }
            3 => {
                let protocol = self.input.text();
                calls::route_session(server, &pattern, (kind & 8 == 0).then_some(&*protocol), number)
            }
            // Names of protocols live for ever: few of them.
            4 => calls::route_quic(server, self.input.choose(&["", "a", "h3", "quic-echo"]), number),
            _ => calls::add_certificate(server, &self.input.text(), &self.input.text()),
        };
        code.into()
    }

    fn live(&mut self) -> i64 {
        let server = self.server();
        let code = match self.input.byte() % 8 {
            0 if self.starts < STARTS && self.servers.contains(&server) => {
                self.starts += 1;
                calls::add_certificate(server, self.certificate.0, self.certificate.1);
                let code = lorraine_start(server);
                self.ran += usize::from(code == 0);
                code
            }
            1 => lorraine_stop(server, self.input.word()),
            // Only one that stops can be waited for.
            2 if lorraine_stop(server, 0) == 0 => lorraine_wait(server),
            3 => {
                let freed = lorraine_free(server);
                assert_eq!(freed == 0, self.servers.contains(&server));
                self.servers.retain(|lives| *lives != server);
                freed
            }
            4 => lorraine_reload_routes(server),
            5 => lorraine_reload_tls(server),
            6 => calls::certificate_hash(server).map_or_else(|code| code, |_| 0),
            _ => lorraine_port(server),
        };
        code.into()
    }

    fn hear(&mut self) -> i64 {
        let server = self.server();
        let code = match self.input.byte() % 4 {
            0 => {
                let (capacity, most) = (self.input.byte(), self.input.word());
                match calls::poll(server, usize::from(capacity) * 16, most) {
                    Ok(events) => {
                        self.handles.extend(events.iter().map(|event| event.handle));
                        0
                    }
                    Err(code) => code,
                }
            }
            1 => lorraine_arm(server),
            2 if self.servers.contains(&server) => {
                drop(calls::doorbell(server));
                0
            }
            // SAFETY: no function is set.
            _ => unsafe { lorraine_set_doorbell(server, None, ptr::null_mut()) },
        };
        code.into()
    }

    fn submit(&mut self) -> i64 {
        let mut batch = Vec::new();
        for _ in 0..self.input.byte() % 4 {
            let (kind, handle) = (u32::from(self.input.byte() % 5), self.handle());
            let (status, flags) = (self.input.word() % 1000, self.input.word() % 8);
            batch.extend(calls::command(kind, handle, status, flags, &self.input.text(), self.input.bytes()));
        }
        batch.extend_from_slice(self.input.bytes());
        calls::submit(&batch).into()
    }

    fn use_request(&mut self) -> i64 {
        let handle = self.handle();
        let (text, bytes) = (self.input.text(), self.input.bytes());
        let code = match self.input.byte() % 13 {
            11 => calls::inform(handle, self.input.word() % 300, &text),
            0 => calls::respond(handle, self.input.word() % 1000, &text, bytes, self.input.word()),
            1 => return calls::read(handle, &mut [0; 64]).0,
            2 => return calls::write(handle, bytes),
            3 => calls::finish(handle, &text),
            4 => lorraine_reset(handle, self.input.word()),
            5 => lorraine_stop_sending(handle, self.input.word()),
            6 => lorraine_release(handle),
            7 => return calls::trailers(handle).map_or_else(|code| code, |_| 0),
            8 => return calls::headers(handle).map_or_else(|code| code, |_| 0),
            9 => calls::text(handle, self.input.word()).map_or_else(|code| code, |_| 0),
            10 => calls::header(handle, &text, self.input.word()).map_or_else(|code| code, |_| 0),
            _ => calls::param(handle, &text).map_or_else(|code| code, |_| 0),
        };
        code.into()
    }

    fn use_session(&mut self) -> i64 {
        let handle = self.handle();
        let text = self.input.text();
        let code = match self.input.byte() % 10 {
            8 => calls::session_stats(handle).map_or_else(|code| code, |_| 0),
            0 => calls::accept(handle, Some(&text), &text),
            1 => calls::close(handle, self.input.word(), &text),
            2 => calls::send_datagram(handle, text.as_bytes()),
            3 => lorraine_session_drain(handle),
            4 => return lorraine_datagram_max(handle),
            5 => calls::open_stream(handle, text.is_empty()).map_or_else(|code| code, |_| 0),
            6 => return lorraine_id(handle),
            7 => lorraine_stream_order(handle, self.input.word() as i32),
            _ => {
                let noted = ptr::without_provenance_mut(self.input.byte().into());
                let code = lorraine_set_user_data(handle, noted);
                assert_eq!(lorraine_user_data(handle), if code == 0 { noted } else { ptr::null_mut() });
                code
            }
        };
        code.into()
    }
}

/// Options of which any may be wrong. None that names a file.
fn options(input: &mut Input<'_>) -> LorraineOptions {
    LorraineOptions {
        size: input.choose(&[size_of::<LorraineOptions>() as u32, 40, 8, 0, u32::MAX]),
        port: input.choose(&[0, 0, 0, 65_536]),
        address: input.choose(&[c"127.0.0.1", c"::1", c"nowhere"]).as_ptr(),
        event_loop: input.choose(&[ptr::null(), ptr::null(), c"no such loop".as_ptr()]),
        workers: input.choose(&[0, 1, 2, 256]),
        flags: input.word() % 8,
        idle_timeout_ms: input.word(),
        congestion_control: u32::from(input.byte() % 4),
        max_connections: input.word(),
        max_sessions: input.word(),
        max_streams_bidi: input.word(),
        max_streams_uni: input.word(),
        body_window: input.word(),
        event_bytes: input.word(),
        max_handles: input.word(),
        reserved: u32::from(input.byte() > 250),
        qlog_dir: ptr::null(),
        key_log: ptr::null(),
        on_event: None,
        context: ptr::null_mut(),
    }
}
