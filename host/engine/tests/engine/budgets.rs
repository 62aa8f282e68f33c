//! What may be spent, in whole turns: what nobody says counts as what was set aside, and a raised budget goes on.

use crate::watched_log::Fate;
use crate::world::{World, context, finish, prompt, settle};
use harness_core::budget::Budget;
use harness_core::event::{ModelFailureKind, TurnEnd, TurnLimits};
use harness_core::item::Usage;
use harness_core::message::Delivery;
use harness_core::{ApproveMode, Event, Sequence, SessionId};
use harness_engine::ports::Takeover;
use harness_sim::gate::Gate;
use harness_sim::scripted_model::{Reply, ScriptedModel};
use std::sync::Arc;

const READ: (&str, &str) = ("read_file", r#"{"path":"a.txt"}"#);
/// Tokens that are set aside for a response.
const OUTPUT_TOKENS: u32 = 1_000;

/// The same answer from a provider that does not say what it took.
fn untold(mut reply: Reply) -> Reply {
    if let Ok(response) = &mut reply.result {
        response.usage = Usage::default();
    }
    reply
}

fn limits() -> TurnLimits {
    TurnLimits { output_tokens_max: Some(OUTPUT_TOKENS), ..TurnLimits::default() }
}

fn tokens(tokens: u64) -> Budget {
    Budget { tokens: Some(tokens), ..Budget::default() }
}

/// What was set aside for each request.
async fn set_aside(world: &World, id: SessionId) -> Vec<u64> {
    let logged = world.host.events(id, Sequence::START, usize::MAX).await.unwrap();
    let reserved = logged.into_iter().filter_map(|logged| match logged.event {
        Some(Event::ModelRequested { reserved, .. }) => Some(reserved.tokens),
        _ => None,
    });
    reserved.collect()
}

#[tokio::test]
async fn what_a_provider_does_not_say_counts_as_what_was_set_aside_and_a_raised_budget_goes_on() {
    let replies = [
        untold(Reply::calls(&[READ])),
        Reply::failure(ModelFailureKind::Disconnected),
        untold(Reply::text("one")),
        Reply::text("two"),
    ];
    let world = World::tape(replies);
    let session = world.create(ApproveMode::Ask).await;
    let id = session.id();
    // Room for two requests and for nothing that they took beyond that.
    session.set_budget(tokens(2 * u64::from(OUTPUT_TOKENS) + 900)).await.unwrap();
    session.prompt("go on", limits()).await.unwrap();
    let end = finish(&session).await.unwrap();
    assert!(matches!(&end, TurnEnd::Limit { limit, .. } if limit == "budget.session.tokens"), "{end:?}");
    assert_eq!(world.model.requests().len(), 2);
    let state = session.snapshot().await.unwrap().state;
    assert_eq!(state.spent.tokens, set_aside(&world, id).await.iter().sum::<u64>());
    session.set_budget(tokens(100 * u64::from(OUTPUT_TOKENS))).await.unwrap();
    session.prompt("go on", limits()).await.unwrap();
    assert_eq!(finish(&session).await.unwrap(), TurnEnd::Done);
    let spent = session.snapshot().await.unwrap().state.spent.tokens;
    assert_eq!(spent, set_aside(&world, id).await.iter().sum::<u64>());
    session.prompt("go on", limits()).await.unwrap();
    assert_eq!(finish(&session).await.unwrap(), TurnEnd::Done);
    let now = session.snapshot().await.unwrap().state.spent.tokens;
    assert_eq!(now - spent, 110, "what is said counts as it is said");
}

#[tokio::test]
async fn a_request_that_was_out_when_its_host_died_counts_too() {
    let gate = Gate::closed();
    let world = World::tape([Reply::text("never").behind(&gate)]);
    let session = world.create(ApproveMode::Ask).await;
    let id = session.id();
    session.set_budget(tokens(2 * u64::from(OUTPUT_TOKENS) + 900)).await.unwrap();
    session.prompt("go on", limits()).await.unwrap();
    gate.reached(1).await;
    world.log.plan(1, Fate::DieBefore);
    gate.open();
    world.log.died().await;
    let mut world = world;
    let mut session = session;
    // It is made again once; then there is room for no more.
    for (life, asked) in [(1, 1), (2, 0)] {
        let gate = Gate::closed();
        world = world.again(ScriptedModel::tape([Reply::text("never").behind(&gate)]));
        let (told, hands) = (context(ApproveMode::Ask), Arc::clone(&world.hands) as _);
        session = world.host.open(id, told, Vec::new(), hands, Takeover::Force).await.unwrap();
        settle().await;
        assert_eq!(world.model.requests().len(), asked, "life {life}");
    }
    let end = finish(&session).await.unwrap();
    assert!(matches!(&end, TurnEnd::Limit { limit, .. } if limit == "budget.session.tokens"), "{end:?}");
}

#[tokio::test]
async fn each_turn_has_its_own_budget_and_what_waits_has_the_one_it_was_said_with() {
    let gate = Gate::closed();
    let replies =
        [Reply::calls(&[READ]).behind(&gate), Reply::text("one"), Reply::calls(&[READ]), Reply::text("never")];
    let world = World::tape(replies);
    let session = world.create(ApproveMode::Ask).await;
    let of_steps = |steps| TurnLimits { budget: Budget { steps: Some(steps), ..Budget::default() }, ..limits() };
    session.prompt("go on", of_steps(2)).await.unwrap();
    gate.reached(1).await;
    session.say("later", Delivery::Queue, of_steps(1)).await.unwrap();
    gate.open();
    let end = TurnEnd::Limit { limit: "budget.turn.steps".to_owned(), maximum: 1 };
    assert_eq!(finish(&session).await.unwrap(), end);
    let state = session.snapshot().await.unwrap().state;
    assert_eq!((state.turns, state.spent.steps, world.model.requests().len()), (2, 3, 3));
    prompt(&session).await;
    assert_eq!(finish(&session).await.unwrap(), TurnEnd::Done, "the next turn has no such budget");
}
