//! Taking changes back: once, alone, and to the end.

use crate::notation::check;

#[test]
fn changes_are_taken_back_once_and_while_nothing_else_is_under_way() {
    let world = check(
        "> create
         -
         > open approve=edits
         -
         > prompt go
         turn 1, request 1.1 items=1 => ask model
         > call edit
         c1 wants edit, c1 allow default.edit, c1 starts => run c1
         > report c1 staged a
         c1 allow approve.edits, c1 authorized => put c1 [a]
         > put c1 applied
         c1 returned [a], request 2.1 items=3 => ask model
         > undo c1 of a
         refused: a turn is under way: wait for it, answer what it asks, or interrupt it
         > say done
         done
         > undo c1 of
         refused: there is nothing to undo
         > undo of a
         refused: there is nothing to undo
         > undo c1 of a
         => put u4 [a]
         > prompt go on
         refused: changes are being taken back: wait until that has ended
         > undo c1 of a
         refused: changes are being taken back: wait until that has ended
         > put c1 applied
         refused: no turn is under way
         > put u4 conflict a
         not undone c1
         > put u4 applied
         refused: no turn is under way
         > undo c1 of a
         => put u6 [a]
         > open same
         => put u6 [a]
         > put u6 applied
         undone c1
         > undo c1 of a
         refused: the changes of c1 were undone before
         > prompt go on
         turn 2, request 1.1 items=5 => ask model",
    );
    assert_eq!(world.state.undone.len(), 1);
}
