//! What is counted. Only what the operator does, and only in these parts.

use std::time::Duration;

use support::aside::count;

use crate::world::World;

/// The parts, in the order in which they are played.
pub const PARTS: [&str; 3] = [
    "100 resources to Ready, verified",
    "a restart with 1,000 resources",
    "a sweep of 10,000 connectors",
];

const FEW: usize = 100;
const MANY: usize = 1_000;
/// Connectors that others made in the same workspace.
const FOREIGN: usize = 9_000;

/// Long enough for all that follows at once, and shorter than the time to anything else.
const SOON: Duration = Duration::from_secs(20);

/// Plays it.
pub fn play() {
    let mut world = World::new();
    world.start();
    world.pass(SOON);
    world.apply(0..FEW, true);
    count(|| world.until(|| world.ready() == FEW));

    world.apply(FEW..MANY, false);
    world.pass(Duration::from_mins(2));
    assert_eq!(world.ready(), MANY);
    world.kill();
    let lists = world.lists();
    world.start();
    count(|| world.pass(SOON));
    assert_eq!(world.lists(), lists + 1, "a restart lists the workspace");

    world.add_foreign(FOREIGN);
    // What is counted is what becomes of the answer.
    world.delay_answers(Duration::from_secs(1));
    world.until(|| world.lists() > lists + 1);
    count(|| world.pass(SOON));
    assert_eq!(world.lists(), lists + 2, "a sweep lists the workspace");
    assert_eq!(world.ready(), MANY);
}
