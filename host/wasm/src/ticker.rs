//! The one clock of an engine: moves its epoch on while calls run, and looks for calls that hang.
//!
//! Promise: one thread per engine, ticking every [`EPOCH_MS`]; it sleeps without waking up while
//! nothing runs, and ends with the engine.
//!
//! Not here: what a tick does to a guest (`call`), what becomes of a hung thread (`threads`).

use crate::limits::EPOCH_MS;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;
use wasmtime::EngineWeak;

/// Ticks without a call before the ticker sleeps: waking it costs a caller more than these cost us.
const IDLE_TICKS_MAX: u32 = 100;

/// Keeps the ticker going: shared by it, by every running call and by the runtime.
#[derive(Debug, Default)]
pub(crate) struct Pulse {
    running: AtomicUsize,
    asleep: AtomicBool,
    closed: AtomicBool,
    lock: Mutex<()>,
    wake: Condvar,
}

/// As long as it lives the epoch moves on.
#[derive(Debug)]
pub(crate) struct Running(Arc<Pulse>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Pulse {
    /// A call runs from now on.
    pub(crate) fn run(self: &Arc<Self>) -> Running {
        self.running.fetch_add(1, Ordering::SeqCst);
        if self.asleep.load(Ordering::SeqCst) {
            self.wake_up();
        }
        Running(self.clone())
    }

    /// Ends the ticker.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        self.wake_up();
    }

    fn wake_up(&self) {
        let _guard = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        self.wake.notify_all();
    }

    fn sleep_until_running(&self) {
        let mut guard = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        self.asleep.store(true, Ordering::SeqCst);
        while self.running.load(Ordering::SeqCst) == 0 && !self.closed.load(Ordering::SeqCst) {
            guard = self.wake.wait(guard).unwrap_or_else(PoisonError::into_inner);
        }
        self.asleep.store(false, Ordering::SeqCst);
    }
}

/// Starts the thread. `look` is called at every tick and says whether there is still somebody to look after.
pub(crate) fn start(
    engine: EngineWeak,
    pulse: Arc<Pulse>,
    mut look: impl FnMut() -> bool + Send + 'static,
) -> std::io::Result<()> {
    let tick = move || {
        let mut idle = 0;
        while !pulse.closed.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(EPOCH_MS));
            let Some(engine) = engine.upgrade() else { return };
            engine.increment_epoch();
            drop(engine);
            if !look() {
                return;
            }
            idle = if pulse.running.load(Ordering::SeqCst) == 0 { idle + 1 } else { 0 };
            if idle > IDLE_TICKS_MAX {
                pulse.sleep_until_running();
                idle = 0;
            }
        }
    };
    std::thread::Builder::new().name("wasm-epoch".to_owned()).spawn(tick).map(drop)
}
