//! `sessions answer` and `sessions say`: giving something to a session that is there.
//!
//! Promise: it counts once, whoever holds the session: this process, which then goes on until the turn ends or something
//! else waits, or another one, which does so where it is.
//!
//! Not here: what an answer means (`reply`), giving it to another process (`elsewhere`), what became of it (`receipt`).

use super::receipt::{Became, Receipt};
use super::{read_prompt, reply, run_or_give};
use crate::args::operations::{AnswerArgs, GiveArgs, SayArgs};
use crate::args::{Cli, RunArgs};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::settings::Settings;
use harness_core::event::TurnLimits;
use harness_core::message::Delivery;
use harness_core::{InboxId, ModelRef, Sequence, SessionId};
use harness_engine::ports::INBOX_ENTRIES_MAX;
use harness_engine::{Host, Session, SessionError};

/// What a command gives a session that is there, whoever writes it.
pub(super) enum Given<'a> {
    /// One answer.
    Answer(&'a AnswerArgs),
    /// A message.
    Message { text: String, delivery: Delivery, how: GiveArgs },
}

impl Given<'_> {
    pub(super) const fn how(&self) -> &GiveArgs {
        match self {
            Self::Answer(answer) => &answer.how,
            Self::Message { how, .. } => how,
        }
    }
}

/// Gives one answer, and goes on with the session until its turn ends or something else waits; or has the process that
/// holds it do so.
pub(crate) async fn answer(cli: &Cli, answer: &AnswerArgs) -> Result<Exit, Failure> {
    give(cli, &answer.id, Given::Answer(answer)).await
}

/// Says something, and goes on with the session until its turns end or something waits; or has the process that holds
/// it do so.
pub(crate) async fn say(cli: &Cli, say: &SayArgs) -> Result<Exit, Failure> {
    let text = match say.text.as_str() {
        "-" => read_prompt()?,
        text if text.trim().is_empty() => return Err(Failure::usage("there is nothing to say: the text is empty")),
        text => text.to_owned(),
    };
    let delivery = match (say.queue, say.interrupt) {
        (true, _) => Delivery::Queue,
        (_, true) => Delivery::Interrupt,
        _ => Delivery::Steer,
    };
    give(cli, &say.id, Given::Message { text, delivery, how: say.how }).await
}

async fn give(cli: &Cli, session: &str, given: Given<'_>) -> Result<Exit, Failure> {
    let GiveArgs { take_over, json, approve, .. } = *given.how();
    let args = RunArgs { session: Some(session.to_owned()), take_over, json, approve, ..RunArgs::default() };
    run_or_give(cli, &args, Some(&given)).await
}

/// What other processes left for a session and nobody took yet.
pub(super) async fn left_for(host: &Host, id: SessionId) -> Result<Vec<InboxId>, Failure> {
    let unread = host.ports().inbox.unread(id, 0, INBOX_ENTRIES_MAX).await;
    let unread = unread.map_err(|error| Failure::because("looking into the session's inbox", &error))?;
    Ok(unread.into_iter().map(|unread| unread.entry.id).collect())
}

/// Has a session that was opened take what was left for it. Whether a turn began, where it had begun `turns`.
pub(super) async fn take(host: &Host, session: &Session, turns: u32) -> Result<bool, Failure> {
    for entry in left_for(host, session.id()).await? {
        Receipt::of_entry(session.id(), entry).wait_until_taken(host, None).await?;
    }
    let state = session.snapshot().await.map_err(|error| Failure::because("opening the session", &error))?.state;
    Ok(state.turn.is_some() || state.turns > turns)
}

/// What limits a turn that a person begins.
pub(super) fn limits_of(settings: &Settings, model: Option<&ModelRef>) -> TurnLimits {
    let mut limits = settings.turn_limits();
    let of_model = model.and_then(|model| settings.output_tokens_max(model));
    limits.output_tokens_max = limits.output_tokens_max.into_iter().chain(of_model).min();
    limits
}

/// A session that this process writes.
pub(super) struct Here<'a> {
    pub(super) session: &'a Session,
    pub(super) host: &'a Host,
    /// The event after which what is given is looked for.
    pub(super) before: Sequence,
    pub(super) limits: TurnLimits,
}

impl Here<'_> {
    /// Gives it what a command gives, or has it take what waits in its inbox. Of a message, where to look for what
    /// becomes of it. The session is closed where it is not taken.
    pub(super) async fn give(&self, given: &Given<'_>, sent: Option<Receipt>) -> Result<Option<Receipt>, Failure> {
        let taken = self.give_or_take(given, sent).await;
        if taken.is_err() {
            self.session.clone().close().await;
        }
        taken
    }

    async fn give_or_take(&self, given: &Given<'_>, sent: Option<Receipt>) -> Result<Option<Receipt>, Failure> {
        if let Some(receipt) = sent {
            return self.taken(receipt, given).await.map(Some);
        }
        let failed = |error: SessionError| match error {
            SessionError::Refused(refusal) => Failure::usage(refusal.to_string()),
            other => Failure::because("giving it to the session", &other),
        };
        match given {
            Given::Answer(args) => {
                let state = self.session.snapshot().await.map_err(failed)?.state;
                let reply = reply::understood(self.host, self.session.id(), &state, args).await?;
                reply.give(self.session).await.map_err(failed)?;
                Ok(None)
            }
            Given::Message { text, delivery, .. } => {
                let message = self.session.say(text.clone(), *delivery, self.limits).await.map_err(failed)?;
                Ok(Some(Receipt::of_message(self.session.id(), message, self.before)))
            }
        }
    }

    /// Waits until this process took what another one left in the inbox.
    async fn taken(&self, mut receipt: Receipt, given: &Given<'_>) -> Result<Receipt, Failure> {
        receipt.wait_until_taken(self.host, given.how().wait).await?;
        match receipt.became() {
            Became::Refused { .. } => Err(Failure::usage(receipt.in_words())),
            Became::Waiting => Err(Failure::failed(receipt.in_words())),
            Became::Accepted | Became::Delivered { .. } | Became::Expired { .. } => Ok(receipt),
        }
    }
}
