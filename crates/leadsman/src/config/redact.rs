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

/// The address of a database without its password.
///
/// A password may hold characters that should have been escaped: all from the colon behind the user to the last `@` is
/// taken for it.
pub(super) fn address(text: &str) -> String {
    let (scheme, rest) = text.split_at(text.find("://").map_or(0, |at| at + "://".len()));
    let user = rest.find([':', '@']).unwrap_or(0);
    let (login, rest) = match rest.rfind('@') {
        Some(at) if rest[user..].starts_with(':') => (format!("{}:{REDACTED}", &rest[..user]), &rest[at..]),
        _ => (String::new(), rest),
    };
    let rest = match rest.split_once('?') {
        Some((base, options)) if options.to_ascii_lowercase().contains("pass") => format!("{base}?{REDACTED}"),
        _ => rest.to_owned(),
    };
    format!("{scheme}{login}{rest}")
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
