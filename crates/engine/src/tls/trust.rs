//! Which servers a client believes.

use boring::asn1::Asn1Time;
use boring::ssl::{SslAlert, SslContextBuilder, SslRef, SslVerifyError, SslVerifyMode};
use boring::x509::X509Ref;

use super::TlsError;
use super::certificates::{fingerprint, read_certificates};

/// Which servers a client believes.
#[derive(Clone, Debug)]
pub enum Trust {
    /// Those with a certificate for their name from an authority that the system trusts, as found in OpenSSL's
    /// default places.
    System,
    /// Those with a certificate for their name from one of the authorities in this PEM text.
    Roots(Vec<u8>),
    /// Those that show a certificate with one of these SHA-256 hashes, within its time of validity; names do not
    /// matter. This is how browsers treat WebTransport's `serverCertificateHashes`.
    Pinned(Vec<[u8; 32]>),
    /// All, and so also whoever sits in between. For tests.
    Insecure,
}

impl Trust {
    pub(super) fn install(&self, builder: &mut SslContextBuilder) -> Result<(), TlsError> {
        match self {
            Self::System => {
                builder.set_default_verify_paths().map_err(TlsError::refused)?;
                builder.set_verify(SslVerifyMode::PEER);
            }
            Self::Roots(pem) => {
                for root in read_certificates(pem)? {
                    builder.cert_store_mut().add_cert(&root).map_err(TlsError::refused)?;
                }
                builder.set_verify(SslVerifyMode::PEER);
            }
            Self::Pinned(hashes) => {
                let hashes = hashes.clone();
                builder.set_custom_verify_callback(SslVerifyMode::PEER, move |ssl| verify_pinned(ssl, &hashes));
            }
            Self::Insecure => builder.set_verify(SslVerifyMode::NONE),
        }
        Ok(())
    }
}

fn verify_pinned(ssl: &mut SslRef, hashes: &[[u8; 32]]) -> Result<(), SslVerifyError> {
    let certificate = ssl.peer_certificate().ok_or(SslVerifyError::Invalid(SslAlert::CERTIFICATE_REQUIRED))?;
    if !fingerprint(&certificate).is_some_and(|hash| hashes.contains(&hash)) {
        return Err(SslVerifyError::Invalid(SslAlert::BAD_CERTIFICATE));
    }
    match is_current(&certificate) {
        Some(true) => Ok(()),
        _ => Err(SslVerifyError::Invalid(SslAlert::CERTIFICATE_EXPIRED)),
    }
}

fn is_current(certificate: &X509Ref) -> Option<bool> {
    let now = Asn1Time::days_from_now(0).ok()?;
    let begun = certificate.not_before().compare(&now).ok()?.is_le();
    let ended = certificate.not_after().compare(&now).ok()?.is_lt();
    Some(begun && !ended)
}
