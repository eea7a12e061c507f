//! From cut-out bytes to events, samples and rejects.

use std::sync::LazyLock;
use std::time::Duration;

use leadsman_domain::{
    AuditEvent, Decoded, FlowEvent, Format, Reject, RejectReason, RuntimeEvent, SkipReason, Timestamp,
};
use memchr::memmem::Finder;

use crate::batch::Found;
use crate::canonical;
use crate::envelope::{Envelope, Kernel, Room};
use crate::event;
use crate::formats::{self, Document};
use crate::json;
use crate::line::{Item, RawItem};
use crate::list;
use crate::memo::DecodeMemo;
use crate::metric;
use crate::redact::{self, RedactionKey};
use crate::refusal::Refusal;
use crate::split::{Piece, Splitter};
use crate::view::EventView;
use crate::{DecodeContext, Limits};

/// Most bytes of a refused item that a reject carries.
pub const PAYLOAD_CAP: usize = 4 << 10;
/// Bytes behind the cap that are looked at, so that a secret is not cut beyond recognition.
const MARGIN: usize = 1 << 10;
/// Most rejects of one record or line: `[1,1,1,…` must not become a reject per byte.
const MAX_REJECTS: usize = 1_000;
/// How far a clock may be ahead of ours. Well below the allowed lateness of five minutes: an event from the future
/// moves the watermark, and must not make what arrives in time late.
const FUTURE_BOUND: Duration = Duration::from_secs(120);

/// The key of a list. Building a search takes longer than most searches.
static ITEMS: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\"items\""));

/// What the items are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Telemetry in JSON of any format, audit events above all.
    Audit,
    /// Metric samples, one per line.
    Metric,
}

/// What decoding works under.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terms<'a> {
    pub(crate) ctx: &'a DecodeContext,
    pub(crate) limits: &'a Limits,
    pub(crate) received_at: Timestamp,
    /// How many wrappings are around the current item.
    pub(crate) depth: usize,
    /// Whether the input is a file that somebody named, and not a live source.
    pub(crate) from_file: bool,
}

impl Terms<'_> {
    /// Refuses times that were never set.
    pub(crate) fn after_1970(&self, time: Timestamp, field: &'static str) -> Result<Timestamp, Refusal> {
        if time < Timestamp::default() { Err(Refusal::invalid(field, "after 1970")) } else { Ok(time) }
    }

    /// Refuses times that a correct clock cannot have written.
    pub(crate) fn plausible(&self, time: Timestamp) -> Result<(), Refusal> {
        if time > self.received_at.plus(FUTURE_BOUND) {
            return Err(Refusal::new(RejectReason::FutureEventTime, "more than two minutes after it was received"));
        }
        Ok(())
    }
}

/// Whether the items of the current list are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum List {
    Taken,
    Refused,
}

/// Gathers what a record or a file holds.
pub(crate) struct Collector<'w> {
    key: Option<RedactionKey>,
    decoded: Decoded,
    /// Items seen so far, refused ones included.
    items: u64,
    pub(crate) list: List,
    /// Where the rejects of the current record or line begin.
    first_reject: usize,
    dropped: Option<Reject>,
    dropped_count: u64,
    /// Bytes inflated from wrappings in the current record or step.
    pub(crate) inflated: u64,
    /// Who is shown audit events, which then are not gathered.
    watcher: Option<Watcher<'w>>,
    /// Memory for the texts of an event that are not written as they mean.
    room: Vec<u8>,
    /// Memory for several texts of an event in one.
    joined: Vec<u8>,
    /// What came before.
    pub(crate) memo: DecodeMemo,
}

/// Is shown each audit event.
pub(crate) type Watcher<'w> = &'w mut dyn FnMut(&EventView<'_>);

impl<'w> Collector<'w> {
    /// Gathers everything but audit events, which `watcher` is shown.
    pub(crate) fn watched(ctx: &DecodeContext, watcher: Watcher<'w>) -> Self {
        Self { watcher: Some(watcher), ..Self::new(ctx) }
    }

    pub(crate) fn new(ctx: &DecodeContext) -> Self {
        Self {
            key: ctx.redaction_key,
            decoded: Decoded::default(),
            items: 0,
            list: List::Taken,
            first_reject: 0,
            dropped: None,
            dropped_count: 0,
            inflated: 0,
            watcher: None,
            room: Vec::new(),
            joined: Vec::new(),
            memo: DecodeMemo::default(),
        }
    }

    /// Makes room for so many audit events.
    pub(crate) fn reserve(&mut self, events: usize) {
        self.decoded.events.reserve(events);
    }

    /// The size of the longest list gathered.
    pub(crate) fn largest(&self) -> usize {
        let Decoded { events, samples, runtime, flows, rejects, .. } = &self.decoded;
        [events.len(), samples.len(), runtime.len(), flows.len(), rejects.len()].into_iter().fold(0, usize::max)
    }

    /// How much was gathered so far.
    pub(crate) fn found(&self) -> Found {
        let Decoded { events, samples, rejects, .. } = &self.decoded;
        Found { events: events.len(), samples: samples.len(), rejects: rejects.len() }
    }

    /// Begins a record: its items count from 0.
    pub(crate) fn begin_record(&mut self) {
        self.items = 0;
        self.list = List::Taken;
    }

    /// Ends one record or one step over a file: the bound on rejects starts anew.
    pub(crate) fn flush(&mut self) {
        if let Some(mut last) = self.dropped.take() {
            last.detail =
                format!("{} more items refused after {MAX_REJECTS}, the first: {}", self.dropped_count, last.detail);
            self.decoded.rejects.push(last);
        }
        self.dropped_count = 0;
        self.inflated = 0;
        self.first_reject = self.decoded.rejects.len();
    }

    /// Everything gathered since the last call.
    pub(crate) fn take(&mut self) -> Decoded {
        self.flush();
        self.first_reject = 0;
        std::mem::take(&mut self.decoded)
    }

    /// Records a refused item that began on `line`.
    pub(crate) fn reject(&mut self, line: u64, refusal: Refusal, bytes: &[u8]) {
        let item = self.items;
        self.items += 1;
        let full = self.decoded.rejects.len() - self.first_reject >= MAX_REJECTS;
        if full {
            self.dropped_count += 1;
            if self.dropped.is_some() {
                return;
            }
        }
        let payload = self.payload_of(bytes);
        let reject = Reject { item, line, reason: refusal.reason, detail: refusal.detail.into_owned(), payload };
        if full {
            self.dropped = Some(reject);
        } else {
            self.decoded.rejects.push(reject);
        }
    }

    /// The beginning of refused bytes, without secrets.
    fn payload_of(&self, bytes: &[u8]) -> Vec<u8> {
        let Some(head) = bytes.get(..PAYLOAD_CAP + MARGIN).filter(|_| bytes.len() > PAYLOAD_CAP + MARGIN) else {
            let mut payload = redact::bytes(bytes, self.key.as_ref()).into_owned();
            payload.truncate(PAYLOAD_CAP);
            return payload;
        };
        // A secret that the cut goes through may not be told as one: the margin is not kept.
        let mut payload = redact::bytes(head, self.key.as_ref()).into_owned();
        payload.truncate(payload.len().saturating_sub(MARGIN).min(PAYLOAD_CAP));
        payload
    }

    /// Records a sample in JSON.
    pub(crate) fn sample(&mut self, sample: leadsman_domain::MetricSample, format: Format) {
        self.format(format);
        self.remote_sample(sample);
    }

    /// Records the samples of a remote-write request.
    pub(crate) fn remote_sample(&mut self, mut sample: leadsman_domain::MetricSample) {
        redact::sample(&mut sample, self.key.as_ref());
        self.items += 1;
        self.decoded.samples.push(sample);
    }

    /// Records something valid that is no telemetry.
    pub(crate) fn skip(&mut self, reason: SkipReason) {
        self.items += 1;
        self.decoded.skipped.add(reason, 1);
    }

    /// Counts a format.
    pub(crate) fn format(&mut self, format: Format) {
        self.decoded.formats.add(format, 1);
    }

    /// How many items were accounted for: taken, refused or skipped.
    pub(crate) fn accounted(&self) -> u64 {
        self.items
    }

    /// Records an event that was put together from a document of another format.
    pub(crate) fn audit(&mut self, document: Document<'_>, json: &str, format: Format) {
        if let Err(refusal) = self.plain(json, document.terms, format) {
            self.reject(document.line, refusal, document.json.as_bytes());
        }
    }

    /// Records what a runtime-security tool saw.
    pub(crate) fn runtime(&mut self, document: Document<'_>, event: Result<(Format, RuntimeEvent), Refusal>) {
        match event.and_then(|(format, e)| document.terms.plausible(e.event_time).map(|()| (format, e))) {
            Ok((format, mut event)) => {
                redact::runtime(&mut event, self.key.as_ref());
                self.format(format);
                self.items += 1;
                self.decoded.runtime.push(event);
            }
            Err(refusal) => self.reject(document.line, refusal, document.json.as_bytes()),
        }
    }

    /// Records a flow.
    pub(crate) fn flow(&mut self, document: Document<'_>, flow: Result<FlowEvent, Refusal>, format: Format) {
        match flow.and_then(|flow| document.terms.plausible(flow.event_time).map(|()| flow)) {
            Ok(mut flow) => {
                redact::flow(&mut flow, self.key.as_ref());
                self.format(format);
                self.items += 1;
                self.decoded.flows.push(flow);
            }
            Err(refusal) => self.reject(document.line, refusal, document.json.as_bytes()),
        }
    }

    /// One whole line.
    pub(crate) fn line(&mut self, shape: Shape, item: Item<'_>, terms: Terms<'_>) {
        match shape {
            Shape::Audit => self.document(item, terms),
            Shape::Metric => match metric::sample(item.bytes, terms) {
                Ok(sample) => self.sample(sample, Format::MetricJson),
                Err(refusal) => self.reject(item.line, refusal, item.bytes),
            },
        }
    }

    /// One whole document: of any format, a list or an array.
    pub(crate) fn document(&mut self, item: Item<'_>, terms: Terms<'_>) {
        // Most documents are the API server's own events: only what is none pays for telling what else it is.
        if !self.quick(item.bytes, terms) {
            self.unusual(item, terms);
        }
    }

    /// One whole document that [`Self::quick`] left.
    pub(crate) fn unusual(&mut self, item: Item<'_>, terms: Terms<'_>) {
        if let Some(events) = list::items(item.bytes, terms.limits.max_item_bytes) {
            self.format(Format::AuditEventList);
            for bytes in events {
                if !self.quick(bytes, terms) {
                    self.other(Item { line: item.line, bytes }, terms);
                }
            }
            return;
        }
        let is_list = match item.bytes.trim_ascii_start().first() {
            Some(b'[') => true,
            Some(b'{') => ITEMS.find(item.bytes).is_some(),
            _ => false,
        };
        if !is_list {
            return self.other(item, terms);
        }
        let mut pieces = Vec::new();
        let mut splitter = Splitter::new(terms.limits.max_item_bytes, item.line);
        splitter.feed(item.bytes, &mut pieces);
        splitter.finish(&mut pieces);
        // The header may stand behind the items; with the whole list at hand it is asked first.
        let closed = pieces.iter().find_map(|p| if let Piece::ListClosed(h) = p { Some(h.clone()) } else { None });
        let opened = pieces.iter_mut().find(|p| matches!(p, Piece::ListOpened(_)));
        if let (Some(opened), Some(header)) = (opened, closed) {
            *opened = Piece::ListOpened(header);
        }
        // The document may be wrapped in an item of another list.
        let outer = self.list;
        self.pieces(pieces, terms);
        self.list = outer;
    }

    /// What a splitter cut out, in order.
    pub(crate) fn pieces(&mut self, pieces: Vec<Piece>, terms: Terms<'_>) {
        for piece in pieces {
            match piece {
                Piece::Opened => self.list = List::Taken,
                Piece::Item(_) | Piece::TooLarge(_) | Piece::CutOff(_) if self.list == List::Refused => {}
                Piece::Item(item) | Piece::Object(item) => {
                    if !self.quick(&item.bytes, terms) {
                        self.other(item.borrowed(), terms);
                    }
                }
                Piece::TooLarge(head) => {
                    self.reject(head.line, Refusal::too_large(terms.limits.max_item_bytes), &head.bytes);
                }
                Piece::ListOpened(header) => self.open_list(&header, terms),
                Piece::ListClosed(header) => self.close_list(&header, terms),
                Piece::CutOff(part) | Piece::Junk(part) => {
                    let refusal = match json::checked(&part.bytes, terms.limits.max_depth) {
                        Err(refusal) => refusal,
                        Ok(_) => Refusal::new(RejectReason::MalformedJson, "not a complete JSON document"),
                    };
                    self.reject(part.line, refusal, &part.bytes);
                }
            }
        }
    }

    /// Takes an event of the form that the API server writes; `false` says only that [`Self::other`] decides and
    /// explains, and nothing was taken.
    pub(crate) fn quick(&mut self, bytes: &[u8], terms: Terms<'_>) -> bool {
        let mut envelope = Envelope::default();
        Kernel::best().read_into(&mut envelope, bytes, terms.limits.max_depth)
            && self.envelope(&envelope, bytes.len(), terms, Format::AuditEvent).is_ok()
    }

    /// An item that [`Self::quick`] left.
    fn other(&mut self, item: Item<'_>, terms: Terms<'_>) {
        let json = match json::checked(item.bytes, terms.limits.max_depth) {
            Ok(json) => json,
            Err(refusal) => return self.reject(item.line, refusal, item.bytes),
        };
        let document = Document { json, line: item.line, terms };
        if canonical::is_event(item.bytes) {
            return canonical::decode(document, self);
        }
        let refusal = match self.plain(json, terms, Format::AuditEvent) {
            Ok(()) => return,
            Err(refusal) => refusal,
        };
        let is_object = json.trim_start().starts_with('{');
        let taken = match refusal.reason {
            RejectReason::UnknownShape if is_object => formats::decode(document, self),
            RejectReason::UnknownShape | RejectReason::MalformedJson => self.not_a_document(item, json, terms),
            RejectReason::InvalidUtf8
            | RejectReason::TooLarge
            | RejectReason::TooDeep
            | RejectReason::UnknownApiVersion
            | RejectReason::MissingField
            | RejectReason::InvalidField
            | RejectReason::Decompression
            | RejectReason::MalformedProtobuf
            | RejectReason::FutureEventTime
            | RejectReason::MalformedBase64
            | RejectReason::TooNested => false,
        };
        if !taken {
            self.reject(item.line, refusal, item.bytes);
        }
    }

    fn plain(&mut self, json: &str, terms: Terms<'_>, format: Format) -> Result<(), Refusal> {
        let envelope = Envelope::plain(json).map_err(|e| Refusal::json(&e, "not a JSON object"))?;
        self.envelope(&envelope, json.len(), terms, format)
    }

    /// Takes the event of an envelope whose JSON has `length` bytes.
    fn envelope(
        &mut self,
        envelope: &Envelope<'_>,
        length: usize,
        terms: Terms<'_>,
        format: Format,
    ) -> Result<(), Refusal> {
        let mut memory = std::mem::take(&mut self.room);
        let mut room = Room::new(&mut memory, length);
        let event = event::check(terms.ctx, envelope, &mut room)
            .and_then(|event| terms.plausible(event.event_time).map(|()| event));
        let taken = event.and_then(|event| {
            match &mut self.watcher {
                Some(watcher) => {
                    watcher(&EventView::from(&event));
                    self.format(format);
                    self.items += 1;
                }
                None => {
                    let recurring = self.memo.recall(&event);
                    let is_clean = recurring.is_clean;
                    let event = event.owned(terms.ctx, &mut room, recurring, &mut self.joined)?;
                    self.push(event, is_clean, format);
                }
            }
            Ok(())
        });
        self.room = memory;
        taken
    }

    /// Records an audit event; `recurring_clean` as in [`redact::event`].
    pub(crate) fn push(&mut self, mut event: AuditEvent, recurring_clean: bool, format: Format) {
        redact::event(&mut event, recurring_clean, self.key.as_ref(), &mut self.joined);
        self.format(format);
        self.items += 1;
        match &mut self.watcher {
            Some(watcher) => watcher(&EventView::from(&event)),
            None => self.decoded.events.push(event),
        }
    }

    /// A list whose header names another kind or version is refused once, not per item.
    fn open_list(&mut self, header: &RawItem, terms: Terms<'_>) {
        self.list = List::Taken;
        if let Err(refusal) = list_header(&header.bytes, terms) {
            self.list = List::Refused;
            self.reject(header.line, refusal, &header.bytes);
        } else {
            self.format(Format::AuditEventList);
        }
    }

    /// What follows `items` must at least be JSON; a header refused at the beginning is not refused twice.
    fn close_list(&mut self, header: &RawItem, terms: Terms<'_>) {
        let refused = std::mem::replace(&mut self.list, List::Taken) == List::Refused;
        match list_header(&header.bytes, terms) {
            Err(refusal) if !refused => self.reject(header.line, refusal, &header.bytes),
            Err(_) | Ok(()) => {}
        }
    }
}

fn list_header(bytes: &[u8], terms: Terms<'_>) -> Result<(), Refusal> {
    let json = json::checked(bytes, terms.limits.max_depth)?;
    let header = Envelope::plain(json).map_err(|e| Refusal::json(&e, "the list is not an object"))?;
    let mut memory = Vec::new();
    let mut room = Room::new(&mut memory, json.len());
    match event::optional(header.kind, "kind", &mut room)? {
        None | Some("EventList") => event::api_version(header.api_version, &mut room).map(|_| ()),
        Some(_) => Err(Refusal::new(RejectReason::UnknownShape, "kind of a list is not EventList")),
    }
}
