use std::path::{Component, Path};

use proptest::prelude::*;

use super::*;

fn name(cluster: &str, source: &str, time: i64, (partition, first, next): (u32, u64, u64)) -> FileName {
    FileName {
        kind: Kind::Events,
        cluster: SafeText::of(cluster),
        hour: Hour::of(Timestamp::from_micros(time)),
        range: Range { source: SafeText::of(source), partition, first, next },
    }
}

/// Names that try to get out, to be another directory, or to be two.
const HOSTILE: [&str; 12] = [
    "..",
    "../../etc/passwd",
    "/etc/passwd",
    "a/b",
    "a\\b",
    "cluster=x",
    "x/date=1970-01-01",
    "nul\0byte",
    "\u{202e}",
    "%2e%2e%2f",
    "",
    "a-1-2-3.parquet",
];

#[test]
fn a_name_reads_as_documented() {
    let name = name("prod-1", "kafka:leadsman.audit", 1_772_445_600_000_000, (3, 100, 250));
    let path = "events/cluster=prod-1/date=2026-03-02/hour=10/part-kafka%3Aleadsman.audit-3-100-250.parquet";
    assert_eq!(name.to_string(), path);
    assert_eq!(FileName::parse(path), Some(name));
}

#[test]
fn hostile_names_stay_in_their_directory() {
    for hostile in HOSTILE {
        let name = name(hostile, hostile, 0, (0, 0, 1));
        let path = name.to_string();
        assert!(Path::new(&path).components().all(|c| matches!(c, Component::Normal(_))), "{path}");
        assert_eq!(path.split('/').count(), 5, "{path}");
        assert!(path.bytes().all(|b| b.is_ascii_graphic()), "{path}");
        assert_eq!(FileName::parse(&path).as_ref(), Some(&name), "{path}");
        assert_eq!(name.cluster.unescaped(), hostile);
        assert_eq!(name.range.source.unescaped(), hostile);
    }
}

#[test]
fn long_names_are_cut_and_stay_apart() {
    let (a, b) = ("x".repeat(300), format!("{}y", "x".repeat(299)));
    let (a, b) = (SafeText::of(&a), SafeText::of(&b));
    assert_ne!(a, b);
    let path = name(a.as_str(), &"é".repeat(300), 0, (u32::MAX, u64::MAX - 1, u64::MAX)).to_string();
    assert!(path.split('/').all(|part| part.len() < 255 - ".tmp".len()), "{path}");
    assert!(FileName::parse(&path).is_some());
}

#[test]
fn what_is_not_ours_is_not_read() {
    let ours = "events/cluster=c/date=2026-03-02/hour=10/part-s-0-1-2.parquet";
    assert!(FileName::parse(ours).is_some());
    for (part, with) in [
        ("events/", "other/"),
        ("cluster=c", "c"),
        ("cluster=c", "cluster=a b"),
        ("2026-03-02", "2026-3-2"),
        ("2026-03-02", "2026-02-30"),
        ("2026-03-02", "2026-03-02T00"),
        ("hour=10", "hour=24"),
        ("hour=10", "hour=+1"),
        ("hour=10", "hour=1"),
        ("hour=10", "hour=10/more"),
        ("part-s", "path-s"),
        ("-0-1-2", "-0-2-2"),
        ("-0-1-2", "-0-01-2"),
        ("-0-1-2", "-0-+1-2"),
        ("-0-1-2", "-4294967296-1-2"),
        ("-s-0-1-2", "-0-1-2"),
        (".parquet", ".parquet.tmp"),
    ] {
        let other = ours.replacen(part, with, 1);
        assert_eq!(FileName::parse(&other), None, "{other}");
    }
}

proptest! {
    #[test]
    fn names_and_ranges_are_the_same_thing(
        (cluster, source) in (".{0,40}", ".{0,40}"),
        time in 0..253_402_300_800_000_000i64,
        (partition, first, length) in (any::<u32>(), 0..u64::MAX / 2, 1..u64::MAX / 2),
    ) {
        let name = name(&cluster, &source, time, (partition, first, first + length));
        let path = name.to_string();
        prop_assert!(name.hour.start().as_micros() <= time && time < name.hour.end().as_micros());
        prop_assert_eq!(FileName::parse(&path), Some(name));
    }

    #[test]
    fn different_texts_have_different_names(a in ".{0,200}", b in ".{0,200}") {
        prop_assert_eq!(SafeText::of(&a) == SafeText::of(&b), a == b);
    }

    #[test]
    fn any_path_is_read_or_not(path in "(events|samples|x)/(cluster=)?.{0,9}/date=[0-9-]{8,11}/hour=[0-9]{1,3}/part-.{0,9}(-[0-9]{1,3}){0,3}\\.parquet") {
        if let Some(name) = FileName::parse(&path) {
            prop_assert_eq!(name.to_string(), path);
        }
    }

    #[test]
    fn any_time_has_an_hour(time in any::<i64>()) {
        let hour = Hour::of(Timestamp::from_micros(time));
        prop_assert_eq!(hour.date().len(), 10);
        prop_assert!(hour.start() < hour.end());
    }
}
