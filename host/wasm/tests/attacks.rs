//! Attacks that take more than one component: limits that are lowered, files that change under a guest, folders
//! without end.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use harness_core::Outcome;
use harness_core::event::Changes;
use harness_core::outcome::LimitName;
use harness_engine::ports::Hands;
use harness_wasm::{CallLimits, Runtime, RuntimeSettings};
use std::collections::BTreeSet;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use support::case;
use support::ground::Ground;

/// Calls made while files change under them.
const RACING_CALLS: usize = 100;
/// Files in one folder.
const MANY_FILES: usize = 100_000;

/// Limits that no outcome shows at another value: the stack is the runtime's, and `log-bytes` drops the oldest bytes
/// instead.
const UNSHOWN: &[LimitName] = &[LimitName::StackBytes, LimitName::LogBytes];

fn runtime(limits: CallLimits) -> Arc<Runtime> {
    Arc::new(Runtime::new(RuntimeSettings { limits, threads: 2, ..RuntimeSettings::default() }))
}

#[test]
fn every_limit_is_crossed_by_a_case() {
    // A field of the table without a name would be looked for by nobody.
    let fields = format!("{:?}", CallLimits::DEFAULT).matches(": ").count();
    assert_eq!(fields, LimitName::ALL.len(), "each field of CallLimits is in LimitName::ALL");
    let crossed: BTreeSet<_> = case::all().iter().filter_map(|found| found.case.limit.clone()).collect();
    for limit in LimitName::ALL {
        assert!(crossed.contains(limit.name()), "no case of tests/hostile/cases crosses {}", limit.name());
    }
}

/// Where the limit of a case is halved, by the component's own limits or by those of the session, it is that half
/// that is crossed; where it is raised, nothing changes.
#[tokio::test]
async fn a_limit_holds_where_component_or_session_lower_it_and_is_never_raised() {
    let root = tempfile::tempdir().unwrap();
    let work = support::workspace(root.path());
    let ground = Ground::start().await;
    let settings =
        RuntimeSettings { limits: case::limits(), threads: 2, egress: ground.egress(), ..Default::default() };
    let runtime = Arc::new(Runtime::new(settings));
    let mut seen = BTreeSet::new();
    for found in case::all() {
        let Some(limit) = found.case.crosses() else { continue };
        // One case of each limit shows it.
        if found.case.then_text.is_some() || UNSHOWN.contains(&limit) || !seen.insert(limit.name()) {
            continue;
        }
        ground.set(&found.case);
        let own = found.case.limits();
        let (mut half, mut raised) = (own, own);
        let maximum = own.maximum(limit) / 2;
        case::set(&mut half, limit, maximum);
        case::set(&mut raised, limit, u64::MAX);
        let by_component = support::read("attack", found.bytes(), half).unwrap();
        let by_session = support::read("attack", found.bytes(), raised).unwrap();
        let hands = [
            support::hands(&runtime, &work, std::slice::from_ref(&by_component)),
            support::hands(&runtime, &work, &[by_session]).lowered_to(&half),
            // What a component lowered stays lowered, whatever the session would give.
            support::hands(&runtime, &work, &[by_component]).lowered_to(&raised),
        ];
        for (at, hands) in hands.iter().enumerate() {
            let report = hands.execute(found.case.request(&ground)).await;
            let expected = Outcome::OverLimit { limit, maximum };
            assert_eq!(report.outcome, expected, "{} of {}, way {at}", limit.name(), found.name);
        }
    }
    assert_eq!(seen.len() + UNSHOWN.len(), LimitName::ALL.len(), "{seen:?}");
}

/// Swaps a folder and a link out of the workspace, as fast as it goes, until told to stop.
fn swap(work: &Path, stop: &AtomicBool) {
    symlink("../outside", work.join("trap")).unwrap();
    while !stop.load(Ordering::SeqCst) {
        // Never missing for long: folder away, link in its place, and back.
        let _ = std::fs::rename(work.join("inside"), work.join("aside"));
        let _ = std::fs::rename(work.join("trap"), work.join("inside"));
        let _ = std::fs::rename(work.join("inside"), work.join("trap"));
        let _ = std::fs::rename(work.join("aside"), work.join("inside"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_that_becomes_a_link_under_a_guest_leads_nowhere() {
    let root = tempfile::tempdir().unwrap();
    let work = support::workspace(root.path());
    std::fs::write(work.join("inside/secret"), "inside").unwrap();
    let runtime = runtime(CallLimits::DEFAULT);
    let tools = [support::built_in("read_file"), support::built_in("write_file"), support::built_in("list_dir")];
    let hands = support::hands(&runtime, &work, &tools);
    let stop = Arc::new(AtomicBool::new(false));
    let swapping = std::thread::spawn({
        let (work, stop) = (work.clone(), stop.clone());
        move || swap(&work, &stop)
    });
    let mut words = BTreeSet::new();
    for turn in 0..RACING_CALLS {
        let read = support::call(&hands, "read_file", "{\"path\":\"inside/secret\"}").await;
        let text = read.outcome.model_text(&[]);
        assert!(!text.contains("secret\n") && text.trim() != "secret", "turn {turn}: it read outside: {text}");
        words.insert(read.outcome.word());
        let listed = support::call(&hands, "list_dir", "{\"path\":\"inside\"}").await;
        words.insert(listed.outcome.word());
        let written = support::call(&hands, "write_file", "{\"path\":\"inside/new\",\"content\":\"x\"}").await;
        words.insert(written.outcome.word());
    }
    stop.store(true, Ordering::SeqCst);
    swapping.join().unwrap();
    assert!(words.contains("returned"), "the race was never won by the guest: {words:?}");
    support::assert_outside_is_untouched(root.path());
}

#[tokio::test]
async fn a_folder_of_a_hundred_thousand_files_is_listed_or_refused_and_harms_nobody() {
    let root = tempfile::tempdir().unwrap();
    for number in 0..MANY_FILES {
        std::fs::File::create(root.path().join(format!("{number:06}"))).unwrap();
    }
    let runtime = runtime(CallLimits::DEFAULT);
    let tools = [support::built_in("list_dir"), support::built_in("glob")];
    let hands = support::hands(&runtime, root.path(), &tools);
    for (tool, arguments) in [("list_dir", "{\"path\":\".\"}"), ("glob", "{\"pattern\":\"**/*7\"}")] {
        let report = support::call(&hands, tool, arguments).await;
        let text = report.outcome.model_text(&[]);
        assert!(text.len() as u64 <= CallLimits::DEFAULT.output_bytes, "{tool}: {} bytes", text.len());
        assert_ne!(report.outcome.word(), "faulted", "{tool}: {text}");
        assert_eq!(report.changes, Changes::None, "{tool}");
    }
    // With too little room for the listing the call ends by name, and the next is as good as ever.
    let small = CallLimits { memory_bytes: 2 << 20, fuel: 10_000_000, ..CallLimits::DEFAULT };
    let limited = support::hands(&runtime, root.path(), &[support::built_in("list_dir")]).lowered_to(&small);
    let report = support::call(&limited, "list_dir", "{\"path\":\".\"}").await;
    assert_eq!(report.outcome.word(), "over_limit", "{:?}", report.outcome);
    let neighbour = support::hands(&runtime, root.path(), &[support::neighbour()]);
    assert_eq!(support::call(&neighbour, "attack", "{}").await.outcome, Outcome::text("ok"));
}
