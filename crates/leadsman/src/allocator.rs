//! How the C library's allocator gives memory back.

#![cfg_attr(
    all(target_os = "linux", target_env = "gnu"),
    expect(unsafe_code, reason = "one call into the C library, which keeps no reference")
)]

/// From this size on, in bytes, an allocation is a mapping of its own, which goes back to the system when it is freed.
///
/// What Kafka sends at once is received into less: as mappings of their own, a fifth of all time went into pages that the
/// system had to empty (docs/adr/0012).
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const OWN_MAPPING: libc::c_int = 4 << 20;

/// So many free bytes stay at the end of each arena. The default of 128 KiB would give each buffer back when it is free.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const KEPT: libc::c_int = 8 << 20;

/// Very large allocations go back to the system when they are freed.
///
/// glibc raises its threshold with each large allocation that is freed, up to 32 MiB, and keeps the rest in an arena for
/// each thread: tables of requests that grow, and states that are written down, left holes in all of them, so that 363 MB
/// were held where 144 were in use. Other C libraries do as they do.
pub fn give_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: each takes two numbers, and may be called at any time; a refusal leaves the default, which works.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, OWN_MAPPING);
        libc::mallopt(libc::M_TRIM_THRESHOLD, KEPT);
    }
}
