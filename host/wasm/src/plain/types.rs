//! The types of values that pass between JSON and a component, as a tree of this crate's own.
//!
//! Promise: a tree has at most [`TYPE_DEPTH_MAX`] levels, and building one is paid for from a [`Budget`], so that
//! no component makes the host expand types that share parts without end.
//!
//! Not here: where the types are read from (`read`: the binary; `live`: the engine), their JSON (`schema`,
//! `arguments`, `results`).

use std::collections::BTreeSet;
use std::fmt;

/// Levels of a type: a list of records of numbers has three.
pub(crate) const TYPE_DEPTH_MAX: usize = 32;
/// Types inside the signature of one function.
pub(crate) const FUNCTION_TYPES_MAX: usize = 4_096;
/// The greatest whole number that JSON carries exactly everywhere (RFC 8259, 6).
pub(crate) const SAFE_INTEGER_MAX: i64 = (1 << 53) - 1;

/// A whole number's type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Integer {
    S8,
    U8,
    S16,
    U16,
    S32,
    U32,
    S64,
    U64,
}

impl Integer {
    pub(crate) const fn minimum(self) -> i64 {
        match self {
            Self::S8 => i8::MIN as i64,
            Self::S16 => i16::MIN as i64,
            Self::S32 => i32::MIN as i64,
            Self::S64 => i64::MIN,
            Self::U8 | Self::U16 | Self::U32 | Self::U64 => 0,
        }
    }

    pub(crate) const fn maximum(self) -> u64 {
        match self {
            Self::S8 => i8::MAX as u64,
            Self::U8 => u8::MAX as u64,
            Self::S16 => i16::MAX as u64,
            Self::U16 => u16::MAX as u64,
            Self::S32 => i32::MAX as u64,
            Self::U32 => u32::MAX as u64,
            Self::S64 => i64::MAX as u64,
            Self::U64 => u64::MAX,
        }
    }

    /// Whether it holds numbers that JSON does not carry exactly everywhere.
    pub(crate) const fn is_wide(self) -> bool {
        matches!(self, Self::S64 | Self::U64)
    }

    /// Its name in WIT.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::S8 => "s8",
            Self::U8 => "u8",
            Self::S16 => "s16",
            Self::U16 => "u16",
            Self::S32 => "s32",
            Self::U32 => "u32",
            Self::S64 => "s64",
            Self::U64 => "u64",
        }
    }
}

/// The type of a value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum ValueType {
    Bool,
    Integer(Integer),
    F32,
    F64,
    Char,
    String,
    /// `list<u8>`.
    Bytes,
    List(Box<Self>),
    FixedList(Box<Self>, u32),
    Map(Box<Self>, Box<Self>),
    Record(Vec<(String, Self)>),
    Tuple(Vec<Self>),
    Variant(Vec<(String, Option<Self>)>),
    Enum(Vec<String>),
    Flags(Vec<String>),
    Option(Box<Self>),
    Result(Option<Box<Self>>, Option<Box<Self>>),
}

impl ValueType {
    /// A list of these.
    pub(crate) fn list(element: Self) -> Self {
        if element == Self::Integer(Integer::U8) { Self::Bytes } else { Self::List(Box::new(element)) }
    }
}

impl ValueType {
    /// The proposals to the component model that it is made with, beyond what this host's engine has.
    fn proposals(&self, found: &mut BTreeSet<&'static str>) {
        match self {
            Self::FixedList(element, _) => {
                found.insert("fixed-length lists");
                element.proposals(found);
            }
            Self::Map(key, value) => {
                found.insert("maps");
                key.proposals(found);
                value.proposals(found);
            }
            Self::List(some) | Self::Option(some) => some.proposals(found),
            Self::Record(fields) => fields.iter().for_each(|(_, ty)| ty.proposals(found)),
            Self::Tuple(types) => types.iter().for_each(|ty| ty.proposals(found)),
            Self::Variant(cases) => cases.iter().filter_map(|(_, ty)| ty.as_ref()).for_each(|ty| ty.proposals(found)),
            Self::Result(ok, err) => ok.iter().chain(err).for_each(|ty| ty.proposals(found)),
            Self::Bool | Self::Integer(_) | Self::F32 | Self::F64 | Self::Char | Self::String | Self::Bytes => {}
            Self::Enum(_) | Self::Flags(_) => {}
        }
    }
}

/// The proposals that a signature needs and this host's engine does not have; also of one that has no JSON.
pub(crate) fn proposals(signature: Result<&Signature, &str>, found: &mut BTreeSet<&'static str>) {
    match signature {
        Ok(signature) => {
            let parameters = signature.parameters.iter().map(|(_, ty)| ty);
            parameters.chain(&signature.result).for_each(|ty| ty.proposals(found));
        }
        Err(ASYNC | FUTURE | STREAM) => {
            found.insert("asynchronous functions, futures and streams");
        }
        Err(ERROR_CONTEXT) => {
            found.insert("error contexts");
        }
        Err(_) => {}
    }
}

/// As in WIT, names of types aside: those of the author are not part of a component's type.
impl fmt::Display for ValueType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names =
            |f: &mut fmt::Formatter<'_>, word: &str, names: &[String]| write!(f, "{word} {{ {} }}", names.join(", "));
        match self {
            Self::Bool => f.write_str("bool"),
            Self::Integer(integer) => f.write_str(integer.name()),
            Self::F32 => f.write_str("f32"),
            Self::F64 => f.write_str("f64"),
            Self::Char => f.write_str("char"),
            Self::String => f.write_str("string"),
            Self::Bytes => f.write_str("list<u8>"),
            Self::List(element) => write!(f, "list<{element}>"),
            Self::FixedList(element, length) => write!(f, "list<{element}, {length}>"),
            Self::Map(key, value) => write!(f, "map<{key}, {value}>"),
            Self::Record(fields) => {
                let fields: Vec<_> = fields.iter().map(|(name, ty)| format!("{name}: {ty}")).collect();
                write!(f, "record {{ {} }}", fields.join(", "))
            }
            Self::Tuple(types) => {
                let types: Vec<_> = types.iter().map(ToString::to_string).collect();
                write!(f, "tuple<{}>", types.join(", "))
            }
            Self::Variant(cases) => {
                let case = |(name, ty): &(String, Option<Self>)| match ty {
                    Some(ty) => format!("{name}({ty})"),
                    None => name.clone(),
                };
                let cases: Vec<_> = cases.iter().map(case).collect();
                write!(f, "variant {{ {} }}", cases.join(", "))
            }
            Self::Enum(cases) => names(f, "enum", cases),
            Self::Flags(flags) => names(f, "flags", flags),
            Self::Option(some) => write!(f, "option<{some}>"),
            Self::Result(None, None) => f.write_str("result"),
            Self::Result(Some(ok), None) => write!(f, "result<{ok}>"),
            Self::Result(None, Some(err)) => write!(f, "result<_, {err}>"),
            Self::Result(Some(ok), Some(err)) => write!(f, "result<{ok}, {err}>"),
        }
    }
}

/// What a function takes and gives.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Signature {
    pub(crate) parameters: Vec<(String, ValueType)>,
    pub(crate) result: Option<ValueType>,
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parameters: Vec<_> = self.parameters.iter().map(|(name, ty)| format!("{name}: {ty}")).collect();
        write!(f, "func({})", parameters.join(", "))?;
        match &self.result {
            Some(result) => write!(f, " -> {result}"),
            None => Ok(()),
        }
    }
}

/// How many types a function's tree may still take.
#[derive(Debug)]
pub(crate) struct Budget(usize);

impl Budget {
    pub(crate) const fn new() -> Self {
        Self(FUNCTION_TYPES_MAX)
    }

    /// Pays for one more type at this depth.
    pub(crate) fn take(&mut self, depth: usize) -> Result<(), String> {
        if depth > TYPE_DEPTH_MAX {
            return Err(format!("its types are more than {TYPE_DEPTH_MAX} levels deep"));
        }
        self.take_names(1)
    }

    /// Pays for the names of an enum or of flags.
    pub(crate) fn take_names(&mut self, count: usize) -> Result<(), String> {
        self.0 = self
            .0
            .checked_sub(count)
            .ok_or_else(|| format!("its signature is made of more than {FUNCTION_TYPES_MAX} types"))?;
        Ok(())
    }
}

/// Why a type has no JSON.
pub(crate) const RESOURCE: &str = "it takes or gives a resource, which ends with the call";
pub(crate) const FUTURE: &str = "it takes or gives a future, which ends with the call";
pub(crate) const STREAM: &str = "it takes or gives a stream, which ends with the call";
pub(crate) const ERROR_CONTEXT: &str = "it takes or gives an error-context, which ends with the call";
pub(crate) const ASYNC: &str = "it is asynchronous, and this host calls synchronous functions";
