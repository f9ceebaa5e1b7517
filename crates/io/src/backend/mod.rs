//! The backends by name: which are compiled in, which is the default, and opening one.

#[cfg(all(feature = "io-uring", target_os = "linux"))]
pub(crate) mod io_uring;
#[cfg(feature = "libev")]
pub(crate) mod libev;
pub(crate) mod mio;

use std::io;

use crate::event_loop::EventLoop;
use crate::readiness::{Poller, Readiness};

/// Opens the event loop called `name`, one of [`available`].
///
/// Where the kernel lacks or forbids `io_uring`, this opens `epoll` in its place and logs why.
///
/// # Errors
/// [`OpenError::Unknown`] for any other name, [`OpenError::System`] where the system has no descriptors or memory left.
pub fn open(name: &str) -> Result<Box<dyn EventLoop>, OpenError> {
    let (name, open) = BACKENDS
        .iter()
        .find(|(known, _)| *known == name)
        .ok_or_else(|| OpenError::Unknown { name: printable(name) })?;
    open().map_err(|source| OpenError::System { name, source })
}

/// The names of the event loops compiled in, the default first.
#[must_use]
pub fn available() -> &'static [&'static str] {
    NAMES
}

/// The event loop to use where none is asked for: `libev` where it is compiled in, the platform's own elsewhere.
#[must_use]
pub fn default_name() -> &'static str {
    NAMES[0]
}

/// Why [`open`] gave no event loop.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// No event loop of this name is compiled in.
    #[error("there is no event loop \"{name}\" in this build: choose one of {}", NAMES.join(", "))]
    Unknown {
        /// What was asked for, shortened and free of control characters.
        name: String,
    },
    /// The system refused what the event loop needs.
    #[error("the event loop {name} cannot start: {source}")]
    System {
        /// The event loop that was asked for.
        name: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

type Open = fn() -> io::Result<Box<dyn EventLoop>>;

fn boxed<P: Poller + 'static>() -> io::Result<Box<dyn EventLoop>> {
    Ok(Box::new(Readiness::<P>::new()?))
}

/// A name from a command line goes into the message only in this form.
fn printable(name: &str) -> String {
    name.chars().filter(|character| !character.is_control()).take(LONGEST_NAME).collect()
}

/// Characters of an unknown name that a message repeats.
const LONGEST_NAME: usize = 40;

const BACKENDS: &[(&str, Open)] = &[
    #[cfg(feature = "libev")]
    (libev::Libev::NAME, boxed::<libev::Libev>),
    (mio::Mio::NAME, boxed::<mio::Mio>),
    #[cfg(all(feature = "io-uring", target_os = "linux"))]
    (io_uring::NAME, io_uring::open),
];

const NAMES: &[&str] = &[
    #[cfg(feature = "libev")]
    libev::Libev::NAME,
    mio::Mio::NAME,
    #[cfg(all(feature = "io-uring", target_os = "linux"))]
    io_uring::NAME,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_event_loop_is_refused_with_the_list_of_known_ones() {
        let error = open("select\n").err().expect("select is not a backend");
        let sentence = error.to_string();
        assert!(sentence.contains("\"select\""), "{sentence}");
        assert!(available().iter().all(|name| sentence.contains(name)), "{sentence}");
    }

    #[test]
    fn every_available_event_loop_opens_under_its_own_name() {
        for name in available() {
            let opened = open(name).unwrap().name();
            // A container may forbid io_uring.
            assert!(opened == *name || (*name == "io_uring" && opened == "epoll"), "{name} opened {opened}");
        }
        assert_eq!(default_name(), available()[0]);
        assert_eq!(available().contains(&"libev"), cfg!(feature = "libev"));
    }
}
