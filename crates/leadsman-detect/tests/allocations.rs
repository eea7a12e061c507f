//! Matching rules takes no heap memory.
#![expect(unsafe_code, reason = "an allocator that counts")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use leadsman_decode::{DecodeContext, Limits, record};
use leadsman_detect::rules::{RuleSet, SHIPPED};
use leadsman_domain::{AuditEvent, PayloadKind, RawRecord};
use leadsman_sim::{Payload, SimConfig, Simulation};

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
fn matching_rules_allocates_nothing() {
    let config = SimConfig { days: 1, ..SimConfig::default() };
    let events: Vec<AuditEvent> = Simulation::new(&config)
        .expect("a day of the default cluster")
        .filter_map(|item| match item.payload {
            Payload::Audit(bytes) => {
                let raw =
                    RawRecord { offset: 0, received_at: item.time, kind: PayloadKind::K8sAudit, bytes: bytes.into() };
                Some(record(&DecodeContext::default(), &Limits::default(), &raw).events)
            }
            Payload::Metric(_) => None,
        })
        .flatten()
        .collect();
    let rules = RuleSet::compile(&[SHIPPED]).expect("the built-in rules");
    let hits = || events.iter().map(|e| rules.matching(e).count()).sum::<usize>();
    // Expressions make their caches at first use.
    let warm = hits();
    assert!(warm > 0);
    let before = COUNT.get();
    assert_eq!(hits(), warm);
    assert_eq!(COUNT.get() - before, 0);
    assert!(RuleSet::compile(&[SHIPPED]).is_ok() && COUNT.get() > before, "the counter counts");
}
