//! What staging and putting in place cost, and that they do not depend on how much lies in the workspace.

use crate::host::{Shared, component, executor};
use crate::quantity::{Durations, Quantity};
use crate::table::{Row, Table};
use harness_core::event::{ApplyResult, Changes};
use harness_core::{CallId, Digest, SessionId};
use harness_engine::ports::{Blob, Blobs, CallRequest, Hands, StoreError};
use harness_wasm::filesystem::Base;
use harness_wasm::{ComponentHands, HandsSettings};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

/// Files in the workspace.
const FILES: [usize; 3] = [1, 100, 10_000];
/// Files of one folder of it.
const FOLDER_FILES: usize = 100;
/// Calls before measuring, and those measured.
const WARM_UP: usize = 50;
const CALLS: usize = 500;
/// A file's size, in bytes.
const FILE_BYTES: usize = 2 << 10;
/// How much more a workspace of the most files may cost than one of a single file.
const RATIO_MAX: f64 = 1.25;

/// The contents of one call, as the store would keep them.
struct Kept(Vec<Blob>);

#[async_trait::async_trait]
impl Blobs for Kept {
    async fn get(&self, digest: Digest) -> Result<Option<Arc<[u8]>>, StoreError> {
        Ok(self.0.iter().find(|blob| blob.digest == digest).map(|blob| Arc::clone(&blob.bytes)))
    }
}

pub(crate) fn measure(shared: &Shared, table: &mut Table) {
    let mut medians = Vec::new();
    for files in FILES {
        let folder = tempfile::tempdir().unwrap();
        fill(folder.path(), files);
        let (staged, put) = calls(shared, folder.path());
        let plural = if files == 1 { "file" } else { "files" };
        let what = format!("write_file staged over a workspace of {files} {plural}: call to report");
        table.push(Row::p50_p99(if files == FILES[0] { "staging" } else { "" }, what, &staged));
        table.push(Row::p50_p99("", "the same change put in place, synced", &put));
        medians.push((staged.percentile(50).number(), put.percentile(50).number()));
    }
    let (first, last) = (medians[0], medians[medians.len() - 1]);
    let most = FILES[FILES.len() - 1];
    let ratio = |last: f64, first: f64| Quantity::Times(last / first);
    let what = format!("staging with {most} files against one file, p50");
    table.push(Row::of("", what, ratio(last.0, first.0)).hold(Quantity::Times(RATIO_MAX)));
    let what = format!("putting in place with {most} files against one file, p50");
    table.push(Row::of("", what, ratio(last.1, first.1)).hold(Quantity::Times(RATIO_MAX)));
}

fn fill(root: &Path, files: usize) {
    for number in 0..files {
        let folder = root.join(format!("folder{}", number / FOLDER_FILES));
        if number % FOLDER_FILES == 0 {
            std::fs::create_dir(&folder).unwrap();
        }
        std::fs::write(folder.join(format!("file{number}")), vec![b'x'; FILE_BYTES]).unwrap();
    }
}

/// Times of the calls, and of putting their changes in place.
fn calls(shared: &Shared, root: &Path) -> (Durations, Durations) {
    let runtime = shared.place("staging").component_runtime();
    let base = Arc::new(Base::open(root, &[]).unwrap());
    let hands = ComponentHands::new(runtime, base, vec![component("write_file")], HandsSettings::default()).unwrap();
    executor().block_on(async {
        let (mut staged, mut put) = (Vec::new(), Vec::new());
        for number in 0..WARM_UP + CALLS {
            let content = format!("{number:>FILE_BYTES$}");
            let arguments = serde_json::json!({"path": "folder0/file0", "content": content}).to_string();
            let call = CallId::from_bits(number as u128 + 1);
            let request = request(call, arguments);
            let begin = Instant::now();
            let report = hands.execute(request).await;
            let executed = begin.elapsed();
            let Changes::Staged { manifest } = &report.changes else { panic!("{:?}", report.outcome) };
            let kept = Kept(report.contents);
            let begin = Instant::now();
            let applied = hands.put(call, manifest, &kept).await;
            if number >= WARM_UP {
                staged.push(executed);
                put.push(begin.elapsed());
            }
            assert!(matches!(applied, ApplyResult::Applied), "{applied:?}");
        }
        (Durations::new(staged), Durations::new(put))
    })
}

fn request(call: CallId, arguments: String) -> CallRequest {
    let mut request = CallRequest::new(SessionId::from_bits(1), call, "write_file", arguments);
    request.granted = vec!["filesystem write /workspace".parse().unwrap()];
    request
}
