//! Screens: what a session shows, as a whole and then as patches, for any number of readers.
//!
//! Promise: a reader that applies what it gets, in order, has the state of the event that each update names. One that is
//! slow gets one patch over all that happened meanwhile, and never misses the last state; one that comes back with the
//! sequence that it has gets what changed since, or the whole state where that is not remembered any more.
//!
//! All readers of a session in a process share one fold, made when the first comes and kept as long as there is one. It has
//! nothing that is not durable but the response in flight and progress. Where the session goes back to an earlier event,
//! what was shown then is folded again from the log.
//!
//! Not here: the fold itself and its limits (`harness_core::display`), putting patches on a wire.

use crate::host::Host;
use crate::load::{LoadError, Walk, event_of};
use crate::ports::{EventLog, ModelDelta};
use crate::session::{InFlight, LoggedEvent, Session, SessionError, Subscription, Update};
use harness_core::display::{Cursor, DisplayState, DisplayUpdate, Screen};
use harness_core::{Sequence, SessionId};
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::Instant;

/// How often a follower looks for new events that another process wrote, in milliseconds.
pub const FOLLOW_POLL_MS: u64 = 200;
/// Events that a follower reads at once.
const FOLLOW_EVENTS_MAX: usize = 500;

/// Whether a screen is up to date, and whether it will ever change again.
#[derive(Debug, Clone, Default)]
struct Feed {
    /// All that was in the log when the screen was made is in it.
    caught_up: bool,
    /// Nothing follows; with what went wrong, if anything did.
    ended: Option<Option<String>>,
}

/// One fold for all readers.
pub(crate) struct SharedScreen {
    screen: Mutex<Screen>,
    feed: watch::Sender<Feed>,
    task: Mutex<Option<AbortHandle>>,
}

impl SharedScreen {
    fn new() -> Arc<Self> {
        let feed = watch::Sender::new(Feed::default());
        Arc::new(Self { screen: Mutex::default(), feed, task: Mutex::new(None) })
    }

    fn screen(&self) -> MutexGuard<'_, Screen> {
        // The fold is total: a reader that panicked left it whole.
        self.screen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Believes an event of a session's log.
    async fn believe(&self, log: &dyn EventLog, session: SessionId, logged: &LoggedEvent) -> Result<(), LoadError> {
        let event = logged.event.as_ref();
        let lacks_past = self.screen().lacks_past(event);
        if lacks_past {
            let again = folded_before(log, session, logged.header.sequence).await?;
            self.screen().take_pasts(again);
        }
        self.screen().apply(&logged.header, event);
        Ok(())
    }

    fn tell(&self, caught_up: bool) {
        self.feed.send_modify(|feed| feed.caught_up |= caught_up);
    }

    fn end(&self, fault: Option<String>) {
        self.feed.send_modify(|feed| *feed = Feed { caught_up: true, ended: Some(fault) });
    }

    fn runs_as(self: Arc<Self>, task: AbortHandle) -> Arc<Self> {
        *self.task.lock().unwrap_or_else(PoisonError::into_inner) = Some(task);
        self
    }
}

impl Drop for SharedScreen {
    fn drop(&mut self) {
        if let Some(task) = self.task.get_mut().unwrap_or_else(PoisonError::into_inner) {
            task.abort();
        }
    }
}

/// Where a session's screen is found while somebody reads it.
pub(crate) type ScreenPlace = Arc<Mutex<Weak<SharedScreen>>>;

/// What a screen shows of a session, as it changes.
///
/// ```no_run
/// use harness_core::Sequence;
/// use harness_core::display::DisplayUpdate;
/// use harness_engine::{Session, SessionError};
///
/// async fn show(session: &Session) -> Result<(), SessionError> {
///     let mut shown = serde_json::Value::Null;
///     let mut updates = session.display(Sequence::START);
///     while let Some(update) = updates.next().await? {
///         let at = update.apply_to(&mut shown);
///         println!("event {at}: {} · {}", shown["about"]["title"], shown["about"]["status"]);
///     }
///     Ok(())
/// }
/// ```
///
/// In Rust the state itself is at hand, without JSON between:
///
/// ```no_run
/// # async fn show(session: harness_engine::Session) -> Result<(), harness_engine::SessionError> {
/// let mut updates = session.display(harness_core::Sequence::START);
/// while updates.changed().await? {
///     let state = updates.state();
///     println!("{:?}: {} calls, {}", state.status(), state.calls.len(), state.text());
/// }
/// # Ok(())
/// # }
/// ```
pub struct DisplayStream {
    shared: Arc<SharedScreen>,
    feed: watch::Receiver<Feed>,
    after: Sequence,
    /// None before the screen has caught up.
    cursor: Option<Cursor>,
    pause: Duration,
    not_before: Option<Instant>,
}

impl DisplayStream {
    fn new(shared: Arc<SharedScreen>, after: Sequence) -> Self {
        let feed = shared.feed.subscribe();
        Self { shared, feed, after, cursor: None, pause: Duration::ZERO, not_before: None }
    }

    /// Gives at most so many updates a second; what happens in between comes as one.
    pub fn per_second_max(mut self, updates: NonZeroU32) -> Self {
        self.pause = Duration::from_secs(1) / updates.get();
        self
    }

    /// What has changed since the last update, waiting until something has; none once the session is closed and all was
    /// told. An error where the session ended by a fault; until then whatever was durable was told. May be dropped while
    /// it waits: nothing is lost.
    pub async fn next(&mut self) -> Result<Option<DisplayUpdate>, SessionError> {
        self.read(Screen::since).await
    }

    /// As [`Self::next`] for who reads [`Self::state`]: whether it has changed; not once the session is closed and all was
    /// told.
    pub async fn changed(&mut self) -> Result<bool, SessionError> {
        let news = |screen: &Screen, cursor: &Cursor| screen.has_news(cursor).then(|| ((), screen.now()));
        Ok(self.read(news).await?.is_some())
    }

    async fn read<T>(&mut self, take: fn(&Screen, &Cursor) -> Option<(T, Cursor)>) -> Result<Option<T>, SessionError> {
        loop {
            self.wait_for_turn().await;
            let feed = self.feed.borrow_and_update().clone();
            if feed.caught_up
                && let Some(taken) = self.take(take)
            {
                self.not_before = (!self.pause.is_zero()).then(|| Instant::now() + self.pause);
                return Ok(Some(taken));
            }
            match feed.ended {
                Some(None) => return Ok(None),
                Some(fault) => return Err(SessionError::Closed(fault)),
                // The sender is in what this stream holds itself.
                None => drop(self.feed.changed().await),
            }
        }
    }

    /// What is shown now: at least all that was told by the updates so far.
    pub fn state(&self) -> DisplayState {
        self.shared.screen().state().clone()
    }

    async fn wait_for_turn(&mut self) {
        if let Some(not_before) = self.not_before {
            tokio::time::sleep_until(not_before).await;
            self.not_before = None;
        }
    }

    fn take<T>(&mut self, take: fn(&Screen, &Cursor) -> Option<(T, Cursor)>) -> Option<T> {
        let screen = self.shared.screen();
        if screen.state().sequence == Sequence::START {
            return None;
        }
        let cursor = self.cursor.get_or_insert_with(|| screen.cursor_at(self.after));
        let (taken, next) = take(&screen, cursor)?;
        *cursor = next;
        Some(taken)
    }
}

impl Session {
    /// What a screen shows of the session, from the state of the event `after` that a reader has; [`Sequence::START`] for
    /// one that has nothing. Must be called within a tokio runtime.
    pub fn display(&self, after: Sequence) -> DisplayStream {
        let mut place = self.screen.lock().unwrap_or_else(PoisonError::into_inner);
        let shared = place.upgrade().unwrap_or_else(|| {
            let shared = SharedScreen::new();
            let updates = self.subscribe(Sequence::START);
            let task = tokio::spawn(fold(Arc::downgrade(&shared), updates, Written::of(self)));
            shared.runs_as(task.abort_handle())
        });
        *place = Arc::downgrade(&shared);
        DisplayStream::new(shared, after)
    }
}

impl Host {
    /// What a screen shows of a session that another process may be writing, from the state of the event `after` that a
    /// reader has. Without the response in flight and progress, which only its writer knows; a new event is seen within
    /// [`FOLLOW_POLL_MS`]. It does not end while the session is there. Must be called within a tokio runtime.
    pub fn display(&self, id: SessionId, after: Sequence) -> DisplayStream {
        let shared = SharedScreen::new();
        let task = tokio::spawn(follow(Arc::downgrade(&shared), self.clone(), id));
        DisplayStream::new(shared.runs_as(task.abort_handle()), after)
    }
}

/// Where a session that this process writes is read from.
struct Written {
    log: Arc<dyn EventLog>,
    session: SessionId,
    in_flight: Arc<Mutex<InFlight>>,
}

impl Written {
    fn of(session: &Session) -> Self {
        let (log, in_flight) = (Arc::clone(&session.log), Arc::clone(&session.in_flight));
        Self { log, session: session.id, in_flight }
    }
}

/// Folds what happens in a session until it closes or nobody reads any more.
async fn fold(shared: Weak<SharedScreen>, mut updates: Subscription, written: Written) {
    let Written { log, session, in_flight } = written;
    loop {
        if updates.is_live() {
            let Some(shared) = shared.upgrade() else { return };
            catch_up_with_response(&mut shared.screen(), &in_flight);
            // What later rewinds go back to is in the log.
            shared.screen().forget_pasts();
            shared.tell(true);
        }
        let update = updates.next().await;
        let Some(shared) = shared.upgrade() else { return };
        match update {
            Ok(Update::Event(logged)) => {
                if let Err(error) = shared.believe(log.as_ref(), session, &logged).await {
                    return shared.end(Some(error.to_string()));
                }
            }
            Ok(Update::Delta { offset_bytes, delta }) => {
                let mut screen = shared.screen();
                catch_up_with_response(&mut screen, &in_flight);
                match delta {
                    ModelDelta::Text { text } => screen.text(offset_bytes, &text),
                    ModelDelta::Reasoning { text } => screen.reasoning(offset_bytes, &text),
                    ModelDelta::ToolCall { tool, .. } => screen.tool(&tool),
                    ModelDelta::ToolArguments { text, .. } => screen.arguments(text.len()),
                }
            }
            Ok(Update::Progress { call, progress }) => {
                shared.screen().progress(call, &progress.words, progress.done_permille);
            }
            Ok(Update::Closed { fault }) => return shared.end(fault),
            Err(error) => return shared.end(Some(error.to_string())),
        }
    }
}

/// A session's screen just before an event, with what was shown at the events that rewinds go back to. Those that come
/// after it count too, so that a whole log is read again once.
async fn folded_before(log: &dyn EventLog, session: SessionId, end: Sequence) -> Result<Screen, LoadError> {
    let rewinds = Walk::open(log, session).await?.rewinds().await?;
    let mut walk = Walk::open(log, session).await?.up_to(Sequence(end.0.saturating_sub(1)));
    let mut screen = Screen::default();
    screen.expect_rewinds(rewinds);
    loop {
        let page = walk.page().await?;
        if page.is_empty() {
            return Ok(screen);
        }
        for sealed in page {
            screen.apply(&sealed.header, event_of(session, &sealed)?.as_ref());
        }
    }
}

/// Shows what came of the response in flight before anybody listened, or while nobody could keep up.
fn catch_up_with_response(screen: &mut Screen, in_flight: &Mutex<InFlight>) {
    let in_flight = in_flight.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(began) = screen.state().responses.keys().next().copied() else { return };
    // Only where all is folded up to where the response began is it the one that is shown.
    if began <= in_flight.request && in_flight.request <= screen.state().sequence {
        for (words, take) in [
            (&in_flight.text, Screen::text as fn(&mut Screen, u64, &str)),
            (&in_flight.reasoning, Screen::reasoning as fn(&mut Screen, u64, &str)),
        ] {
            if !words.text.is_empty() {
                take(screen, words.offset_bytes, &words.text);
            }
        }
    }
}

/// Folds what another process writes, until nobody reads any more or the log cannot be read.
async fn follow(shared: Weak<SharedScreen>, host: Host, id: SessionId) {
    let mut after = Sequence::START;
    loop {
        let mut events = host.events(id, after, FOLLOW_EVENTS_MAX).await;
        if events.as_ref().is_ok_and(Vec::is_empty)
            && let Err(gone) = host.ports().log.tip(id).await
        {
            // A session that is not there, or not any more, has no events either.
            events = Err(gone.into());
        }
        let Some(shared) = shared.upgrade() else { return };
        let events = match events {
            Ok(events) => events,
            Err(error) => return shared.end(Some(error.to_string())),
        };
        let is_last = events.len() < FOLLOW_EVENTS_MAX;
        for logged in &events {
            if let Err(error) = shared.believe(host.ports().log.as_ref(), id, logged).await {
                return shared.end(Some(error.to_string()));
            }
            after = logged.header.sequence;
        }
        if is_last {
            shared.screen().forget_pasts();
            shared.tell(true);
            drop(shared);
            tokio::time::sleep(Duration::from_millis(FOLLOW_POLL_MS)).await;
        }
    }
}
