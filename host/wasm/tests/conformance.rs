//! The session's hands keep what the port promises.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use harness_engine::ports::Hands;
use harness_sim::conformance::hands::{Probe, Subject, run_all};
use harness_sim::files::FolderFiles;
use harness_wasm::{Runtime, RuntimeSettings};
use serde_json::json;
use std::sync::Arc;

#[tokio::test]
async fn component_hands_conform() {
    let runtime = Arc::new(Runtime::new(RuntimeSettings { threads: 1, ..RuntimeSettings::default() }));
    let components = [support::built_in("read_file"), support::built_in("write_file")];
    run_all(|folder| {
        let (runtime, components, folder) = (runtime.clone(), components.clone(), folder.to_owned());
        let files = Arc::new(FolderFiles::new(&folder));
        let open = move || Arc::new(support::hands(&runtime, &folder, &components)) as Arc<dyn Hands>;
        Subject {
            hands: open(),
            files,
            reading: Box::new(|path| Probe::new("read_file", json!({ "path": path }))),
            changing: Box::new(|path, content| Probe::new("write_file", json!({ "path": path, "content": content }))),
            // No built-in tool waits; dropping a call is tested where calls are run.
            lasting: None,
            reopen: Box::new(open),
        }
    })
    .await;
}
