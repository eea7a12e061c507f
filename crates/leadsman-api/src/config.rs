use std::fmt;
use std::time::Duration;

use subtle::ConstantTimeEq;

/// How the API is guarded.
#[derive(Debug, Clone)]
pub struct ApiConfig {
    /// The bearer token. `None` leaves the API open: the operator asked for that.
    pub token: Option<Token>,
    /// Most bytes of a request body, before and after decompression. Default 64 MiB.
    pub max_body: usize,
    /// Most bytes of request bodies held at once; further ones get 503. Default four times `max_body`.
    pub max_buffered: usize,
    /// Host names, without port, that an open API answers to besides loopback, and whose pages may write.
    pub allowed_hosts: Vec<String>,
    /// Most requests served at once, probes aside; further ones get 503. Default 256.
    pub max_in_flight: usize,
    /// How long a client may take to send a body. Default 30 s.
    pub body_timeout: Duration,
    /// How long a request may take until its response starts. Default 60 s.
    pub request_timeout: Duration,
}

impl ApiConfig {
    /// The defaults, with this token. There is no default token: an open API is a decision.
    #[must_use]
    pub fn new(token: Option<Token>) -> Self {
        let max_body = 64 << 20;
        Self {
            token,
            max_body,
            max_buffered: 4 * max_body,
            allowed_hosts: Vec::new(),
            max_in_flight: 256,
            body_timeout: Duration::from_secs(30),
            request_timeout: Duration::from_secs(60),
        }
    }
}

/// A bearer token, kept as a hash: neither a core dump nor a log shows it.
#[derive(Clone)]
pub struct Token([u8; 32]);

/// A text that cannot serve as a token.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum TokenError {
    /// Guessable.
    #[error("the token is shorter than {} characters: generate one with `openssl rand -hex 32`", Token::MIN_LEN)]
    TooShort,
    /// Impossible to send in a header.
    #[error("the token holds white space or characters outside ASCII: use letters and digits")]
    Unprintable,
}

impl Token {
    /// Shortest token that is accepted.
    pub const MIN_LEN: usize = 16;

    /// Takes the secret text.
    ///
    /// Errors: [`TokenError`] when it is guessable or cannot be sent in a header.
    pub fn new(secret: &str) -> Result<Self, TokenError> {
        if !secret.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(TokenError::Unprintable);
        }
        if secret.len() < Self::MIN_LEN {
            return Err(TokenError::TooShort);
        }
        Ok(Self(*blake3::hash(secret.as_bytes()).as_bytes()))
    }

    /// Whether `presented` is this token. Hashes of equal length are compared in constant time, so that
    /// timing tells neither the length nor a matching prefix.
    pub(crate) fn matches(&self, presented: &[u8]) -> bool {
        self.0.ct_eq(blake3::hash(presented).as_bytes()).into()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(redacted)")
    }
}
