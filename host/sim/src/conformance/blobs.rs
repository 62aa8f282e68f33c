//! Cases of contents by digest: kept with the events that name them, counted, checked, dropped.

use super::{BLOB_QUOTA_BYTES, Stores, Writer, cases, session, titles, whole};
use harness_core::Digest;
use harness_engine::ports::{AppendError, Blob, SessionAppend, StoreError};

cases![
    contents_of_every_size_come_back,
    an_unknown_content_is_none,
    a_wrong_digest_is_refused,
    a_damaged_content_is_an_error,
    a_refused_append_keeps_no_content,
    the_quota_covers_all_sessions,
    what_is_kept_already_costs_nothing,
    deleting_frees_the_quota,
    deleting_drops_only_what_no_other_session_names,
];

/// Small enough for any store to keep with its rows.
const SMALL_BYTES: usize = 10_000;
/// Large enough that a store may keep it elsewhere.
const LARGE_BYTES: usize = 300 << 10;

fn content(fill: u8, bytes: usize) -> Blob {
    Blob::new(vec![fill; bytes])
}

async fn keep(stores: &Stores, number: u64, blobs: Vec<Blob>) -> Result<(), AppendError> {
    Writer::acquire(stores, session(number)).await.append_with(&["keep"], blobs, None).await
}

async fn is_kept(stores: &Stores, blob: &Blob) -> bool {
    let found = stores.blobs.get(blob.digest).await.unwrap();
    assert!(found.as_ref().is_none_or(|bytes| *bytes == blob.bytes));
    found.is_some()
}

async fn contents_of_every_size_come_back(stores: Stores) {
    let sizes = [0, 1, SMALL_BYTES, (256 << 10) - 1, 256 << 10, (256 << 10) + 1];
    let blobs: Vec<Blob> = (1..).zip(sizes).map(|(fill, bytes)| content(fill, bytes)).collect();
    // One of them twice.
    let given = blobs.iter().chain(&blobs[..3]).cloned().collect();
    keep(&stores, 1, given).await.unwrap();
    for blob in &blobs {
        assert!(is_kept(&stores, blob).await, "{} bytes", blob.bytes.len());
    }
}

async fn an_unknown_content_is_none(stores: Stores) {
    assert_eq!(stores.blobs.get(Digest::of(b"never kept")).await, Ok(None));
}

async fn a_wrong_digest_is_refused(stores: Stores) {
    for bytes in [SMALL_BYTES, LARGE_BYTES] {
        let wrong = Blob { digest: Digest::of(b"something else"), ..content(1, bytes) };
        assert!(matches!(keep(&stores, 1, vec![wrong]).await, Err(AppendError::Storage(_))));
        assert_eq!(stores.blobs.get(Digest::of(b"something else")).await, Ok(None));
    }
    assert!(titles(&*stores.log, session(1)).await.is_empty());
}

async fn a_damaged_content_is_an_error(stores: Stores) {
    for bytes in [SMALL_BYTES, LARGE_BYTES] {
        let blob = content(1, bytes);
        keep(&stores, 1, vec![blob.clone()]).await.unwrap();
        (stores.damage)(blob.digest);
        let read = stores.blobs.get(blob.digest).await;
        assert!(matches!(&read, Err(StoreError::Damaged(what)) if what.contains(&blob.digest.hex())), "{read:?}");
    }
}

async fn a_refused_append_keeps_no_content(stores: Stores) {
    let blobs = [content(1, SMALL_BYTES), content(2, LARGE_BYTES)];
    let first = Writer::acquire(&stores, session(1)).await;
    let mut second = Writer::acquire(&stores, session(2)).await;
    second.epoch.0 += 1;
    let with = |writer: &Writer| SessionAppend { blobs: blobs.to_vec(), ..writer.batch(&["x"]).0 };
    assert!(stores.log.append(vec![with(&first), with(&second)]).await.is_err());
    for blob in &blobs {
        assert!(!is_kept(&stores, blob).await);
    }
}

async fn the_quota_covers_all_sessions(stores: Stores) {
    let third = BLOB_QUOTA_BYTES as usize / 3;
    for number in 1..=3 {
        keep(&stores, number, vec![content(number as u8, third)]).await.unwrap();
    }
    let before = BLOB_QUOTA_BYTES - BLOB_QUOTA_BYTES % 3;
    let over = content(9, SMALL_BYTES);
    let refused = keep(&stores, 4, vec![over.clone()]).await;
    let needed_bytes = before + SMALL_BYTES as u64;
    assert_eq!(refused, Err(AppendError::Quota { needed_bytes, quota_bytes: BLOB_QUOTA_BYTES }));
    assert!(!is_kept(&stores, &over).await);
    assert!(titles(&*stores.log, session(4)).await.is_empty(), "nothing of it was written");
    // To the last byte, and without contents there is no quota.
    keep(&stores, 4, vec![content(10, (BLOB_QUOTA_BYTES - before) as usize)]).await.unwrap();
    keep(&stores, 4, Vec::new()).await.unwrap();
    assert_eq!(titles(&*stores.log, session(4)).await, whole(&["keep", "keep"]));
}

async fn what_is_kept_already_costs_nothing(stores: Stores) {
    let most = content(1, BLOB_QUOTA_BYTES as usize - 10);
    for number in 1..=3 {
        keep(&stores, number, vec![most.clone(), most.clone()]).await.unwrap();
    }
}

async fn deleting_frees_the_quota(stores: Stores) {
    for fill in 1..=3 {
        keep(&stores, 1, vec![content(fill, BLOB_QUOTA_BYTES as usize)]).await.unwrap();
        stores.index.delete(session(1)).await.unwrap();
    }
}

async fn deleting_drops_only_what_no_other_session_names(stores: Stores) {
    for bytes in [SMALL_BYTES, LARGE_BYTES] {
        let (mine, shared) = (content(1, bytes), content(2, bytes));
        keep(&stores, 1, vec![mine.clone(), shared.clone()]).await.unwrap();
        // Named twice by the same session still goes with it.
        keep(&stores, 1, vec![mine.clone()]).await.unwrap();
        keep(&stores, 2, vec![shared.clone()]).await.unwrap();
        stores.index.delete(session(1)).await.unwrap();
        assert!(!is_kept(&stores, &mine).await);
        assert!(is_kept(&stores, &shared).await);
        stores.index.delete(session(2)).await.unwrap();
        assert!(!is_kept(&stores, &shared).await);
        // What was dropped can be kept again.
        keep(&stores, 3, vec![shared.clone()]).await.unwrap();
        assert!(is_kept(&stores, &shared).await);
        stores.index.delete(session(3)).await.unwrap();
    }
}
