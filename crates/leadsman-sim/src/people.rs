//! The people: when they work, and what kinds of things they do.

use crate::command::Command;
use crate::day::{Day, is_weekend, week, weekday};
use crate::dice::{Dice, key};
use crate::estate::{Estate, Post};
use crate::identity::{Client, Identity};
use crate::kubectl::Terminal;

/// Somebody with a kubeconfig.
pub(crate) struct Person {
    pub(crate) identity: Identity,
    pub(crate) role: Role,
    /// Namespaces of the person's team, most used first.
    pub(crate) home: &'static [&'static str],
    /// A namespace next door that the person may look into.
    pub(crate) neighbour: &'static str,
    /// VPN address, and the one used from elsewhere.
    ips: [String; 2],
    platform: &'static str,
    starts: f64,
    ends: f64,
    /// Things this person does about every other week each, in turn.
    rare: [Command; 2],
}

/// What a person is here for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Developer,
    Scientist,
    Sre,
    Admin,
}

/// kubectl builds in the order they come out.
const KUBECTL: [&str; 5] = [
    "v1.32.6 (P) kubernetes/f6a8b23",
    "v1.33.1 (P) kubernetes/8adc0f0",
    "v1.33.2 (P) kubernetes/a57b6f7",
    "v1.33.4 (P) kubernetes/74cdb42",
    "v1.34.1 (P) kubernetes/93248f9",
];
/// People upgrade about once in so many days, each on their own date.
const UPGRADE_DAYS: i64 = 90;

pub(crate) fn staff(seed: u64, estate: &Estate) -> Vec<Person> {
    estate.staff.iter().map(|post| person(seed, post)).collect()
}

/// Whoever holds this post.
pub(crate) fn person(seed: u64, post: &Post) -> Person {
    let Post { name, role, home, neighbour, starts } = *post;
    let mut dice = Dice::new(seed, "person", name, 0);
    let username = format!("{name}@example.com");
    let team = match role {
        Role::Developer | Role::Scientist => format!("{}-developers", home[0]),
        Role::Sre => "sre".to_owned(),
        Role::Admin => "platform-admins".to_owned(),
    };
    let identity = Identity::oidc(&username, &[&team, "employees"]);
    let identity = match role {
        Role::Developer | Role::Scientist => {
            home.iter().fold(identity, |i, ns| i.role(ns, "team", "edit")).role(neighbour, "neighbours", "view")
        }
        Role::Sre => identity.cluster_role("sre", "sre-operator"),
        Role::Admin => identity.cluster_role("platform-admins", "cluster-admin"),
    };
    let host = 10 + dice.below(100);
    let wide = rare(role);
    let first = dice.below(wide.len());
    let second = (first + 1 + dice.below(wide.len() - 1)) % wide.len();
    Person {
        identity,
        role,
        home,
        neighbour,
        ips: [format!("10.20.30.{host}"), format!("10.20.30.{}", host + 110)],
        platform: if dice.chance(0.5) { "linux/amd64" } else { "darwin/arm64" },
        starts: starts + dice.between(-0.4, 0.4),
        ends: starts + 8.4 + dice.between(-0.4, 0.6),
        rare: [wide[first], wide[second]],
    }
}

/// The daily repertoire of a role, with weights.
fn repertoire(role: Role) -> &'static [(Command, f64)] {
    match role {
        Role::Developer => &[
            (Command::Pods, 30.0),
            (Command::Logs, 22.0),
            (Command::Describe, 14.0),
            (Command::Deployments, 10.0),
            (Command::Config, 6.0),
            (Command::Apply, 5.0),
            (Command::Events, 5.0),
            (Command::Exec, 2.5),
            (Command::PortForward, 3.0),
            (Command::Restart, 1.2),
            (Command::Secret, 1.2),
            (Command::Top, 3.0),
            (Command::Neighbour, 1.0),
            (Command::Denied, 0.35),
            (Command::ApplyNew, 0.5),
            (Command::Watch, 4.0),
        ],
        Role::Scientist => &[
            (Command::Pods, 26.0),
            (Command::Logs, 24.0),
            (Command::Notebook, 8.0),
            (Command::TrainJob, 4.0),
            (Command::Describe, 10.0),
            (Command::Exec, 5.0),
            (Command::PortForward, 5.0),
            (Command::Config, 5.0),
            (Command::Secret, 1.0),
            (Command::Top, 3.0),
            (Command::Neighbour, 1.2),
            (Command::Denied, 0.3),
            (Command::Watch, 4.0),
        ],
        Role::Sre => &[
            (Command::Pods, 22.0),
            (Command::Logs, 16.0),
            (Command::Describe, 14.0),
            (Command::Nodes, 10.0),
            (Command::Top, 8.0),
            (Command::Events, 8.0),
            (Command::Deployments, 10.0),
            (Command::Config, 5.0),
            (Command::Exec, 2.5),
            (Command::PortForward, 4.0),
            (Command::Restart, 1.0),
            (Command::Secret, 1.2),
            (Command::Neighbour, 2.0),
            (Command::DeletePod, 0.8),
            (Command::Watch, 4.0),
        ],
        Role::Admin => &[
            (Command::Pods, 22.0),
            (Command::Nodes, 14.0),
            (Command::Deployments, 10.0),
            (Command::Describe, 12.0),
            (Command::Config, 8.0),
            (Command::Roles, 5.0),
            (Command::Apply, 4.0),
            (Command::Events, 6.0),
            (Command::Logs, 10.0),
            (Command::Secret, 1.5),
            (Command::Neighbour, 3.0),
            (Command::Namespaces, 4.0),
            (Command::Exec, 0.8),
            (Command::Watch, 3.0),
        ],
    }
}

/// The repertoire as it is in this cluster: without GitOps, more is done by hand.
fn habits(day: &Day<'_>, person: &Person) -> Vec<(Command, f64)> {
    let by_hand = day.cluster.estate.by_hand;
    let weight = |command: Command, weight: f64| if command.changes() { weight * by_hand } else { weight };
    repertoire(person.role).iter().map(|&(command, w)| (command, weight(command, w))).collect()
}

/// The wider repertoire, from which everybody has a few things of their own.
fn rare(role: Role) -> &'static [Command] {
    match role {
        Role::Developer => {
            &[Command::DeletePod, Command::Scale, Command::CanI, Command::Secrets, Command::ApplyNew, Command::RunJob]
        }
        Role::Scientist => &[Command::DeletePod, Command::CanI, Command::Secrets, Command::ApplyNew],
        Role::Sre => &[Command::Cordon, Command::Debug, Command::Secrets, Command::Scale, Command::CanI],
        Role::Admin => &[Command::Bind, Command::Cordon, Command::Secrets, Command::Debug],
    }
}

/// What the pager makes people do.
const INCIDENT: [(Command, f64); 8] = [
    (Command::Pods, 30.0),
    (Command::Logs, 30.0),
    (Command::Describe, 16.0),
    (Command::Events, 10.0),
    (Command::Exec, 6.0),
    (Command::PortForward, 4.0),
    (Command::Top, 8.0),
    (Command::Restart, 3.0),
];

impl Person {
    pub(crate) fn name(&self) -> &str {
        self.identity.username.split('@').next().unwrap_or_default()
    }

    /// The person at a terminal; the address and the kubectl of the day.
    pub(crate) fn client(&self, seed: u64, day: i64, elsewhere: bool) -> Client<'_> {
        let offset = (key(seed, "upgrade", self.name(), 0) % UPGRADE_DAYS as u64) as i64;
        // Version 1.33.1 is what a person without offset has on 2026-03-02.
        let build = (1 + (day - 20_514 + offset).div_euclid(UPGRADE_DAYS)).clamp(0, KUBECTL.len() as i64 - 1);
        Client {
            identity: &self.identity,
            ip: self.ips[usize::from(elsewhere)].clone(),
            agent: format!("kubectl/{}", KUBECTL[build as usize].replace('P', self.platform)),
            pod: None,
        }
    }
}

pub(crate) fn run(day: &mut Day<'_>) {
    let cluster = day.cluster;
    for person in &cluster.people {
        let mut dice = day.dice("person", person.name());
        let on_call = day.on_call() == person.name();
        if is_weekend(day.number) {
            if dice.chance(0.05) {
                let hour = dice.between(9.0, 20.0);
                session(day, person, &mut dice, hour, &habits(day, person), 4);
            }
        } else if !dice.chance(0.03) {
            workday(day, person, &mut dice);
        }
        if on_call && dice.chance(0.2) {
            let hour = if dice.chance(0.5) { dice.between(0.0, 6.0) } else { dice.between(18.5, 23.0) };
            session(day, person, &mut dice, hour, &INCIDENT, 9);
        }
        habitual(day, person);
    }
}

/// A few sessions between breakfast and lunch, and between lunch and the way home.
pub(crate) fn workday(day: &mut Day<'_>, person: &Person, dice: &mut Dice) {
    let habits = habits(day, person);
    let starts = person.starts + dice.bell() * 0.25;
    let lunch = 11.7 + dice.between(0.0, 0.6);
    let ends = person.ends + dice.bell() * 0.3;
    for _ in 0..4 + dice.below(6) {
        let hour = if dice.chance(0.45) { dice.between(starts, lunch) } else { dice.between(lunch + 0.8, ends) };
        let commands = 5 + dice.below(12);
        session(day, person, dice, hour, &habits, commands);
    }
}

fn session(
    day: &mut Day<'_>,
    person: &Person,
    dice: &mut Dice,
    hour: f64,
    repertoire: &[(Command, f64)],
    commands: usize,
) {
    let elsewhere = dice.chance(0.08);
    let client = person.client(day.cluster.seed, day.number, elsewhere);
    let now = day.hour(hour.clamp(0.0, 23.0));
    let weights = [8.0, 3.0, 2.0, 1.5, 1.5];
    let places: Vec<_> = person.home.iter().copied().zip(weights).collect();
    let ns = dice.weighted(&places);
    let mut terminal = Terminal::new(day, dice, &client, person, ns, now);
    terminal.discover();
    for _ in 0..commands {
        let command = terminal.dice.weighted(repertoire);
        terminal.run(command);
    }
}

/// The one rare thing of the week, on that person's day for it.
fn habitual(day: &mut Day<'_>, person: &Person) {
    let week = week(day.number);
    let mut dice = Dice::new(day.cluster.seed, "habitual", person.name(), week);
    if dice.below(5) as i64 != weekday(day.number) {
        return;
    }
    let hour = dice.between(person.starts + 0.5, person.ends - 0.5);
    let command = person.rare[week.rem_euclid(2) as usize];
    session(day, person, &mut dice, hour, &[(command, 1.0)], 1);
}
