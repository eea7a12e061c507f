//! Connections that know whom they talk to.

use leadsman_domain::{ErrorKind, Store};
use leadsman_store::{PostgresError, PostgresSettings, PostgresStore};
use libtest_mimic::Trial;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

use crate::conformance::source;
use crate::support::postgres::Postgres;
use crate::{shared, trial};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("tls::certificate_and_name_are_verified", certificate_and_name_are_verified),
        trial("tls::an_unencrypted_server_is_refused", an_unencrypted_server_is_refused),
        trial("tls::another_host_needs_an_authority", another_host_needs_an_authority),
    ]
}

struct Authority {
    pem: Vec<u8>,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem().into_bytes();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    /// Certificate and key, as PEM, for a name.
    fn certify(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }
}

async fn certificate_and_name_are_verified() {
    let server = Postgres::start().unwrap_or_else(|failure| panic!("{}", failure.message().unwrap_or_default()));
    let authority = Authority::new();
    let (certificate, key) = authority.certify("127.0.0.1");
    server.encrypt(&certificate, &key).unwrap();
    let url = format!("{}&application_name=tls&sslmode=verify-full", server.url(&server.schema().unwrap()));
    let settings = |url: &str, authority: &Authority| {
        PostgresSettings::parse(url).unwrap().with_authority(authority.pem.clone()).unwrap()
    };
    let store = PostgresStore::connect(&settings(&url, &authority)).await.unwrap();
    store.claim(&source(), 0).await.unwrap();
    let encrypted =
        "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name = 'tls'";
    assert_eq!(server.sql(encrypted).unwrap(), "t");

    let elsewhere = url.replace("@127.0.0.1", "@localhost");
    for (what, settings) in
        [("another authority", settings(&url, &Authority::new())), ("another name", settings(&elsewhere, &authority))]
    {
        let error = PostgresStore::connect(&settings).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{what}");
        assert!(error.to_string().contains("certificate"), "{what}: {error}");
    }
}

/// Somebody in between must not be able to switch encryption off.
async fn an_unencrypted_server_is_refused() {
    let settings = PostgresSettings::parse(&shared().url("public")).unwrap();
    let error = PostgresStore::connect(&settings.with_authority(Authority::new().pem).unwrap()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
}

async fn another_host_needs_an_authority() {
    for (address, refused) in [
        ("postgres://u@db.example/x", true),
        ("postgres://u@db.example/x?sslmode=verify-full", true),
        ("postgres://u@127.0.0.1:1/x?sslmode=verify-full", true),
        ("postgres://u@127.0.0.1:1,10.0.0.1:1/x", true),
        ("postgres://u@127.0.0.1:1/x", false),
        ("postgres://u@localhost:1/x?hostaddr=10.0.0.1", true),
        ("postgres://u@10.255.255.1:1/x?sslmode=disable&connect_timeout=1", false),
    ] {
        let error = PostgresStore::connect(&PostgresSettings::parse(address).unwrap()).await.unwrap_err();
        assert_eq!(error.to_string().contains("store.ca_file"), refused, "{address}: {error}");
    }
    for mode in ["require", "prefer", "verify-ca", "", "verify-full&sslmode=disable"] {
        let parsed = PostgresSettings::parse(&format!("postgres://u@db.example/x?sslmode={mode}"));
        assert_eq!(parsed, Err(PostgresError::SslMode), "{mode}");
    }
    let settings = PostgresSettings::parse("postgres://u@db.example/x").unwrap();
    for pem in ["", "hello", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        let refused = settings.clone().with_authority(pem.into());
        assert!(matches!(refused, Err(PostgresError::Authority { .. })), "{pem}");
    }
}
