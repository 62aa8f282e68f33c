//! Exported functions and their types, read from a component's binary.
//!
//! Promise: nothing of the component runs or is compiled; what has no JSON is listed with the reason.
//!
//! Not here: the types as the engine knows them (`live`); both must agree before a function is called.

use super::types::{ASYNC, Budget, ERROR_CONTEXT, FUTURE, Integer, RESOURCE, STREAM, Signature, ValueType};
use wasmparser::component_types::{
    ComponentDefinedType, ComponentEntityType, ComponentFuncType, ComponentInstanceTypeId, ComponentValType,
};
use wasmparser::types::Types;
use wasmparser::{Parser, PrimitiveValType, ValidPayload, Validator, WasmFeatures};

/// Exported functions that are looked at.
pub(crate) const EXPORTED_FUNCTIONS_MAX: usize = 1_000;

/// An exported function, or something else that is exported.
#[derive(Debug)]
pub(crate) struct Exported {
    /// The interface it is in; none for a function of the component itself.
    pub(crate) interface: Option<String>,
    /// Its name there.
    pub(crate) function: String,
    /// Its signature, or why it cannot be called.
    pub(crate) signature: Result<Signature, String>,
}

/// The exported functions of a component, in their order. `exports` are its exports' names.
pub(crate) fn exported<'a>(bytes: &[u8], exports: impl Iterator<Item = &'a str>) -> Result<Vec<Exported>, String> {
    let types = types(bytes)?;
    let mut found = Vec::new();
    for name in exports {
        let Some(item) = types.component_item_for_export(name) else { continue };
        match item.ty {
            ComponentEntityType::Func(id) => found.push(function(&types, None, name, &types[id])),
            ComponentEntityType::Instance(id) => instance(&types, name, id, &mut found),
            ComponentEntityType::Component(_) => found.push(other(None, name, "it is a component")),
            ComponentEntityType::Module(_) => found.push(other(None, name, "it is a core module")),
            ComponentEntityType::Value(_) => found.push(other(None, name, "it is a value")),
            ComponentEntityType::Type { .. } => {}
        }
        if found.len() > EXPORTED_FUNCTIONS_MAX {
            return Err(format!("it exports more than {EXPORTED_FUNCTIONS_MAX} functions"));
        }
    }
    Ok(found)
}

fn types(bytes: &[u8]) -> Result<Types, String> {
    // All proposals: what the engine does not have is told in words, and refused when it is compiled.
    let mut validator = Validator::new_with_features(WasmFeatures::all());
    let mut types = None;
    for payload in Parser::new(0).parse_all(bytes) {
        let payload = payload.map_err(|error| error.to_string())?;
        // Bodies of functions are the compiler's to check.
        if let ValidPayload::End(found) = validator.payload(&payload).map_err(|error| error.to_string())? {
            types = Some(found);
        }
    }
    types.ok_or_else(|| "it has no end".to_owned())
}

fn instance(types: &Types, name: &str, id: ComponentInstanceTypeId, found: &mut Vec<Exported>) {
    for (inner, item) in types[id].exports.iter().take(EXPORTED_FUNCTIONS_MAX + 1) {
        match item.ty {
            ComponentEntityType::Func(id) => found.push(function(types, Some(name), inner, &types[id])),
            ComponentEntityType::Type { .. } => {}
            _ => found.push(other(Some(name), inner, "it is no function")),
        }
    }
}

fn other(interface: Option<&str>, name: &str, reason: &str) -> Exported {
    Exported { interface: interface.map(str::to_owned), function: name.to_owned(), signature: Err(reason.to_owned()) }
}

fn function(types: &Types, interface: Option<&str>, name: &str, ty: &ComponentFuncType) -> Exported {
    let signature = if name.starts_with('[') {
        Err("it belongs to a resource, which ends with the call".to_owned())
    } else if ty.async_ {
        Err(ASYNC.to_owned())
    } else {
        signature(types, ty)
    };
    Exported { interface: interface.map(str::to_owned), function: name.to_owned(), signature }
}

fn signature(types: &Types, ty: &ComponentFuncType) -> Result<Signature, String> {
    let mut reader = Reader { types, budget: Budget::new() };
    let parameters = ty
        .params
        .iter()
        .map(|(name, ty)| Ok((name.as_str().to_owned(), reader.value(ty, 1)?)))
        .collect::<Result<_, String>>()?;
    let result = ty.result.as_ref().map(|ty| reader.value(ty, 1)).transpose()?;
    Ok(Signature { parameters, result })
}

struct Reader<'a> {
    types: &'a Types,
    budget: Budget,
}

impl Reader<'_> {
    fn value(&mut self, ty: &ComponentValType, depth: usize) -> Result<ValueType, String> {
        self.budget.take(depth)?;
        let types = self.types;
        match ty {
            ComponentValType::Primitive(primitive) => self::primitive(*primitive),
            ComponentValType::Type(id) => self.defined(&types[*id], depth),
        }
    }

    fn boxed(&mut self, ty: &ComponentValType, depth: usize) -> Result<Box<ValueType>, String> {
        self.value(ty, depth).map(Box::new)
    }

    fn defined(&mut self, ty: &ComponentDefinedType, depth: usize) -> Result<ValueType, String> {
        let below = depth + 1;
        Ok(match ty {
            ComponentDefinedType::Primitive(primitive) => self::primitive(*primitive)?,
            ComponentDefinedType::Record(record) => {
                let fields = record.fields.iter();
                let fields = fields.map(|(name, ty)| Ok((name.as_str().to_owned(), self.value(ty, below)?)));
                ValueType::Record(fields.collect::<Result<_, String>>()?)
            }
            ComponentDefinedType::Variant(variant) => {
                let cases = variant.cases.iter().map(|(name, case)| {
                    self.budget.take_names(1)?;
                    let payload = case.ty.as_ref().map(|ty| self.value(ty, below)).transpose()?;
                    Ok((name.as_str().to_owned(), payload))
                });
                ValueType::Variant(cases.collect::<Result<_, String>>()?)
            }
            ComponentDefinedType::List { element, .. } => ValueType::list(self.value(element, below)?),
            ComponentDefinedType::FixedLengthList { element, length, .. } => {
                ValueType::FixedList(self.boxed(element, below)?, *length)
            }
            ComponentDefinedType::Map { key, value, .. } => {
                ValueType::Map(self.boxed(key, below)?, self.boxed(value, below)?)
            }
            ComponentDefinedType::Tuple(tuple) => {
                ValueType::Tuple(tuple.types.iter().map(|ty| self.value(ty, below)).collect::<Result<_, _>>()?)
            }
            ComponentDefinedType::Flags(names) => ValueType::Flags(self.names(names.iter().map(|name| name.as_str()))?),
            ComponentDefinedType::Enum(names) => ValueType::Enum(self.names(names.iter().map(|name| name.as_str()))?),
            ComponentDefinedType::Option { ty, .. } => ValueType::Option(self.boxed(ty, below)?),
            ComponentDefinedType::Result { ok, err, .. } => ValueType::Result(
                ok.as_ref().map(|ty| self.boxed(ty, below)).transpose()?,
                err.as_ref().map(|ty| self.boxed(ty, below)).transpose()?,
            ),
            ComponentDefinedType::Own(_) | ComponentDefinedType::Borrow(_) => return Err(RESOURCE.to_owned()),
            ComponentDefinedType::Future { .. } => return Err(FUTURE.to_owned()),
            ComponentDefinedType::Stream { .. } => return Err(STREAM.to_owned()),
        })
    }

    fn names<'a>(&mut self, names: impl ExactSizeIterator<Item = &'a str>) -> Result<Vec<String>, String> {
        self.budget.take_names(names.len())?;
        Ok(names.map(str::to_owned).collect())
    }
}

fn primitive(ty: PrimitiveValType) -> Result<ValueType, String> {
    Ok(match ty {
        PrimitiveValType::Bool => ValueType::Bool,
        PrimitiveValType::S8 => ValueType::Integer(Integer::S8),
        PrimitiveValType::U8 => ValueType::Integer(Integer::U8),
        PrimitiveValType::S16 => ValueType::Integer(Integer::S16),
        PrimitiveValType::U16 => ValueType::Integer(Integer::U16),
        PrimitiveValType::S32 => ValueType::Integer(Integer::S32),
        PrimitiveValType::U32 => ValueType::Integer(Integer::U32),
        PrimitiveValType::S64 => ValueType::Integer(Integer::S64),
        PrimitiveValType::U64 => ValueType::Integer(Integer::U64),
        PrimitiveValType::F32 => ValueType::F32,
        PrimitiveValType::F64 => ValueType::F64,
        PrimitiveValType::Char => ValueType::Char,
        PrimitiveValType::String => ValueType::String,
        PrimitiveValType::ErrorContext => return Err(ERROR_CONTEXT.to_owned()),
    })
}
