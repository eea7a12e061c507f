//! Rows of the lake, read back as they were written.

use std::io::{Read, Seek};
use std::marker::PhantomData;
use std::sync::Arc;

use leadsman_domain::{Actor, AuditEvent, MetricSample, ObjectRef, RiskFlags, Timestamp, Untrusted};
use polars::io::mmap::MmapBytesReader;
use polars::prelude::*;
use serde::Deserialize;
use serde::de::IntoDeserializer;

use super::checksum;
use super::lake::{LogPlace, PlacedSample, ScoredEvent};
use crate::FeatureError;

/// What can be read back from the columns that [`Row`](super::Row) makes of it.
pub trait StoredRow: super::Row {
    /// The rows of `frame`, in order.
    ///
    /// Errors: [`FeatureError::Column`] when a column is missing or holds what is not written there.
    fn read(frame: &DataFrame) -> Result<Vec<Self>, FeatureError>;
}

/// Reads a Parquet file of rows, a row group at a time.
pub struct TableReader<R, T> {
    input: R,
    metadata: FileMetadataRef,
    /// The row group that comes next, and its first row.
    next: usize,
    row: usize,
    rows: PhantomData<T>,
}

impl<R: Read + Seek + MmapBytesReader, T: StoredRow> TableReader<R, T> {
    /// Begins to read.
    ///
    /// Errors: [`FeatureError`] when `input` cannot be read, or is not what a [`TableWriter`](super::TableWriter) wrote.
    pub fn new(mut input: R) -> Result<Self, FeatureError> {
        checksum::verify(&mut input)?;
        let metadata = Arc::clone(ParquetReader::new(&mut input).get_metadata()?);
        Ok(Self { input, metadata, next: 0, row: 0, rows: PhantomData })
    }

    /// How many rows the file has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.metadata.num_rows
    }

    /// Whether the file has no rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The rows of the next row group; `None` at the end.
    ///
    /// Errors: [`FeatureError`] when the file cannot be read or has other columns.
    pub fn next_group(&mut self) -> Result<Option<Vec<T>>, FeatureError> {
        let Some(group) = self.metadata.row_groups.get(self.next) else { return Ok(None) };
        let mut reader = ParquetReader::new(&mut self.input).with_slice(Some((self.row, group.num_rows())));
        reader.set_metadata(Arc::clone(&self.metadata));
        let rows = T::read(&reader.finish()?)?;
        self.next += 1;
        self.row += group.num_rows();
        Ok(Some(rows))
    }
}

impl StoredRow for ScoredEvent {
    fn read(frame: &DataFrame) -> Result<Vec<Self>, FeatureError> {
        let places = places(frame)?;
        let surprises = column(frame, "surprise", Column::f64)?;
        let events = events(frame)?;
        Ok(places
            .into_iter()
            .zip(events)
            .enumerate()
            .map(|(i, (place, event))| Self { place, event, surprise: surprises.get(i) })
            .collect())
    }
}

impl StoredRow for PlacedSample {
    fn read(frame: &DataFrame) -> Result<Vec<Self>, FeatureError> {
        let places = places(frame)?;
        let (name, namespace, workload) =
            (Text::of(frame, "name")?, Text::of(frame, "namespace")?, Text::of(frame, "workload")?);
        let pod = Text::of(frame, "pod")?;
        let (series, whole) = (column(frame, "series", Column::u64)?, column(frame, "wholePod", Column::bool)?);
        let (times, values) = (Times::of(frame, "timestamp")?, column(frame, "value", Column::f64)?);
        let row = |(i, place)| {
            let sample = MetricSample {
                name: name.untrusted(i)?,
                namespace: namespace.untrusted(i)?,
                workload: workload.untrusted(i)?,
                pod: pod.get(i).map(Untrusted::new),
                series: series.get(i).ok_or(FeatureError::Column("series"))?,
                whole_pod: whole.get(i).ok_or(FeatureError::Column("wholePod"))?,
                event_time: times.get(i)?,
                value: values.get(i).ok_or(FeatureError::Column("value"))?,
            };
            Ok(Self { place, sample })
        };
        places.into_iter().enumerate().map(row).collect()
    }
}

fn places(frame: &DataFrame) -> Result<Vec<LogPlace>, FeatureError> {
    let source = Text::of(frame, "source")?;
    let partition = column(frame, "partition", Column::i32)?;
    let (offset, item) = (column(frame, "offset", Column::u64)?, column(frame, "item", Column::u32)?);
    // One source a file is the rule, so its name is kept once.
    let mut name: Arc<str> = "".into();
    let place = |i| {
        let written = source.required(i)?;
        if *name != *written {
            name = written.into();
        }
        Ok(LogPlace {
            source: Arc::clone(&name),
            partition: partition.get(i).ok_or(FeatureError::Column("partition"))?,
            offset: offset.get(i).ok_or(FeatureError::Column("offset"))?,
            item: item.get(i).ok_or(FeatureError::Column("item"))?,
        })
    };
    (0..frame.height()).map(place).collect()
}

fn events(frame: &DataFrame) -> Result<Vec<AuditEvent>, FeatureError> {
    let text = |name| Text::of(frame, name);
    let (id, request, audit_id) = (text("id")?, text("request")?, text("auditID")?);
    let (level, stage, verb) = (text("level")?, text("stage")?, text("verb")?);
    let (uri, user, class) = (text("requestURI")?, text("user.username")?, text("user.class")?);
    let (impersonated, ip, agent) = (text("impersonatedUser.username")?, text("sourceIP")?, text("userAgent")?);
    let (group, resource, subresource) =
        (text("objectRef.apiGroup")?, text("objectRef.resource")?, text("objectRef.subresource")?);
    let (namespace, name) = (text("objectRef.namespace")?, text("objectRef.name")?);
    let code = column(frame, "responseStatus.code", Column::u32)?;
    let times = Times::of(frame, "requestReceivedTimestamp")?;
    let forbidden = column(frame, "forbidden", Column::bool)?;
    let (risks, accounts) = (Lists::of(frame, "risks")?, Lists::of(frame, "accounts")?);
    let event = |i| {
        let optional = |text: &Text<'_>| text.get(i).map(Untrusted::new);
        let code =
            code.get(i).map(u16::try_from).transpose().map_err(|_| FeatureError::Column("responseStatus.code"))?;
        Ok(AuditEvent {
            id: id.parsed(i)?,
            request: request.parsed(i)?,
            audit_id: audit_id.untrusted(i)?,
            stage: stage.word(i)?,
            level: level.word(i)?,
            event_time: times.get(i)?,
            actor: Actor {
                name: user.required(i)?.into(),
                class: class.word(i)?,
                impersonated: optional(&impersonated),
            },
            verb: verb.word(i)?,
            object: ObjectRef {
                group: group.untrusted(i)?,
                resource: resource.untrusted(i)?,
                subresource: optional(&subresource),
                namespace: optional(&namespace),
                name: optional(&name),
            },
            request_uri: uri.untrusted(i)?,
            source_ip: optional(&ip),
            user_agent: optional(&agent),
            code,
            forbidden: forbidden.get(i).ok_or(FeatureError::Column("forbidden"))?,
            risk: match risks.get(i)? {
                None => RiskFlags::UNKNOWN,
                Some(words) => words
                    .iter()
                    .try_fold(RiskFlags::observed(), |flags, word| named(word, "risks").map(|risk| flags.with(risk)))?,
            },
            accounts: accounts.get(i)?.unwrap_or_default().into_iter().map(Untrusted::new).collect(),
        })
    };
    (0..frame.height()).map(event).collect()
}

/// The column `name`, if it is of the type that `typed` asks for.
fn column<'a, T>(
    frame: &'a DataFrame,
    name: &'static str,
    typed: fn(&'a Column) -> PolarsResult<&'a T>,
) -> Result<&'a T, FeatureError> {
    frame.column(name).and_then(typed).map_err(|_| FeatureError::Column(name))
}

fn named<T: for<'de> Deserialize<'de>>(word: &str, column: &'static str) -> Result<T, FeatureError> {
    let word: serde::de::value::StrDeserializer<'_, serde::de::value::Error> = word.into_deserializer();
    T::deserialize(word).map_err(|_| FeatureError::Column(column))
}

/// A column of text.
struct Text<'a> {
    name: &'static str,
    values: &'a StringChunked,
}

impl<'a> Text<'a> {
    fn of(frame: &'a DataFrame, name: &'static str) -> Result<Self, FeatureError> {
        Ok(Self { name, values: column(frame, name, Column::str)? })
    }

    fn get(&self, row: usize) -> Option<&'a str> {
        self.values.get(row)
    }

    fn required(&self, row: usize) -> Result<&'a str, FeatureError> {
        self.get(row).ok_or(FeatureError::Column(self.name))
    }

    fn untrusted(&self, row: usize) -> Result<Untrusted, FeatureError> {
        self.required(row).map(Untrusted::new)
    }

    /// The id that stands there.
    fn parsed<T: std::str::FromStr>(&self, row: usize) -> Result<T, FeatureError> {
        self.required(row)?.parse().map_err(|_| FeatureError::Column(self.name))
    }

    /// The member of a closed set that stands there.
    fn word<T: for<'de> Deserialize<'de>>(&self, row: usize) -> Result<T, FeatureError> {
        named(self.required(row)?, self.name)
    }
}

/// A column of times.
struct Times {
    name: &'static str,
    micros: Int64Chunked,
}

impl Times {
    fn of(frame: &DataFrame, name: &'static str) -> Result<Self, FeatureError> {
        let wrong = |_| FeatureError::Column(name);
        let column = frame.column(name).map_err(wrong)?;
        if !matches!(column.dtype(), DataType::Datetime(TimeUnit::Microseconds, _)) {
            return Err(FeatureError::Column(name));
        }
        Ok(Self { name, micros: column.to_physical_repr().i64().map_err(wrong)?.clone() })
    }

    fn get(&self, row: usize) -> Result<Timestamp, FeatureError> {
        self.micros.get(row).map(Timestamp::from_micros).ok_or(FeatureError::Column(self.name))
    }
}

/// A column of lists of text.
struct Lists<'a> {
    name: &'static str,
    lists: &'a ListChunked,
    lengths: Vec<Option<u32>>,
}

impl<'a> Lists<'a> {
    fn of(frame: &'a DataFrame, name: &'static str) -> Result<Self, FeatureError> {
        let lists = column(frame, name, Column::list)?;
        Ok(Self { name, lists, lengths: lists.lst_lengths().iter().collect() })
    }

    /// The list of a row; most are empty and cost nothing.
    fn get(&self, row: usize) -> Result<Option<Vec<String>>, FeatureError> {
        match self.lengths.get(row) {
            None | Some(None) => Ok(None),
            Some(Some(0)) => Ok(Some(Vec::new())),
            Some(Some(_)) => {
                let Some(list) = self.lists.get_as_series(row) else { return Ok(None) };
                let texts = list.str().map_err(|_| FeatureError::Column(self.name))?;
                Ok(Some(texts.iter().flatten().map(str::to_owned).collect()))
            }
        }
    }
}
