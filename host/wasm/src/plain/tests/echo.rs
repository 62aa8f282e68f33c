//! Values through a real component and back, for random types.
//!
//! One core function echoes every type: with seventeen numbers beside the value, parameters and results both go
//! through memory, with the same layout, so the function only hands its pointer back.

use super::random::{Dice, value, value_type};
use crate::plain::types::{Signature, ValueType};
use crate::plain::{arguments, live, read, results, schema};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::sync::OnceLock;
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, Linker, Val};
use wasmtime::{Config, Engine, Store};

const LEVELS_MAX: u64 = 4;

/// An engine with the proposals that the mapping knows and the host's own engine leaves out.
fn engine() -> &'static Engine {
    static ENGINE: OnceLock<Engine> = OnceLock::new();
    ENGINE.get_or_init(|| {
        let mut config = Config::new();
        config.wasm_component_model_map(true).wasm_component_model_fixed_length_lists(true);
        Engine::new(&config).unwrap()
    })
}

/// A type in the text format; those that need a name are defined in `before`.
fn text(ty: &ValueType, before: &mut String) -> String {
    let inner = |ty: &ValueType, before: &mut String| text(ty, before);
    let quoted = |names: &[String]| names.iter().map(|name| format!(" \"{name}\"")).collect::<String>();
    let defined = match ty {
        ValueType::Bool => return "bool".to_owned(),
        ValueType::Integer(integer) => return integer.name().to_owned(),
        ValueType::F32 => return "f32".to_owned(),
        ValueType::F64 => return "f64".to_owned(),
        ValueType::Char => return "char".to_owned(),
        ValueType::String => return "string".to_owned(),
        ValueType::Bytes => return "(list u8)".to_owned(),
        ValueType::List(element) => return format!("(list {})", inner(element, before)),
        ValueType::FixedList(element, length) => return format!("(list {} {length})", inner(element, before)),
        ValueType::Map(key, value) => return format!("(map {} {})", inner(key, before), inner(value, before)),
        ValueType::Option(some) => return format!("(option {})", inner(some, before)),
        ValueType::Tuple(types) => {
            let types: Vec<_> = types.iter().map(|ty| inner(ty, before)).collect();
            return format!("(tuple {})", types.join(" "));
        }
        ValueType::Result(ok, err) => {
            let ok = ok.as_ref().map(|ty| inner(ty, before)).unwrap_or_default();
            let err = err.as_ref().map(|ty| format!("(error {})", inner(ty, before))).unwrap_or_default();
            return format!("(result {ok} {err})");
        }
        ValueType::Record(fields) => {
            let field = |(name, ty): &(String, ValueType)| format!("(field \"{name}\" {})", text(ty, before));
            format!("(record {})", fields.iter().map(field).collect::<String>())
        }
        ValueType::Variant(cases) => {
            let case = |(name, ty): &(String, Option<ValueType>)| {
                format!("(case \"{name}\" {})", ty.as_ref().map(|ty| text(ty, before)).unwrap_or_default())
            };
            format!("(variant {})", cases.iter().map(case).collect::<String>())
        }
        ValueType::Enum(names) => format!("(enum {})", quoted(names)),
        ValueType::Flags(names) => format!("(flags {})", quoted(names)),
    };
    let number = before.lines().count();
    writeln!(before, "(type $d{number} {defined}) (export $t{number} \"t{number}\" (type $d{number}))").unwrap();
    format!("$t{number}")
}

fn component(ty: &ValueType) -> Vec<u8> {
    let mut before = String::new();
    let ty = text(ty, &mut before);
    let padding = format!("(tuple{})", " u32".repeat(17));
    let text = format!(
        "(component {before}
           (core module $m (memory (export \"m\") 16) (global $at (mut i32) (i32.const 64))
             (func (export \"r\") (param i32 i32 i32 i32) (result i32) (local $from i32)
               (local.set $from (i32.and (i32.add (global.get $at) (i32.const 15)) (i32.const -16)))
               (global.set $at (i32.add (local.get $from) (local.get 3)))
               (local.get $from))
             (func (export \"f\") (param i32) (result i32) (local.get 0)))
           (core instance $i (instantiate $m))
           (func $f (param \"value\" {ty}) (param \"padding\" {padding}) (result (tuple {ty} {padding}))
             (canon lift (core func $i \"f\") (memory (core memory $i \"m\")) (realloc (core func $i \"r\"))))
           (export \"echo\" (func $f)))"
    );
    wat::parse_str(&text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// A component that echoes one type, instantiated.
struct Echo {
    signature: Signature,
    store: Store<()>,
    function: wasmtime::component::Func,
}

impl Echo {
    fn new(ty: &ValueType) -> Self {
        let bytes = component(ty);
        let compiled = Component::new(engine(), &bytes).unwrap();
        let Some((ComponentItem::ComponentFunc(live), index)) = compiled.get_export(None, "echo") else {
            panic!("no function")
        };
        let [exported] = <[_; 1]>::try_from(read::exported(&bytes, ["echo"].into_iter()).unwrap()).unwrap();
        let signature = exported.signature.unwrap();
        assert_eq!(live::signature(&live).unwrap(), signature, "the engine and the binary agree");
        assert_eq!(signature.parameters[0].1, *ty, "the text and the binary agree");
        let mut store = Store::new(engine(), ());
        let instance = Linker::new(engine()).instantiate(&mut store, &compiled).unwrap();
        let function = instance.get_func(&mut store, index).unwrap();
        Self { signature, store, function }
    }

    fn call(&mut self, value: &Value) -> Value {
        let arguments = json!({ "value": value, "padding": vec![0; 17] }).to_string();
        let values =
            arguments::values(&self.signature, &arguments).unwrap_or_else(|misfit| panic!("{misfit}: {arguments}"));
        let mut back = [Val::Bool(false)];
        self.function.call(&mut self.store, &values, &mut back).unwrap();
        let both = results::json(self.signature.result.as_ref().unwrap(), &back[0]).unwrap();
        both[0].clone()
    }
}

/// Whether a schema can tell all that a type needs.
fn is_told_by_schema(ty: &ValueType) -> bool {
    match ty {
        ValueType::Bytes | ValueType::F32 => false,
        ValueType::Integer(integer) => !integer.is_wide(),
        ValueType::List(it) | ValueType::FixedList(it, _) | ValueType::Option(it) => is_told_by_schema(it),
        ValueType::Map(key, it) => is_told_by_schema(key) && is_told_by_schema(it),
        ValueType::Record(fields) => fields.iter().all(|(_, ty)| is_told_by_schema(ty)),
        ValueType::Tuple(types) => types.iter().all(is_told_by_schema),
        ValueType::Variant(cases) => cases.iter().filter_map(|(_, ty)| ty.as_ref()).all(is_told_by_schema),
        ValueType::Result(ok, err) => ok.iter().chain(err).all(|ty| is_told_by_schema(ty)),
        _ => true,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn values_come_back_as_they_went(seed in any::<u64>()) {
        let mut dice = Dice::new(seed);
        let ty = value_type(&mut dice, LEVELS_MAX);
        let schema = schema::of(&ty);
        let validator = jsonschema::draft202012::new(&schema).unwrap();
        let mut echo = Echo::new(&ty);
        for _ in 0..4 {
            let value = value(&mut dice, &ty);
            prop_assert!(validator.is_valid(&value), "{schema} refuses {value}");
            prop_assert_eq!(echo.call(&value), value);
        }
    }

    #[test]
    fn the_schema_and_the_conversion_refuse_the_same(seed in any::<u64>()) {
        let mut dice = Dice::new(seed);
        let (ty, other) = (value_type(&mut dice, LEVELS_MAX), value_type(&mut dice, LEVELS_MAX));
        let schema = schema::of(&ty);
        let validator = jsonschema::draft202012::new(&schema).unwrap();
        let signature = Signature { parameters: vec![("value".to_owned(), ty.clone())], result: None };
        let whole = schema::parameters(&signature, |_| None);
        let whole = jsonschema::draft202012::new(&whole).unwrap();
        for _ in 0..16 {
            let value = value(&mut dice, &other);
            let arguments = json!({ "value": value });
            let fits = arguments::values(&signature, &arguments.to_string());
            prop_assert_eq!(validator.is_valid(&value), whole.is_valid(&arguments));
            if fits.is_ok() {
                prop_assert!(validator.is_valid(&value), "{schema} refuses {value}, of {ty}");
            } else if is_told_by_schema(&ty) {
                prop_assert!(!validator.is_valid(&value), "{schema} accepts {value}: {:?}", fits);
            }
        }
    }

    #[test]
    fn no_text_makes_the_conversion_panic(seed in any::<u64>(), text in "\\PC{0,40}") {
        let ty = value_type(&mut Dice::new(seed), LEVELS_MAX);
        let signature = Signature { parameters: vec![("v".to_owned(), ty)], result: None };
        for text in [text.clone(), format!("{{\"v\":{text}}}"), json!({ "v": text }).to_string()] {
            let _ = arguments::values(&signature, &text);
        }
    }
}
