use std::io::Cursor;

use leadsman_domain::{
    Actor, ActorClass, EventId, Level, ObjectRef, RequestKey, Risk, RiskFlags, Stage, Untrusted, Verb,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::{FeatureError, StoredRow, TableReader, TableWriter};

const STAGES: [Stage; 4] = [Stage::RequestReceived, Stage::ResponseStarted, Stage::ResponseComplete, Stage::Panic];
const LEVELS: [Level; 4] = [Level::None, Level::Metadata, Level::Request, Level::RequestResponse];
const VERBS: [Verb; 13] = [
    Verb::Get,
    Verb::List,
    Verb::Watch,
    Verb::Create,
    Verb::Update,
    Verb::Patch,
    Verb::Delete,
    Verb::DeleteCollection,
    Verb::Exec,
    Verb::Attach,
    Verb::PortForward,
    Verb::Proxy,
    Verb::Other,
];

fn text() -> impl Strategy<Value = Untrusted> {
    prop_oneof![Just(String::new()), "[a-z./:\"\\\\]{0,12}", ".{0,12}", "\\PC{100,200}"].prop_map(Untrusted::new)
}

fn risks() -> impl Strategy<Value = RiskFlags> {
    let some = vec(select(Risk::ALL.to_vec()), 0..6);
    option::of(some).prop_map(|found| match found {
        None => RiskFlags::UNKNOWN,
        Some(risks) => risks.into_iter().fold(RiskFlags::observed(), RiskFlags::with),
    })
}

fn place() -> impl Strategy<Value = LogPlace> {
    (".{0,10}", any::<i32>(), any::<u64>(), any::<u32>()).prop_map(|(source, partition, offset, item)| LogPlace {
        source: source.into(),
        partition,
        offset,
        item,
    })
}

prop_compose! {
    fn actor()(name in ".{0,20}", class in select(ActorClass::ALL.to_vec()), impersonated in option::of(text())) -> Actor {
        Actor { name: name.into(), class, impersonated }
    }
}

prop_compose! {
    fn object()(
        (group, resource) in (text(), text()),
        (subresource, namespace, name) in (option::of(text()), option::of(text()), option::of(text())),
    ) -> ObjectRef {
        ObjectRef { group, resource, subresource, namespace, name }
    }
}

prop_compose! {
    fn event()(
        (id, request, time) in (any::<u128>(), any::<u128>(), any::<i64>()),
        (stage, level, verb) in (select(STAGES.to_vec()), select(LEVELS.to_vec()), select(VERBS.to_vec())),
        (actor, object, risk) in (actor(), object(), risks()),
        (audit_id, request_uri) in (text(), text()),
        (source_ip, user_agent, code) in (option::of(text()), option::of(text()), option::of(any::<u16>())),
        (forbidden, accounts) in (any::<bool>(), vec(text(), 0..5)),
    ) -> AuditEvent {
        AuditEvent {
            id: EventId::new(id),
            request: RequestKey::new(request),
            audit_id,
            stage,
            level,
            event_time: Timestamp::from_micros(time),
            actor,
            verb,
            object,
            request_uri,
            source_ip,
            user_agent,
            code,
            forbidden,
            risk,
            accounts: accounts.into(),
        }
    }
}

prop_compose! {
    fn scored()(place in place(), event in event(), surprise in option::of(0.0..1e9)) -> ScoredEvent {
        ScoredEvent { place, event, surprise }
    }
}

prop_compose! {
    fn sample()(
        place in place(),
        (name, namespace, workload, pod) in (text(), text(), text(), option::of(text())),
        (series, whole_pod, time) in (any::<u64>(), any::<bool>(), any::<i64>()),
        value in proptest::num::f64::NORMAL | proptest::num::f64::ZERO | proptest::num::f64::SUBNORMAL,
    ) -> PlacedSample {
        let event_time = Timestamp::from_micros(time);
        PlacedSample { place, sample: MetricSample { name, namespace, workload, pod, series, whole_pod, event_time, value } }
    }
}

fn written<T: Row + Clone>(rows: &[T]) -> Vec<u8> {
    let mut file = Vec::new();
    let mut writer = TableWriter::new(&mut file);
    writer.write(rows.iter().cloned()).unwrap();
    assert_eq!(writer.finish().unwrap(), rows.len() as u64);
    file
}

fn read<T: StoredRow>(file: &[u8]) -> Result<Vec<T>, FeatureError> {
    let mut reader = TableReader::new(Cursor::new(file))?;
    let mut rows = Vec::new();
    while let Some(group) = reader.next_group()? {
        assert!(group.len() <= T::ROW_GROUP);
        rows.extend(group);
    }
    assert_eq!(reader.len(), rows.len());
    Ok(rows)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn events_are_read_back_as_they_were(rows in vec(scored(), 0..40)) {
        let file = written(&rows);
        prop_assert_eq!(&written(&rows), &file, "equal rows give other bytes");
        prop_assert_eq!(read::<ScoredEvent>(&file).unwrap(), rows);
    }

    #[test]
    fn samples_are_read_back_as_they_were(rows in vec(sample(), 0..40)) {
        let file = written(&rows);
        prop_assert_eq!(&written(&rows), &file, "equal rows give other bytes");
        let back = read::<PlacedSample>(&file).unwrap();
        let bits = |rows: &[PlacedSample]| rows.iter().map(|r| r.sample.value.to_bits()).collect::<Vec<_>>();
        prop_assert_eq!(bits(&back), bits(&rows));
        prop_assert_eq!(back, rows);
    }

    #[test]
    fn a_damaged_file_is_an_error(rows in vec(scored(), 0..5), at in any::<prop::sample::Index>(), change in 1..=u8::MAX) {
        let mut file = written(&rows);
        let at = at.index(file.len());
        file[at] ^= change;
        prop_assert!(read::<ScoredEvent>(&file).is_err());
        file[at] ^= change;
        prop_assert!(read::<ScoredEvent>(&file[..at]).is_err());
        file.push(change);
        prop_assert!(read::<ScoredEvent>(&file).is_err());
    }
}

fn plain_event(n: u64) -> ScoredEvent {
    let text = |text: &str| Untrusted::new(format!("{text}-{n}"));
    ScoredEvent {
        place: LogPlace { source: "inbox".into(), partition: 0, offset: n / 3, item: (n % 3) as u32 },
        event: AuditEvent {
            id: EventId::new(u128::from(n) << 64),
            request: RequestKey::new(n.into()),
            audit_id: text("audit"),
            stage: Stage::ResponseComplete,
            level: Level::Metadata,
            event_time: Timestamp::from_micros(1_772_445_600_000_000 + n as i64),
            actor: Actor { name: "jane".into(), class: ActorClass::Human, impersonated: None },
            verb: Verb::Get,
            object: ObjectRef::default(),
            request_uri: text("/api"),
            source_ip: None,
            user_agent: None,
            code: Some(200),
            forbidden: false,
            risk: RiskFlags::UNKNOWN,
            accounts: Box::default(),
        },
        surprise: n.is_multiple_of(2).then_some(n as f64),
    }
}

#[test]
fn row_groups_follow_each_other_and_bytes_depend_on_rows_only() {
    let rows: Vec<ScoredEvent> = (0..2 * ROW_GROUP as u64 + 7).map(plain_event).collect();
    let file = written(&rows);
    assert_eq!(read::<ScoredEvent>(&file).unwrap(), rows);
    // However they were handed over.
    let mut again = Vec::new();
    let mut writer = TableWriter::new(&mut again);
    for part in rows.chunks(1_000) {
        writer.write(part.to_vec()).unwrap();
    }
    writer.finish().unwrap();
    assert!(again == file);
}

#[test]
fn another_table_is_refused_by_the_name_of_the_column() {
    let events: Vec<AuditEvent> = (0..2).map(|n| plain_event(n).event).collect();
    let refused = read::<ScoredEvent>(&written(&events)).unwrap_err();
    assert!(matches!(refused, FeatureError::Column("source")), "{refused}");
    assert!(read::<ScoredEvent>(b"PAR1 is not enough").is_err());
}
