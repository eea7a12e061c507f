//! Encryption that knows whom it talks to.

use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::PostgresError;

pub(super) type Connector = MakeRustlsConnect;

/// What an address says about encryption.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    /// Nothing: verified where an authority is given, else none on this machine.
    Unsaid,
    /// None.
    Disable,
    /// Verified, name included.
    VerifyFull,
}

/// Takes `sslmode` out of an address: the client library knows modes only that verify nothing.
pub(super) fn wish(address: &str) -> Result<(String, Wish), PostgresError> {
    let Some((base, options)) = address.split_once('?') else { return Ok((address.to_owned(), Wish::Unsaid)) };
    let (modes, others): (Vec<&str>, Vec<&str>) = options.split('&').partition(|o| o.starts_with("sslmode="));
    let wish = match modes.as_slice() {
        [] => Wish::Unsaid,
        ["sslmode=disable"] => Wish::Disable,
        ["sslmode=verify-full"] => Wish::VerifyFull,
        _ => return Err(PostgresError::SslMode),
    };
    Ok((if others.is_empty() { base.to_owned() } else { format!("{base}?{}", others.join("&")) }, wish))
}

/// Verifies certificates and names by the given authorities, and by no others.
pub(super) fn connector(pem: &[u8]) -> Result<Connector, PostgresError> {
    let wrong = |detail: String| PostgresError::Authority { detail };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
        roots.add(certificate).map_err(|error| wrong(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(wrong("it holds no certificate in PEM".to_owned()));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let versions = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = versions.map_err(|error| wrong(error.to_string()))?;
    Ok(MakeRustlsConnect::new(config.with_root_certificates(roots).with_no_client_auth()))
}
