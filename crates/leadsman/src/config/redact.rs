use super::keys;

/// What a secret is shown as.
pub(super) const REDACTED: &str = "(redacted)";

/// Words in the names of librdkafka settings whose values are secret.
const SECRET: [&str; 4] = ["password", "passphrase", "secret", "key.pem"];

/// Whether the value of this key is secret. Keys of our own hold no secrets: those are in files.
pub(super) fn is_secret(key: &str) -> bool {
    keys::property(key).is_some_and(|property| {
        let property = property.to_ascii_lowercase();
        SECRET.iter().any(|word| property.contains(word))
    })
}

/// Whether text of a file may hold a secret, perhaps under a misspelt key or in the wrong section.
pub(super) fn may_hold_secret(text: &str) -> bool {
    let text: String = text.to_ascii_lowercase().split_whitespace().collect();
    SECRET.iter().chain(&["token=", "token\"=", "sasl", "-----begin"]).any(|word| text.contains(word))
}
