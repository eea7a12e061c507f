use std::fmt;

use leadsman_domain::{AuditEvent, Untrusted, UserAgent, Verb, identifier, service_account};
use serde::{Deserialize, Serialize};

use super::memo::KeyMemo;
use crate::action::minted_account;

/// How the place of a request without a namespace is called.
pub(crate) const ACROSS: &str = " across the cluster";

/// Number of key families.
pub const FAMILIES: usize = 8;

/// What is remembered of an actor: context → value, as in "this actor → this verb on this resource".
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyFamily {
    /// Verb and API (K1).
    Action,
    /// Namespace and API (K2).
    Namespace,
    /// User agent, product only (K3).
    Client,
    /// Source address (K4); for people, its /24.
    Source,
    /// API and result class (K5); failed requests count here, and only here.
    Outcome,
    /// Name of a secret or config map without generated parts (K6).
    SecretName,
    /// Whose token was minted, or who was impersonated (K7).
    Identity,
    /// Three-hour bin of the week (K11).
    HourOfWeek,
}

impl KeyFamily {
    /// Every family, in declaration order.
    pub const ALL: [Self; FAMILIES] = [
        Self::Action,
        Self::Namespace,
        Self::Client,
        Self::Source,
        Self::Outcome,
        Self::SecretName,
        Self::Identity,
        Self::HourOfWeek,
    ];

    /// The id in contributions.
    #[must_use]
    pub fn id(self) -> &'static str {
        match self {
            Self::Action => "verb_resource",
            Self::Namespace => "namespace",
            Self::Client => "client",
            Self::Source => "source",
            Self::Outcome => "outcome",
            Self::SecretName => "secret_name",
            Self::Identity => "identity",
            Self::HourOfWeek => "hour_of_week",
        }
    }
}

/// Hashes values under a salt of the model, so that clients cannot construct collisions.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyHasher {
    salt: [u8; 32],
}

/// The salt stays out of logs.
impl fmt::Debug for KeyHasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyHasher(…)")
    }
}

impl KeyHasher {
    /// A hasher whose salt derives from the training seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { salt: blake3::derive_key("leadsman novelty keys v1", &seed.to_le_bytes()) }
    }

    fn hash(&self, family: KeyFamily, fields: &[&str]) -> u64 {
        let mut scratch = Vec::with_capacity(128);
        scratch.push(family as u8);
        for f in fields {
            scratch.extend_from_slice(&(f.len() as u32).to_le_bytes());
            scratch.extend_from_slice(f.as_bytes());
        }
        let digest = blake3::keyed_hash(&self.salt, &scratch);
        let mut head = [0; 8];
        head.copy_from_slice(&digest.as_bytes()[..8]);
        u64::from_le_bytes(head)
    }
}

/// The keys of one event; a family is absent when the event says nothing about it. Missing is not unusual.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keys([Option<u64>; FAMILIES]);

impl Keys {
    /// The keys of `event`.
    ///
    /// What a failed request named was chosen by the client and proved nothing, so it yields no keys but
    /// its outcome, its client, its source and its hour.
    #[must_use]
    pub fn of(event: &AuditEvent, hasher: &KeyHasher) -> Self {
        Self::remembering(event, hasher, &mut KeyMemo::default())
    }

    /// The same, without hashing again what `memo` holds.
    pub(super) fn remembering(event: &AuditEvent, hasher: &KeyHasher, memo: &mut KeyMemo) -> Self {
        memo.begin(hasher);
        let mut keys = [None; FAMILIES];
        let mut set = |family: KeyFamily, key: u64| keys[family as usize] = Some(key);
        let [action, namespace, outcome] = done(event, hasher, memo);
        if event.succeeded() || event.code.is_none() {
            set(KeyFamily::Action, action);
            set(KeyFamily::Namespace, namespace);
            if let Some((kind, name)) = named_secret(event) {
                let place = place(event);
                let key = || hasher.hash(KeyFamily::SecretName, &[place, &secret_name(kind, name)]);
                set(KeyFamily::SecretName, memo.key(KeyFamily::SecretName, &[place, kind, name], key));
            }
            if let Some(identity) = identity(event) {
                set(KeyFamily::Identity, hasher.hash(KeyFamily::Identity, &[&identity]));
            }
        }
        if event.code.is_some() {
            set(KeyFamily::Outcome, outcome);
        }
        let mut one = |family, value: &str| set(family, memo.key(family, &[value], || hasher.hash(family, &[value])));
        if let Some(agent) = &event.user_agent {
            one(KeyFamily::Client, product(agent));
        }
        if let Some(source) = &event.source_ip {
            one(KeyFamily::Source, network(source));
        }
        let bin = hour_bin(event);
        let hour = memo.hour(bin, || hasher.hash(KeyFamily::HourOfWeek, &[HOUR_BINS[bin]]));
        set(KeyFamily::HourOfWeek, hour);
        Self(keys)
    }

    /// The key of a family.
    #[must_use]
    pub fn get(&self, family: KeyFamily) -> Option<u64> {
        self.0[family as usize]
    }
}

/// The keys of action, place and outcome.
fn done(event: &AuditEvent, hasher: &KeyHasher, memo: &mut KeyMemo) -> [u64; 3] {
    let object = &event.object;
    let (verb, detail, place, outcome) = (event.verb.as_str(), action_detail(event), place(event), outcome(event));
    let (group, resource) = (object.group.raw(), object.resource.raw());
    let keys = || {
        let api = object.api();
        [
            hasher.hash(KeyFamily::Action, &[verb, &api, detail]),
            hasher.hash(KeyFamily::Namespace, &[place, &api]),
            hasher.hash(KeyFamily::Outcome, &[&api, outcome]),
        ]
    };
    match &object.subresource {
        None => memo.done(&[verb, detail, place, outcome, group, resource], keys),
        Some(part) => memo.done(&[verb, detail, place, outcome, group, resource, part.raw()], keys),
    }
}

/// Three-hour bins of a week.
pub(super) const BINS: usize = 56;

fn hour_bin(event: &AuditEvent) -> usize {
    usize::from(event.event_time.hour_of_week() / 3)
}

/// Names of the three-hour bins of a week, UTC.
const HOUR_BINS: [&str; BINS] = {
    const DAYS: [[&str; 8]; 7] = [
        ["Mon 00–03", "Mon 03–06", "Mon 06–09", "Mon 09–12", "Mon 12–15", "Mon 15–18", "Mon 18–21", "Mon 21–24"],
        ["Tue 00–03", "Tue 03–06", "Tue 06–09", "Tue 09–12", "Tue 12–15", "Tue 15–18", "Tue 18–21", "Tue 21–24"],
        ["Wed 00–03", "Wed 03–06", "Wed 06–09", "Wed 09–12", "Wed 12–15", "Wed 15–18", "Wed 18–21", "Wed 21–24"],
        ["Thu 00–03", "Thu 03–06", "Thu 06–09", "Thu 09–12", "Thu 12–15", "Thu 15–18", "Thu 18–21", "Thu 21–24"],
        ["Fri 00–03", "Fri 03–06", "Fri 06–09", "Fri 09–12", "Fri 12–15", "Fri 15–18", "Fri 18–21", "Fri 21–24"],
        ["Sat 00–03", "Sat 03–06", "Sat 06–09", "Sat 09–12", "Sat 12–15", "Sat 15–18", "Sat 18–21", "Sat 21–24"],
        ["Sun 00–03", "Sun 03–06", "Sun 06–09", "Sun 09–12", "Sun 12–15", "Sun 15–18", "Sun 18–21", "Sun 21–24"],
    ];
    let mut all = [""; BINS];
    let mut i = 0;
    while i < BINS {
        all[i] = DAYS[i / 8][i % 8];
        i += 1;
    }
    all
};

/// What makes two uses of one verb and API different actions: doing it as somebody else is not doing it as oneself,
/// a write with risky settings is not the write without them, and a list over all namespaces is not the list of one.
fn action_detail(event: &AuditEvent) -> &'static str {
    if event.actor.impersonated.is_some() {
        "impersonating"
    } else if event.risk.count() > 0 {
        "risky"
    } else if matches!(event.verb, Verb::List | Verb::Watch) && event.object.namespace.is_none() {
        "all namespaces"
    } else {
        ""
    }
}

/// Where a request goes, as accounts are compared: what a service account does in its own namespace is alike for all of
/// them, so that one without history is judged by what its peers do at home.
fn place(event: &AuditEvent) -> &str {
    let namespace = namespace(event);
    let at_home = service_account(&event.actor.name).is_some_and(|(home, _)| home == namespace);
    if at_home { "\u{0}home" } else { namespace }
}

fn namespace(event: &AuditEvent) -> &str {
    event.object.namespace.as_ref().map_or("", Untrusted::raw)
}

fn product(agent: &Untrusted) -> &str {
    UserAgent::parse(agent.raw()).product
}

/// An IPv4 address without its last part: people and nodes change it within their network.
fn network(source: &Untrusted) -> &str {
    let text = source.raw();
    match text.rsplit_once('.') {
        Some((head, last)) if last.bytes().all(|b| b.is_ascii_digit()) => head,
        Some(_) | None => text,
    }
}

fn outcome(event: &AuditEvent) -> &'static str {
    match event.code {
        Some(_) if event.forbidden => "403",
        Some(200..=299 | 101) => "ok",
        Some(401) => "401",
        Some(403) => "403",
        Some(404) => "404",
        Some(409) => "409",
        Some(422) => "422",
        Some(429) => "429",
        Some(500..=599) => "5xx",
        Some(_) | None => "other",
    }
}

/// Resource and name, if the event is about a named secret or config map.
fn named_secret(event: &AuditEvent) -> Option<(&str, &str)> {
    let kind = event.object.resource.raw();
    let asked = matches!(kind, "secrets" | "configmaps") && event.object.group.raw().is_empty();
    event.object.name.as_ref().filter(|_| asked).map(|name| (kind, name.raw()))
}

fn secret_name(kind: &str, name: &str) -> String {
    [kind, "/", &template(name)].concat()
}

/// A name without what generators put in: digits, and a random last part.
fn template(name: &str) -> String {
    let generated =
        |part: &str| part.len() >= 5 && part.bytes().all(|b| b"bcdfghjklmnpqrstvwxz0123456789".contains(&b));
    let stem = match name.rsplit_once('-') {
        Some((stem, last)) if generated(last) => stem,
        Some(_) | None => name,
    };
    let mut out = String::with_capacity(stem.len());
    for c in stem.chars() {
        let c = if c.is_ascii_digit() { '#' } else { c };
        if !(c == '#' && out.ends_with('#')) {
            out.push(c);
        }
    }
    out
}

fn identity(event: &AuditEvent) -> Option<String> {
    let other = event.actor.impersonated.as_ref();
    other.map_or_else(|| minted_account(event), |other| Some(other.raw().to_owned()))
}

/// What was observed in a family, rendered safe for a sentence.
#[must_use]
pub fn observed(event: &AuditEvent, family: KeyFamily) -> String {
    let shown = |text: &Option<Untrusted>, part: fn(&Untrusted) -> &str| {
        text.as_ref().map_or_else(String::new, |text| identifier(part(text)).into_owned())
    };
    let api = || event.object.api();
    match family {
        KeyFamily::Action => {
            let how = match action_detail(event) {
                "" => "",
                "impersonating" => " as somebody else",
                "risky" => " with risky settings",
                _ => " in all namespaces",
            };
            [event.verb.as_str(), " ", &identifier(&api()), how].concat()
        }
        KeyFamily::Namespace => match namespace(event) {
            "" => [&identifier(&api()), ACROSS].concat(),
            ns => [&identifier(&api()), " in ", &identifier(ns)].concat(),
        },
        KeyFamily::Client => shown(&event.user_agent, product),
        KeyFamily::Source => shown(&event.source_ip, Untrusted::raw),
        KeyFamily::Outcome => [outcome(event), " on ", &identifier(&api())].concat(),
        KeyFamily::SecretName => named_secret(event)
            .map_or_else(String::new, |(kind, name)| identifier(&secret_name(kind, name)).into_owned()),
        KeyFamily::Identity => identity(event).map_or_else(String::new, |n| identifier(&n).into_owned()),
        KeyFamily::HourOfWeek => HOUR_BINS[hour_bin(event)].to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_lose_generated_parts() {
        for (name, want) in [
            ("cart-config", "cart-config"),
            ("cart-7d4b9c6f5d-x2z4z", "cart-#d#b#c#f#d"),
            ("sh.helm.release.v1.cart.v12", "sh.helm.release.v#.cart.v#"),
            ("tls-2026", "tls-#"),
        ] {
            assert_eq!(template(name), want, "{name}");
        }
    }
}
