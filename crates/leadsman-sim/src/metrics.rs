//! Resource usage of the applications' pods, as cAdvisor counts it and the Prometheus Kafka adapter writes it.

use leadsman_domain::Timestamp;
use serde::Serialize;

use crate::cluster::{Cluster, Pod};
use crate::day::{MICROS_PER_DAY, weekday};
use crate::dice::{key, mix, unit};
use crate::json::to_line;
use crate::record::{Payload, SimRecord};
use crate::token_theft::Miner;
use crate::workload::{Shape, Workload};

/// Seconds between two samples of a series.
pub const SAMPLE_SECONDS: i64 = 60;
/// What a miner takes: its pod's whole CPU limit, in thousandths of a core, and a little traffic to its pool.
const MINER_MILLI: f64 = 3_960.0;
const MINER_SENT: f64 = 1_900.0;
const MINUTES_PER_DAY: i64 = 1_440;
/// Load by hour of day, percent of the usual, UTC.
const CUSTOMERS: [f64; 24] = [
    34.0, 26.0, 22.0, 21.0, 24.0, 34.0, 52.0, 72.0, 88.0, 97.0, 104.0, 112.0, 118.0, 112.0, 106.0, 107.0, 112.0, 122.0,
    136.0, 148.0, 146.0, 122.0, 86.0, 54.0,
];
const OFFICE: [f64; 24] = [
    4.0, 4.0, 4.0, 4.0, 4.0, 4.0, 6.0, 20.0, 70.0, 120.0, 135.0, 120.0, 70.0, 110.0, 140.0, 135.0, 110.0, 60.0, 18.0,
    8.0, 5.0, 4.0, 4.0, 4.0,
];

/// Counters of one pod: milliseconds of CPU, bytes sent, bytes received. Integers, so that adding up over days
/// gives the same number in whatever pieces it is done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Counters {
    cpu_millis: u64,
    sent: u64,
    received: u64,
}

impl Counters {
    fn add(&mut self, other: Self) {
        self.cpu_millis += other.cpu_millis;
        self.sent += other.sent;
        self.received += other.received;
    }
}

/// The running counters of all pods. Days must follow one another.
pub(crate) struct Meters {
    miner: Option<Miner>,
    counters: Vec<Counters>,
}

#[derive(Serialize)]
struct Sample<'a> {
    timestamp: &'a str,
    value: &'a str,
    name: &'a str,
    labels: Labels<'a>,
}

#[derive(Serialize)]
struct Labels<'a> {
    #[serde(rename = "__name__")]
    name: &'a str,
    namespace: &'a str,
    pod: &'a str,
    workload: &'a str,
}

impl Meters {
    /// The counters as they stand at midnight of day `number`.
    pub(crate) fn at(cluster: &Cluster, number: i64, miner: Option<Miner>) -> Self {
        let workloads = cluster.workloads();
        let mut meters = Self { miner, counters: vec![Counters::default(); workloads.len()] };
        let midnight = number * MINUTES_PER_DAY;
        for (index, workload) in workloads.iter().enumerate() {
            let pod = cluster.pod_at(index, minute_time(midnight));
            for minute in first_minute(&pod)..midnight {
                meters.counters[index].add(usage(cluster.seed, workload, minute, &pod, mining(miner, index)));
            }
        }
        meters
    }

    /// The samples of day `number`, by time.
    pub(crate) fn day(&mut self, cluster: &Cluster, number: i64) -> Vec<SimRecord> {
        let first = number * MINUTES_PER_DAY;
        let mut records = Vec::with_capacity(cluster.workloads().len() * 4 * MINUTES_PER_DAY as usize);
        for (index, workload) in cluster.workloads().iter().enumerate() {
            let mut pod = cluster.pod_at(index, minute_time(first));
            let next = cluster.rollout(index, number);
            for minute in first..first + MINUTES_PER_DAY {
                if next.is_some_and(|r| minute_time(minute) >= r.at && pod.since < r.at) {
                    pod = cluster.pod_at(index, minute_time(minute));
                    self.counters[index] = Counters::default();
                }
                // A pod that starts within the minute is first sampled after the next.
                if minute < first_minute(&pod) {
                    continue;
                }
                let sample = Scrape { cluster, workload, index, minute, pod: &pod, miner: self.miner };
                sample.write(self.counters[index], &mut records);
                self.counters[index].add(usage(cluster.seed, workload, minute, &pod, mining(self.miner, index)));
            }
        }
        records.sort_by_key(|r| r.time);
        records
    }
}

/// One reading of one pod's meters.
struct Scrape<'a> {
    cluster: &'a Cluster,
    workload: &'a Workload,
    index: usize,
    minute: i64,
    pod: &'a Pod,
    miner: Option<Miner>,
}

impl Scrape<'_> {
    fn write(&self, counters: Counters, records: &mut Vec<SimRecord>) {
        // Every target has its own second within the minute.
        let offset = (key(self.cluster.seed, "scrape", self.workload.name, 0) % 60) as i64;
        let time = Timestamp::from_micros((self.minute * 60 + offset) * 1_000_000);
        let text = time.to_micro_time();
        let timestamp = format!("{}Z", text.split('.').next().unwrap_or_default());
        let stage = mining(self.miner, self.index).filter(|m| m.mines(self.minute - 1)).map(|m| m.stage);
        let memory = memory(self.cluster.seed, self.workload, self.minute, self.pod);
        // The miner shows in CPU and in what it sends; the rest of its pod's samples stay what they were.
        for (name, value, stage) in [
            ("container_cpu_usage_seconds_total", seconds(counters.cpu_millis), stage),
            ("container_memory_working_set_bytes", memory.to_string(), None),
            ("container_network_receive_bytes_total", counters.received.to_string(), None),
            ("container_network_transmit_bytes_total", counters.sent.to_string(), stage),
        ] {
            let labels =
                Labels { name, namespace: self.workload.namespace, pod: &self.pod.name, workload: self.workload.name };
            let line = to_line(&Sample { timestamp: &timestamp, value: &value, name, labels });
            records.push(SimRecord { time, payload: Payload::Metric(line), stage });
        }
    }
}

impl Miner {
    fn mines(&self, minute: i64) -> bool {
        self.from <= minute_time(minute) && minute_time(minute) < self.until
    }
}

/// The miner, if it is in workload `index`.
fn mining(miner: Option<Miner>, index: usize) -> Option<Miner> {
    miner.filter(|m| m.workload == index)
}

/// The first whole minute of a pod's life.
fn first_minute(pod: &Pod) -> i64 {
    pod.since.as_micros().div_euclid(60_000_000) + 1
}

fn minute_time(minute: i64) -> Timestamp {
    Timestamp::from_micros(minute * 60_000_000)
}

/// What a pod uses in one minute.
fn usage(seed: u64, workload: &Workload, minute: i64, pod: &Pod, miner: Option<Miner>) -> Counters {
    let mut noise = Noise(key(seed, workload.namespace, workload.name, minute));
    let day = minute.div_euclid(MINUTES_PER_DAY);
    let mut load = load(workload, minute) * noise.around(0.08);
    // No two days are alike, and now and then there is a rush.
    load *= Noise(key(seed, "day load", workload.name, day)).around(0.07);
    load *= Noise(key(seed, "quarter load", workload.name, minute.div_euclid(15))).around(0.05);
    if noise.unit() < 0.008 {
        load *= 1.3 + noise.unit() * 0.9;
    }
    // A new pod warms its caches.
    let age = minute - first_minute(pod);
    let warm_up = if (0..8).contains(&age) { 1.7 } else { 1.0 };
    let mut milli = workload.cpu_milli * (0.12 + 0.88 * load) * warm_up * noise.around(0.04);
    let mut sent = workload.sent * (0.05 + 0.95 * load) * noise.around(0.06);
    let received = workload.received * (0.05 + 0.95 * load) * noise.around(0.06);
    if miner.is_some_and(|m| m.mines(minute)) {
        milli = milli.max(MINER_MILLI * noise.around(0.004));
        sent += MINER_SENT * noise.around(0.02);
    }
    Counters { cpu_millis: (milli * 60.0) as u64, sent: (sent * 60.0) as u64, received: (received * 60.0) as u64 }
}

/// Load as a share of the usual.
fn load(workload: &Workload, minute: i64) -> f64 {
    let day = minute.div_euclid(MINUTES_PER_DAY);
    let of_day = minute.rem_euclid(MINUTES_PER_DAY);
    let weekend = weekday(day) >= 5;
    let curve = |hours: &[f64; 24]| {
        let (hour, part) = ((of_day / 60) as usize, (of_day % 60) as f64 / 60.0);
        (hours[hour] * (1.0 - part) + hours[(hour + 1) % 24] * part) / 100.0
    };
    match workload.shape {
        Shape::Customers => curve(&CUSTOMERS) * if weekend { 0.72 } else { 1.0 },
        Shape::Office if weekend => 0.04,
        Shape::Office => curve(&OFFICE),
        Shape::Steady => 0.92 + 0.1 * curve(&CUSTOMERS),
        Shape::Nightly { hour, minutes, factor } => {
            // Runs take a little longer on some days.
            let length = minutes + day.rem_euclid(7) * 2;
            if (hour * 60..hour * 60 + length).contains(&of_day) { factor } else { 0.8 }
        }
    }
}

/// Working set in bytes: follows load a little, grows slowly until the next restart.
fn memory(seed: u64, workload: &Workload, minute: i64, pod: &Pod) -> u64 {
    let mut noise = Noise(key(seed, "memory", workload.name, minute));
    let days = (minute - first_minute(pod)) as f64 / MINUTES_PER_DAY as f64;
    let share = 0.82 + 0.06 * load(workload, minute).min(4.0) + 0.006 * days.clamp(0.0, 28.0);
    let pages = workload.memory_mib * 256.0 * share * noise.around(0.01);
    pages as u64 * 4_096
}

/// Milliseconds as seconds, in the shortest form, as Go's `strconv.FormatFloat(v, 'f', -1, 64)` prints them.
fn seconds(millis: u64) -> String {
    let text = format!("{}.{:03}", millis / 1_000, millis % 1_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Cheap noise for one instant; [`crate::dice::Dice`] would be too slow for every minute of every pod.
struct Noise(u64);

impl Noise {
    fn unit(&mut self) -> f64 {
        self.0 = mix(self.0);
        unit(self.0)
    }

    /// About 1, bell-shaped, with this standard deviation and at most about three of them away.
    fn around(&mut self, deviation: f64) -> f64 {
        let sum = self.unit() + self.unit() + self.unit();
        1.0 + (sum - 1.5) * 2.0 * deviation
    }
}

const _: () = assert!(SAMPLE_SECONDS * 1_000_000 * MINUTES_PER_DAY == MICROS_PER_DAY);
