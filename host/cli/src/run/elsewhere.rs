//! Giving an answer or a message to a session that another process holds.
//!
//! Promise: it is durable before anybody is waited for, is taken once by whoever writes the session, and is waited for
//! no longer than was said. What is not taken stays, and the person is told what to do.
//!
//! Not here: what an answer means (`reply`), who takes it (harness-engine), what became of it (`receipt`).

use super::given::{Given, limits_of};
use super::receipt::{Became, LOOK, Receipt, WAIT_S};
use super::reply;
use super::screen::Screen;
use crate::commands::print_text;
use crate::exit::Exit;
use crate::failure::{Failure, chain};
use crate::paint::one_line;
use crate::settings::Settings;
use crate::wiring::Wiring;
use harness_core::message::Delivery;
use harness_core::{Event, MessageId, SessionId};
use harness_engine::Host;
use harness_engine::ports::{Holder, InboxError};
use harness_store::{is_gone, this_process};
use std::time::Duration;
use tokio::time::Instant;

/// The name of a machine is shown up to this many characters.
const MACHINE_CHARS_MAX: usize = 80;

/// What came of giving it.
pub(super) enum Elsewhere {
    /// The other process took it, or will.
    Told(Exit),
    /// Nobody else holds the session: this process may go on with it, and take what was put into its inbox, if it was.
    Left(Option<Receipt>),
}

/// Whoever else holds a session, unless that process is certainly gone.
async fn holder(wiring: &Wiring, id: SessionId) -> Result<Option<Holder>, Failure> {
    let holder = wiring.host.ports().lease.holder(id).await;
    let holder = holder.map_err(|error| Failure::because("looking who holds the session", &error))?;
    Ok(holder.filter(|holder| *holder != this_process() && !is_gone(holder)))
}

/// Gives it to the process that holds the session, if one does, unless it was put into the inbox before.
pub(super) async fn give(
    wiring: &Wiring,
    settings: &Settings,
    (given, id): (&Given<'_>, SessionId),
    sent: Option<Receipt>,
    screen: &mut Screen,
) -> Result<Elsewhere, Failure> {
    let Some(holder) = holder(wiring, id).await? else { return Ok(Elsewhere::Left(sent)) };
    let mut receipt = match sent {
        Some(sent) => sent,
        None => send(wiring, settings, id, given).await?,
    };
    if wait(wiring, id, given, &mut receipt).await? {
        return Ok(Elsewhere::Left(Some(receipt)));
    }
    screen.receipt(&receipt);
    told(&receipt, &holder, screen).map(Elsewhere::Told)
}

/// Tells how far it has come.
fn told(receipt: &Receipt, holder: &Holder, screen: &Screen) -> Result<Exit, Failure> {
    match receipt.became() {
        Became::Waiting => Err(not_taken(receipt, holder)),
        Became::Refused { .. } => Err(Failure::usage(receipt.in_words())),
        Became::Expired { .. } => Err(Failure::failed(receipt.in_words())),
        Became::Accepted | Became::Delivered { .. } => {
            if !screen.is_for_programs() {
                print_text(&receipt.in_words())?;
            }
            Ok(Exit::Done)
        }
    }
}

async fn send(wiring: &Wiring, settings: &Settings, id: SessionId, given: &Given<'_>) -> Result<Receipt, Failure> {
    let input = input(wiring, settings, id, given).await?;
    let sent = wiring.host.send(id, input).await.map_err(|error| match error {
        InboxError::Full(_) | InboxError::TooLarge { .. } => Failure::usage(chain(&error)),
        other => Failure::because("giving it to the process that holds the session", &other),
    })?;
    Ok(Receipt::of_entry(id, sent.id))
}

/// The input that it is, by what the session's log says now.
async fn input(wiring: &Wiring, settings: &Settings, id: SessionId, given: &Given<'_>) -> Result<Event, Failure> {
    let loaded = wiring.host.load(id).await.map_err(|error| Failure::because("reading the session", &error))?;
    match given {
        Given::Answer(args) => Ok(reply::understood(&wiring.host, id, &loaded.state, args).await?.into_event()),
        Given::Message { text, delivery, .. } => {
            let model = loaded.state.context.as_ref().map(|context| &context.model);
            Ok(Event::MessageReceived {
                message: MessageId::from_bits(u128::from_be_bytes(wiring.host.ports().ids.entropy())),
                text: text.clone(),
                delivery: *delivery,
                limits: limits_of(settings, model),
            })
        }
    }
}

/// Waits for what comes of it. Whether nobody holds the session any more and it was not taken.
async fn wait(wiring: &Wiring, id: SessionId, given: &Given<'_>, receipt: &mut Receipt) -> Result<bool, Failure> {
    let began = Instant::now();
    let asked = given.how().wait;
    let taken = Duration::from_secs(asked.unwrap_or(WAIT_S));
    // Another turn may have hours to go.
    let delivered = match given {
        Given::Message { delivery: Delivery::Queue, .. } => Duration::from_secs(asked.unwrap_or(0)),
        _ => taken,
    };
    loop {
        let holder = holder(wiring, id).await?;
        receipt.look(&wiring.host).await?;
        let waits = *receipt.became() == Became::Waiting;
        if waits && holder.is_none() {
            return Ok(true);
        }
        let most = if waits { taken } else { delivered };
        if receipt.is_final() || began.elapsed() >= most {
            return Ok(false);
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Gives an input to a session that this process does not write: whoever holds it takes it, which is waited for; where
/// nobody does, it waits until the session is opened, and that fails with words on it.
pub(crate) async fn hand_over(host: &Host, id: SessionId, input: Event) -> Result<(), Failure> {
    let sent = host.send(id, input).await.map_err(|error| Failure::because("giving it to the session", &error))?;
    let mut receipt = Receipt::of_entry(id, sent.id);
    let holder = host.ports().lease.holder(id).await;
    let holder = holder.map_err(|error| Failure::because("looking who holds the session", &error))?;
    let wait_s = if holder.is_some_and(|holder| !is_gone(&holder)) { WAIT_S } else { 0 };
    receipt.wait_until_taken(host, Some(wait_s)).await?;
    match receipt.became() {
        Became::Refused { .. } => Err(Failure::usage(receipt.in_words())),
        Became::Waiting => Err(Failure::failed(receipt.in_words())),
        Became::Accepted | Became::Delivered { .. } | Became::Expired { .. } => Ok(()),
    }
}

/// What came of an input that was for whoever else holds a session.
pub(crate) enum Handed {
    /// It is in the log.
    Taken,
    /// The session declined it.
    Refused,
    /// Nobody else holds the session (any more), and nobody took it.
    NobodyHolds,
}

/// Gives an input to the process that holds a session, if another one does, and waits until it took it. It fails where
/// that takes too long, with words on what to do: what was given is kept.
pub(crate) async fn hand_over_and_wait(
    wiring: &Wiring,
    id: SessionId,
    input: Event,
    wait: Duration,
) -> Result<Handed, Failure> {
    if holder(wiring, id).await?.is_none() {
        return Ok(Handed::NobodyHolds);
    }
    let sent = wiring.host.send(id, input).await;
    let sent = sent.map_err(|error| Failure::because("giving it to the process that holds the session", &error))?;
    let mut receipt = Receipt::of_entry(id, sent.id);
    let began = Instant::now();
    loop {
        let holder = holder(wiring, id).await?;
        receipt.look(&wiring.host).await?;
        match (receipt.became(), holder) {
            (Became::Refused { .. }, _) => return Ok(Handed::Refused),
            (Became::Accepted | Became::Delivered { .. } | Became::Expired { .. }, _) => return Ok(Handed::Taken),
            (Became::Waiting, None) => return Ok(Handed::NobodyHolds),
            (Became::Waiting, Some(holder)) if began.elapsed() >= wait => return Err(not_taken(&receipt, &holder)),
            (Became::Waiting, Some(_)) => tokio::time::sleep(LOOK).await,
        }
    }
}

/// That the process which holds the session did not take it in time.
fn not_taken(receipt: &Receipt, holder: &Holder) -> Failure {
    Failure::failed(format!(
        "process {} on {} holds the session and has not taken it yet. It is kept: that process takes it when it goes \
             on, else whoever opens the session next. {}",
        holder.pid,
        one_line(holder.machine_name(), MACHINE_CHARS_MAX),
        receipt.how_to_go_on()
    ))
}
