//! A gate that a test opens by hand, so that what happens at the same time is decided by the test.

use std::sync::Arc;
use tokio::sync::watch;

/// Holds up whoever passes until it is opened. Clones are the same gate.
#[derive(Debug, Clone)]
pub struct Gate {
    open: Arc<watch::Sender<bool>>,
    reached: Arc<watch::Sender<usize>>,
}

impl Default for Gate {
    fn default() -> Self {
        Self::closed()
    }
}

impl Gate {
    /// A closed gate.
    pub fn closed() -> Self {
        Self { open: Arc::new(watch::Sender::new(false)), reached: Arc::new(watch::Sender::new(0)) }
    }

    /// Opens it for good.
    pub fn open(&self) {
        self.open.send_replace(true);
    }

    /// Waits until it is open.
    pub async fn pass(&self) {
        self.reached.send_modify(|count| *count += 1);
        // The sender lives as long as the gate.
        let _ = self.open.subscribe().wait_for(|open| *open).await;
    }

    /// Waits until it was reached so many times.
    pub async fn reached(&self, times: usize) {
        let _ = self.reached.subscribe().wait_for(|count| *count >= times).await;
    }
}
