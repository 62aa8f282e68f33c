//! `harness:host/secrets`: using secrets without ever seeing them.
//!
//! Promise: a guest gets a placeholder at most, and only of a secret that a grant in force names.
//!
//! Not here: putting secrets into requests, and finding them on the way back (harness-egress).

use crate::clean::clean;
use crate::contract::host::harness::host::secrets::{Error, Host};
use crate::guest::GuestState;
use harness_core::grant::Capability;
use harness_egress::EgressError;

/// A secret's name inside an error, in characters.
const NAME_CHARS_MAX: usize = 64;

impl GuestState {
    /// The grant that is missing: as the component's own ceiling asks for it, else in general.
    fn missing_secret(&mut self, name: &str) -> String {
        let is_it = |capability: &&Capability| matches!(capability, Capability::Secret(it) if it.name == name);
        if let Some(declared) = self.component.ceiling().iter().find(is_it).cloned() {
            let text = declared.to_string();
            self.lent.powers.refuse(declared);
            return text;
        }
        let shown: String = clean(name.chars().take(NAME_CHARS_MAX).collect());
        format!("secret {shown} HOST header|query FIELD")
    }
}

impl Host for GuestState {
    async fn names(&mut self) -> wasmtime::Result<Vec<String>> {
        Ok(self.egress().secret_names())
    }

    async fn placeholder(&mut self, name: String) -> wasmtime::Result<Result<String, Error>> {
        if !self.egress().secret_names().contains(&name) {
            return Ok(Err(Error::NotGranted(self.missing_secret(&name))));
        }
        // Where a secret is kept may be slow to answer: other guests of this thread go on.
        let egress = self.egress().clone();
        let asked = tokio::task::spawn_blocking(move || egress.placeholder(&name));
        Ok(match asked.await {
            Ok(Ok(placeholder)) => Ok(placeholder),
            Ok(Err(EgressError::NotConfigured { .. })) => Err(Error::NotConfigured),
            Ok(Err(error)) => Err(Error::Failed(error.to_string())),
            Err(_) => Err(Error::Failed("the thread that reads secrets ended".to_owned())),
        })
    }
}
