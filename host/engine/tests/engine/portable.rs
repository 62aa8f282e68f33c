//! A session as a file, and back.

use crate::checkpoints::{refold, replies, turn};
use crate::world::World;
use harness_core::event::ForkFiles;
use harness_core::{ApproveMode, Sequence, SessionId, Tip};
use harness_engine::ports::{Blobs, EventLog, Index, SessionFilter};
use harness_engine::{ImportAs, ImportError, ImportLimits};
use harness_sim::scripted_model::ScriptedModel;
use std::io::Cursor;

/// A world with a session of some turns that was forked and went on, and the fork's file.
async fn exported() -> (World, SessionId, Vec<u8>) {
    let world = World::new(ScriptedModel::tape(replies(4, 4)));
    let session = world.create(ApproveMode::Edits).await;
    turn(&session).await;
    turn(&session).await;
    let id = session.id();
    session.close().await;
    let fork = world.host.fork(id, None, ForkFiles::Shared).await.unwrap();
    let session = world.open(fork, ApproveMode::Edits).await.unwrap();
    turn(&session).await;
    session.close().await;
    let file = export(&world, fork).await;
    (world, fork, file)
}

async fn export(world: &World, id: SessionId) -> Vec<u8> {
    let mut file = Vec::new();
    let exported = world.host.export(id, &mut file).await.unwrap();
    let tip = world.store.tip(id).await.unwrap();
    assert_eq!(Tip { sequence: exported.events, hash: exported.head }, tip);
    file
}

async fn import(world: &World, file: &[u8], import_as: ImportAs) -> Result<SessionId, ImportError> {
    world.host.import(Cursor::new(file.to_vec()), import_as, "/elsewhere", ImportLimits::default()).await
}

#[tokio::test]
async fn an_exported_session_goes_on_elsewhere() {
    let (world, id, file) = exported().await;
    let theirs = refold(&world, id).await;
    let contents = world.store.named_by(id, None, 1_000).await.unwrap();
    assert!(!contents.is_empty());
    for import_as in [ImportAs::Same, ImportAs::New] {
        let other = World::new(ScriptedModel::tape(replies(6, 1)));
        let here = import(&other, &file, import_as).await.unwrap();
        assert_eq!(here == id, import_as == ImportAs::Same);
        let loaded = other.host.load(here).await.unwrap();
        assert_eq!((&loaded.state.history, loaded.state.usage), (&theirs.history, theirs.usage));
        assert_eq!((loaded.state.workspace.as_str(), loaded.origin), ("/elsewhere", Some(id)));
        for digest in &contents {
            assert_eq!(other.store.get(*digest).await, world.store.get(*digest).await);
        }
        let row = other.store.summary(here).await.unwrap();
        assert_eq!((row.last_sequence, row.turns), (loaded.tip.sequence, theirs.turns));
        let search = SessionFilter { search: Some("done".to_owned()), ..SessionFilter::default() };
        assert_eq!(other.store.count(search).await, Ok(1));

        let session = other.open(here, ApproveMode::Edits).await.unwrap();
        turn(&session).await;
        session.close().await;
        assert_eq!(other.model.problems(), Vec::<String>::new());
        other.host.verify(here).await.unwrap();
        // And on from there.
        let third = World::new(ScriptedModel::tape([]));
        let again = export(&other, here).await;
        let there = import(&third, &again, ImportAs::New).await.unwrap();
        let (there, here) = (third.host.load(there).await.unwrap(), other.host.load(here).await.unwrap());
        assert_eq!(there.state.history, here.state.history);
    }
}

#[tokio::test]
async fn an_id_that_is_taken_is_not_taken_again() {
    let (world, id, file) = exported().await;
    let before = world.store.tip(id).await;
    assert!(matches!(import(&world, &file, ImportAs::Same).await, Err(ImportError::Exists(it)) if it == id));
    assert_eq!(world.store.tip(id).await, before);
    assert_ne!(import(&world, &file, ImportAs::New).await.unwrap(), id);
}

#[tokio::test]
async fn erased_payloads_stay_erased_and_the_rest_survives() {
    let (world, id, _) = exported().await;
    world.store.erase_payload(id, Sequence(3)).await.unwrap();
    let file = export(&world, id).await;
    let other = World::new(ScriptedModel::tape([]));
    let here = import(&other, &file, ImportAs::Same).await.unwrap();
    other.host.verify(here).await.unwrap();
    let stored = other.store.read(here, Sequence(2), 2).await.unwrap();
    assert_eq!((stored[0].payload.is_none(), stored[1].payload.is_some()), (true, true));
    assert_eq!(other.store.summary(here).await.unwrap().workspace, "/elsewhere");
}

#[tokio::test]
async fn whatever_is_changed_in_a_file_is_noticed_and_nothing_is_written() {
    let (_, _, file) = exported().await;
    let other = World::new(ScriptedModel::tape([]));
    let check = async |what: String, bytes: &[u8]| {
        let refused = import(&other, bytes, ImportAs::New).await;
        assert!(matches!(refused, Err(ImportError::Unsound { .. })), "{what}: {refused:?}");
        assert_eq!(other.store.count(SessionFilter::default()).await, Ok(0), "{what}");
    };
    let step = (file.len() / 211).max(1);
    for at in (0..file.len()).step_by(step) {
        let mut changed = file.clone();
        changed[at] ^= 1;
        check(format!("byte {at}"), &changed).await;
    }
    for length in (0..file.len()).step_by(step * 3) {
        check(format!("cut at {length}"), &file[..length]).await;
    }
    let lines: Vec<&[u8]> = file.split_inclusive(|byte| *byte == b'\n').collect();
    for skipped in 0..lines.len() {
        let rest: Vec<u8> =
            lines.iter().enumerate().filter(|(at, _)| *at != skipped).flat_map(|(_, it)| it.to_vec()).collect();
        check(format!("without line {skipped}"), &rest).await;
    }
    check("with more".to_owned(), &[&file[..], b"{}\n"].concat()).await;
    check("twice".to_owned(), &[&file[..], &file[..]].concat()).await;
}

#[tokio::test]
async fn a_file_beyond_the_limits_is_refused_by_name() {
    let (_, _, file) = exported().await;
    let other = World::new(ScriptedModel::tape([]));
    let all = ImportLimits::default();
    for (limits, words) in [
        (ImportLimits { bytes_max: file.len() as u64 - 1, ..all }, "more than"),
        (ImportLimits { events_max: 5, ..all }, "1 to 5 are taken"),
        (ImportLimits { content_bytes_max: 1, ..all }, "at most 1 are taken"),
    ] {
        let refused = other.host.import(Cursor::new(file.clone()), ImportAs::New, "/w", limits).await;
        let told = refused.unwrap_err().to_string();
        assert!(told.contains(words), "{told}");
    }
    let exact = ImportLimits { bytes_max: file.len() as u64 + 1, ..all };
    other.host.import(Cursor::new(file), ImportAs::New, "/w", exact).await.unwrap();
}

#[tokio::test]
async fn nothing_that_was_granted_or_under_way_elsewhere_is_in_force() {
    let world = World::tape([harness_sim::scripted_model::Reply::calls(&[(
        "write_file",
        r#"{"path":"b.txt","content":"new"}"#,
    )])]);
    let session = world.create(ApproveMode::Ask).await;
    let capability = "question".parse().unwrap();
    let (component, source, scope) = ("any".to_owned(), String::new(), harness_core::Scope::Session);
    let grant = harness_core::Grant { component, capability, scope, until: None, source };
    session.grant(grant).await.unwrap();
    crate::world::prompt(&session).await;
    crate::world::until(&session, "approval_asked").await;
    let id = session.id();
    session.close().await;
    let file = export(&world, id).await;
    let other = World::new(ScriptedModel::tape([]));
    let here = import(&other, &file, ImportAs::Same).await.unwrap();
    let state = other.host.load(here).await.unwrap().state;
    assert_eq!((state.turn, state.grants.len(), state.context), (None, 0, None));
    let session = other.open(here, ApproveMode::Ask).await.unwrap();
    assert_eq!(session.snapshot().await.unwrap().state.pending().len(), 0);
    session.close().await;
}
