//! `lorraine cert`: the certificate that browsers must be told of.

use std::process::ExitCode;

use lorraine::DevCertificate;

use crate::Outcome;
use crate::args::CertArgs;
use crate::output;

pub(crate) fn run(args: &CertArgs) -> Outcome {
    match &args.cert {
        Some(path) => {
            let pem = read(path)?;
            let fingerprint = lorraine::certificate::certificate_sha256(&pem);
            output::result(fingerprint.ok_or_else(|| format!("{} holds no certificate in PEM", path.display()))?)?;
        }
        None => {
            let certificate = DevCertificate::load_or_create_default()?;
            output::result(certificate.cert_pem())?;
            output::note(format!("SHA-256 {}", certificate.sha256()));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn read(path: &std::path::Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()))
}
