//! Certificates that browsers accept by their hash: ECDSA P-256, at most 14 days.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use time::{Duration, OffsetDateTime};

/// A self-signed certificate and its key in PEM.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// The certificate.
    pub cert: String,
    /// The private key, PKCS #8.
    pub key: String,
}

impl Certificate {
    /// A certificate for `localhost`, `127.0.0.1` and `::1`, valid from an hour ago for 13 days.
    pub fn localhost() -> Self {
        Self::for_names(&["localhost", "127.0.0.1", "::1"])
    }

    /// A certificate for `names`, host names and addresses as text, valid from an hour ago for 13 days.
    ///
    /// # Panics
    /// When a name is not ASCII.
    pub fn for_names(names: &[&str]) -> Self {
        let now = OffsetDateTime::now_utc();
        Self::with_validity(names, now - Duration::hours(1), now + Duration::days(13) - Duration::hours(1))
    }

    /// A certificate for `localhost` that ended yesterday.
    pub fn expired() -> Self {
        let now = OffsetDateTime::now_utc();
        Self::with_validity(&["localhost"], now - Duration::days(10), now - Duration::days(1))
    }

    /// Writes `cert.pem` and `key.pem` into `folder` and returns their paths in this order.
    ///
    /// # Errors
    /// What the file system says.
    pub fn write_to(&self, folder: &Path) -> io::Result<(PathBuf, PathBuf)> {
        let (cert, key) = (folder.join("cert.pem"), folder.join("key.pem"));
        fs::write(&cert, &self.cert)?;
        fs::write(&key, &self.key)?;
        Ok((cert, key))
    }

    fn with_validity(names: &[&str], from: OffsetDateTime, until: OffsetDateTime) -> Self {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names).expect("the names are ASCII");
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "Lorraine test");
        params.not_before = from;
        params.not_after = until;
        // rcgen's default is ECDSA P-256, which is what browsers ask of a certificate accepted by its hash.
        let key = KeyPair::generate().expect("the system has randomness");
        let cert = params.self_signed(&key).expect("the parameters are complete");
        Self { cert: cert.pem(), key: key.serialize_pem() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificate_and_key_are_pem() {
        let made = Certificate::localhost();
        assert!(made.cert.starts_with("-----BEGIN CERTIFICATE-----"));
        assert!(made.key.starts_with("-----BEGIN PRIVATE KEY-----"));
    }

    #[test]
    fn two_certificates_have_different_keys() {
        assert_ne!(Certificate::localhost().key, Certificate::localhost().key);
    }

    #[test]
    fn files_hold_what_was_made() {
        let folder = std::env::temp_dir().join(format!("lorraine-testkit-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let made = Certificate::expired();
        let (cert, key) = made.write_to(&folder).unwrap();
        assert_eq!(fs::read_to_string(cert).unwrap(), made.cert);
        assert_eq!(fs::read_to_string(key).unwrap(), made.key);
        fs::remove_dir_all(folder).unwrap();
    }
}
