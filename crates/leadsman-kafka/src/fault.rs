use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode};

/// Why a broker does not serve us, told apart by what somebody has to do about it. The most telling one comes last.
///
/// Read from librdkafka's error code and its text, which is all it gives: the texts are those of 2.12 with OpenSSL 3
/// and Kafka 4.1, and a text that is not known is [`Fault::Silent`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Fault {
    /// Nothing more is known.
    #[error("no answer: check the network, firewalls, and that a broker runs there")]
    Silent,
    /// The connection is taken and closed again without a word.
    #[error(
        "it closes the connection at once: the listener speaks TLS or wants a login and we do not, or the other way round; set `security.protocol` of [kafka.properties] to what the listener is (plaintext, ssl, sasl_plaintext, sasl_ssl)"
    )]
    Closed,
    /// The name has no address.
    #[error("the name has no address: correct it in kafka.bootstrap_servers, or the resolver of this machine")]
    Unresolved,
    /// Nothing listens there.
    #[error("connection refused: start the broker there, or correct the address")]
    Refused,
    /// We speak TLS, the listener does not.
    #[error("the listener does not speak TLS: correct the port, or `security.protocol` of [kafka.properties]")]
    NotTls,
    /// The broker's certificate does not convince us.
    #[error(
        "the broker's certificate cannot be verified: name the authority that signed it in `ssl.ca.location` of [kafka.properties], or renew the certificate if it has expired"
    )]
    BrokerNotTrusted,
    /// Our certificate does not convince the broker.
    #[error(
        "the broker does not take our certificate: name one that it trusts and that has not expired in `ssl.certificate.location` and `ssl.key.location` of [kafka.properties]"
    )]
    CertificateRefused,
    /// The listener knows no logins.
    #[error("the listener takes no logins: correct the port, or `security.protocol` of [kafka.properties]")]
    NoLogins,
    /// The listener knows other ways to log in.
    #[error("the listener does not know this way to log in: correct `sasl.mechanism` of [kafka.properties]")]
    OtherMechanism,
    /// User or password are wrong.
    #[error(
        "the login is refused: correct `sasl.username` and `sasl.password` of [kafka.properties], or the user at the broker"
    )]
    LoginRefused,
    /// The group may not be used.
    #[error(
        "the group may not be used: allow `Read` on the group, for example with `kafka-acls.sh --add --allow-principal User:NAME --operation Read --group GROUP`"
    )]
    GroupDenied,
    /// The topic may not be used.
    #[error(
        "the topic may not be used: allow `Read` on topics that are read and `Write` on the findings topic, for example with `kafka-acls.sh --add --allow-principal User:NAME --operation Read --topic TOPIC`"
    )]
    TopicDenied,
}

// === impl Fault ===

impl Fault {
    /// What librdkafka reports, if it says that a broker does not serve us.
    ///
    /// `AllBrokersDown` is none: it follows each of the others, and says less.
    #[must_use]
    pub fn of(error: &ClientError, reason: &str) -> Option<Self> {
        let found = match error.rdkafka_error_code()? {
            RDKafkaErrorCode::TopicAuthorizationFailed => Self::TopicDenied,
            RDKafkaErrorCode::GroupAuthorizationFailed => Self::GroupDenied,
            RDKafkaErrorCode::Resolve => Self::Unresolved,
            RDKafkaErrorCode::SSL if reason.contains("certificate verify failed") => Self::BrokerNotTrusted,
            RDKafkaErrorCode::SSL if reason.contains("wrong version number") => Self::NotTls,
            RDKafkaErrorCode::SSL | RDKafkaErrorCode::BrokerTransportFailure if refuses_certificate(reason) => {
                Self::CertificateRefused
            }
            RDKafkaErrorCode::Authentication | RDKafkaErrorCode::SaslAuthenticationFailed => login(reason),
            RDKafkaErrorCode::BrokerTransportFailure if reason.contains("Connection refused") => Self::Refused,
            RDKafkaErrorCode::BrokerTransportFailure if reason.contains("PLAINTEXT broker listener") => Self::NotTls,
            RDKafkaErrorCode::BrokerTransportFailure | RDKafkaErrorCode::SSL => Self::Silent,
            _ => return None,
        };
        Some(found)
    }
}

/// TLS alerts about a certificate: RFC 8446, section 6.2, numbers 42 to 49 and 116.
fn refuses_certificate(reason: &str) -> bool {
    let alert = reason.split("SSL alert number ").nth(1).and_then(|rest| rest.split(|c: char| !c.is_numeric()).next());
    alert.and_then(|number| number.parse::<u8>().ok()).is_some_and(|number| matches!(number, 42..=49 | 116))
}

fn login(reason: &str) -> Fault {
    if reason.contains("Unsupported SASL mechanism") {
        Fault::OtherMechanism
    } else if reason.contains("not valid in current SASL state") {
        Fault::NoLogins
    } else {
        Fault::LoginRefused
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Texts as librdkafka 2.12.1 gave them against Kafka 4.1.1.
    #[test]
    fn texts_of_librdkafka_are_told_apart() {
        let check = |code, reason, expected| assert_eq!(Fault::of(&ClientError::Global(code), reason), expected);
        use RDKafkaErrorCode as Code;
        check(
            Code::SSL,
            "ssl://127.0.0.1:1/bootstrap: SSL handshake failed: error:0A000086:SSL routines::certificate verify failed: broker certificate could not be verified, verify that ssl.ca.location is correctly configured (after 9ms in state SSL_HANDSHAKE)",
            Some(Fault::BrokerNotTrusted),
        );
        check(
            Code::BrokerTransportFailure,
            "ssl://127.0.0.1:1/bootstrap: SSL handshake failed: Disconnected: SSL connection closed by peer: connecting to a PLAINTEXT broker listener? (after 5ms in state SSL_HANDSHAKE)",
            Some(Fault::NotTls),
        );
        for alert in [
            "ssl/tls alert bad certificate: SSL alert number 42 (after",
            "ssl/tls alert certificate unknown: SSL alert number 46 (after",
        ] {
            check(Code::BrokerTransportFailure, alert, Some(Fault::CertificateRefused));
        }
        check(Code::BrokerTransportFailure, "ssl/tls alert internal error: SSL alert number 80", Some(Fault::Silent));
        check(
            Code::Authentication,
            "SASL authentication error: Authentication failed during authentication due to invalid credentials with SASL mechanism SCRAM-SHA-512",
            Some(Fault::LoginRefused),
        );
        check(
            Code::Authentication,
            "SASL PLAIN mechanism handshake failed: Broker: Unsupported SASL mechanism: broker's supported mechanisms: SCRAM-SHA-512",
            Some(Fault::OtherMechanism),
        );
        check(
            Code::Authentication,
            "SASL SCRAM-SHA-512 mechanism handshake failed: Broker: Request not valid in current SASL state",
            Some(Fault::NoLogins),
        );
        check(
            Code::BrokerTransportFailure,
            "127.0.0.1:1/bootstrap: Connect to ipv4#127.0.0.1:1 failed: Connection refused (after 0ms in state CONNECT)",
            Some(Fault::Refused),
        );
        check(Code::Resolve, "Failed to resolve 'no.such.host.invalid:9092'", Some(Fault::Unresolved));
        check(Code::AllBrokersDown, "1/1 brokers are down", None);
        check(Code::PartitionEOF, "", None);
    }
}
