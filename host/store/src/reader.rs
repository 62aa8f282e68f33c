//! A few threads that read, each with a connection of its own, so that reading never waits for a commit.
//!
//! Promise: a read sees every change that was acknowledged before it began, and one state throughout.

use crate::open::Place;
use rusqlite::Connection;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use tokio::sync::{mpsc, oneshot};

/// Reads that may wait for a thread; more wait in their callers.
const QUEUE_READS_MAX: usize = 64;

type Read = Box<dyn FnOnce(Result<&Connection, String>) + Send>;

/// The way to the reading threads. Dropping it waits for reads under way.
pub(crate) struct Readers {
    queue: Option<mpsc::Sender<Read>>,
    threads: Vec<JoinHandle<()>>,
}

impl Readers {
    pub(crate) fn start(place: &Place, count: usize) -> std::io::Result<Self> {
        let (queue, reads) = mpsc::channel(QUEUE_READS_MAX);
        let reads = Arc::new(Mutex::new(reads));
        let mut threads = Vec::with_capacity(count);
        for index in 0..count {
            let (place, reads) = (place.clone(), Arc::clone(&reads));
            let builder = std::thread::Builder::new().name(format!("store-reader-{index}"));
            threads.push(builder.spawn(move || run(&place, &reads))?);
        }
        Ok(Self { queue: Some(queue), threads })
    }

    /// Runs a read on one of the threads, in one snapshot of the database.
    pub(crate) async fn read<T, E>(
        &self,
        storage: fn(String) -> E,
        work: impl FnOnce(&Connection) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: Send + 'static,
    {
        let stopped = || storage("the store's readers have stopped: open the store again".to_owned());
        let (reply, answer) = oneshot::channel();
        let read = move |connection: Result<&Connection, String>| {
            let result = connection.map_err(storage).and_then(|connection| {
                let snapshot = connection.unchecked_transaction().map_err(|error| storage(error.to_string()))?;
                work(&snapshot)
            });
            let _ = reply.send(result);
        };
        let queue = self.queue.as_ref().ok_or_else(stopped)?;
        queue.send(Box::new(read)).await.map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        self.queue = None;
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a reader of the session store had panicked");
            }
        }
    }
}

fn run(place: &Place, reads: &Mutex<mpsc::Receiver<Read>>) {
    // Made at the first read: opening a store must stay cheap.
    let mut connection = None;
    loop {
        let next = reads.lock().unwrap_or_else(PoisonError::into_inner).blocking_recv();
        let Some(read) = next else { return };
        if connection.is_none() {
            let opened = place.connect().and_then(|fresh| {
                fresh.pragma_update(None, "query_only", true)?;
                Ok(fresh)
            });
            match opened {
                Ok(fresh) => connection = Some(fresh),
                Err(error) => {
                    read(Err(error.to_string()));
                    continue;
                }
            }
        }
        if let Some(connection) = &connection {
            read(Ok(connection));
        }
    }
}
