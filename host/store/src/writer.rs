//! The one thread of this process that writes: it takes everything that is pending and commits it as
//! one transaction.
//!
//! Promise: nobody is answered before the commit that holds their change is durable, and nobody waits
//! for company: a group is whatever had queued up during the commit before. A refused change is undone
//! alone; after a storage error everybody in the group is told so. Words are made ready for searching after the
//! answers; that fails for nobody, and a change waits for one turn of it at most.
//!
//! Not here: what the changes are.

use crate::blobs::BlobFolder;
use crate::said::{self, SAID_TURN_ROWS_MAX};
use crate::schema::{commit, roll_back};
use harness_core::Digest;
use rusqlite::{Connection, ErrorCode};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

/// Changes that may wait for the writer; more wait in their callers.
const QUEUE_CHANGES_MAX: usize = 256;
/// Changes in one transaction at most.
const GROUP_CHANGES_MAX: usize = 256;
/// Bytes after which a transaction takes no further change.
const GROUP_BYTES_MAX: usize = 32 << 20;
/// Pages of the write-ahead log (4 KiB each) that are not yet in the database, after which they are
/// copied there.
const CHECKPOINT_PAGES: i64 = 1_000;
/// How long erasing waits for readers of an older state before it leaves the write-ahead log to a
/// later checkpoint. Milliseconds.
const TRUNCATE_WAIT_MS: u64 = 200;
/// How long nobody has asked for a change when the writer takes up what can wait: longer than most pauses between
/// the steps of a turn, as each commit costs the next change the disk's time. Milliseconds.
pub(crate) const QUIET_MS: u64 = 100;

/// What a change can use: the transaction it is part of, and what is to follow the commit.
pub(crate) struct Desk {
    pub(crate) connection: Connection,
    pub(crate) blobs: BlobFolder,
    pub(crate) blob_quota_bytes: u64,
    pub(crate) busy_timeout_ms: u64,
    /// Contents that no session names any more: their files go after the commit.
    pub(crate) unnamed: Vec<Digest>,
    /// Whether something was erased that may still stand in the write-ahead log.
    pub(crate) erased: bool,
    /// Words that are due, as far as this process can tell: 0 once it has seen that there are none.
    pub(crate) due_rows: usize,
    pub(crate) quiet_ms: u64,
}

impl Desk {
    /// Runs a change so that its failure undoes it alone. The outer error says that the transaction is lost.
    fn attempt<T, E>(&mut self, work: impl FnOnce(&mut Self) -> Result<T, E>) -> Result<Result<T, E>, String> {
        let run = |connection: &Connection, sql: &str| -> Result<(), String> {
            let done = connection.prepare_cached(sql).and_then(|mut statement| statement.execute([]));
            done.map(|_| ()).map_err(|error| error.to_string())
        };
        run(&self.connection, "SAVEPOINT change")?;
        let unnamed = self.unnamed.len();
        let result = work(self);
        // Some errors (a full disk, a failed read) end the whole transaction.
        if self.connection.is_autocommit() {
            return Err("SQLite gave up the transaction".to_owned());
        }
        if result.is_err() {
            self.unnamed.truncate(unnamed);
            run(&self.connection, "ROLLBACK TO change")?;
        }
        run(&self.connection, "RELEASE change")?;
        Ok(result)
    }

    /// What has to follow a commit: files that nothing names go, and erased bytes leave the log.
    fn follow_up(&mut self) {
        let unnamed = std::mem::take(&mut self.unnamed);
        if !unnamed.is_empty() {
            // Failing only leaves files that the next opening sweeps away.
            if let Err(error) = self.blobs.remove_unnamed(&self.connection, &unnamed) {
                tracing::warn!(%error, "could not remove contents that no session names any more");
            }
        }
        if self.erased {
            let cut = self.waiting(TRUNCATE_WAIT_MS, |connection| checkpoint(connection, "TRUNCATE"));
            // Otherwise it is tried again after the next commit.
            self.erased = !cut.is_ok_and(|state| !state.is_busy);
        }
    }

    /// Runs what waits for other processes so long at most, unlike a change.
    fn waiting<T>(&self, ms: u64, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> rusqlite::Result<T> {
        let wait = |ms| self.connection.busy_timeout(Duration::from_millis(ms));
        let done = wait(ms).and_then(|()| work(&self.connection));
        if let Err(error) = wait(self.busy_timeout_ms) {
            tracing::warn!(%error, "could not set the busy timeout of the session store");
        }
        done
    }

    /// One turn of making words ready for searching. Never waits for another process.
    fn move_words(&mut self) {
        self.due_rows = match self.waiting(0, said::move_due) {
            Ok(0) => 0,
            Ok(moved) => self.due_rows.saturating_sub(moved).max(1),
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => self.due_rows,
            Err(error) => {
                tracing::warn!(%error, "could not make words ready for searching: tried again with the next ones");
                0
            }
        };
        self.keep_log_short();
    }

    /// Copies pages from the write-ahead log to the database when there are many. Never waits.
    fn keep_log_short(&self) {
        let done = checkpoint(&self.connection, "NOOP").and_then(|state| {
            let pending = state.pages - state.copied_pages;
            if pending < CHECKPOINT_PAGES { Ok(state) } else { checkpoint(&self.connection, "PASSIVE") }
        });
        if let Err(error) = done {
            tracing::warn!(%error, "could not copy the write-ahead log into the session store");
        }
    }
}

struct LogState {
    is_busy: bool,
    pages: i64,
    copied_pages: i64,
}

/// `PRAGMA wal_checkpoint`; `NOOP` only asks (SQLite 3.51 and newer).
fn checkpoint(connection: &Connection, mode: &str) -> rusqlite::Result<LogState> {
    let mut statement = connection.prepare_cached(&format!("PRAGMA wal_checkpoint({mode})"))?;
    statement.query_row([], |row| {
        Ok(LogState { is_busy: row.get::<_, i64>(0)? != 0, pages: row.get(1)?, copied_pages: row.get(2)? })
    })
}

/// A change on its way to the writer and its answer on the way back.
trait Change: Send {
    fn bytes(&self) -> usize;
    /// Whether its answer waits for [`Desk::follow_up`].
    fn is_settled_late(&self) -> bool;
    /// The error says that the whole transaction is lost.
    fn run(&mut self, desk: &mut Desk) -> Result<(), String>;
    fn answer(self: Box<Self>, outcome: Result<(), &str>);
}

struct Task<T, E, W> {
    work: Option<W>,
    result: Option<Result<T, E>>,
    reply: oneshot::Sender<Result<T, E>>,
    storage: fn(String) -> E,
    kind: Kind,
}

/// What the writer has to know of a change besides what it does.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    /// Adds about so many bytes.
    Add(usize),
    /// Takes away: answered when what it took is gone from the files as well.
    Remove,
}

impl<T, E, W> Change for Task<T, E, W>
where
    T: Send,
    E: Send,
    W: FnOnce(&mut Desk) -> Result<T, E> + Send,
{
    fn bytes(&self) -> usize {
        match self.kind {
            Kind::Add(bytes) => bytes,
            Kind::Remove => 0,
        }
    }

    fn is_settled_late(&self) -> bool {
        matches!(self.kind, Kind::Remove)
    }

    fn run(&mut self, desk: &mut Desk) -> Result<(), String> {
        if let Some(work) = self.work.take() {
            self.result = Some(desk.attempt(work)?);
        }
        Ok(())
    }

    fn answer(self: Box<Self>, outcome: Result<(), &str>) {
        let answer = match (outcome, self.result) {
            (Ok(()), Some(result)) => result,
            (Ok(()), None) => Err((self.storage)("the change was not carried out".to_owned())),
            (Err(problem), _) => Err((self.storage)(problem.to_owned())),
        };
        // Whoever asked may have gone away; the change stands all the same.
        let _ = self.reply.send(answer);
    }
}

/// The way to the writer's thread. Dropping it waits until what is queued is committed.
pub(crate) struct Writer {
    queue: Option<mpsc::Sender<Box<dyn Change>>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    pub(crate) fn start(desk: Desk) -> std::io::Result<Self> {
        let (queue, changes) = mpsc::channel(QUEUE_CHANGES_MAX);
        let clock = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        let thread =
            std::thread::Builder::new().name("store-writer".to_owned()).spawn(move || run(desk, changes, &clock))?;
        Ok(Self { queue: Some(queue), thread: Some(thread) })
    }

    /// Has a change made; returns when it is durable or refused.
    pub(crate) async fn submit<T, E>(
        &self,
        kind: Kind,
        storage: fn(String) -> E,
        work: impl FnOnce(&mut Desk) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: Send + 'static,
    {
        let stopped = || storage("the store's writer has stopped: open the store again".to_owned());
        let (reply, answer) = oneshot::channel();
        let task = Task { work: Some(work), result: None, reply, storage, kind };
        let queue = self.queue.as_ref().ok_or_else(stopped)?;
        queue.send(Box::new(task)).await.map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.queue = None;
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the session store's writer had panicked");
        }
    }
}

fn run(mut desk: Desk, mut changes: mpsc::Receiver<Box<dyn Change>>, clock: &Runtime) {
    loop {
        let quiet = Duration::from_millis(desk.quiet_ms);
        let next = match desk.due_rows {
            0 => Ok(changes.blocking_recv()),
            _ => clock.block_on(async { timeout(quiet, changes.recv()).await }),
        };
        let first = match next {
            Ok(Some(first)) => first,
            Ok(None) => return,
            Err(_) => {
                desk.move_words();
                continue;
            }
        };
        let mut bytes = first.bytes();
        let mut group = vec![first];
        while group.len() < GROUP_CHANGES_MAX
            && bytes < GROUP_BYTES_MAX
            && let Ok(next) = changes.try_recv()
        {
            bytes = bytes.saturating_add(next.bytes());
            group.push(next);
        }
        commit_group(&mut desk, group);
        desk.keep_log_short();
        if desk.due_rows >= SAID_TURN_ROWS_MAX {
            desk.move_words();
        }
    }
}

fn commit_group(desk: &mut Desk, mut group: Vec<Box<dyn Change>>) {
    let outcome = write_group(desk, &mut group);
    if outcome.is_err() {
        roll_back(&desk.connection);
        desk.unnamed.clear();
    }
    let outcome = outcome.as_ref().copied().map_err(String::as_str);
    let (late, now): (Vec<_>, Vec<_>) = group.into_iter().partition(|change| change.is_settled_late());
    for change in now {
        change.answer(outcome);
    }
    desk.follow_up();
    for change in late {
        change.answer(outcome);
    }
}

fn write_group(desk: &mut Desk, group: &mut [Box<dyn Change>]) -> Result<(), String> {
    let text = |error: rusqlite::Error| error.to_string();
    desk.connection.prepare_cached("BEGIN IMMEDIATE").and_then(|mut begin| begin.execute([])).map_err(text)?;
    for change in group {
        change.run(desk)?;
    }
    commit(&desk.connection).map_err(text)
}
