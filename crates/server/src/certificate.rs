//! The development certificate, and fingerprints of certificates.
//!
//! Browsers accept a self-signed certificate for WebTransport when they are told its SHA-256 in
//! `serverCertificateHashes`, on conditions that the development certificate meets: ECDSA on P-256 and a life of at
//! most 14 days. The machine that made it is the only one that should trust it.

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose, SanType};
use sha2::{Digest, Sha256};
use x509_parser::pem::parse_x509_pem;

/// A self-signed certificate for `localhost`, `127.0.0.1` and `::1`, valid for 13 days, with its key.
///
/// ```
/// use lorraine::DevCertificate;
///
/// let certificate = DevCertificate::generate()?;
/// assert!(certificate.cert_pem().starts_with("-----BEGIN CERTIFICATE-----"));
/// println!("serverCertificateHashes: {}", certificate.sha256());
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone)]
pub struct DevCertificate {
    certificate_pem: String,
    key_pem: String,
    sha256: Fingerprint,
}

impl DevCertificate {
    /// Makes one and keeps it in memory.
    ///
    /// # Errors
    /// When the system has no randomness to give.
    pub fn generate() -> io::Result<Self> {
        Self::generate_at(SystemTime::now())
    }

    /// The one in `dir`, from `cert.pem` and `key.pem`. If it is missing, unreadable, or has less than a day left, a
    /// new one takes its place. The directory is made if need be; only its owner may read the key.
    ///
    /// # Errors
    /// When the files cannot be written; the message names the file.
    pub fn load_or_create(dir: impl AsRef<Path>) -> io::Result<Self> {
        Self::load_or_create_at(dir.as_ref(), SystemTime::now())
    }

    /// As [`load_or_create`](Self::load_or_create), in the [`default_dir`](Self::default_dir).
    ///
    /// # Errors
    /// Those of [`load_or_create`](Self::load_or_create), and [`NotFound`](io::ErrorKind::NotFound) without a home.
    pub fn load_or_create_default() -> io::Result<Self> {
        let dir = Self::default_dir().ok_or_else(|| {
            let reason = "there is no home to keep a development certificate in: set XDG_STATE_HOME or HOME";
            io::Error::new(io::ErrorKind::NotFound, reason)
        })?;
        Self::load_or_create(dir)
    }

    /// Where it is kept between runs: `lorraine` in `$XDG_STATE_HOME` or else in `~/.local/state`. `None` without a
    /// home.
    #[must_use]
    pub fn default_dir() -> Option<PathBuf> {
        state_dir(std::env::var_os("XDG_STATE_HOME").map(PathBuf::from), std::env::home_dir())
    }

    /// The certificate.
    #[must_use]
    pub fn cert_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// The private key, PKCS #8.
    #[must_use]
    pub fn key_pem(&self) -> &str {
        &self.key_pem
    }

    /// The fingerprint for `serverCertificateHashes`.
    #[must_use]
    pub fn sha256(&self) -> Fingerprint {
        self.sha256
    }

    fn generate_at(now: SystemTime) -> io::Result<Self> {
        let mut params = CertificateParams::default();
        // A clock that is a little behind must not find it not yet valid.
        let not_before = now - CLOCK_SKEW;
        params.not_before = not_before.into();
        params.not_after = (not_before + LIFE).into();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "Lorraine development certificate");
        params.subject_alt_names = vec![
            SanType::DnsName("localhost".try_into().map_err(io::Error::other)?),
            SanType::IpAddress(Ipv4Addr::LOCALHOST.into()),
            SanType::IpAddress(Ipv6Addr::LOCALHOST.into()),
        ];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).map_err(io::Error::other)?;
        let certificate = params.self_signed(&key).map_err(io::Error::other)?;
        Ok(Self {
            certificate_pem: certificate.pem(),
            key_pem: key.serialize_pem(),
            sha256: Fingerprint::of_der(certificate.der()),
        })
    }

    fn load_or_create_at(dir: &Path, now: SystemTime) -> io::Result<Self> {
        if let Some(kept) = Self::load(dir, now) {
            return Ok(kept);
        }
        let new = Self::generate_at(now)?;
        create_private_dir(dir).map_err(|error| naming(dir, &error))?;
        // The key first: a certificate is not used before its key is there.
        replace(&dir.join(KEY_FILE), &new.key_pem)?;
        replace(&dir.join(CERTIFICATE_FILE), &new.certificate_pem)?;
        Ok(new)
    }

    /// The one in `dir` if it can still be used.
    fn load(dir: &Path, now: SystemTime) -> Option<Self> {
        let certificate_pem = fs::read_to_string(dir.join(CERTIFICATE_FILE)).ok()?;
        let key_pem = fs::read_to_string(dir.join(KEY_FILE)).ok()?;
        let (_, pem) = parse_x509_pem(certificate_pem.as_bytes()).ok()?;
        let certificate = pem.parse_x509().ok()?;
        let validity = certificate.validity();
        let now = i64::try_from(now.duration_since(UNIX_EPOCH).ok()?.as_secs()).ok()?;
        let renewal = i64::try_from(RENEWED_BEFORE_END.as_secs()).ok()?;
        let is_valid = validity.not_before.timestamp() <= now && now + renewal < validity.not_after.timestamp();
        // Two runs that started at once may have left the key of one and the certificate of the other.
        let key = KeyPair::from_pem(&key_pem).ok()?;
        let belongs = certificate.public_key().subject_public_key.data == key.public_key_raw();
        let sha256 = Fingerprint::of_der(&pem.contents);
        (is_valid && belongs).then_some(Self { certificate_pem, key_pem, sha256 })
    }
}

impl fmt::Debug for DevCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DevCertificate").field("sha256", &self.sha256).finish_non_exhaustive()
    }
}

/// The fingerprint of the first certificate in a PEM file, which is the one that `serverCertificateHashes` speaks of.
///
/// ```
/// use lorraine::{DevCertificate, certificate::certificate_sha256};
///
/// let certificate = DevCertificate::generate()?;
/// assert_eq!(certificate_sha256(certificate.cert_pem()), Some(certificate.sha256()));
/// # Ok::<(), std::io::Error>(())
/// ```
#[must_use]
pub fn certificate_sha256(pem: impl AsRef<[u8]>) -> Option<Fingerprint> {
    let first = x509_parser::pem::Pem::iter_from_buffer(pem.as_ref())
        .map_while(Result::ok)
        .find(|block| block.label == "CERTIFICATE")?;
    Some(Fingerprint::of_der(&first.contents))
}

/// The SHA-256 of a certificate in DER. Displays as 64 hex digits in lower case.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// The fingerprint of a certificate in DER.
    #[must_use]
    pub fn of_der(der: &[u8]) -> Self {
        Self(Sha256::digest(der).into())
    }

    /// The 32 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn state_dir(xdg_state_home: Option<PathBuf>, home: Option<PathBuf>) -> Option<PathBuf> {
    // The XDG specification has relative paths ignored.
    let state = xdg_state_home.filter(|path| path.is_absolute());
    let state = state.or_else(|| home.filter(|path| path.is_absolute()).map(|home| home.join(".local/state")));
    state.map(|state| state.join("lorraine"))
}

fn create_private_dir(dir: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir)
}

/// Writes a file that only its owner may read, whole or not at all.
fn replace(path: &Path, contents: &str) -> io::Result<()> {
    let new = path.with_extension(format!("{}.new", std::process::id()));
    let write = || {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&new)?;
        file.write_all(contents.as_bytes())?;
        fs::rename(&new, path)
    };
    // What a run with this process ID left behind when it was killed here.
    let _ = fs::remove_file(&new);
    write().map_err(|error| naming(path, &error))
}

fn naming(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("cannot write {}: {error}", path.display()))
}

const CERTIFICATE_FILE: &str = "cert.pem";
const KEY_FILE: &str = "key.pem";

/// Under the 14 days that `serverCertificateHashes` allows.
const LIFE: Duration = Duration::from_secs(13 * DAY);
/// With less than this left, it is made anew.
const RENEWED_BEFORE_END: Duration = Duration::from_secs(DAY);
const CLOCK_SKEW: Duration = Duration::from_secs(3600);
const DAY: u64 = 24 * 3600;

#[cfg(test)]
mod tests;
