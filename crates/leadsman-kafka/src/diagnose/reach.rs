use std::net::{TcpStream, ToSocketAddrs};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaError as ClientError;
use rdkafka::producer::ProducerContext;

use super::{ANSWER_WITHIN, Subject};
use crate::config::{CONSUMER, client};
use crate::{Fault, KafkaError};

/// An address of a broker, and whether it serves us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerState {
    /// `host:port`.
    pub address: String,
    /// The broker gives this address for itself; it is not configured.
    pub is_advertised: bool,
    /// Why not.
    pub outcome: Result<(), Fault>,
}

/// Remembers the most telling fault that librdkafka reports, and logs nothing: it is the answer, not an incident.
#[derive(Clone, Default)]
pub(super) struct Witness(Arc<Mutex<Option<Fault>>>);

impl Witness {
    pub(super) fn fault(&self) -> Option<Fault> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn note(&self, error: &ClientError, reason: &str) {
        let mut worst = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *worst = (*worst).max(Fault::of(error, reason));
    }
}

impl ClientContext for Witness {
    fn log(&self, _: RDKafkaLogLevel, _: &str, _: &str) {}

    fn error(&self, error: ClientError, reason: &str) {
        self.note(&error, reason);
    }
}

impl ConsumerContext for Witness {}

impl ProducerContext for Witness {
    type DeliveryOpaque = Box<std::sync::mpsc::SyncSender<Result<(), ClientError>>>;

    fn delivery(&self, result: &rdkafka::message::DeliveryResult<'_>, waiting: Self::DeliveryOpaque) {
        let outcome = result.as_ref().map(drop).map_err(|(error, _)| error.clone());
        // Nobody waits any more when the answer took too long.
        drop(waiting.send(outcome));
    }
}

pub(super) type Client = BaseConsumer<Witness>;

/// A consumer that joins nothing.
pub(super) fn consumer(subject: &Subject, servers: &str) -> Result<Client, KafkaError> {
    consumer_of(subject, servers, &subject.group_id)
}

/// The same in the name of a group.
pub(super) fn consumer_of(subject: &Subject, servers: &str, group: &str) -> Result<Client, KafkaError> {
    let mut config = client(servers, &CONSUMER, &subject.extra)?;
    config.set("group.id", group).set("reconnect.backoff.max.ms", "500");
    config.create_with_context(Witness::default()).map_err(|error| KafkaError::creation(servers, &error))
}

/// Every configured address by itself, and a client of one that answers.
pub(super) fn configured(subject: &Subject) -> Result<(Vec<BrokerState>, Option<Client>), KafkaError> {
    let mut found = Vec::new();
    let mut reached = None;
    for address in subject.bootstrap_servers.split(',').map(str::trim).filter(|address| !address.is_empty()) {
        let client = consumer(subject, address)?;
        let outcome = ask(&client, address);
        if outcome.is_ok() && reached.is_none() {
            reached = Some(client);
        }
        found.push(BrokerState { address: address.to_owned(), is_advertised: false, outcome });
    }
    Ok((found, reached))
}

/// The addresses that brokers give for themselves and that are not configured: a client must reach those as well.
pub(super) fn advertised(client: &Client, configured: &[BrokerState]) -> Vec<BrokerState> {
    let Ok(metadata) = client.fetch_metadata(None, ANSWER_WITHIN) else { return Vec::new() };
    let addresses = metadata.brokers().iter().map(|broker| format!("{}:{}", broker.host(), broker.port()));
    addresses
        .filter(|address| configured.iter().all(|known| known.address != *address))
        .map(|address| BrokerState { outcome: connect(&address), is_advertised: true, address })
        .collect()
}

/// Asks until there is an answer, a reason why there is none, or no time left.
fn ask(client: &Client, address: &str) -> Result<(), Fault> {
    connect(address)?;
    let started = Instant::now();
    loop {
        if client.fetch_metadata(None, Duration::from_millis(500)).is_ok() {
            return Ok(());
        }
        drain(client);
        match client.context().fault() {
            Some(fault) if fault > Fault::Closed => return Err(fault),
            Some(_) | None if started.elapsed() < ANSWER_WITHIN => {}
            // It takes connections, and librdkafka does not say why nothing comes of them.
            Some(_) | None => return Err(Fault::Closed),
        }
    }
}

/// Lets librdkafka's reports reach the witness.
pub(super) fn drain(client: &Client) {
    while client.poll(Duration::from_millis(10)).is_some() {}
}

fn connect(address: &str) -> Result<(), Fault> {
    let resolved = address.to_socket_addrs().map_err(|_| Fault::Unresolved)?;
    let mut outcome = Err(Fault::Unresolved);
    for address in resolved {
        outcome = TcpStream::connect_timeout(&address, ANSWER_WITHIN).map(drop).map_err(|error| match error.kind() {
            std::io::ErrorKind::ConnectionRefused => Fault::Refused,
            _ => Fault::Silent,
        });
        if outcome.is_ok() {
            break;
        }
    }
    outcome
}
