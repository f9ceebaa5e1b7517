//! What a server is made with.

use std::ffi::{c_char, c_void};
use std::mem::{self, offset_of};
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use lorraine::RetryPolicy;
use lorraine::engine::CongestionControl;

use super::events::LorraineEventFunction;
use super::{Failure, text};
use crate::host::options::{EVENT_BYTES, Options};

/// Sessions are not spoken.
pub const LORRAINE_OPTION_NO_WEBTRANSPORT: u32 = 1;
/// Clients must always prove their address first (Retry), at the price of a round trip.
pub const LORRAINE_OPTION_RETRY_ALWAYS: u32 = 2;
/// Clients need never prove their address first.
pub const LORRAINE_OPTION_RETRY_NEVER: u32 = 4;

/// CUBIC (RFC 9438), the default.
pub const LORRAINE_CONGESTION_CUBIC: u32 = 0;
/// NewReno (RFC 9002).
pub const LORRAINE_CONGESTION_RENO: u32 = 1;
/// BBR version 2.
pub const LORRAINE_CONGESTION_BBR2: u32 = 2;

/// Settings of a server. Set all to zero first, then `size`, then what is to differ from the defaults: zero and NULL stand
/// for those. A library that is older than its header leaves out what it does not know.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct LorraineOptions {
    /// The size of this struct, as the caller knows it.
    pub size: u32,
    /// The UDP port; 0: the system chooses.
    pub port: u32,
    /// The address to listen on, as text; NULL: `::`, which is every address, IPv4 too.
    pub address: *const c_char,
    /// `libev`, `epoll`, `kqueue` or `io_uring`, as far as they are built in; NULL: the best that is.
    pub event_loop: *const c_char,
    /// Threads that serve, at most 255. 0: 1.
    pub workers: u32,
    /// `LORRAINE_OPTION_*`, added up.
    pub flags: u32,
    /// Silence after which a connection is given up, in ms. 0: 30,000.
    pub idle_timeout_ms: u32,
    /// `LORRAINE_CONGESTION_*`.
    pub congestion_control: u32,
    /// Connections that each worker keeps. 0: 65,536.
    pub max_connections: u32,
    /// Sessions of one connection. 0: 16.
    pub max_sessions: u32,
    /// Streams both ways that a client may have open, at most 16,383. 0: 100.
    pub max_streams_bidi: u32,
    /// Streams one way that a client may have open, at most 16,383. 0: 256.
    pub max_streams_uni: u32,
    /// Bytes of each body, and of each direction of a stream, that wait between worker and host. 0: 262,144.
    pub body_window: u32,
    /// Bytes of events that wait for the host; past it requests are answered with 503 and datagrams are dropped. 0: 8 MiB.
    pub event_bytes: u32,
    /// Requests, sessions and streams that the host may hold at once, at most 1,048,575; past it requests are answered
    /// with 503 and streams are reset. 0: 65,536.
    pub max_handles: u32,
    /// Must be 0.
    pub reserved: u32,
    /// A directory for a qlog file of each connection; NULL: none.
    pub qlog_dir: *const c_char,
    /// A file for TLS secrets, in the format of SSLKEYLOGFILE; NULL: none.
    pub key_log: *const c_char,
    /// Called with each event, on the workers' threads. NULL: events wait for `lorraine_poll`.
    pub on_event: LorraineEventFunction,
    /// Given to `on_event`.
    pub context: *mut c_void,
}

/// A struct shorter than this has no settings in it.
const SIZE_MIN: usize = offset_of!(LorraineOptions, address);

/// The settings that a caller passes; all defaults for NULL.
///
/// # Safety
/// `options` is NULL or points to a struct of the size that it says, whose strings end with NUL.
pub(crate) unsafe fn read(options: *const LorraineOptions) -> Result<(LorraineOptions, Options, usize), Failure> {
    // SAFETY: every field of the struct may be all zeros: numbers, pointers and an optional function.
    let mut own: LorraineOptions = unsafe { mem::zeroed() };
    if !options.is_null() {
        // SAFETY: the struct begins with its size, by the caller's word.
        let size = unsafe { options.cast::<u32>().read_unaligned() } as usize;
        if size < SIZE_MIN {
            return Err(Failure::argument(
                "the options say a size that is too small: set `size` to that of the struct",
            ));
        }
        let known = size.min(size_of::<LorraineOptions>());
        // SAFETY: the caller's struct has `size` bytes by its own word, and ours at least `known`. What is left out
        // stays zero.
        unsafe { std::ptr::copy_nonoverlapping(options.cast::<u8>(), (&raw mut own).cast::<u8>(), known) };
    }
    // SAFETY: the caller's word on the strings.
    let parsed = unsafe { parse(&own) }?;
    let event_bytes = if own.event_bytes == 0 { EVENT_BYTES } else { own.event_bytes as usize };
    Ok((own, parsed, event_bytes))
}

/// # Safety
/// The strings are NULL or end with NUL.
unsafe fn parse(own: &LorraineOptions) -> Result<Options, Failure> {
    let mut options = Options::default();
    if own.reserved != 0 {
        return Err(Failure::argument("`reserved` is not 0: set the struct to all zeros first"));
    }
    options.port = u16::try_from(own.port).map_err(|_| Failure::argument("the port is larger than 65535"))?;
    // SAFETY: the caller's word.
    if let Some(address) = unsafe { text(own.address) }? {
        let parsed: Result<IpAddr, _> = address.parse();
        options.address = parsed.map_err(|_| Failure::argument(format!("{address:?} is no IP address")))?;
    }
    // SAFETY: the caller's word.
    options.event_loop = unsafe { text(own.event_loop) }?.map(str::to_owned);
    let workers = u8::try_from(own.workers).map_err(|_| Failure::argument("there may be at most 255 workers"))?;
    options.workers = workers.max(1);
    options.webtransport = own.flags & LORRAINE_OPTION_NO_WEBTRANSPORT == 0;
    options.retry = match (own.flags & LORRAINE_OPTION_RETRY_ALWAYS, own.flags & LORRAINE_OPTION_RETRY_NEVER) {
        (0, 0) => None,
        (_, 0) => Some(RetryPolicy::Always),
        (0, _) => Some(RetryPolicy::Never),
        _ => return Err(Failure::argument("Retry cannot be sent both always and never")),
    };
    options.congestion_control = match own.congestion_control {
        LORRAINE_CONGESTION_CUBIC => None,
        LORRAINE_CONGESTION_RENO => Some(CongestionControl::Reno),
        LORRAINE_CONGESTION_BBR2 => Some(CongestionControl::Bbr2),
        other => return Err(Failure::argument(format!("there is no congestion control {other}"))),
    };
    options.idle_timeout = given(own.idle_timeout_ms).map(|ms| Duration::from_millis(u64::from(ms)));
    options.max_connections = given(own.max_connections).map(|count| count as usize);
    options.max_sessions = given(own.max_sessions).map(|count| count as usize);
    options.max_streams_bidi = given(own.max_streams_bidi).map(u64::from);
    options.max_streams_uni = given(own.max_streams_uni).map(u64::from);
    options.body_window = given(own.body_window).map_or(options.body_window, |bytes| bytes as usize);
    options.max_handles = given(own.max_handles).map_or(options.max_handles, |count| count as usize);
    // SAFETY: the caller's word.
    options.qlog_dir = unsafe { text(own.qlog_dir) }?.map(PathBuf::from);
    // SAFETY: the caller's word.
    options.key_log = unsafe { text(own.key_log) }?.map(PathBuf::from);
    Ok(options)
}

fn given(value: u32) -> Option<u32> {
    (value != 0).then_some(value)
}
