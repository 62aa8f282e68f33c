//! A workspace, a store of values and the guests, put together for one test.

use async_trait::async_trait;
use harness_core::outcome::LimitName;
use harness_core::record::KvSpace;
use harness_core::{CallId, Capability, Outcome, SessionId};
use harness_egress::{Egress, EgressSettings, SecretValue, Secrets};
use harness_engine::ports::{CallProgress, CallReport, CallRequest, Hands, Kv, Resume, StoreError};
use harness_wasm::filesystem::Base;
use harness_wasm::{
    Component, ComponentHands, ComponentSource, HandsSettings, MANIFEST_SECTION, Runtime, RuntimeSettings,
};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, LazyLock, Mutex};

/// The one secret there is.
pub(crate) const SECRET: &str = "s3cr3t-value-of-forge";

struct OneSecret;

impl Secrets for OneSecret {
    fn secret(&self, name: &str) -> Result<Option<SecretValue>, String> {
        Ok((name == "forge").then(|| SecretValue::new(SECRET)))
    }
}

/// Compiles each guest once for all tests.
static RUNTIME: LazyLock<Arc<Runtime>> = LazyLock::new(|| {
    let egress = Egress::new(EgressSettings { secrets: Arc::new(OneSecret), ..EgressSettings::default() });
    Arc::new(Runtime::new(RuntimeSettings { threads: 2, egress, ..RuntimeSettings::default() }))
});

/// Values in memory.
#[derive(Default)]
pub(crate) struct Values(pub(crate) Mutex<BTreeMap<(KvSpace, String), Vec<u8>>>);

#[async_trait]
impl Kv for Values {
    async fn kv_get(&self, space: &KvSpace, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.0.lock().unwrap().get(&(space.clone(), key.to_owned())).cloned())
    }

    async fn kv_keys(
        &self,
        space: &KvSpace,
        prefix: &str,
        after: Option<&str>,
        keys_max: usize,
    ) -> Result<Vec<String>, StoreError> {
        let values = self.0.lock().unwrap();
        let keys = values.keys().filter(|(its, _)| its == space).map(|(_, key)| key);
        let asked = keys.filter(|key| key.starts_with(prefix) && after.is_none_or(|after| key.as_str() > after));
        Ok(asked.take(keys_max).cloned().collect())
    }

    async fn kv_bytes(&self, space: &KvSpace) -> Result<u64, StoreError> {
        let values = self.0.lock().unwrap();
        let own = values.iter().filter(|((its, _), _)| its == space);
        Ok(own.map(|((_, key), value)| (key.len() + value.len()) as u64).sum())
    }
}

pub(crate) struct Lab {
    pub(crate) work: tempfile::TempDir,
    pub(crate) values: Arc<Values>,
    pub(crate) progress: Arc<Mutex<Vec<CallProgress>>>,
    pub(crate) hands: ComponentHands,
}

/// A guest's binary, with what it declares to ask for.
pub(crate) fn guest(name: &str, manifest: Option<&str>) -> Arc<Component> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../tests/guests/dist/{name}.wasm"));
    let mut bytes = std::fs::read(path).expect("run tests/guests/build, then this test again");
    if let Some(manifest) = manifest {
        let mut section = vec![u8::try_from(MANIFEST_SECTION.len()).unwrap()];
        section.extend(MANIFEST_SECTION.as_bytes());
        section.extend(manifest.as_bytes());
        bytes.push(0);
        let mut left = section.len();
        while left >= 0x80 {
            bytes.push((left & 0x7f) as u8 | 0x80);
            left >>= 7;
        }
        bytes.push(left as u8);
        bytes.extend(section);
    }
    Component::read(ComponentSource { name: name.to_owned(), bytes: bytes.into() }).unwrap()
}

impl Lab {
    /// The guest that tries everything, without a ceiling.
    pub(crate) fn new() -> Self {
        Self::with(guest("caps-rust", None))
    }

    pub(crate) fn with(component: Arc<Component>) -> Self {
        let (work, values) = (tempfile::tempdir().unwrap(), Arc::<Values>::default());
        std::fs::create_dir(work.path().join("sub")).unwrap();
        std::fs::write(work.path().join("a.txt"), "a").unwrap();
        std::fs::write(work.path().join("sub/b.txt"), "b").unwrap();
        let base = Arc::new(Base::open(work.path(), &[]).unwrap());
        let settings =
            HandsSettings { kv: Some(values.clone()), principal: "someone".to_owned(), agent: "some-agent".to_owned() };
        let hands = ComponentHands::new(RUNTIME.clone(), base, vec![component], settings).unwrap();
        Self { work, values, progress: Arc::default(), hands }
    }

    pub(crate) fn request(&self, tool: &str, arguments: &Value, granted: &[&str]) -> CallRequest {
        let ids = (SessionId::from_bits(1), CallId::from_bits(1));
        let told = self.progress.clone();
        CallRequest {
            granted: granted.iter().map(|text| capability(text)).collect(),
            progress: Arc::new(move |progress| told.lock().unwrap().push(progress)),
            ..CallRequest::new(ids.0, ids.1, tool, arguments.to_string())
        }
    }

    pub(crate) async fn call(&self, tool: &str, arguments: Value, granted: &[&str]) -> CallReport {
        self.hands.execute(self.request(tool, &arguments, granted)).await
    }

    pub(crate) async fn resume(&self, tool: &str, granted: &[&str], resume: Resume) -> CallReport {
        let request = self.request(tool, &Value::Null, granted);
        self.hands.execute(CallRequest { resume: Some(resume), ..request }).await
    }
}

pub(crate) fn capability(text: &str) -> Capability {
    text.parse().unwrap_or_else(|error| panic!("{error}"))
}

/// What the tool returned.
pub(crate) fn returned(report: &CallReport) -> String {
    assert!(report.outcome.is_success(), "{:?}", report.outcome);
    report.outcome.model_text(&[])
}

/// That the call ended for the want of this, and that it is in the record.
pub(crate) fn assert_not_granted(report: &CallReport, needed: &str) {
    let Outcome::NotGranted { capability, .. } = &report.outcome else { panic!("{needed}: {:?}", report.outcome) };
    assert_eq!(capability.to_string(), needed);
    assert_eq!(refused(report), [needed]);
}

pub(crate) fn refused(report: &CallReport) -> Vec<String> {
    report.record.refused.iter().map(ToString::to_string).collect()
}

pub(crate) fn assert_over(report: &CallReport, limit: LimitName, maximum: u64) {
    assert_eq!(report.outcome, Outcome::OverLimit { limit, maximum });
}

/// What the call wrote to its log.
pub(crate) fn log(report: &CallReport) -> Option<String> {
    let digest = report.record.log?;
    let blob = report.contents.iter().find(|blob| blob.digest == digest).expect("the log's content");
    Some(String::from_utf8(blob.bytes.to_vec()).unwrap())
}
