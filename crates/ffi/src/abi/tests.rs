//! What the functions do with arguments that cannot be used.
#![allow(clippy::undocumented_unsafe_blocks, reason = "NULL, zeros and buffers of this file, in every call")]

use std::ptr::{null, null_mut};

use super::body::*;
use super::events::*;
use super::metrics::*;
use super::options::*;
use super::request::*;
use super::server::*;
use super::session::*;
use super::submit::*;
use super::*;

/// A server that does not run; freed with this.
struct Made(u64);

impl Made {
    fn new() -> Self {
        Self::with(&zeroed()).unwrap()
    }

    fn with(options: &LorraineOptions) -> Result<Self, i32> {
        let mut server = 0;
        match unsafe { lorraine_new(options, &raw mut server) } {
            LORRAINE_OK => Ok(Self(server)),
            code => Err(code),
        }
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        lorraine_free(self.0);
    }
}

fn zeroed() -> LorraineOptions {
    let mut options: LorraineOptions = unsafe { std::mem::zeroed() };
    options.size = size_of::<LorraineOptions>() as u32;
    options
}

fn sentence() -> String {
    let mut buffer = [0u8; 300];
    let len = unsafe { lorraine_last_error(buffer.as_mut_ptr().cast(), buffer.len()) };
    String::from_utf8(buffer[..len.min(buffer.len())].to_vec()).unwrap()
}

#[test]
fn versions_are_told() {
    assert_eq!(lorraine_abi_version() >> 16, 1);
    for version in [lorraine_version(), lorraine_quiche_version()] {
        let text = unsafe { CStr::from_ptr(version) }.to_str().unwrap();
        assert_eq!(text.split('.').count(), 3, "{text}");
    }
}

#[test]
fn options_that_cannot_be_used_are_named() {
    type Change = fn(&mut LorraineOptions);
    let cases: [(Change, &str); 10] = [
        (|options| options.size = 0, "size"),
        (|options| options.size = 7, "size"),
        (|options| options.port = 65_536, "port"),
        (|options| options.address = c"nowhere".as_ptr(), "\"nowhere\" is no IP address"),
        (|options| options.address = c"\xff".as_ptr(), "UTF-8"),
        (|options| options.workers = 256, "255 workers"),
        (|options| options.flags = LORRAINE_OPTION_RETRY_ALWAYS | LORRAINE_OPTION_RETRY_NEVER, "Retry"),
        (|options| options.congestion_control = 99, "congestion control 99"),
        (|options| options.reserved = 1, "reserved"),
        (|options| options.key_log = c"\xff".as_ptr(), "UTF-8"),
    ];
    for (change, words) in cases {
        let mut options = zeroed();
        change(&mut options);
        assert_eq!(Made::with(&options).map(|made| made.0), Err(LORRAINE_ERROR_ARGUMENT), "{words}");
        assert!(sentence().contains(words), "{}", sentence());
    }
    let good = zeroed();
    assert_eq!(unsafe { lorraine_new(&raw const good, null_mut()) }, LORRAINE_ERROR_ARGUMENT);
}

#[test]
fn options_of_another_size_are_read_as_far_as_both_know_them() {
    let mut server = 0;
    assert_eq!(unsafe { lorraine_new(null(), &raw mut server) }, LORRAINE_OK);
    assert_eq!(lorraine_free(server), LORRAINE_OK);
    // An older host: what it does not know is not looked at.
    let mut options = zeroed();
    options.size = std::mem::offset_of!(LorraineOptions, workers) as u32;
    options.workers = 9_999;
    drop(Made::with(&options).unwrap());
    // A newer one: what is behind is not looked at either.
    #[repr(C)]
    struct Newer {
        known: LorraineOptions,
        more: [u64; 4],
    }
    let mut newer = Newer { known: zeroed(), more: [u64::MAX; 4] };
    newer.known.size = size_of::<Newer>() as u32;
    assert_eq!(unsafe { lorraine_new((&raw const newer).cast(), &raw mut server) }, LORRAINE_OK);
    assert_eq!(newer.more[0], u64::MAX);
    assert_eq!(lorraine_free(server), LORRAINE_OK);
}

/// Every function that takes a handle, with arguments that are good otherwise.
fn every_call(handle: u64) -> Vec<(&'static str, i64)> {
    let (mut data, mut length, mut stream) = (null(), 0, 0);
    let mut buffer = [0u64; 16];
    let bytes = buffer.as_mut_ptr().cast::<u8>();
    let mut metrics = LorraineMetrics { size: size_of::<LorraineMetrics>() as u64, ..LorraineMetrics::default() };
    let mut stats = LorraineSessionStats { size: 8, ..LorraineSessionStats::default() };
    let (name, text) = (c"name".as_ptr(), b"x: y".as_ptr());
    unsafe extern "C" fn never(_: *mut c_void, _: *const u8, _: usize) {
        unreachable!("nothing was taken");
    }
    unsafe {
        vec![
            ("release", lorraine_release(handle).into()),
            ("set_user_data", lorraine_set_user_data(handle, null_mut()).into()),
            ("poll", lorraine_poll(handle, bytes.cast(), 128, 1).into()),
            ("arm", lorraine_arm(handle).into()),
            ("doorbell", lorraine_doorbell(handle).into()),
            ("set_doorbell", lorraine_set_doorbell(handle, None, null_mut()).into()),
            ("metrics", lorraine_metrics(handle, &raw mut metrics).into()),
            ("request_text", lorraine_request_text(handle, 0, &raw mut data, &raw mut length).into()),
            ("request_param", lorraine_request_param(handle, name, &raw mut data, &raw mut length).into()),
            ("request_header", lorraine_request_header(handle, name, 0, &raw mut data, &raw mut length).into()),
            ("request_headers", lorraine_request_headers(handle, bytes, 128)),
            ("request_trailers", lorraine_request_trailers(handle, bytes, 128)),
            ("respond", lorraine_respond(handle, 200, text, 4, text, 4, 0).into()),
            ("request_inform", lorraine_request_inform(handle, 103, text, 4).into()),
            ("read", lorraine_read(handle, bytes, 128, null_mut())),
            ("write", lorraine_write(handle, text, 4)),
            ("write_owned", lorraine_write_owned(handle, text, 4, Some(never), null_mut())),
            ("finish", lorraine_finish(handle, null(), 0).into()),
            ("reset", lorraine_reset(handle, 0).into()),
            ("stop_sending", lorraine_stop_sending(handle, 0).into()),
            ("route", lorraine_route(handle, name, name, 0).into()),
            ("route_static", lorraine_route_static(handle, name, name, 200, text, 4, text, 4).into()),
            ("route_files", lorraine_route_files(handle, name, name).into()),
            ("route_session", lorraine_route_session(handle, name, null(), 0).into()),
            ("route_quic", lorraine_route_quic(handle, name, 0).into()),
            ("add_certificate", lorraine_add_certificate(handle, text, 4, text, 4).into()),
            ("add_certificate_files", lorraine_add_certificate_files(handle, name, name).into()),
            ("start", lorraine_start(handle).into()),
            ("port", lorraine_port(handle).into()),
            ("certificate_hash", lorraine_certificate_hash(handle, bytes).into()),
            ("reload_routes", lorraine_reload_routes(handle).into()),
            ("reload_tls", lorraine_reload_tls(handle).into()),
            ("stop", lorraine_stop(handle, 0).into()),
            ("wait", lorraine_wait(handle).into()),
            ("free", lorraine_free(handle).into()),
            ("session_accept", lorraine_session_accept(handle, null(), null(), 0).into()),
            ("session_close", lorraine_session_close(handle, 0, text, 4).into()),
            ("session_drain", lorraine_session_drain(handle).into()),
            ("datagram_send", lorraine_datagram_send(handle, text, 4).into()),
            ("session_stats", lorraine_session_stats(handle, &raw mut stats).into()),
            ("datagram_max", lorraine_datagram_max(handle)),
            ("stream_open", lorraine_stream_open(handle, 0, &raw mut stream).into()),
            ("id", lorraine_id(handle)),
            ("stream_order", lorraine_stream_order(handle, 0).into()),
        ]
    }
}

#[test]
fn stale_and_invented_handles_are_refused_by_every_function() {
    let freed = Made::new().0;
    let lives = Made::new();
    // Of a server: its number, an item that never was, and those of places that no server has.
    let invented = [0, 1, u64::MAX, 1 << 52, 1 << 53, 0xdead_beef_dead_beef, freed, lives.0 - 1, lives.0 ^ (1 << 20)];
    for handle in invented {
        for (name, code) in every_call(handle) {
            assert_eq!(code, i64::from(LORRAINE_ERROR_HANDLE), "{name} of {handle:#x}: {}", sentence());
        }
        assert!(lorraine_user_data(handle).is_null());
    }
    assert!(sentence().contains("handle"));
}

#[test]
fn handle_of_a_server_is_none_of_a_request_or_session() {
    let server = Made::new();
    let own = [
        "poll",
        "arm",
        "doorbell",
        "set_doorbell",
        "metrics",
        "route",
        "route_static",
        "route_files",
        "route_session",
        "route_quic",
        "add_certificate",
        "add_certificate_files",
        "start",
        "port",
        "certificate_hash",
        "reload_routes",
        "reload_tls",
        "stop",
        "wait",
        "free",
    ];
    // What begins with a start or ends the server is asked of a stale handle above.
    for (name, code) in every_call(server.0) {
        let is_own = own.contains(&name);
        assert_eq!(code == i64::from(LORRAINE_ERROR_HANDLE), !is_own, "{name}: {code} {}", sentence());
    }
}

#[test]
fn null_is_refused_where_something_is_to_be_read_or_written() {
    let server = Made::new();
    let name = c"/".as_ptr();
    let refused = unsafe {
        [
            lorraine_poll(server.0, null_mut(), 100, 1),
            lorraine_metrics(server.0, null_mut()),
            lorraine_route_files(server.0, null(), name),
            lorraine_route_files(server.0, name, null()),
            lorraine_route_session(server.0, null(), null(), 0),
            lorraine_route_quic(server.0, null(), 0),
            lorraine_route_static(server.0, name, name, 200, null(), 3, null(), 0),
            lorraine_route_static(server.0, name, name, 200, null(), 0, null(), 3),
            lorraine_route_static(server.0, name, name, 99, null(), 0, null(), 0),
            lorraine_route(server.0, c"GE T".as_ptr(), name, 0),
            lorraine_route(server.0, name, c"\xff".as_ptr(), 0),
            lorraine_add_certificate(server.0, null(), 10, null(), 0),
            lorraine_add_certificate(server.0, null(), 0, null(), 0),
            lorraine_add_certificate_files(server.0, null(), name),
            lorraine_add_certificate_files(server.0, c"/there/is/none".as_ptr(), name),
            lorraine_submit(null(), 8),
            lorraine_submit(b"x".as_ptr(), usize::MAX),
        ]
    };
    assert_eq!(refused, [LORRAINE_ERROR_ARGUMENT; 17]);
    assert_eq!(unsafe { lorraine_submit(null(), 0) }, 0);
    assert_eq!(unsafe { lorraine_last_error(null_mut(), 0) }, sentence().len());
}

#[test]
fn buffer_for_events_must_be_aligned() {
    let server = Made::new();
    let mut buffer = [0u64; 8];
    let begin = buffer.as_mut_ptr().cast::<u8>();
    for offset in 1..8 {
        let polled = unsafe { lorraine_poll(server.0, begin.add(offset).cast(), 32, 1) };
        assert_eq!(polled, LORRAINE_ERROR_ARGUMENT);
    }
    assert_eq!(unsafe { lorraine_poll(server.0, begin.cast(), 0, 1) }, 0, "there is nothing");
    assert_eq!(lorraine_arm(server.0), 1);
}

#[test]
fn numbers_are_written_as_far_as_the_caller_knows_them() {
    let server = Made::new();
    let mut metrics = [u64::MAX; 64];
    metrics[0] = 4;
    assert_eq!(unsafe { lorraine_metrics(server.0, metrics.as_mut_ptr().cast()) }, LORRAINE_ERROR_ARGUMENT);
    metrics[0] = 24;
    assert_eq!(unsafe { lorraine_metrics(server.0, metrics.as_mut_ptr().cast()) }, LORRAINE_OK);
    assert_eq!(metrics[..4], [24, 0, 0, u64::MAX]);
    let known = size_of::<LorraineMetrics>() / 8;
    metrics[0] = 64 * 8;
    assert_eq!(unsafe { lorraine_metrics(server.0, metrics.as_mut_ptr().cast()) }, LORRAINE_OK);
    assert_eq!((metrics[0], metrics[known - 1], metrics[known]), (64 * 8, 0, u64::MAX));
}

/// A command of which each number may be wrong.
fn command(kind: u32, size: u32, headers: u32, body: u32, len: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for word in [kind, size, 0, 0, 200, 0, headers, body] {
        bytes.extend_from_slice(&word.to_ne_bytes());
    }
    bytes.resize(len, b'x');
    bytes
}

#[test]
fn batches_that_are_no_commands_are_refused() {
    let submit = |bytes: &[u8]| unsafe { lorraine_submit(bytes.as_ptr(), bytes.len()) };
    let broken = [
        command(1, 32, 0, 0, 31),
        command(1, 0, 0, 0, 32),
        command(1, 24, 0, 0, 32),
        command(1, 33, 0, 0, 40),
        command(1, 40, 0, 0, 32),
        command(1, 32, 1, 0, 32),
        command(1, 40, 4, 5, 40),
        command(1, 40, u32::MAX, u32::MAX, 40),
        command(1, u32::MAX, 0, 0, 40),
        command(0, 32, 0, 0, 32),
        command(99, 32, 0, 0, 32),
    ];
    for batch in &broken {
        assert_eq!(submit(batch), LORRAINE_ERROR_ARGUMENT, "{batch:?}");
        // What stands before the bad one was carried out.
        let two = [command(3, 32, 0, 0, 32), batch.clone()].concat();
        assert_eq!(submit(&two), LORRAINE_ERROR_ARGUMENT);
    }
    // Whole, and of handles that are none: passed over. At whatever address.
    let whole = [command(1, 40, 4, 4, 40), command(2, 40, 0, 8, 40), command(3, 32, 0, 0, 32)].concat();
    assert_eq!(submit(&whole), 0);
    assert_eq!(submit(&[&[0][..], &whole].concat()[1..]), 0);
}

#[test]
fn panic_becomes_a_code() {
    assert_eq!(fenced(|| panic!("a test's own")), i64::from(LORRAINE_ERROR_PANIC));
    assert!(sentence().contains("Lorraine's own"));
}

#[test]
fn sentence_is_the_thread_s_own() {
    lorraine_release(0);
    assert!(!sentence().is_empty());
    let other = std::thread::spawn(|| unsafe { lorraine_last_error(null_mut(), 0) });
    assert_eq!(other.join().unwrap(), 0);
}

#[test]
fn nothing_keeps_a_server_that_was_freed() {
    let certificate = lorraine_testkit::Certificate::localhost();
    let (cert, key) = (certificate.cert.as_bytes(), certificate.key.as_bytes());
    let mut options = zeroed();
    options.address = c"127.0.0.1".as_ptr();
    let made = Made::with(&options).unwrap();
    let server = made.0;
    let host = Arc::downgrade(&server_of(server).unwrap());
    unsafe {
        assert_eq!(lorraine_add_certificate(server, cert.as_ptr(), cert.len(), key.as_ptr(), key.len()), 0);
        assert_eq!(lorraine_route(server, null(), c"/".as_ptr(), 1), 0);
        assert_eq!(lorraine_route_session(server, c"/wt".as_ptr(), null(), 2), 0);
        assert_eq!(lorraine_route_quic(server, c"quic-echo".as_ptr(), 3), 0);
    }
    assert_eq!(lorraine_start(server), 0, "{}", sentence());
    unsafe { assert_eq!(lorraine_route(server, null(), null(), 1), 0) };
    assert_eq!(lorraine_reload_routes(server), 0);
    assert_eq!((lorraine_stop(server, 0), lorraine_wait(server)), (0, 0));
    // Another test's invented handle may be just this one's place, and hold it for a moment.
    for _ in 0..5_000 {
        if host.strong_count() == 1 {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    assert_eq!(host.strong_count(), 1, "the registry's");
    drop(made);
    assert_eq!(host.strong_count(), 0);
}
