//! Places where the test build can be killed, to prove that a crash anywhere loses nothing.
//!
//! Promise: in a build without debug assertions a point is nothing. In a test build every point counts
//! one; with `HARNESS_HOST_CRASH_TRACE=FILE` its name is written down, and at the point number
//! `HARNESS_HOST_CRASH_AT` (from 1) the process kills itself with SIGKILL, as a power button would.

/// Every point there is. A sweep fails when one of them is never reached.
pub const POINTS: &[&str] = &[
    "commit.before",
    "commit.after",
    "command.start",
    "command.end",
    "put.stage.before",
    "put.stage.after",
    "put.rename.before",
    "put.rename.after",
    "put.remove.before",
    "put.remove.after",
    "put.end",
];

/// Passes a point; its name is one of [`POINTS`].
#[inline]
pub fn point(name: &'static str) {
    #[cfg(debug_assertions)]
    armed::pass(name);
    #[cfg(not(debug_assertions))]
    let _ = name;
}

#[cfg(debug_assertions)]
mod armed {
    use std::io::Write;
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    struct Plan {
        crash_at: Option<u64>,
        trace: Option<std::fs::File>,
    }

    static PLAN: OnceLock<Plan> = OnceLock::new();
    static PASSED: AtomicU64 = AtomicU64::new(0);

    pub(super) fn pass(name: &'static str) {
        debug_assert!(super::POINTS.contains(&name), "crash point {name} is not in the list");
        let plan = PLAN.get_or_init(|| Plan {
            crash_at: std::env::var("HARNESS_HOST_CRASH_AT").ok().and_then(|text| text.parse().ok()),
            trace: std::env::var_os("HARNESS_HOST_CRASH_TRACE")
                .and_then(|path| std::fs::OpenOptions::new().create(true).append(true).open(path).ok()),
        });
        if plan.crash_at.is_none() && plan.trace.is_none() {
            return;
        }
        let number = PASSED.fetch_add(1, Ordering::SeqCst) + 1;
        if let Some(mut trace) = plan.trace.as_ref() {
            let _ = trace.write_all(format!("{name}\n").as_bytes());
        }
        if plan.crash_at == Some(number) {
            // SAFETY: kill() has no memory effects; SIGKILL of ourselves does not return.
            unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
        }
    }
}
