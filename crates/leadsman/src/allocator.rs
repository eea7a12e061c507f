//! How the C library's allocator gives memory back.

#![cfg_attr(
    all(target_os = "linux", target_env = "gnu"),
    expect(unsafe_code, reason = "one call into the C library, which keeps no reference")
)]

/// From this size on, in bytes, an allocation is a mapping of its own, which goes back to the system when it is freed.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const OWN_MAPPING: libc::c_int = 256 << 10;

/// Large allocations go back to the system when they are freed.
///
/// glibc raises its threshold with each large allocation that is freed, up to 32 MiB, and keeps the rest in an arena for
/// each thread: tables of requests that grow, and states that are written down, left holes in all of them, so that 363 MB
/// were held where 144 were in use. Other C libraries do as they do.
pub fn give_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: takes two numbers, and may be called at any time; a refusal leaves the default, which works.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, OWN_MAPPING);
    }
}
