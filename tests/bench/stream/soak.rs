//! Half as much again as what a process is rated for, for as long as it takes to see whether memory grows.

use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::kafka::{memory_mib, metric, position, started};
use crate::log::{EVENTS_A_DAY, PARTITIONS, lines, partition};
use crate::report::Row;
use crate::support::broker::shared;
use crate::support::{Result, wait_until};

/// Events a second that one process is rated for: what an API server sends at most by webhook with its defaults, 400 in
/// each of ten batches a second. Source: `--audit-webhook-batch-max-size` and `--audit-webhook-batch-throttle-qps`.
const RATED: u64 = 4_000;
const LOAD: u64 = RATED * 3 / 2;
const TOPIC: &str = "bench.soak";
/// How often memory is looked at.
const LOOK: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_secs(60);

/// The service with store and lake on the disk. Events come as fast as their times say.
pub(crate) fn rows(minutes: u64) -> Result<Vec<Row>> {
    let broker = shared()?;
    broker.create_topic(TOPIC, PARTITIONS)?;
    let here = TempDir::new()?;
    let service = started(TOPIC, here.path(), true)?;
    let events = usize::try_from(minutes * 60 * LOAD)?;
    let mut log = lines(events, LOAD * 24 * 3600 / EVENTS_A_DAY)?;
    let (begun, mut looks, mut produced) = (Instant::now(), Vec::new(), 0);
    for second in 1..=minutes * 60 {
        let part = log.by_ref().take(usize::try_from(LOAD)?).collect::<Result<Vec<_>>>()?;
        broker.produce_all(TOPIC, part.iter().map(|line| (partition(line), line.as_slice())))?;
        produced += part.len() as u64;
        let due = Duration::from_secs(second);
        std::thread::sleep(due.saturating_sub(begun.elapsed()));
        if second % LOOK.as_secs() == 0 {
            let memory = memory_mib(&[here.path()], "VmRSS:");
            eprintln!("{second} s: {memory:.0} MiB, {} records behind", produced - position(&service.http, TOPIC));
            looks.push((second as f64 / 60.0, memory));
        }
    }
    let late = begun.elapsed().as_secs_f64() / (minutes * 60) as f64;
    let behind = produced - position(&service.http, TOPIC);
    wait_until("all is read", PATIENCE, || Ok((position(&service.http, TOPIC) == produced).then_some(())))?;
    let refused = metric(&service.http, "leadsman_dead_letters");
    if refused != 0 {
        return Err(format!("{refused} events were refused: that is no measurement of scoring").into());
    }
    let at = |share: f64| looks.get(((looks.len() - 1) as f64 * share) as usize).map_or(f64::NAN, |look| look.1);
    let unit = "MiB, less is better";
    let name = format!("soak, {minutes} minutes at {LOAD} events/s");
    Ok(vec![
        Row::alone(format!("{name}: time it took beside that"), late, "1 when the load was kept"),
        Row::alone(format!("{name}: memory after a third"), at(0.33), unit),
        Row::alone(format!("{name}: after two thirds"), at(0.67), unit),
        Row::alone(format!("{name}: at the end"), at(1.0), unit),
        Row::alone(format!("{name}: growth over the last half"), slope(&looks[looks.len() / 2..]), "MiB a minute"),
        Row::alone(format!("{name}: records behind at the end"), behind as f64, "records, less is better"),
    ])
}

/// The slope of the straight line that fits best.
fn slope(points: &[(f64, f64)]) -> f64 {
    let n = points.len() as f64;
    let (x, y) = (points.iter().map(|p| p.0).sum::<f64>() / n, points.iter().map(|p| p.1).sum::<f64>() / n);
    let over: f64 = points.iter().map(|p| (p.0 - x) * (p.1 - y)).sum();
    over / points.iter().map(|p| (p.0 - x).powi(2)).sum::<f64>()
}
