//! Named points of the commit path at which a test build can be killed.
//!
//! Without the feature `failpoints` a point is nothing at all. With it, `arm` chooses one of them and how often it is
//! passed before the process gets SIGKILL there: no destructor runs and nothing is flushed, as when the machine's
//! memory runs out. A library for this exists (`fail`), but it cannot kill and has seen no release for years.

/// A point that a test build can be killed at.
#[cfg(not(feature = "failpoints"))]
#[inline(always)]
pub fn reach(_name: &'static str) {}

#[cfg(feature = "failpoints")]
pub use armed::{arm, reach};

#[cfg(feature = "failpoints")]
mod armed {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    struct Plan {
        name: String,
        passes: AtomicU64,
    }

    static PLAN: OnceLock<Plan> = OnceLock::new();

    /// Chooses where to die: `name:n` is the n-th pass of `name`, from 1. `false` when it is not written so.
    #[must_use]
    pub fn arm(plan: &str) -> bool {
        let Some((name, passes)) = plan.split_once(':') else { return false };
        let Ok(passes) = passes.parse() else { return false };
        PLAN.set(Plan { name: name.to_owned(), passes: AtomicU64::new(passes) }).is_ok()
    }

    /// A point that a test build can be killed at.
    pub fn reach(name: &'static str) {
        let Some(plan) = PLAN.get().filter(|plan| plan.name == name) else { return };
        if plan.passes.fetch_sub(1, Ordering::SeqCst) != 1 {
            return;
        }
        let own = std::process::id().to_string();
        // Whether the command works is seen by whether this process ends.
        drop(std::process::Command::new("kill").args(["-KILL", &own]).status());
        loop {
            // This thread never passes the point, however long the signal takes.
            std::thread::park();
        }
    }
}
