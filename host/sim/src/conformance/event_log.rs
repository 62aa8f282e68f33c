//! Cases of the log: what is appended, refused, read and erased.

use super::{Stores, Writer, cases, seal, session, titles, whole};
use harness_core::{Digest, Event, Sequence, Tip};
use harness_engine::ports::{AppendError, SessionAppend, StoreError};

cases![
    what_is_appended_is_read_back_exactly,
    an_unknown_session_has_no_log,
    a_known_session_without_events_has_an_empty_log,
    reads_are_gap_free_and_end_only_at_the_end,
    nobody_appends_without_having_acquired,
    an_older_or_newer_epoch_is_fenced,
    a_released_session_takes_no_appends,
    another_tip_is_refused,
    a_broken_chain_is_refused,
    a_header_of_another_session_is_refused,
    several_sessions_are_written_together,
    if_one_session_is_fenced_none_is_written,
    one_session_twice_in_an_append,
    concurrent_sessions_do_not_disturb_each_other,
    of_concurrent_appends_at_one_tip_one_wins,
    erasing_leaves_the_chain_intact,
    large_payloads_come_back,
];

async fn what_is_appended_is_read_back_exactly(stores: Stores) {
    let mut writer = Writer::acquire(&stores, session(1)).await;
    let (append, tip) = writer.batch(&["one", "two"]);
    let given: Vec<_> = append.events.iter().map(|event| (event.header_bytes.clone(), event.payload.clone())).collect();
    stores.log.append(vec![append]).await.unwrap();
    let stored = stores.log.read(session(1), Sequence::START, 10).await.unwrap();
    let read: Vec<_> = stored.into_iter().map(|event| (event.header_bytes, event.payload)).collect();
    assert_eq!(read, given);
    assert_eq!(stores.log.tip(session(1)).await.unwrap(), tip);
    writer.tip = tip;
    writer.append(&["three"]).await.unwrap();
    assert_eq!(titles(&*stores.log, session(1)).await, whole(&["one", "two", "three"]));
}

async fn an_unknown_session_has_no_log(stores: Stores) {
    let unknown = Err(StoreError::NotFound(session(9)));
    assert_eq!(stores.log.tip(session(9)).await, unknown);
    assert_eq!(stores.log.read(session(9), Sequence::START, 1).await, Err(StoreError::NotFound(session(9))));
    assert_eq!(stores.log.erase_payload(session(9), Sequence(1)).await, Err(StoreError::NotFound(session(9))));
}

async fn a_known_session_without_events_has_an_empty_log(stores: Stores) {
    Writer::acquire(&stores, session(1)).await;
    assert_eq!(stores.log.tip(session(1)).await, Ok(Tip::START));
    assert_eq!(stores.log.read(session(1), Sequence::START, 5).await, Ok(Vec::new()));
}

async fn reads_are_gap_free_and_end_only_at_the_end(stores: Stores) {
    let names: Vec<String> = (1..=25).map(|number| number.to_string()).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut writer = Writer::acquire(&stores, session(1)).await;
    // A neighbour on each side, so that a range that is too wide shows.
    for other in [0, 2] {
        Writer::acquire(&stores, session(other)).await.append(&["other"]).await.unwrap();
    }
    for chunk in names.chunks(4) {
        writer.append(chunk).await.unwrap();
    }
    let all = stores.log.read(session(1), Sequence::START, usize::MAX).await.unwrap();
    assert_eq!(all.len(), 25);
    for after in 0..=26_usize {
        for events_max in [0, 1, 7, 25, 26, usize::MAX] {
            let read = stores.log.read(session(1), Sequence(after as u64), events_max).await.unwrap();
            let from = after.min(25);
            let to = from.saturating_add(events_max).min(25);
            assert_eq!(read, all[from..to], "after {after}, at most {events_max}");
        }
    }
    assert_eq!(stores.log.read(session(1), Sequence(u64::MAX), 1).await, Ok(Vec::new()));
}

async fn nobody_appends_without_having_acquired(stores: Stores) {
    let (events, _) = seal(session(1), Tip::START, &[Event::RetryDue]);
    let append = SessionAppend::new(session(1), harness_core::Epoch(1), Tip::START, events);
    assert_eq!(stores.log.append(vec![append]).await, Err(AppendError::NotFound(session(1))));
    assert_eq!(stores.log.tip(session(1)).await, Err(StoreError::NotFound(session(1))), "it did not make one");
}

async fn an_older_or_newer_epoch_is_fenced(stores: Stores) {
    let mut old = Writer::acquire(&stores, session(1)).await;
    old.append(&["old"]).await.unwrap();
    let mut new = Writer::acquire(&stores, session(1)).await;
    let fenced = AppendError::Fenced { session: session(1), ours: old.epoch, current: new.epoch };
    assert_eq!(old.append(&["late"]).await, Err(fenced));
    new.append(&["new"]).await.unwrap();
    new.epoch.0 += 1;
    assert!(matches!(new.append(&["future"]).await, Err(AppendError::Fenced { .. })));
    assert_eq!(titles(&*stores.log, session(1)).await, whole(&["old", "new"]));
}

async fn a_released_session_takes_no_appends(stores: Stores) {
    let mut writer = Writer::acquire(&stores, session(1)).await;
    writer.append(&["held"]).await.unwrap();
    stores.lease.release(session(1), writer.epoch).await.unwrap();
    assert_eq!(writer.append(&["after"]).await, Err(AppendError::NotFound(session(1))));
    assert_eq!(titles(&*stores.log, session(1)).await, whole(&["held"]));
}

async fn another_tip_is_refused(stores: Stores) {
    let mut writer = Writer::acquire(&stores, session(1)).await;
    let start = writer.tip;
    writer.append(&["one"]).await.unwrap();
    let end = writer.tip;
    // Behind, ahead, and at the right position with another history.
    let other = Tip { sequence: end.sequence, hash: Digest::of(b"another history") };
    for wrong in [start, Tip { sequence: Sequence(2), hash: Digest::ZERO }, other] {
        writer.tip = wrong;
        let refused = AppendError::Tip { session: session(1), expected: wrong.sequence, found: end.sequence };
        assert_eq!(writer.append(&["x"]).await, Err(refused));
    }
    writer.tip = end;
    writer.append(&["two"]).await.unwrap();
    assert_eq!(titles(&*stores.log, session(1)).await, whole(&["one", "two"]));
}

async fn a_broken_chain_is_refused(stores: Stores) {
    let writer = Writer::acquire(&stores, session(1)).await;
    let (good, _) = writer.batch(&["one", "two", "three"]);
    let mut gap = good.clone();
    gap.events.remove(1);
    let mut swapped = good.clone();
    swapped.events.swap(0, 1);
    let mut changed = good.clone();
    changed.events[0].header_bytes.push(b' ');
    let mut damaged = good.clone();
    damaged.events[2].header_bytes.truncate(10);
    for (what, broken) in [("gap", gap), ("swapped", swapped), ("changed", changed), ("damaged", damaged)] {
        let refused = stores.log.append(vec![broken]).await;
        assert!(matches!(refused, Err(AppendError::Storage(_) | AppendError::Tip { .. })), "{what}: {refused:?}");
    }
    assert!(titles(&*stores.log, session(1)).await.is_empty());
    stores.log.append(vec![good]).await.unwrap();
}

async fn a_header_of_another_session_is_refused(stores: Stores) {
    let writer = Writer::acquire(&stores, session(1)).await;
    let (mut append, _) = writer.batch(&["one"]);
    append.events = seal(session(2), Tip::START, &[Event::RetryDue]).0;
    assert!(matches!(stores.log.append(vec![append]).await, Err(AppendError::Storage(_))));
    assert!(titles(&*stores.log, session(1)).await.is_empty());
}

async fn several_sessions_are_written_together(stores: Stores) {
    let mut batch = Vec::new();
    for number in 1..=3 {
        batch.push(Writer::acquire(&stores, session(number)).await.batch(&["together"]).0);
    }
    stores.log.append(batch).await.unwrap();
    for number in 1..=3 {
        assert_eq!(titles(&*stores.log, session(number)).await, whole(&["together"]));
    }
}

async fn if_one_session_is_fenced_none_is_written(stores: Stores) {
    let first = Writer::acquire(&stores, session(1)).await;
    let second = Writer::acquire(&stores, session(2)).await;
    let third = Writer::acquire(&stores, session(3)).await;
    Writer::acquire(&stores, session(2)).await;
    let batch = [&first, &second, &third].map(|writer| writer.batch(&["x"]).0).to_vec();
    assert!(
        matches!(stores.log.append(batch).await, Err(AppendError::Fenced { session: fenced, .. }) if fenced == session(2))
    );
    for number in 1..=3 {
        assert!(titles(&*stores.log, session(number)).await.is_empty(), "session {number}");
    }
    // The same with a tip, and the refused session last.
    let mut late = Writer::acquire(&stores, session(2)).await;
    late.append(&["ahead"]).await.unwrap();
    late.tip = Tip::START;
    let batch = [&first, &third, &late].map(|writer| writer.batch(&["x"]).0).to_vec();
    assert!(matches!(stores.log.append(batch).await, Err(AppendError::Tip { .. })));
    assert!(titles(&*stores.log, session(1)).await.is_empty() && titles(&*stores.log, session(3)).await.is_empty());
}

async fn one_session_twice_in_an_append(stores: Stores) {
    let mut writer = Writer::acquire(&stores, session(1)).await;
    let (one, tip) = writer.batch(&["one"]);
    writer.tip = tip;
    let (two, tip) = writer.batch(&["two"]);
    assert!(matches!(stores.log.append(vec![two.clone(), one.clone()]).await, Err(AppendError::Tip { .. })));
    stores.log.append(vec![one, two]).await.unwrap();
    assert_eq!(stores.log.tip(session(1)).await, Ok(tip));
    assert_eq!(titles(&*stores.log, session(1)).await, whole(&["one", "two"]));
}

async fn concurrent_sessions_do_not_disturb_each_other(stores: Stores) {
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..20 {
        let mut writer = Writer::acquire(&stores, session(number)).await;
        let mut fenced = Writer::acquire(&stores, session(100 + number)).await;
        fenced.epoch.0 += 1;
        tasks.spawn(async move {
            for index in 0..10 {
                writer.append(&[&index.to_string()]).await.unwrap();
                // A refused append in the same group must not take the others with it.
                assert!(matches!(fenced.append(&["x"]).await, Err(AppendError::Fenced { .. })));
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    for number in 0..20 {
        let expected: Vec<String> = (0..10).map(|index| index.to_string()).collect();
        let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
        assert_eq!(titles(&*stores.log, session(number)).await, whole(&expected));
        assert!(titles(&*stores.log, session(100 + number)).await.is_empty());
    }
}

async fn of_concurrent_appends_at_one_tip_one_wins(stores: Stores) {
    let writer = Writer::acquire(&stores, session(1)).await;
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..8 {
        let (append, _) = writer.batch(&[&number.to_string()]);
        let log = std::sync::Arc::clone(&stores.log);
        tasks.spawn(async move { log.append(vec![append]).await });
    }
    let mut won = 0;
    while let Some(done) = tasks.join_next().await {
        match done.unwrap() {
            Ok(()) => won += 1,
            Err(error) => assert!(matches!(error, AppendError::Tip { .. }), "{error}"),
        }
    }
    assert_eq!((won, titles(&*stores.log, session(1)).await.len()), (1, 1));
}

async fn erasing_leaves_the_chain_intact(stores: Stores) {
    let mut writer = Writer::acquire(&stores, session(1)).await;
    writer.append(&["one", "secret", "three"]).await.unwrap();
    stores.log.erase_payload(session(1), Sequence(2)).await.unwrap();
    stores.log.erase_payload(session(1), Sequence(2)).await.unwrap();
    let expected = [Some("one".to_owned()), None, Some("three".to_owned())];
    assert_eq!(titles(&*stores.log, session(1)).await, expected);
    for missing in [0, 4, u64::MAX] {
        assert!(matches!(stores.log.erase_payload(session(1), Sequence(missing)).await, Err(StoreError::Storage(_))));
    }
    writer.append(&["four"]).await.unwrap();
    assert_eq!(titles(&*stores.log, session(1)).await.len(), 4);
}

async fn large_payloads_come_back(stores: Stores) {
    let large = "x".repeat(3 << 20);
    let mut writer = Writer::acquire(&stores, session(1)).await;
    writer.append(&[&large, ""]).await.unwrap();
    assert_eq!(titles(&*stores.log, session(1)).await, whole(&[&large, ""]));
}
