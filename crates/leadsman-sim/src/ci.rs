//! Continuous integration: checks on every merge, and the releases.

use leadsman_domain::Timestamp;

use crate::api::{CONFIGMAPS, Call, DEPLOYMENTS, JOBS, PODS, SECRETS};
use crate::bodies::{self, PodBody, PodName};
use crate::change::{ChangeKind, MIGRATION_AT};
use crate::cluster::{Cluster, Pod};
use crate::controllers::{Controller, start_pod};
use crate::day::{Day, is_weekend};
use crate::dice::Dice;
use crate::identity::Client;
use crate::log::later;
use crate::workload::Workload;

/// Without a release for so long, nobody works here any more.
const MAX_DAYS_BETWEEN_RELEASES: i64 = 28;

pub(crate) fn run(day: &mut Day<'_>) {
    for (index, workload) in day.cluster.workloads().iter().enumerate() {
        if let Some(rollout) = day.cluster.rollout(index, day.number).filter(|r| r.release) {
            release(day, workload, rollout.at);
        }
    }
    checks(day);
}

/// The runner pod of one pipeline; some releases run outside the cluster.
fn runner<'a>(day: &Day<'a>, dice: &mut Dice, namespace: &str, at: Timestamp) -> Client<'a> {
    let cluster = day.cluster;
    match release_bot(cluster).filter(|_| is_outside(cluster, namespace)) {
        Some(bot) => bot,
        None => runner_pod(cluster, dice, at),
    }
}

/// The bot that releases from outside the cluster.
pub(crate) fn release_bot(cluster: &Cluster) -> Option<Client<'_>> {
    let agent = "Helm/3.18.3".to_owned();
    let identity = cluster.release_bot.as_ref()?;
    Some(Client { identity, ip: "10.20.40.11".to_owned(), agent, pod: None })
}

/// Namespace and name of the account that releases after a migration.
pub(crate) const SUCCESSOR: (&str, &str) = ("arc-runners", "gha-runner");

/// Whether releases of `namespace` come from outside the cluster.
pub(crate) fn is_outside(cluster: &Cluster, namespace: &str) -> bool {
    namespace == cluster.estate.released_from_outside
}

/// The pod of a pipeline that runs at `at`; after a migration, of another system.
pub(crate) fn runner_pod<'a>(cluster: &'a Cluster, dice: &mut Dice, at: Timestamp) -> Client<'a> {
    let node = dice.below(cluster.nodes.len());
    let (id, number, host) = (dice.suffix(8), dice.below(9), dice.below(60));
    if cluster.has_changed(ChangeKind::CiMigration, MIGRATION_AT, at) {
        let name = format!("arc-runner-set-{id}");
        return Client {
            identity: &cluster.successor,
            ip: format!("10.244.{}.{}", node + 1, 96 + host),
            agent: "Helm/3.19.0".to_owned(),
            pod: Some(cluster.pod_ref(SUCCESSOR.0, &name, node)),
        };
    }
    Client {
        identity: &cluster.deployer,
        ip: format!("10.244.{}.{}", node + 1, 30 + host),
        agent: "kubectl/v1.32.4 (linux/amd64) kubernetes/59526cd".to_owned(),
        pod: Some(cluster.pod_ref("cicd", &format!("runner-{id}-project-{}", 11 + number), node)),
    }
}

/// The runner of the latest release before `at`, from which its token may have been taken.
pub(crate) fn last_runner(cluster: &Cluster, at: Timestamp) -> Client<'_> {
    let releases = (0..=MAX_DAYS_BETWEEN_RELEASES).map(|back| at.day() - back).find_map(|day| {
        let of_day = cluster.workloads().iter().enumerate().filter(|(_, w)| !is_outside(cluster, w.namespace));
        let done = of_day.filter_map(|(index, workload)| {
            let rollout = cluster.rollout(index, day).filter(|r| r.release && r.at <= at)?;
            Some((rollout.at, workload, day))
        });
        done.max_by_key(|(at, ..)| *at)
    });
    // Two release trains a week leave on Tuesdays and Thursdays: within the span there was one.
    let (scope, day, at) =
        releases.map_or((String::new(), at.day(), at), |(at, workload, day)| (workload.entity(), day, at));
    runner_pod(cluster, &mut Dice::new(cluster.seed, "release", &scope, day), at)
}

/// A release: credentials, migration if the service keeps money, the new image, then waiting.
fn release(day: &mut Day<'_>, workload: &Workload, at: Timestamp) {
    let (ns, name) = (workload.namespace, workload.name);
    let mut dice = day.dice("release", &workload.entity());
    let dice = &mut dice;
    let client = runner(day, dice, ns, at);
    let tag = Dice::new(day.cluster.seed, "image", &workload.entity(), day.number).hex(9);
    let image = format!("{}:{tag}", workload.image());
    // The pipeline starts early enough for the new image to be set at `at`.
    let mut t = Timestamp::from_micros(at.as_micros() - 25_000_000);
    t = day.log.call(dice, &client, t, &Call::get(SECRETS, ns, "registry-pull"));
    if is_outside(day.cluster, ns) {
        let revision = format!("sh.helm.release.v1.{name}.v{}", day.number - 20_000);
        t = day.log.call(dice, &client, t, &Call::list(SECRETS, ns).query("?labelSelector=owner%3Dhelm"));
        t = day.log.call(dice, &client, later(t, 0.4), &Call::create(SECRETS, ns, &revision));
    }
    t = day.log.call(dice, &client, later(t, 0.5), &Call::get(CONFIGMAPS, ns, &format!("{name}-config")));
    t = day.log.call(dice, &client, later(t, 0.2), &Call::patch(CONFIGMAPS, ns, &format!("{name}-config")));
    day.log.call(dice, &client, later(t, 0.6), &Call::get(DEPLOYMENTS, ns, name));
    if matches!(ns, "pay" | "billing" | "app") {
        migrate(day, dice, &client, workload, &tag, later(t, 1.0));
    }
    let migrated = client.identity.username == day.cluster.successor.username;
    let manager = if migrated { "?fieldManager=helm" } else { "?fieldManager=kubectl-set" };
    let patch = Call::patch(DEPLOYMENTS, ns, name).query(manager).body(bodies::image_patch(name, image));
    t = day.log.call(dice, &client, at, &patch);
    for _ in 0..3 + dice.below(7) {
        t = later(t, dice.between(2.0, 6.0));
        t = day.log.call(dice, &client, t, &Call::get(DEPLOYMENTS, ns, name));
    }
    day.log.call(dice, &client, later(t, 1.0), &Call::list(PODS, ns).query(format!("?labelSelector=app%3D{name}")));
}

fn migrate(day: &mut Day<'_>, dice: &mut Dice, client: &Client<'_>, workload: &Workload, tag: &str, at: Timestamp) {
    let ns = workload.namespace;
    let app = format!("{}-migrate", workload.name);
    let job = format!("{app}-{tag}");
    let image = format!("{}:{tag}", workload.image());
    let body = bodies::owner("Job", ns, &job, &app, image.clone());
    let t =
        day.log.call(dice, client, at, &Call::create(JOBS, ns, &job).query("?fieldManager=kubectl-create").body(body));
    let node = dice.below(day.cluster.nodes.len());
    let name = format!("{job}-{}", dice.suffix(5));
    let pod = Pod { name, owner: job.clone(), node, ip: String::new(), since: at };
    let body = PodBody {
        name: PodName::Prefix(format!("{job}-")),
        namespace: ns,
        app: &app,
        owner: ("Job", &job),
        image,
        account: workload.name,
        restart: "Never",
    };
    start_pod(day, dice, Controller::Job, later(t, 0.1), &pod, &body);
    day.log.call(dice, client, later(t, 4.0), &Call::get(JOBS, ns, &job));
    day.log.call(dice, client, later(t, 18.0), &Call::get(JOBS, ns, &job));
}

/// Merges compare the manifests with the cluster: reads only, on workdays, while people work.
fn checks(day: &mut Day<'_>) {
    let mut dice = day.dice("checks", "");
    let dice = &mut dice;
    let merges = if is_weekend(day.number) { dice.below(2) } else { 14 + dice.below(14) };
    for _ in 0..merges {
        let workload = dice.pick(day.cluster.workloads());
        if !workload.released {
            continue;
        }
        // The pipeline's pod is drawn before its time: an order that keeps the default stream's bytes.
        let mut drawn = dice.clone();
        let client = runner(day, dice, workload.namespace, day.midnight());
        let mut t = day.hour(dice.between(7.5, 17.0));
        let client = if t >= day.hour(MIGRATION_AT) { runner(day, &mut drawn, workload.namespace, t) } else { client };
        for api in [DEPLOYMENTS, CONFIGMAPS] {
            let name = if api == CONFIGMAPS { format!("{}-config", workload.name) } else { workload.name.to_owned() };
            let call = Call::get(api, workload.namespace, &name);
            // A new service is compared before it exists.
            let call = if dice.chance(0.04) { call.code(404) } else { call };
            t = later(t, dice.between(0.2, 1.5));
            t = day.log.call(dice, &client, t, &call);
        }
    }
}
