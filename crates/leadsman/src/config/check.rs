use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use leadsman_detect::rules::Decoys;
use leadsman_store::PostgresSettings;

use super::invalid::{Invalid, quoted};
use super::values::{Choice, Topic};

/// librdkafka settings that have their own key: set in both places, one would win in silence.
const OWN_KEYS: [(&str, &str); 3] = [
    ("bootstrap.servers", "kafka.bootstrap_servers"),
    ("metadata.broker.list", "kafka.bootstrap_servers"),
    ("group.id", "kafka.group_id"),
];

/// A text that is not empty.
pub(super) fn filled(text: &str) -> Result<&str, Invalid> {
    if text.trim().is_empty() { Err(Invalid::Empty) } else { Ok(text) }
}

/// A word of a closed set.
pub(super) fn choice<T: Choice>(text: &str) -> Result<T, Invalid> {
    T::WORDS.iter().find(|(word, _)| *word == text).map(|(_, member)| *member).ok_or_else(|| Invalid::NotOneOf {
        words: T::WORDS.iter().map(|(word, _)| *word).collect(),
        found: quoted(text),
    })
}

/// An IP address and a port. Names are refused: which interface they mean changes with the resolver.
pub(super) fn address(text: &str) -> Result<SocketAddr, Invalid> {
    text.parse().map_err(|_| Invalid::NotAnAddress { found: quoted(text) })
}

/// A number within bounds.
pub(super) fn number(number: f64, least: f64, most: f64, unit: &'static str) -> Result<f64, Invalid> {
    // Not a number is in no range.
    if (least..=most).contains(&number) {
        Ok(number)
    } else {
        Err(Invalid::OutOfRange { least, most, unit, found: number })
    }
}

/// A whole number from 1 on.
pub(super) fn whole(number: i64, most: u64, unit: &'static str) -> Result<u64, Invalid> {
    u64::try_from(number).ok().filter(|whole| (1..=most).contains(whole)).ok_or(Invalid::WholeOutOfRange {
        most,
        unit,
        found: number,
    })
}

/// Days, where 0 means for good.
pub(super) fn days_or_none(number: i64) -> Result<Option<u32>, Invalid> {
    if number == 0 {
        return Ok(None);
    }
    whole(number, 36_500, "days, or 0").map(|days| u32::try_from(days).ok())
}

/// A directory or `s3://bucket/prefix`; nothing at all switches the lake off.
pub(super) fn lake(text: &str) -> Result<Option<String>, Invalid> {
    if text.trim().is_empty() {
        return Ok(None);
    }
    let bucket = text.strip_prefix("s3://").map(|place| place.split('/').next().unwrap_or_default());
    let fits =
        bucket.map_or_else(|| !text.contains("://"), |bucket| !bucket.is_empty() && bucket.chars().all(in_names));
    if fits { Ok(Some(text.to_owned())) } else { Err(Invalid::NotALake { found: quoted(text) }) }
}

/// The URL of a server of object storage, if there is one.
pub(super) fn endpoint(text: &str) -> Result<Option<String>, Invalid> {
    if text.trim().is_empty() {
        return Ok(None);
    }
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    // Credentials in a URL end up in logs.
    let fits = host.is_some_and(|host| !host.is_empty() && !host.contains('@') && !host.contains(char::is_whitespace));
    if fits { Ok(Some(text.to_owned())) } else { Err(Invalid::NotAnEndpoint { found: quoted(text) }) }
}

/// Days, at most a hundred years.
pub(super) fn days(number: i64) -> Result<Duration, Invalid> {
    whole(number, 36_500, "days").map(|days| Duration::from_secs(days * 24 * 60 * 60))
}

/// Mebibytes, in bytes.
pub(super) fn mebibytes(number: i64, most: u64) -> Result<usize, Invalid> {
    let mebibytes = whole(number, most, "MiB")?;
    // Only a 16-bit machine would get here with less.
    Ok(usize::try_from(mebibytes * 1024 * 1024).unwrap_or(usize::MAX))
}

/// `[a-z0-9][a-z0-9.-]{0,62}`: what a Kubernetes label can carry, in lower case.
pub(super) fn cluster_name(text: &str) -> Result<String, Invalid> {
    let alphanumeric = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let fits = (1..=63).contains(&text.len())
        && text.starts_with(alphanumeric)
        && text.chars().all(|c| alphanumeric(c) || ".-".contains(c));
    if fits { Ok(text.to_owned()) } else { Err(Invalid::NotAClusterName { found: quoted(text) }) }
}

/// Kafka's grammar of topics, `org.apache.kafka.common.internals.Topic`.
pub(super) fn topic(text: &str) -> Result<String, Invalid> {
    let fits = (1..=249).contains(&text.len()) && ![".", ".."].contains(&text) && text.chars().all(in_names);
    if fits { Ok(text.to_owned()) } else { Err(Invalid::NotATopic { found: quoted(text) }) }
}

/// Topics, each with the cluster that writes it if that is not the configured one: `topic` or `topic=cluster`.
pub(super) fn topics(list: &[String]) -> Result<Vec<Topic>, Invalid> {
    let parse = |entry: &String| {
        let (name, cluster) = entry.split_once('=').map_or((entry.as_str(), None), |(name, of)| (name, Some(of)));
        Ok(Topic { name: topic(name)?, cluster: cluster.map(cluster_name).transpose()? })
    };
    list.iter().map(parse).collect()
}

/// Brokers, separated by commas; none at all switches Kafka off.
pub(super) fn brokers(text: &str) -> Result<String, Invalid> {
    if text.trim().is_empty() {
        return Ok(String::new());
    }
    match text.split(',').map(str::trim).find(|broker| !is_broker(broker)) {
        Some(broker) => Err(Invalid::NotABroker { found: quoted(broker) }),
        None => Ok(text.trim().to_owned()),
    }
}

/// The address of a database; none at all means a file.
pub(super) fn database(text: &str) -> Result<Option<PostgresSettings>, Invalid> {
    if text.trim().is_empty() {
        return Ok(None);
    }
    PostgresSettings::parse(text.trim()).map(Some).map_err(Invalid::Database)
}

fn is_broker(text: &str) -> bool {
    // The port is after the last colon; an IPv6 address stands in brackets.
    text.rsplit_once(':').is_some_and(|(host, port)| {
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let fits = bare.map_or_else(|| !host.contains([':', '[', ']', '/']), |bare| bare.contains(':'));
        fits && !host.is_empty()
            && !host.contains(char::is_whitespace)
            && port.parse::<u16>().is_ok_and(|port| port > 0)
    })
}

/// User names, in full or as prefixes that end in `*`.
pub(super) fn users(list: &[String]) -> Result<Vec<String>, Invalid> {
    for entry in list {
        let name = entry.strip_suffix('*').unwrap_or(entry);
        if entry.trim().is_empty() {
            return Err(Invalid::EmptyEntry);
        } else if name.is_empty() {
            return Err(Invalid::MatchesEverybody);
        } else if name.contains('*') {
            return Err(Invalid::StarInside { found: quoted(entry) });
        }
    }
    Ok(list.to_vec())
}

/// Host names or IP addresses as they stand in a `Host` header, without the port.
pub(super) fn hosts(list: &[String]) -> Result<Vec<String>, Invalid> {
    for entry in list {
        let bare = entry.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(entry);
        let is_name = !bare.is_empty() && bare.chars().all(in_names);
        if entry.trim().is_empty() {
            return Err(Invalid::EmptyEntry);
        } else if !is_name && bare.parse::<std::net::Ipv6Addr>().is_err() {
            return Err(Invalid::NotAHost { found: quoted(entry) });
        }
    }
    Ok(list.to_vec())
}

/// Paths of files.
pub(super) fn files(list: &[String]) -> Result<Vec<PathBuf>, Invalid> {
    let has_empty = list.iter().any(|entry| entry.trim().is_empty());
    if has_empty { Err(Invalid::EmptyEntry) } else { Ok(list.iter().map(PathBuf::from).collect()) }
}

/// Kinds of decoys by how they are named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decoy {
    /// `namespace/name`.
    Object,
    /// A namespace.
    Namespace,
}

/// Decoys of one kind.
pub(super) fn decoys(list: &[String], kind: Decoy) -> Result<Vec<String>, Invalid> {
    for entry in list {
        let one = vec![entry.clone()];
        let (decoys, wanted) = match kind {
            Decoy::Object => (Decoys { secrets: one, ..Decoys::default() }, "namespace/name"),
            Decoy::Namespace => (Decoys { namespaces: one, ..Decoys::default() }, "the name of a namespace"),
        };
        decoys.to_sigma().map_err(|_| Invalid::NotADecoy { found: quoted(entry), wanted })?;
    }
    // Named twice is one decoy, not two rules of one id.
    Ok(list.iter().cloned().collect::<BTreeSet<_>>().into_iter().collect())
}

/// User names that may touch decoys.
pub(super) fn exceptions(list: &[String]) -> Result<Vec<String>, Invalid> {
    for entry in users(list)? {
        let decoys = Decoys { secrets: vec!["any/any".to_owned()], except: vec![entry.clone()], ..Decoys::default() };
        decoys.to_sigma().map_err(|_| Invalid::NotAUser { found: quoted(&entry) })?;
    }
    Ok(list.to_vec())
}

/// The name of a librdkafka setting that may be set freely.
pub(super) fn property(name: &str) -> Result<(), Invalid> {
    if name.is_empty() || !name.chars().all(in_names) {
        return Err(Invalid::NotAProperty);
    }
    match OWN_KEYS.iter().find(|(property, _)| *property == name) {
        Some((_, instead)) => Err(Invalid::HasOwnKey { instead }),
        None => Ok(()),
    }
}

fn in_names(c: char) -> bool {
    c.is_ascii_alphanumeric() || "._-".contains(c)
}
