//! The types of exported functions as the engine knows them.
//!
//! Promise: the same tree as `read` makes of the same function, or the reason why there is none.

use super::types::{ASYNC, Budget, ERROR_CONTEXT, FUTURE, Integer, RESOURCE, STREAM, Signature, ValueType};
use wasmtime::component::types::{ComponentFunc, Type};

/// The signature of a function.
pub(crate) fn signature(function: &ComponentFunc) -> Result<Signature, String> {
    if function.async_() {
        return Err(ASYNC.to_owned());
    }
    let mut budget = Budget::new();
    let parameters = function
        .params()
        .map(|(name, ty)| Ok((name.to_owned(), value(&ty, 1, &mut budget)?)))
        .collect::<Result<_, String>>()?;
    let result = function.results().next().map(|ty| value(&ty, 1, &mut budget)).transpose()?;
    Ok(Signature { parameters, result })
}

fn value(ty: &Type, depth: usize, budget: &mut Budget) -> Result<ValueType, String> {
    budget.take(depth)?;
    let below = depth + 1;
    let mut boxed = |ty: Type| value(&ty, below, budget).map(Box::new);
    Ok(match ty {
        Type::Bool => ValueType::Bool,
        Type::S8 => ValueType::Integer(Integer::S8),
        Type::U8 => ValueType::Integer(Integer::U8),
        Type::S16 => ValueType::Integer(Integer::S16),
        Type::U16 => ValueType::Integer(Integer::U16),
        Type::S32 => ValueType::Integer(Integer::S32),
        Type::U32 => ValueType::Integer(Integer::U32),
        Type::S64 => ValueType::Integer(Integer::S64),
        Type::U64 => ValueType::Integer(Integer::U64),
        Type::Float32 => ValueType::F32,
        Type::Float64 => ValueType::F64,
        Type::Char => ValueType::Char,
        Type::String => ValueType::String,
        Type::List(list) => ValueType::list(*boxed(list.ty())?),
        Type::FixedLengthList(list) => ValueType::FixedList(boxed(list.ty())?, list.len()),
        Type::Map(map) => ValueType::Map(boxed(map.key())?, boxed(map.value())?),
        Type::Record(record) => ValueType::Record(
            record
                .fields()
                .map(|field| Ok((field.name.to_owned(), *boxed(field.ty)?)))
                .collect::<Result<_, String>>()?,
        ),
        Type::Tuple(tuple) => {
            ValueType::Tuple(tuple.types().map(|ty| boxed(ty).map(|ty| *ty)).collect::<Result<_, _>>()?)
        }
        Type::Variant(variant) => {
            let mut cases = Vec::new();
            for case in variant.cases() {
                budget.take_names(1)?;
                let payload = case.ty.map(|ty| value(&ty, below, budget)).transpose()?;
                cases.push((case.name.to_owned(), payload));
            }
            ValueType::Variant(cases)
        }
        Type::Enum(names) => {
            budget.take_names(names.names().len())?;
            ValueType::Enum(names.names().map(str::to_owned).collect())
        }
        Type::Flags(names) => {
            budget.take_names(names.names().len())?;
            ValueType::Flags(names.names().map(str::to_owned).collect())
        }
        Type::Option(option) => ValueType::Option(boxed(option.ty())?),
        Type::Result(result) => {
            ValueType::Result(result.ok().map(&mut boxed).transpose()?, result.err().map(&mut boxed).transpose()?)
        }
        Type::Own(_) | Type::Borrow(_) => return Err(RESOURCE.to_owned()),
        Type::Future(_) => return Err(FUTURE.to_owned()),
        Type::Stream(_) => return Err(STREAM.to_owned()),
        Type::ErrorContext => return Err(ERROR_CONTEXT.to_owned()),
    })
}
