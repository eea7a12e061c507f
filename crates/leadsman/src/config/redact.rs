use super::keys;

/// What a secret is shown as.
pub(super) const REDACTED: &str = "(redacted)";

/// Words in the names of librdkafka settings whose values are secret.
const SECRET: [&str; 4] = ["password", "passphrase", "secret", "key.pem"];

/// Whether the value of this key is secret. Keys of our own hold no secrets, those are in files; but see [`address`].
pub(super) fn is_secret(key: &str) -> bool {
    keys::property(key).is_some_and(|property| {
        let property = property.to_ascii_lowercase();
        SECRET.iter().any(|word| property.contains(word))
    })
}

/// The address of a database without its password, wherever it is well-formed.
pub(super) fn address(text: &str) -> String {
    let (base, options) = text.split_once('?').map_or((text, None), |(base, options)| (base, Some(options)));
    let base = match base.rsplit_once('@').map(|(user, rest)| (user.match_indices(':').nth(1), user, rest)) {
        // The first colon is that of the scheme.
        Some((Some((colon, _)), user, rest)) => format!("{}:{REDACTED}@{rest}", &user[..colon]),
        _ => base.to_owned(),
    };
    match options {
        None => base,
        Some(options) if options.to_ascii_lowercase().contains("pass") => format!("{base}?{REDACTED}"),
        Some(options) => format!("{base}?{options}"),
    }
}

/// Whether text of a file may hold a secret, perhaps under a misspelt key or in the wrong section.
pub(super) fn may_hold_secret(text: &str) -> bool {
    let text: String = text.to_ascii_lowercase().split_whitespace().collect();
    // An address of any scheme may carry a login.
    let login = text.split_once("://").is_some_and(|(_, rest)| rest.contains('@'));
    login
        || SECRET
            .iter()
            .chain(&["postgres://", "postgresql://", "token=", "token\"=", "sasl", "-----begin"])
            .any(|word| text.contains(word))
}
