//! The configuration's grants in memory, changed by the test.

use async_trait::async_trait;
use harness_core::Grant;
use harness_engine::ports::GrantLists;
use std::sync::{Mutex, PoisonError};

/// Lists that say what they were last told to say, once.
#[derive(Debug, Default)]
pub struct MemoryGrantLists {
    written: Mutex<Option<Vec<Grant>>>,
}

impl MemoryGrantLists {
    /// Writes all grants anew.
    pub fn write(&self, grants: Vec<Grant>) {
        *self.written.lock().unwrap_or_else(PoisonError::into_inner) = Some(grants);
    }
}

#[async_trait]
impl GrantLists for MemoryGrantLists {
    async fn changed(&self) -> Option<Vec<Grant>> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::grant_lists::{self, COMPONENT, SOURCE};
    use harness_core::Scope;

    #[tokio::test]
    async fn lists_in_memory_pass_the_conformance_suite() {
        let lists = MemoryGrantLists::default();
        let grant = |capability: &&str| Grant {
            component: COMPONENT.to_owned(),
            capability: capability.parse().unwrap(),
            scope: Scope::Principal,
            until: None,
            source: SOURCE.to_owned(),
        };
        grant_lists::run_all(&lists, |capabilities| lists.write(capabilities.iter().map(grant).collect())).await;
    }
}
