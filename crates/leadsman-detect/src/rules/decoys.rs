//! Decoys: what nobody has a reason to touch. Each becomes a rule of its own.

use leadsman_domain::ContentHash;
use serde::{Deserialize, Serialize};

use super::{RuleError, RuleProblem};

/// What the rules of decoys are called in messages.
const FILE: &str = "detect.decoys";
/// Names of accounts that decoys may except, in characters.
const MAX_NAME: usize = 253;

/// Declared decoys: any touch of one, whether it succeeds or is denied, is reported.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decoys {
    /// Secrets, as `namespace/name`.
    #[serde(default)]
    pub secrets: Vec<String>,
    /// Service accounts, as `namespace/name`: used, impersonated, changed, or given a token.
    #[serde(default)]
    pub service_accounts: Vec<String>,
    /// Namespaces, and everything in them.
    #[serde(default)]
    pub namespaces: Vec<String>,
    /// User names that may touch them, in full or as a prefix that ends in `*`: what made the decoys, backups.
    #[serde(default)]
    pub except: Vec<String>,
}

impl Decoys {
    /// The rules, as Sigma; empty without decoys.
    ///
    /// Errors: [`RuleProblem::Decoy`] for what is no name.
    pub fn to_sigma(&self) -> Result<String, RuleError> {
        let mut out = String::new();
        for decoy in &self.secrets {
            let (namespace, name) = pair(decoy)?;
            let selection = format!(
                "  touched: {{objectRef.resource: secrets, objectRef.namespace: '{namespace}', objectRef.name: '{name}'}}\n"
            );
            out += &self.rule("secret", decoy, "credential-access, attack.t1552.007", &selection, "touched")?;
        }
        for decoy in &self.service_accounts {
            let (namespace, name) = pair(decoy)?;
            let account = format!("system:serviceaccount:{namespace}:{name}");
            // The control plane looks after accounts; it does not act as them.
            let selection = format!(
                "  used:\n    - user.username: '{account}'\n    - impersonatedUser.username: '{account}'\n  \
                 touched: {{objectRef.resource: serviceaccounts, objectRef.namespace: '{namespace}', \
                 objectRef.name: '{name}'}}\n  control_plane: {{leadsman.actor_class: [system, sa_controller]}}\n"
            );
            let condition = "(used or touched and not control_plane)";
            out += &self.rule("service account", decoy, "credential-access, attack.t1528", &selection, condition)?;
        }
        for decoy in &self.namespaces {
            let namespace = name(decoy, decoy)?;
            let selection = format!(
                "  touched:\n    - objectRef.namespace: '{namespace}'\n    - {{objectRef.resource: namespaces, \
                 objectRef.name: '{namespace}'}}\n  control_plane: {{leadsman.actor_class: [system, sa_controller, node]}}\n"
            );
            let condition = "touched and not control_plane";
            out += &self.rule("namespace", decoy, "discovery, attack.t1613", &selection, condition)?;
        }
        Ok(out)
    }

    fn rule(&self, kind: &str, decoy: &str, tags: &str, selection: &str, condition: &str) -> Result<String, RuleError> {
        let mut filter = String::new();
        let mut condition = condition.to_owned();
        if !self.except.is_empty() {
            let names = self.except.iter().map(|e| excepted(e)).collect::<Result<Vec<_>, _>>()?.join(", ");
            filter = format!("  excepted: {{user.username: [{names}]}}\n");
            condition += " and not excepted";
        }
        Ok(format!(
            "---\ntitle: Decoy {kind} {decoy} touched\nid: {id}\ndescription: Nothing legitimate uses this decoy.\n\
             tags: [attack.{tags}]\nlogsource: {{product: kubernetes, service: audit}}\ndetection:\n{selection}{filter}  \
             condition: {condition}\nlevel: high\n",
            id = uuid(kind, decoy)
        ))
    }
}

/// An id that stays the same as long as the decoy does (RFC 9562, version 8: our own hash).
fn uuid(kind: &str, decoy: &str) -> String {
    let hash = ContentHash::new("leadsman decoy v1").field(kind).field(decoy).finish();
    let h = format!("{:032x}", hash & !(0xf << 76) & !(0x3 << 62) | 0x8 << 76 | 0x2 << 62);
    format!("{}-{}-{}-{}-{}", &h[..8], &h[8..12], &h[12..16], &h[16..20], &h[20..])
}

fn pair(decoy: &str) -> Result<(&str, &str), RuleError> {
    let (namespace, object) = decoy.split_once('/').ok_or_else(|| refused(decoy))?;
    Ok((name(namespace, decoy)?, name(object, decoy)?))
}

/// A DNS-1123 subdomain, which needs no quoting.
fn name<'n>(text: &'n str, decoy: &str) -> Result<&'n str, RuleError> {
    let ok = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.');
    if !text.is_empty() && text.len() <= MAX_NAME && text.bytes().all(ok) { Ok(text) } else { Err(refused(decoy)) }
}

/// A user name in quotes; only a `*` at its end is a wildcard.
fn excepted(user: &str) -> Result<String, RuleError> {
    let stem = user.strip_suffix('*').unwrap_or(user);
    if stem.is_empty() || stem.len() > MAX_NAME || stem.chars().any(|c| c.is_control() || matches!(c, '*' | '?' | '\\'))
    {
        return Err(refused(user));
    }
    Ok(format!("'{}'", user.replace('\'', "''")))
}

fn refused(decoy: &str) -> RuleError {
    let shown = decoy.chars().take(64).collect();
    RuleError { file: FILE.to_owned(), line: 1, rule: None, problem: RuleProblem::Decoy(shown) }
}
