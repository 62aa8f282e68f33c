//! Crashes: the process dies at any append, before or after it is durable; the next one goes on.
//!
//! Not here: a kill between the system calls of a real put (the tests folder).

use crate::watched_log::Fate;
use crate::world::{World, context, finish, responses};
use harness_core::event::{TurnEnd, TurnLimits};
use harness_core::record::KvSpace;
use harness_core::{ApproveMode, Item, Scope, SessionId, TimeMs};
use harness_engine::ports::{Index, Kv, SessionFilter, Takeover};
use harness_sim::clock::SimClock;
use harness_sim::files::{Files, MemoryFiles};
use harness_sim::memory_store::MemoryStore;
use harness_sim::scripted_model::{Reply, ScriptedModel};
use std::sync::Arc;

/// Lives that one session may take to finish.
const LIVES_MAX: usize = 200;

fn staged_script() -> ScriptedModel {
    ScriptedModel::by(|request| {
        Some(match responses(request) {
            0 => Reply::calls(&[
                ("read_file", r#"{"path":"a.txt"}"#),
                ("read_file", r#"{"path":"b.txt"}"#),
                ("append_file", r#"{"path":"a.txt","content":" one"}"#),
                ("append_file", r#"{"path":"a.txt","content":" two"}"#),
            ]),
            1 => Reply::calls(&[
                ("delete_file", r#"{"path":"b.txt"}"#),
                ("append_file", r#"{"path":"c.txt","content":"three"}"#),
                ("read_file", r#"{"path":"a.txt"}"#),
            ]),
            _ => Reply::text("the end"),
        })
    })
}

fn component_script() -> ScriptedModel {
    ScriptedModel::by(|request| {
        Some(match responses(request) {
            0 => Reply::calls(&[
                ("ask_person", r#"{"path":"asked.txt","question":"may I?"}"#),
                ("call_tool", r#"{"tool":"append_file","arguments":"{\"path\":\"a.txt\",\"content\":\" one\"}"}"#),
                ("call_tool", r#"{"tool":"ask_person","arguments":"{\"path\":\"b.txt\",\"question\":\"?\"}"}"#),
                ("note", r#"{"key":"k","value":"eWVz"}"#),
                ("append_file", r#"{"path":"a.txt","content":" two"}"#),
            ]),
            _ => Reply::text("the end"),
        })
    })
}

fn direct_script() -> ScriptedModel {
    ScriptedModel::by(|request| {
        Some(match responses(request) {
            0 => Reply::calls(&[("run_command", r#"{"path":"ran.txt","content":"x"}"#)]),
            _ => Reply::text("the end"),
        })
    })
}

struct Lives {
    store: MemoryStore,
    files: Arc<MemoryFiles>,
    approve: ApproveMode,
    script: fn() -> ScriptedModel,
}

impl Lives {
    fn new(approve: ApproveMode, script: fn() -> ScriptedModel) -> Self {
        let files = Arc::new(MemoryFiles::default());
        files.write("a.txt", b"zero");
        files.write("b.txt", b"to go");
        Self { store: MemoryStore::new(), files, approve, script }
    }

    /// One life of a process: it takes the session up, or makes it, and goes as far as it gets.
    /// Gives whether it lived to the end.
    fn live(&self, fate: Option<(u64, Fate)>) -> bool {
        let clock = SimClock::jumping(TimeMs(1_700_000_000_000));
        let world = World::over(self.store.clone(), Arc::clone(&self.files), (self.script)(), clock);
        if let Some((append, fate)) = fate {
            world.log.plan(append, fate);
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let lived = runtime.block_on(async {
            tokio::select! {
                () = self.go_on(&world) => true,
                () = world.log.died() => false,
            }
        });
        // Whatever the process was doing stops here, without any ceremony.
        drop(runtime);
        assert_eq!(world.model.problems(), Vec::<String>::new());
        self.store.set_gone(world.holder.clone());
        lived
    }

    async fn go_on(&self, world: &World) {
        let hands = Arc::clone(&world.hands);
        let session = match self.session().await {
            None => world.create(self.approve).await,
            Some(id) => world.host.open(id, context(self.approve), Vec::new(), hands, Takeover::IfGone).await.unwrap(),
        };
        if session.snapshot().await.unwrap().state.turns == 0 {
            session.prompt("go", TurnLimits::default()).await.unwrap();
        }
        assert_eq!(finish(&session).await.unwrap(), TurnEnd::Done);
        session.close().await;
    }

    async fn session(&self) -> Option<SessionId> {
        let filter = SessionFilter { sessions_max: 10, ..SessionFilter::default() };
        let rows = self.store.list(filter).await.unwrap();
        assert!(rows.len() <= 1, "one session is enough");
        rows.first().map(|row| row.session)
    }

    /// What the component `note` has noted.
    fn noted(&self) -> Option<Vec<u8>> {
        let space = KvSpace { component: "note".to_owned(), scope: Scope::Global, owner: String::new() };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(self.store.kv_get(&space, "k")).unwrap()
    }

    /// The end as a person would see it: the conversation and the files.
    fn end(&self) -> (Vec<Arc<Item>>, String) {
        let world = World::over(
            self.store.clone(),
            Arc::clone(&self.files),
            ScriptedModel::tape([]),
            SimClock::jumping(TimeMs(0)),
        );
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let state = runtime.block_on(async { world.host.load(self.session().await.unwrap()).await.unwrap().state });
        assert_eq!(state.turn, None);
        let files = self.files.all();
        let shown = files.iter().map(|(path, content)| format!("{path}: {}\n", String::from_utf8_lossy(content)));
        (state.history, shown.collect())
    }
}

fn texts(history: &[Arc<Item>]) -> Vec<String> {
    let mut texts = Vec::new();
    for item in history {
        match item.as_ref() {
            Item::ToolResults { results } => texts.extend(results.iter().map(|result| result.text.clone())),
            Item::User { text } => texts.push(text.clone()),
            Item::Assistant { parts, .. } => texts.push(format!("{parts:?}")),
        }
    }
    texts
}

#[test]
fn whichever_append_the_process_dies_at_the_end_is_the_same() {
    let staged = (staged_script as fn() -> ScriptedModel, "a.txt: zero one two\nc.txt: three\n");
    let components = (component_script as fn() -> ScriptedModel, "a.txt: zero one two\nasked.txt: yes\nb.txt: yes\n");
    for (approve, (script, expected)) in
        [(ApproveMode::Ask, staged), (ApproveMode::Edits, staged), (ApproveMode::Ask, components)]
    {
        let calm = Lives::new(approve, script);
        assert!(calm.live(None));
        let (history, files) = calm.end();
        assert_eq!(files, expected);
        let noted = calm.noted();
        for fate in [Fate::DieBefore, Fate::DieAfter] {
            let mut append = 1;
            loop {
                let lives = Lives::new(approve, script);
                let lived = lives.live(Some((append, fate.clone())));
                assert!(lived || lives.live(None), "the second life finishes");
                let (history_now, files_now) = lives.end();
                assert_eq!(files_now, files, "{fate:?} {append}");
                assert_eq!(texts(&history_now), texts(&history), "{fate:?} {append}");
                assert_eq!(lives.noted(), noted, "{fate:?} {append}");
                if lived {
                    break;
                }
                append += 1;
            }
            assert!(append > 12, "the sweep reached every append: {append}");
        }
    }
}

#[test]
fn a_process_that_dies_over_and_over_gets_there() {
    for (append, fate) in [(2, Fate::DieAfter), (2, Fate::DieBefore), (3, Fate::DieBefore), (3, Fate::DieAfter)] {
        let lives = Lives::new(ApproveMode::Ask, staged_script);
        let lived = (0..LIVES_MAX).position(|_| lives.live(Some((append, fate.clone()))));
        // Where nothing but the opening becomes durable in a life, there is no progress to be made.
        let hopeless = matches!((append, &fate), (2, Fate::DieBefore));
        assert_eq!(lived.is_none(), hopeless, "{append} {fate:?}");
        if hopeless {
            assert!(lives.live(None), "and no harm done");
        }
        assert_eq!(lives.end().1, "a.txt: zero one two\nc.txt: three\n", "{append} {fate:?}");
    }
}

#[test]
fn what_reached_the_world_is_in_doubt_and_never_repeated() {
    let mut doubted = 0;
    for fate in [Fate::DieBefore, Fate::DieAfter] {
        for append in 1..=8 {
            let lives = Lives::new(ApproveMode::All, direct_script);
            let lived = lives.live(Some((append, fate.clone())));
            assert!(lived || lives.live(None));
            let (history, _) = lives.end();
            let ran = String::from_utf8(lives.files.read("ran.txt").unwrap_or_default()).unwrap();
            let in_doubt = texts(&history).iter().any(|text| text.starts_with("In doubt"));
            assert!(ran == "x" || (in_doubt && ran.is_empty()), "{fate:?} {append}: ran {ran:?}");
            doubted += usize::from(in_doubt);
        }
    }
    assert!(doubted >= 2, "the sweep hit the call: {doubted}");
}
