//! The directory on the file system, and the files in it: nothing outside can be named, however a path or a link is
//! put. `cap_std` sees to that, on Linux in the kernel (`openat2` with `RESOLVE_BENEATH`).
//!
//! All of it is synchronous under the asynchronous names that `ServeDir` asks for: it runs on a blocking thread.

use std::future::{Ready, ready};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::SystemTime;

use bytes::Bytes;
use cap_fs_ext::OpenOptionsSyncExt as _;
use cap_std::ambient_authority;
use cap_std::fs::{Dir, OpenOptions};
use tokio::io::{AsyncRead, AsyncSeek, ReadBuf};
use tokio::runtime::Handle;
use tower_http::services::fs::{Backend, File, Metadata};

use super::look_up::FileBody;
use super::read_ahead::ReadAhead;

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
            Source::Disk(file)
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

/// What `ServeDir` opens files with for one answer. It keeps them: `ServeDir` says what is sent of them, and others read.
#[derive(Clone)]
pub(super) struct Desk {
    root: Root,
    opened: Arc<Mutex<Option<OpenFile>>>,
}

impl Desk {
    pub(super) fn new(root: Root) -> Self {
        Self { root, opened: Arc::default() }
    }

    /// The last file that was opened, at the position it was moved to.
    pub(super) fn take(&self) -> Option<OpenFile> {
        self.opened().take()
    }

    fn opened(&self) -> MutexGuard<'_, Option<OpenFile>> {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Backend for Desk {
    type File = Ticket;
    type Metadata = Properties;
    type OpenFuture = Ready<io::Result<Ticket>>;
    type MetadataFuture = Ready<io::Result<Properties>>;

    fn open(&self, path: PathBuf) -> Self::OpenFuture {
        ready(self.root.open_file(&path).map(|file| {
            let metadata = file.metadata;
            *self.opened() = Some(file);
            Ticket { desk: self.clone(), metadata }
        }))
    }

    fn metadata(&self, path: PathBuf) -> Self::MetadataFuture {
        ready(self.root.properties(&path))
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

/// An opened file, and where in it the content of the answer begins.
pub(super) struct OpenFile {
    source: Source,
    metadata: Properties,
    position: u64,
}

enum Source {
    Memory(Bytes),
    Disk(std::fs::File),
}

impl OpenFile {
    /// `len` bytes from the position on. No more than the file had when it was opened, since that is what its answer
    /// declares. To be called on a blocking thread.
    pub(super) fn content(self, len: u64, runtime: Handle) -> io::Result<FileBody> {
        let len = len.min(self.metadata.len.saturating_sub(self.position));
        match self.source {
            Source::Memory(content) => {
                let start = usize::try_from(self.position).unwrap_or(usize::MAX).min(content.len());
                let end = start.saturating_add(usize::try_from(len).unwrap_or(usize::MAX)).min(content.len());
                Ok(FileBody::Right(content.slice(start..end).into()))
            }
            Source::Disk(mut file) => {
                file.seek(SeekFrom::Start(self.position))?;
                Ok(FileBody::Left(ReadAhead::begin(file, len, runtime)))
            }
        }
    }
}

/// Stands for the file on a [`Desk`].
pub(super) struct Ticket {
    desk: Desk,
    metadata: Properties,
}

impl File for Ticket {
    type Metadata = Properties;
    type MetadataFuture<'a> = Ready<io::Result<Properties>>;

    fn metadata(&self) -> Self::MetadataFuture<'_> {
        ready(Ok(self.metadata))
    }
}

impl AsyncSeek for Ticket {
    fn start_seek(self: Pin<&mut Self>, position: SeekFrom) -> io::Result<()> {
        let SeekFrom::Start(start) = position else { return Err(io::ErrorKind::Unsupported.into()) };
        match &mut *self.desk.opened() {
            Some(file) => file.position = start,
            None => return Err(io::ErrorKind::NotFound.into()),
        }
        Ok(())
    }

    fn poll_complete(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<u64>> {
        Poll::Ready(Ok(self.desk.opened().as_ref().map_or(0, |file| file.position)))
    }
}

impl AsyncRead for Ticket {
    /// Nobody polls the body that would read this way.
    fn poll_read(self: Pin<&mut Self>, _cx: &mut Context<'_>, _buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Err(io::ErrorKind::Unsupported.into()))
    }
}

/// Files up to this many bytes are read when they are opened, which spares them further trips to a blocking thread.
const READ_AT_ONCE: u64 = 64 * 1024;
