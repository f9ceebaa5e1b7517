use x509_parser::extensions::GeneralName;
use x509_parser::oid_registry::{OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY};

use super::*;

fn days(days: f64) -> Duration {
    Duration::from_secs_f64(days * DAY as f64)
}

#[test]
fn certificate_is_what_server_certificate_hashes_asks_for() {
    let certificate = DevCertificate::generate().unwrap();
    let (_, pem) = parse_x509_pem(certificate.cert_pem().as_bytes()).unwrap();
    let x509 = pem.parse_x509().unwrap();
    let validity = x509.validity();
    assert!(validity.is_valid());
    assert!(validity.not_after.timestamp() - validity.not_before.timestamp() <= 14 * DAY as i64);
    let algorithm = &x509.public_key().algorithm;
    assert_eq!(algorithm.algorithm, OID_KEY_TYPE_EC_PUBLIC_KEY);
    assert_eq!(algorithm.parameters.as_ref().unwrap().as_oid().unwrap(), OID_EC_P256);
    let names = x509.subject_alternative_name().unwrap().unwrap();
    let expected = [
        GeneralName::DNSName("localhost"),
        GeneralName::IPAddress(&[127, 0, 0, 1]),
        GeneralName::IPAddress(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]),
    ];
    assert_eq!(names.value.general_names, expected);
    assert!(x509.verify_signature(None).is_ok());
}

#[test]
fn fingerprint_is_the_sha256_of_the_der() {
    // FIPS 180-4, the digest of "abc".
    let fingerprint = Fingerprint::of_der(b"abc");
    assert_eq!(fingerprint.to_string(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_eq!(fingerprint.as_bytes()[..2], [0xba, 0x78]);

    let certificate = DevCertificate::generate().unwrap();
    let (_, pem) = parse_x509_pem(certificate.cert_pem().as_bytes()).unwrap();
    assert_eq!(certificate.sha256(), Fingerprint::of_der(&pem.contents));
}

#[test]
fn fingerprint_of_a_file_is_that_of_its_first_certificate() {
    let (leaf, other) = (DevCertificate::generate().unwrap(), DevCertificate::generate().unwrap());
    let chain = format!("{}{}{}", leaf.key_pem(), leaf.cert_pem(), other.cert_pem());
    assert_eq!(certificate_sha256(chain), Some(leaf.sha256()));
    assert_eq!(certificate_sha256(leaf.key_pem()), None);
    assert_eq!(certificate_sha256("nonsense"), None);
}

#[test]
fn certificate_is_kept_until_a_day_is_left() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("made/on/the/way");
    let start = SystemTime::now();
    let first = DevCertificate::load_or_create_at(&dir, start).unwrap();
    for later in [0.0, 1.0, 11.9] {
        let kept = DevCertificate::load_or_create_at(&dir, start + days(later)).unwrap();
        assert_eq!(kept.sha256(), first.sha256(), "after {later} days");
        assert_eq!((kept.cert_pem(), kept.key_pem()), (first.cert_pem(), first.key_pem()));
    }
    let second = DevCertificate::load_or_create_at(&dir, start + days(12.1)).unwrap();
    assert_ne!(second.sha256(), first.sha256());
    let kept = DevCertificate::load_or_create_at(&dir, start + days(12.2)).unwrap();
    assert_eq!(kept.sha256(), second.sha256());
}

#[test]
fn certificate_from_the_future_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let start = SystemTime::now();
    let first = DevCertificate::load_or_create_at(dir.path(), start).unwrap();
    let second = DevCertificate::load_or_create_at(dir.path(), start - days(2.0)).unwrap();
    assert_ne!(second.sha256(), first.sha256());
}

#[test]
fn what_cannot_be_used_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let other = DevCertificate::generate().unwrap();
    let spoil: [(&str, &[u8]); 5] = [
        (CERTIFICATE_FILE, b"not a certificate"),
        (CERTIFICATE_FILE, b"\xff\xfe"),
        (KEY_FILE, b""),
        (KEY_FILE, other.key_pem().as_bytes()),
        (CERTIFICATE_FILE, other.cert_pem().as_bytes()),
    ];
    for (file, contents) in spoil {
        let before = DevCertificate::load_or_create(dir.path()).unwrap();
        fs::write(dir.path().join(file), contents).unwrap();
        let after = DevCertificate::load_or_create(dir.path()).unwrap();
        assert_ne!(after.sha256(), before.sha256(), "{file}");
        assert_eq!(DevCertificate::load_or_create(dir.path()).unwrap().sha256(), after.sha256(), "{file}");
    }
    let left: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "{left:?}");
}

#[cfg(unix)]
#[test]
fn only_the_owner_may_read_the_key() {
    use std::os::unix::fs::PermissionsExt;

    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("state");
    DevCertificate::load_or_create(&dir).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&dir.join(KEY_FILE)), 0o600);
    assert_eq!(mode(&dir), 0o700);
}

#[test]
fn error_names_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("occupied");
    fs::write(&file, "").unwrap();
    let error = DevCertificate::load_or_create(&file).unwrap_err();
    assert!(error.to_string().starts_with(&format!("cannot write {}", file.display())), "{error}");
}

#[test]
fn state_directory_follows_the_xdg_specification() {
    let path = |path: &str| Some(PathBuf::from(path));
    assert_eq!(state_dir(path("/state"), path("/home/u")), path("/state/lorraine"));
    assert_eq!(state_dir(path("relative"), path("/home/u")), path("/home/u/.local/state/lorraine"));
    assert_eq!(state_dir(path(""), path("/home/u")), path("/home/u/.local/state/lorraine"));
    assert_eq!(state_dir(None, path("")), None);
    assert_eq!(state_dir(None, None), None);
}

#[test]
fn key_does_not_show_in_debug_output() {
    let certificate = DevCertificate::generate().unwrap();
    assert!(!format!("{certificate:?}").contains("PRIVATE"));
}
