//! What is wrong with brokers, topics and rights, found without leaving anything behind.
//!
//! Nothing is joined, committed or written: another worker of the group does not notice that somebody looks.
//!
//! - **Reading** is tried: the newest records of each partition are fetched.
//! - **The groups**: an offset is offered for a partition that does not exist. A broker checks the right to a group
//!   first, the same right that joining takes, and only then that it knows no such partition.
//! - **Writing**: a record just above the topic's `max.message.bytes` is offered. A broker checks the right to write
//!   first, and then refuses the record for its size.

mod group;
mod reach;
mod sink;
mod topic;

use std::collections::BTreeMap;
use std::time::Duration;

use leadsman_domain::PayloadKind;

use crate::{Fault, KafkaError};

pub use reach::BrokerState;
pub use sink::Writing;
pub use topic::{PartitionState, TopicError, TopicSettings, TopicState};

/// How long each answer may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// What to look at, as the source and the sink would use it.
pub struct Subject {
    /// `host:port`, comma separated.
    pub bootstrap_servers: String,
    /// The consumer group that scores.
    pub group_id: String,
    /// The group of the re-key stage.
    pub stage_group: Option<String>,
    /// The group in which publishing in transactions keeps its marks.
    pub publishing_group: Option<String>,
    /// Topics that are read, and what their records hold.
    pub topics: Vec<(String, PayloadKind)>,
    /// Topics that are written to.
    pub written: Vec<String>,
    /// Further librdkafka settings.
    pub extra: BTreeMap<String, String>,
}

impl Subject {
    fn reading_groups(&self) -> impl Iterator<Item = &String> {
        std::iter::once(&self.group_id).chain(&self.stage_group)
    }
}

/// What was found. Where no broker answers there is nothing beyond [`Diagnosis::brokers`].
pub struct Diagnosis {
    /// Each configured address, then the addresses that brokers give for themselves.
    pub brokers: Vec<BrokerState>,
    /// Each topic that is read.
    pub topics: Vec<(String, Result<TopicState, TopicError>)>,
    /// Whether each group may be used; empty when no topic is usable, without which that cannot be asked.
    pub groups: Vec<(String, Result<(), Fault>)>,
    /// Each topic that is written to.
    pub written: Vec<Written>,
}

/// A topic that is written to.
pub struct Written {
    /// Its name.
    pub name: String,
    /// What it is.
    pub topic: Result<TopicState, TopicError>,
    /// Whether it can be written to; `None` when it cannot be looked at.
    pub writing: Option<Writing>,
}

/// The first thing that somebody has to mend before records can be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Obstacle {
    /// No broker serves us.
    #[error("kafka at {address}: {fault}")]
    Broker {
        /// The first of the addresses.
        address: String,
        /// Why.
        fault: Fault,
    },
    /// A topic cannot be read.
    #[error("kafka topic `{name}`: {error}")]
    Topic {
        /// The topic.
        name: String,
        /// Why.
        error: TopicError,
    },
    /// The group may not be used.
    #[error("kafka group `{name}`: {fault}")]
    Group {
        /// The group.
        name: String,
        /// Why.
        fault: Fault,
    },
}

/// Tries what the source needs: a broker, every topic, the group. `None` when nothing stands in its way.
///
/// Takes a fraction of a second where all is well, and about five seconds where somebody does not answer.
///
/// Errors: when a setting is refused before anybody is asked.
pub fn obstacle(subject: &Subject) -> Result<Option<Obstacle>, KafkaError> {
    let (brokers, reached) = reach::configured(subject)?;
    let Some(client) = reached else {
        let first = brokers.into_iter().find_map(|broker| Some((broker.address, broker.outcome.err()?)));
        let (address, fault) = first.unwrap_or_else(|| (subject.bootstrap_servers.clone(), Fault::Unresolved));
        return Ok(Some(Obstacle::Broker { address, fault }));
    };
    for (name, kind) in &subject.topics {
        // From the end on: whether fetching is allowed shows without a record.
        if let Err(error) = topic::read_newest(subject, &client, name, Some((*kind, 0))) {
            return Ok(Some(Obstacle::Topic { name: name.clone(), error }));
        }
    }
    let Some((topic, _)) = subject.topics.first() else { return Ok(None) };
    for name in subject.reading_groups() {
        if let Err(fault) = group::look(subject, name, topic)? {
            return Ok(Some(Obstacle::Group { name: name.clone(), fault }));
        }
    }
    Ok(None)
}

/// Looks at everything; takes up to about five seconds for each thing that does not answer.
///
/// Errors: when a setting is refused before anybody is asked.
pub fn diagnose(subject: &Subject) -> Result<Diagnosis, KafkaError> {
    let (mut brokers, reached) = reach::configured(subject)?;
    let Some(client) = reached else {
        return Ok(Diagnosis { brokers, topics: Vec::new(), groups: Vec::new(), written: Vec::new() });
    };
    brokers.extend(reach::advertised(&client, &brokers));
    let look = |(name, kind): &(String, PayloadKind)| (name.clone(), topic::look(subject, &client, name, Some(*kind)));
    let topics: Vec<_> = subject.topics.iter().map(look).collect();
    let usable = topics.iter().find(|(_, state)| state.is_ok());
    let mut groups = Vec::new();
    if let Some((topic, _)) = usable {
        for name in subject.reading_groups().chain(&subject.publishing_group) {
            groups.push((name.clone(), group::look(subject, name, topic)?));
        }
    }
    let mut written = Vec::new();
    for name in &subject.written {
        let topic = topic::look(subject, &client, name, None);
        let writing = sink::look(subject, name, &topic)?;
        written.push(Written { name: name.clone(), topic, writing });
    }
    Ok(Diagnosis { brokers, topics, groups, written })
}
