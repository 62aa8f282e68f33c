//! A session as a file, and back.

use crate::checkpoints::{refold, replies, turn};
use crate::world::{World, finish};
use harness_core::envelope::{SealContext, seal};
use harness_core::event::{ForkFiles, ModelFailureKind, TurnEnd, TurnLimits};
use harness_core::message::Delivery;
use harness_core::{ApproveMode, Event, Sequence, SessionId, Tip};
use harness_engine::ports::{Blobs, EventLog, Index, SessionFilter};
use harness_engine::{ImportAs, ImportError, ImportLimits, OpenError};
use harness_sim::gate::Gate;
use harness_sim::scripted_model::{Reply, ScriptedModel};
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

#[tokio::test]
async fn what_was_granted_elsewhere_is_not_in_force_in_a_fork_from_before_the_import() {
    let (_, _, file) = exported().await;
    let other = World::new(ScriptedModel::tape([]));
    let here = import(&other, &file, ImportAs::New).await.unwrap();
    let begun = other.store.tip(here).await.unwrap().sequence;
    let fork = other.host.fork(here, Some(begun), ForkFiles::Shared).await.unwrap();
    for (of, at) in [(here, 1), (here, begun.0 - 1), (fork, 1), (fork, begun.0 - 1)] {
        let refused = other.host.fork(of, Some(Sequence(at)), ForkFiles::Shared).await;
        let last = Sequence(begun.0 - 1);
        let is_named = matches!(&refused, Err(OpenError::WrittenElsewhere { session, last: told }) if (*session, *told) == (of, last));
        assert!(is_named, "at {at}: {refused:?}");
    }
    assert_eq!(other.store.count(SessionFilter::default()).await, Ok(2));
}

/// A file with more events at its end, sealed as any are.
fn with_more(file: &[u8], events: &[Event]) -> Vec<u8> {
    let text = std::str::from_utf8(file).unwrap();
    let mut lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let tip = Tip {
        sequence: Sequence(lines[0]["events"].as_u64().unwrap()),
        hash: lines[0]["tip"].as_str().unwrap().parse().unwrap(),
    };
    let session: SessionId = lines[0]["session"].as_str().unwrap().parse().unwrap();
    let (tenant, actor) = (harness_core::TenantId::local(), harness_core::Actor::Host);
    let lineage = harness_core::envelope::Lineage::root_of(session);
    let context = SealContext { tenant, session, lineage, time: harness_core::TimeMs(1), actor };
    let mut after = tip;
    for (event, at) in events.iter().zip(lines[0]["events"].as_u64().unwrap() + 1..) {
        let (sealed, tip) = seal(after, &context, std::slice::from_ref(event), || [7; 16]);
        after = tip;
        let payload = sealed[0].payload.as_ref().unwrap();
        let [header, payload] =
            [&sealed[0].header_bytes, &payload.bytes].map(|it| String::from_utf8(it.clone()).unwrap());
        let line = serde_json::json!({ "header": header, "salt": "07".repeat(16), "payload": payload });
        lines.insert(usize::try_from(at).unwrap(), line);
    }
    lines[0]["events"] = after.sequence.0.into();
    lines[0]["tip"] = after.hash.to_string().into();
    let end = lines.pop().unwrap();
    let mut whole: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let digest = harness_core::Digest::of(whole.as_bytes()).to_string();
    whole.push_str(&format!("{}\n", serde_json::json!({ "end": digest, "blobs": end["blobs"] })));
    whole.into_bytes()
}

#[tokio::test]
async fn a_file_with_rewinds_is_verified_whole_like_any_other() {
    let (_, _, file) = exported().await;
    let renamed = |title: &str| Event::SessionRenamed { title: title.to_owned() };
    let rewound = |to: u64| Event::SessionRewound { to: Sequence(to) };
    let other = World::new(ScriptedModel::tape([]));
    let sound = with_more(&file, &[renamed("before"), rewound(3), renamed("after"), rewound(6), renamed("last")]);
    let here = import(&other, &sound, ImportAs::New).await.unwrap();
    let (row, loaded) = (other.store.summary(here).await.unwrap(), other.host.load(here).await.unwrap());
    assert_eq!((row.title.as_str(), row.turns), ("last", loaded.state.turns));
    assert_eq!(other.host.verify_whole(here, None).await.unwrap().known_head_at, None);
    let retry = Event::RetryDue;
    let many = (2..1_004).map(rewound).collect::<Vec<_>>();
    for (what, events) in [
        ("what makes no sense after a rewind", vec![rewound(3), retry]),
        ("a rewind to what is not there", vec![rewound(9_999)]),
        ("a second one to what is not there", vec![rewound(3), rewound(9_999)]),
        ("one to itself", vec![rewound(loaded.tip.sequence.0 + 1)]),
        ("more than are remembered", [vec![renamed("x"); 1_010], many].concat()),
    ] {
        let refused = import(&other, &with_more(&file, &events), ImportAs::New).await;
        assert!(matches!(refused, Err(ImportError::Unsound { .. })), "{what}: {refused:?}");
    }
    assert_eq!(other.store.count(SessionFilter::default()).await, Ok(1));
}

#[tokio::test]
async fn a_file_whose_changes_lead_out_of_the_workspace_is_refused() {
    let (_, _, file) = exported().await;
    let other = World::new(ScriptedModel::tape([]));
    for path in ["../x", "/etc/x", "a/../../x", "a//x", "a/.", ""] {
        let change = harness_core::change::Change {
            path: path.to_owned(),
            before: None,
            after: Some(harness_core::change::FileState::Directory),
        };
        let (undo, of) = (harness_core::CallId::from_bits(1), vec![harness_core::CallId::from_bits(2)]);
        let event = Event::UndoRequested { undo, of, manifest: harness_core::Manifest::new(vec![change]) };
        let refused = import(&other, &with_more(&file, &[event]), ImportAs::New).await.unwrap_err().to_string();
        assert!(refused.contains("out of the workspace"), "{path}: {refused}");
    }
}

#[tokio::test]
async fn what_waits_to_be_delivered_waits_where_it_was_said_and_not_in_what_is_made_of_the_file() {
    // After a failure nothing begins by itself.
    let gate = Gate::closed();
    let world = World::tape([Reply::failure(ModelFailureKind::Refused).behind(&gate)]);
    let session = world.create(ApproveMode::Edits).await;
    let id = session.id();
    session.prompt("go on", TurnLimits::default()).await.unwrap();
    gate.reached(1).await;
    let message = session.say("later", Delivery::Queue, TurnLimits::default()).await.unwrap();
    gate.open();
    assert!(matches!(finish(&session).await.unwrap(), TurnEnd::Failed { .. }));
    session.close().await;
    let other = World::tape([Reply::text("hello")]);
    let here = import(&other, &export(&world, id).await, ImportAs::New).await.unwrap();
    let session = other.open(here, ApproveMode::Edits).await.unwrap();
    assert!(session.withdraw(message).await.is_err());
    turn(&session).await;
    let state = session.snapshot().await.unwrap().state;
    assert_eq!((state.messages.len(), state.last_end), (0, Some(TurnEnd::Done)));
    let kinds = other.kinds(here).await;
    assert!(!kinds.iter().any(|kind| ["message_delivered", "message_expired"].contains(kind)), "{kinds:?}");
    assert_eq!(world.host.load(id).await.unwrap().state.messages.len(), 1, "there it waits");
}
