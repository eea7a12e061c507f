//! Reading envelopes takes no memory.
#![expect(unsafe_code, reason = "an allocator that counts")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use leadsman_decode::{Envelope, Limits, Value};

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: everything is passed on to the system's allocator; the counter itself takes no memory.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

fn allocations(work: impl FnOnce()) -> usize {
    let before = ALLOCATIONS.get();
    work();
    ALLOCATIONS.get() - before
}

#[test]
fn reading_an_envelope_takes_no_memory() {
    let event = |body: &str| {
        format!(
            r#"{{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Request","auditID":"1","stage":"ResponseComplete","requestURI":"/api?a\u0026b","verb":"create","user":{{"username":"jane","groups":["dev","ops"]}},"sourceIPs":["10.0.0.7"],"userAgent":"k \"v\"","responseStatus":{{"metadata":{{}},"code":201}},"requestObject":{body},"stageTimestamp":"2026-03-02T10:00:00Z"}}"#
        )
    };
    let events: Vec<String> =
        (0..1_000).map(|n| event(&format!("{{\"items\":[{}0]}}", "[1,\"é\"],".repeat(n)))).collect();
    let limits = Limits::default();
    // the first call looks which vectors the processor has
    assert!(Envelope::read(events[0].as_bytes(), &limits).is_some());
    let mut read = 0;
    let taken = allocations(|| read = events.iter().filter_map(|e| Envelope::read(e.as_bytes(), &limits)).count());
    assert_eq!((read, taken), (events.len(), 0));
}

#[test]
fn the_count_can_fail() {
    // a string with escapes takes memory when its text is asked for
    assert_eq!(allocations(|| assert!(Value::Text("a").text().is_some())), 0);
    assert!(allocations(|| assert!(Value::Escaped(r#""a\"b""#).text().is_some())) > 0);
}
