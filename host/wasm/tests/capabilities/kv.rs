//! Values that outlast a call.

use crate::lab::{Lab, assert_not_granted, assert_over, returned};
use harness_core::grant::Scope;
use harness_core::outcome::LimitName;
use harness_core::record::{KvSpace, KvWrite};
use harness_core::{Outcome, SessionId};
use serde_json::{Value, json};

fn steps(scope: &str, steps: &[Value]) -> Value {
    json!({ "scope": scope, "steps": steps })
}

fn space(scope: Scope, owner: &str) -> KvSpace {
    KvSpace { component: "caps-rust".to_owned(), scope, owner: owner.to_owned() }
}

#[tokio::test]
async fn a_call_reads_its_own_writes_and_they_are_in_its_record() {
    let lab = Lab::new();
    let own = space(Scope::Session, &SessionId::from_bits(1).to_string());
    for (key, value) in [("a", "old"), ("b", "kept"), ("z", "other")] {
        lab.values.0.lock().unwrap().insert((own.clone(), key.to_owned()), value.as_bytes().to_vec());
    }
    let report = lab
        .call(
            "kv",
            steps(
                "session",
                &[
                    json!({ "do": "get", "key": "a" }),
                    json!({ "do": "set", "key": "a", "value": "new" }),
                    json!({ "do": "set", "key": "c", "value": "" }),
                    json!({ "do": "delete", "key": "b" }),
                    json!({ "do": "delete", "key": "never" }),
                    json!({ "do": "get", "key": "a" }),
                    json!({ "do": "get", "key": "b" }),
                    json!({ "do": "get", "key": "missing" }),
                    json!({ "do": "keys", "key": "" }),
                    json!({ "do": "keys", "key": "", "after": "a" }),
                ],
            ),
            &["kv write session"],
        )
        .await;
    assert_eq!(returned(&report), "old set set deleted deleted new none none a,c,z c,z");
    let write = |key: &str, value: Option<&str>| KvWrite {
        space: own.clone(),
        key: key.to_owned(),
        value: value.map(str::to_owned),
    };
    let expected = [write("a", Some("bmV3")), write("c", Some("")), write("b", None), write("never", None)];
    assert_eq!(report.record.kv, expected);
    assert_eq!(lab.values.0.lock().unwrap().len(), 3, "nobody but the engine makes them valid");
    assert!(!report.record.inputs.unwrap().is_complete, "what the store said is not in the record");
}

#[tokio::test]
async fn each_scope_has_its_grant_and_its_owner() {
    let lab = Lab::new();
    for (scope, owner) in [
        (Scope::Session, SessionId::from_bits(1).to_string()),
        (Scope::Principal, "someone".to_owned()),
        (Scope::Agent, "some-agent".to_owned()),
        (Scope::Global, String::new()),
    ] {
        let name = scope.word();
        let get = steps(name, &[json!({ "do": "get", "key": "k" })]);
        let set = steps(name, &[json!({ "do": "set", "key": "k", "value": "v" })]);
        let (read, write) = (format!("kv read {name}"), format!("kv write {name}"));
        let others = ["kv write session", "kv write principal", "kv write agent", "kv write global"];
        let others: Vec<&str> = others.into_iter().filter(|other| *other != write).collect();
        assert_not_granted(&lab.call("kv", get.clone(), &others).await, &read);
        assert_not_granted(&lab.call("kv", set.clone(), &[&read]).await, &write);
        lab.values.0.lock().unwrap().insert((space(scope, &owner), "k".to_owned()), name.as_bytes().to_vec());
        assert_eq!(returned(&lab.call("kv", get, &[&read]).await), name);
        assert_eq!(lab.call("kv", set, &[&write]).await.record.kv[0].space, space(scope, &owner));
    }
    let hidden = json!({ "steps": [{ "do": "get", "key": "k" }], "hide": true });
    let report = lab.call("kv", hidden, &[]).await;
    assert!(returned(&report).contains("NotGranted(\"kv read session\")"), "{}", returned(&report));
    assert_eq!(report.record.refused.len(), 1);
}

#[tokio::test]
async fn keys_values_writes_and_spaces_are_bounded() {
    let lab = Lab::new();
    let granted = &["kv write session"];
    let failed = async |step: Value| {
        let good = json!({ "do": "set", "key": "good", "value": "x" });
        let report = lab.call("kv", steps("session", &[good, step]), granted).await;
        assert_eq!(report.record.kv, [], "a call that failed has written nothing");
        let Outcome::Failed { message, .. } = report.outcome else { panic!("{:?}", report.outcome) };
        message
    };
    let set = |key: &str, key_times: u64, value_times: u64| json!({ "do": "set", "key": key, "key_times": key_times, "value": "v", "value_times": value_times });
    assert!(failed(set("", 1, 1)).await.contains("TooLarge"));
    assert!(failed(set("k", 257, 1)).await.contains("TooLarge"));
    assert!(failed(set("k", 1, (64 << 10) + 1)).await.contains("TooLarge"));
    assert!(lab.call("kv", steps("session", &[set("k", 256, 64 << 10)]), granted).await.outcome.is_success());

    let over = ["kv write session", "limit kv-bytes 200"];
    let report = lab.call("kv", steps("session", &[set("k", 1, 1), set("k", 1, 1)]), &over).await;
    assert!(report.outcome.is_success(), "{:?}", report.outcome);
    let report = lab.call("kv", steps("session", &[set("k", 1, 199)]), &over).await;
    assert_over(&report, LimitName::KvBytes, 200);

    let own = space(Scope::Session, &SessionId::from_bits(1).to_string());
    lab.values.0.lock().unwrap().insert((own, "big".to_owned()), vec![0; (16 << 20) - 100]);
    assert!(failed(set("more", 1, 200)).await.contains("Quota"));
    let freed = [json!({ "do": "delete", "key": "big" }), set("more", 1, 200)];
    assert!(lab.call("kv", steps("session", &freed), granted).await.outcome.is_success());
}

#[tokio::test]
async fn listings_end_at_a_thousand_keys_and_go_on_after_one() {
    let lab = Lab::new();
    let own = space(Scope::Session, &SessionId::from_bits(1).to_string());
    for number in 0..2_500 {
        lab.values.0.lock().unwrap().insert((own.clone(), format!("k{number:04}")), Vec::new());
    }
    let list = |first: Value, after: Option<&str>| {
        steps("session", &[first, json!({ "do": "keys", "key": "k", "after": after })])
    };
    let keys = async |first: Value, after: Option<&str>| {
        let report = lab.call("kv", list(first, after), &["kv write session"]).await;
        let told = returned(&report);
        told.split(' ').next_back().unwrap().split(',').map(str::to_owned).collect::<Vec<_>>()
    };
    let gone = json!({ "do": "delete", "key": "k0000" });
    let first = keys(gone, None).await;
    assert_eq!((first.len(), first[0].as_str(), first[999].as_str()), (1_000, "k0001", "k1000"));
    let added = json!({ "do": "set", "key": "k2499b", "value": "" });
    let last = keys(added, Some("k1999")).await;
    assert_eq!((last.len(), last[500].as_str()), (501, "k2499b"));
}
