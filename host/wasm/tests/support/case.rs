//! The cases of the hostile corpus: one folder for each family, two files for each case.

use harness_core::Outcome;
use harness_core::outcome::LimitName;
use harness_wasm::CallLimits;
use serde::Deserialize;
use std::collections::BTreeMap;

/// Memory of one attacker, in bytes.
pub(crate) const MEMORY_BYTES: u64 = 16 << 20;
/// What a case ends as that its caller gives up.
pub(crate) const CANCELLED: &str = "cancelled";

/// What is expected of a case.
#[derive(Deserialize, Clone)]
#[serde(deny_unknown_fields)]
pub(crate) struct Case {
    pub(crate) outcome: String,
    pub(crate) limit: Option<String>,
    /// What the words for people contain.
    pub(crate) contains: Option<String>,
    /// What the model reads, exactly.
    pub(crate) text: Option<String>,
    arguments: Option<String>,
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

/// A case and where it lies.
pub(crate) struct Found {
    pub(crate) family: String,
    pub(crate) name: String,
    pub(crate) case: Case,
    /// The component's text.
    pub(crate) text: String,
}

impl Found {
    /// The component.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = super::assemble(&self.text);
        bytes.truncate(self.case.cut_to_bytes.unwrap_or(usize::MAX));
        bytes
    }
}

/// All cases, by family and name.
pub(crate) fn all() -> Vec<Found> {
    let cases = super::corpus().join("cases");
    let mut all = Vec::new();
    for family in std::fs::read_dir(&cases).unwrap() {
        let family = family.unwrap().file_name().into_string().unwrap();
        for entry in std::fs::read_dir(cases.join(&family)).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            if path.extension().is_some_and(|extension| extension == "wat") {
                let text = std::fs::read_to_string(&path).unwrap();
                let expected = std::fs::read_to_string(path.with_extension("toml"))
                    .unwrap_or_else(|error| panic!("{family}/{name} expects nothing: {error}"));
                let case = toml::from_str(&expected).unwrap_or_else(|error| panic!("{family}/{name}: {error}"));
                all.push(Found { family: family.clone(), name, case, text });
            }
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

    pub(crate) fn arguments(&self) -> &str {
        self.arguments.as_deref().unwrap_or("{}")
    }

    /// In one word: the limit that is crossed, or the outcome.
    pub(crate) fn expected(&self) -> String {
        self.limit.clone().unwrap_or_else(|| self.outcome.clone())
    }

    /// What is wrong with an outcome.
    pub(crate) fn check(&self, outcome: &Outcome) -> Result<(), String> {
        let words = outcome.model_text(&[]);
        let over = match outcome {
            Outcome::OverLimit { limit, maximum } if *maximum == self.limits().maximum(*limit) => Some(limit.name()),
            _ => None,
        };
        let is_right = outcome.word() == self.outcome
            && over == self.limit.as_deref()
            && self.contains.as_ref().is_none_or(|expected| words.contains(expected.as_str()))
            && self.text.as_ref().is_none_or(|expected| words == *expected);
        if is_right { Ok(()) } else { Err(format!("{outcome:?}")) }
    }
}
