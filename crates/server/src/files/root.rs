//! The directory on the file system, and the files in it: nothing outside can be named, however a path or a link is
//! put. `cap_std` sees to that, on Linux in the kernel (`openat2` with `RESOLVE_BENEATH`).
//!
//! All of it is synchronous under the asynchronous names that `ServeDir` asks for: it runs on a blocking thread.

use std::future::{Ready, ready};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::SystemTime;

use bytes::Bytes;
use cap_fs_ext::OpenOptionsSyncExt as _;
use cap_std::ambient_authority;
use cap_std::fs::{Dir, OpenOptions};
use tokio::io::{AsyncRead, AsyncSeek, ReadBuf};
use tower_http::services::fs::{Backend, File, Metadata};

/// The directory, opened.
#[derive(Clone)]
pub(super) struct Root {
    dir: Arc<Dir>,
}

impl Root {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        Dir::open_ambient_dir(path, ambient_authority()).map(|dir| Self { dir: Arc::new(dir) })
    }

    /// The directory `path` below this one, to be listed.
    pub(super) fn directory(&self, path: &Path) -> io::Result<Dir> {
        self.dir.open_dir(path)
    }

    fn open_file(&self, path: &Path) -> io::Result<OpenFile> {
        // Opening a pipe would otherwise wait for a writer.
        let file = self.dir.open_with(path, OpenOptions::new().read(true).nonblock(true));
        let mut file = file.map_err(|error| self.absent(path, error))?.into_std();
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::ErrorKind::NotFound.into());
        }
        let mut metadata = Properties { is_dir: false, len: metadata.len(), modified: metadata.modified().ok() };
        let source = if metadata.len <= READ_AT_ONCE {
            let mut content = Vec::with_capacity(usize::try_from(metadata.len).unwrap_or_default());
            (&mut file).take(metadata.len).read_to_end(&mut content)?;
            // It may have become shorter since.
            metadata.len = content.len() as u64;
            Source::Memory(content.into())
        } else {
            Source::Unread(Some(file))
        };
        Ok(OpenFile { source, metadata, position: 0 })
    }

    fn properties(&self, path: &Path) -> io::Result<Properties> {
        let metadata = self.dir.metadata(path).map_err(|error| self.absent(path, error))?;
        if !metadata.is_dir() && !metadata.is_file() {
            return Err(io::ErrorKind::NotFound.into());
        }
        let modified = metadata.modified().ok().map(|time| time.into_std());
        Ok(Properties { is_dir: metadata.is_dir(), len: metadata.len(), modified })
    }

    /// What cannot be opened for a reason that lies in the path is not there: a name that is too long, a link that
    /// leads in a circle, a socket.
    fn absent(&self, path: &Path, error: io::Error) -> io::Error {
        let bad_name = matches!(error.kind(), io::ErrorKind::InvalidFilename | io::ErrorKind::InvalidInput);
        let is_special = || self.dir.symlink_metadata(path).is_ok_and(|found| !found.is_file() && !found.is_dir());
        if bad_name || is_special() { io::ErrorKind::NotFound.into() } else { error }
    }
}

impl Backend for Root {
    type File = OpenFile;
    type Metadata = Properties;
    type OpenFuture = Ready<io::Result<OpenFile>>;
    type MetadataFuture = Ready<io::Result<Properties>>;

    fn open(&self, path: PathBuf) -> Self::OpenFuture {
        ready(self.open_file(&path))
    }

    fn metadata(&self, path: PathBuf) -> Self::MetadataFuture {
        ready(self.properties(&path))
    }
}

/// What answers say of a file.
#[derive(Clone, Copy)]
pub(super) struct Properties {
    is_dir: bool,
    len: u64,
    modified: Option<SystemTime>,
}

impl Metadata for Properties {
    fn is_dir(&self) -> bool {
        self.is_dir
    }

    fn modified(&self) -> io::Result<SystemTime> {
        self.modified.ok_or_else(|| io::ErrorKind::Unsupported.into())
    }

    fn len(&self) -> u64 {
        self.len
    }
}

/// An opened file. It reads as many bytes as it had when it was opened, since that is the length its answer declares.
pub(super) struct OpenFile {
    source: Source,
    metadata: Properties,
    position: u64,
}

enum Source {
    Memory(Bytes),
    /// Until the first read it is still moved to its range, in place. `None` only while it becomes `Reading`.
    Unread(Option<std::fs::File>),
    Reading(tokio::fs::File),
}

impl File for OpenFile {
    type Metadata = Properties;
    type MetadataFuture<'a> = Ready<io::Result<Properties>>;

    fn metadata(&self) -> Self::MetadataFuture<'_> {
        ready(Ok(self.metadata))
    }
}

impl AsyncSeek for OpenFile {
    fn start_seek(mut self: Pin<&mut Self>, position: SeekFrom) -> io::Result<()> {
        let SeekFrom::Start(start) = position else { return Err(io::ErrorKind::Unsupported.into()) };
        match &mut self.source {
            Source::Memory(_) => {}
            Source::Unread(Some(file)) => drop(file.seek(position)?),
            Source::Unread(None) | Source::Reading(_) => return Err(io::ErrorKind::Unsupported.into()),
        }
        self.position = start;
        Ok(())
    }

    fn poll_complete(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<u64>> {
        Poll::Ready(Ok(self.position))
    }
}

impl AsyncRead for OpenFile {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let left = usize::try_from(this.metadata.len.saturating_sub(this.position)).unwrap_or(usize::MAX);
        if left == 0 || buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        if let Source::Unread(file) = &mut this.source {
            let file = file.take().ok_or(io::ErrorKind::Unsupported)?;
            this.source = Source::Reading(tokio::fs::File::from_std(file));
        }
        match &mut this.source {
            Source::Memory(content) => {
                let start = usize::try_from(this.position).unwrap_or(usize::MAX);
                let piece = content.get(start..).unwrap_or_default();
                buf.put_slice(&piece[..piece.len().min(buf.remaining())]);
            }
            Source::Reading(file) => ready!(Pin::new(file).poll_read(cx, buf))?,
            Source::Unread(_) => {}
        }
        // What was appended since is left out.
        buf.set_filled(buf.filled().len().min(before + left));
        match buf.filled().len() - before {
            // RFC 9114 §4.1.2: a body shorter than declared is malformed, so that the stream must be reset.
            0 => Poll::Ready(Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "a file became shorter while it was sent",
            ))),
            read => {
                this.position += read as u64;
                Poll::Ready(Ok(()))
            }
        }
    }
}

/// Files up to this many bytes are read when they are opened, which spares them further trips to a blocking thread.
const READ_AT_ONCE: u64 = 64 * 1024;
