use std::io::Cursor;

use leadsman_domain::{
    Actor, ActorClass, EventId, Level, ObjectRef, RequestKey, Risk, RiskFlags, Stage, Timestamp, Untrusted, Verb,
};

use super::*;

fn event(n: u32) -> AuditEvent {
    let text = |name: &str| Untrusted::new(format!("{name} {n} \"\u{e4}\n"));
    AuditEvent {
        id: EventId::new(n.into()),
        request: RequestKey::new(7),
        audit_id: text("audit"),
        stage: Stage::ResponseComplete,
        level: Level::Request,
        event_time: Timestamp::from_micros(1_772_445_600_000_001 + i64::from(n)),
        actor: Actor {
            name: format!("jane {n}").into(),
            class: ActorClass::Human,
            impersonated: (n.is_multiple_of(2)).then(|| text("bob")),
        },
        verb: Verb::Exec,
        object: ObjectRef {
            resource: text("pods"),
            name: (n.is_multiple_of(3)).then(|| text("web")),
            ..ObjectRef::default()
        },
        request_uri: text("/api"),
        source_ip: None,
        user_agent: Some(text("kubectl")),
        code: (n.is_multiple_of(2)).then_some(403),
        forbidden: n.is_multiple_of(2),
        risk: match n % 3 {
            0 => RiskFlags::UNKNOWN,
            1 => RiskFlags::observed(),
            _ => RiskFlags::observed().with(Risk::Privileged).with(Risk::BroadSubject),
        },
        accounts: (0..n % 3).map(|i| Untrusted::new(format!("user {i}"))).collect(),
    }
}

fn table<T: Row>(rows: Vec<T>) -> DataFrame {
    let mut file = Vec::new();
    let count = rows.len() as u64;
    let mut writer = TableWriter::new(&mut file);
    writer.write(rows).unwrap();
    assert_eq!(writer.finish().unwrap(), count);
    ParquetReader::new(Cursor::new(file)).finish().unwrap()
}

fn strings(frame: &DataFrame, column: &str) -> Vec<Option<String>> {
    let column = frame.column(column).unwrap().str().unwrap();
    column.iter().map(|text| text.map(ToOwned::to_owned)).collect()
}

#[test]
fn a_table_is_read_back_over_row_groups() {
    is_read_back(ROW_GROUP as u32 + 5);
}

#[test]
fn a_short_table_is_read_back() {
    is_read_back(5);
}

fn is_read_back(count: u32) {
    let frame = table((0..count).map(event).collect());
    assert_eq!(frame.height(), count as usize);
    let all: Vec<AuditEvent> = (0..count).map(event).collect();
    let raw = |text: &Untrusted| text.raw().to_owned();
    assert_eq!(strings(&frame, "id"), all.iter().map(|e| Some(e.id.to_string())).collect::<Vec<_>>());
    assert_eq!(strings(&frame, "auditID"), all.iter().map(|e| Some(raw(&e.audit_id))).collect::<Vec<_>>());
    assert_eq!(
        strings(&frame, "objectRef.name"),
        all.iter().map(|e| e.object.name.as_ref().map(raw)).collect::<Vec<_>>()
    );
    assert_eq!(strings(&frame, "sourceIP"), vec![None; all.len()]);
    assert_eq!(
        strings(&frame, "impersonatedUser.username"),
        all.iter().map(|e| e.actor.impersonated.as_ref().map(raw)).collect::<Vec<_>>()
    );
    let codes: Vec<_> = frame.column("responseStatus.code").unwrap().u32().unwrap().iter().collect();
    assert_eq!(codes, all.iter().map(|e| e.code.map(u32::from)).collect::<Vec<_>>());
    let time = frame.column("requestReceivedTimestamp").unwrap();
    assert_eq!(time.dtype(), &DataType::Datetime(TimeUnit::Microseconds, Some(TimeZone::UTC)));
    let micros: Vec<_> = time.to_physical_repr().i64().unwrap().iter().collect();
    assert_eq!(micros, all.iter().map(|e| Some(e.event_time.as_micros())).collect::<Vec<_>>());
}

#[test]
fn unknown_risks_are_null_and_no_risks_are_an_empty_list() {
    let frame = table((0..3).map(event).collect());
    let risks = frame.column("risks").unwrap().list().unwrap();
    let found: Vec<Option<Vec<String>>> = (0..3)
        .map(|n| {
            let list = risks.get_as_series(n)?;
            Some(list.str().unwrap().iter().flatten().map(ToOwned::to_owned).collect())
        })
        .collect();
    assert_eq!(found, [None, Some(vec![]), Some(vec!["privileged".to_owned(), "broad_subject".to_owned()])]);
}

#[test]
fn accounts_are_lists() {
    let frame = table((0..3).map(event).collect());
    let accounts = frame.column("accounts").unwrap().list().unwrap();
    let lengths: Vec<usize> = (0..3).filter_map(|n| accounts.get_as_series(n)).map(|list| list.len()).collect();
    assert_eq!(lengths, [0, 1, 2]);
}

#[test]
fn samples_keep_every_bit_and_an_empty_table_its_columns() {
    let sample = MetricSample {
        name: Untrusted::new("up"),
        namespace: Untrusted::new("shop"),
        workload: Untrusted::new("cart"),
        pod: None,
        series: u64::MAX,
        whole_pod: true,
        event_time: Timestamp::from_micros(1),
        value: 0.1 + 0.2,
    };
    let frame = table(vec![sample.clone()]);
    assert_eq!(frame.column("series").unwrap().u64().unwrap().get(0), Some(u64::MAX));
    assert_eq!(frame.column("value").unwrap().f64().unwrap().get(0).map(f64::to_bits), Some(sample.value.to_bits()));
    assert_eq!(frame.column("pod").unwrap().null_count(), 1);
    assert_eq!(table::<AuditEvent>(Vec::new()).width(), 22);
}
