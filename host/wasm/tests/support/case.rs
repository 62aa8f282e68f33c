//! The cases of the hostile corpus: one folder for each family; for each case a file that says what is expected, and
//! the attacker's text beside it where no other case or guest has it.

use super::ground::{Ground, Site};
use harness_core::outcome::LimitName;
use harness_core::{CallId, Outcome, SessionId};
use harness_engine::ports::{CallReport, CallRequest};
use harness_wasm::CallLimits;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;

/// Memory of one attacker, in bytes.
pub(crate) const MEMORY_BYTES: u64 = 16 << 20;
/// What a case ends as that its caller gives up.
pub(crate) const CANCELLED: &str = "cancelled";

/// What is expected of a case.
#[derive(Deserialize, Clone)]
#[serde(deny_unknown_fields)]
pub(crate) struct Case {
    pub(crate) outcome: String,
    /// The limit that is crossed. `log-bytes` alone does not end the call.
    pub(crate) limit: Option<String>,
    /// The attacker, where it is not `NAME.wat`: another text of this family,
    wat: Option<String>,
    /// or a guest that tests/guests/build makes.
    pub(crate) guest: Option<String>,
    /// What the words for people contain.
    pub(crate) contains: Option<String>,
    /// What the model reads, exactly.
    pub(crate) text: Option<String>,
    arguments: Option<String>,
    /// What the calls are granted; without, the workspace.
    grants: Option<Vec<String>>,
    /// The network around it.
    #[serde(default)]
    pub(crate) site: Site,
    /// Calls of another session that come first.
    pub(crate) before: Option<Before>,
    /// Limits of the component, by their names with underscores.
    #[serde(default)]
    limits: BTreeMap<String, u64>,
    /// A second call of the same component, and what the model reads of it.
    pub(crate) then_arguments: Option<String>,
    pub(crate) then_text: Option<String>,
    /// The description that is left.
    pub(crate) description: Option<String>,
    pub(crate) cut_to_bytes: Option<usize>,
}

/// Calls of another session in every slot, before the attackers look at what is left there.
#[derive(Deserialize, Clone)]
#[serde(deny_unknown_fields)]
pub(crate) struct Before {
    pub(crate) outcome: String,
    arguments: String,
    #[serde(default)]
    grants: Vec<String>,
    /// How many other components of the same text make them; none is the very component that looks.
    #[serde(default)]
    pub(crate) others: u8,
}

/// The session that attacks, and the one before it.
const SESSIONS: [SessionId; 2] = [SessionId::from_bits(1), SessionId::from_bits(2)];

/// A case and where it lies.
pub(crate) struct Found {
    pub(crate) family: String,
    pub(crate) name: String,
    pub(crate) case: Case,
}

impl Found {
    /// The component.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = match &self.case.guest {
            Some(guest) => {
                let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../tests/guests/dist/{guest}.wasm"));
                std::fs::read(path).expect("run tests/guests/build, then this test again")
            }
            None => super::assemble(&std::fs::read_to_string(self.wat()).unwrap()),
        };
        bytes.truncate(self.case.cut_to_bytes.unwrap_or(usize::MAX));
        bytes
    }

    /// Another component that does the same.
    pub(crate) fn variant(&self, number: u8) -> Vec<u8> {
        // A custom section: its length, its name's length, its name, a byte.
        [self.bytes().as_slice(), b"\x00\x09\x07variant", &[number]].concat()
    }

    fn wat(&self) -> std::path::PathBuf {
        let stem = self.case.wat.as_ref().unwrap_or(&self.name);
        super::corpus().join("cases").join(&self.family).join(format!("{stem}.wat"))
    }
}

/// All cases, by family and name.
pub(crate) fn all() -> Vec<Found> {
    let cases = super::corpus().join("cases");
    let mut all = Vec::new();
    for family in std::fs::read_dir(&cases).unwrap() {
        let family = family.unwrap().file_name().into_string().unwrap();
        let mut texts = Vec::new();
        for entry in std::fs::read_dir(cases.join(&family)).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            if path.extension().is_some_and(|extension| extension == "wat") {
                texts.push(path);
                continue;
            }
            let expected = std::fs::read_to_string(&path).unwrap();
            let case = toml::from_str(&expected).unwrap_or_else(|error| panic!("{family}/{name}: {error}"));
            all.push(Found { family: family.clone(), name, case });
        }
        for text in texts {
            let is_used = all.iter().any(|found| found.case.guest.is_none() && found.wat() == text);
            assert!(is_used, "{text:?} expects nothing");
        }
    }
    all.sort_by(|one, other| (&one.family, &one.name).cmp(&(&other.family, &other.name)));
    all
}

/// The limits of the runtime under attack.
pub(crate) fn limits() -> CallLimits {
    CallLimits { fuel: u64::MAX, memory_bytes: MEMORY_BYTES, staged_bytes: 4 << 20, ..CallLimits::DEFAULT }
}

/// Sets one limit.
pub(crate) fn set(limits: &mut CallLimits, limit: LimitName, value: u64) {
    *match limit {
        LimitName::Fuel => &mut limits.fuel,
        LimitName::DeadlineMs => &mut limits.deadline_ms,
        LimitName::MemoryBytes => &mut limits.memory_bytes,
        LimitName::TableElements => &mut limits.table_elements,
        LimitName::Instances => &mut limits.instances,
        LimitName::StackBytes => &mut limits.stack_bytes,
        LimitName::OutputBytes => &mut limits.output_bytes,
        LimitName::LogBytes => &mut limits.log_bytes,
        LimitName::HostBytes => &mut limits.host_bytes,
        LimitName::OpenHandles => &mut limits.open_handles,
        LimitName::StagedBytes => &mut limits.staged_bytes,
        LimitName::StagedFiles => &mut limits.staged_files,
        LimitName::ArgumentBytes => &mut limits.argument_bytes,
        LimitName::Requests => &mut limits.requests,
        LimitName::RequestBytes => &mut limits.request_bytes,
        LimitName::ResponseBytes => &mut limits.response_bytes,
        LimitName::KvBytes => &mut limits.kv_bytes,
    } = value;
}

impl Case {
    /// The limits of its component.
    pub(crate) fn limits(&self) -> CallLimits {
        let mut limits = limits();
        for (name, value) in &self.limits {
            let name = name.replace('_', "-");
            let limit = LimitName::ALL.iter().find(|limit| limit.name() == name);
            set(&mut limits, *limit.unwrap_or_else(|| panic!("there is no limit {name}")), *value);
        }
        limits
    }

    /// The limit that it crosses.
    pub(crate) fn crosses(&self) -> Option<LimitName> {
        let wanted = self.limit.as_deref()?;
        Some(*LimitName::ALL.iter().find(|limit| limit.name() == wanted).unwrap_or_else(|| panic!("{wanted}")))
    }

    /// A call of the attacker.
    pub(crate) fn request(&self, ground: &Ground) -> CallRequest {
        let arguments = self.arguments.as_deref().unwrap_or("{}");
        let granted = self.grants.clone().unwrap_or_else(|| vec![super::WORKSPACE.to_owned()]);
        request(SESSIONS[0], ground, arguments, &granted)
    }

    /// In one word: the limit that is crossed, or the outcome.
    pub(crate) fn expected(&self) -> String {
        self.limit.clone().unwrap_or_else(|| self.outcome.clone())
    }

    /// What is wrong with a call.
    pub(crate) fn check(&self, report: &CallReport, ground: &Ground) -> Result<(), String> {
        let outcome = &report.outcome;
        let words = outcome.model_text(&[]);
        let over = match outcome {
            Outcome::OverLimit { limit, maximum } if *maximum == self.limits().maximum(*limit) => Some(limit.name()),
            _ => None,
        };
        let log = report.contents.iter().find(|blob| Some(blob.digest) == report.record.log);
        let log = log.map(|blob| String::from_utf8_lossy(&blob.bytes).into_owned()).unwrap_or_default();
        let ends_with = self.limit.as_deref().filter(|limit| *limit != LimitName::LogBytes.name());
        let is_right = outcome.word() == self.outcome
            && over == ends_with
            && self.contains.as_ref().is_none_or(|expected| words.contains(&ground.fill(expected)))
            && self.text.as_ref().is_none_or(|expected| words == ground.fill(expected))
            && (over == self.limit.as_deref() || log.contains("older bytes were dropped"));
        if is_right { Ok(()) } else { Err(format!("{outcome:?}, its log: {log:?}")) }
    }
}

impl Before {
    /// A call of the session before.
    pub(crate) fn request(&self, ground: &Ground) -> CallRequest {
        request(SESSIONS[1], ground, &self.arguments, &self.grants)
    }
}

fn request(session: SessionId, ground: &Ground, arguments: &str, granted: &[String]) -> CallRequest {
    let mut request = CallRequest::new(session, CallId::from_bits(1), "attack", ground.fill(arguments));
    let capability = |text: &String| ground.fill(text).parse().unwrap_or_else(|error| panic!("{text}: {error}"));
    request.granted = granted.iter().map(capability).collect();
    request
}
