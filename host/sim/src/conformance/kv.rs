//! Cases of components' values: written with their events, read by space and key, dropped with their session.

use super::{Stores, Writer, cases, session, titles, whole};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use harness_core::record::{KvSpace, KvWrite};
use harness_core::{Digest, Scope};
use harness_engine::ports::{AppendError, Blob, SessionAppend};

cases![
    values_come_back_with_the_events_that_wrote_them,
    the_last_write_of_a_key_counts,
    spaces_do_not_meet,
    keys_are_paged_in_the_order_of_their_bytes,
    bytes_count_keys_and_values,
    a_refused_append_writes_no_value,
    what_is_not_base64_is_refused,
    deleting_a_session_drops_only_its_own_values,
];

fn space(component: &str, scope: Scope, owner: &str) -> KvSpace {
    KvSpace { component: component.to_owned(), scope, owner: owner.to_owned() }
}

fn global() -> KvSpace {
    space("notes", Scope::Global, "")
}

fn set(space: &KvSpace, key: &str, value: &[u8]) -> KvWrite {
    KvWrite { space: space.clone(), key: key.to_owned(), value: Some(STANDARD.encode(value)) }
}

fn delete(space: &KvSpace, key: &str) -> KvWrite {
    KvWrite { space: space.clone(), key: key.to_owned(), value: None }
}

async fn write(stores: &Stores, number: u64, kv: Vec<KvWrite>) -> Result<(), AppendError> {
    let writer = Writer::acquire(stores, session(number)).await;
    let (append, _) = writer.batch(&["write"]);
    stores.log.append(vec![SessionAppend { kv, ..append }]).await
}

async fn value(stores: &Stores, space: &KvSpace, key: &str) -> Option<Vec<u8>> {
    stores.kv.kv_get(space, key).await.unwrap()
}

async fn values_come_back_with_the_events_that_wrote_them(stores: Stores) {
    let all: Vec<u8> = (0..=255).collect();
    let values: [(&str, &[u8]); 4] = [("empty", b""), ("all", &all), ("größe", b"x"), ("large", &[7; 65_536])];
    write(&stores, 1, values.iter().map(|(key, value)| set(&global(), key, value)).collect()).await.unwrap();
    for (key, content) in values {
        assert_eq!(value(&stores, &global(), key).await.as_deref(), Some(content), "{key}");
    }
    assert_eq!(value(&stores, &global(), "unknown").await, None);
    assert_eq!(titles(&*stores.log, session(1)).await, whole(&["write"]));
}

async fn the_last_write_of_a_key_counts(stores: Stores) {
    let space = global();
    write(&stores, 1, vec![set(&space, "a", b"1"), set(&space, "b", b"1"), set(&space, "a", b"2")]).await.unwrap();
    assert_eq!(value(&stores, &space, "a").await.as_deref(), Some(b"2".as_slice()));
    write(&stores, 1, vec![delete(&space, "a"), set(&space, "b", b"2"), delete(&space, "unknown")]).await.unwrap();
    assert_eq!(value(&stores, &space, "a").await, None);
    assert_eq!(value(&stores, &space, "b").await.as_deref(), Some(b"2".as_slice()));
    write(&stores, 2, vec![delete(&space, "b"), set(&space, "b", b"3")]).await.unwrap();
    assert_eq!(value(&stores, &space, "b").await.as_deref(), Some(b"3".as_slice()), "whichever session wrote it");
    write(&stores, 2, vec![set(&space, "b", b"4"), delete(&space, "b")]).await.unwrap();
    assert_eq!(value(&stores, &space, "b").await, None);
}

async fn spaces_do_not_meet(stores: Stores) {
    let spaces = [
        space("notes", Scope::Global, ""),
        space("Notes", Scope::Global, ""),
        space("notes", Scope::Principal, ""),
        space("notes", Scope::Principal, "ada"),
        space("notes", Scope::Agent, "ada"),
        space("notes", Scope::Session, "ada"),
    ];
    let own = |number: usize| format!("{number}").into_bytes();
    let writes = spaces.iter().enumerate().map(|(number, space)| set(space, "k", &own(number)));
    write(&stores, 1, writes.collect()).await.unwrap();
    for (number, space) in spaces.iter().enumerate() {
        assert_eq!(value(&stores, space, "k").await, Some(own(number)), "{space:?}");
        assert_eq!(stores.kv.kv_keys(space, "", None, 10).await.unwrap(), ["k"]);
    }
    write(&stores, 1, vec![delete(&spaces[0], "k")]).await.unwrap();
    assert_eq!(value(&stores, &spaces[0], "k").await, None);
    assert_eq!(value(&stores, &spaces[1], "k").await, Some(own(1)));
}

async fn keys_are_paged_in_the_order_of_their_bytes(stores: Stores) {
    let mut keys = ["a", "a%", "a/1", "a/10", "a/2", "a/é", "a0", "B", "é", "a/", "_", "a_"];
    let writes = keys.iter().map(|key| set(&global(), key, b"v"));
    write(&stores, 1, writes.collect()).await.unwrap();
    keys.sort_unstable();
    for prefix in ["", "a", "a/", "a/1", "a%", "a_", "b", "é", "zz"] {
        let fitting: Vec<&str> = keys.iter().copied().filter(|key| key.starts_with(prefix)).collect();
        for keys_max in [1, 2, 5, 100] {
            let mut read: Vec<String> = Vec::new();
            loop {
                let after = read.last().map(String::as_str);
                let page = stores.kv.kv_keys(&global(), prefix, after, keys_max).await.unwrap();
                assert!(page.len() <= keys_max);
                let is_last = page.len() < keys_max;
                read.extend(page);
                if is_last {
                    break;
                }
            }
            assert_eq!(read, fitting, "prefix `{prefix}`, {keys_max} at once");
        }
    }
    // A position before the prefix, among its keys, behind them, and none that is a key.
    for (after, expected) in [
        ("", vec!["a/1", "a/10"]),
        ("A", vec!["a/1", "a/10"]),
        ("a/1", vec!["a/10"]),
        ("a/1/x", vec!["a/10"]),
        ("z", vec![]),
    ] {
        assert_eq!(stores.kv.kv_keys(&global(), "a/1", Some(after), 9).await.unwrap(), expected, "after `{after}`");
    }
    assert_eq!(stores.kv.kv_keys(&global(), "", None, 0).await.unwrap(), Vec::<String>::new());
}

async fn bytes_count_keys_and_values(stores: Stores) {
    assert_eq!(stores.kv.kv_bytes(&global()).await, Ok(0));
    let elsewhere = space("notes", Scope::Agent, "a");
    write(&stores, 1, vec![set(&global(), "é", b"\0\0\0"), set(&global(), "k", b""), set(&elsewhere, "k", b"1234")])
        .await
        .unwrap();
    assert_eq!(stores.kv.kv_bytes(&global()).await, Ok(2 + 3 + 1));
    write(&stores, 1, vec![set(&global(), "é", b"1"), delete(&global(), "k")]).await.unwrap();
    assert_eq!(stores.kv.kv_bytes(&global()).await, Ok(2 + 1));
}

async fn a_refused_append_writes_no_value(stores: Stores) {
    write(&stores, 1, vec![set(&global(), "k", b"before")]).await.unwrap();
    let writes = || vec![set(&global(), "k", b"after"), set(&global(), "new", b"x")];
    let mut old = Writer::acquire(&stores, session(1)).await;
    Writer::acquire(&stores, session(1)).await;
    let fenced = SessionAppend { kv: writes(), ..old.batch(&["late"]).0 };
    assert!(matches!(stores.log.append(vec![fenced]).await, Err(AppendError::Fenced { .. })));
    // Together with a session that is refused, or with contents that do not fit.
    old = Writer::acquire(&stores, session(1)).await;
    let mut other = Writer::acquire(&stores, session(2)).await;
    other.epoch.0 += 1;
    let good = || SessionAppend { kv: writes(), ..old.batch(&["late"]).0 };
    assert!(stores.log.append(vec![good(), other.batch(&["x"]).0]).await.is_err());
    let large = Blob::new(vec![1; super::BLOB_QUOTA_BYTES as usize + 1]);
    let refused = stores.log.append(vec![SessionAppend { blobs: vec![large], ..good() }]).await;
    assert!(matches!(refused, Err(AppendError::Quota { .. })));
    let wrong = Blob { digest: Digest::of(b"else"), ..Blob::new(vec![1]) };
    assert!(stores.log.append(vec![SessionAppend { blobs: vec![wrong], ..good() }]).await.is_err());
    assert_eq!(value(&stores, &global(), "k").await.as_deref(), Some(b"before".as_slice()));
    assert_eq!(value(&stores, &global(), "new").await, None);
    stores.log.append(vec![good()]).await.unwrap();
    assert_eq!(value(&stores, &global(), "k").await.as_deref(), Some(b"after".as_slice()));
}

async fn what_is_not_base64_is_refused(stores: Stores) {
    for wrong in ["=", "a", "YQ", "YQ= =", "Y-_=", "\u{e9}"] {
        let bad = KvWrite { space: global(), key: "bad".to_owned(), value: Some(wrong.to_owned()) };
        let refused = write(&stores, 1, vec![set(&global(), "good", b"x"), bad]).await;
        assert!(matches!(refused, Err(AppendError::Storage(_))), "{wrong}: {refused:?}");
    }
    assert_eq!(value(&stores, &global(), "good").await, None);
    assert!(titles(&*stores.log, session(1)).await.is_empty());
}

async fn deleting_a_session_drops_only_its_own_values(stores: Stores) {
    let of = |number: u64| space("notes", Scope::Session, &session(number).to_string());
    // An agent may happen to be named like a session.
    let agent = space("notes", Scope::Agent, &session(1).to_string());
    let other = space("other", Scope::Session, &session(1).to_string());
    let all = [of(1), of(2), agent, other, global()];
    write(&stores, 1, all.iter().map(|space| set(space, "k", b"v")).collect()).await.unwrap();
    write(&stores, 2, Vec::new()).await.unwrap();
    stores.index.delete(session(1)).await.unwrap();
    let mut left = Vec::new();
    for space in &all {
        left.push(value(&stores, space, "k").await.is_some());
    }
    assert_eq!(left, [false, true, true, false, true]);
}
