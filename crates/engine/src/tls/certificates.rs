//! The certificates of a server: read from PEM, chosen by host name, replaced while it runs.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use boring::asn1::{Asn1Time, Asn1TimeRef};
use boring::hash::MessageDigest;
use boring::pkey::{PKey, Private};
use boring::ssl::{ClientHello, NameType, SelectCertError, SslContextBuilder, SslRef};
use boring::x509::X509;

/// A certificate with its chain and private key.
#[derive(Clone)]
pub struct Identity {
    leaf: X509,
    chain: Vec<X509>,
    key: PKey<Private>,
}

impl Identity {
    /// Reads them from PEM: the leaf certificate first, then its issuers; the key unencrypted.
    ///
    /// # Errors
    /// [`CertificateError`] says which of the two is wrong, and how.
    pub fn from_pem(certificates: &[u8], key: &[u8]) -> Result<Self, CertificateError> {
        let mut chain = read_certificates(certificates)?;
        let key = read_key(key)?;
        let leaf = chain.remove(0);
        let public = leaf.public_key().map_err(|_| CertificateError::UnusableKey)?;
        if !public.public_eq(&key) {
            return Err(CertificateError::KeyMismatch);
        }
        Ok(Self { leaf, chain, key })
    }

    /// SHA-256 of the leaf certificate, as browsers take it in `serverCertificateHashes`.
    #[must_use]
    pub fn sha256(&self) -> [u8; 32] {
        fingerprint(&self.leaf).expect("SHA-256 of a parsed certificate")
    }

    /// From when until when the leaf certificate is valid, seconds since 1970 UTC.
    #[must_use]
    pub fn validity(&self) -> (i64, i64) {
        (since_epoch(self.leaf.not_before()), since_epoch(self.leaf.not_after()))
    }

    /// The host names of the leaf certificate, some with `*.` in front.
    #[must_use]
    pub fn host_names(&self) -> Vec<String> {
        let names = self.leaf.subject_alt_names();
        names.iter().flatten().filter_map(|name| name.dnsname()).map(str::to_ascii_lowercase).collect()
    }

    fn install(&self, ssl: &mut SslRef) -> Result<(), boring::error::ErrorStack> {
        ssl.set_certificate(&self.leaf)?;
        for issuer in &self.chain {
            ssl.add_chain_cert(issuer)?;
        }
        ssl.set_private_key(&self.key)
    }
}

fn since_epoch(time: &Asn1TimeRef) -> i64 {
    let difference =
        Asn1Time::from_unix(0).and_then(|epoch| epoch.diff(time)).expect("the time of a parsed certificate");
    i64::from(difference.days) * 86_400 + i64::from(difference.secs)
}

/// Certificates by host name.
#[derive(Clone)]
pub struct Certificates {
    default: Arc<Identity>,
    by_name: HashMap<String, Arc<Identity>>,
}

impl Certificates {
    /// `default` is for clients that name a host of no other certificate, or none at all.
    #[must_use]
    pub fn new(default: Identity) -> Self {
        let default = Arc::new(default);
        let mut certificates = Self { default: Arc::clone(&default), by_name: HashMap::new() };
        certificates.add_names(&default);
        certificates
    }

    /// Adds a certificate for the names in it. A name that two of them have goes to the first.
    #[must_use]
    pub fn with(mut self, identity: Identity) -> Self {
        self.add_names(&Arc::new(identity));
        self
    }

    fn add_names(&mut self, identity: &Arc<Identity>) {
        for name in identity.host_names() {
            self.by_name.entry(name).or_insert_with(|| Arc::clone(identity));
        }
    }

    /// The certificate for a host name: its own, or one for `*.` and what follows the first dot (RFC 9525 §6.3).
    fn choose(&self, host: Option<&str>) -> &Identity {
        let Some(host) = host.map(|host| host.trim_end_matches('.').to_ascii_lowercase()) else {
            return &self.default;
        };
        let wildcard = || self.by_name.get(&format!("*.{}", host.split_once('.')?.1));
        self.by_name.get(&host).or_else(wildcard).unwrap_or(&self.default)
    }
}

/// The certificates in use, shared by all workers; cheap to clone.
#[derive(Clone)]
pub struct CertificateStore(Arc<ArcSwap<Certificates>>);

impl CertificateStore {
    /// Starts with these.
    #[must_use]
    pub fn new(certificates: Certificates) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(certificates)))
    }

    /// From the next ClientHello on, shows these instead. Connections that exist are not touched. Callable from any
    /// thread.
    pub fn replace(&self, certificates: Certificates) {
        self.0.store(Arc::new(certificates));
    }

    /// Has BoringSSL ask for a certificate with each ClientHello, so that the context, and quiche's configuration
    /// round it, stay as they are when the certificates change.
    pub(super) fn install(self, builder: &mut SslContextBuilder) {
        builder.set_select_certificate_callback(move |mut hello: ClientHello<'_>| {
            let certificates = self.0.load();
            let identity = certificates.choose(hello.servername(NameType::HOST_NAME));
            identity.install(hello.ssl_mut()).map_err(|_| SelectCertError::ERROR)
        });
    }
}

/// Why a certificate or its key cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// No `-----BEGIN CERTIFICATE-----`.
    #[error("there is no certificate in the PEM text; it needs a -----BEGIN CERTIFICATE----- block")]
    NoCertificate,
    /// A certificate block that cannot be read.
    #[error("a certificate in the PEM text is damaged")]
    DamagedCertificate,
    /// No private key block.
    #[error("there is no private key in the PEM text; it needs a -----BEGIN PRIVATE KEY----- block")]
    NoKey,
    /// An encrypted key.
    #[error("the private key is encrypted; decrypt it first, for example with `openssl pkey`")]
    EncryptedKey,
    /// A key block that cannot be read.
    #[error("the private key in the PEM text is damaged or of a kind that is not supported")]
    DamagedKey,
    /// The key of another certificate.
    #[error("the private key does not belong to the first certificate")]
    KeyMismatch,
    /// A public key of a kind that TLS 1.3 does not use.
    #[error("the first certificate has a public key of a kind that is not supported")]
    UnusableKey,
}

/// Reads at least one certificate.
pub(super) fn read_certificates(pem: &[u8]) -> Result<Vec<X509>, CertificateError> {
    let certificates = X509::stack_from_pem(pem).map_err(|_| CertificateError::DamagedCertificate)?;
    if certificates.is_empty() { Err(CertificateError::NoCertificate) } else { Ok(certificates) }
}

fn read_key(pem: &[u8]) -> Result<PKey<Private>, CertificateError> {
    let contains = |text: &[u8]| pem.windows(text.len()).any(|window| window == text);
    if !contains(b"PRIVATE KEY-----") {
        return Err(CertificateError::NoKey);
    }
    if contains(b"BEGIN ENCRYPTED PRIVATE KEY") || contains(b"Proc-Type: 4,ENCRYPTED") {
        // BoringSSL would ask for the password on the terminal.
        return Err(CertificateError::EncryptedKey);
    }
    PKey::private_key_from_pem(pem).map_err(|_| CertificateError::DamagedKey)
}

pub(super) fn fingerprint(certificate: &X509) -> Option<[u8; 32]> {
    certificate.digest(MessageDigest::sha256()).ok()?.as_ref().try_into().ok()
}
