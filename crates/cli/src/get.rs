//! `lorraine get`: an HTTP/3 request from the command line.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::pin::Pin;
use std::process::ExitCode;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::future::try_join_all;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, Uri};
use http_body::{Frame, SizeHint};
use lorraine::client::{Connection, Interim, ResponseBody};
use lorraine::{Client, ClientError, Trust};

use crate::Outcome;
use crate::args::GetArgs;

type AnyError = Box<dyn std::error::Error>;

pub(crate) fn run(args: &GetArgs) -> Outcome {
    let trust = if args.insecure { Trust::Insecure } else { Trust::System };
    let mut client = Client::builder().trust(trust).build()?;
    let connector = client.connector();
    let mut sink = Sink::open(args)?;
    let uris = args.urls.iter().map(|url| parse(url)).collect::<Result<Vec<_>, _>>()?;
    // What is wrong with the arguments is told before anything is sent.
    request(&uris[0], args)?;
    let failed = client.block_on(async {
        let mut failed = false;
        for uri in &uris {
            let connection = connector.connect(uri).await.map_err(|error| explain(error, args))?;
            let requests = (0..args.repeat).map(|_| fetch(&connection, uri, args));
            for response in try_join_all(requests).await? {
                failed |= response.status().is_client_error() || response.status().is_server_error();
                write_response(response, &mut sink).await?;
            }
        }
        Ok::<_, AnyError>(failed)
    })??;
    sink.bodies.flush()?;
    // As curl -f has it: the response was shown, but it was none to build on.
    Ok(if failed { ExitCode::from(22) } else { ExitCode::SUCCESS })
}

async fn fetch(connection: &Connection, uri: &Uri, args: &GetArgs) -> Result<Response<ResponseBody>, AnyError> {
    Ok(connection.send(request(uri, args)?).await?)
}

/// A sentence that says what to do about a certificate, where there is something to do.
fn explain(error: ClientError, args: &GetArgs) -> AnyError {
    match error {
        ClientError::Certificate(_) if !args.insecure => format!("{error}; --insecure accepts any").into(),
        error => error.into(),
    }
}

fn request(uri: &Uri, args: &GetArgs) -> Result<Request<RequestBody>, AnyError> {
    let mut trailers = HeaderMap::new();
    append(&args.trailers, &mut trailers)?;
    let trailers = Some(trailers).filter(|trailers| !trailers.is_empty());
    let body = RequestBody { data: RequestData::open(args.data.as_deref())?, trailers };
    let method = args.method.clone().unwrap_or(if args.data.is_some() { Method::POST } else { Method::GET });
    let mut request = Request::builder().method(method).uri(uri).body(body)?;
    let headers = request.headers_mut();
    headers.insert(http::header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
    append(&args.headers, headers)?;
    Ok(request)
}

/// Adds what the command line says, each as `name: value`.
fn append(lines: &[String], fields: &mut HeaderMap) -> Result<(), String> {
    for line in lines {
        let (name, value) = line.split_once(':').ok_or_else(|| format!("{line:?} is no field; write `name: value`"))?;
        let name: HeaderName = name.trim().parse().map_err(|_| format!("{name:?} is no field name"))?;
        let value = value.trim().parse().map_err(|_| format!("the value of {name} cannot be sent"))?;
        fields.append(name, value);
    }
    Ok(())
}

const USER_AGENT: &str = concat!("lorraine/", env!("CARGO_PKG_VERSION"));

async fn write_response(response: Response<ResponseBody>, sink: &mut Sink) -> Result<(), AnyError> {
    let (parts, mut body) = response.into_parts();
    for interim in parts.extensions.get::<Interim>().iter().flat_map(|interim| &interim.0) {
        sink.write_fields(&head(interim))?;
    }
    sink.write_fields(&head(&parts))?;
    while let Some(chunk) = body.chunk().await {
        sink.bodies.write_all(&chunk?)?;
    }
    if let Some(trailers) = body.trailers().await? {
        sink.write_fields(&format!("\n{}", lines(&trailers)))?;
    }
    Ok(())
}

pub(crate) fn parse(url: &str) -> Result<Uri, String> {
    let uri: Uri = url.parse().map_err(|error| format!("{url:?} is no URL: {error}"))?;
    if uri.scheme_str() != Some("https") || uri.host().is_none() {
        return Err(format!("{url:?} is no URL for HTTP/3; write https://HOST[:PORT]/PATH"));
    }
    Ok(uri)
}

/// Where responses go.
struct Sink {
    bodies: Box<dyn Write>,
    /// A file of their own for heads and trailers.
    heads: Option<File>,
    /// Whether heads and trailers stand round the bodies.
    include: bool,
}

impl Sink {
    fn open(args: &GetArgs) -> Result<Self, AnyError> {
        let create =
            |path: &PathBuf| File::create(path).map_err(|error| format!("cannot write {}: {error}", path.display()));
        Ok(Self {
            bodies: match &args.output {
                Some(path) => Box::new(create(path)?),
                None => Box::new(io::stdout().lock()),
            },
            heads: args.dump_header.as_ref().map(create).transpose()?,
            include: args.include,
        })
    }

    /// A head or a trailer section.
    fn write_fields(&mut self, text: &str) -> io::Result<()> {
        if let Some(heads) = &mut self.heads {
            heads.write_all(text.as_bytes())?;
        }
        if self.include { self.bodies.write_all(text.as_bytes()) } else { Ok(()) }
    }
}

fn head(parts: &http::response::Parts) -> String {
    format!("HTTP/3 {}\n{}\n", parts.status.as_u16(), lines(&parts.headers))
}

fn lines(fields: &HeaderMap) -> String {
    fields.iter().map(|(name, value)| format!("{name}: {}\n", printable(value.as_bytes()))).collect()
}

/// A value as it stands, but for the bytes that could make a terminal do something.
pub(crate) fn printable(value: &[u8]) -> String {
    let escape = |&byte: &u8| match byte {
        b' '..=b'~' => char::from(byte).to_string(),
        _ => byte.escape_ascii().to_string(),
    };
    value.iter().map(escape).collect()
}

/// The body of a request and what follows it.
struct RequestBody {
    data: RequestData,
    trailers: Option<HeaderMap>,
}

/// The bytes of a body: from the command line, a file or standard input, read as the server takes it.
enum RequestData {
    None,
    Text(Bytes),
    Reader { reader: Box<dyn Read>, len: Option<u64>, ended: bool },
}

/// Bytes read at once.
const CHUNK: usize = 64 * 1024;

impl RequestData {
    fn open(data: Option<&str>) -> Result<Self, String> {
        let Some(data) = data else { return Ok(Self::None) };
        match data.strip_prefix('@') {
            None => Ok(Self::Text(Bytes::copy_from_slice(data.as_bytes()))),
            Some("-") => Ok(Self::Reader { reader: Box::new(io::stdin()), len: None, ended: false }),
            Some(path) => {
                let file = File::open(path).map_err(|error| format!("cannot read {path}: {error}"))?;
                let len = file.metadata().ok().filter(std::fs::Metadata::is_file).map(|metadata| metadata.len());
                Ok(Self::Reader { reader: Box::new(file), len, ended: false })
            }
        }
    }
}

impl RequestData {
    /// The next piece; `None`: the end.
    fn next(&mut self) -> Option<io::Result<Bytes>> {
        match self {
            Self::None | Self::Reader { ended: true, .. } => None,
            Self::Text(text) => (!text.is_empty()).then(|| Ok(std::mem::take(text))),
            Self::Reader { reader, ended, .. } => {
                let mut chunk = vec![0; CHUNK];
                match reader.read(&mut chunk) {
                    Ok(0) => {
                        *ended = true;
                        None
                    }
                    Ok(len) => {
                        chunk.truncate(len);
                        Some(Ok(chunk.into()))
                    }
                    Err(error) => Some(Err(error)),
                }
            }
        }
    }

    fn is_at_end(&self) -> bool {
        match self {
            Self::None => true,
            Self::Text(text) => text.is_empty(),
            Self::Reader { ended, .. } => *ended,
        }
    }
}

impl http_body::Body for RequestBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let data = self.data.next().map(|data| data.map(Frame::data));
        Poll::Ready(data.or_else(|| self.trailers.take().map(|trailers| Ok(Frame::trailers(trailers)))))
    }

    fn is_end_stream(&self) -> bool {
        self.data.is_at_end() && self.trailers.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        match &self.data {
            RequestData::None => SizeHint::with_exact(0),
            RequestData::Text(text) => SizeHint::with_exact(text.len() as u64),
            RequestData::Reader { len: Some(len), .. } => SizeHint::with_exact(*len),
            RequestData::Reader { len: None, .. } => SizeHint::default(),
        }
    }
}
