//! Trust: earned, lost, given, and what ran by it alone.

use crate::notation::World;

fn world(open: &str) -> World {
    let mut world = World::default();
    for line in ["create", open, "prompt go"] {
        world.step(line);
    }
    world
}

/// One call of `run` that a person says yes to, as the number `number`; gives what was said at the answer.
fn approve(world: &mut World, call: usize, approval: usize) -> String {
    let asked = world.step("call run");
    assert!(asked.contains(&format!("a{approval} asks c{call} default.execute")), "{asked}");
    let answered = world.step(&format!("answer a{approval} yes"));
    world.step(&format!("report c{call} returned"));
    answered
}
