//! Runs the program, and asks it over HTTP/3.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use http_body::Body;
use lorraine::client::{Connection, Connector, Interim, ResponseBody};
use lorraine::{Client, Trust};
pub(crate) use lorraine_testkit::pause;
use tempfile::TempDir;

/// The longest any one test may take on one event loop, on a machine that is busy with other things.
pub(crate) const PATIENCE: Duration = Duration::from_secs(180);

/// Runs a test once for each event loop. A test that hangs ends all of them, with its name.
pub(crate) fn on_every_event_loop(test: impl Fn(&'static str)) {
    for name in lorraine::io::available() {
        println!("on {name}");
        within(PATIENCE, || test(name));
    }
}

/// Runs `test`, and ends the process if it takes longer.
pub(crate) fn within<T>(patience: Duration, test: impl FnOnce() -> T) -> T {
    let (done, watch) = mpsc::channel::<()>();
    let name = thread::current().name().unwrap_or("a test").to_owned();
    thread::spawn(move || {
        if watch.recv_timeout(patience) == Err(mpsc::RecvTimeoutError::Timeout) {
            eprintln!("{name} hangs");
            std::process::abort();
        }
    });
    let result = test();
    drop(done);
    result
}

/// The program with these arguments and a place of its own for its state.
pub(crate) fn lorraine(state: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lorraine"));
    command.env("XDG_STATE_HOME", state).env_remove("SSLKEYLOGFILE").stdin(Stdio::null());
    command
}

/// Runs the program to its end.
pub(crate) fn run(state: &Path, args: &[&str]) -> Output {
    within(PATIENCE, || lorraine(state).args(args).output().unwrap())
}

/// The text of standard output or standard error.
pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A running `lorraine demo`.
pub(crate) struct Demo {
    child: Child,
    event_loop: &'static str,
    pub(crate) addr: SocketAddr,
    pub(crate) sha256: String,
    /// Where the page is, if there is one.
    pub(crate) page: Option<String>,
    lines: BufReader<ChildStdout>,
    /// Holds `state`, `stderr` and `site`.
    folder: TempDir,
}

impl Demo {
    pub(crate) fn start(event_loop: &'static str) -> Self {
        Self::with(event_loop, |_, _| ())
    }

    /// Starts it with more arguments or variables; the folder is a place for files.
    pub(crate) fn with(event_loop: &'static str, change: impl FnOnce(&mut Command, &Path)) -> Self {
        Self::launch(event_loop, |command, folder| {
            command.arg("--no-page");
            change(command, folder);
        })
    }

    /// Starts it with its page, on a port that the system chooses.
    pub(crate) fn with_page() -> Self {
        Self::launch(lorraine::io::default_name(), |command, _| {
            command.args(["--page", "127.0.0.1:0"]);
        })
    }

    fn launch(event_loop: &'static str, change: impl FnOnce(&mut Command, &Path)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let site = folder.path().join("site");
        std::fs::create_dir(&site).unwrap();
        std::fs::write(site.join("ten.txt"), "0123456789").unwrap();
        std::fs::write(folder.path().join("secret"), "outside of the directory").unwrap();
        let mut command = lorraine(&folder.path().join("state"));
        command.arg("demo").arg(&site).args(["--listen", "127.0.0.1:0", "--event-loop", event_loop]);
        change(&mut command, folder.path());
        let stderr = File::create(folder.path().join("stderr")).unwrap();
        let mut child = command.stdout(Stdio::piped()).stderr(stderr).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let mut line = || {
            let mut line = String::new();
            lines.read_line(&mut line).unwrap();
            line
        };
        let mut first = line();
        let page = first.strip_prefix("page on ").and_then(|rest| rest.split(' ').next()).map(str::to_owned);
        if page.is_some() {
            first = line();
        }
        let second = line();
        let addr = address_in(&first).unwrap_or_else(|| {
            panic!("no address in {first:?}: {}", std::fs::read_to_string(folder.path().join("stderr")).unwrap())
        });
        let sha256 = second.trim().strip_prefix("certificate SHA-256 ").unwrap().to_owned();
        Self { child, event_loop, addr, sha256, page, lines, folder }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn stderr(&self) -> String {
        std::fs::read_to_string(self.path("stderr")).unwrap()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("https://{}{path}", self.addr)
    }

    /// Runs `test` with a connection.
    pub(crate) fn browse<T>(&self, test: impl AsyncFnOnce(Site) -> T) -> T {
        let trust = Trust::Pinned(vec![hash_from(&self.sha256)]);
        let mut client = Client::builder().event_loop(self.event_loop).trust(trust).build().unwrap();
        let connector = client.connector();
        let result = client.block_on(async {
            let connection = connector.connect(&self.url("/").parse().unwrap()).await.unwrap();
            test(Site { origin: self.url(""), connection, connector: connector.clone() }).await
        });
        result.unwrap()
    }

    pub(crate) fn signal(&self, name: &str) {
        signal(&self.child, name);
    }

    /// Waits until standard error holds `text`.
    pub(crate) fn await_stderr(&self, text: &str) {
        let since = Instant::now();
        while !self.stderr().contains(text) {
            assert!(since.elapsed() < Duration::from_secs(30), "{text:?} is not in {:?}", self.stderr());
            thread::sleep(Duration::from_millis(5));
        }
    }

    pub(crate) fn wait(&mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }

    /// Stops it in order, and returns what else it wrote to standard output.
    pub(crate) fn stop(mut self) -> String {
        self.signal("TERM");
        let status = self.wait();
        assert!(status.success(), "{status}: {}", self.stderr());
        let mut rest = String::new();
        while self.lines.read_line(&mut rest).unwrap() > 0 {}
        rest
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn signal(child: &Child, name: &str) {
    let status = Command::new("kill").args([format!("-{name}"), child.id().to_string()]).status();
    assert!(status.unwrap().success());
}

/// The socket address in a line of the program's.
pub(crate) fn address_in(line: &str) -> Option<SocketAddr> {
    line.split([' ', ',']).find_map(|word| word.trim().parse().ok())
}

pub(crate) fn hash_from(hex: &str) -> [u8; 32] {
    let digits: String = hex.chars().filter(|char| *char != ':').collect();
    let byte = |index: usize| u8::from_str_radix(&digits[2 * index..2 * index + 2], 16).unwrap();
    std::array::from_fn(byte)
}

/// A connection to a demo.
#[derive(Clone)]
pub(crate) struct Site {
    pub(crate) origin: String,
    pub(crate) connection: Connection,
    pub(crate) connector: Connector,
}

/// A response, read to its end.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) interim: Vec<(u16, HeaderMap)>,
    pub(crate) body: Bytes,
    pub(crate) trailers: Option<HeaderMap>,
}

impl Answer {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        assert_eq!(self.field("content-type"), Some("application/json"));
        serde_json::from_slice(&self.body).unwrap()
    }
}

impl Site {
    /// Another connection to the same demo.
    pub(crate) async fn again(&self) -> Self {
        let connection = self.connector.connect(&self.origin.parse().unwrap()).await.unwrap();
        Self { connection, ..self.clone() }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.ask(Method::GET, path, &[], String::new()).await
    }

    pub(crate) async fn ask<B>(&self, method: Method, path: &str, fields: &[(&'static str, &str)], body: B) -> Answer
    where
        B: Body + 'static,
        B::Error: std::fmt::Display,
    {
        let response = self.open(method, path, fields, body).await;
        let (parts, mut body) = response.into_parts();
        let mut whole = Vec::new();
        while let Some(chunk) = body.chunk().await {
            whole.extend_from_slice(&chunk.unwrap());
        }
        let interim = parts.extensions.get::<Interim>().map(|interim| interim.0.as_slice()).unwrap_or_default();
        Answer {
            status: parts.status,
            interim: interim.iter().map(|parts| (parts.status.as_u16(), parts.headers.clone())).collect(),
            headers: parts.headers,
            body: whole.into(),
            trailers: body.trailers().await.unwrap(),
        }
    }

    /// Waits for the head of the response alone.
    pub(crate) async fn open<B>(
        &self,
        method: Method,
        path: &str,
        fields: &[(&'static str, &str)],
        body: B,
    ) -> http::Response<ResponseBody>
    where
        B: Body + 'static,
        B::Error: std::fmt::Display,
    {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.origin)).body(body).unwrap();
        for (name, value) in fields {
            request.headers_mut().append(*name, HeaderValue::from_str(value).unwrap());
        }
        self.connection.send(request).await.unwrap()
    }
}
