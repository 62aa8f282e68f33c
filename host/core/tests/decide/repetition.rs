//! The same over and over: told once, then stopped.

use crate::notation::check;

/// `times` calls of the tools in turn, each with the same outcome.
fn turns(tools: &[&str], times: usize, mut expect: impl FnMut(usize) -> String) -> String {
    let mut script =
        "> create\n-\n> open approve=all\n-\n> prompt hi\nturn 1, request 1.1 items=1 => ask model\n".to_owned();
    for index in 0..times {
        let (tool, number) = (tools[index % tools.len()], index + 1);
        script += &format!(
            "> call {tool}\nc{number} wants {tool}, c{number} allow approve.all, c{number} starts => run c{number}\n"
        );
        script += &format!("> report c{number} returned\n{}\n", expect(index));
    }
    script
}

fn next(index: usize) -> String {
    let (number, step) = (index + 1, index + 2);
    format!("c{number} returned, request {step}.1 items={} => ask model", 2 * step - 1)
}

#[test]
fn the_same_call_is_noticed_told_once_and_stopped() {
    let world = check(&turns(&["read"], 5, |index| match index {
        2 => format!("c3 again 3, {}", next(index)),
        4 => "c5 again 5, c5 returned, end stuck read 5".to_owned(),
        index => next(index),
    }));
    assert!(world.result("c3").contains("3 times in a row"), "{}", world.result("c3"));
    assert!(!world.result("c2").contains("in a row") && !world.result("c4").contains("in a row"));
}

#[test]
fn calls_that_take_turns_are_noticed_too() {
    check(&turns(&["read", "run"], 10, |index| match index {
        5 => format!("c6 again 3, {}", next(index)),
        9 => "c10 again 5, c10 returned, end stuck run 5".to_owned(),
        index => next(index),
    }));
}

#[test]
fn another_outcome_or_a_persons_words_begin_anew() {
    check(
        "> create
         -
         > open
         -
         > prompt hi
         turn 1, request 1.1 items=1 => ask model
         > call read read
         c1 wants read, c2 wants read, c1 allow default.read, c1 starts, c2 allow default.read, c2 starts => run c1, run c2
         > report c1 returned
         c1 returned
         > report c2 failed
         c2 failed!, request 2.1 items=3 => ask model
         > call read read
         c3 wants read, c4 wants read, c3 allow default.read, c3 starts, c4 allow default.read, c4 starts => run c3, run c4
         > report c3 returned
         c3 returned
         > message steer think
         -
         > report c4 returned
         c4 returned, m1 delivered, request 3.1 items=6 => ask model
         > call read
         c5 wants read, c5 allow default.read, c5 starts => run c5
         > report c5 returned
         c5 returned, request 4.1 items=8 => ask model",
    );
}
