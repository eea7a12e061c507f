//! The identity that an attack uses, as it usually appears.

use super::{IdentityKind, Technique, Terrain, Trial, Victim};
use crate::api::{Call, DEPLOYMENTS, EVENTS, PODS};
use crate::ci;
use crate::cluster::Cluster;
use crate::config::Style;
use crate::dice::{Dice, key};
use crate::identity::{Identity, PodRef};

/// A stolen identity with the address, program and token that are its own.
pub(super) struct Culprit {
    pub(super) identity: Identity,
    pub(super) ip: String,
    pub(super) agent: String,
    pub(super) pod: Option<PodRef>,
    /// The namespace it belongs to.
    pub(super) home: String,
    /// Requests it makes every day; never empty.
    pub(super) everyday: Vec<Call>,
}

impl Culprit {
    /// The `trial.repeat`-th victim of its kind; the same for every style, so that styles can be compared.
    pub(super) fn of_cluster(cluster: &Cluster, trial: &Trial) -> Self {
        let scope = format!("{}/{}", trial.technique, trial.identity);
        let turn = (key(cluster.seed, "victim", &scope, 0) as usize).wrapping_add(trial.repeat as usize);
        if trial.technique == Technique::AnonymousAccess {
            let (ip, agent) = crate::machines::LOAD_BALANCER;
            return Self::from(cluster.anonymous.clone(), ip.to_owned(), agent.to_owned(), None, "default");
        }
        match trial.identity {
            IdentityKind::Human => {
                let person = &cluster.people[turn % cluster.people.len()];
                let client = person.client(cluster.seed, trial.at.day(), false);
                Self::from(person.identity.clone(), client.ip, client.agent, None, person.home[0])
            }
            IdentityKind::Ci => {
                let bot = ci::release_bot(cluster).filter(|_| turn.is_multiple_of(3));
                let outside = bot.is_some();
                let client = bot.unwrap_or_else(|| ci::last_runner(cluster, trial.at));
                let estate = cluster.estate;
                let home = if outside { estate.released_from_outside } else { estate.app_namespaces[0] };
                let released = cluster.workloads().iter().filter(|w| w.released && w.namespace == home);
                let everyday = released.map(|w| Call::get(DEPLOYMENTS, home, w.name)).collect();
                let culprit = Self::from(client.identity.clone(), client.ip, client.agent, client.pod, home);
                Self { everyday, ..culprit }
            }
            IdentityKind::Workload => {
                let candidates: Vec<_> = cluster.agents.iter().filter(|a| a.is_prey()).collect();
                let agent = candidates[turn % candidates.len()];
                let client = agent.client(cluster, trial.at);
                let culprit = Self::from(agent.identity.clone(), client.ip, client.agent, client.pod, agent.namespace);
                let habits = agent.everyday();
                if habits.is_empty() { culprit } else { Self { everyday: habits, ..culprit } }
            }
        }
    }

    /// Somebody of a real log.
    pub(super) fn of_victim(terrain: &Terrain, victim: &Victim, trial: &Trial) -> Self {
        let (ip, agent) = (victim.source_ip.clone(), victim.user_agent.clone());
        if trial.technique == Technique::AnonymousAccess {
            return Self::from(Identity::anonymous(), ip, agent, None, "default");
        }
        let identity = Identity::known(&victim.username, &victim.uid, &victim.groups);
        let account = victim.username.strip_prefix("system:serviceaccount:").and_then(|a| a.split_once(':'));
        let mut dice = Dice::new(terrain.seed, "home", &victim.username, 0);
        let home = match account {
            Some((namespace, _)) => namespace.to_owned(),
            None if terrain.namespaces.is_empty() => "default".to_owned(),
            None => dice.pick(&terrain.namespaces).clone(),
        };
        Self::from(identity, ip, agent, None, &home)
    }

    fn from(identity: Identity, ip: String, agent: String, pod: Option<PodRef>, home: &str) -> Self {
        let everyday = [PODS, DEPLOYMENTS, EVENTS].map(|api| Call::list(api, home)).to_vec();
        Self { identity, ip, agent, pod, home: home.to_owned(), everyday }
    }

    /// Takes the identity elsewhere, unless the style is to stay: another address, another program.
    pub(super) fn abroad(self, style: Style, streams: bool, dice: &mut Dice) -> Self {
        match style {
            Style::Noisy | Style::Paced => {
                Self { ip: foreign_address(dice), agent: tool(dice, streams, &self.agent), ..self }
            }
            Style::Mimicry => self,
        }
    }

    /// What makes the attack possible: a binding that gives the identity more than it needs.
    pub(super) fn overpowered(self, dice: &mut Dice) -> Self {
        if self.identity.is_bound_everywhere() {
            return self;
        }
        let role = *dice.pick(&["legacy-ops", "cluster-operator", "platform-tools", "support", "migration"]);
        let binding = match dice.below(3) {
            0 => format!("{}-{role}", self.home),
            1 => role.to_owned(),
            _ => format!("{role}-{}", dice.suffix(4)),
        };
        Self { identity: self.identity.cluster_role(&binding, role), ..self }
    }
}

/// An address of a network set aside for documentation (RFC 5737) or benchmarks (RFC 2544): public to every reader,
/// and nobody's.
fn foreign_address(dice: &mut Dice) -> String {
    let host = 1 + dice.below(254);
    match dice.below(8) {
        0 => format!("192.0.2.{host}"),
        1 => format!("198.51.100.{host}"),
        2 => format!("203.0.113.{host}"),
        _ => format!("198.{}.{}.{host}", 18 + dice.below(2), dice.below(256)),
    }
}

/// A program of the attacker's own, never `usual`. Streams (exec, port-forward) need a client that can upgrade.
fn tool(dice: &mut Dice, streams: bool, usual: &str) -> String {
    let platform = *dice.pick(&["linux/amd64", "linux/amd64", "linux/arm64", "darwin/arm64", "windows/amd64"]);
    let minor = 24 + dice.below(8);
    let kubectl = format!("kubectl/v1.{minor}.{} ({platform}) kubernetes/{}", 3 + dice.below(12), dice.hex(7));
    let others = [
        format!("curl/8.{}.0", 1 + dice.below(7)),
        format!("python-requests/2.{}.0", 25 + dice.below(6)),
        format!("python-urllib3/2.{}.2", dice.below(3)),
        "Go-http-client/2.0".to_owned(),
    ];
    let upgrading = [
        format!("OpenAPI-Generator/{}.0.0/python", 24 + dice.below(7)),
        format!("stratus-red-team_{}", dice.uuid()),
        format!("k9s/v0.32.{} ({platform}) kubernetes/{}", dice.below(6), dice.hex(7)),
    ];
    let drawn = if dice.chance(0.55) {
        kubectl.clone()
    } else if streams || dice.chance(0.4) {
        dice.pick(&upgrading).clone()
    } else {
        dice.pick(&others).clone()
    };
    if drawn == usual { kubectl } else { drawn }
}
