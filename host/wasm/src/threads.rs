//! The threads that run guests: a bounded number of our own, each running several calls at once.
//!
//! Promise: no guest runs on anybody else's thread. A call that computes gives way at every epoch, so
//! it starves neither its thread's other calls nor its callers. A call that hangs in the operating
//! system past its deadline is answered for, and its thread is counted as lost and replaced: at once, or,
//! where too many are lost, as soon as one of them comes back. While there is no thread at all, every call
//! is answered with a fault. Dropping a call's future ends the call.
//!
//! Not here: what a call does (`call`).

use crate::limits::{CALLS_MAX, GRACE_MS, GUESTS_PER_THREAD_MAX, THREADS_LOST_MAX, THREADS_MAX};
use crate::ticker::Pulse;
use harness_core::Outcome;
use harness_core::outcome::LimitName;
use harness_engine::ports::CallReport;
use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::task::JoinSet;

/// A call to be run: a future that does nothing before it is first polled.
type Work = Pin<Box<dyn Future<Output = CallReport> + Send>>;

/// Tasks polled between two looks at timers: a guest that computes takes a whole epoch.
const EVENT_INTERVAL_POLLS: u32 = 1;

/// What caller, thread and watchdog share of a call.
struct Slot {
    reply: Mutex<Option<oneshot::Sender<CallReport>>>,
    cancelled: Notify,
    deadline_ms: u64,
}

impl Slot {
    fn answer(&self, report: CallReport) {
        if let Some(reply) = lock(&self.reply).take() {
            // The caller may be gone.
            let _ = reply.send(report);
        }
    }
}

struct Job {
    slot: Arc<Slot>,
    work: Work,
    /// Held until the call ended, also where its caller is gone: callers wait, jobs do not pile up.
    room: OwnedSemaphorePermit,
}

/// A call that a thread has begun.
struct Begun {
    number: u64,
    give_up: Instant,
    slot: Arc<Slot>,
}

/// One thread, as the others see it.
#[derive(Default)]
struct Thread {
    begun: Mutex<Vec<Begun>>,
    /// It hung once: it takes no more calls and ends when it can.
    lost: AtomicBool,
}

struct Shared {
    jobs: Mutex<VecDeque<Job>>,
    ready: Notify,
    room: Arc<Semaphore>,
    closed: AtomicBool,
    pulse: Arc<Pulse>,
    /// Never locked before `jobs` by who wants both.
    threads: Mutex<Vec<Arc<Thread>>>,
    /// Threads that take calls, when all is well.
    wanted: usize,
    /// The last start of a thread failed: told once, not at every look.
    is_short: AtomicBool,
    numbers: AtomicU64,
    grace: Duration,
}

/// The threads. Dropping this ends them and what they run.
pub(crate) struct GuestThreads(Arc<Shared>);

/// Looks after threads that hang.
pub(crate) struct Watchdog(Arc<Shared>);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl GuestThreads {
    /// Starts so many threads.
    pub(crate) fn start(count: usize, pulse: Arc<Pulse>) -> std::io::Result<Self> {
        Self::start_with(count, pulse, Duration::from_millis(GRACE_MS))
    }

    fn start_with(count: usize, pulse: Arc<Pulse>, grace: Duration) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            jobs: Mutex::default(),
            ready: Notify::new(),
            room: Arc::new(Semaphore::new(CALLS_MAX)),
            closed: AtomicBool::new(false),
            pulse,
            threads: Mutex::default(),
            wanted: count.clamp(1, THREADS_MAX),
            is_short: AtomicBool::new(false),
            numbers: AtomicU64::new(0),
            grace,
        });
        let threads = Self(shared.clone());
        shared.add_missing(&mut lock(&shared.threads))?;
        Ok(threads)
    }

    pub(crate) fn watchdog(&self) -> Watchdog {
        Watchdog(self.0.clone())
    }

    /// Threads that hang in the operating system now.
    pub(crate) fn lost(&self) -> usize {
        self.0.lost()
    }

    /// Runs a call on one of the threads. `deadline_ms` counts from when it begins there.
    pub(crate) async fn run(
        &self,
        deadline_ms: u64,
        work: impl Future<Output = CallReport> + Send + 'static,
    ) -> CallReport {
        let Ok(room) = self.0.room.clone().acquire_owned().await else { return gone() };
        let (sender, receiver) = oneshot::channel();
        let slot = Arc::new(Slot { reply: Mutex::new(Some(sender)), cancelled: Notify::new(), deadline_ms });
        let _cancel = CancelOnDrop(slot.clone());
        if self.0.has_no_thread() {
            self.0.refill();
        }
        {
            // Under the lock of the queue: a job is queued before the last thread is lost, and is then
            // answered for there, or it is refused here.
            let mut jobs = lock(&self.0.jobs);
            if self.0.has_no_thread() {
                return no_thread();
            }
            jobs.push_back(Job { slot, work: Box::pin(work), room });
        }
        self.0.ready.notify_one();
        receiver.await.unwrap_or_else(|_| gone())
    }

    /// Runs what is no call of a tool on one of the threads, in the same way: what it came to, or the outcome that says
    /// why it came to nothing.
    pub(crate) async fn run_for<T: Send + 'static>(
        &self,
        deadline_ms: u64,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, Outcome> {
        let found = Arc::new(Mutex::new(None));
        let keep = found.clone();
        let report = self
            .run(deadline_ms, async move {
                let it = work.await;
                *lock(&keep) = Some(it);
                CallReport::of(Outcome::Returned { parts: Vec::new() })
            })
            .await;
        lock(&found).take().ok_or(report.outcome)
    }
}

fn gone() -> CallReport {
    CallReport::of(Outcome::Faulted { what: "the host's thread for it ended".to_owned() })
}

fn no_thread() -> CallReport {
    let what = "all threads for components hang in the operating system: try again later or restart the host";
    CallReport::of(Outcome::Faulted { what: what.to_owned() })
}

fn lost_among(threads: &[Arc<Thread>]) -> usize {
    threads.iter().filter(|thread| thread.lost.load(Ordering::SeqCst)).count()
}

impl Drop for GuestThreads {
    fn drop(&mut self) {
        self.0.closed.store(true, Ordering::SeqCst);
        lock(&self.0.jobs).clear();
        self.0.ready.notify_waiters();
    }
}

/// Ends the call when its caller stops waiting for it.
struct CancelOnDrop(Arc<Slot>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancelled.notify_one();
    }
}

impl Shared {
    fn lost(&self) -> usize {
        lost_among(&lock(&self.threads))
    }

    fn has_no_thread(&self) -> bool {
        lock(&self.threads).iter().all(|thread| thread.lost.load(Ordering::SeqCst))
    }

    /// Starts the threads that are missing, as far as the number of lost ones allows. Where there is none
    /// afterwards, answers for the jobs that wait for one.
    fn refill(self: &Arc<Self>) {
        let added = self.add_missing(&mut lock(&self.threads));
        match added {
            Ok(()) => self.is_short.store(false, Ordering::SeqCst),
            Err(error) if self.is_short.swap(true, Ordering::SeqCst) => {
                tracing::debug!(%error, "still cannot replace a thread for components");
            }
            Err(error) => tracing::error!(%error, "could not replace a thread for components"),
        }
        let mut jobs = lock(&self.jobs);
        if jobs.is_empty() || !self.has_no_thread() {
            return;
        }
        let stranded = std::mem::take(&mut *jobs);
        drop(jobs);
        for job in stranded {
            job.slot.answer(no_thread());
        }
    }

    fn add_missing(self: &Arc<Self>, threads: &mut Vec<Arc<Thread>>) -> std::io::Result<()> {
        while !self.closed.load(Ordering::SeqCst) {
            let lost = lost_among(threads);
            if lost > THREADS_LOST_MAX || threads.len() - lost >= self.wanted {
                break;
            }
            threads.push(self.start_thread()?);
        }
        Ok(())
    }

    fn start_thread(self: &Arc<Self>) -> std::io::Result<Arc<Thread>> {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().event_interval(EVENT_INTERVAL_POLLS).build()?;
        let thread = Arc::new(Thread::default());
        let (shared, own) = (self.clone(), thread.clone());
        let main = move || {
            // Made here: where no thread starts there is none that leaves.
            let leaving = Leaving { shared, thread: own };
            runtime.block_on(leaving.shared.serve(&leaving.thread));
        };
        std::thread::Builder::new().name("wasm-guest".to_owned()).spawn(main)?;
        Ok(thread)
    }

    /// Takes jobs as long as there is room, until the end.
    async fn serve(self: &Arc<Self>, thread: &Arc<Thread>) {
        let mut running = JoinSet::new();
        loop {
            let is_lost = thread.lost.load(Ordering::SeqCst);
            if self.closed.load(Ordering::SeqCst) || (is_lost && running.is_empty()) {
                return;
            }
            tokio::select! {
                biased;
                Some(_) = running.join_next(), if !running.is_empty() => {}
                Some(job) = self.next(thread), if !is_lost && running.len() < GUESTS_PER_THREAD_MAX => {
                    running.spawn(self.begin(thread, job));
                }
                // Closed, or full, or lost: only what runs can change that.
                else => return,
            }
        }
    }

    /// The next job; none when there will be no more for this thread.
    async fn next(&self, thread: &Thread) -> Option<Job> {
        loop {
            let ready = self.ready.notified();
            tokio::pin!(ready);
            ready.as_mut().enable();
            if self.closed.load(Ordering::SeqCst) || thread.lost.load(Ordering::SeqCst) {
                return None;
            }
            if let Some(job) = self.take() {
                return Some(job);
            }
            ready.await;
        }
    }

    fn take(&self) -> Option<Job> {
        let mut jobs = lock(&self.jobs);
        let job = jobs.pop_front()?;
        // One wake-up may stand for several jobs: another thread takes the next.
        if !jobs.is_empty() {
            self.ready.notify_one();
        }
        Some(job)
    }

    /// Registers a job, and gives the task that runs it.
    fn begin(&self, thread: &Arc<Thread>, job: Job) -> impl Future<Output = ()> + Send + use<> {
        let Job { slot, work, room } = job;
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let patience = Duration::from_millis(slot.deadline_ms).saturating_add(self.grace);
        // A deadline beyond the clock's range is never reached.
        if let Some(give_up) = Instant::now().checked_add(patience) {
            lock(&thread.begun).push(Begun { number, give_up, slot: slot.clone() });
        }
        let ended = Ended { thread: thread.clone(), number, slot, _room: room };
        let pulse = self.pulse.clone();
        async move {
            let _running = pulse.run();
            tokio::select! {
                biased;
                () = ended.slot.cancelled.notified() => {}
                report = work => ended.slot.answer(report),
            }
        }
    }
}

/// Whatever way a thread ends: it is not counted any more, and what it leaves open is filled.
struct Leaving {
    shared: Arc<Shared>,
    thread: Arc<Thread>,
}

impl Drop for Leaving {
    fn drop(&mut self) {
        lock(&self.shared.threads).retain(|other| !Arc::ptr_eq(other, &self.thread));
        // After a panic of ours the watchdog or the next call fills the place: one that comes back at once
        // would otherwise start threads without a pause.
        if !std::thread::panicking() {
            self.shared.refill();
        }
    }
}

/// Whatever way a call ends, also by a panic of ours: it is not registered any more, and its caller
/// does not wait for ever.
struct Ended {
    thread: Arc<Thread>,
    number: u64,
    slot: Arc<Slot>,
    _room: OwnedSemaphorePermit,
}

impl Drop for Ended {
    fn drop(&mut self) {
        lock(&self.thread.begun).retain(|begun| begun.number != self.number);
        drop(lock(&self.slot.reply).take());
    }
}

impl Watchdog {
    /// Answers for calls that should have ended and starts the threads that are missing. False when there is
    /// nothing left to look after.
    pub(crate) fn look(&self) -> bool {
        let shared = &self.0;
        if shared.closed.load(Ordering::SeqCst) {
            return false;
        }
        let now = Instant::now();
        let threads = lock(&shared.threads).clone();
        for thread in threads {
            let hung: Vec<_> = {
                let begun = lock(&thread.begun);
                begun.iter().filter(|begun| begun.give_up < now).map(|begun| begun.slot.clone()).collect()
            };
            for slot in &hung {
                let maximum = slot.deadline_ms;
                slot.answer(CallReport::of(Outcome::OverLimit { limit: LimitName::DeadlineMs, maximum }));
            }
            if !hung.is_empty() && !thread.lost.swap(true, Ordering::SeqCst) {
                // It may have come back this very moment: then it ends instead of waiting for a job.
                shared.ready.notify_waiters();
                let lost = shared.lost();
                tracing::error!(lost, "a call hangs in the operating system past its deadline: its thread is given up");
            }
        }
        shared.refill();
        // The wake-up for a job may have gone to a thread that hangs.
        if !lock(&shared.jobs).is_empty() {
            shared.ready.notify_one();
        }
        true
    }
}

#[cfg(test)]
mod tests;
