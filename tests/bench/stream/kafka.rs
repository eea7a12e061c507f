//! The bare consumer and the service over the same topic.

use std::path::Path;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use tempfile::TempDir;

use crate::log::{Log, PARTITIONS};
use crate::support::broker::shared;
use crate::support::http::Http;
use crate::support::leadsman::Serve;
use crate::support::{Result, free_port, postgres, wait_until};

const PATIENCE: Duration = Duration::from_secs(1_800);
/// How often the service is asked how far it is.
const LOOK: Duration = Duration::from_millis(100);

/// What a run of the service came to.
pub(crate) struct Measured {
    /// Events per second from the first look at which something was committed.
    pub(crate) rate: f64,
    /// The rate over the slowest tenth of the records.
    pub(crate) slowest: f64,
    pub(crate) peak_mib: f64,
    /// Cores that the service, the broker and the database had on average.
    pub(crate) cores: [f64; 3],
}

/// Events per second of a consumer that drops what it polls.
pub(crate) fn bare(log: &Log) -> Result<f64> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", shared()?.bootstrap())
        .set("group.id", format!("bare-{}", log.topic))
        .set("enable.auto.commit", "false")
        .set("fetch.min.bytes", "65536")
        .set("fetch.wait.max.ms", "100")
        .set("max.partition.fetch.bytes", "1048576")
        .set("fetch.max.bytes", "3145728")
        .set("queued.max.messages.kbytes", "16384")
        .set("queued.min.messages", "20000")
        .set("fetch.queue.backoff.ms", "5")
        .set("check.crcs", "true")
        .create()?;
    let mut assigned = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        assigned.add_partition_offset(&log.topic, partition, Offset::Beginning)?;
    }
    consumer.assign(&assigned)?;
    let (mut read, mut begun) = (0_u64, None);
    while read < log.records {
        if let Some(message) = consumer.poll(Duration::from_secs(10)) {
            std::hint::black_box(&message?);
            read += 1;
            begun.get_or_insert_with(Instant::now);
        }
    }
    let seconds = begun.ok_or("nothing was read")?.elapsed().as_secs_f64();
    Ok(log.events as f64 / seconds)
}

/// The service alone. `full` keeps SQLite and the lake on the disk; else the store is in memory and there is no lake.
pub(crate) fn service(log: &Log, full: bool) -> Result<Measured> {
    let here = if full { TempDir::new()? } else { TempDir::new_in("/dev/shm")? };
    let worker = started(&log.topic, here.path(), full)?;
    measure(log, &[worker], &[here.path()])
}

/// A service that reads a topic from its beginning.
pub(crate) fn started(topic: &str, directory: &Path, with_lake: bool) -> Result<Serve> {
    let group = format!("bench-{topic}-{with_lake}");
    start(topic, directory, &group, with_lake.then_some(("LEADSMAN_LAKE__URL", "lake")).as_slice())
}

/// Several processes on one database, which are started one after the other and then read together.
pub(crate) fn workers(log: &Log, workers: usize) -> Result<Measured> {
    let here = TempDir::new()?;
    let server = postgres::shared()?;
    let url = server.url(&server.schema()?);
    let group = format!("bench-{}-{workers}-workers", log.topic);
    let directories: Vec<_> = (0..workers).map(|n| here.path().join(n.to_string())).collect();
    let started = directories.iter().map(|directory| {
        std::fs::create_dir_all(directory)?;
        start(&log.topic, directory, &group, &[("LEADSMAN_STORE__URL", &url)])
    });
    let started = started.collect::<Result<Vec<_>>>()?;
    let paths: Vec<&Path> = directories.iter().map(|d| d.as_path()).collect();
    measure(log, &started, &paths)
}

fn start(topic: &str, directory: &Path, group: &str, more: &[(&str, &str)]) -> Result<Serve> {
    let listen = format!("127.0.0.1:{}", free_port()?);
    let (base, state) = (format!("http://{listen}"), directory.join("state").display().to_string());
    let broker = shared()?;
    let args = [
        ["serve", "--no-auth", "--model", "builtin:demo", "--data-dir", &state].as_slice(),
        &["--listen", &listen, "--kafka", broker.bootstrap()],
    ]
    .concat();
    // The topic of findings need not exist: what is found waits in the outbox.
    let mut variables = vec![
        ("LEADSMAN_KAFKA__AUDIT_TOPICS", topic),
        ("LEADSMAN_KAFKA__METRICS_TOPICS", ""),
        ("LEADSMAN_KAFKA__GROUP_ID", group),
        ("LEADSMAN_LOG__LEVEL", "error"),
    ];
    variables.extend(more);
    Serve::launch(&args, directory, &variables, (&base, None))
}

fn measure(log: &Log, workers: &[Serve], directories: &[&Path]) -> Result<Measured> {
    let (broker, mut looks) = (processes("kafka.Kafka"), Vec::new());
    let mut first = None;
    wait_until("the service has read all", PATIENCE, || {
        let positions: Vec<u64> = workers.iter().map(|worker| position(&worker.http, &log.topic)).collect();
        let (done, now) = (positions.iter().sum::<u64>(), Instant::now());
        // From when each of them has its part: hand-overs are measured by themselves (`just workers`).
        if first.is_some() || positions.iter().all(|position| *position > 0) {
            let used = || cores(directories, &broker);
            let (_, _, begun) = *first.get_or_insert_with(|| (now, done, used()));
            looks.push((now, done));
            if done >= log.records {
                return Ok(Some((begun, used())));
            }
        }
        std::thread::sleep(LOOK);
        Ok(None)
    })
    .and_then(|(begun, ended)| {
        for worker in workers {
            let refused = metric(&worker.http, "leadsman_dead_letters");
            if refused != 0 {
                return Err(format!("{refused} events were refused: that is no measurement of scoring").into());
            }
        }
        let (Some((from, low)), Some((to, high))) = (looks.first(), looks.last()) else { return Err("no look".into()) };
        let per_record = log.events as f64 / log.records as f64;
        let seconds = to.duration_since(*from).as_secs_f64();
        let rate = (high - low) as f64 * per_record / seconds;
        Ok(Measured {
            rate,
            slowest: slowest(&looks, log.records) * per_record,
            peak_mib: peak_mib(directories),
            cores: std::array::from_fn(|i| (ended[i] - begun[i]) / seconds),
        })
    })
}

/// Records per second over the slowest tenth of the log.
fn slowest(looks: &[(Instant, u64)], records: u64) -> f64 {
    let tenth = records / 10;
    let mut slowest = f64::INFINITY;
    for (i, (from, low)) in looks.iter().enumerate() {
        if let Some((to, high)) = looks[i..].iter().find(|(_, done)| done - low >= tenth) {
            slowest = slowest.min((high - low) as f64 / to.duration_since(*from).as_secs_f64());
        }
    }
    slowest
}

pub(crate) fn position(http: &Http, topic: &str) -> u64 {
    metric(http, &format!("leadsman_position_records{{source=\"kafka:{topic}\""))
}

/// The sum of a metric's series.
pub(crate) fn metric(http: &Http, series: &str) -> u64 {
    let text = http.get("/metrics").map(|answer| answer.text).unwrap_or_default();
    text.lines().filter(|l| l.starts_with(series)).filter_map(|l| l.rsplit(' ').next()?.parse::<u64>().ok()).sum()
}

/// Ids of the processes whose command line holds `part`, but for the shells that guard them.
fn processes(part: &str) -> Vec<String> {
    let all = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let ids = all.filter_map(|entry| entry.file_name().into_string().ok()).filter(|name| name.parse::<u32>().is_ok());
    ids.filter(|id| {
        let line = std::fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
        let text = String::from_utf8_lossy(&line).replace('\0', " ");
        text.contains(part) && !text.starts_with("sh ") && !text.starts_with("env ")
    })
    .collect()
}

fn of_service(directories: &[&Path]) -> Vec<String> {
    directories.iter().flat_map(|directory| processes(&format!("--data-dir {}", directory.display()))).collect()
}

/// Seconds of CPU time so far of the service, of the broker and of the database.
fn cores(directories: &[&Path], broker: &[String]) -> [f64; 3] {
    let used = |ids: &[String]| -> f64 {
        let seconds = ids.iter().filter_map(|id| {
            let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
            let fields: Vec<&str> = stat.rsplit(')').next()?.split_whitespace().collect();
            // Fields 14 and 15 of proc(5), in hundredths of a second.
            Some((fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?) / 100.0)
        });
        seconds.sum()
    };
    [used(&of_service(directories)), used(broker), used(&processes("postgres"))]
}

/// The most that any process of the service had resident.
fn peak_mib(directories: &[&Path]) -> f64 {
    memory_mib(directories, "VmHWM:")
}

/// A figure of proc_pid_status(5), of the process of the service that has the most of it.
pub(crate) fn memory_mib(directories: &[&Path], figure: &str) -> f64 {
    let all = of_service(directories).into_iter().filter_map(|id| {
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix(figure))?;
        Some(line.trim().trim_end_matches(" kB").parse::<f64>().ok()? / 1024.0)
    });
    all.fold(0.0, f64::max)
}
