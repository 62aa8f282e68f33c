//! Cases of logs that begin with another's events.

use super::{Stores, Writer, cases, seal, session, titles, whole};
use harness_core::{Digest, Epoch, Event, Sequence, SessionId, Tip};
use harness_engine::ports::{
    Ancestor, AppendError, Blob, Import, ImportPage, Said, SessionAppend, SessionFilter, StoreError,
};
use tokio::sync::mpsc;

cases![
    a_fork_reads_its_origins_events_and_then_its_own,
    origin_and_fork_go_on_apart,
    a_fork_of_a_fork_has_the_whole_lineage,
    a_fork_at_no_event_of_its_origin_is_refused,
    a_session_with_events_does_not_become_a_fork,
    a_refused_fork_leaves_nothing,
    a_deleted_origin_leaves_what_forks_need,
    contents_go_with_the_last_that_shares_them,
    what_is_erased_is_erased_for_all,
    a_log_from_elsewhere_is_taken_in_as_one,
    a_log_that_does_not_end_is_not_taken_in,
];

/// The end of a session's log once it has `count` events.
async fn tip_at(stores: &Stores, session: SessionId, count: u64) -> Tip {
    let stored = stores.log.read(session, Sequence(count - 1), 1).await.unwrap();
    Tip { sequence: Sequence(count), hash: Digest::of(&stored[0].header_bytes) }
}

/// Begins a session as another one was after `at` events, with one event of its own.
async fn fork(stores: &Stores, number: u64, origin: SessionId, at: u64, title: &str) -> Writer {
    let mut writer = Writer::acquire(stores, session(number)).await;
    writer.tip = tip_at(stores, origin, at).await;
    let (append, tip) = writer.batch(&[title]);
    stores.log.append(vec![SessionAppend { fork_of: Some(origin), ..append }]).await.unwrap();
    writer.tip = tip;
    writer
}

async fn lineage(stores: &Stores, number: u64) -> Vec<(SessionId, u64)> {
    let lineage = stores.log.lineage(session(number)).await.unwrap();
    lineage.into_iter().map(|Ancestor { session, last }| (session, last.0)).collect()
}

async fn a_fork_reads_its_origins_events_and_then_its_own(stores: Stores) {
    let mut origin = Writer::acquire(&stores, session(1)).await;
    origin.append(&["1", "2", "3", "4"]).await.unwrap();
    let mut fork = fork(&stores, 2, session(1), 3, "own").await;
    fork.append(&["more"]).await.unwrap();
    assert_eq!(titles(&*stores.log, session(2)).await, whole(&["1", "2", "3", "own", "more"]));
    assert_eq!(lineage(&stores, 2).await, [(session(1), 3)]);
    assert_eq!(lineage(&stores, 1).await, []);
    let all = stores.log.read(session(2), Sequence::START, usize::MAX).await.unwrap();
    for after in 0..=5_usize {
        for events_max in 0..=6 {
            let read = stores.log.read(session(2), Sequence(after as u64), events_max).await.unwrap();
            assert_eq!(read, all[after..(after + events_max).min(5)], "after {after}, at most {events_max}");
        }
    }
}

async fn origin_and_fork_go_on_apart(stores: Stores) {
    let mut origin = Writer::acquire(&stores, session(1)).await;
    origin.append(&["1", "2"]).await.unwrap();
    let mut fork = fork(&stores, 2, session(1), 2, "own").await;
    origin.append(&["origin"]).await.unwrap();
    fork.append(&["fork"]).await.unwrap();
    assert_eq!(titles(&*stores.log, session(1)).await, whole(&["1", "2", "origin"]));
    assert_eq!(titles(&*stores.log, session(2)).await, whole(&["1", "2", "own", "fork"]));
}

async fn a_fork_of_a_fork_has_the_whole_lineage(stores: Stores) {
    Writer::acquire(&stores, session(1)).await.append(&["1", "2", "3"]).await.unwrap();
    fork(&stores, 2, session(1), 2, "a").await.append(&["b"]).await.unwrap();
    fork(&stores, 3, session(2), 4, "c").await;
    fork(&stores, 4, session(2), 1, "d").await;
    fork(&stores, 5, session(3), 2, "e").await;
    assert_eq!(titles(&*stores.log, session(3)).await, whole(&["1", "2", "a", "b", "c"]));
    assert_eq!(lineage(&stores, 3).await, [(session(1), 2), (session(2), 4)]);
    assert_eq!(titles(&*stores.log, session(4)).await, whole(&["1", "d"]));
    assert_eq!(lineage(&stores, 4).await, [(session(1), 1)]);
    assert_eq!(titles(&*stores.log, session(5)).await, whole(&["1", "2", "e"]));
    assert_eq!(lineage(&stores, 5).await, [(session(1), 2)]);
}

async fn a_fork_at_no_event_of_its_origin_is_refused(stores: Stores) {
    Writer::acquire(&stores, session(1)).await.append(&["1", "2"]).await.unwrap();
    let there = tip_at(&stores, session(1), 2).await;
    let fork = Writer::acquire(&stores, session(2)).await;
    for at in [Tip { sequence: Sequence(3), ..there }, Tip { sequence: Sequence(1), ..there }, Tip::START] {
        let (events, _) = seal(session(2), at, &[Event::RetryDue]);
        let append = SessionAppend::new(session(2), fork.epoch, at, events);
        let append = SessionAppend { fork_of: Some(session(1)), ..append };
        let refused = stores.log.append(vec![append.clone()]).await;
        assert!(
            matches!(refused, Err(AppendError::Tip { session: it, .. }) if it == session(1)),
            "{at:?}: {refused:?}"
        );
        let unknown = SessionAppend { fork_of: Some(session(9)), ..append };
        assert_eq!(stores.log.append(vec![unknown]).await, Err(AppendError::NotFound(session(9))));
    }
    assert_eq!(stores.log.tip(session(2)).await, Ok(Tip::START));
}

async fn a_session_with_events_does_not_become_a_fork(stores: Stores) {
    Writer::acquire(&stores, session(1)).await.append(&["1"]).await.unwrap();
    let mut other = Writer::acquire(&stores, session(2)).await;
    other.append(&["own"]).await.unwrap();
    let (append, _) = other.batch(&["x"]);
    let append = SessionAppend { fork_of: Some(session(1)), ..append };
    assert!(matches!(stores.log.append(vec![append]).await, Err(AppendError::Tip { .. })));
    assert_eq!(titles(&*stores.log, session(2)).await, whole(&["own"]));
}

async fn a_refused_fork_leaves_nothing(stores: Stores) {
    Writer::acquire(&stores, session(1)).await.append(&["1"]).await.unwrap();
    let mut fork = Writer::acquire(&stores, session(2)).await;
    fork.tip = tip_at(&stores, session(1), 1).await;
    let (append, _) = fork.batch(&["own"]);
    let append = SessionAppend { fork_of: Some(session(1)), ..append };
    let mut late = Writer::acquire(&stores, session(3)).await;
    late.epoch = Epoch(late.epoch.0 + 1);
    let fenced = late.batch(&["x"]).0;
    assert!(matches!(stores.log.append(vec![append.clone(), fenced]).await, Err(AppendError::Fenced { .. })));
    assert_eq!(stores.log.tip(session(2)).await, Ok(Tip::START));
    assert_eq!(lineage(&stores, 2).await, []);
    stores.log.append(vec![append]).await.unwrap();
}

async fn a_deleted_origin_leaves_what_forks_need(stores: Stores) {
    Writer::acquire(&stores, session(1)).await.append(&["1", "2", "3"]).await.unwrap();
    fork(&stores, 2, session(1), 2, "a").await;
    fork(&stores, 3, session(2), 3, "b").await;
    stores.index.delete(session(1)).await.unwrap();
    assert_eq!(stores.log.tip(session(1)).await, Err(StoreError::NotFound(session(1))));
    assert_eq!(titles(&*stores.log, session(2)).await, whole(&["1", "2", "a"]));
    // The id is free again, and has nothing to do with what the forks share.
    Writer::acquire(&stores, session(1)).await.append(&["new"]).await.unwrap();
    stores.index.delete(session(2)).await.unwrap();
    assert_eq!(titles(&*stores.log, session(3)).await, whole(&["1", "2", "a", "b"]));
    assert_eq!(titles(&*stores.log, session(1)).await, whole(&["new"]));
    stores.index.delete(session(3)).await.unwrap();
    assert_eq!(titles(&*stores.log, session(1)).await, whole(&["new"]));
}

async fn contents_go_with_the_last_that_shares_them(stores: Stores) {
    let content = |byte: u8| Blob::new(vec![byte; 8]);
    let mut origin = Writer::acquire(&stores, session(1)).await;
    origin.append_with(&["1"], vec![content(1)], None).await.unwrap();
    origin.append_with(&["2"], vec![content(2)], None).await.unwrap();
    let mut fork = fork(&stores, 2, session(1), 1, "a").await;
    fork.append_with(&["b"], vec![content(3)], None).await.unwrap();
    let named = stores.blobs.named_by(session(2), None, 10).await.unwrap();
    assert!([content(1), content(3)].iter().all(|blob| named.contains(&blob.digest)), "{named:?}");
    let first = stores.blobs.named_by(session(2), None, 1).await.unwrap();
    assert_eq!(first, named[..1]);
    assert_eq!(stores.blobs.named_by(session(2), Some(named[0]), 10).await.unwrap(), named[1..]);
    stores.index.delete(session(1)).await.unwrap();
    assert!(stores.blobs.get(content(1).digest).await.unwrap().is_some());
    stores.index.delete(session(2)).await.unwrap();
    for byte in 1..=3 {
        assert_eq!(stores.blobs.get(content(byte).digest).await, Ok(None));
    }
}

async fn what_is_erased_is_erased_for_all(stores: Stores) {
    let mut origin = Writer::acquire(&stores, session(1)).await;
    let (append, tip) = origin.batch(&["1", "secret"]);
    let said = Said { sequence: Sequence(2), text: "the secret word".to_owned() };
    let row = super::summary(session(1), "t", "/w", 1);
    stores.log.append(vec![SessionAppend { said: vec![said], summary: Some(row), ..append }]).await.unwrap();
    origin.tip = tip;
    fork(&stores, 2, session(1), 2, "a").await;
    let filter = || SessionFilter { search: Some("SECRET wo".to_owned()), sessions_max: 5, ..SessionFilter::default() };
    assert_eq!(stores.index.count(filter()).await, Ok(1));
    stores.log.erase_payload(session(2), Sequence(2)).await.unwrap();
    assert_eq!(titles(&*stores.log, session(1)).await, [Some("1".to_owned()), None]);
    assert_eq!(titles(&*stores.log, session(2)).await, [Some("1".to_owned()), None, Some("a".to_owned())]);
    assert_eq!(stores.index.count(filter()).await, Ok(0));
    for missing in [0, 4, u64::MAX] {
        assert!(stores.log.erase_payload(session(2), Sequence(missing)).await.is_err());
    }
}

/// A log of `titles`, made for another session, on its way to `writer`'s.
fn import(writer: &Writer, theirs: SessionId, names: &[&str]) -> (Import, mpsc::Sender<ImportPage>, Vec<ImportPage>) {
    let events: Vec<Event> = names.iter().map(|title| Event::SessionRenamed { title: (*title).to_owned() }).collect();
    let (events, tip) = seal(theirs, Tip::START, &events);
    let (own, _) = seal(writer.session, tip, &[Event::SessionRenamed { title: "own".to_owned() }]);
    let mut pages: Vec<ImportPage> = Vec::new();
    for event in events {
        let stored = harness_engine::ports::StoredEvent { header_bytes: event.header_bytes, payload: event.payload };
        let blobs = vec![Blob::new(vec![7; 4])];
        pages.push(ImportPage { events: vec![stored], blobs, ..ImportPage::default() });
    }
    let (sender, receiver) = mpsc::channel(16);
    let lineage = vec![Ancestor { session: theirs, last: tip.sequence }];
    let row = super::summary(writer.session, "t", "/w", 1);
    let append = SessionAppend::new(writer.session, writer.epoch, tip, own);
    (Import { lineage, pages: receiver, append: SessionAppend { summary: Some(row), ..append } }, sender, pages)
}

async fn a_log_from_elsewhere_is_taken_in_as_one(stores: Stores) {
    for theirs in [session(1), session(8)] {
        let mut writer = Writer::acquire(&stores, session(1)).await;
        let (import, sender, pages) = import(&writer, theirs, &["1", "2"]);
        for page in pages {
            sender.try_send(page).unwrap();
        }
        sender.try_send(ImportPage { is_last: true, ..ImportPage::default() }).unwrap();
        stores.log.import(import).await.unwrap();
        assert_eq!(titles(&*stores.log, session(1)).await, whole(&["1", "2", "own"]));
        assert_eq!(lineage(&stores, 1).await, [(theirs, 2)]);
        writer.tip = stores.log.tip(session(1)).await.unwrap();
        writer.append(&["more"]).await.unwrap();
        assert_eq!(stores.index.count(SessionFilter::default()).await, Ok(1));
        stores.index.delete(session(1)).await.unwrap();
        assert_eq!(stores.blobs.get(Blob::new(vec![7; 4]).digest).await, Ok(None));
    }
}

async fn a_log_that_does_not_end_is_not_taken_in(stores: Stores) {
    let writer = Writer::acquire(&stores, session(1)).await;
    for last in [false, true] {
        let (import, sender, mut pages) = import(&writer, session(8), &["1", "2"]);
        // Cut off; or ended too early.
        pages.truncate(1);
        for page in pages {
            sender.try_send(ImportPage { is_last: last, ..page }).unwrap();
        }
        drop(sender);
        assert!(matches!(stores.log.import(import).await, Err(AppendError::Storage(_))));
        assert_eq!(stores.log.tip(session(1)).await, Ok(Tip::START));
        assert_eq!(stores.blobs.get(Blob::new(vec![7; 4]).digest).await, Ok(None));
        assert_eq!(stores.index.count(SessionFilter::default()).await, Ok(0));
    }
}
