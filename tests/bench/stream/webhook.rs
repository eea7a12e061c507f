//! The receiver beside a sink that keeps nothing and one that keeps everything.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use leadsman_sim::{Payload, SimConfig, Simulation};
use tempfile::TempDir;

use crate::kafka::metric;
use crate::report::Row;
use crate::support::http::Http;
use crate::support::leadsman::Serve;
use crate::support::{Result, free_port, wait_until};

/// What the API server sends at most in one body.
const BATCH: usize = 400;
/// In each round.
const BODIES: usize = 160;
/// The sinks and the service take turns.
const ROUNDS: usize = 9;
const PATIENCE: Duration = Duration::from_secs(60);
/// The API server posts concurrently.
const CLIENTS: usize = 4;

pub(crate) fn rows(limit: f64) -> Result<Vec<Row>> {
    let config = SimConfig { seed: 1, from_day: 28, days: 24, attack: None, ..SimConfig::default() };
    let lines: Vec<Vec<u8>> = Simulation::new(&config)?
        .filter_map(|r| if let Payload::Audit(line) = r.payload { Some(line) } else { None })
        .take(BATCH * BODIES * ROUNDS)
        .collect();
    let bodies: Vec<Vec<u8>> = lines.chunks(BATCH).map(body).collect();
    let here = TempDir::new()?;
    let drops = format!("http://{}", bare(None)?);
    let keeps = format!("http://{}", bare(Some(here.path().to_owned()))?);
    let listen = format!("127.0.0.1:{}", free_port()?);
    let ours = format!("http://{listen}");
    let args = ["serve", "--no-auth", "--model", "builtin:demo", "--data-dir", "state", "--listen", &listen];
    let service = Serve::start(&args, here.path(), &[], (&ours, None), &format!("{ours}/readyz"))?;
    let dropped = post_all(&drops, bodies.get(..BODIES).unwrap_or_default())?;
    let (mut kept, mut parts, mut posted) = (Vec::new(), Vec::new(), 0);
    for bodies in bodies.chunks(BODIES) {
        let (by_sink, by_service) = (post_all(&keeps, bodies)?, post_all(&ours, bodies)?);
        kept.push(by_sink);
        // A disk is not as fast all the time.
        parts.push(by_service / by_sink);
        posted += bodies.len() as u64;
        // Who has to score still would take the cores from the sink of the next round.
        wait_until("all is scored", PATIENCE, || {
            let scored = metric(&service.http, "leadsman_position_records{source=\"inbox\"");
            Ok((scored >= posted).then_some(()))
        })?;
    }
    drop(service);
    let (rounds, kept, part) = (parts.len(), median(kept), median(parts));
    let unit = "events/s, more is better";
    Ok(vec![
        Row::alone("webhook: a sink that keeps nothing", dropped, unit),
        Row::alone("webhook: a sink with every body on the disk", kept, unit),
        Row::beside(
            format!("webhook: on the disk before 200, and scored; median of {rounds} rounds"),
            part * kept,
            unit,
            format!("that sink, limit {limit}"),
            kept,
        ),
    ])
}

fn median(mut of: Vec<f64>) -> f64 {
    of.sort_by(f64::total_cmp);
    of.get(of.len() / 2).copied().unwrap_or(f64::NAN)
}

fn body(events: &[Vec<u8>]) -> Vec<u8> {
    let mut body = br#"{"kind":"EventList","apiVersion":"audit.k8s.io/v1","metadata":{},"items":["#.to_vec();
    body.extend(events.join(&b","[..]));
    body.extend_from_slice(b"]}");
    body
}

/// Events per second over all clients.
fn post_all(base: &str, bodies: &[Vec<u8>]) -> Result<f64> {
    let begun = Instant::now();
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|n| {
                scope.spawn(move || -> Result<()> {
                    let http = Http::new(base, None);
                    for body in bodies.iter().skip(n).step_by(CLIENTS) {
                        let answer = http.post("/v1/ingest/k8s-audit", "application/json", body)?;
                        if answer.status != 200 {
                            return Err(format!("answered {}: {}", answer.status, answer.text).into());
                        }
                    }
                    Ok(())
                })
            })
            .collect();
        clients.into_iter().try_for_each(|client| client.join().map_err(|_| "a client panicked")?)
    })?;
    Ok((bodies.len() * BATCH) as f64 / begun.elapsed().as_secs_f64())
}

/// A server that reads a body and answers 200; one thread for each connection. With a directory, a body is on the disk
/// before the answer.
fn bare(keep: Option<PathBuf>) -> Result<std::net::SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    std::thread::spawn(move || {
        for (n, connection) in listener.incoming().flatten().enumerate() {
            let file = keep.as_ref().map(|directory| directory.join(format!("sink-{n}")));
            std::thread::spawn(move || answer(connection, file));
        }
    });
    Ok(address)
}

fn answer(connection: TcpStream, keep: Option<PathBuf>) -> std::io::Result<()> {
    let mut writer = connection.try_clone()?;
    let mut file = keep.map(File::create).transpose()?;
    let mut reader = BufReader::new(connection);
    loop {
        let (mut length, mut line) = (0_u64, String::new());
        loop {
            line.clear();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            let lower = line.to_ascii_lowercase();
            if let Some(value) = lower.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap_or(0);
            }
            if line.trim().is_empty() {
                break;
            }
        }
        let mut body = Vec::with_capacity(usize::try_from(length).unwrap_or(0));
        reader.by_ref().take(length).read_to_end(&mut body)?;
        std::hint::black_box(&body);
        if let Some(file) = &mut file {
            file.write_all(&body)?;
            file.sync_data()?;
        }
        writer.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")?;
    }
}
