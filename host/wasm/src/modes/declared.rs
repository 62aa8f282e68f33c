//! What a mode or hooks say of themselves: in the section `harness:mode`, or by being asked once.
//!
//! Promise: untrusted text: sizes are capped, names are checked, texts for people and models are cleaned. Both ways end
//! in the same JSON and the same checks.
//!
//! Not here: asking (`run`), judging.

use crate::clean::clean;
use crate::contract::hooks::exports::harness::mode::hooks::HookPoint as WitPoint;
use crate::contract::mode::harness::mode::types::ModeDescription;
use crate::host::progress::one_line;
use crate::tools::{Kind, is_tool_name};
use harness_core::Digest;
use harness_core::mode::{HookPoint, ModeSpec};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// The custom section in which a mode or hooks say what they are, so that nothing need be run to know it.
pub const MODE_SECTION: &str = "harness:mode";
/// The whole declaration, in bytes.
pub const MODE_SECTION_BYTES_MAX: usize = 64 << 10;
/// A mode's name, in characters.
const NAME_CHARS_MAX: usize = 32;
/// Its description, in characters.
const DESCRIPTION_CHARS_MAX: usize = 200;
/// Its instructions, in bytes.
const INSTRUCTIONS_BYTES_MAX: usize = 16 << 10;
/// The tools it lists.
const TOOLS_MAX: usize = 256;
/// The modes it leads to.
const LEADS_TO_MAX: usize = 16;
/// A model's name, in characters.
const MODEL_CHARS_MAX: usize = 128;

/// The JSON.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mode: Option<WrittenMode>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    points: Vec<HookPoint>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenMode {
    name: String,
    #[serde(default)]
    description: String,
    #[serde(default)]
    instructions: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tools: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    model: Option<String>,
    #[serde(default)]
    leads_to: Vec<String>,
}

/// What a mode or hooks are, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PolicyDeclaration {
    /// The mode, with its component as its policy; none for hooks alone.
    pub(crate) mode: Option<ModeSpec>,
    /// Where its hooks are called, each once.
    pub(crate) points: Vec<HookPoint>,
}

impl PolicyDeclaration {
    /// Checks a declaration against what its component exports.
    pub(crate) fn read(json: &[u8], kind: Kind, digest: Digest) -> Result<Self, String> {
        if json.len() > MODE_SECTION_BYTES_MAX {
            return Err(format!("it takes {} bytes to say it, more than {MODE_SECTION_BYTES_MAX}", json.len()));
        }
        let Written { mode, points } = serde_json::from_slice(json).map_err(|error| error.to_string())?;
        let points: Vec<_> = points.into_iter().collect::<BTreeSet<_>>().into_iter().collect();
        match (&mode, kind.judges()) {
            (None, true) => return Err("it exports a mode and says nothing of one".to_owned()),
            (Some(_), false) => return Err("it says that it is a mode and exports none".to_owned()),
            _ => {}
        }
        if !kind.has_hooks() && !points.is_empty() {
            return Err("it names points and exports no hooks".to_owned());
        }
        if mode.is_none() && points.is_empty() {
            return Err("its hooks want to be called nowhere".to_owned());
        }
        let mode = mode.map(|mode| checked(mode, digest)).transpose()?;
        Ok(Self { mode, points })
    }
}

fn checked(mode: WrittenMode, digest: Digest) -> Result<ModeSpec, String> {
    let WrittenMode { name, description, instructions, tools, model, leads_to } = mode;
    if !is_mode_name(&name) {
        return Err(not_a_name(&name));
    }
    let chars = description.chars().count();
    if chars > DESCRIPTION_CHARS_MAX {
        return Err(format!("its description has {chars} characters, more than {DESCRIPTION_CHARS_MAX}"));
    }
    if instructions.len() > INSTRUCTIONS_BYTES_MAX {
        let bytes = instructions.len();
        return Err(format!("its instructions have {bytes} bytes, more than {INSTRUCTIONS_BYTES_MAX}"));
    }
    let tools = tools.map(checked_tools).transpose()?;
    let model = match model {
        Some(model) if model.chars().count() > MODEL_CHARS_MAX || clean(model.clone()) != model => {
            return Err(format!("`{}` is no model's name", one_line(model, MODEL_CHARS_MAX)));
        }
        Some(model) => Some(model.parse().map_err(|_| format!("`{model}` is no model: write `provider/name`"))?),
        None => None,
    };
    if leads_to.len() > LEADS_TO_MAX {
        return Err(format!("it leads to {} modes, {LEADS_TO_MAX} are possible", leads_to.len()));
    }
    for (at, to) in leads_to.iter().enumerate() {
        if !is_mode_name(to) {
            return Err(not_a_name(to));
        }
        if leads_to.iter().take(at).any(|other| other == to) {
            return Err(format!("it leads to `{to}` twice"));
        }
    }
    let description = one_line(description, DESCRIPTION_CHARS_MAX);
    Ok(ModeSpec { name, description, instructions: clean(instructions), tools, model, leads_to, policy: Some(digest) })
}

fn checked_tools(tools: Vec<String>) -> Result<Vec<String>, String> {
    if tools.len() > TOOLS_MAX {
        return Err(format!("it lists {} tools, {TOOLS_MAX} are possible", tools.len()));
    }
    match tools.iter().find(|tool| !is_tool_name(tool)) {
        Some(tool) => Err(format!("it lists the tool `{}`, which is no tool's name", one_line(tool.clone(), 64))),
        None => Ok(tools),
    }
}

/// Whether a mode can have this name.
pub(super) fn is_mode_name(name: &str) -> bool {
    let is_name_byte = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'-');
    (1..=NAME_CHARS_MAX).contains(&name.len()) && name.bytes().all(is_name_byte)
}

pub(super) fn not_a_name(name: &str) -> String {
    let name = one_line(name.to_owned(), NAME_CHARS_MAX);
    format!("`{name}` is not a mode's name: 1 to {NAME_CHARS_MAX} of the characters a-z 0-9 _ -")
}

/// What a component answered, as the section would say it; not checked.
pub(super) fn json(description: Option<ModeDescription>, points: Vec<WitPoint>) -> Result<String, String> {
    let mode = description.map(|it| WrittenMode {
        name: it.name,
        description: it.description,
        instructions: it.instructions,
        tools: it.tools,
        model: it.model,
        leads_to: it.leads_to,
    });
    let points = points.into_iter().map(point).collect();
    serde_json::to_string(&Written { mode, points }).map_err(|error| error.to_string())
}

const fn point(point: WitPoint) -> HookPoint {
    match point {
        WitPoint::SessionStart => HookPoint::SessionStart,
        WitPoint::SessionEnd => HookPoint::SessionEnd,
        WitPoint::Prompt => HookPoint::Prompt,
        WitPoint::BeforeStep => HookPoint::BeforeStep,
        WitPoint::AfterStep => HookPoint::AfterStep,
        WitPoint::BeforeCall => HookPoint::BeforeCall,
        WitPoint::AfterCall => HookPoint::AfterCall,
        WitPoint::BeforeCompaction => HookPoint::BeforeCompaction,
        WitPoint::AfterCompaction => HookPoint::AfterCompaction,
        WitPoint::Stop => HookPoint::Stop,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str, kind: Kind) -> Result<PolicyDeclaration, String> {
        PolicyDeclaration::read(json.as_bytes(), kind, Digest::of(b"policy"))
    }

    #[test]
    fn what_cannot_be_used_is_refused_with_words() {
        let with = |field: &str| format!(r#"{{"mode":{{"name":"own",{field}}}}}"#);
        let long = |count: usize| "x".repeat(count);
        let table = [
            (r#"{"mode":{"name":""}}"#.to_owned(), "is not a mode's name"),
            (r#"{"mode":{"name":"Plan"}}"#.to_owned(), "is not a mode's name"),
            (r#"{"mode":{"name":"a\u001b[31mb"}}"#.to_owned(), "`ab` is not a mode's name"),
            (format!(r#"{{"mode":{{"name":"{}"}}}}"#, long(33)), "is not a mode's name"),
            (with(&format!(r#""description":"{}""#, long(201))), "201 characters"),
            (with(&format!(r#""instructions":"{}""#, long(16_385))), "16385 bytes"),
            (with(&format!(r#""instructions":"{}""#, long(70_000))), "more than 65536"),
            (with(r#""leads_to":["a","a"]"#), "`a` twice"),
            (with(r#""leads_to":["a b"]"#), "is not a mode's name"),
            (with(&format!(r#""leads_to":{:?}"#, (0..17).map(|it| format!("m{it}")).collect::<Vec<_>>())), "17 modes"),
            (with(r#""tools":["read file"]"#), "no tool's name"),
            (with(&format!(r#""tools":{:?}"#, vec!["a"; 257])), "257 tools"),
            (with(r#""model":"fast""#), "write `provider/name`"),
            (with(r#""model":"a/\u202eb""#), "no model's name"),
            (with(r#""power":"all""#), "unknown field"),
            (with(r#""points":[]"#), "unknown field"),
            (r#"{"mode":{"name":"own"},"points":["prompt"]}"#.to_owned(), "exports no hooks"),
            ("{}".to_owned(), "says nothing of one"),
            ("".to_owned(), "EOF"),
        ];
        for (json, expected) in table {
            let problem = read(&json, Kind::Mode).unwrap_err();
            assert!(problem.contains(expected), "{json}: {problem}");
        }
        assert!(read("{}", Kind::Hooks).unwrap_err().contains("nowhere"));
        assert!(
            read(r#"{"mode":{"name":"own"},"points":["prompt"]}"#, Kind::Hooks).unwrap_err().contains("exports none")
        );
        assert!(read(r#"{"points":["whenever"]}"#, Kind::Hooks).unwrap_err().contains("unknown variant"));
    }

    #[test]
    fn texts_are_cleaned_and_points_are_there_once() {
        let json = r#"{"mode":{"name":"own","description":"a\n\u202eb","instructions":"\u001b[2Jdo\nit",
            "model":"a/b/c","tools":["x"],"leads_to":["plan"]},"points":["stop","prompt","stop"]}"#;
        let found = read(json, Kind::ModeWithHooks).unwrap();
        let mode = found.mode.unwrap();
        assert_eq!((mode.description.as_str(), mode.instructions.as_str()), ("a b", "do\nit"));
        assert_eq!(mode.model.unwrap().to_string(), "a/b/c");
        assert_eq!(mode.policy, Some(Digest::of(b"policy")));
        assert_eq!(found.points, [HookPoint::Prompt, HookPoint::Stop]);
    }
}
