//! Cases of the inbox: what was put is taken once, with the append that says so, or stays.

use super::{Stores, Writer, cases, session, titles, whole};
use crate::clock::SimClock;
use harness_core::{InboxId, Sequence, SessionId, TimeMs};
use harness_engine::ports::{
    AppendError, Blob, Consumed, INBOX_BYTES_MAX, INBOX_ENTRIES_MAX, INBOX_ENTRY_BYTES_MAX, INBOX_LOOK_MS,
    INBOX_OUTCOMES_MAX, InboxEntry, InboxError, InboxOutcome, InboxReceipt, PRINCIPAL_BYTES_MAX, SessionAppend,
    StoreError, UnreadEntry,
};

cases![
    what_was_put_is_read_in_order_and_in_pages,
    the_same_entry_again_changes_nothing,
    an_entry_goes_with_the_append_that_takes_it,
    an_append_without_events_takes_an_entry,
    what_does_not_wait_cannot_be_taken,
    a_refused_append_takes_nothing,
    each_session_has_an_inbox_of_its_own,
    limits_are_kept_to,
    outcomes_are_kept_for_a_while,
    who_waits_hears_of_an_entry_of_the_session,
    what_is_deleted_has_no_inbox,
];

fn entry(number: u128) -> InboxEntry {
    let input = format!("input {number}").into_bytes();
    InboxEntry { id: InboxId::from_bits(number), principal: "tester".to_owned(), input }
}

fn accepted(number: u128, sequence: u64) -> Consumed {
    let outcome = InboxOutcome::Accepted { sequence: Sequence(sequence) };
    Consumed { id: InboxId::from_bits(number), outcome }
}

async fn unread(stores: &Stores, session: SessionId) -> Vec<u128> {
    let unread = stores.inbox.unread(session, 0, usize::MAX).await.unwrap();
    unread.into_iter().map(|unread| unread.entry.id.bits()).collect()
}

async fn outcome(stores: &Stores, number: u128) -> Option<InboxOutcome> {
    let id = InboxId::from_bits(number);
    let receipt = stores.inbox.receipt(session(1), id).await.unwrap().expect("it is known");
    assert_eq!((receipt.session, receipt.id), (session(1), id));
    receipt.outcome
}

/// Puts many entries at once, in whatever order.
async fn put_all(stores: &Stores, numbers: impl Iterator<Item = u128>) {
    let mut puts = tokio::task::JoinSet::new();
    for number in numbers {
        let inbox = std::sync::Arc::clone(&stores.inbox);
        puts.spawn(async move { inbox.put(session(1), entry(number)).await });
    }
    assert!(puts.join_all().await.into_iter().all(|put| put.is_ok()));
}

/// Takes entries with one event.
async fn take(writer: &mut Writer, consumed: Vec<Consumed>) -> Result<(), AppendError> {
    let (append, tip) = writer.batch(&["taken"]);
    writer.log.append(vec![SessionAppend { consumed, ..append }]).await?;
    writer.tip = tip;
    Ok(())
}

async fn what_was_put_is_read_in_order_and_in_pages(stores: Stores) {
    Writer::acquire(&stores, session(1)).await;
    for number in [5, 3, 9] {
        stores.inbox.put(session(1), entry(number)).await.unwrap();
    }
    let mut found: Vec<UnreadEntry> = Vec::new();
    loop {
        let after = found.last().map_or(0, |last| last.place);
        let page = stores.inbox.unread(session(1), after, 2).await.unwrap();
        if page.is_empty() {
            break;
        }
        assert!(page.len() <= 2 && page.iter().all(|unread| unread.place > after));
        found.extend(page);
    }
    let entries: Vec<InboxEntry> = found.into_iter().map(|unread| unread.entry).collect();
    assert_eq!(entries, [entry(5), entry(3), entry(9)]);
}

async fn the_same_entry_again_changes_nothing(stores: Stores) {
    let mut writer = Writer::acquire(&stores, session(1)).await;
    for _ in 0..2 {
        stores.inbox.put(session(1), entry(1)).await.unwrap();
    }
    assert_eq!(unread(&stores, session(1)).await, [1]);
    take(&mut writer, vec![accepted(1, 1)]).await.unwrap();
    stores.inbox.put(session(1), entry(1)).await.unwrap();
    assert!(unread(&stores, session(1)).await.is_empty(), "it was taken already");
}

async fn an_entry_goes_with_the_append_that_takes_it(stores: Stores) {
    let mut writer = Writer::acquire(&stores, session(1)).await;
    for number in 1..=3 {
        stores.inbox.put(session(1), entry(number)).await.unwrap();
    }
    assert_eq!(outcome(&stores, 2).await, None);
    let refused = InboxOutcome::Refused { words: "not now".to_owned() };
    let declined = Consumed { id: InboxId::from_bits(1), outcome: refused.clone() };
    take(&mut writer, vec![accepted(2, 1), declined]).await.unwrap();
    assert_eq!(unread(&stores, session(1)).await, [3]);
    assert_eq!(outcome(&stores, 2).await, Some(InboxOutcome::Accepted { sequence: Sequence(1) }));
    assert_eq!(outcome(&stores, 1).await, Some(refused));
    assert_eq!(outcome(&stores, 3).await, None);
    assert_eq!(titles(&*stores.log, session(1)).await, whole(&["taken"]));
}

async fn an_append_without_events_takes_an_entry(stores: Stores) {
    let writer = Writer::acquire(&stores, session(1)).await;
    stores.inbox.put(session(1), entry(1)).await.unwrap();
    let append = SessionAppend::new(session(1), writer.epoch, writer.tip, Vec::new());
    stores.log.append(vec![SessionAppend { consumed: vec![accepted(1, 0)], ..append }]).await.unwrap();
    assert!(unread(&stores, session(1)).await.is_empty());
}

async fn what_does_not_wait_cannot_be_taken(stores: Stores) {
    let mut writer = Writer::acquire(&stores, session(1)).await;
    stores.inbox.put(session(1), entry(1)).await.unwrap();
    stores.inbox.put(session(1), entry(2)).await.unwrap();
    let storage = |result: Result<(), AppendError>| matches!(result, Err(AppendError::Storage(_)));
    assert!(storage(take(&mut writer, vec![accepted(1, 1), accepted(7, 1)]).await), "an unknown one");
    assert!(storage(take(&mut writer, vec![accepted(1, 1), accepted(1, 1)]).await), "one twice");
    assert_eq!(unread(&stores, session(1)).await, [1, 2], "a refused append takes none");
    take(&mut writer, vec![accepted(1, 1)]).await.unwrap();
    assert!(storage(take(&mut writer, vec![accepted(1, 2)]).await), "one that was taken");
    assert_eq!(titles(&*stores.log, session(1)).await, whole(&["taken"]));
}

async fn a_refused_append_takes_nothing(stores: Stores) {
    let mut old = Writer::acquire(&stores, session(1)).await;
    stores.inbox.put(session(1), entry(1)).await.unwrap();
    let mut new = Writer::acquire(&stores, session(1)).await;
    assert!(matches!(take(&mut old, vec![accepted(1, 1)]).await, Err(AppendError::Fenced { .. })));
    let large = Blob::new(vec![0; super::BLOB_QUOTA_BYTES as usize + 1]);
    let (append, _) = new.batch(&["too much"]);
    let append = SessionAppend { blobs: vec![large], consumed: vec![accepted(1, 1)], ..append };
    assert!(matches!(stores.log.append(vec![append]).await, Err(AppendError::Quota { .. })));
    assert_eq!((unread(&stores, session(1)).await, outcome(&stores, 1).await), (vec![1], None));
    take(&mut new, vec![accepted(1, 1)]).await.unwrap();
}

async fn each_session_has_an_inbox_of_its_own(stores: Stores) {
    let mut one = Writer::acquire(&stores, session(1)).await;
    Writer::acquire(&stores, session(2)).await;
    stores.inbox.put(session(1), entry(1)).await.unwrap();
    stores.inbox.put(session(2), entry(1)).await.unwrap();
    take(&mut one, vec![accepted(1, 1)]).await.unwrap();
    assert_eq!((unread(&stores, session(1)).await, unread(&stores, session(2)).await), (vec![], vec![1]));
    assert_eq!(stores.inbox.put(session(3), entry(1)).await, Err(InboxError::NotFound(session(3))));
    assert_eq!(stores.inbox.unread(session(3), 0, 1).await, Err(StoreError::NotFound(session(3))));
    let unknown = InboxId::from_bits(8);
    assert_eq!(stores.inbox.receipt(session(1), unknown).await, Ok(None::<InboxReceipt>));
}

async fn limits_are_kept_to(stores: Stores) {
    let mut writer = Writer::acquire(&stores, session(1)).await;
    let of = |number, bytes| InboxEntry { input: vec![b'x'; bytes], ..entry(number) };
    let bytes = INBOX_ENTRY_BYTES_MAX + 1;
    assert_eq!(stores.inbox.put(session(1), of(1, bytes)).await, Err(InboxError::TooLarge { bytes }));
    for name in [String::new(), "a\nb".to_owned(), "n".repeat(PRINCIPAL_BYTES_MAX + 1)] {
        let nameless = InboxEntry { principal: name, ..entry(1) };
        assert_eq!(stores.inbox.put(session(1), nameless).await, Err(InboxError::Principal));
    }
    let fitting = (INBOX_BYTES_MAX / INBOX_ENTRY_BYTES_MAX) as u128;
    for number in 0..fitting {
        stores.inbox.put(session(1), of(number, INBOX_ENTRY_BYTES_MAX)).await.unwrap();
    }
    assert_eq!(stores.inbox.put(session(1), of(1_000, 1)).await, Err(InboxError::Full(session(1))));
    take(&mut writer, (0..fitting).map(|number| accepted(number, 1)).collect()).await.unwrap();
    put_all(&stores, 1_000..1_000 + INBOX_ENTRIES_MAX as u128).await;
    assert_eq!(stores.inbox.put(session(1), entry(9_999)).await, Err(InboxError::Full(session(1))));
}

async fn outcomes_are_kept_for_a_while(stores: Stores) {
    let mut writer = Writer::acquire(&stores, session(1)).await;
    let most = INBOX_OUTCOMES_MAX as u128;
    // One more than is kept, a few at a time: the very first goes.
    for numbers in [0..1, 1..most / 2, most / 2..most + 1] {
        put_all(&stores, numbers.clone()).await;
        take(&mut writer, numbers.map(|number| accepted(number, 1)).collect()).await.unwrap();
    }
    assert_eq!(stores.inbox.receipt(session(1), InboxId::from_bits(0)).await, Ok(None));
    for number in [1, most] {
        assert!(outcome(&stores, number).await.is_some(), "{number}");
    }
}

async fn who_waits_hears_of_an_entry_of_the_session(stores: Stores) {
    Writer::acquire(&stores, session(1)).await;
    Writer::acquire(&stores, session(2)).await;
    stores.inbox.put(session(1), entry(1)).await.unwrap();
    let clock = SimClock::manual(TimeMs(0));
    // What waits already is no reason to wait.
    stores.inbox.arrival(session(1), 0, &clock).await;
    let known = stores.inbox.unread(session(1), 0, 1).await.unwrap()[0].place;
    let mut waiting = std::pin::pin!(stores.inbox.arrival(session(1), known, &clock));
    stores.inbox.put(session(2), entry(2)).await.unwrap();
    for _ in 0..50 {
        clock.advance(INBOX_LOOK_MS);
        tokio::select! {
            biased;
            () = &mut waiting => panic!("nothing came for this session"),
            () = tokio::task::yield_now() => {}
        }
    }
    stores.inbox.put(session(1), entry(3)).await.unwrap();
    waiting.await;
}

async fn what_is_deleted_has_no_inbox(stores: Stores) {
    let mut writer = Writer::acquire(&stores, session(1)).await;
    writer.append(&["one"]).await.unwrap();
    stores.inbox.put(session(1), entry(1)).await.unwrap();
    stores.index.delete(session(1)).await.unwrap();
    assert_eq!(stores.inbox.unread(session(1), 0, 1).await, Err(StoreError::NotFound(session(1))));
    Writer::acquire(&stores, session(1)).await;
    assert!(unread(&stores, session(1)).await.is_empty());
}
