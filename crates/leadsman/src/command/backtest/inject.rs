//! Back-tests on logs of somebody's own: the first part trains, attacks by accounts of the log are injected into the rest.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use leadsman_decode::{DecodeContext, Limits};
use leadsman_domain::{ActorClass, AuditEvent, Level, Untrusted, service_account};
use leadsman_sim::{IdentityKind, Terrain, Trial, Victim, inject_within};

use super::CLUSTER;
use super::lab::{Lab, Stager};
use super::timeline::Timeline;
use crate::clock;
use crate::config::Config;
use crate::exit::Exit;
use crate::input::{Inputs, LakeOptions, Reading};
use crate::progress::{Progress, ProgressMode};

/// Share of the period that trains; attacks come into the rest.
const TRAIN_SHARE: f64 = 0.8;
/// Objects of each kind that attacks choose from; names beyond it are left alone.
const MAX_OBJECTS: usize = 1_000;
/// Accounts of a kind whose identity may be stolen: the busiest.
const MAX_VICTIMS: usize = 20;

/// Reads logs.
///
/// Errors: when they cannot be read, or their period is too short to hold out a part of it.
pub(super) fn logs(
    paths: &[PathBuf],
    lakes: &LakeOptions,
    config: &Config,
    progress: ProgressMode,
) -> Result<(Timeline, DecodeContext)> {
    let rules = config.cluster.rules.clone();
    let context = DecodeContext { cluster: CLUSTER.to_owned(), rules, redaction_key: None };
    let inputs = Inputs::find(paths, lakes)?;
    let mut bar = Progress::new(progress, "read", inputs.bytes());
    let mut timeline = Timeline::default();
    let reading = Reading { context: &context, limits: Limits::default(), now: clock::now(), strict: false };
    let read = inputs.read(&reading, &mut bar, |decoded| {
        for event in decoded.events {
            timeline.push(event.event_time, vec![event], Vec::new());
        }
        for sample in decoded.samples {
            timeline.push(sample.event_time, Vec::new(), vec![sample]);
        }
        Ok(())
    })?;
    bar.finish();
    read.report();
    Ok((timeline, context))
}

impl Lab {
    /// The cluster behind a log. Attacks are planned by `seed`.
    ///
    /// Errors: when the log is too short to be divided, or no account in it can be impersonated.
    pub(super) fn of_log(log: &Timeline, context: DecodeContext, seed: u64) -> Result<Self> {
        let too_short =
            || Exit::Usage("the logs hold too short a period: a back-test needs some days of them".to_owned());
        let (from, to) = log.span().ok_or_else(too_short)?;
        let split = from.plus(Duration::from_secs_f64(TRAIN_SHARE * to.seconds_since(from)));
        let (train, rest) = (log.part(from, split), log.part(split, to.plus(Duration::from_secs(1))));
        if train.events().is_empty() || rest.events().is_empty() {
            return Err(too_short().into());
        }
        let victims = victims(train.events());
        if victims.is_empty() {
            return Err(Exit::Usage(
                "the logs hold no person, no CI account and no workload's account whose identity could be stolen; \
                 declare CI accounts under cluster.ci"
                    .to_owned(),
            )
            .into());
        }
        let terrain = terrain(train.events(), seed);
        // An attack must not show bodies that the audit policy never logs.
        let level = train.events().iter().map(|e| e.level).max().unwrap_or(Level::Metadata);
        let stage: Stager = Box::new(move |trial: &Trial| {
            let of_kind = victims.get(&trial.identity)?;
            let victim = of_kind.get((trial.repeat as usize).wrapping_add(trial.technique as usize) % of_kind.len())?;
            Some(inject_within(&terrain, victim, trial, level))
        });
        Ok(Self::new(seed, train, rest, context, stage))
    }
}

/// The busiest accounts of each kind, with the program and the address they use most.
fn victims(events: &[AuditEvent]) -> BTreeMap<IdentityKind, Vec<Victim>> {
    #[derive(Default)]
    struct Habits {
        events: usize,
        sources: BTreeMap<String, usize>,
        agents: BTreeMap<String, usize>,
    }
    let mut accounts: BTreeMap<(IdentityKind, &str), Habits> = BTreeMap::new();
    for event in events {
        let kind = match event.actor.class {
            ActorClass::Human => IdentityKind::Human,
            ActorClass::Ci => IdentityKind::Ci,
            ActorClass::SaWorkload => IdentityKind::Workload,
            ActorClass::Anonymous | ActorClass::Node | ActorClass::SaController | ActorClass::System => continue,
        };
        let habits = accounts.entry((kind, &event.actor.name)).or_default();
        habits.events += 1;
        for (text, counts) in [(&event.source_ip, &mut habits.sources), (&event.user_agent, &mut habits.agents)] {
            if let Some(text) = text {
                *counts.entry(text.raw().to_owned()).or_default() += 1;
            }
        }
    }
    let usual = |counts: BTreeMap<String, usize>| {
        counts.into_iter().max_by_key(|(_, n)| *n).map_or_else(String::new, |(text, _)| text)
    };
    let mut busiest: Vec<_> = accounts.into_iter().collect();
    busiest.sort_by_key(|(_, habits)| std::cmp::Reverse(habits.events));
    let mut victims: BTreeMap<IdentityKind, Vec<Victim>> = BTreeMap::new();
    for ((kind, name), habits) in busiest {
        let of_kind = victims.entry(kind).or_default();
        if of_kind.len() < MAX_VICTIMS {
            of_kind.push(Victim {
                username: name.to_owned(),
                uid: String::new(),
                groups: Vec::new(),
                source_ip: usual(habits.sources),
                user_agent: usual(habits.agents),
            });
        }
    }
    victims
}

/// What there is to attack.
fn terrain(events: &[AuditEvent], seed: u64) -> Terrain {
    let mut namespaces = BTreeSet::new();
    let (mut secrets, mut pods) = (BTreeSet::new(), BTreeSet::new());
    let (mut accounts, mut nodes) = (BTreeSet::new(), BTreeSet::new());
    for event in events {
        if let Some(account) = service_account(&event.actor.name) {
            keep(&mut accounts, (account.0.to_owned(), account.1.to_owned()));
        } else if let Some(node) = event.actor.name.strip_prefix("system:node:") {
            keep(&mut nodes, node.to_owned());
        }
        let Some(namespace) = event.object.namespace.as_ref().map(Untrusted::raw).filter(|_| event.succeeded()) else {
            continue;
        };
        keep(&mut namespaces, namespace.to_owned());
        let Some(name) = event.object.name.as_ref().map(Untrusted::raw) else { continue };
        let object = || (namespace.to_owned(), name.to_owned());
        if event.object.is("secrets") {
            keep(&mut secrets, object());
        } else if event.object.is("pods") {
            keep(&mut pods, object());
        }
    }
    Terrain {
        seed,
        namespaces: namespaces.into_iter().collect(),
        secrets: secrets.into_iter().collect(),
        pods: pods.into_iter().collect(),
        service_accounts: accounts.into_iter().collect(),
        nodes: nodes.into_iter().collect(),
    }
}

fn keep<T: Ord>(objects: &mut BTreeSet<T>, object: T) {
    if objects.len() < MAX_OBJECTS {
        objects.insert(object);
    }
}
