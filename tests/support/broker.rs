//! Apache Kafka: KRaft, one node or several, each of which is controller and broker, one temporary directory.

use std::fs;
use std::io;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Message, OwnedMessage};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};
use tempfile::TempDir;

use super::process::Process;
use super::{DEADLINE, Result, environment, free_ports, tail, wait_until, workspace};

const POM: &str = include_str!("../kafka/pom.xml");
const PROPERTIES: &str = include_str!("../kafka/server.properties");
const LOGGING: &str = include_str!("../kafka/log4j2.properties");
/// Any 16 bytes in base64: the clusters of the tests never meet.
const CLUSTER_ID: &str = "bGVhZHNtYW4tdGVzdHMhIQ";

static SHARED: Mutex<Option<Arc<Broker>>> = Mutex::new(None);

/// A running broker, or several that are one cluster. Dropping it stops the processes and removes their data.
pub(crate) struct Broker {
    nodes: Vec<Node>,
    bootstrap: String,
    further: Vec<String>,
    libraries: PathBuf,
    #[expect(dead_code, reason = "it is removed with the broker")]
    directory: TempDir,
}

/// One process of a cluster; its id is its place in [`Broker::nodes`] and one more.
struct Node {
    process: Process,
    directory: PathBuf,
}

/// What a broker has beyond one plain listener.
#[derive(Default)]
pub(crate) struct Extras {
    /// How many nodes there are beside the first. Each holds a replica of every partition.
    pub(crate) more_nodes: usize,
    /// Names of further listeners of each node.
    pub(crate) listeners: &'static [&'static str],
    /// Settings, appended to the file and filled in like it: the last of two settings of one name holds.
    pub(crate) settings: String,
    /// Files that the settings name, relative to the broker's directory.
    pub(crate) files: Vec<(&'static str, String)>,
    /// Users of SCRAM-SHA-512, with their passwords.
    pub(crate) users: Vec<(String, String)>,
}

/// The broker that tests share; started for the first one that asks.
///
/// A test that stops or kills a broker must start its own.
pub(crate) fn shared() -> Result<Arc<Broker>> {
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(broker) = shared.as_ref() {
        return Ok(Arc::clone(broker));
    }
    let broker = Arc::new(Broker::start()?);
    *shared = Some(Arc::clone(&broker));
    Ok(broker)
}

/// Stops the shared broker, if it runs.
pub(crate) fn stop_shared() {
    let shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner).take();
    // Tests only see that nobody answers.
    if let Some(mut broker) = shared.and_then(Arc::into_inner)
        && let Some(node) = broker.nodes.first_mut()
        && let Ok(Some(code)) = node.process.exit_code()
    {
        eprintln!("the shared broker had ended with {code}:\n{}", tail(&node.process.stdout()));
    }
}

/// Why no broker can run here.
pub(crate) fn unavailable() -> Option<String> {
    match java_version() {
        None => return Some("needs Java 17 or newer (Debian: openjdk-17-jre-headless)".to_owned()),
        Some(version) if version < 17 => return Some(format!("needs Java 17 or newer, found {version}")),
        Some(_) => {}
    }
    let maven = Command::new("mvn").arg("-v").output().is_ok_and(|output| output.status.success());
    if maven || cache().is_ok_and(|cache| cache.is_dir()) {
        None
    } else {
        Some("needs Maven to fetch the broker once (Debian: maven)".to_owned())
    }
}

fn java_version() -> Option<u32> {
    let output = Command::new("java").arg("-version").output().ok()?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let version = text.split('"').nth(1)?;
    version.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// Where the jars are kept, by version of Kafka and of the list.
fn cache() -> Result<PathBuf> {
    let root = match (environment("LEADSMAN_TEST_CACHE"), environment("XDG_CACHE_HOME"), environment("HOME")) {
        (Some(cache), _, _) => PathBuf::from(cache),
        (None, Some(cache), _) => Path::new(&cache).join("leadsman-tests"),
        (None, None, Some(home)) => Path::new(&home).join(".cache/leadsman-tests"),
        (None, None, None) => return Err("set LEADSMAN_TEST_CACHE: there is no home directory".into()),
    };
    let named = |tag: &str| -> Result<&str> {
        let value = POM.split(tag).nth(1).and_then(|rest| rest.split('<').next());
        Ok(value.ok_or_else(|| format!("tests/kafka/pom.xml has no {tag}"))?)
    };
    // The list of jars has a version of its own.
    Ok(root.join(format!("kafka-{}-{}", named("<kafka.version>")?, named("<version>")?)))
}

/// The folder of jars, fetched with Maven at the first use.
fn libraries() -> Result<PathBuf> {
    let cache = cache()?;
    if !cache.is_dir() {
        let parent = cache.parent().ok_or("the cache has no parent directory")?;
        fs::create_dir_all(parent)?;
        let fetched = tempfile::tempdir_in(parent)?;
        let output = Command::new("mvn")
            .args(["-B", "-q", "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"])
            .arg("-DincludeScope=runtime")
            .arg(format!("-DoutputDirectory={}", fetched.path().join("libs").display()))
            .arg("-f")
            .arg(workspace().join("tests/kafka/pom.xml"))
            .output()?;
        if !output.status.success() {
            return Err(format!(
                "maven could not fetch the broker: {}",
                tail(&String::from_utf8_lossy(&output.stdout))
            )
            .into());
        }
        // A rename shows all jars or none to a test run that fetches at the same time.
        match fs::rename(fetched.path(), &cache) {
            Ok(()) => drop(fetched.keep()),
            Err(_) if cache.is_dir() => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(cache.join("libs"))
}

impl Broker {
    /// Starts a broker of its own and waits until it answers.
    pub(crate) fn start() -> Result<Self> {
        Self::start_with(&Extras::default())
    }

    /// The same, with more than a plain listener.
    pub(crate) fn start_with(extras: &Extras) -> Result<Self> {
        let libraries = libraries()?;
        let directory = tempfile::tempdir()?;
        let count = 1 + extras.more_nodes;
        let held = free_ports(count * (2 + extras.listeners.len()))?;
        let ports: Vec<&[u16]> = held.chunks(2 + extras.listeners.len()).collect();
        let voters: Vec<_> = (1..).zip(&ports).map(|(id, ports)| format!("{id}@127.0.0.1:{}", ports[1])).collect();
        let mut directories = Vec::with_capacity(count);
        for (id, ports) in (1..).zip(&ports) {
            let listeners: String = (extras.listeners.iter().zip(&ports[2..]))
                .map(|(name, port)| format!(",{name}://127.0.0.1:{port}"))
                .collect();
            let here = directory.path().join(format!("node-{id}"));
            fs::create_dir(&here)?;
            let settings = (PROPERTIES.to_owned() + &extras.settings)
                .replace("@NODE@", &id.to_string())
                .replace("@VOTERS@", &voters.join(","))
                .replace("@REPLICAS@", &count.to_string())
                .replace("@IN_SYNC@", &(count / 2 + 1).to_string())
                .replace("@BROKER@", &format!("127.0.0.1:{}", ports[0]))
                .replace("@CONTROLLER@", &format!("127.0.0.1:{}", ports[1]))
                .replace("@DATA@", &here.join("data").display().to_string())
                .replace("@FURTHER@", &listeners);
            fs::write(here.join("server.properties"), settings)?;
            fs::write(here.join("log4j2.properties"), LOGGING)?;
            for (name, text) in &extras.files {
                fs::write(here.join(name), text)?;
            }
            format_storage(&libraries, &here, &extras.users)?;
            directories.push(here);
        }
        let started = Instant::now();
        let launched = directories.into_iter().map(|directory| {
            let process = launch(&libraries, &directory)?;
            Ok(Node { process, directory })
        });
        let nodes = launched.collect::<Result<_>>()?;
        let at = |port: &u16| format!("127.0.0.1:{port}");
        let bootstrap = ports.iter().map(|ports| at(&ports[0])).collect::<Vec<_>>().join(",");
        let further = ports.iter().flat_map(|ports| &ports[2..]).map(at).collect();
        let mut broker = Self { nodes, bootstrap, further, libraries, directory };
        broker.wait_healthy()?;
        eprintln!("kafka broker on {} ready after {:.1} s", broker.bootstrap, started.elapsed().as_secs_f64());
        Ok(broker)
    }

    /// `host:port` of every node, for clients.
    pub(crate) fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// `host:port` of the further listeners, in the order of [`Extras::listeners`].
    pub(crate) fn further(&self) -> &[String] {
        &self.further
    }

    /// The id of every node.
    pub(crate) fn ids(&self) -> RangeInclusive<i32> {
        1..=self.nodes.len() as i32
    }

    /// Kills the nodes of these ids with SIGKILL and waits for their end. Their data stay for [`Broker::start_again`].
    pub(crate) fn kill_now(&mut self, ids: impl IntoIterator<Item = i32>) -> Result<()> {
        for id in ids {
            let node = self.node(id)?;
            node.process.signal("KILL")?;
            node.process.wait(DEADLINE)?;
        }
        Ok(())
    }

    /// Starts every killed node again, with the same data and address.
    pub(crate) fn start_again(&mut self) -> Result<()> {
        for node in &mut self.nodes {
            if node.process.exit_code()?.is_some() {
                node.process = launch(&self.libraries, &node.directory)?;
            }
        }
        self.wait_healthy()
    }

    /// The node that leads a partition.
    pub(crate) fn leader(&self, topic: &str, partition: i32) -> Result<i32> {
        let metadata = self.admin()?.inner().fetch_metadata(Some(topic), DEADLINE)?;
        let found = metadata.topics().iter().flat_map(|topic| topic.partitions()).find(|p| p.id() == partition);
        Ok(found.ok_or_else(|| format!("{topic} has no partition {partition}"))?.leader())
    }

    fn node(&mut self, id: i32) -> Result<&mut Node> {
        let place = usize::try_from(id - 1)?;
        Ok(self.nodes.get_mut(place).ok_or_else(|| format!("there is no node {id}"))?)
    }

    /// Runs one of Kafka's own administration tools against this broker, and waits for its end; what it wrote.
    pub(crate) fn tool(&self, class: &str, arguments: &[&str]) -> Result<String> {
        let output = java(&self.libraries, &self.nodes[0].directory, class)
            .args(["--bootstrap-server", &self.bootstrap])
            .args(arguments)
            .output()?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let said = [output.stdout, output.stderr].concat();
        Err(format!("{class} {}: {}", arguments.join(" "), tail(&String::from_utf8_lossy(&said))).into())
    }

    /// A shell script that stands for one of the tools in Kafka's `bin`.
    pub(crate) fn tool_script(&self, class: &str) -> String {
        let jars = self.libraries.join("*");
        format!("#!/bin/sh\nexec java -XX:TieredStopAtLevel=1 -cp '{}' {class} \"$@\"\n", jars.display())
    }

    fn wait_healthy(&mut self) -> Result<()> {
        let consumer: BaseConsumer = self.client().create()?;
        let nodes = &mut self.nodes;
        wait_until("the broker answers", DEADLINE, || {
            for Node { process, .. } in &mut *nodes {
                if let Some(code) = process.exit_code()? {
                    return Err(format!(
                        "the broker ended with {code}:\n{}\n{}",
                        tail(&process.stdout()),
                        tail(&process.stderr())
                    )
                    .into());
                }
            }
            let answer = consumer.fetch_metadata(None, Duration::from_millis(500));
            Ok(answer.ok().filter(|metadata| metadata.brokers().len() == nodes.len()).map(drop))
        })
    }

    fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        // While the broker starts, refused connections are expected: no log lines, and a prompt retry.
        config
            .set("bootstrap.servers", &self.bootstrap)
            .set("log_level", "0")
            .set("log.connection.close", "false")
            .set("reconnect.backoff.max.ms", "200");
        config
    }

    /// Administration; its futures run on any executor.
    pub(crate) fn admin(&self) -> Result<AdminClient<DefaultClientContext>> {
        Ok(self.client().create()?)
    }

    /// Creates a topic and waits until every partition has a leader.
    pub(crate) fn create_topic(&self, name: &str, partitions: i32) -> Result<()> {
        let admin = self.admin()?;
        let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(self.nodes.len() as i32));
        let created = block_on(admin.create_topics([&topic], &AdminOptions::new()))?;
        for outcome in created? {
            outcome.map_err(|(topic, code)| format!("cannot create {topic}: {code}"))?;
        }
        wait_until("the topic has leaders", DEADLINE, || {
            let metadata = admin.inner().fetch_metadata(Some(name), DEADLINE)?;
            let led = |topic: &rdkafka::metadata::MetadataTopic| {
                topic.error().is_none()
                    && topic.partitions().iter().filter(|p| p.leader() >= 0).count() == partitions as usize
            };
            Ok(metadata.topics().iter().any(led).then_some(()))
        })
    }

    /// Appends records to a partition and waits until they are acknowledged.
    pub(crate) fn produce(&self, topic: &str, partition: i32, payloads: &[&[u8]]) -> Result<()> {
        self.produce_all(topic, payloads.iter().map(|payload| (partition, *payload)))
    }

    /// Appends records to the partitions that stand beside them and waits until they are acknowledged.
    pub(crate) fn produce_all<'a>(&self, topic: &str, records: impl Iterator<Item = (i32, &'a [u8])>) -> Result<()> {
        let producer: BaseProducer = self
            .client()
            .set("acks", "all")
            // What is sent again to another leader must not stand there twice.
            .set("enable.idempotence", "true")
            .set("message.max.bytes", "10485760")
            .create()?;
        for (partition, payload) in records {
            let record = BaseRecord::<(), [u8]>::to(topic).partition(partition).payload(payload);
            producer.send(record).map_err(|(error, _)| error)?;
        }
        Ok(producer.flush(DEADLINE)?)
    }

    /// Appends records of these times, in milliseconds, to partition 0 and waits until they are acknowledged.
    pub(crate) fn produce_at<'a>(&self, topic: &str, records: impl Iterator<Item = (i64, &'a [u8])>) -> Result<()> {
        let producer: BaseProducer = self.client().set("acks", "all").create()?;
        for (at, payload) in records {
            let record = BaseRecord::<(), [u8]>::to(topic).partition(0).timestamp(at).payload(payload);
            producer.send(record).map_err(|(error, _)| error)?;
        }
        Ok(producer.flush(DEADLINE)?)
    }

    /// Every record of a topic up to its present end, by partition.
    pub(crate) fn records(&self, topic: &str) -> Result<Vec<OwnedMessage>> {
        let consumer: BaseConsumer = self.client().set("group.id", "leadsman-tests").create()?;
        let mut assigned = TopicPartitionList::new();
        let mut expected = 0;
        let metadata = consumer.fetch_metadata(Some(topic), DEADLINE)?;
        for partition in metadata.topics().iter().flat_map(|t| t.partitions()) {
            let (low, high) = consumer.fetch_watermarks(topic, partition.id(), DEADLINE)?;
            expected += usize::try_from(high - low)?;
            assigned.add_partition_offset(topic, partition.id(), Offset::Beginning)?;
        }
        consumer.assign(&assigned)?;
        let mut records = Vec::new();
        wait_until("the records of the topic", DEADLINE, || {
            while records.len() < expected
                && let Some(message) = consumer.poll(Duration::from_millis(100))
            {
                records.push(message?.detach());
            }
            Ok((records.len() >= expected).then_some(()))
        })?;
        records.sort_by_key(|record: &OwnedMessage| (record.partition(), record.offset()));
        Ok(records)
    }
}

/// Makes a node's directory ready for its first start.
fn format_storage(libraries: &Path, directory: &Path, users: &[(String, String)]) -> Result<()> {
    let mut format = java(libraries, directory, "kafka.tools.StorageTool");
    format.args(["format", "-t", CLUSTER_ID, "-c", "server.properties"]);
    for (name, password) in users {
        format.arg("--add-scram").arg(format!("SCRAM-SHA-512=[name={name},password={password}]"));
    }
    let output = format.output()?;
    if output.status.success() {
        return Ok(());
    }
    let said = tail(&String::from_utf8_lossy(&output.stderr));
    Err(format!("cannot format the broker's storage: {said}").into())
}

fn java(libraries: &Path, directory: &Path, class: &str) -> Command {
    let mut command = Command::new("java");
    command
        .args(["-Xms64m", "-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"])
        .arg("-Dlog4j2.configurationFile=log4j2.properties")
        .arg("-cp")
        .arg(libraries.join("*"))
        .arg(class)
        .current_dir(directory);
    command
}

fn launch(libraries: &Path, directory: &Path) -> Result<Process> {
    Process::spawn(java(libraries, directory, "kafka.Kafka").arg("server.properties"), "kafka", directory)
}

/// Runs a future to its end on this thread.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> io::Result<T> {
    Ok(runtime()?.block_on(future))
}

/// A runtime of the caller's thread.
pub(crate) fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}
