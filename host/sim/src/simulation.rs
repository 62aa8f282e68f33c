//! Simulation: seeded sessions in which anything happens at any moment, and what must be true of them afterwards.
//!
//! Promise: what happens follows from the seed alone. A session that breaks an invariant is given with its seed,
//! the invariant, and the shortest sequence of actions that was found to break it as well.
//!
//! Not here: real disks and real processes (the tests of harness-store).

mod action;
mod core_world;
mod coverage;
mod engine_ports;
mod engine_world;
mod evidence;
mod inputs;
mod invariants;
mod pilot;

pub use action::{Action, Planned, plan};
pub use coverage::Coverage;
pub use engine_ports::Store;
pub use evidence::{Accepted, Acquired, Evidence, Execution, Live, Opened, Origin, Request, Told};
pub use invariants::{Broken, INVARIANTS, Invariant, Rewound, Seen, check};
pub use pilot::{Listener, Note, Pilot};

use core_world::CoreWorld;
use engine_world::EngineWorld;
use std::fmt;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Seeds that a thread takes at once.
const SEEDS_PER_TAKE: u64 = 64;
/// Plays that looking for a shorter sequence takes at most.
const SHORTEN_PLAYS_MAX: usize = 2_000;
/// One in so many seeds is left alone at its end, and must come to rest.
const REST_ONE_IN: u64 = 4;

/// What is real in a simulation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum World {
    /// The core, under a simulated engine: for millions of seeds.
    Core,
    /// The engine as well, over a store in memory, with several hosts: for thousands.
    Engine,
}

impl World {
    /// The name for the command line.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Core => "core",
            Self::Engine => "engine",
        }
    }

    /// The world of that name.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Core, Self::Engine].into_iter().find(|world| world.word() == word)
    }

    /// What happens only here and must be reached as well.
    pub const fn reaches(self) -> &'static [&'static str] {
        match self {
            Self::Core => &[
                "refused: stale call",
                "refused: not a choice",
                "refused: no event",
                "refused: unknown mode",
                "refused: trust",
                "batch lost",
                "batch kept, not told",
                "checkpoint kept",
                "loaded from a checkpoint",
                "policy asked ahead",
                "policy answered that is not in force",
                "rewound into a turn",
                "begun from within a turn",
            ],
            Self::Engine => &[
                "append fenced",
                "append failed, nothing written",
                "append failed, written all the same",
                "append refused by the quota",
                "crash with the disk at work",
                "refused: closed session",
                "taken over from a live host",
            ],
        }
    }
}

/// A seed that broke an invariant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What was real.
    pub world: World,
    /// The seed: it alone is enough to see it again.
    pub seed: u64,
    /// What broke.
    pub broken: Broken,
    /// Actions that were planned.
    pub planned: usize,
    /// The shortest sequence that was found to break the same.
    pub actions: Vec<Planned>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seed, world) = (self.seed, self.world.word());
        writeln!(f, "seed {seed} of the world `{world}` breaks {}:", self.broken.invariant)?;
        writeln!(f, "{}", self.broken.what)?;
        writeln!(f, "{} of {} actions are enough:", self.actions.len(), self.planned)?;
        self.actions.iter().try_for_each(|planned| writeln!(f, "  {planned}"))?;
        writeln!(f, "their log: {}", self.broken.log.join(", "))?;
        write!(
            f,
            "again: HARNESS_SIM_SEED={seed} cargo run --release -p harness-sim --example simulate -- --world {world}"
        )
    }
}

/// Plays these actions and judges what was seen.
pub fn play(world: World, seed: u64, actions: &[Planned], coverage: &mut Coverage) -> Result<(), Broken> {
    let rest = seed.is_multiple_of(REST_ONE_IN);
    let whole = coverage;
    let coverage = &mut Coverage::default();
    let played = catch_unwind(AssertUnwindSafe(|| {
        let seen = match world {
            World::Core => {
                let mut session = CoreWorld::new(seed, coverage);
                actions.iter().for_each(|planned| session.act(*planned));
                session.end(seed, rest)
            }
            World::Engine => {
                let mut session = EngineWorld::new(seed, coverage);
                actions.iter().for_each(|planned| session.act(*planned));
                session.end(seed, rest)
            }
        };
        seen.iter().map(check).collect::<Result<Vec<_>, _>>()
    }));
    match played {
        Ok(Ok(logs)) => {
            logs.iter().for_each(|log| coverage.look_through(log));
            whole.add_play(coverage);
            Ok(())
        }
        Ok(Err(broken)) => Err(broken),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            Err(Broken { invariant: "nothing_panics", what: text.unwrap_or_default(), log: Vec::new() })
        }
    }
}

/// Plays the plan of a seed; a failure comes with the actions that are enough for it.
pub fn play_seed(world: World, seed: u64, coverage: &mut Coverage) -> Result<(), Box<Failure>> {
    let actions = plan(seed);
    match play(world, seed, &actions, coverage) {
        Ok(()) => Ok(()),
        Err(broken) => {
            let planned = actions.len();
            let (actions, broken) = shorten(world, seed, actions, broken);
            Err(Box::new(Failure { world, seed, broken, planned, actions }))
        }
    }
}

/// Cuts actions out as long as the same invariant breaks: halves first, single ones last.
fn shorten(world: World, seed: u64, mut actions: Vec<Planned>, mut broken: Broken) -> (Vec<Planned>, Broken) {
    let mut plays = 0;
    let mut length = actions.len().div_ceil(2);
    while length > 0 && plays < SHORTEN_PLAYS_MAX {
        let mut from = 0;
        let mut has_cut = false;
        while from < actions.len() && plays < SHORTEN_PLAYS_MAX {
            let to = actions.len().min(from + length);
            let shorter: Vec<Planned> = actions.iter().take(from).chain(actions.iter().skip(to)).copied().collect();
            plays += 1;
            match play(world, seed, &shorter, &mut Coverage::default()) {
                Err(again) if again.invariant == broken.invariant => {
                    (actions, broken, has_cut) = (shorter, again, true);
                }
                Ok(()) | Err(_) => from = to,
            }
        }
        if !has_cut || length > 1 {
            length /= 2;
        }
    }
    (actions, broken)
}

/// Plays many seeds on so many threads, until one fails. Gives what was reached.
pub fn sweep(world: World, seeds: Range<u64>, threads: usize) -> Result<Coverage, Box<Failure>> {
    let (next, has_failed) = (AtomicU64::new(seeds.start), AtomicBool::new(false));
    let whole = Mutex::new((Coverage::default(), None::<Box<Failure>>));
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(|| {
                let mut coverage = Coverage::default();
                let mut failure = None;
                'take: while !has_failed.load(Ordering::Relaxed) {
                    let from = next.fetch_add(SEEDS_PER_TAKE, Ordering::Relaxed);
                    if from >= seeds.end {
                        break;
                    }
                    for seed in from..seeds.end.min(from.saturating_add(SEEDS_PER_TAKE)) {
                        if let Err(failed) = play_seed(world, seed, &mut coverage) {
                            has_failed.store(true, Ordering::Relaxed);
                            failure = Some(failed);
                            break 'take;
                        }
                    }
                }
                let mut whole = whole.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                whole.0.add(&coverage);
                whole.1 = whole.1.take().or(failure);
            });
        }
    });
    let (coverage, failure) = whole.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    failure.map_or(Ok(coverage), Err)
}
