//! Guest threads that hang, die or are too busy.

use super::*;

fn threads(count: usize) -> GuestThreads {
    GuestThreads::start_with(count, Arc::default(), Duration::from_millis(20)).unwrap()
}

fn report(text: &str) -> CallReport {
    CallReport::of(Outcome::text(text))
}

/// Sets a flag when it is dropped.
struct Flag(Arc<AtomicBool>);

impl Drop for Flag {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

async fn until(condition: impl Fn() -> bool) {
    while !condition() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn many_calls_share_few_threads() {
    let threads = threads(2);
    let calls = (0..200).map(|number: usize| {
        threads.run(60_000, async move {
            tokio::time::sleep(Duration::from_millis(1)).await;
            report(&number.to_string())
        })
    });
    let mut set = futures(calls).await;
    set.sort();
    assert_eq!(set.len(), 200);
    set.dedup();
    assert_eq!(set.len(), 200, "each caller got its own answer");
}

async fn futures(calls: impl Iterator<Item = impl Future<Output = CallReport>>) -> Vec<String> {
    let mut calls: Vec<_> = calls.map(Box::pin).collect();
    let mut texts = Vec::new();
    std::future::poll_fn(|cx| {
        calls.retain_mut(|call| match call.as_mut().poll(cx) {
            std::task::Poll::Ready(report) => {
                texts.push(report.outcome.model_text(&[]));
                false
            }
            std::task::Poll::Pending => true,
        });
        if calls.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    texts
}

#[tokio::test]
async fn a_dropped_caller_ends_its_call() {
    let threads = threads(1);
    let (begun, dropped) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let flag = Flag(dropped.clone());
    let sign = begun.clone();
    let call = threads.run(60_000, async move {
        let _flag = flag;
        sign.store(true, Ordering::SeqCst);
        std::future::pending().await
    });
    tokio::select! {
        _ = call => panic!("it never ends by itself"),
        () = until(|| begun.load(Ordering::SeqCst)) => {}
    }
    until(|| dropped.load(Ordering::SeqCst)).await;
    assert_eq!(threads.run(60_000, async { report("next") }).await.outcome, Outcome::text("next"));
}

#[tokio::test]
async fn a_hung_thread_is_answered_for_replaced_and_comes_to_its_end() {
    let threads = threads(1);
    let watchdog = threads.watchdog();
    let (release, hung) = std::sync::mpsc::channel::<()>();
    let call = threads.run(0, async move {
        // As a system call that does not return.
        let _ = hung.recv();
        report("too late")
    });
    let watch = async {
        until(|| {
            watchdog.look();
            threads.lost() == 1
        })
        .await;
        std::future::pending::<()>().await;
    };
    let report_of_hung = tokio::select! {
        report = call => report,
        () = watch => unreachable!(),
    };
    assert_eq!(report_of_hung.outcome, Outcome::OverLimit { limit: LimitName::DeadlineMs, maximum: 0 });
    let next = threads.run(60_000, async { report("next") }).await;
    assert_eq!(next.outcome, Outcome::text("next"), "the replacement works");
    release.send(()).unwrap();
    until(|| threads.lost() == 0).await;
}

/// Calls that hang until this is dropped, as in a system call that does not return.
struct Hanging {
    hung: Arc<Mutex<std::sync::mpsc::Receiver<()>>>,
    _release: std::sync::mpsc::Sender<()>,
}

impl Hanging {
    fn new() -> Self {
        let (release, hung) = std::sync::mpsc::channel();
        Self { hung: Arc::new(Mutex::new(hung)), _release: release }
    }

    /// A call that hangs once it says that it began.
    fn call(&self, began: &Arc<AtomicBool>) -> impl Future<Output = CallReport> + Send + use<> {
        let (hung, began) = (self.hung.clone(), began.clone());
        async move {
            began.store(true, Ordering::SeqCst);
            let _ = lock(&hung).recv();
            report("too late")
        }
    }
}

/// Loses so many threads, one after the other.
async fn lose(threads: &GuestThreads, hanging: &Hanging, count: usize) {
    let watchdog = threads.watchdog();
    for _ in 0..count {
        let expected = threads.lost() + 1;
        let call = threads.run(0, hanging.call(&Arc::default()));
        let watch = until(|| {
            watchdog.look();
            threads.lost() == expected
        });
        tokio::join!(call, watch);
    }
}

fn working(threads: &GuestThreads) -> usize {
    let all = lock(&threads.0.threads);
    all.len() - lost_among(&all)
}

#[tokio::test]
async fn without_any_thread_left_calls_fail_at_once_and_threads_that_come_back_are_replaced() {
    let threads = threads(2);
    let hanging = Hanging::new();
    lose(&threads, &hanging, THREADS_LOST_MAX).await;
    assert_eq!(working(&threads), 2, "so many are replaced");
    lose(&threads, &hanging, 1).await;
    assert_eq!(working(&threads), 1, "one more is not");
    lose(&threads, &hanging, 1).await;
    let refused = threads.run(60_000, async { report("never") }).await;
    assert!(matches!(refused.outcome, Outcome::Faulted { what } if what.contains("all threads")));
    drop(hanging);
    // Nobody calls and no watchdog looks: the threads that end start the others.
    until(|| threads.lost() == 0 && working(&threads) == 2).await;
    assert_eq!(threads.run(60_000, async { report("next") }).await.outcome, Outcome::text("next"));
}

#[tokio::test]
async fn jobs_that_wait_when_the_last_thread_is_lost_are_answered() {
    let threads = threads(1);
    let hanging = Hanging::new();
    lose(&threads, &hanging, THREADS_LOST_MAX).await;
    let (watchdog, began) = (threads.watchdog(), Arc::new(AtomicBool::new(false)));
    let hung = threads.run(0, hanging.call(&began));
    let waiting = async {
        until(|| began.load(Ordering::SeqCst)).await;
        threads.run(60_000, async { report("never") }).await
    };
    let watch = async {
        until(|| !lock(&threads.0.jobs).is_empty()).await;
        until(|| {
            watchdog.look();
            threads.lost() == THREADS_LOST_MAX + 1
        })
        .await;
    };
    let (_, stranded, ()) = tokio::join!(hung, waiting, watch);
    assert!(matches!(stranded.outcome, Outcome::Faulted { what } if what.contains("all threads")));
    assert_eq!(threads.0.room.available_permits(), CALLS_MAX - THREADS_LOST_MAX - 1, "its room is free again");
}

#[tokio::test]
async fn the_watchdog_starts_what_is_missing() {
    let threads = threads(2);
    let lost = || Arc::new(Thread { lost: AtomicBool::new(true), ..Thread::default() });
    {
        let mut all = lock(&threads.0.threads);
        all.pop();
        all.extend((0..=THREADS_LOST_MAX).map(|_| lost()));
    }
    threads.watchdog().look();
    assert_eq!(working(&threads), 1, "too many are lost");
    lock(&threads.0.threads).pop();
    threads.watchdog().look();
    assert_eq!(working(&threads), 2);
    threads.watchdog().look();
    assert_eq!(working(&threads), 2, "and no more than that");
}

#[tokio::test]
async fn a_panic_on_our_side_ends_one_call_only() {
    let threads = threads(1);
    let broken = threads.run(60_000, async { panic!("a defect of ours, on purpose") }).await;
    assert_eq!(broken.outcome.word(), "faulted");
    assert_eq!(threads.run(60_000, async { report("next") }).await.outcome, Outcome::text("next"));
}

#[tokio::test]
async fn dropping_the_threads_drops_what_they_run() {
    let dropped = Arc::new(AtomicBool::new(false));
    let begun = Arc::new(AtomicBool::new(false));
    let threads = threads(1);
    let (flag, sign) = (Flag(dropped.clone()), begun.clone());
    {
        let call = threads.run(60_000, async move {
            let _flag = flag;
            sign.store(true, Ordering::SeqCst);
            std::future::pending().await
        });
        tokio::select! {
            _ = call => panic!("it never ends by itself"),
            () = until(|| begun.load(Ordering::SeqCst)) => {}
        }
    }
    drop(threads);
    until(|| dropped.load(Ordering::SeqCst)).await;
}
