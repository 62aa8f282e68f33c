//! Calling an exported function: JSON in, an outcome of the contract out.
//!
//! Promise: arguments that do not fit never reach the function; a `result`'s error is a failure of the tool, all
//! else is what it returned.

use super::arguments;
use super::live;
use super::results;
use super::{Function, Signature, ValueType};
use crate::contract::harness::tool::types::{ErrorKind, Failure, Outcome as ToolOutcome, Part};
use crate::guest::GuestState;
use serde_json::Value;
use std::collections::HashMap;
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, ComponentExportIndex, Instance, Val};
use wasmtime::{Store, format_err};

/// Where calls enter a plain component.
pub(crate) struct PlainEntry {
    functions: HashMap<String, (ComponentExportIndex, Signature)>,
}

impl PlainEntry {
    /// Finds the functions in the compiled component.
    ///
    /// # Errors
    /// If one is not there or is not of the type that was read from the binary.
    pub(crate) fn new(functions: &[Function], component: &Component) -> wasmtime::Result<Self> {
        let find = |function: &Function| {
            let missing = || format_err!("`{}` is not where it was read", function.function);
            let interface = match &function.interface {
                Some(name) => Some(component.get_export_index(None, name.as_str()).ok_or_else(missing)?),
                None => None,
            };
            let found = component.get_export(interface.as_ref(), function.function.as_str());
            let Some((ComponentItem::ComponentFunc(ty), index)) = found else { return Err(missing()) };
            if live::signature(&ty).as_ref() != Ok(&function.signature) {
                return Err(format_err!("`{}` is not of the type that was read", function.function));
            }
            Ok((function.tool.clone(), (index, function.signature.clone())))
        };
        Ok(Self { functions: functions.iter().map(find).collect::<wasmtime::Result<_>>()? })
    }

    /// Calls the function behind a tool.
    ///
    /// # Errors
    /// What ended the guest.
    pub(crate) async fn call(
        &self,
        store: &mut Store<GuestState>,
        instance: &Instance,
        tool: &str,
        arguments: &str,
    ) -> wasmtime::Result<ToolOutcome> {
        let Some((index, signature)) = self.functions.get(tool) else {
            return Ok(failed(ErrorKind::NotFound, "unknown-tool", format!("there is no tool `{tool}`")));
        };
        let values = match arguments::values(signature, arguments) {
            Ok(values) => values,
            Err(misfit) => return Ok(failed(ErrorKind::InvalidArguments, "arguments", misfit.to_string())),
        };
        let function = instance.get_func(&mut *store, index).ok_or_else(|| format_err!("`{tool}` is no function"))?;
        let mut results = vec![Val::Bool(false); usize::from(signature.result.is_some())];
        function.call_async(store, &values, &mut results).await?;
        outcome(signature, results.first()).ok_or_else(|| format_err!("`{tool}` returned what is not of its type"))
    }
}

fn outcome(signature: &Signature, result: Option<&Val>) -> Option<ToolOutcome> {
    let (ty, value) = match (&signature.result, result) {
        (None, _) => return Some(ToolOutcome::Returned(Vec::new())),
        (Some(ty), Some(value)) => (ty, value),
        (Some(_), None) => return None,
    };
    match (ty, value) {
        (ValueType::Result(ok, _), Val::Result(Ok(value))) => {
            let Some(ok) = ok.as_deref() else { return Some(ToolOutcome::Returned(Vec::new())) };
            Some(ToolOutcome::Returned(vec![part(results::payload(Some(ok), value.as_deref())?)]))
        }
        (ValueType::Result(_, err), Val::Result(Err(value))) => {
            let message = match results::payload(err.as_deref(), value.as_deref())? {
                Value::String(text) => text,
                Value::Null => "the function says no more than that it failed".to_owned(),
                json => json.to_string(),
            };
            Some(failed(ErrorKind::Failed, "error", message))
        }
        (ty, value) => Some(ToolOutcome::Returned(vec![part(results::json(ty, value)?)])),
    }
}

/// A text stands for itself, all else is JSON.
fn part(value: Value) -> Part {
    match value {
        Value::String(text) => Part::Text(text),
        json => Part::Json(json.to_string()),
    }
}

fn failed(kind: ErrorKind, code: &str, message: String) -> ToolOutcome {
    ToolOutcome::Failed(Failure { kind, code: code.to_owned(), message, retryable: false })
}
