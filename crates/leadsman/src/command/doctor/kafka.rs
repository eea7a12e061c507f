//! Brokers, topics and rights.

use std::time::Duration;

use leadsman_domain::{PayloadKind, Timestamp};
use leadsman_kafka::diagnose::{
    BrokerState, Diagnosis, PartitionState, Subject, TopicSettings, TopicState, Writing, Written, diagnose,
};

use super::position::Topic;
use super::{Check, Verdict, check, policy};
use crate::config::KafkaSettings;
use crate::service::kafka::checkpoint_of;

/// A worker that is down for a night loses nothing.
const SHORTEST_RETENTION: Duration = Duration::from_secs(24 * 3_600);
/// The API server may send events of this size.
const LARGEST_EVENT: u64 = 10 * 1024 * 1024;

/// What was found, and what other checks need of it.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) checks: Vec<Check>,
    pub(super) topics: Vec<Topic>,
    /// Time of the newest record of each topic.
    pub(super) newest: Vec<(String, Timestamp)>,
}

/// Looks at everything, and leaves nothing behind.
pub(super) fn look(settings: &KafkaSettings) -> Seen {
    let subject = settings.subject();
    match diagnose(&subject) {
        Ok(diagnosis) => report(settings, &subject, diagnosis),
        Err(e) => Seen { checks: vec![check("kafka", Verdict::Fail, e.to_string())], ..Seen::default() },
    }
}

fn report(of: &KafkaSettings, subject: &Subject, diagnosis: Diagnosis) -> Seen {
    let mut seen = Seen { checks: brokers(&diagnosis.brokers), ..Seen::default() };
    for ((name, outcome), (_, kind)) in diagnosis.topics.into_iter().zip(&subject.topics) {
        match outcome {
            Err(e) => seen.checks.push(check("topic", Verdict::Fail, format!("`{name}`: {e}"))),
            Ok(TopicState { partitions, settings, sample }) => {
                seen.checks.push(topic(&name, &partitions, settings.as_ref(), true));
                if *kind == PayloadKind::K8sAudit {
                    seen.checks.extend(policy::of_records(&name, &sample));
                }
                seen.newest.extend(partitions.iter().filter_map(|p| p.newest).max().map(|time| (name.clone(), time)));
                seen.topics.push(Topic { source: checkpoint_of(of, &name), name, partitions });
            }
        }
    }
    seen.checks.extend(diagnosis.groups.into_iter().map(|(group, outcome)| match outcome {
        Ok(()) => check("group", Verdict::Ok, format!("`{group}` may be used")),
        Err(fault) => check("group", Verdict::Fail, format!("`{group}`: {fault}")),
    }));
    for Written { name, topic: outcome, writing } in diagnosis.written {
        // A topic of the re-key stage is read, too, and was looked at as such.
        if !subject.topics.iter().any(|(read, _)| *read == name) {
            seen.checks.push(match outcome {
                Err(e) => check("topic", Verdict::Fail, format!("`{name}`: {e}")),
                Ok(TopicState { partitions, settings, .. }) => topic(&name, &partitions, settings.as_ref(), false),
            });
        }
        seen.checks.extend(writing.map(|writing| publish(&name, &writing)));
    }
    seen
}

/// One broker is enough to start with, so a missing one among several is a warning.
fn brokers(brokers: &[BrokerState]) -> Vec<Check> {
    let reached = brokers.iter().any(|broker| !broker.is_advertised && broker.outcome.is_ok());
    let of = |broker: &BrokerState| {
        let BrokerState { address, is_advertised, outcome } = broker;
        match outcome {
            Ok(()) => check("kafka", Verdict::Ok, format!("{address} answers")),
            Err(fault) if *is_advertised => check(
                "kafka",
                Verdict::Fail,
                format!("the cluster names {address} as a broker: {fault}; or correct `advertised.listeners` there"),
            ),
            Err(fault) if reached => check("kafka", Verdict::Warn, format!("{address}: {fault}")),
            Err(fault) => check("kafka", Verdict::Fail, format!("{address}: {fault}")),
        }
    };
    brokers.iter().map(of).collect()
}

/// A topic that can be used; `read` when losing its records before they are read is losing telemetry.
pub(super) fn topic(name: &str, partitions: &[PartitionState], settings: Option<&TopicSettings>, read: bool) -> Check {
    let mut warnings = Vec::new();
    let behind = partitions.iter().filter(|partition| partition.in_sync < partition.replicas).count();
    if behind > 0 {
        warnings.push(format!("{behind} partitions lack an up-to-date copy: start the brokers that hold them"));
    }
    let replicas = partitions.iter().map(|partition| partition.replicas).min().unwrap_or(0);
    if replicas < 2 {
        warnings.push("one copy only: losing a broker loses its records; use a replication factor of 3".to_owned());
    }
    let Some(settings) = settings else {
        warnings.push("its settings may not be asked for: allow `DescribeConfigs` to have them checked".to_owned());
        return verdict(name, partitions, &warnings);
    };
    if settings.cleanup_policy.contains("compact") && read {
        return check(
            "topic",
            Verdict::Fail,
            format!(
                "`{name}`: `cleanup.policy` is {}: compaction deletes records of one key before they are read; set it to delete",
                settings.cleanup_policy
            ),
        );
    }
    if replicas > 1 && settings.min_in_sync < 2 {
        warnings.push("`min.insync.replicas` is 1: a record that one broker has may be lost; set it to 2".to_owned());
    } else if replicas > 1 && settings.min_in_sync >= replicas {
        let min = settings.min_in_sync;
        warnings.push(format!("`min.insync.replicas` is {min} of {replicas}: one broker down stops writing; lower it"));
    }
    if read {
        warnings.extend(keeping(settings));
    }
    verdict(name, partitions, &warnings)
}

/// What of a topic's settings loses records.
fn keeping(settings: &TopicSettings) -> Vec<String> {
    let mut warnings = Vec::new();
    if let Some(kept) = settings.retention.filter(|kept| *kept < SHORTEST_RETENTION) {
        let hours = kept.as_secs_f64() / 3_600.0;
        warnings.push(format!(
            "`retention.ms` keeps records for {hours:.1} hours: a service that is down for longer loses them; keep a week"
        ));
    }
    if let Some(kept) = settings.retention_bytes {
        warnings.push(format!(
            "`retention.bytes` keeps {kept} bytes of a partition: a flood deletes records before they are read, and an attacker can make one; set it to -1"
        ));
    }
    if settings.max_message_bytes < LARGEST_EVENT {
        warnings.push(format!(
            "`max.message.bytes` is {}: larger audit events are refused; set it to {LARGEST_EVENT}",
            settings.max_message_bytes
        ));
    }
    warnings
}

fn verdict(name: &str, partitions: &[PartitionState], warnings: &[String]) -> Check {
    let what = format!("`{name}`: {} partitions", partitions.len());
    match warnings.is_empty() {
        true => check("topic", Verdict::Ok, what),
        false => check("topic", Verdict::Warn, format!("{what}; {}", warnings.join("; "))),
    }
}

fn publish(name: &str, writing: &Writing) -> Check {
    match writing {
        Writing::Allowed => check("publish", Verdict::Ok, format!("`{name}` may be written to")),
        Writing::Refused(fault) => check("publish", Verdict::Fail, format!("`{name}`: {fault}")),
        Writing::Unknown => check(
            "publish",
            Verdict::Warn,
            format!(
                "`{name}`: whether it may be written to cannot be known without writing; allow `DescribeConfigs` on it"
            ),
        ),
        Writing::Failed(why) => check("publish", Verdict::Warn, format!("`{name}`: {why}; ask again")),
    }
}
