//! Sessions that go on from another place.

use crate::notation::check;
use harness_core::Item;
use harness_core::event::TurnEnd;

#[test]
fn a_rewind_goes_on_from_before() {
    let world = check(
        "> create
         -
         > open
         -
         > prompt first
         turn 1, request 1.1 items=1 => ask model
         > say done
         done
         > prompt second
         turn 2, request 1.1 items=3 => ask model
         > rewind 1
         refused: a turn is under way: wait for it, answer what it asks, or interrupt it
         > say so
         done
         > rewind 2
         -
         > rewind 99
         refused: there is no event 0 to go back to: name one of the session's, from 1
         > prompt third
         turn 3, request 1.1 items=3 => ask model",
    );
    let texts: Vec<_> = world.state.history.iter().map(|item| item.text_bytes()).collect();
    assert_eq!(texts, [5, 4, 5]);
    assert_eq!(world.state.usage.input_tokens, 20, "what was spent stays spent");
}

#[test]
fn a_rewind_into_a_turn_ends_it_there() {
    let world = check(
        "> create
         -
         > open
         -
         > prompt first
         turn 1, request 1.1 items=1 => ask model
         > call read read
         c1 wants read, c2 wants read, c1 allow default.read, c1 starts, c2 allow default.read, c2 starts => run c1, run c2
         > report c1 returned
         c1 returned
         > report c2 returned
         c2 returned, request 2.1 items=3 => ask model
         > say done
         done
         > rewind 2
         -",
    );
    assert_eq!(world.state.last_end, Some(TurnEnd::Interrupted));
    let Some(Item::ToolResults { results }) = world.state.history.last().map(AsRef::as_ref) else {
        panic!("no results")
    };
    let told: Vec<_> = results.iter().map(|result| (result.is_error, result.text.starts_with("Cut off"))).collect();
    assert_eq!(told, [(false, false), (true, true)], "what had come is kept");
}

#[test]
fn a_fork_takes_its_turn_up_and_an_import_does_not() {
    let begin = "> create
         -
         > grant question
         -
         > open
         -
         > prompt first
         turn 1, request 1.1 items=1 => ask model";
    let fork = check(&format!("{begin}\n> fork 6 again\n-\n> open\n=> ask model"));
    assert_eq!((fork.state.title.as_deref(), fork.state.workspace.as_str()), (Some("again"), "/copy"));
    // What was granted to the origin was granted to it.
    assert_eq!((fork.state.turn.is_some(), fork.state.grants.len()), (true, 0));
    let import = check(&format!("{begin}\n> import /here\n-\n> prompt no\nrefused: the session was not opened"));
    assert_eq!((import.state.turn, import.state.grants, import.state.workspace.as_str()), (None, Vec::new(), "/here"));
    check(&format!("{begin}\n> import \nrefused: a session works in a folder: give its absolute path"));
}

#[test]
fn a_rewind_has_the_model_told_what_it_was_not_told_then() {
    let begin = "> create
         -
         > open mode=plan[read] mode=build
         mode plan (start)
         ";
    let last = |world: &crate::notation::World| match world.state.history.iter().rev().nth(1).unwrap().as_ref() {
        Item::User { text } => text.clone(),
        other => panic!("{other:?}"),
    };
    // Before the first words: the mode was entered, and the conversation does not say so.
    let world = check(&format!(
        "{begin}> prompt first
         turn 1, request 1.1 items=2 => ask model
         > say done
         done
         > rewind 2
         -
         > prompt again
         turn 2, request 1.1 items=2 => ask model"
    ));
    assert!(last(&world).contains("Do as plan does") && last(&world).contains("only these tools"), "{}", last(&world));
    // The mode was entered later, and its words are gone with what came after.
    let world = check(&format!(
        "{begin}> prompt first
         turn 1, request 1.1 items=2 => ask model
         > say done
         done
         > mode build
         mode build (person)
         > prompt second
         turn 2, request 1.1 items=5 => ask model
         > say done
         done
         > rewind 3
         -
         > prompt again
         turn 3, request 1.1 items=5 => ask model"
    ));
    assert!(last(&world).contains("Do as build does"), "{}", last(&world));
}
