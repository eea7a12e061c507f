//! Dead letters, decoded with this release.

use std::collections::BTreeMap;

use anyhow::Result;
use bytes::Bytes;
use leadsman_decode::{DecodeContext, Limits, PAYLOAD_CAP};
use leadsman_domain::{DeadLetter, Decoded, PayloadKind, RawRecord, RejectReason, SourceId, Store, Timestamp};
use leadsman_store::AnyStore;
use serde_json::{Value, json};

use super::feed::Feed;
use super::{known, runtime, store, topic_of};
use crate::cli::{Global, ReplayArgs};
use crate::clock;
use crate::config::Config;
use crate::exit::Exit;
use crate::output;
use crate::progress::Progress;
use crate::service::redaction;
use crate::sources::inbox::SOURCE as INBOX;

/// Dead letters looked at in one run, the newest; run it again for more.
const MOST: usize = 100_000;
/// Of so many that are fed, their letters are deleted.
const CHUNK: usize = 500;

/// What this release makes of a dead letter.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Verdict {
    /// It is telemetry of this kind.
    Accepted(PayloadKind),
    /// It is refused as before, or for another reason.
    Refused(RejectReason, String),
    /// It could be taken, but not by this way.
    Elsewhere(String),
}

/// Decodes the dead letters again; with `--apply`, feeds what is taken and deletes its letters.
pub(super) fn run(args: &ReplayArgs, global: &Global, config: &Config) -> Result<()> {
    let reason = args.reason.as_deref().map(reason).transpose()?;
    let runtime = runtime()?;
    let (settings, store) = runtime.block_on(store(config))?;
    let redaction_key = runtime.block_on(redaction::key(&settings, &store, &config.data_dir))?;
    let letters = runtime.block_on(store.dead_letters(MOST, reason))?;
    let context = DecodeContext {
        cluster: config.cluster.name.clone(),
        redaction_key: Some(redaction_key),
        ..DecodeContext::default()
    };
    let judged: Vec<(DeadLetter, Verdict)> = letters
        .into_iter()
        .map(|letter| {
            let verdict = judge(&letter, &context, config, clock::now());
            (letter, verdict)
        })
        .collect();
    let mut deleted = 0;
    if args.apply {
        let mut feed = Feed::open(args.to.as_deref(), args.token.clone(), config)?;
        deleted = runtime.block_on(apply(&judged, &mut feed, &store, global))?;
    }
    show(&judged, args.apply, deleted, global)
}

fn reason(name: &str) -> Result<RejectReason, Exit> {
    serde_json::from_value(json!(name)).map_err(|_| {
        Exit::Usage(format!(
            "--reason {name}: give the reason of a dead letter, such as malformed_json or unknown_shape"
        ))
    })
}

/// Decodes a letter as its source would.
fn judge(letter: &DeadLetter, context: &DecodeContext, config: &Config, now: Timestamp) -> Verdict {
    let kinds: &[PayloadKind] = match topic_of(&letter.source) {
        Some(topic) => match known(topic, config.kafka.as_ref()).kind {
            PayloadKind::MetricJson => &[PayloadKind::MetricJson],
            PayloadKind::K8sAudit | PayloadKind::PrometheusRemoteWrite | PayloadKind::Canonical => {
                &[PayloadKind::K8sAudit]
            }
        },
        // Not noted is by which route it was posted.
        None if is_inbox(&letter.source) => {
            &[PayloadKind::K8sAudit, PayloadKind::MetricJson, PayloadKind::PrometheusRemoteWrite]
        }
        None => &[PayloadKind::K8sAudit],
    };
    let (mut refused, limits) = (None, Limits::default());
    let payload = Bytes::copy_from_slice(&letter.reject.payload);
    for kind in kinds {
        let record = RawRecord { offset: 0, received_at: now, kind: *kind, bytes: payload.clone() };
        let Decoded { events, samples, runtime, flows, rejects, .. } =
            leadsman_decode::record(context, &limits, &record);
        if rejects.is_empty() && events.len() + samples.len() + runtime.len() + flows.len() > 0 {
            let cluster = topic_of(&letter.source).and_then(|topic| known(topic, config.kafka.as_ref()).cluster);
            return cluster.map_or(Verdict::Accepted(*kind), |cluster| {
                Verdict::Elsewhere(format!("it is of the cluster {cluster}: produce it to a topic of that cluster"))
            });
        }
        refused = refused.or_else(|| rejects.into_iter().next().map(|reject| (reject.reason, reject.detail)));
    }
    let (reason, detail) = refused.unwrap_or_else(|| (letter.reject.reason, "it holds no telemetry".to_owned()));
    let cut = letter.reject.payload.len() >= PAYLOAD_CAP;
    Verdict::Refused(reason, if cut { format!("{detail}; only the beginning of it was kept") } else { detail })
}

/// In a shared store the inbox of each data directory has its own name, `inbox@…`.
fn is_inbox(source: &SourceId) -> bool {
    source.as_str().split('@').next() == Some(INBOX)
}

/// Feeds what is accepted and deletes its letters: a crash in between feeds it again, under the same identities.
async fn apply(judged: &[(DeadLetter, Verdict)], feed: &mut Feed, store: &AnyStore, global: &Global) -> Result<u64> {
    let accepted: Vec<(&DeadLetter, PayloadKind)> = judged
        .iter()
        .filter_map(|(letter, verdict)| match verdict {
            Verdict::Accepted(kind) => Some((letter, *kind)),
            Verdict::Refused(..) | Verdict::Elsewhere(_) => None,
        })
        .collect();
    let mut progress = Progress::new(global.progress, "feed", accepted.len() as u64);
    let (mut deleted, mut fed) = (0, 0);
    // Oldest first: letters come newest first.
    for chunk in accepted.rchunks(CHUNK) {
        for (letter, kind) in chunk.iter().rev() {
            feed.give(*kind, letter.reject.payload.clone()).await?;
            fed += 1;
            progress.at(fed, || format!("{fed} items"));
        }
        let keys: Vec<_> = chunk.iter().map(|(letter, _)| letter.key()).collect();
        deleted += store.delete_dead_letters(&keys).await?;
    }
    progress.finish();
    Ok(deleted)
}

fn show(judged: &[(DeadLetter, Verdict)], applied: bool, deleted: u64, global: &Global) -> Result<()> {
    let accepted = judged.iter().filter(|(_, verdict)| matches!(verdict, Verdict::Accepted(_))).count();
    if global.json {
        let items: Vec<Value> = judged.iter().map(|(letter, verdict)| item(letter, verdict)).collect();
        let refused: BTreeMap<&str, usize> = judged.iter().fold(BTreeMap::new(), |mut counts, (_, verdict)| {
            if let Verdict::Refused(reason, _) = verdict {
                *counts.entry(reason.as_str()).or_default() += 1;
            }
            counts
        });
        output::json(&json!({
            "schema": "leadsman.replay-dead-letters/v1",
            "dead_letters": judged.len(),
            "accepted": accepted,
            "refused": refused,
            "applied": applied,
            "deleted": deleted,
            "items": items,
        }))?;
    } else {
        for (letter, verdict) in judged {
            let place =
                format!("{}/{} offset {} item {}", letter.source, letter.partition, letter.offset, letter.reject.item);
            let now = match verdict {
                Verdict::Accepted(_) => "taken now".to_owned(),
                Verdict::Refused(reason, detail) => format!("still refused: {reason}: {detail}"),
                Verdict::Elsewhere(advice) => advice.clone(),
            };
            output::text(&format!("{place}  {}  {now}", letter.reject.reason))?;
        }
    }
    let ending = match (applied, accepted) {
        (true, _) => format!("They were fed, and {deleted} letters deleted."),
        (false, 0) => "Nothing would change.".to_owned(),
        (false, _) => "Nothing was changed: give --apply to feed them.".to_owned(),
    };
    eprintln!("Of {} dead letters this release takes {accepted}. {ending}", judged.len());
    if judged.len() >= MOST {
        eprintln!("These are the newest {MOST}; there may be older ones.");
    }
    Ok(())
}

fn item(letter: &DeadLetter, verdict: &Verdict) -> Value {
    let mut item = json!({
        "source": letter.source, "partition": letter.partition, "offset": letter.offset, "item": letter.reject.item,
        "reason": letter.reject.reason,
    });
    let now = match verdict {
        Verdict::Accepted(kind) => json!({"accepted": true, "kind": kind}),
        Verdict::Refused(reason, detail) => json!({"accepted": false, "reason": reason, "detail": detail}),
        Verdict::Elsewhere(detail) => json!({"accepted": false, "detail": detail}),
    };
    if let Value::Object(fields) = &mut item {
        fields.insert("now".to_owned(), now);
    }
    item
}
