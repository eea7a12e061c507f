//! Reading an envelope takes no heap memory, unescaping takes none once its room is large enough, and looking at the
//! lines of a file takes none per event.
#![expect(unsafe_code, reason = "an allocator that counts")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use leadsman_decode::envelope::{Field, Kernel};
use leadsman_decode::{AuditScanner, DecodeContext, Envelope, Limits, Memory, Part};
use leadsman_domain::Timestamp;

struct Counting;

thread_local! {
    static COUNT: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: everything is passed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.set(COUNT.get() + 1);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn reading_events_allocates_nothing() {
    let event = |n: usize| {
        format!(
            r#"{{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Request","auditID":"{n}","stage":"ResponseComplete","requestURI":"/api/v1/pods?a=1\u0026b=2","verb":"list","user":{{"username":"jane","groups":["a","b"],"extra":{{"x":["y"]}}}},"sourceIPs":["::1"],"objectRef":{{"resource":"pods"}},"responseStatus":{{"metadata":{{}},"code":200}},"requestObject":{{"a":[{}]}},"requestReceivedTimestamp":"2026-03-02T10:00:00.000001Z"}}"#,
            "1,".repeat(n) + "1"
        )
    };
    let events: Vec<String> = (0..1_000).map(event).collect();
    let kernels = Kernel::all();
    let mut room = Vec::with_capacity(1_000);
    let mut read = || {
        let mut length = 0;
        for kernel in &kernels {
            for event in &events {
                let envelope = kernel.read(event.as_bytes(), 128).expect("an event of the API server");
                if let Field::Given(uri) = envelope.request_uri {
                    length += uri.get_in(&mut room).map_or(0, str::len);
                }
            }
        }
        length
    };
    let warm = read();
    let before = COUNT.get();
    assert_eq!(read(), warm);
    assert_eq!(COUNT.get() - before, 0);
    assert!(Envelope::plain(&events[0]).is_ok() && COUNT.get() > before, "the counter counts");
}

#[test]
fn looking_at_events_allocates_nothing_per_event() {
    let pod = r#"{"kind":"Pod","metadata":{"name":"a"},"spec":{"containers":[{"securityContext":{"privileged":true,"capabilities":{"add":["NET_RAW"]}}}]}}"#;
    let line = |n: usize| {
        let (verb, resource) = [("create", "pods"), ("get", "secrets"), ("create", "configmaps")][n % 3];
        format!(
            r#"{{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"RequestResponse","auditID":"{n}","stage":"ResponseComplete","requestURI":"/api/v1/{resource}?a=1\u0026b=2","verb":"{verb}","user":{{"username":"j\u0061ne"}},"objectRef":{{"resource":"{resource}"}},"requestObject":{pod},"responseObject":{pod},"requestReceivedTimestamp":"2026-03-02T10:00:00.000001Z"}}
"#
        )
    };
    let far = Timestamp::from_micros(i64::MAX / 2);
    let count = |events: usize| {
        let text: String = (0..events).map(line).collect();
        let (context, limits) = (DecodeContext::default(), Limits::default());
        let mut scanner = AuditScanner::new(text.as_bytes(), context.clone(), limits, far).expect("memory can be read");
        let (mut memory, mut seen) = (Memory::default(), 0);
        let before = COUNT.get();
        while let Some(part) = scanner.next(memory, &mut |_| seen += 1).expect("memory can be read") {
            memory = match part {
                Part::Read(_) => Memory::default(),
                Part::Lines(block) => {
                    assert_eq!(block.read(&context, &limits, far, &mut |_| seen += 1).rejects, []);
                    block.into_memory()
                }
            };
        }
        assert_eq!(seen, events);
        COUNT.get() - before
    };
    // A block of lines costs the same few allocations however many they are: here one and five blocks.
    let (few, many) = (count(100), count(1_500));
    assert!(many < few + 40, "{few} allocations for 100 events, {many} for 1500");
}
