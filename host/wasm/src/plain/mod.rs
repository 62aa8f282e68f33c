//! Plain components: every exported function of any component as a tool, JSON in and out.
//!
//! Promise: names, schemas and conversions follow one written table, `MAPPING.md` beside this file; what has no
//! JSON is not offered, with the reason; nothing runs to find out; a function is only called when the engine's
//! types are those that the schema was made of.
//!
//! Not here: components that follow the contract `wit/tool` (`contract`), what a component may touch (grants).

mod arguments;
mod call;
mod docs;
mod live;
mod names;
mod read;
mod results;
mod schema;
mod types;

pub(crate) use call::PlainEntry;
pub(crate) use docs::DOCS_SECTION;
pub(crate) use types::{Signature, ValueType};

use crate::clean::clean;
use crate::tools::{
    COMPONENT_TOOLS_MAX, DESCRIPTION_BYTES_MAX, Manifest, TOOL_NAME_CHARS_MAX, ToolWords, is_tool_name,
};
use docs::Docs;
use harness_core::Digest;
use harness_core::item::{Category, Effects, ToolSpec};
use std::collections::{BTreeSet, HashSet};

/// The schema of one function's arguments, in bytes.
pub(crate) const SCHEMA_BYTES_MAX: usize = 64 << 10;

/// An exported function that is a tool.
#[derive(Debug, Clone)]
pub(crate) struct Function {
    /// The tool's name.
    pub(crate) tool: String,
    /// The interface it is in; none for a function of the component itself.
    pub(crate) interface: Option<String>,
    /// Its name there.
    pub(crate) function: String,
    /// What it takes and gives.
    pub(crate) signature: Signature,
}

/// An export that is no tool.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct NotOffered {
    /// The export: `namespace:package/interface@version#function`, or `function`; cleaned.
    pub export: String,
    /// Why.
    pub reason: String,
}

/// What a plain component offers.
#[derive(Debug, Default)]
pub(crate) struct Plain {
    /// Its tools, in the order of its exports.
    pub(crate) functions: Vec<Function>,
    /// The same for the model.
    pub(crate) specs: Vec<ToolSpec>,
    /// Its other exports.
    pub(crate) not_offered: Vec<NotOffered>,
    /// Tools that nobody described.
    pub(crate) undescribed: Vec<String>,
    /// Proposals to the component model that its exports need and this host's engine does not have.
    pub(crate) proposals: BTreeSet<&'static str>,
}

/// What tools of one component have in common.
pub(crate) struct Origin<'a> {
    /// The component's name.
    pub(crate) component: &'a str,
    /// Its digest.
    pub(crate) digest: Digest,
    /// Where its effects go.
    pub(crate) effects: Effects,
}

/// Reads what a plain component offers. `docs` are its sections of that name.
pub(crate) fn read<'a>(
    bytes: &'a [u8],
    exports: impl Iterator<Item = &'a str>,
    manifest: &Manifest,
    docs: impl Iterator<Item = &'a [u8]>,
    origin: &Origin<'_>,
) -> Result<Plain, String> {
    let exported = read::exported(bytes, exports)?;
    manifest.check_tools(exported.iter().map(|it| names::export(it.interface.as_deref(), &it.function)))?;
    let callable: Vec<_> = exported.iter().filter(|it| it.signature.is_ok()).collect();
    let pairs: Vec<_> = callable.iter().map(|it| (it.interface.as_deref(), it.function.as_str())).collect();
    let mut names = names::names(&pairs).into_iter();
    let docs = Docs::read(docs);
    let mut plain = Plain::default();
    let mut taken = HashSet::new();
    for it in exported {
        types::proposals(it.signature.as_ref().map_err(String::as_str), &mut plain.proposals);
        let export = names::export(it.interface.as_deref(), &it.function);
        let offered = it.signature.and_then(|signature| {
            let name = names.next().unwrap_or_default();
            if plain.functions.len() >= COMPONENT_TOOLS_MAX {
                return Err(format!("one component has at most {COMPONENT_TOOLS_MAX} tools"));
            }
            let said = manifest.tool(&export);
            let written = docs.of(it.interface.as_deref(), &it.function);
            let own = said.and_then(|said| said.description.clone()).or(written);
            let is_described = own.is_some();
            let spec = spec(name, &export, &signature, said, own, origin)?;
            if !is_described {
                plain.undescribed.push(spec.name.clone());
            }
            Ok((signature, spec))
        });
        match offered {
            Ok((signature, spec)) => {
                if !taken.insert(spec.name.clone()) {
                    return Err(format!("two of its functions are named `{}`: name one of them otherwise", spec.name));
                }
                let tool = spec.name.clone();
                plain.functions.push(Function { tool, interface: it.interface, function: it.function, signature });
                plain.specs.push(spec);
            }
            Err(reason) => plain.not_offered.push(NotOffered { export: clean(export), reason }),
        }
    }
    Ok(plain)
}

fn spec(
    name: String,
    export: &str,
    signature: &Signature,
    said: Option<&ToolWords>,
    own: Option<String>,
    origin: &Origin<'_>,
) -> Result<ToolSpec, String> {
    if let Some((long, _)) = signature.parameters.iter().find(|(name, _)| name.chars().count() > TOOL_NAME_CHARS_MAX) {
        return Err(format!("its parameter `{long}` has a name of more than {TOOL_NAME_CHARS_MAX} characters"));
    }
    let name = said.and_then(|said| said.name.clone()).unwrap_or(name);
    if !is_tool_name(&name) {
        return Err(format!("`{}` is no tool's name", clean(name)));
    }
    let parameters = schema::parameters(signature, |name| said?.parameters.get(name).cloned());
    let bytes = parameters.to_string().len();
    if bytes > SCHEMA_BYTES_MAX {
        return Err(format!("its schema has {bytes} bytes, more than {SCHEMA_BYTES_MAX}"));
    }
    let mut description = own.unwrap_or_else(|| generated(export, signature));
    description.truncate(description.floor_char_boundary(DESCRIPTION_BYTES_MAX));
    Ok(ToolSpec {
        name,
        description,
        parameters,
        category: said.and_then(|said| said.category).unwrap_or(Category::Other),
        effects: origin.effects,
        implementation: origin.digest.to_string(),
        component: origin.component.to_owned(),
    })
}

/// What there is to say of a function that nobody described.
fn generated(export: &str, signature: &Signature) -> String {
    format!("Calls `{export}` of a component: {signature}.")
}

#[cfg(test)]
mod tests;
