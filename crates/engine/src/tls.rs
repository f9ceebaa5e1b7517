//! TLS for an engine: certificates, protocols, trust. BoringSSL does the work; files are the caller's.

mod certificates;
mod trust;

use std::fmt;
use std::io;
use std::sync::Arc;

use boring::ssl::{SslContextBuilder, SslMethod};

pub use certificates::{CertificateError, CertificateStore, Certificates, Identity};
pub use trust::Trust;

/// TLS settings, shared by all workers and all connections of an endpoint.
#[derive(Clone)]
pub struct Tls {
    side: Side,
    alpn: Vec<Vec<u8>>,
    key_log: Option<KeyLog>,
    ticket_key: Option<[u8; 48]>,
    groups: Option<String>,
    early_data: bool,
}

#[derive(Clone)]
enum Side {
    Server(CertificateStore),
    Client(Trust),
}

/// Where TLS secrets go, a line without its end at a time, in the format that Wireshark reads from `SSLKEYLOGFILE`.
/// Called on the worker's thread in the middle of a handshake; it must not block.
pub type KeyLog = Arc<dyn Fn(&str) + Send + Sync>;

impl Tls {
    /// For a server that shows these certificates. [`CertificateStore::replace`] changes them at any time.
    #[must_use]
    pub fn server(certificates: CertificateStore) -> Self {
        Self::new(Side::Server(certificates))
    }

    /// For a client that accepts the servers `trust` says.
    #[must_use]
    pub fn client(trust: Trust) -> Self {
        Self::new(Side::Client(trust))
    }

    fn new(side: Side) -> Self {
        Self { side, alpn: vec![b"h3".to_vec()], key_log: None, ticket_key: None, groups: None, early_data: false }
    }

    /// The application protocols (RFC 7301), `h3` unless set. The server takes the first of the client's list that
    /// is in this one, and refuses a client without any with the alert no_application_protocol (0x178).
    #[must_use]
    pub fn alpn<I: IntoIterator>(mut self, protocols: I) -> Self
    where
        I::Item: Into<Vec<u8>>,
    {
        self.alpn = protocols.into_iter().map(Into::into).collect();
        self
    }

    /// Gives every connection's secrets to `log`: who reads them can read the connections.
    #[must_use]
    pub fn key_log(mut self, log: KeyLog) -> Self {
        self.key_log = Some(log);
        self
    }

    /// The key of session tickets, so that other workers and later runs can resume sessions. Each engine makes its
    /// own unless set.
    #[must_use]
    pub fn ticket_key(mut self, key: [u8; 48]) -> Self {
        self.ticket_key = Some(key);
        self
    }

    /// The key exchange groups in order of preference, as `X25519MLKEM768:X25519:P-256`. BoringSSL's choice unless
    /// set.
    #[must_use]
    pub fn groups(mut self, groups: impl Into<String>) -> Self {
        self.groups = Some(groups.into());
        self
    }

    /// Whether 0-RTT data is taken and sent: off unless set, as it can be replayed (RFC 9001 §9.2).
    #[must_use]
    pub fn early_data(mut self, on: bool) -> Self {
        self.early_data = on;
        self
    }

    /// Whether this is a server's.
    pub(crate) fn is_server(&self) -> bool {
        matches!(self.side, Side::Server(_))
    }

    /// Whether servers are trusted by their names, so that the name must be checked.
    pub(crate) fn checks_names(&self) -> bool {
        matches!(&self.side, Side::Client(Trust::System | Trust::Roots(_)))
    }

    /// A writer for one connection's secrets.
    pub(crate) fn key_log_writer(&self) -> Option<Box<dyn io::Write + Send + Sync>> {
        self.key_log.clone().map(|log| Box::new(LineWriter(log)) as _)
    }

    /// quiche's configuration with the TLS part filled in.
    pub(crate) fn configure(&self) -> Result<quiche::Config, TlsError> {
        let mut builder = SslContextBuilder::new(SslMethod::tls()).map_err(TlsError::refused)?;
        match &self.side {
            Side::Server(certificates) => certificates.clone().install(&mut builder),
            Side::Client(trust) => trust.install(&mut builder)?,
        }
        let mut config = quiche::Config::with_boring_ssl_ctx_builder(quiche::PROTOCOL_VERSION, builder)
            .map_err(TlsError::refused)?;
        let protocols: Vec<&[u8]> = self.alpn.iter().map(Vec::as_slice).collect();
        if protocols.is_empty() || protocols.iter().any(|name| name.is_empty() || name.len() > 255) {
            return Err(TlsError::Alpn);
        }
        config.set_application_protos(&protocols).map_err(|_| TlsError::Alpn)?;
        if let Some(key) = &self.ticket_key {
            config.set_ticket_key(key).map_err(TlsError::refused)?;
        }
        if let Some(groups) = &self.groups {
            config.set_curves_list(groups).map_err(|_| TlsError::Groups(groups.clone()))?;
        }
        if self.key_log.is_some() {
            config.log_keys();
        }
        if self.early_data {
            config.enable_early_data();
        }
        Ok(config)
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("server", &self.is_server()).field("alpn", &self.alpn).finish_non_exhaustive()
    }
}

/// Why TLS settings cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TlsError {
    /// An ALPN list that cannot be sent.
    #[error("the ALPN list must have at least one name, and names of 1 to 255 bytes")]
    Alpn,
    /// A group that BoringSSL does not know.
    #[error("no such key exchange groups: {0}; write them as in X25519MLKEM768:X25519:P-256")]
    Groups(String),
    /// Roots that are no certificates.
    #[error("the trusted roots: {0}")]
    Roots(#[from] CertificateError),
    /// BoringSSL said no.
    #[error("the TLS library refused its settings: {0}")]
    Library(String),
}

impl TlsError {
    fn refused(error: impl fmt::Display) -> Self {
        Self::Library(error.to_string())
    }
}

/// Hands whole lines to a [`KeyLog`]; quiche writes one at a time.
struct LineWriter(KeyLog);

impl io::Write for LineWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Ok(line) = std::str::from_utf8(bytes) {
            (self.0)(line.trim_end_matches('\n'));
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
