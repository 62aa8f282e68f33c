//! Cases of the lease: one writer at a time, and how the next one takes over.

use super::{Stores, Writer, cases, session};
use harness_core::Epoch;
use harness_engine::ports::{AppendError, Holder, LeaseError, Takeover};

cases![
    the_first_to_come_holds_it,
    a_live_holder_is_not_displaced_unless_forced,
    a_holder_that_is_gone_gives_way,
    a_holder_of_another_machine_counts_as_alive,
    epochs_only_grow,
    a_stale_release_does_nothing,
    numbers_of_any_size_are_kept,
    of_many_who_acquire_at_once_one_wins,
    a_deleted_session_never_repeats_an_epoch,
];

async fn the_first_to_come_holds_it(stores: Stores) {
    assert_eq!(stores.lease.holder(session(1)).await, Ok(None));
    stores.lease.acquire(session(1), &stores.alive, Takeover::IfGone).await.unwrap();
    assert_eq!(stores.lease.holder(session(1)).await, Ok(Some(stores.alive.clone())));
    assert_eq!(stores.lease.holder(session(2)).await, Ok(None));
}

async fn a_live_holder_is_not_displaced_unless_forced(stores: Stores) {
    let mut writer = Writer::acquire(&stores, session(1)).await;
    let held = LeaseError::Held { session: session(1), holder: stores.alive.clone() };
    assert_eq!(stores.lease.acquire(session(1), &stores.gone, Takeover::IfGone).await, Err(held.clone()));
    // Not even by itself: two engines of one process are two writers.
    assert_eq!(stores.lease.acquire(session(1), &stores.alive, Takeover::IfGone).await, Err(held));
    writer.append(&["still ours"]).await.unwrap();
    stores.lease.acquire(session(1), &stores.gone, Takeover::Force).await.unwrap();
    assert!(matches!(writer.append(&["not ours"]).await, Err(AppendError::Fenced { .. })));
}

async fn a_holder_that_is_gone_gives_way(stores: Stores) {
    let first = stores.lease.acquire(session(1), &stores.gone, Takeover::IfGone).await.unwrap();
    let second = stores.lease.acquire(session(1), &stores.alive, Takeover::IfGone).await.unwrap();
    assert!(second > first);
    assert_eq!(stores.lease.holder(session(1)).await, Ok(Some(stores.alive.clone())));
}

async fn a_holder_of_another_machine_counts_as_alive(stores: Stores) {
    let elsewhere = Holder { machine: "another machine".to_owned(), ..stores.gone.clone() };
    stores.lease.acquire(session(1), &elsewhere, Takeover::IfGone).await.unwrap();
    let refused = stores.lease.acquire(session(1), &stores.alive, Takeover::IfGone).await;
    assert_eq!(refused, Err(LeaseError::Held { session: session(1), holder: elsewhere }));
}

async fn epochs_only_grow(stores: Stores) {
    let mut last = Epoch(0);
    for round in 0..6 {
        let takeover = if round % 2 == 0 { Takeover::IfGone } else { Takeover::Force };
        let epoch = stores.lease.acquire(session(1), &stores.alive, takeover).await.unwrap();
        assert!(epoch > last, "{epoch:?} after {last:?}");
        last = epoch;
        if round % 2 == 1 {
            stores.lease.release(session(1), epoch).await.unwrap();
            assert_eq!(stores.lease.holder(session(1)).await, Ok(None));
        }
    }
}

async fn a_stale_release_does_nothing(stores: Stores) {
    let old = stores.lease.acquire(session(1), &stores.gone, Takeover::Force).await.unwrap();
    let mut writer = Writer::acquire(&stores, session(1)).await;
    stores.lease.release(session(1), old).await.unwrap();
    stores.lease.release(session(2), Epoch(1)).await.unwrap();
    writer.append(&["ours"]).await.unwrap();
    assert_eq!(stores.lease.holder(session(1)).await, Ok(Some(stores.alive.clone())));
}

async fn numbers_of_any_size_are_kept(stores: Stores) {
    let large = Holder { machine: "näme|1".to_owned(), pid: u32::MAX, process_start: u64::MAX };
    stores.lease.acquire(session(1), &large, Takeover::IfGone).await.unwrap();
    assert_eq!(stores.lease.holder(session(1)).await, Ok(Some(large)));
}

async fn of_many_who_acquire_at_once_one_wins(stores: Stores) {
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (lease, holder) = (std::sync::Arc::clone(&stores.lease), stores.alive.clone());
        tasks.spawn(async move { lease.acquire(session(1), &holder, Takeover::IfGone).await });
    }
    let mut won = 0;
    while let Some(done) = tasks.join_next().await {
        match done.unwrap() {
            Ok(_) => won += 1,
            Err(error) => assert!(matches!(error, LeaseError::Held { .. }), "{error}"),
        }
    }
    assert_eq!(won, 1);
}

async fn a_deleted_session_never_repeats_an_epoch(stores: Stores) {
    for _ in 0..3 {
        Writer::acquire(&stores, session(1)).await;
    }
    let mut old = Writer::acquire(&stores, session(1)).await;
    stores.index.delete(session(1)).await.unwrap();
    assert_eq!(old.append(&["gone"]).await, Err(AppendError::NotFound(session(1))));
    let mut new = Writer::acquire(&stores, session(1)).await;
    assert!(new.epoch > old.epoch);
    assert!(matches!(old.append(&["gone"]).await, Err(AppendError::Fenced { .. })));
    new.append(&["again"]).await.unwrap();
}
