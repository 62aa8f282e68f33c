//! `sessions stop`: ending what is under way without saying anything.
//!
//! Promise: nothing of the turn is run any more; only changes that were being put in place still are, all or none.
//! Whoever holds the session stops it; where nobody does, it is stopped here. Where nothing is under way, nothing is done.
//!
//! Not here: what stopping means (harness-core), giving it to another process (`run::elsewhere`).

use crate::commands::{print_json, print_text};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::run::{Handed, hand_over_and_wait};
use crate::settings::{self, Said};
use crate::wiring::Wiring;
use harness_core::event::TurnEnd;
use harness_core::{Event, SessionId};
use harness_engine::ports::{LeaseError, Takeover};
use harness_engine::{LoadedSession, OpenError, Update};
use serde_json::json;
use std::path::Path;
use std::time::Duration;
use tokio::time::Instant;

/// A session is stopped at most so often: a message that was to interrupt begins another turn, and other processes may
/// be faster.
const STOPS_MAX: usize = 8;
/// How long another process is waited for where nothing else is said. Seconds.
const WAIT_S: u64 = 10;
/// Pause between two looks at whether another process has stopped.
const LOOK: Duration = Duration::from_millis(50);

/// Stops it.
pub(super) async fn stop(
    wiring: &Wiring,
    said: &Said,
    id: SessionId,
    wait_s: Option<u64>,
    json: bool,
) -> Result<Exit, Failure> {
    let mut stopped = None;
    for _ in 0..STOPS_MAX {
        let loaded = loaded(wiring, id).await?;
        let Some(turn) = &loaded.state.turn else { return told(id, stopped, json) };
        let (turn, number) = (turn.id, loaded.state.turns);
        let wait = Duration::from_secs(wait_s.unwrap_or(WAIT_S));
        match hand_over_and_wait(wiring, id, Event::InterruptRequested, wait).await? {
            Handed::Taken => {
                let began = Instant::now();
                while self::loaded(wiring, id).await?.state.turn.is_some_and(|it| it.id == turn) {
                    if began.elapsed() >= wait {
                        let words = "the process that holds the session stops, and still puts changes in place";
                        return Err(Failure::failed(format!("{words}: harness-host sessions show {id}")));
                    }
                    tokio::time::sleep(LOOK).await;
                }
                // What begins now was said by somebody else.
                return told(id, Some(number), json);
            }
            // It ended in the same moment.
            Handed::Refused => {}
            Handed::NobodyHolds => match wiring.host.interrupt(id).await {
                Ok(()) => {
                    stopped = Some(number);
                    put_in_place(wiring, said, id).await?;
                }
                // Another process was faster, or it ended in the same moment.
                Err(OpenError::Lease(LeaseError::Held { .. }) | OpenError::Refused(_)) => {}
                Err(error) => return Err(Failure::because("stopping it", &error)),
            },
        }
    }
    Err(Failure::failed(format!("{id} was stopped {STOPS_MAX} times, and each time something else began: try again")))
}

/// Has the changes of a stopped turn that were being put in place be in place, where there are any.
async fn put_in_place(wiring: &Wiring, said: &Said, id: SessionId) -> Result<(), Failure> {
    let loaded = loaded(wiring, id).await?;
    let Some(turn) = loaded.state.turn.as_ref().filter(|turn| turn.stopping == Some(TurnEnd::Interrupted)) else {
        return Ok(());
    };
    let workspace = settings::workspace_folder(Some(Path::new(&loaded.state.workspace)))?;
    let settings = settings::read(said, Some(&workspace))?;
    let hands = wiring.hands(&settings, &workspace, Vec::new(), wiring.host.ports().kv.clone())?;
    let session = match wiring.host.open_idle(id, hands, Takeover::IfGone).await {
        Ok(session) => session,
        // Whoever was faster puts them in place.
        Err(OpenError::Lease(LeaseError::Held { .. }) | OpenError::Refused(_)) => return Ok(()),
        Err(error) => return Err(Failure::because("putting in place what was being put", &error)),
    };
    let mut updates = session.subscribe(loaded.tip.sequence);
    let ended = loop {
        match updates.next().await {
            Ok(Update::Event(logged)) => match &logged.event {
                Some(Event::TurnEnded { turn: ended, .. }) if *ended == turn.id => break Ok(()),
                _ => {}
            },
            Ok(Update::Closed { fault }) => {
                let why = fault.unwrap_or_else(|| "it was closed".to_owned());
                break Err(Failure::failed(format!("the session stopped: {why}")));
            }
            Ok(Update::Delta { .. } | Update::Progress { .. }) => {}
            Err(error) => break Err(Failure::because("putting in place what was being put", &error)),
        }
    };
    session.close().await;
    ended
}

async fn loaded(wiring: &Wiring, id: SessionId) -> Result<LoadedSession, Failure> {
    wiring.host.load(id).await.map_err(|error| Failure::because("reading the session", &error))
}

/// Tells which turn was stopped, if any was.
fn told(id: SessionId, turn: Option<u32>, json: bool) -> Result<Exit, Failure> {
    match turn {
        turn if json => print_json(&json!({ "session": id, "stopped": turn })),
        None => print_text(&format!("nothing is under way in {id}")),
        Some(turn) => print_text(&format!("stopped turn {turn} of {id}")),
    }
}
