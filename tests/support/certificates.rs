//! A certificate authority of a test, and what it signs.

use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};

use super::Result;

/// Long enough for any test.
pub(crate) const LONG: Duration = Duration::from_secs(3_600);

/// A certificate and its key, in PEM.
pub(crate) struct Identity {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

/// Signs certificates.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    /// An authority of its own: what another one signs is unknown to it.
    pub(crate) fn new(name: &str) -> Result<Self> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        Ok(Self { issuer: CertifiedIssuer::self_signed(params, KeyPair::generate()?)? })
    }

    /// The authority's own certificate, in PEM.
    pub(crate) fn certificate(&self) -> String {
        self.issuer.pem()
    }

    /// Signs a certificate of 127.0.0.1 for `name` that ends `lifetime` from now, and began an hour ago.
    pub(crate) fn sign(&self, name: &str, lifetime: Duration) -> Result<Identity> {
        self.sign_until(name, now() + lifetime)
    }

    /// Signs a certificate that has ended a minute ago.
    pub(crate) fn sign_expired(&self, name: &str) -> Result<Identity> {
        self.sign_until(name, now() - Duration::from_secs(60))
    }

    fn sign_until(&self, name: &str, end: SystemTime) -> Result<Identity> {
        let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()])?;
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.not_before = (now() - LONG).into();
        params.not_after = end.into();
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(Identity { certificate: certificate.pem(), key: key.serialize_pem() })
    }
}

#[expect(clippy::disallowed_methods, reason = "a certificate ends by the clock")]
fn now() -> SystemTime {
    SystemTime::now()
}
