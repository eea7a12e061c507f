//! The webhook receiver, when it dies before it has answered and when its clients repeat or dawdle: what was posted counts
//! once.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::simulated::{ATTACK_DAY, audit, event_list, lines};
use crate::stream::{becomes, metric, offline, post, serve};
use crate::support::leadsman::Serve;
use crate::support::{Case, DEADLINE, Result, wait_until};

pub(crate) const CASES: &[Case] = &[
    Case { name: "receiver::a_kill_before_the_answer_doubles_nothing", needs: &[], run: killed_when_durable },
    Case { name: "receiver::a_kill_amid_writing_loses_nothing", needs: &[], run: killed_when_torn },
    Case { name: "receiver::an_inbox_without_what_was_scored_is_refused", needs: &[], run: scored_and_gone },
    Case { name: "receiver::a_storm_of_repeated_posts_counts_once", needs: &[], run: storm },
    Case { name: "receiver::clients_that_dawdle_hold_nobody_up", needs: &[], run: dawdlers },
];

const PATH: &str = "/v1/ingest/k8s-audit";
/// Events of a post: the most that the API server sends at once, unless told otherwise.
const BATCH: usize = 400;
/// Which write kills: amid the attack, where a batch that is lost or counts twice is seen.
const NTH: usize = 31;

/// It is written and durable, and nobody heard of it: the client sends it again.
fn killed_when_durable() -> Result<()> {
    let (service, _here) = killed("inbox-durable", |_| Ok(()))?;
    let duplicates = metric(&service.http, "leadsman_duplicate_events_total")?;
    assert!(are_nearly_all(duplicates, BATCH), "it has the batch twice and must count it once: {duplicates}");
    Ok(())
}

/// The machine fell when a part of it had reached the disk.
fn killed_when_torn() -> Result<()> {
    let tear = |state: &Path| -> Result<()> {
        let segment = newest_segment(&state.join("inbox"))?;
        let file = std::fs::OpenOptions::new().write(true).open(segment)?;
        Ok(file.set_len(file.metadata()?.len() - 1_000)?)
    };
    let (service, _here) = killed("inbox-written", tear)?;
    let duplicates = metric(&service.http, "leadsman_duplicate_events_total")?;
    assert!(duplicates < 1.0, "what was torn is no batch: {duplicates}");
    assert!(service.process.stderr().contains("torn"), "{}", service.process.stderr());
    Ok(())
}

/// The disk lost what was scored since the last state: what comes under the same numbers must not be taken for it.
fn scored_and_gone() -> Result<()> {
    const IDLE: &str = "3600";
    let events: Vec<Vec<u8>> = audit(ATTACK_DAY, 1)?.into_iter().take(2 * BATCH).collect();
    let here = TempDir::new()?;
    let mut service = serve(here.path(), &[], IDLE, &[])?;
    post(&service.http, &events)?;
    wait_until("both posts are scored", DEADLINE, || {
        Ok((metric(&service.http, "leadsman_position_records{source=\"inbox\"")? >= 2.0).then_some(()))
    })?;
    service.process.signal("KILL")?;
    assert_eq!(service.process.wait(DEADLINE)?, 137, "{}", service.process.stderr());
    let segment = newest_segment(&here.path().join("state/inbox"))?;
    let mut bytes = std::fs::read(&segment)?;
    if let Some(last) = bytes.last_mut() {
        *last ^= 1;
    }
    std::fs::write(&segment, bytes)?;
    // Also when it is started again, and although it may be ready before it looks: what it takes then changes nothing.
    for _ in 0..3 {
        let told = match serve(here.path(), &[], IDLE, &[]) {
            Ok(mut service) => {
                drop(post(&service.http, &events));
                assert_ne!(service.process.wait(DEADLINE)?, 0, "it must not go on");
                service.process.stderr()
            }
            Err(early) => format!("{early:?}"),
        };
        assert!(told.contains("record 2 lies beyond the end 1"), "{told}");
    }
    Ok(())
}

/// Posts a log batch by batch to a service that dies at a point, and again what was not answered; then it must have found
/// what the log holds.
fn killed(point: &str, meanwhile: impl Fn(&Path) -> Result<()>) -> Result<(Serve, TempDir)> {
    let events: Vec<Vec<u8>> = audit(ATTACK_DAY, 1)?.into_iter().take(16_000).collect();
    let here = TempDir::new()?;
    let wanted = offline(here.path(), &lines(&events))?;
    assert!(wanted.len() >= 4, "the attack must be visible: {wanted:#?}");
    let mut service = serve(here.path(), &[], "4", &[("FAILPOINT", &format!("{point}:{NTH}"))])?;
    let mut unanswered = Vec::new();
    for (number, batch) in (1..).zip(events.chunks(BATCH)) {
        let body = event_list(batch);
        let answer = match service.http.post(PATH, "application/json", &body) {
            Ok(answer) => answer,
            Err(_) => {
                unanswered.push(number);
                assert_eq!(service.process.wait(DEADLINE)?, 137, "{}", service.process.stderr());
                meanwhile(&here.path().join("state"))?;
                service = serve(here.path(), &[], "4", &[])?;
                service.http.post(PATH, "application/json", &body)?
            }
        };
        assert_eq!(answer.status, 200, "{}", answer.text);
    }
    assert_eq!(unanswered, [NTH], "it must have died at its point, and once");
    becomes(&service.http, &wanted)?;
    Ok((service, here))
}

fn newest_segment(inbox: &Path) -> Result<PathBuf> {
    let files = std::fs::read_dir(inbox)?.collect::<std::io::Result<Vec<_>>>()?.into_iter().map(|entry| entry.path());
    Ok(files.filter(|path| path.extension().is_some()).max().ok_or("there is no segment")?)
}

/// Every batch comes from three clients at once, as when answers are lost on their way.
fn storm() -> Result<()> {
    const CLIENTS: usize = 3;
    let events: Vec<Vec<u8>> = audit(ATTACK_DAY, 1)?.into_iter().take(16_000).collect();
    let here = TempDir::new()?;
    let wanted = offline(here.path(), &lines(&events))?;
    assert!(wanted.len() >= 4, "the attack must be visible: {wanted:#?}");
    let service = serve(here.path(), &[], "4", &[])?;
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(|| post(&service.http, &events))).collect();
        clients.into_iter().try_for_each(|client| client.join().map_err(|_| "a client panicked")?)
    })?;
    wait_until("all was read", DEADLINE, || {
        let read = metric(&service.http, "leadsman_events_total")?;
        Ok((read >= (CLIENTS * events.len()) as f64).then_some(()))
    })?;
    becomes(&service.http, &wanted)?;
    // A repetition that comes when its time is over is late, not known.
    let again =
        metric(&service.http, "leadsman_duplicate_events_total")? + metric(&service.http, "leadsman_late_items")?;
    assert!(are_nearly_all(again, (CLIENTS - 1) * events.len()), "{again}");
    Ok(())
}

/// Whether these are the repetitions of so many events. That a request was received is not scored, so nobody remembers it.
fn are_nearly_all(repeated: f64, events: usize) -> bool {
    let share = repeated / events as f64;
    (0.85..=1.0).contains(&share)
}

/// Clients that announce a body and send a byte now and then.
fn dawdlers() -> Result<()> {
    const DAWDLERS: usize = 100;
    /// What an answer may take beside them; alone it takes milliseconds.
    const PROMPT: Duration = Duration::from_secs(2);
    let events = audit(0, 1)?;
    let here = TempDir::new()?;
    let service = serve(here.path(), &[], "4", &[])?;
    let address = service.http.address();
    let body = event_list(&events[..BATCH]);
    let (last, most) = body.split_last().ok_or("an empty body")?;
    let mut dawdlers = (0..DAWDLERS).map(|_| dawdle(&address, body.len())).collect::<Result<Vec<_>>>()?;
    for (batch, next) in events[BATCH..].chunks(BATCH).zip(most.chunks(most.len().div_ceil(10))) {
        dawdlers.iter_mut().try_for_each(|client| client.write_all(next))?;
        let begun = Instant::now();
        assert_eq!(service.http.post(PATH, "application/json", &event_list(batch))?.status, 200);
        assert!(begun.elapsed() < PROMPT, "a prompt client waited for {} s", begun.elapsed().as_secs_f64());
        sleep(Duration::from_millis(200));
    }
    let read = || metric(&service.http, "leadsman_events_total");
    let prompt = (10 * BATCH) as f64;
    wait_until("the prompt ones are read", DEADLINE, || Ok((read()? >= prompt).then_some(())))?;
    assert!(read()? <= prompt, "of a body that is not there yet, nothing counts");
    for mut client in dawdlers {
        client.write_all(&[*last])?;
        let mut answer = [0; 12];
        client.read_exact(&mut answer)?;
        assert_eq!(&answer, b"HTTP/1.1 200");
    }
    let all = prompt + (DAWDLERS * BATCH) as f64;
    wait_until("all are read", DEADLINE, || Ok((read()? >= all).then_some(())))
}

fn dawdle(address: &str, length: usize) -> Result<TcpStream> {
    let mut client = TcpStream::connect(address)?;
    client.set_read_timeout(Some(DEADLINE))?;
    let head = format!(
        "POST {PATH} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
    );
    client.write_all(head.as_bytes())?;
    Ok(client)
}
