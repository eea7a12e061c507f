//! Changes that people make by being who they are: a night on call, a first week.

use crate::api::{ACCESS_REVIEWS, CONFIGMAPS, Call, NAMESPACES, NODES, PODS, ROLE_BINDINGS, SECRETS, SERVICES};
use crate::bodies;
use crate::cluster::Cluster;
use crate::command::Command;
use crate::day::{Day, is_weekend};
use crate::estate::Post;
use crate::json::object;
use crate::kubectl::Terminal;
use crate::log::later;
use crate::people::{Person, Role, person};

use super::work::Work;

const NAMES: [&str; 4] = ["hanna.berg", "luis.prieto", "mei.tanaka", "oskar.nowak"];
/// How long somebody is new.
const NEW_DAYS: i64 = 14;

/// A developer in the first developer's team.
pub(super) fn newcomer(cluster: &Cluster, taken: usize) -> Person {
    let staff = cluster.estate.staff;
    let model = staff.iter().find(|p| p.role == Role::Developer).unwrap_or(&staff[0]);
    person(cluster.seed, &Post { name: NAMES[taken % NAMES.len()], starts: 8.7, ..*model })
}

/// An administrator gives the newcomer's account what the team has.
pub(super) fn welcome(day: &mut Day<'_>) {
    let mut dice = day.dice("welcome", "");
    let cluster = day.cluster;
    let (client, now) = (day.admin(), day.hour(8.2));
    let today = day.number;
    let mut work = Work::new(day, &mut dice, client, now);
    for (_, person) in cluster.arrivals.people.iter().filter(|(since, _)| *since == today) {
        for ns in person.home {
            let name = format!("team-{}", work.dice.suffix(4));
            let subject = object([
                ("kind", "User".into()),
                ("apiGroup", "rbac.authorization.k8s.io".into()),
                ("name", (&person.identity.username).into()),
            ]);
            let body = bodies::binding(ns, &name, "edit", subject);
            work.create(ROLE_BINDINGS, ns, &name, Some(body));
        }
    }
}

/// The days of everybody who came later: first they look around and run into walls, then they work as others do.
pub(super) fn newcomers(day: &mut Day<'_>) {
    let cluster = day.cluster;
    for (since, person) in &cluster.arrivals.people {
        let age = day.number - since;
        if age < 0 || is_weekend(day.number) {
            continue;
        }
        let mut dice = day.dice("newcomer", &person.identity.username);
        if age < NEW_DAYS {
            explore(day, person, &mut dice, age);
        }
        crate::people::workday(day, person, &mut dice);
    }
}

fn explore(day: &mut Day<'_>, person: &Person, dice: &mut crate::dice::Dice, age: i64) {
    let cluster = day.cluster;
    let client = person.client(cluster.seed, day.number, dice.chance(0.2));
    let now = day.hour(9.2 + dice.between(0.0, 6.0));
    let mut terminal = Terminal::new(day, dice, &client, person, person.home[0], now);
    for path in ["/version", "/api", "/apis", "/openapi/v3"] {
        terminal.call(Call::path(path).query("?timeout=32s"));
    }
    let namespaces = cluster.estate.namespaces;
    // Curiosity fades.
    for _ in 0..(12 - age / 2).max(3) {
        let ns = *terminal.dice.pick(namespaces);
        let api = *terminal.dice.pick(&[PODS, SERVICES, CONFIGMAPS, SECRETS]);
        let allowed = person.home.contains(&ns) || ns == person.neighbour && api != SECRETS;
        let list = Call::list(api, ns);
        terminal.call(if allowed { list } else { list.code(403) });
        match terminal.dice.below(8) {
            0 => terminal.call(Call::create(ACCESS_REVIEWS, "", "")),
            1 => terminal.call(Call::list(NODES, "").code(403)),
            2 => terminal.call(Call::list(NAMESPACES, "").code(403)),
            3 => terminal.run(Command::Secret),
            4 => terminal.run(Command::Exec),
            _ => terminal.run(Command::Describe),
        }
    }
}

/// Three hours at night: whatever may tell what is wrong is looked into.
pub(super) fn debug_at_night(day: &mut Day<'_>) {
    let cluster = day.cluster;
    let on_call = day.on_call();
    let Some(person) = cluster.people.iter().find(|p| p.name() == on_call) else { return };
    let mut dice = day.dice("on-call debugging", on_call);
    let client = person.client(cluster.seed, day.number, true);
    let mut now = day.hour(dice.between(0.3, 1.5));
    let commands = [
        (Command::Pods, 12.0),
        (Command::Logs, 20.0),
        (Command::Describe, 12.0),
        (Command::Events, 8.0),
        (Command::Exec, 14.0),
        (Command::PortForward, 8.0),
        (Command::Secret, 8.0),
        (Command::Config, 6.0),
        (Command::Secrets, 3.0),
        (Command::Restart, 4.0),
        (Command::DeletePod, 4.0),
        (Command::Scale, 2.0),
        (Command::Debug, 3.0),
        (Command::CanI, 1.0),
    ];
    // An incident crosses the borders of teams, as far as the rights of whoever is on call go.
    for round in 0..5 {
        let ns = person.home[round % person.home.len()];
        let mut terminal = Terminal::new(day, &mut dice, &client, person, ns, now);
        terminal.discover();
        for step in 0..9 {
            let drawn = terminal.dice.weighted(&commands);
            // What no such night goes without.
            let command = match (round, step) {
                (0, 4) => Command::Exec,
                (0, 6) => Command::Secret,
                (0, 8) => Command::PortForward,
                _ => drawn,
            };
            terminal.run(command);
        }
        now = later(terminal.now(), terminal.dice.between(60.0, 600.0));
    }
}
