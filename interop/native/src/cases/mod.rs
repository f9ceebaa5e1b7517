//! The cases, by the names that they have in the browsers' suites, against the routes of Lorraine's demo.

mod datagrams;
mod sessions;
mod streams;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::{Duration, Instant};

use crate::Fault;
use crate::stack::{Client, NotOpened, Request, Session, Stack};

/// Where the cases go, and with which stack.
pub struct Visit {
    /// The client stack.
    pub stack: Stack,
    /// The server, `https://ADDRESS:PORT`.
    pub base: String,
    /// SHA-256 of the server's certificate.
    pub hash: [u8; 32],
    /// Of the stack, and trusting the certificate.
    pub client: Client,
}

impl Visit {
    /// A visit with a client of its own.
    ///
    /// # Errors
    /// When no socket can be had.
    pub fn new(stack: Stack, base: &str, hash: [u8; 32]) -> Result<Self, Fault> {
        let base = base.trim_end_matches('/').to_owned();
        Ok(Self { stack, base, hash, client: Client::new(stack, hash)? })
    }

    async fn open(&self, path: &str) -> Result<Session, NotOpened> {
        self.open_with(path, &[], &[]).await
    }

    async fn open_with(&self, path: &str, headers: &[(&str, &str)], protocols: &[&str]) -> Result<Session, NotOpened> {
        let url = format!("{}{path}", self.base);
        self.client.connect(&Request { url: &url, headers, protocols }).await
    }
}

/// What became of a case.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// It holds; with a remark, or nothing.
    Ok(String),
    /// The stack cannot make it, and why.
    Skip(String),
    /// It does not hold, and what came instead.
    Fail(String),
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ok(_) => "ok",
            Self::Skip(_) => "skip",
            Self::Fail(_) => "fail",
        })
    }
}

/// Runs one case with a deadline.
pub async fn run(name: &str, case: Case, visit: &Visit) -> (Verdict, Duration) {
    let began = Instant::now();
    let verdict = match tokio::time::timeout(DEADLINE, case(visit)).await {
        Ok(Ok(remark)) => Verdict::Ok(remark),
        Ok(Err(fault)) => match fault.downcast_ref::<Skip>() {
            Some(Skip(reason)) => Verdict::Skip((*reason).to_owned()),
            None => Verdict::Fail(fault.to_string()),
        },
        Err(_) => Verdict::Fail(format!("{name} is not done after {} s", DEADLINE.as_secs())),
    };
    (verdict, began.elapsed())
}

/// A case: it returns a remark.
pub type Case = for<'a> fn(&'a Visit) -> Pin<Box<dyn Future<Output = Result<String, Fault>> + 'a>>;

/// A case's name, and the case.
macro_rules! cases {
    ($($module:ident::$name:ident),* $(,)?) => {
        &[$((stringify!($name), |visit| Box::pin($module::$name(visit)))),*]
    };
}

/// All of them, in the order in which they run.
pub const CASES: &[(&str, Case)] = cases![
    sessions::ready,
    datagrams::datagrams_200_of_200_arrive,
    datagrams::datagrams_of_every_size_arrive,
    streams::bidi_echo_of_1_mib_has_its_hash,
    streams::uni_comes_back_on_a_new_uni,
    streams::empty_streams_come_back,
    streams::sixteen_streams_at_once_each_way,
    streams::streams_of_the_server,
    streams::reset_by_the_server,
    streams::reset_by_the_client,
    streams::stop_by_the_server,
    streams::stop_by_the_client,
    sessions::close_by_the_server,
    sessions::close_by_the_client,
    sessions::refused_origin,
    sessions::allowed_origin,
    sessions::wrong_path,
    sessions::drain,
    sessions::two_sessions_keep_theirs_apart,
    sessions::certificate_by_hash,
    sessions::wrong_hash,
    sessions::subprotocol,
];

/// A case that this stack cannot make; the text says why.
#[derive(Debug)]
struct Skip(&'static str);

impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Skip {}

fn equal<T: PartialEq + fmt::Debug>(actual: &T, expected: &T, what: &str) -> Result<(), Fault> {
    if actual == expected {
        return Ok(());
    }
    let shorten = |value: &T| {
        let text = format!("{value:?}");
        if text.len() <= 120 { text } else { format!("{}... ({} characters)", &text[..100], text.len()) }
    };
    Err(format!("{what} is {}, not {}", shorten(actual), shorten(expected)).into())
}

/// Bytes of which no two stretches look alike.
fn pattern(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(1);
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..len).map(|_| next()).collect()
}

const DEADLINE: Duration = Duration::from_secs(30);
/// Codes of one byte, on both sides of the reserved ones, and of 32 bits.
const CODES: [u32; 6] = [0, 29, 30, 255, 0x1234_5678, u32::MAX];
