//! Forking, rewinding, putting away.

use crate::checkpoints::{conversation_problems, keeping, next, refold, replies, turn};
use crate::world::{World, finish, prompt, until};
use harness_core::event::{ForkFiles, TurnEnd};
use harness_core::{ApproveMode, Item, Refusal, Sequence};
use harness_engine::ports::{Archived, EventLog, Index, SessionFilter, SessionStatus, Takeover};
use harness_engine::{Files, LoadError, OpenError, Selection, SessionError};
use harness_sim::scripted_model::{Reply, ScriptedModel};

fn prompts(items: &[std::sync::Arc<Item>]) -> usize {
    items.iter().filter(|item| matches!(item.as_ref(), Item::User { .. })).count()
}

#[tokio::test]
async fn a_fork_goes_on_apart_from_its_origin() {
    let world = World::tape([Reply::text("one"), Reply::text("two"), Reply::text("three"), Reply::text("four")]);
    let session = world.create(ApproveMode::Ask).await;
    let origin = session.id();
    turn(&session).await;
    let at = session.snapshot().await.unwrap().tip.sequence;
    turn(&session).await;
    // The origin is in use meanwhile. The middle of a batch counts as its end.
    let middle = Sequence(at.0 - 1);
    let fork = world.host.fork(origin, Some(middle), ForkFiles::Shared).await.unwrap();
    let copied = ForkFiles::Copied { workspace: "/copy".to_owned() };
    let clone = world.host.fork(origin, None, copied).await.unwrap();
    let row = world.store.summary(fork).await.unwrap();
    assert_eq!((row.title.as_str(), row.origin, row.workspace.as_str()), ("go on (fork)", Some(origin), "/work"));
    assert_eq!(world.store.summary(clone).await.unwrap().workspace, "/copy");

    let loaded = world.host.load(fork).await.unwrap();
    assert_eq!((prompts(&loaded.state.history), loaded.tip.sequence), (1, at.next()));
    assert_eq!((loaded.lineage.root, loaded.origin), (fork, Some(origin)));
    assert_eq!(prompts(&world.host.load(clone).await.unwrap().state.history), 2);
    let opened = world.open(fork, ApproveMode::Ask).await.unwrap();
    turn(&opened).await;
    turn(&session).await;
    opened.close().await;
    let forks_own = world.host.load(fork).await.unwrap();
    assert_eq!((prompts(&forks_own.state.history), forks_own.state.turns), (2, 2));
    assert_eq!(prompts(&session.snapshot().await.unwrap().state.history), 3);
    session.close().await;

    // What is shared stays when the origin goes.
    world.host.delete(origin).await.unwrap();
    assert_eq!(world.host.load(fork).await.unwrap().state, forks_own.state);
    world.host.verify(fork).await.unwrap();
    world.host.verify(clone).await.unwrap();
    assert_eq!(world.model.problems(), Vec::<String>::new());
}

#[tokio::test]
async fn a_fork_takes_up_the_turn_of_its_origin() {
    let write = ("write_file", r#"{"path":"b.txt","content":"new"}"#);
    let world = World::tape([Reply::calls(&[write]), Reply::text("fork"), Reply::text("origin")]);
    let session = world.create(ApproveMode::Ask).await;
    prompt(&session).await;
    until(&session, "approval_asked").await;
    let fork = world.host.fork(session.id(), None, ForkFiles::Shared).await.unwrap();
    let opened = world.open(fork, ApproveMode::Ask).await.unwrap();
    assert_eq!(opened.snapshot().await.unwrap().state.pending().len(), 1);
    assert_eq!(finish(&opened).await.unwrap(), TurnEnd::Done);
    assert_eq!(session.snapshot().await.unwrap().state.pending().len(), 1, "the origin still waits");
    opened.close().await;
    session.close().await;
}

#[tokio::test]
async fn forks_of_forks_load_and_wrong_places_are_refused() {
    let mut world = World::new(ScriptedModel::tape(replies(2, 3)));
    world.host = keeping(&world);
    let session = world.create(ApproveMode::Edits).await;
    for _ in 0..3 {
        turn(&session).await;
    }
    let id = session.id();
    session.close().await;
    let tip = world.store.tip(id).await.unwrap().sequence;
    let one = world.host.fork(id, None, ForkFiles::Shared).await.unwrap();
    let two = world.host.fork(one, None, ForkFiles::Shared).await.unwrap();
    let three = world.host.fork(two, Some(Sequence(tip.0 / 2)), ForkFiles::Shared).await.unwrap();
    assert_eq!(world.store.summary(two).await.unwrap().title, "go on (fork) (fork)");
    for fork in [one, two, three] {
        assert_eq!(world.host.load(fork).await.unwrap().state, refold(&world, fork).await);
        world.host.verify(fork).await.unwrap();
        assert!(!world.host.changes(fork).await.unwrap().is_empty());
    }
    for at in [0, tip.0 + 1, u64::MAX] {
        let refused = world.host.fork(id, Some(Sequence(at)), ForkFiles::Shared).await;
        assert!(matches!(refused, Err(OpenError::Load(LoadError::NoEvent { .. }))), "{refused:?}");
    }
}

#[tokio::test]
async fn a_log_that_is_not_the_recorded_lineage_is_not_believed() {
    let world = World::tape([Reply::text("one"), Reply::text("two")]);
    let (one, two) = (world.create(ApproveMode::Ask).await, world.create(ApproveMode::Ask).await);
    turn(&one).await;
    turn(&two).await;
    world.log.mislead(two.id());
    let (loaded, verified) = (world.host.load(one.id()).await, world.host.verify(one.id()).await);
    assert!(matches!(loaded, Err(LoadError::Damaged { .. })) && matches!(verified, Err(LoadError::Damaged { .. })));
}

#[tokio::test]
async fn a_rewound_session_loads_as_it_is() {
    for seed in 20..28_u32 {
        let mut random = seed;
        let mut world = World::new(ScriptedModel::tape(replies(seed, 10)));
        // With checkpoints, and without any.
        if seed % 2 == 0 {
            world.host = keeping(&world);
        }
        let session = world.create(ApproveMode::Edits).await;
        for _ in 0..10 {
            turn(&session).await;
            let before = session.snapshot().await.unwrap();
            let to = Sequence(u64::from(next(&mut random)) % before.tip.sequence.0 + 1);
            let rewound = session.rewind(to).await.unwrap();
            assert!(rewound >= to);
            let now = session.snapshot().await.unwrap();
            assert_eq!(now.tip.sequence, before.tip.sequence.next());
            assert_eq!((now.state.usage, now.state.turns), (before.state.usage, before.state.turns));
            assert_eq!(refold(&world, session.id()).await, now.state, "seed {seed}");
            assert_eq!(world.host.load(session.id()).await.unwrap().state, now.state, "seed {seed}");
        }
        assert_eq!(conversation_problems(&world), Vec::<String>::new());
        session.close().await;
    }
}

#[tokio::test]
async fn a_rewind_waits_for_the_turn_to_end() {
    let write = ("write_file", r#"{"path":"b.txt","content":"new"}"#);
    let world = World::tape([Reply::calls(&[write]), Reply::text("done")]);
    let session = world.create(ApproveMode::Ask).await;
    prompt(&session).await;
    until(&session, "approval_asked").await;
    let before = session.snapshot().await.unwrap();
    for (to, refusal) in
        [(1, Refusal::TurnRunning), (0, Refusal::NoEvent(Sequence(0))), (99, Refusal::NoEvent(Sequence(99)))]
    {
        let refused = session.rewind(Sequence(to)).await;
        assert!(matches!(&refused, Err(SessionError::Refused(it)) if *it == refusal), "{refused:?}");
    }
    assert_eq!(session.snapshot().await.unwrap().tip, before.tip);
    finish(&session).await.unwrap();
    session.rewind(Sequence(2)).await.unwrap();
    assert_eq!(session.snapshot().await.unwrap().state.history.len(), 0);
    let id = session.id();
    session.close().await;
    let newest = world.store.checkpoint(id, Sequence(u64::MAX)).await.unwrap();
    assert_eq!(newest.map(|newest| newest.tip), world.store.tip(id).await.ok(), "waking need not read what was left");
}

#[tokio::test]
async fn what_is_put_away_is_left_out_of_lists() {
    let world = World::tape([]);
    let session = world.create(ApproveMode::Ask).await;
    let id = session.id();
    let count = async |archived| {
        let filter = SessionFilter { archived, ..SessionFilter::default() };
        world.store.count(filter).await.unwrap()
    };
    session.archive(true).await.unwrap();
    assert_eq!((count(Archived::LeftOut).await, count(Archived::Only).await), (0, 1));
    session.close().await;
    world.host.archive(id, false).await.unwrap();
    assert_eq!((count(Archived::LeftOut).await, count(Archived::Included).await), (1, 1));
    assert!(!world.host.load(id).await.unwrap().state.archived);
}

#[tokio::test]
async fn a_forks_row_says_what_its_log_says() {
    let write = ("write_file", r#"{"path":"b.txt","content":"new"}"#);
    let world = World::tape([Reply::text("one"), Reply::calls(&[write]), Reply::text("done")]);
    let session = world.create(ApproveMode::Ask).await;
    let id = session.id();
    turn(&session).await;
    let idle = session.snapshot().await.unwrap().tip.sequence;
    prompt(&session).await;
    until(&session, "approval_asked").await;
    let asked = session.snapshot().await.unwrap().tip.sequence;
    let of_idle = world.host.fork(id, Some(idle), ForkFiles::Shared).await.unwrap();
    finish(&session).await.unwrap();
    session.close().await;
    let end = world.store.tip(id).await.unwrap().sequence;
    let of_asked = world.host.fork(id, Some(asked), ForkFiles::Shared).await.unwrap();
    let mut forks = vec![of_idle, of_asked];
    for at in 1..=end.0 {
        forks.push(world.host.fork(id, Some(Sequence(at)), ForkFiles::Shared).await.unwrap());
    }
    // Forks of a fork that works elsewhere, from before and from after it began.
    let copied = ForkFiles::Copied { workspace: "/copy".to_owned() };
    let copy = world.host.fork(id, Some(idle), copied).await.unwrap();
    world.host.rename(copy, "The copy").await.unwrap();
    for at in [1, idle.0, idle.0 + 1] {
        forks.push(world.host.fork(copy, Some(Sequence(at)), ForkFiles::Shared).await.unwrap());
    }
    for fork in forks {
        let row = world.store.summary(fork).await.unwrap();
        let loaded = world.host.load(fork).await.unwrap();
        let told = (row.status, row.turns, row.workspace);
        assert_eq!(told, (loaded.status(), loaded.state.turns, loaded.state.workspace), "at {}", row.last_sequence);
    }
    let status = Some(SessionStatus::NeedsAnswer);
    let waiting =
        world.store.list(SessionFilter { status, sessions_max: 100, ..SessionFilter::default() }).await.unwrap();
    assert!(waiting.iter().any(|row| row.session == of_asked) && !waiting.iter().any(|row| row.session == of_idle));
}

#[tokio::test]
async fn a_rewind_with_files_says_what_stays_undone() {
    let write = |path: &str| Reply::calls(&[("write_file", &format!(r#"{{"path":"{path}","content":"new"}}"#))]);
    let world = World::tape([write("b.txt"), Reply::text("one"), write("c.txt"), Reply::text("two")]);
    let session = world.create(ApproveMode::Edits).await;
    let id = session.id();
    let begun = session.snapshot().await.unwrap().tip.sequence;
    turn(&session).await;
    let one = session.snapshot().await.unwrap().tip.sequence;
    turn(&session).await;
    session.close().await;
    let rewind = async |to: Sequence| {
        let plan = world.host.plan_undo(id, Selection::After(to)).await.unwrap();
        let files = Some(Files { plan: &plan, over: None });
        let hands = std::sync::Arc::clone(&world.hands) as _;
        world.host.rewind(id, to, files, hands, Takeover::IfGone).await.unwrap().unwrap();
        plan.stay_undone
    };
    assert_eq!(rewind(begun).await, Vec::<String>::new());
    assert_eq!((world.file("b.txt").as_str(), world.file("c.txt").as_str()), ("beta", ""));
    // What was left then is gone back to; its file is not written again.
    assert_eq!(rewind(one).await, ["b.txt"]);
    assert_eq!(world.file("b.txt"), "beta");
}

#[tokio::test]
async fn a_rewind_over_calls_that_come_to_nothing_together_is_one_without_files() {
    let write = ("write_file", r#"{"path":"c.txt","content":"new"}"#);
    let delete = ("delete_file", r#"{"path":"c.txt"}"#);
    let world = World::tape([Reply::calls(&[write]), Reply::calls(&[delete]), Reply::text("done")]);
    let session = world.create(ApproveMode::Edits).await;
    let id = session.id();
    let begun = session.snapshot().await.unwrap().tip.sequence;
    turn(&session).await;
    session.close().await;
    let plan = world.host.plan_undo(id, Selection::After(begun)).await.unwrap();
    assert_eq!((plan.of.len(), plan.manifest.is_empty()), (2, true), "{plan:?}");
    let (files, hands) = (Some(Files { plan: &plan, over: None }), std::sync::Arc::clone(&world.hands) as _);
    world.host.rewind(id, begun, files, hands, Takeover::IfGone).await.unwrap().unwrap();
    assert_eq!(prompts(&world.host.load(id).await.unwrap().state.history), 0);
}
