use leadsman_domain::{PayloadKind, Span};

use super::*;

const EVENT: &str = r#"{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata","auditID":"@ID","stage":"ResponseComplete","requestURI":"/api/v1/namespaces/shop/secrets/db","verb":"get","user":{"username":"@USER"},"objectRef":{"resource":"secrets","namespace":"shop","name":"db"},"responseStatus":{"code":200},"requestReceivedTimestamp":"2026-03-02T10:00:00.000001Z","stageTimestamp":"2026-03-02T10:00:00.000002Z"}"#;

fn event(id: &str, user: &str) -> String {
    EVENT.replace("@ID", id).replace("@USER", user)
}

fn batch(records: Vec<String>) -> RawBatch {
    let received_at = Timestamp::parse("2026-03-02T10:00:01Z").unwrap();
    let raw = |(offset, text): (u64, String)| RawRecord {
        offset,
        received_at,
        kind: PayloadKind::K8sAudit,
        bytes: text.into(),
    };
    let span = Span { source: SourceId::new("kafka:audit"), partition: 2, from: 10, to: 20 };
    RawBatch { span, records: (10..).zip(records).map(raw).collect() }
}

fn context(cluster: &str) -> DecodeContext {
    DecodeContext { cluster: cluster.to_owned(), ..DecodeContext::default() }
}

fn all(cluster: &str, records: Vec<String>, from: u64) -> Vec<Piece> {
    pieces(&context(cluster), &Limits::default(), &SourceId::new("rekey:audit"), &batch(records), from).unwrap()
}

#[test]
fn each_item_is_a_record_of_its_own_and_keeps_its_identity() {
    let list = format!("{}\n{}\nnot json\n{}", event("a", "jane"), event("b", "bob"), event("c", "jane"));
    let all = all("prod", vec![list.clone(), event("d", "bob")], 0);
    assert_eq!(all.iter().map(|p| p.next).collect::<Vec<_>>(), [11, 20], "the last reaches to the end of the batch");
    let keys: Vec<_> =
        all.iter().flat_map(|p| &p.records).map(|r| String::from_utf8_lossy(&r.key).into_owned()).collect();
    assert_eq!(keys, ["prod\0actor:jane", "prod\0actor:bob", "prod\0actor:jane", "prod\0actor:bob"]);
    assert_eq!((all[0].dead_letters.len(), all[0].account.events, all[1].account.events), (1, 3, 1));
    assert_eq!((all[0].dead_letters[0].offset, all[0].dead_letters[0].partition), (10, 2));

    // What is read on the other side is what was read here.
    let directly = batch(vec![list, event("d", "bob")]);
    let decode = |record: &RawRecord| leadsman_decode::record(&context("prod"), &Limits::default(), record).events;
    let wanted: Vec<_> = directly.records.iter().flat_map(decode).collect();
    let again = |record: &Outgoing| RawRecord {
        offset: 0,
        received_at: record.received_at,
        kind: PayloadKind::Canonical,
        bytes: record.payload.clone().into(),
    };
    let got: Vec<_> = all.iter().flat_map(|p| &p.records).map(again).flat_map(|record| decode(&record)).collect();
    assert_eq!(got, wanted);
}

#[test]
fn equal_names_in_two_clusters_have_two_keys() {
    let key = |cluster| all(cluster, vec![event("a", "jane")], 0).remove(0).records.remove(0).key;
    assert_ne!(key("prod"), key("test"));
    assert_eq!(key("prod"), key("prod"));
}

#[test]
fn what_was_done_before_is_left_out() {
    let records = || vec![event("a", "jane"), event("b", "bob")];
    assert_eq!(all("prod", records(), 11).iter().map(|p| p.next).collect::<Vec<_>>(), [20]);
    assert!(all("prod", records(), 12).is_empty());
}

#[test]
fn an_item_too_large_to_travel_is_cut_and_keeps_its_identity() {
    let long = event("a", "jane").replace("/api/v1/namespaces", &format!("/x?y={}ä", "z".repeat(4_091)));
    let directly = batch(vec![long.clone()]);
    let wanted = leadsman_decode::record(&context("prod"), &Limits::default(), &directly.records[0]).events.remove(0);
    let piece = all("prod", vec![long], 0).remove(0);
    let small = cut(&piece.records[0].payload).unwrap();
    let record = RawRecord { kind: PayloadKind::Canonical, bytes: small.into(), ..directly.records[0].clone() };
    let got = leadsman_decode::record(&context("prod"), &Limits::default(), &record).events.remove(0);
    assert_eq!(
        (got.id, got.request, &got.actor, &got.object),
        (wanted.id, wanted.request, &wanted.actor, &wanted.object)
    );
    assert!(got.request_uri.raw().ends_with("[cut]") && got.request_uri.raw().len() < 4_200, "{got:?}");
    assert_eq!(cut(&all("prod", vec![event("a", "jane")], 0)[0].records[0].payload), None, "nothing to cut");
}
